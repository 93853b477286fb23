#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/type.h"

static void types_have_sizes_and_names(void **state)
{
    (void)state;
    static const struct {
        dist_type type;
        size_t bytes;
        const char *name;
    } expected[] = {
        {DIST_FLOAT32, 4, "float32"}, {DIST_FLOAT16, 2, "float16"}, {DIST_BFLOAT16, 2, "bfloat16"},
        {DIST_FLOAT64, 8, "float64"}, {DIST_INT32, 4, "int32"},     {DIST_INT64, 8, "int64"},
    };
    assert_int_equal(sizeof expected / sizeof *expected, DIST_TYPES);
    for (size_t i = 0; i < DIST_TYPES; i++) {
        assert_true(dist_type_valid(expected[i].type));
        assert_int_equal(dist_type_bytes(expected[i].type), expected[i].bytes);
        assert_string_equal(dist_type_name(expected[i].type), expected[i].name);
    }
}

static void reductions_have_names(void **state)
{
    (void)state;
    const char *const expected[] = {"sum", "average", "min", "max"};
    assert_int_equal(sizeof expected / sizeof *expected, DIST_REDUCTIONS);
    for (int i = 0; i < DIST_REDUCTIONS; i++) {
        assert_true(dist_reduction_valid((dist_reduction)i));
        assert_string_equal(dist_reduction_name((dist_reduction)i), expected[i]);
    }
}

static void other_numbers_are_unknown(void **state)
{
    (void)state;
    const int wrong[] = {-1, DIST_TYPES, 1000, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(dist_type_valid((dist_type)wrong[i]));
        assert_int_equal(dist_type_bytes((dist_type)wrong[i]), 0);
        assert_string_equal(dist_type_name((dist_type)wrong[i]), "unknown");
        assert_false(dist_reduction_valid((dist_reduction)wrong[i]));
        assert_string_equal(dist_reduction_name((dist_reduction)wrong[i]), "unknown");
    }
    assert_false(dist_reduction_valid(DIST_REDUCTIONS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_sizes_and_names),
        cmocka_unit_test(reductions_have_names),
        cmocka_unit_test(other_numbers_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
