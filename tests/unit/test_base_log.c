#define _POSIX_C_SOURCE 200809L /* open_memstream */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

/* What one call of dist_log_write writes; free it. */
static char *logged(dist_log_level allowed, int rank, dist_log_level level, const char *text)
{
    char *written = NULL;
    size_t size = 0;
    dist_log log = {allowed, open_memstream(&written, &size), rank};
    assert_non_null(log.file);
    dist_log_write(&log, level, "%s", text);
    size_t flushed = size;
    fclose(log.file);
    assert_int_equal(flushed, size); /* a line must not be lost when the process dies */
    return written;
}

static void expect(dist_log_level allowed, int rank, dist_log_level level, const char *text, const char *line)
{
    char *written = logged(allowed, rank, level, text);
    assert_string_equal(written, line);
    free(written);
}

static void a_line_names_rank_and_level(void **state)
{
    (void)state;
    expect(DIST_LOG_DEBUG, 3, DIST_LOG_WARN, "slow link", "libdist rank 3 warn: slow link\n");
    expect(DIST_LOG_DEBUG, 0, DIST_LOG_ERROR, "lost", "libdist rank 0 error: lost\n");
    expect(DIST_LOG_DEBUG, 12, DIST_LOG_INFO, "up", "libdist rank 12 info: up\n");
    expect(DIST_LOG_DEBUG, 1, DIST_LOG_INFO, "", "libdist rank 1 info: \n");
    expect(DIST_LOG_DEBUG, -1, DIST_LOG_DEBUG, "early", "libdist debug: early\n");
}

static void only_levels_asked_for_are_written(void **state)
{
    (void)state;
    for (int allowed = DIST_LOG_NONE; allowed <= DIST_LOG_DEBUG; allowed++) {
        for (int level = DIST_LOG_ERROR; level <= DIST_LOG_DEBUG; level++) {
            char *written = logged((dist_log_level)allowed, 0, (dist_log_level)level, "text");
            assert_int_equal(*written != '\0', level <= allowed);
            free(written);
        }
    }
    expect(DIST_LOG_DEBUG, 0, DIST_LOG_NONE, "text", "");
}

static void without_a_log_nothing_happens(void **state)
{
    (void)state;
    dist_log_write(NULL, DIST_LOG_ERROR, "text");
    const dist_log log = {DIST_LOG_DEBUG, NULL, 0};
    dist_log_write(&log, DIST_LOG_ERROR, "text");
}

/* The longest line that fits is whole; one character more and it is cut, still one line. */
static void a_long_line_is_cut_and_says_so(void **state)
{
    (void)state;
    char text[4000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    char *line = logged(DIST_LOG_DEBUG, 0, DIST_LOG_ERROR, text);
    size_t length = strlen(line);
    assert_true(length > 1024 && length < sizeof text);
    assert_string_equal(line + length - 5, "x...\n");
    free(line);

    size_t prefix = strlen("libdist rank 0 error: "), fits = length - 1 - prefix;
    for (size_t more = 1; more < 5; more++) {
        text[fits + more] = '\0';
        line = logged(DIST_LOG_DEBUG, 0, DIST_LOG_ERROR, text);
        assert_int_equal(strlen(line), length);
        assert_string_equal(line + length - 5, "x...\n");
        free(line);
        text[fits + more] = 'x';
    }
    text[fits] = '\0';
    line = logged(DIST_LOG_DEBUG, 0, DIST_LOG_ERROR, text);
    assert_int_equal(strlen(line), length);
    assert_string_equal(line + length - 5, "xxxx\n");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_names_rank_and_level),
        cmocka_unit_test(only_levels_asked_for_are_written),
        cmocka_unit_test(without_a_log_nothing_happens),
        cmocka_unit_test(a_long_line_is_cut_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
