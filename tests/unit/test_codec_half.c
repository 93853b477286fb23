/* float16 and bfloat16 against rounding done in double, which holds every quotient here exactly. */
#include "codec_data.h"

#include "kernels/half.h"

typedef struct shape {
    int fraction;  /* bits after the point */
    int least;     /* exponent of the least normal */
    double beyond; /* from here on it rounds to infinity */
} shape;

static const shape half = {10, -14, 65520.0};
static const shape bfloat = {7, -126, 0x1.ffp127};

static double power_of_two(int exponent)
{
    const uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

static int exponent_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (int)(bits >> 52 & 0x7ff) - 1023;
}

/* The value that `magnitude` (finite, >= 0) has in the format; -1 for infinity. */
static double nearest(shape format, double magnitude)
{
    if (magnitude >= format.beyond)
        return -1;
    const int exponent = exponent_of(magnitude) > format.least ? exponent_of(magnitude) : format.least;
    const double unit = power_of_two(exponent - format.fraction);
    volatile double shifted = magnitude / unit + 0x1p52; /* to an integer, ties to even */
    return (shifted - 0x1p52) * unit;
}

/* The value of the pattern by the definition of the format. */
static double value_of(shape format, uint32_t pattern)
{
    const uint32_t exponent = (pattern & 0x7fff) >> format.fraction;
    const double fraction =
        (double)(pattern & ((1u << format.fraction) - 1)) * power_of_two(-format.fraction);
    if (exponent == 0)
        return fraction * power_of_two(format.least);
    return (1.0 + fraction) * power_of_two((int)exponent - 1 + format.least);
}

static bool is_special(shape format, uint32_t pattern)
{
    const uint32_t exponents = 0x7fffu >> format.fraction;
    return (pattern & 0x7fff) >> format.fraction == exponents;
}

static void check_narrowing(shape format, uint16_t (*narrow)(float), uint16_t nan, uint32_t bits)
{
    const uint32_t magnitude = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
    const uint16_t found = narrow(float_of(bits));
    if (magnitude > 0x7f800000u) {
        assert_int_equal(found, nan);
        return;
    }
    assert_int_equal(found & 0x8000u, sign);
    const double wanted = magnitude == 0x7f800000u ? -1 : nearest(format, (double)float_of(magnitude));
    if (wanted < 0) {
        assert_int_equal(found & 0x7fffu, 0x7fffu >> format.fraction << format.fraction);
    } else {
        assert_false(is_special(format, found));
        assert_true(value_of(format, found) == wanted);
    }
}

static void check_all_narrowings(shape format, uint16_t (*narrow)(float), uint16_t nan)
{
    static const uint32_t low[] = {0,      1,      0xfff,  0x1000, 0x1001, 0x1fff,
                                   0x2000, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff};
    for (uint32_t high = 0; high < 0x10000; high++)
        for (unsigned l = 0; l < sizeof low / sizeof *low; l++)
            check_narrowing(format, narrow, nan, high << 16 | low[l]);
    stream draw = {7};
    for (int i = 0; i < 1000000; i++)
        check_narrowing(format, narrow, nan, draw_bits(&draw));
}

static void half_narrows(void **state)
{
    (void)state;
    check_all_narrowings(half, dist_half_from_float, 0x7e00);
}

static void bfloat_narrows(void **state)
{
    (void)state;
    check_all_narrowings(bfloat, dist_bfloat_from_float, 0x7fc0);
}

/* Every midpoint between neighbours, and the floats on both sides of it. */
static void half_ties_go_to_even(void **state)
{
    (void)state;
    for (uint32_t pattern = 0; pattern < 0x7bff; pattern++) {
        const float middle = (float)((value_of(half, pattern) + value_of(half, pattern + 1)) / 2);
        assert_int_equal(dist_half_from_float(middle), pattern + (pattern & 1));
        assert_int_equal(dist_half_from_float(float_of(bits_of(middle) - 1)), pattern);
        assert_int_equal(dist_half_from_float(float_of(bits_of(middle) + 1)), pattern + 1);
        assert_int_equal(dist_half_from_float(-middle), 0x8000u | (pattern + (pattern & 1)));
    }
    assert_int_equal(dist_half_from_float(65519.996f), 0x7bff);
    assert_int_equal(dist_half_from_float(65520.0f), 0x7c00);
}

static void check_widening(shape format, float (*widen)(uint16_t), bool quiets)
{
    for (uint32_t pattern = 0; pattern < 0x10000; pattern++) {
        const uint32_t bits = bits_of(widen((uint16_t)pattern));
        assert_int_equal(bits >> 31, pattern >> 15);
        if (is_special(format, pattern)) {
            const uint32_t fraction = pattern & ((1u << format.fraction) - 1);
            const uint32_t quiet = quiets && fraction ? 0x400000u : 0;
            assert_int_equal(bits & 0x7fffffffu, 0x7f800000u | fraction << (23 - format.fraction) | quiet);
        } else {
            assert_true((double)float_of(bits & 0x7fffffffu) == value_of(format, pattern));
        }
    }
}

static void half_widens(void **state)
{
    (void)state;
    check_widening(half, dist_half_to_float, true);
}

static void bfloat_widens(void **state)
{
    (void)state;
    check_widening(bfloat, dist_bfloat_to_float, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_narrows),         cmocka_unit_test(bfloat_narrows),
        cmocka_unit_test(half_ties_go_to_even), cmocka_unit_test(half_widens),
        cmocka_unit_test(bfloat_widens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
