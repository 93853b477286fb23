#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/memory.h"

static void memory_is_aligned_and_zeroed(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 1000003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int round = 0; round < 2; round++) { /* the second time on memory that was written to */
            unsigned char *memory = dist_alloc_zeroed(sizes[i]);
            assert_non_null(memory);
            assert_int_equal((uintptr_t)memory % DIST_ALIGNMENT, 0);
            for (size_t byte = 0; byte < sizes[i]; byte++)
                assert_int_equal(memory[byte], 0);
            memset(memory, 0xff, sizes[i]);
            dist_free_zeroed(memory);
        }
    }
    dist_free_zeroed(NULL);
}

static void a_size_that_overflows_is_refused(void **state)
{
    (void)state;
    assert_null(dist_alloc_zeroed(SIZE_MAX));
    assert_null(dist_alloc_zeroed(SIZE_MAX - DIST_ALIGNMENT + 1));
}

static void grow_keeps_what_is_there(void **state)
{
    (void)state;
    int *array = NULL;
    size_t capacity = 0;
    for (size_t n = 0; n < 1000; n++) {
        size_t before = capacity;
        assert_true(dist_grow(&array, &capacity, n + 1, sizeof *array));
        assert_true(capacity > n);
        assert_true(capacity == before || capacity >= 2 * before);
        array[n] = (int)n;
    }
    for (int n = 0; n < 1000; n++)
        assert_int_equal(array[n], n);
    free(array);
}

static void grow_does_nothing_when_there_is_room(void **state)
{
    (void)state;
    int *array = NULL;
    size_t capacity = 0;
    assert_true(dist_grow(&array, &capacity, 5, sizeof *array));
    int *before = array;
    size_t room = capacity;
    assert_true(dist_grow(&array, &capacity, room, sizeof *array));
    assert_ptr_equal(array, before);
    assert_int_equal(capacity, room);
    free(array);
}

static void grow_that_fails_changes_nothing(void **state)
{
    (void)state;
    int *array = NULL;
    size_t capacity = 0;
    assert_true(dist_grow(&array, &capacity, 3, sizeof *array));
    int *before = array;
    size_t room = capacity;
    assert_false(dist_grow(&array, &capacity, SIZE_MAX / 2, sizeof *array));
    assert_false(dist_grow(&array, &capacity, SIZE_MAX, sizeof *array));
    assert_ptr_equal(array, before);
    assert_int_equal(capacity, room);
    free(array);
}

static void deadlines_stay_in_range(void **state)
{
    (void)state;
    int64_t now = dist_now();
    assert_true(dist_deadline(0) >= now);
    assert_true(dist_deadline(1000) - now >= INT64_C(1000) * 1000000000);
    assert_true(dist_deadline(1e300) > dist_deadline(1e8)); /* no overflow */
    assert_true(dist_now() >= now);
    assert_true(dist_seconds(1500000000) == 1.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_and_zeroed),
        cmocka_unit_test(a_size_that_overflows_is_refused),
        cmocka_unit_test(grow_keeps_what_is_there),
        cmocka_unit_test(grow_does_nothing_when_there_is_room),
        cmocka_unit_test(grow_that_fails_changes_nothing),
        cmocka_unit_test(deadlines_stay_in_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
