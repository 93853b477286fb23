/* What the tests under mpirun use of cmocka, for a machine with a GPU and no cmocka: run.sh puts this folder into the include path
 * where there is no other. A test that fails jumps back to the group, as with cmocka. */
#ifndef DIST_TESTS_GPU_CMOCKA_H
#define DIST_TESTS_GPU_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*test)(void **state);
};

#define cmocka_unit_test(function)                                                                           \
    {                                                                                                        \
#function, function                                                                                  \
    }

enum { CMOCKA_RUNS, CMOCKA_FAILED, CMOCKA_SKIPPED };
static jmp_buf cmocka_back;

static inline void cmocka_end(int how)
{
    longjmp(cmocka_back, how);
}

static inline void cmocka_assert(int holds, const char *what, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
    cmocka_end(CMOCKA_FAILED);
}

#define assert_true(c)     cmocka_assert((c) ? 1 : 0, #c, __FILE__, __LINE__)
#define assert_false(c)    assert_true(!(c))
#define assert_null(p)     assert_true((p) == NULL)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_int_equal(a, b)                                                                               \
    cmocka_assert((long long)(a) == (long long)(b), #a " == " #b, __FILE__, __LINE__)
#define assert_memory_equal(a, b, n)                                                                         \
    cmocka_assert(memcmp(a, b, n) == 0, "bytes of " #a " and " #b, __FILE__, __LINE__)
#define print_message(...) printf(__VA_ARGS__)
#define print_error(...)   fprintf(stderr, __VA_ARGS__)
#define skip()             cmocka_end(CMOCKA_SKIPPED)
#define fail()             cmocka_assert(0, "this", __FILE__, __LINE__)
#define fail_msg(...)      (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), fail())

static inline int cmocka_run(const struct CMUnitTest *test)
{
    void *state = NULL;
    const int how = setjmp(cmocka_back);
    if (how == CMOCKA_RUNS)
        test->test(&state);
    printf("%s %s\n",
           how == CMOCKA_RUNS      ? "passed "
           : how == CMOCKA_SKIPPED ? "skipped"
                                   : "FAILED ",
           test->name);
    return how == CMOCKA_FAILED;
}

static inline int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                                          int (*set_up)(void **), int (*tear_down)(void **))
{
    int failed = 0;
    (void)group;
    (void)set_up;
    (void)tear_down;
    for (size_t i = 0; i < count; i++)
        failed += cmocka_run(&tests[i]);
    return failed;
}

#endif
