/* Which gradients go into which bucket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "parallel/buckets.h"

static dist_parameter floats(size_t count)
{
    return (dist_parameter){"p", NULL, count, DIST_FLOAT32, 0};
}

/* No two gradients of a bucket overlap, each begins at a cache line, and buckets are in reverse order of registration. */
static void check(const dist_parameter *parameter, const dist_placement *place, size_t n, size_t buckets)
{
    for (size_t i = 0; i < n; i++) {
        assert_true(place[i].bucket < buckets);
        assert_int_equal(place[i].offset % 64, 0);
        if (i > 0)
            assert_true(place[i - 1].bucket >= place[i].bucket);
        for (size_t j = 0; j < i; j++) {
            uint64_t a = place[i].offset, b = place[j].offset;
            uint64_t m = parameter[i].count * dist_type_bytes(parameter[i].type);
            uint64_t k = parameter[j].count * dist_type_bytes(parameter[j].type);
            if (place[i].bucket == place[j].bucket) {
                assert_true(a + m <= b || b + k <= a || m == 0 || k == 0);
                assert_int_equal(parameter[i].type, parameter[j].type);
            }
        }
    }
}

static void test_first_and_last_are_small(void **state)
{
    (void)state;
    dist_parameter parameter[20];
    dist_placement place[20];
    for (size_t i = 0; i < 20; i++)
        parameter[i] = floats(1000); /* 4000 bytes, 4032 with padding */
    size_t buckets = dist_buckets_place(parameter, 20, 9000, 30000, place);
    check(parameter, place, 20, buckets);
    assert_int_equal(place[19].bucket, 0);
    assert_int_equal(place[18].bucket, 0);
    assert_int_equal(place[17].bucket, 1); /* two fit into 9000 bytes */
    assert_int_equal(place[11].bucket, 1);
    assert_int_equal(place[10].bucket, 2); /* seven into 30000 */
    assert_int_equal(place[0].bucket, buckets - 1);
    assert_int_equal(place[1].bucket, buckets - 1);
    assert_int_equal(place[2].bucket, buckets - 2); /* the last is as small as the first */
}

static void test_large_types_and_zeros(void **state)
{
    (void)state;
    dist_parameter parameter[] = {
        floats(10), floats(100000), floats(0), {"h", NULL, 50, DIST_FLOAT64, 0}, floats(7)};
    dist_placement place[5];
    size_t buckets = dist_buckets_place(parameter, 5, 1000, 5000, place);
    check(parameter, place, 5, buckets);
    assert_true(place[4].bucket != place[3].bucket && place[3].bucket != place[2].bucket); /* types apart */
    assert_true(place[1].bucket != place[0].bucket); /* larger than a bucket: alone */
    assert_int_equal(dist_buckets_place(parameter, 0, 1000, 5000, place), 0);
    assert_int_equal(dist_buckets_place(parameter, 1, 1000, 5000, place), 1);
}

static void test_random(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 500; round++) {
        dist_parameter parameter[40];
        dist_placement place[40];
        size_t n = (size_t)(rand() % 40);
        for (size_t i = 0; i < n; i++)
            parameter[i] = (dist_parameter){"p", NULL, (size_t)(rand() % 3000),
                                            rand() % 5 ? DIST_FLOAT32 : (dist_type)(rand() % DIST_TYPES), 0};
        uint64_t bytes = 1 + (uint64_t)(rand() % 20000), first = 1 + (uint64_t)rand() % bytes;
        check(parameter, place, n, dist_buckets_place(parameter, n, first, bytes, place));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_and_last_are_small),
        cmocka_unit_test(test_large_types_and_zeros),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
