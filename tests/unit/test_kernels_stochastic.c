/* Stochastic rounding: without bias, integers stay, and the bits depend on nothing but their names. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/quantize.h"
#include "kernels/stochastic.h"

static const dist_random_key random_key = {{11, 12}, {13, 14}};

static const float values[] = {0.5f,    -0.5f,   0.25f,     -0.25f,   0.999f,    -0.999f,  0.001f,
                               -0.001f, 1.5f,    -1.5f,     3.14159f, -2.71828f, 6.999f,   -6.999f,
                               63.3f,   -100.7f, 126.0001f, -126.9f,  0x1p-20f,  -0x1p-20f};
enum { VALUES = sizeof values / sizeof *values, DRAWS = 100000 };

/* Fails unless the mean of DRAWS roundings of v to one of two neighbours `gap` apart is within 5 sigma. */
static void check_mean(double sum, double v, double fraction, double gap)
{
    const double sigma = gap * sqrt(fraction * (1 - fraction) / DRAWS);
    assert_true(fabs(sum / DRAWS - v) <= 5 * sigma + gap * 0x1p-24);
}

static void rounding_has_no_bias(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VALUES; i++) {
        const double v = (double)values[i], below = floor(v);
        double sum = 0;
        for (uint64_t n = 0; n < DRAWS; n++) {
            const uint32_t r = dist_random_at(random_key, i * (uint64_t)DRAWS + n);
            const double rounded = (double)dist_round_stochastic(values[i], dist_random_unit(r));
            assert_true(rounded == below || rounded == below + 1);
            sum += rounded;
        }
        check_mean(sum, v, v - below, 1);
    }
}

/* Over all 2^24 values of u: as many round up as there are u below the fraction, in exact arithmetic. */
static void rounding_is_exact_over_all_draws(void **state)
{
    (void)state;
    static const float samples[] = {0.3f, -5.0007f, 100.625f, -0x1p-12f};
    for (unsigned i = 0; i < sizeof samples / sizeof *samples; i++) {
        const double v = (double)samples[i], below = floor(v);
        unsigned up = 0;
        for (uint32_t k = 0; k < 1u << 24; k++)
            up += (double)dist_round_stochastic(samples[i], dist_random_unit(k << 8 | 0xff)) != below;
        assert_true((double)up == ceil((v - below) * 0x1p24));
    }
}

static void integers_stay(void **state)
{
    (void)state;
    for (int v = -300; v <= 300; v++)
        for (uint64_t n = 0; n < 100; n++) {
            const float u = n == 0 ? 0.0f : dist_random_unit(dist_random_at(random_key, n));
            assert_true(dist_round_stochastic((float)v, u) == (float)v);
        }
    assert_true(dist_round_stochastic(0x1p22f, 0.0f) == 0x1p22f);
    assert_true(dist_round_stochastic(-0x1p22f, 0.0f) == -0x1p22f);
}

static void floor_is_floor(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 1000000; n++) {
        const uint32_t r = dist_random_at(random_key, n);
        const float v = dist_float_of((r & 0x80000000u) | (r & 0x7fffffffu) % 0x4a800001u); /* to 2^22 */
        assert_true(dist_floor(v) == floorf(v));
    }
}

static void units_are_multiples(void **state)
{
    (void)state;
    assert_true(dist_random_unit(0xff) == 0.0f);
    assert_true(dist_random_unit(0x100) == 0x1p-24f);
    assert_true(dist_random_unit(0xffffffffu) == 1.0f - 0x1p-24f);
}

static void quantizing_has_no_bias(void **state)
{
    (void)state;
    const float scale = 0.37f;
    for (unsigned i = 0; i < VALUES; i++) {
        const float h = values[i] * scale;
        const double v = (double)(h / scale), below = floor(v);
        double sum = 0;
        for (uint64_t n = 0; n < DRAWS; n++)
            sum += dist_quantize_stochastic(h, scale, DIST_QMAX8, dist_random_at(random_key, n));
        check_mean(sum, v, v - below, 1);
    }
}

static void quantizing_clamps(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 1000; n++) {
        const uint32_t r = n == 0 ? 0 : dist_random_at(random_key, n);
        assert_int_equal(dist_quantize_stochastic(7.3f, 1.0f, DIST_QMAX4, r), 7);
        assert_int_equal(dist_quantize_stochastic(-7.3f, 1.0f, DIST_QMAX4, r), -7);
        assert_int_equal(dist_quantize_stochastic(3e38f, 1e-45f, DIST_QMAX8, r), 127);
        assert_int_equal(dist_quantize_stochastic(-3e38f, 1e-45f, DIST_QMAX8, r), -127);
        assert_int_equal(dist_quantize_stochastic(3e38f, dist_divisor(0.0f), DIST_QMAX8, r), 0);
        assert_int_equal(dist_quantize_stochastic(-3e38f, dist_divisor(0.0f), DIST_QMAX8, r), 0);
    }
}

/* Over all 2^16 draws the mean is the value exactly: as many carry as the low bits say. */
static void bfloat_has_no_bias(void **state)
{
    (void)state;
    static const uint32_t samples[] = {0,          0x80000001, 0x3f80abcd, 0xbf80ffff, 0x3fffffff,
                                       0x00000001, 0x007fffff, 0xc2c80001, 0x3f800000, 0x7f7f8000};
    for (unsigned i = 0; i < sizeof samples / sizeof *samples; i++) {
        const uint32_t bits = samples[i];
        unsigned up = 0;
        for (uint32_t low = 0; low < 0x10000; low++) {
            const uint32_t r = low | random_key.key[0] << 20; /* the high bits do not count */
            const uint16_t found = dist_bfloat_from_float_stochastic(dist_float_of(bits), r);
            assert_in_range(found - (bits >> 16), 0, 1);
            up += found - (bits >> 16);
        }
        assert_int_equal(up, bits & 0xffffu);
    }
}

static void bfloat_of_the_nonfinite(void **state)
{
    (void)state;
    static const uint32_t draws[] = {0, 1, 0x7fff, 0x8000, 0xffff, 0xffffffff};
    for (unsigned i = 0; i < sizeof draws / sizeof *draws; i++) {
        const uint32_t r = draws[i];
        assert_int_equal(dist_bfloat_from_float_stochastic(dist_float_of(0x7f800000u), r), 0x7f80);
        assert_int_equal(dist_bfloat_from_float_stochastic(dist_float_of(0xff800000u), r), 0xff80);
        assert_int_equal(dist_bfloat_from_float_stochastic(dist_float_of(0x7f800001u), r), DIST_BFLOAT_NAN);
        assert_int_equal(dist_bfloat_from_float_stochastic(dist_float_of(0xffffffffu), r), DIST_BFLOAT_NAN);
    }
    assert_int_equal(dist_bfloat_from_float_stochastic(dist_float_of(0x7f7fffffu), 1), 0x7f80);
}

static void order_does_not_matter(void **state)
{
    (void)state;
    enum { COUNT = 4099 };
    static uint32_t forward[COUNT];
    const uint64_t first = ((uint64_t)1 << 34) - 2049; /* the group's high word changes on the way */
    for (uint64_t n = 0; n < COUNT; n++)
        forward[n] = dist_random_at(random_key, first + n);
    for (uint64_t n = COUNT; n-- > 0;)
        assert_int_equal(dist_random_at(random_key, first + n), forward[n]);
    for (uint64_t n = 0; n < COUNT; n++) { /* a stride that visits each once */
        const uint64_t at = n * 1000 % COUNT;
        uint32_t four[4];
        dist_random_four(random_key, (first + at) / 4, four);
        assert_int_equal(four[(first + at) % 4], forward[at]);
    }
}

/* The wire depends on these words: counter (element / 4, step, stream), key the seed. */
static void names_make_the_counter(void **state)
{
    (void)state;
    const dist_random_key named = dist_random_key_of(0x0123456789abcdefu, 0x11223344u, 0x55667788u);
    const uint32_t key[2] = {0x89abcdef, 0x01234567}, counter[4] = {0x40000001, 2, 0x11223344, 0x55667788};
    uint32_t out[4];
    dist_philox4x32(counter, key, out);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(dist_random_at(named, 0x900000004u + i), out[i]);
    assert_int_not_equal(out[0], out[1]);
}

/* Each bit of seed, step, stream and element gives other words. */
static void every_name_is_its_own(void **state)
{
    (void)state;
    const uint32_t base = dist_random_at(dist_random_key_of(0, 0, 0), 0);
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint64_t one = (uint64_t)1 << bit;
        assert_int_not_equal(dist_random_at(dist_random_key_of(one, 0, 0), 0), base);
        assert_int_not_equal(dist_random_at(dist_random_key_of(0, one, 0), 0), base);
        assert_int_not_equal(dist_random_at(dist_random_key_of(0, 0, 0), one), base);
        if (bit < 32)
            assert_int_not_equal(dist_random_at(dist_random_key_of(0, 0, (uint32_t)one), 0), base);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_has_no_bias),    cmocka_unit_test(rounding_is_exact_over_all_draws),
        cmocka_unit_test(integers_stay),           cmocka_unit_test(floor_is_floor),
        cmocka_unit_test(units_are_multiples),     cmocka_unit_test(quantizing_has_no_bias),
        cmocka_unit_test(quantizing_clamps),       cmocka_unit_test(bfloat_has_no_bias),
        cmocka_unit_test(bfloat_of_the_nonfinite), cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(names_make_the_counter),  cmocka_unit_test(every_name_is_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
