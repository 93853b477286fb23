/* E4M3, E2M1 and their scales against the definitions of the formats, evaluated in double. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/float4.h"
#include "kernels/float8.h"
#include "kernels/philox.h"
#include "kernels/scale.h"

typedef struct format {
    int exponents, fraction, bias; /* bits, bits, bias */
    unsigned most;                 /* the code of the largest magnitude */
    uint8_t (*narrow)(float);
    float (*widen)(uint8_t);
} format;

static const format e4m3 = {4, 3, 7, 0x7e, dist_e4m3_from_float, dist_e4m3_to_float};
static const format e2m1 = {2, 1, 1, 7, dist_e2m1_from_float, dist_e2m1_to_float};

static uint32_t random_bits(uint32_t i)
{
    const uint32_t counter[4] = {i, 0, 0, 0}, key[2] = {8, 4};
    uint32_t out[4];
    dist_philox4x32(counter, key, out);
    return out[0];
}

/* The value of a magnitude's code by the definition of the format. */
static double value_of(const format *f, unsigned code)
{
    const int exponent = (int)(code >> f->fraction);
    const double fraction = ldexp((double)(code & ((1u << f->fraction) - 1)), -f->fraction);
    return exponent ? ldexp(1.0 + fraction, exponent - f->bias) : ldexp(fraction, 1 - f->bias);
}

/* By trying every code; beyond the largest it saturates. */
static unsigned nearest(const format *f, double magnitude)
{
    if (magnitude >= value_of(f, f->most))
        return f->most;
    unsigned best = 0;
    for (unsigned code = 1; code <= f->most; code++) {
        const double closer = fabs(value_of(f, best) - magnitude) - fabs(value_of(f, code) - magnitude);
        if (closer > 0 || (closer == 0 && code % 2 == 0))
            best = code;
    }
    return best;
}

static void check_narrowing(const format *f, uint32_t bits)
{
    const unsigned sign = bits >> 31 << (f->exponents + f->fraction);
    const unsigned wanted = nearest(f, (double)dist_float_of(bits & 0x7fffffffu));
    assert_int_equal(f->narrow(dist_float_of(bits)), sign | wanted);
}

/* Every midpoint and every value, and the floats beside them; every exponent; and any bits. */
static void check_narrowings(const format *f)
{
    for (unsigned code = 0; code <= f->most; code++) {
        const double above = code < f->most ? value_of(f, code + 1) : 1.1 * value_of(f, code);
        const uint32_t around[2] = {dist_bits_of((float)value_of(f, code)),
                                    dist_bits_of((float)((value_of(f, code) + above) / 2))};
        for (uint32_t i = 0; i < 12; i++)
            check_narrowing(f, (around[i % 2] + i / 4 - (around[i % 2] > 0)) ^ (i / 2 % 2) << 31);
    }
    for (uint32_t high = 0; high < 0x10000; high++) {
        const uint32_t bits = high << 16 | (random_bits(high) & 0xffffu);
        if ((high & 0x7fff) < 0x7f80)
            check_narrowing(f, bits);
    }
    for (uint32_t i = 0; i < 100000; i++) /* exponents from 2^-16 to 2^15 */
        check_narrowing(f, (random_bits(i) & 0x8fffffffu) + (111u << 23));
    check_narrowing(f, 0x7f800000u);
    check_narrowing(f, 0xff800000u);
    check_narrowing(f, 0x80000000u);
}

static void e4m3_narrows(void **state)
{
    (void)state;
    check_narrowings(&e4m3);
    assert_int_equal(dist_e4m3_from_float(dist_float_of(0x7f800001u)), DIST_E4M3_NAN);
    assert_int_equal(dist_e4m3_from_float(dist_float_of(0xffffffffu)), DIST_E4M3_NAN);
    assert_true(dist_e4m3_to_float(0x7e) == DIST_E4M3_MAX);
}

static void e2m1_narrows(void **state)
{
    (void)state;
    check_narrowings(&e2m1);
    assert_int_equal(dist_e2m1_from_float(dist_float_of(0x7f800001u)), 0);
    assert_int_equal(dist_e2m1_from_float(dist_float_of(0xffffffffu)), 0);
    assert_true(dist_e2m1_to_float(7) == DIST_E2M1_MAX);
}

static void check_codes(const format *f)
{
    const unsigned sign = 1u << (f->exponents + f->fraction);
    for (unsigned code = 0; code < 2 * sign; code++) {
        const float value = f->widen((uint8_t)code);
        if ((code & (sign - 1)) > f->most) {
            assert_int_equal(dist_bits_of(value), DIST_NAN_BITS);
            continue;
        }
        assert_int_equal(dist_bits_of(value) >> 31, (code & sign) != 0);
        assert_true(fabs((double)value) == value_of(f, code & (sign - 1)));
        assert_int_equal(f->narrow(value), code);
    }
}

static void every_code_returns(void **state)
{
    (void)state;
    check_codes(&e4m3);
    check_codes(&e2m1);
}

static void e8m0_is_a_power_of_two(void **state)
{
    (void)state;
    for (int e = 0; e < 255; e++) {
        assert_true((double)dist_e8m0_to_float((uint8_t)e) == ldexp(1, e - 127));
        assert_true((double)dist_e8m0_reciprocal((uint8_t)e) == ldexp(1, 127 - e));
    }
    assert_int_equal(dist_bits_of(dist_e8m0_to_float(255)), DIST_NAN_BITS);
    assert_int_equal(dist_bits_of(dist_e8m0_reciprocal(255)), DIST_NAN_BITS);
}

static void check_e8m0(const format *f, uint8_t most, uint32_t peak)
{
    const float inverse = 1.0f / f->widen((uint8_t)f->most);
    const volatile float y = dist_float_of(peak) * inverse;
    int wanted = 0;
    while (wanted < most && ldexp(1, wanted - 127) < (double)y)
        wanted++;
    const uint8_t e = dist_e8m0_from_peak(peak, inverse, most);
    assert_int_equal(e, wanted);

    /* The element of the peak: finite, and within half of its format's widest step unless clamped at `most`. */
    const float h = dist_float_of(peak), scale = dist_e8m0_to_float(e);
    const float decoded = dist_mul(f->widen(f->narrow(dist_mul(h, dist_e8m0_reciprocal(e)))), scale);
    const double step = value_of(f, f->most) - value_of(f, f->most - 1);
    assert_true(dist_is_finite(decoded));
    if ((double)y <= ldexp(1, most - 127))
        assert_true(fabs((double)h - (double)decoded) <= step / 2 * (double)scale);
    else
        assert_true((double)decoded == value_of(f, f->most) * (double)scale);
}

static void e8m0_covers_the_peak(void **state)
{
    (void)state;
    static const uint32_t edges[] = {0, 1, 0x3fffff, 0x400000, 0x400001, 0x600000, 0x600001, 0x7fffff};
    for (uint32_t i = 0; i < 254 * 40; i++) {
        const uint32_t fraction = i % 40 < 8 ? edges[i % 40] : random_bits(i) >> 9;
        const uint32_t peak = i / 40 << 23 | fraction;
        check_e8m0(&e4m3, DIST_MXFP8_MOST, peak);
        check_e8m0(&e2m1, DIST_MXFP4_MOST, peak);
    }
    check_e8m0(&e4m3, DIST_MXFP8_MOST, dist_bits_of(FLT_MAX));
    check_e8m0(&e2m1, DIST_MXFP4_MOST, dist_bits_of(FLT_MAX));
    assert_int_equal(dist_e8m0_from_peak(0x7f800000u, 1.0f / 448, DIST_MXFP8_MOST), 255);
    assert_int_equal(dist_e8m0_from_peak(0x7fc00000u, 1.0f / 6, DIST_MXFP4_MOST), 255);
}

/* Every code times every scale up to `most` is finite and exact, and `most` is the last such. */
static void check_most(const format *f, unsigned most)
{
    for (unsigned e = 0; e <= most; e++)
        for (unsigned code = 0; code <= f->most; code++) {
            const float product = dist_mul(f->widen((uint8_t)code), dist_e8m0_to_float((uint8_t)e));
            assert_true(dist_is_finite(product));
            assert_true((double)product == ldexp(value_of(f, code), (int)e - 127));
        }
    const float beyond = dist_e8m0_to_float((uint8_t)(most + 1));
    assert_false(dist_is_finite(dist_mul(f->widen((uint8_t)f->most), beyond)));
}

static void no_finite_block_overflows(void **state)
{
    (void)state;
    check_most(&e4m3, DIST_MXFP8_MOST);
    check_most(&e2m1, DIST_MXFP4_MOST);
}

/* A block whose peak is `peak` in a frame whose peak is `frame`; h is one of its elements. */
static void check_nvfp4(uint32_t frame, uint32_t peak, float h)
{
    const float global = dist_nvfp4_global(frame);
    assert_true(global <= DIST_NVFP4_GLOBAL_MAX);
    const uint8_t scale = dist_nvfp4_scale(peak, global);
    assert_true(scale <= 0x7e);
    const float s = dist_nvfp4_block_scale(scale, global);
    assert_true(dist_is_finite(dist_mul(DIST_E2M1_MAX, s)));
    const float decoded = dist_mul(dist_e2m1_to_float(dist_e2m1_from_float(dist_div(h, dist_divisor(s)))), s);
    assert_true(fabs((double)decoded) <= 6.0 * (double)s * (1 + 0x1p-23)); /* finite, not NaN */
    if (s == 0.0f)
        assert_true(decoded == 0.0f);
    if (scale >= 8 && global >= FLT_MIN) /* half the step from 4 to 6, where the scale is not subnormal */
        assert_true(fabs((double)h - (double)decoded) <= 1.0001 * (double)s);
}

static void nvfp4_stays_finite(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 400000; i++) {
        const uint32_t frame = i < 100000 ? 0x7f7fffffu - i % 1000 : random_bits(i) % 0x7f800000u;
        const uint32_t lower = random_bits(i + 500000) % (i % 2 ? 28u << 23 : 2u << 23);
        const uint32_t peak = i % 5 == 0 || lower > frame ? frame : frame - lower;
        const float h = dist_float_of(random_bits(i + 1000000) % (peak + 1)) * (i % 3 ? 1.0f : -1.0f);
        check_nvfp4(frame, peak, h);
        check_nvfp4(frame, peak, dist_float_of(peak));
    }
    static const uint32_t edges[] = {0, 1, 2, 0x7fffff, 0x800000, 0x800001, 0x7f7fffff};
    for (unsigned a = 0; a < 7; a++)
        for (unsigned b = 0; b <= a; b++)
            for (unsigned c = 0; c <= b; c++)
                check_nvfp4(edges[a], edges[b], dist_float_of(edges[c]));
}

static void nvfp4_edges(void **state)
{
    (void)state;
    const uint32_t most = dist_bits_of(FLT_MAX), infinity = 0x7f800000u;
    assert_true(dist_nvfp4_global(most) == DIST_NVFP4_GLOBAL_MAX);
    const float beyond = dist_float_of(dist_bits_of(DIST_NVFP4_GLOBAL_MAX) + 1);
    assert_false(dist_is_finite(dist_mul(DIST_E2M1_MAX, dist_nvfp4_block_scale(0x7e, beyond))));
    assert_int_equal(dist_nvfp4_scale(most, DIST_NVFP4_GLOBAL_MAX), 0x7e);
    assert_int_equal(dist_nvfp4_scale(most, 1.0f), 0x7e); /* saturates */
    assert_int_equal(dist_nvfp4_scale(dist_bits_of(6.0f), 1.0f), dist_e4m3_from_float(1.0f));
    assert_int_equal(dist_nvfp4_scale(dist_bits_of(6.0f), 0.0f), 0);
    assert_int_equal(dist_nvfp4_scale(0, 1.0f), 0);
    assert_int_equal(dist_nvfp4_scale(infinity, 1.0f), DIST_E4M3_NAN);
    assert_int_equal(dist_bits_of(dist_nvfp4_global(0)), 0);
    assert_int_equal(dist_bits_of(dist_nvfp4_global(infinity)), DIST_NAN_BITS);
    assert_int_equal(dist_nvfp4_scale(dist_bits_of(1.0f), dist_nvfp4_global(infinity)), DIST_E4M3_NAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(e4m3_narrows),         cmocka_unit_test(e2m1_narrows),
        cmocka_unit_test(every_code_returns),   cmocka_unit_test(e8m0_is_a_power_of_two),
        cmocka_unit_test(e8m0_covers_the_peak), cmocka_unit_test(no_finite_block_overflows),
        cmocka_unit_test(nvfp4_stays_finite),   cmocka_unit_test(nvfp4_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
