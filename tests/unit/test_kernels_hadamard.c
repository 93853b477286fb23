/* The Hadamard rotation, its signs, the centroids and the 16-way sums against their definitions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/hadamard.h"

enum { LEAST = DIST_HADAMARD_LEAST, MOST = DIST_HADAMARD_MOST };

static const double centroids[8] = {.1284, .3880, .6568, .9423, 1.2562, 1.6180, 2.0690, 2.7326};

static const dist_random_key random_key = {{21, 22}, {23, 24}};

/* Normal, from two uniform values. */
static float normal(uint64_t i)
{
    const double u = ((double)dist_random_at(random_key, 2 * i) + 0.5) * 0x1p-32;
    const double turn = (double)dist_random_at(random_key, 2 * i + 1) * 0x1p-32;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * turn));
}

static void fill_normal(float *x, unsigned d, uint64_t first)
{
    for (unsigned i = 0; i < d; i++)
        x[i] = normal(first + i);
}

static unsigned parity(unsigned bits)
{
    unsigned odd = 0;
    for (; bits; bits &= bits - 1)
        odd ^= 1;
    return odd;
}

/* Integers, so that every sum is exact: y[i] is the sum of (-1)^popcount(i & j) x[j]; twice gives d x. */
static void transform_is_the_matrix(void **state)
{
    (void)state;
    static float x[MOST], y[MOST];
    for (unsigned d = LEAST; d <= MOST; d *= 2) {
        for (unsigned i = 0; i < d; i++)
            y[i] = x[i] = (float)((int)(dist_random_at(random_key, i) % 201) - 100);
        dist_hadamard(y, d);
        for (unsigned i = 0; i < d; i += d < 1024 ? 1 : 13) {
            int sum = 0;
            for (unsigned j = 0; j < d; j++)
                sum += parity(i & j) ? -(int)x[j] : (int)x[j];
            assert_true(y[i] == (float)sum);
        }
        dist_hadamard(y, d);
        for (unsigned i = 0; i < d; i++)
            assert_true(y[i] == (float)d * x[i]);
    }
}

/* Stride 1 first, written as halves transformed and then combined. */
static void by_halves(float *x, unsigned d)
{
    if (d == 1)
        return;
    by_halves(x, d / 2);
    by_halves(x + d / 2, d / 2);
    for (unsigned i = 0; i < d / 2; i++) {
        const volatile float sum = x[i] + x[i + d / 2], difference = x[i] - x[i + d / 2];
        x[i] = sum;
        x[i + d / 2] = difference;
    }
}

/* The largest stride first. */
static void by_pairs(float *x, unsigned d)
{
    for (unsigned stride = d / 2; stride > 0; stride /= 2)
        for (unsigned i = 0; i < d; i++)
            if (!(i & stride)) {
                const volatile float sum = x[i] + x[i + stride], difference = x[i] - x[i + stride];
                x[i] = sum;
                x[i + stride] = difference;
            }
}

/* The bits are those of the stages in order; another order rounds otherwise, so the test sees the order. */
static void transform_has_one_order(void **state)
{
    (void)state;
    static float x[MOST], halves[MOST], pairs[MOST];
    for (unsigned d = LEAST; d <= MOST; d *= 2) {
        fill_normal(x, d, d);
        memcpy(halves, x, d * sizeof *x);
        memcpy(pairs, x, d * sizeof *x);
        dist_hadamard(x, d);
        by_halves(halves, d);
        by_pairs(pairs, d);
        assert_memory_equal(x, halves, d * sizeof *x);
        assert_memory_not_equal(x, pairs, d * sizeof *x);
    }
}

static void factor_is_nearest(void **state)
{
    (void)state;
    for (unsigned d = 1; d <= MOST; d *= 2)
        assert_true(dist_hadamard_factor(d) == (float)(1 / sqrt((double)d)));
}

static void signs_are_fair(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 50; seed++) {
        unsigned set = 0, same = 0;
        for (uint32_t word = 0; word < MOST / 32; word++) {
            const uint32_t signs = dist_hadamard_signs(seed, word);
            const uint32_t others = signs ^ dist_hadamard_signs(seed + 1, word);
            for (unsigned i = 0; i < 32; i++) {
                set += signs >> i & 1;
                same += others >> i & 1;
            }
        }
        assert_in_range(set, MOST / 2 - 160, MOST / 2 + 160); /* 5 sigma of 4096 coins */
        assert_in_range(same, MOST / 2 - 160, MOST / 2 + 160);
    }
}

/* Decoders of other versions must draw the same signs. */
static void signs_are_philox(void **state)
{
    (void)state;
    for (uint32_t word = 0; word < MOST / 32; word++) {
        const uint32_t key[2] = {0xdeadbeef, 0x48414441}, counter[4] = {word / 4, 0, 0, 0};
        uint32_t out[4];
        dist_philox4x32(counter, key, out);
        assert_int_equal(dist_hadamard_signs(0xdeadbeef, word), out[word % 4]);
    }
}

static void centroids_are_signed(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 16; code++) {
        const double wanted = code & 8 ? -centroids[code & 7] : centroids[code & 7];
        assert_true(dist_centroid(code) == (float)wanted);
    }
}

static double density(double x)
{
    return exp(-x * x / 2) * 0.3989422804014327;
}

/* Each centroid is the mean of a normal variable between its two midpoints, to the four digits given. */
static void centroids_are_lloyd_max(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        const double from = i ? (centroids[i - 1] + centroids[i]) / 2 : 0;
        const double to = i < 7 ? (centroids[i] + centroids[i + 1]) / 2 : 40;
        const double mass = (erf(to / sqrt(2)) - erf(from / sqrt(2))) / 2;
        assert_true(fabs((density(from) - density(to)) / mass - centroids[i]) < 2e-4);
    }
}

static void index_is_nearest(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 400000; k++) {
        const float magnitude = (float)k * 1e-5f;
        double least = 10;
        for (unsigned i = 0; i < 8; i++)
            least = fmin(least, fabs((double)magnitude - centroids[i]));
        const unsigned index = dist_centroid_index(magnitude);
        assert_true(fabs((double)magnitude - centroids[index]) <= least + 1e-6);
    }
    const float thresholds[7] = {DIST_CENTROID_THRESHOLDS};
    for (unsigned i = 0; i < 7; i++) {
        assert_true(thresholds[i] == (float)((centroids[i] + centroids[i + 1]) / 2));
        assert_int_equal(dist_centroid_index(thresholds[i]), i + 1);
        assert_int_equal(dist_centroid_index(dist_float_of(dist_bits_of(thresholds[i]) - 1)), i);
    }
    assert_int_equal(dist_centroid_index(dist_float_of(0x7f800000u)), 7);
}

/* Over 2^16 evenly spaced draws the mean is v to the spacing; each code is a neighbour of v. */
static void stochastic_codes_have_no_bias(void **state)
{
    (void)state;
    for (int n = -110; n <= 110; n++) {
        const float v = (float)n * 0.0248f; /* to 2.728 */
        double sum = 0, low = 10, high = -10;
        for (uint32_t k = 0; k < 0x10000; k++) {
            const double found = (double)dist_centroid(dist_centroid_code_stochastic(v, k << 16));
            sum += found;
            low = fmin(low, found);
            high = fmax(high, found);
        }
        assert_true(fabs(sum / 0x10000 - (double)v) <= 0.67 * 0x1p-16 + 1e-9);
        assert_true(low <= (double)v && (double)v <= high && high - low < 0.67);
        assert_true(dist_centroid_index(fabsf((float)low)) <= dist_centroid_index(fabsf((float)high)) + 1 &&
                    dist_centroid_index(fabsf((float)high)) <= dist_centroid_index(fabsf((float)low)) + 1);
    }
}

static void stochastic_codes_by_philox(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    static const float values[] = {0.0f, -0.0f, 0.05f, -0.1f, 0.3f, -0.7f, 1.1f, -1.9f, 2.5f, -2.7f};
    for (unsigned n = 0; n < sizeof values / sizeof *values; n++) {
        double sum = 0, squares = 0;
        for (uint64_t i = 0; i < DRAWS; i++) {
            const uint32_t r = dist_random_at(random_key, n * (uint64_t)DRAWS + i);
            const double found = (double)dist_centroid(dist_centroid_code_stochastic(values[n], r));
            sum += found;
            squares += found * found;
        }
        const double mean = sum / DRAWS, sigma = sqrt((squares / DRAWS - mean * mean) / DRAWS);
        assert_true(sigma > 0);
        assert_true(fabs(mean - (double)values[n]) <= 5 * sigma);
    }
}

static void centroids_stay(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        const uint32_t r = i == 0 ? 0 : i == 1 ? 0xffffffffu : dist_random_at(random_key, i);
        for (unsigned code = 0; code < 16; code++)
            assert_int_equal(dist_centroid_code_stochastic(dist_centroid(code), r), code);
        assert_int_equal(dist_centroid_code_stochastic(2.8f, r), 7);
        assert_int_equal(dist_centroid_code_stochastic(-1e30f, r), 15);
        assert_int_equal(dist_centroid_index_stochastic(1.7f, r) / 2,
                         dist_centroid_code_stochastic(-1.7f, r) / 2 - 4);
        assert_true(dist_centroid_index_stochastic(0.1f, r) % 8 == 0);
    }
}

/* As two vectors of 8 would: their sum, then its halves. */
static float dot_by_eights(const float *a, const float *b, unsigned d)
{
    volatile float low[8] = {0}, high[8] = {0};
    for (unsigned i = 0; i < d; i += 16)
        for (unsigned j = 0; j < 8; j++) {
            const volatile float first = a[i + j] * b[i + j], second = a[i + 8 + j] * b[i + 8 + j];
            low[j] += first;
            high[j] += second;
        }
    for (unsigned j = 0; j < 8; j++)
        low[j] += high[j];
    const volatile float q0 = low[0] + low[4], q1 = low[1] + low[5], q2 = low[2] + low[6],
                         q3 = low[3] + low[7];
    const volatile float even = q0 + q2, odd = q1 + q3;
    return even + odd;
}

static void sums_have_one_order(void **state)
{
    (void)state;
    static float a[MOST], b[MOST];
    bool seen = false; /* the plain order gives other bits somewhere */
    for (unsigned d = LEAST; d <= MOST; d *= 2) {
        fill_normal(a, d, 2 * d);
        fill_normal(b, d, 5 * MOST + d);
        assert_int_equal(dist_bits_of(dist_dot16(a, b, d)), dist_bits_of(dot_by_eights(a, b, d)));
        assert_int_equal(dist_bits_of(dist_sum_squares16(a, d)), dist_bits_of(dot_by_eights(a, a, d)));
        volatile float plain = 0;
        double exact = 0;
        for (unsigned i = 0; i < d; i++) {
            plain += a[i] * a[i];
            exact += (double)a[i] * (double)a[i];
        }
        seen |= plain != dist_sum_squares16(a, d);
        assert_true(fabs((double)dist_sum_squares16(a, d) - exact) < 1e-5 * exact);
    }
    assert_true(seen);
    const float zeros[16] = {0}, negative[16] = {-1.0f};
    assert_int_equal(dist_bits_of(dist_dot16(zeros, negative, 16)), 0); /* sums start at +0 */
}

static void flip(float *x, unsigned d, uint32_t seed)
{
    for (unsigned i = 0; i < d; i++)
        if (dist_hadamard_signs(seed, i / 32) >> i % 32 & 1)
            x[i] = -x[i];
}

/* x -> what a decoder makes of its codes, as the header of hadamard.h says. */
static void encode_and_decode(float *x, unsigned d, uint32_t seed)
{
    static float c[MOST];
    flip(x, d, seed);
    dist_hadamard(x, d);
    const float squares = dist_sum_squares16(x, d), by = sqrtf((float)d / squares);
    for (unsigned i = 0; i < d; i++)
        c[i] = dist_centroid(dist_centroid_index(fabsf(x[i]) * by) | (x[i] < 0 ? 8u : 0u));
    const float scale = squares / dist_dot16(c, x, d);
    const float factor = dist_hadamard_factor(d);
    for (unsigned i = 0; i < d; i++)
        x[i] = c[i] * scale;
    dist_hadamard(x, d);
    for (unsigned i = 0; i < d; i++)
        x[i] = x[i] * factor * factor;
    flip(x, d, seed);
}

/* The error of one encoding of normal and of heavy-tailed data, and that it averages out over seeds. */
static void rotation_is_accurate_and_unbiased(void **state)
{
    (void)state;
    enum { D = 1024, SEEDS = 200 };
    static float x[D], y[D];
    for (int heavy = 0; heavy < 2; heavy++) {
        static double mean[D];
        double norm = 0, error = 0, bias = 0;
        fill_normal(x, D, 77);
        for (unsigned i = 0; i < D; i++) {
            x[i] = heavy ? x[i] * x[i] * x[i] * (i % 64 ? 1.0f : 50.0f) : x[i];
            norm += (double)x[i] * (double)x[i];
            mean[i] = 0;
        }
        for (uint32_t seed = 0; seed < SEEDS; seed++) {
            memcpy(y, x, sizeof y);
            encode_and_decode(y, D, seed);
            for (unsigned i = 0; i < D; i++) {
                error += pow((double)y[i] - (double)x[i], 2);
                mean[i] += (double)y[i] / SEEDS;
            }
        }
        for (unsigned i = 0; i < D; i++)
            bias += pow(mean[i] - (double)x[i], 2);
        assert_true(error / norm / SEEDS > 7e-3 && error / norm / SEEDS < 10.5e-3);
        assert_true(bias / norm < 1.3 * 10e-3 / SEEDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transform_is_the_matrix),
        cmocka_unit_test(transform_has_one_order),
        cmocka_unit_test(factor_is_nearest),
        cmocka_unit_test(signs_are_fair),
        cmocka_unit_test(signs_are_philox),
        cmocka_unit_test(centroids_are_signed),
        cmocka_unit_test(centroids_are_lloyd_max),
        cmocka_unit_test(index_is_nearest),
        cmocka_unit_test(stochastic_codes_have_no_bias),
        cmocka_unit_test(stochastic_codes_by_philox),
        cmocka_unit_test(centroids_stay),
        cmocka_unit_test(sums_have_one_order),
        cmocka_unit_test(rotation_is_accurate_and_unbiased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
