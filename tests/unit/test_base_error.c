#define _POSIX_C_SOURCE 200809L

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/error.h"

static void a_failure_leaves_its_sentence(void **state)
{
    (void)state;
    assert_string_equal(dist_last_error(), "");
    assert_int_equal(dist_fail(DIST_ERR_CONFIG, "rank %d of %s", 3, "seven"), DIST_ERR_CONFIG);
    assert_string_equal(dist_last_error(), "rank 3 of seven");
    assert_int_equal(dist_fail(DIST_ERR_IO, "next"), DIST_ERR_IO);
    assert_string_equal(dist_last_error(), "next");
}

static void a_sentence_may_quote_the_one_before(void **state)
{
    (void)state;
    dist_fail(DIST_ERR_IO, "no such file");
    dist_fail(DIST_ERR_CONFIG, "site file: %s", dist_last_error());
    assert_string_equal(dist_last_error(), "site file: no such file");
}

static void a_long_sentence_is_cut(void **state)
{
    (void)state;
    char text[2 * DIST_ERROR_MAX];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    dist_fail(DIST_ERR_IO, "%s", text);
    assert_int_equal(strlen(dist_last_error()), DIST_ERROR_MAX - 1);
}

static dist_status pass_on(dist_status status, int *after)
{
    DIST_TRY(status);
    *after = 1;
    return DIST_OK;
}

static void try_returns_errors_only(void **state)
{
    (void)state;
    int after = 0;
    assert_int_equal(pass_on(DIST_ERR_TIMEOUT, &after), DIST_ERR_TIMEOUT);
    assert_int_equal(after, 0);
    assert_int_equal(pass_on(DIST_IN_PROGRESS, &after), DIST_OK);
    assert_int_equal(after, 1);
}

static void *fail_elsewhere(void *seen)
{
    *(size_t *)seen = strlen(dist_last_error());
    dist_fail(DIST_ERR_IO, "of the other thread");
    return NULL;
}

static void each_thread_has_its_own_sentence(void **state)
{
    (void)state;
    dist_fail(DIST_ERR_IO, "of this thread");
    size_t seen = 1;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, &seen), 0);
    pthread_join(thread, NULL);
    assert_int_equal(seen, 0);
    assert_string_equal(dist_last_error(), "of this thread");
}

static void statuses_have_names_and_texts(void **state)
{
    (void)state;
    assert_string_equal(dist_status_name(DIST_OK), "DIST_OK");
    assert_string_equal(dist_status_name(DIST_ERR_TIMEOUT), "DIST_ERR_TIMEOUT");
    assert_string_equal(dist_status_text(DIST_ERR_TIMEOUT), "deadline passed");
    assert_string_equal(dist_status_name((dist_status)-99), "unknown status");
    assert_string_equal(dist_status_text((dist_status)99), "unknown status");
}

static void released_statuses_keep_their_numbers(void **state)
{
    (void)state;
    assert_int_equal(DIST_OK, 0);
    assert_int_equal(DIST_IN_PROGRESS, 1);
    assert_int_equal(DIST_ERR_ARGUMENT, -1);
    assert_int_equal(DIST_ERR_PLAN, -12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_leaves_its_sentence),
        cmocka_unit_test(a_sentence_may_quote_the_one_before),
        cmocka_unit_test(a_long_sentence_is_cut),
        cmocka_unit_test(try_returns_errors_only),
        cmocka_unit_test(each_thread_has_its_own_sentence),
        cmocka_unit_test(statuses_have_names_and_texts),
        cmocka_unit_test(released_statuses_keep_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
