#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fenv.h>
#include <math.h>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "device/device.h"
#include "device/host_loops.h"

static const dist_device_ops *const host = &dist_device_host;

/* ---- Values by hand ---- */

/* One element each: dst op src must give `expected`, bit for bit. Averages add as sums do. */
#define EXPECT(type, element, reduction, dst, src, expected)                                                 \
    do {                                                                                                     \
        element one = dst;                                                                                   \
        const element other = src, result = expected;                                                        \
        host->reduce(type, reduction, &one, &other, 1);                                                      \
        assert_memory_equal(&one, &result, sizeof one);                                                      \
        if ((reduction) == DIST_SUM) {                                                                       \
            one = dst;                                                                                       \
            host->reduce(type, DIST_AVERAGE, &one, &other, 1);                                               \
            assert_memory_equal(&one, &result, sizeof one);                                                  \
        }                                                                                                    \
    } while (0)

#define EXPECT_DIVIDED(type, element, value, divisor, expected)                                              \
    do {                                                                                                     \
        element one = value;                                                                                 \
        const element result = expected;                                                                     \
        host->divide(type, &one, 1, divisor);                                                                \
        assert_memory_equal(&one, &result, sizeof one);                                                      \
    } while (0)

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void float32_is_ieee(void **state)
{
    (void)state;
    EXPECT(DIST_FLOAT32, float, DIST_SUM, 1.5f, 2.25f, 3.75f);
    EXPECT(DIST_FLOAT32, float, DIST_SUM, 1.0f, 0x1p-24f, 1.0f); /* a tie goes to even */
    EXPECT(DIST_FLOAT32, float, DIST_SUM, float_of(1), float_of(2), float_of(3));
    EXPECT(DIST_FLOAT32, float, DIST_SUM, 3e38f, 3e38f, INFINITY);
    EXPECT(DIST_FLOAT32, float, DIST_MIN, 2.0f, -3.0f, -3.0f);
    EXPECT(DIST_FLOAT32, float, DIST_MIN, -3.0f, 2.0f, -3.0f);
    EXPECT(DIST_FLOAT32, float, DIST_MAX, 2.0f, -3.0f, 2.0f);
    EXPECT(DIST_FLOAT32, float, DIST_MAX, -INFINITY, -3.0f, -3.0f);
    EXPECT(DIST_FLOAT32, float, DIST_MIN, 0.0f, -0.0f, 0.0f);
    EXPECT(DIST_FLOAT32, float, DIST_MAX, -0.0f, 0.0f, -0.0f);
    EXPECT_DIVIDED(DIST_FLOAT32, float, 1.0f, 3, float_of(0x3eaaaaab));
    EXPECT_DIVIDED(DIST_FLOAT32, float, float_of(3), 2, float_of(2));
    EXPECT_DIVIDED(DIST_FLOAT32, float, -INFINITY, 7, -INFINITY);
}

static void float64_is_ieee(void **state)
{
    (void)state;
    EXPECT(DIST_FLOAT64, double, DIST_SUM, 1.0, 0x1p-52, 1.0 + 0x1p-52);
    EXPECT(DIST_FLOAT64, double, DIST_SUM, double_of(1), double_of(2), double_of(3));
    EXPECT(DIST_FLOAT64, double, DIST_MIN, 1.0 + 0x1p-52, 1.0, 1.0);
    EXPECT(DIST_FLOAT64, double, DIST_MAX, 1.0, 1.0 + 0x1p-52, 1.0 + 0x1p-52);
    EXPECT(DIST_FLOAT64, double, DIST_MAX, -0.0, 0.0, -0.0);
    EXPECT_DIVIDED(DIST_FLOAT64, double, 1.0, 3, double_of(UINT64_C(0x3fd5555555555555)));
    EXPECT_DIVIDED(DIST_FLOAT64, double, 1.0, INT32_MAX, 1.0 / 2147483647.0);
}

static void float16_is_rounded_each_time(void **state)
{
    (void)state;
    EXPECT(DIST_FLOAT16, uint16_t, DIST_SUM, 0x3c00, 0x3c00, 0x4000);
    EXPECT(DIST_FLOAT16, uint16_t, DIST_SUM, 0x3c00, 0x1000, 0x3c00); /* ties go to even */
    EXPECT(DIST_FLOAT16, uint16_t, DIST_SUM, 0x3c01, 0x1000, 0x3c02);
    EXPECT(DIST_FLOAT16, uint16_t, DIST_SUM, 0x0001, 0x0001, 0x0002);
    EXPECT(DIST_FLOAT16, uint16_t, DIST_SUM, 0x7bff, 0x7bff, 0x7c00);
    EXPECT(DIST_FLOAT16, uint16_t, DIST_MIN, 0x3c00, 0xbc00, 0xbc00);
    EXPECT(DIST_FLOAT16, uint16_t, DIST_MIN, 0x8001, 0x8002, 0x8002);
    EXPECT(DIST_FLOAT16, uint16_t, DIST_MAX, 0xbc00, 0x3c00, 0x3c00);
    EXPECT(DIST_FLOAT16, uint16_t, DIST_MAX, 0x8000, 0x0000, 0x8000);
    EXPECT_DIVIDED(DIST_FLOAT16, uint16_t, 0x3c00, 3, 0x3555);
    EXPECT_DIVIDED(DIST_FLOAT16, uint16_t, 0x0003, 2, 0x0002);
}

static void bfloat16_is_rounded_each_time(void **state)
{
    (void)state;
    EXPECT(DIST_BFLOAT16, uint16_t, DIST_SUM, 0x3f80, 0x3f80, 0x4000);
    EXPECT(DIST_BFLOAT16, uint16_t, DIST_SUM, 0x3f80, 0x3b80, 0x3f80); /* ties go to even */
    EXPECT(DIST_BFLOAT16, uint16_t, DIST_SUM, 0x3f81, 0x3b80, 0x3f82);
    EXPECT(DIST_BFLOAT16, uint16_t, DIST_SUM, 0x0001, 0x0001, 0x0002);
    EXPECT(DIST_BFLOAT16, uint16_t, DIST_SUM, 0x7f7f, 0x7f7f, 0x7f80);
    EXPECT(DIST_BFLOAT16, uint16_t, DIST_MIN, 0x3f80, 0xbf80, 0xbf80);
    EXPECT(DIST_BFLOAT16, uint16_t, DIST_MAX, 0xbf80, 0x3f80, 0x3f80);
    EXPECT(DIST_BFLOAT16, uint16_t, DIST_MAX, 0x8000, 0x0000, 0x8000);
    EXPECT_DIVIDED(DIST_BFLOAT16, uint16_t, 0x3f80, 3, 0x3eab);
}

static void integers_wrap_and_truncate(void **state)
{
    (void)state;
    EXPECT(DIST_INT32, int32_t, DIST_SUM, INT32_MAX, 1, INT32_MIN);
    EXPECT(DIST_INT32, int32_t, DIST_SUM, INT32_MIN, -1, INT32_MAX);
    EXPECT(DIST_INT32, int32_t, DIST_MIN, 3, -4, -4);
    EXPECT(DIST_INT32, int32_t, DIST_MAX, 3, -4, 3);
    EXPECT(DIST_INT64, int64_t, DIST_SUM, INT64_MAX, 1, INT64_MIN);
    EXPECT(DIST_INT64, int64_t, DIST_SUM, INT64_C(1) << 40, 5, (INT64_C(1) << 40) + 5);
    EXPECT(DIST_INT64, int64_t, DIST_MIN, INT64_MAX, INT64_MIN, INT64_MIN);
    EXPECT(DIST_INT64, int64_t, DIST_MAX, INT64_MIN, INT64_C(1) << 32, INT64_C(1) << 32);
    EXPECT_DIVIDED(DIST_INT32, int32_t, 7, 2, 3);
    EXPECT_DIVIDED(DIST_INT32, int32_t, -7, 2, -3);
    EXPECT_DIVIDED(DIST_INT32, int32_t, INT32_MIN, 1, INT32_MIN);
    EXPECT_DIVIDED(DIST_INT64, int64_t, -7, 2, -3);
    EXPECT_DIVIDED(DIST_INT64, int64_t, INT64_MAX, 1, INT64_MAX);
    EXPECT_DIVIDED(DIST_INT64, int64_t, INT64_MIN, INT32_MAX, INT64_MIN / INT32_MAX);
}

#define EXPECT_NAN(type, element, some, other, nan)                                                          \
    do {                                                                                                     \
        for (int r = 0; r < DIST_REDUCTIONS; r++) {                                                          \
            EXPECT(type, element, (dist_reduction)r, some, other, nan);                                      \
            EXPECT(type, element, (dist_reduction)r, other, some, nan);                                      \
            EXPECT(type, element, (dist_reduction)r, some, some, nan);                                       \
        }                                                                                                    \
        EXPECT_DIVIDED(type, element, some, 3, nan);                                                         \
    } while (0)

/* A negative one with a payload, and one that signals, with each kind of partner. */
static void a_nan_gives_the_one_nan(void **state)
{
    (void)state;
    const uint32_t nan32 = 0x7fc00000;
    EXPECT_NAN(DIST_FLOAT32, uint32_t, 0xffc12345, 0x3f800000, nan32);
    EXPECT_NAN(DIST_FLOAT32, uint32_t, 0x7f800001, 0xff800000, nan32);
    EXPECT_NAN(DIST_FLOAT32, uint32_t, 0xffc12345, 0x7fe00001, nan32);
    EXPECT(DIST_FLOAT32, uint32_t, DIST_SUM, 0x7f800000, 0xff800000, nan32); /* infinity less infinity */
    const uint64_t nan64 = UINT64_C(0x7ff8000000000000);
    EXPECT_NAN(DIST_FLOAT64, uint64_t, UINT64_C(0xfff8000000012345), UINT64_C(0x3ff0000000000000), nan64);
    EXPECT_NAN(DIST_FLOAT64, uint64_t, UINT64_C(0x7ff0000000000001), UINT64_C(0xfff0000000000000), nan64);
    EXPECT_NAN(DIST_FLOAT16, uint16_t, 0xfe01, 0x3c00, 0x7e00);
    EXPECT_NAN(DIST_FLOAT16, uint16_t, 0x7c01, 0xfc00, 0x7e00);
    EXPECT_NAN(DIST_BFLOAT16, uint16_t, 0xffc1, 0x3f80, 0x7fc0);
    EXPECT_NAN(DIST_BFLOAT16, uint16_t, 0x7f81, 0xff80, 0x7fc0);
}

static void copies_bytes(void **state)
{
    (void)state;
    char to[8] = "-------";
    host->copy(to + 1, "abcdef", 5);
    assert_string_equal(to, "-abcde-");
    host->copy(NULL, NULL, 0);
    for (int type = 0; type < DIST_TYPES; type++) {
        host->reduce((dist_type)type, DIST_SUM, NULL, NULL, 0);
        host->divide((dist_type)type, NULL, 0, 3);
    }
    assert_string_equal(host->name, "host");
}

/* ---- The program's float mode ---- */

static void the_rounding_mode_does_not_matter(void **state)
{
    (void)state;
    assert_int_equal(fesetround(FE_UPWARD), 0);
    float to[33], from[33];
    uint16_t half[33];
    for (int i = 0; i < 33; i++) {
        to[i] = 1.0f;
        from[i] = 0x1p-30f;
        half[i] = 0x3c00;
    }
    host->reduce(DIST_FLOAT32, DIST_SUM, to, from, 33);
    host->divide(DIST_FLOAT16, half, 33, 3);
    const int after = fegetround();
    fesetround(FE_TONEAREST);
    assert_int_equal(after, FE_UPWARD); /* and is the program's again */
    for (int i = 0; i < 33; i++) {
        assert_true(to[i] == 1.0f);
        assert_int_equal(half[i], 0x3555);
    }
}

static void subnormals_survive_a_program_that_flushes_them(void **state)
{
    (void)state;
#if defined(__SSE__)
    uint32_t to[33], from[33];
    uint16_t brain[33];
    for (int i = 0; i < 33; i++) {
        to[i] = from[i] = 1;
        brain[i] = 6;
    }
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u); /* flush to zero, and take subnormals for zero */
    host->reduce(DIST_FLOAT32, DIST_SUM, to, from, 33);
    host->divide(DIST_BFLOAT16, brain, 33, 2);
    const unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    assert_int_equal(after & 0x8040u, 0x8040u);
    for (int i = 0; i < 33; i++) {
        assert_int_equal(to[i], 2);
        assert_int_equal(brain[i], 3);
    }
#else
    skip();
#endif
}

/* ---- Every instruction set against the scalar loops ---- */

#define MOST 4096

static uint64_t random_state = 88172645463325252u;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(2685821657736338717);
}

/* Fills with bits of which every third is special: zeros, subnormals, infinities, NaNs, extremes, near ties.
 */
static void fill(void *data, size_t bytes, size_t element)
{
    static const uint64_t special[4][12] = {
        {0, 0x8000, 1, 0x8001, 0x03ff, 0x7c00, 0xfc00, 0x7c01, 0xfe00, 0x7bff, 0x3c00, 0x1000},
        {0, 0x8000, 1, 0x8001, 0x007f, 0x7f80, 0xff80, 0x7f81, 0xffc0, 0x7f7f, 0x3f80, 0x3b80},
        {0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x7f800000, 0xff800000, 0x7f800001, 0xffc00000, 0x7f7fffff,
         0x3f800000, 0x7fffffff},
        {0, UINT64_C(1) << 63, 1, (UINT64_C(1) << 63) + 1, UINT64_C(0x000fffffffffffff),
         UINT64_C(0x7ff0000000000000), UINT64_C(0xfff0000000000000), UINT64_C(0x7ff0000000000001),
         UINT64_C(0xfff8000000000000), UINT64_C(0x7fefffffffffffff), UINT64_C(0x3ff0000000000000),
         UINT64_C(0x7fffffffffffffff)},
    };
    for (size_t at = 0; at < bytes; at += element) {
        uint64_t bits = random_bits(), choice = random_bits();
        if (choice % 3 == 0)
            bits = special[element == 2 ? choice >> 60 & 1 : element == 4 ? 2 : 3][(choice >> 8) % 12];
        memcpy((char *)data + at, &bits, element); /* the low bytes: little-endian, as all vector code here */
    }
}

static const dist_host_loops *path(int number)
{
    return number == 0 ? dist_host_avx2() : number == 1 ? dist_host_avx512() : NULL;
}

static uint64_t expected[MOST / 8 + 8], actual[MOST / 8 + 8], source[MOST / 8 + 8];

/* `count` elements from element `offset` on; all beyond must be left alone. */
static void compare_reduce(const dist_host_loops *loops, int type, int reduction, size_t offset, size_t count)
{
    const size_t element = dist_type_bytes((dist_type)type), start = offset * element;
    fill(expected, sizeof expected, element);
    fill(source, sizeof source, element);
    memcpy(actual, expected, sizeof actual);
    dist_host_scalar.reduce[type][reduction]((char *)expected + start, (char *)source + start, count);
    loops->reduce[type][reduction]((char *)actual + start, (char *)source + start, count);
    if (memcmp(actual, expected, sizeof actual) != 0)
        fail_msg("%s %s of %zu at %zu differs", dist_type_name((dist_type)type),
                 dist_reduction_name((dist_reduction)reduction), count, offset);
}

static void compare_divide(const dist_host_loops *loops, int type, size_t offset, size_t count, int divisor)
{
    const size_t element = dist_type_bytes((dist_type)type), start = offset * element;
    fill(expected, sizeof expected, element);
    memcpy(actual, expected, sizeof actual);
    dist_host_scalar.divide[type]((char *)expected + start, count, divisor);
    loops->divide[type]((char *)actual + start, count, divisor);
    if (memcmp(actual, expected, sizeof actual) != 0)
        fail_msg("%s of %zu at %zu divided by %d differs", dist_type_name((dist_type)type), count, offset,
                 divisor);
}

static void every_path_gives_the_scalar_bits(void **state)
{
    (void)state;
    static const int divisors[] = {1, 2, 3, 7, 64, 1000003, INT32_MAX};
    for (int p = 0; p < 2; p++) {
        if (!path(p))
            continue;
        for (int type = 0; type < DIST_TYPES; type++) {
            const size_t most = MOST / dist_type_bytes((dist_type)type);
            for (int reduction = 0; reduction < DIST_REDUCTIONS; reduction++) {
                for (int round = 0; round < 40; round++)
                    compare_reduce(path(p), type, reduction, 0, most);
            }
            for (size_t d = 0; d < sizeof divisors / sizeof *divisors; d++) {
                for (int round = 0; round < 20; round++)
                    compare_divide(path(p), type, 0, most, divisors[d]);
            }
        }
    }
}

static void every_length_and_offset_is_whole(void **state)
{
    (void)state;
    for (int p = 0; p < 2; p++) {
        if (!path(p))
            continue;
        for (int type = 0; type < DIST_TYPES; type++) {
            for (size_t count = 0; count <= 70; count++) {
                for (int reduction = 0; reduction < DIST_REDUCTIONS; reduction++)
                    compare_reduce(path(p), type, reduction, count % 5, count);
                compare_divide(path(p), type, count % 5, count, 3);
            }
        }
    }
}

/* All float16 and all bfloat16 values, against random partners. */
static void every_half_is_right(void **state)
{
    (void)state;
    static uint16_t wanted[65536], got[65536], with[65536];
    for (int p = 0; p < 2; p++) {
        if (!path(p))
            continue;
        for (int type = DIST_FLOAT16; type <= DIST_BFLOAT16; type++) {
            for (int reduction = 0; reduction < DIST_REDUCTIONS; reduction++) {
                for (unsigned i = 0; i < 65536; i++)
                    wanted[i] = got[i] = (uint16_t)i;
                fill(with, sizeof with, 2);
                dist_host_scalar.reduce[type][reduction](wanted, with, 65536);
                path(p)->reduce[type][reduction](got, with, 65536);
                assert_memory_equal(got, wanted, sizeof got);
            }
        }
    }
}

/* The public table takes one of the paths, for each type and reduction the right one. */
static void the_table_gives_the_scalar_bits(void **state)
{
    (void)state;
    const dist_host_loops loops = dist_host_scalar;
    for (int type = 0; type < DIST_TYPES; type++) {
        const size_t element = dist_type_bytes((dist_type)type), count = MOST / element;
        for (int reduction = 0; reduction < DIST_REDUCTIONS; reduction++) {
            fill(expected, MOST, element);
            fill(source, MOST, element);
            memcpy(actual, expected, MOST);
            loops.reduce[type][reduction](expected, source, count);
            host->reduce((dist_type)type, (dist_reduction)reduction, actual, source, count);
            assert_memory_equal(actual, expected, MOST);
        }
        memcpy(actual, expected, MOST);
        loops.divide[type](expected, count, 5);
        host->divide((dist_type)type, actual, count, 5);
        assert_memory_equal(actual, expected, MOST);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_is_ieee),
        cmocka_unit_test(float64_is_ieee),
        cmocka_unit_test(float16_is_rounded_each_time),
        cmocka_unit_test(bfloat16_is_rounded_each_time),
        cmocka_unit_test(integers_wrap_and_truncate),
        cmocka_unit_test(a_nan_gives_the_one_nan),
        cmocka_unit_test(copies_bytes),
        cmocka_unit_test(the_rounding_mode_does_not_matter),
        cmocka_unit_test(subnormals_survive_a_program_that_flushes_them),
        cmocka_unit_test(every_path_gives_the_scalar_bits),
        cmocka_unit_test(every_length_and_offset_is_whole),
        cmocka_unit_test(every_half_is_right),
        cmocka_unit_test(the_table_gives_the_scalar_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
