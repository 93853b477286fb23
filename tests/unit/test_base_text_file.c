/* Files as a whole: what is refused instead of waited for, and that a file is replaced or left alone. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "base/text_file.h"

static char folder[] = "/tmp/dist_text_file_XXXXXX";
static char path[64], other[64];

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(folder);
}

static int entries(void)
{
    int n = -2; /* . and .. */
    DIR *d = opendir(folder);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void expect_text(const char *name, const char *wanted)
{
    char *text;
    size_t bytes;
    assert_int_equal(dist_text_file_load(name, "the file", 1000, &text, &bytes), DIST_OK);
    assert_int_equal(bytes, strlen(wanted));
    assert_string_equal(text, wanted);
    free(text);
}

static void refuse_load(const char *name, size_t most, const char *word)
{
    char *text;
    size_t bytes;
    assert_int_equal(dist_text_file_load(name, "the file (THAT)", most, &text, &bytes), DIST_ERR_CONFIG);
    assert_null(text);
    assert_non_null(strstr(dist_last_error(), "the file (THAT)"));
    assert_non_null(strstr(dist_last_error(), name));
    if (!strstr(dist_last_error(), word))
        fail_msg("'%s' should say '%s'", dist_last_error(), word);
}

static void test_load(void **state)
{
    (void)state;
    refuse_load(path, 10, "No such file");
    refuse_load(folder, 10, "not a file");
    refuse_load("/dev/null", 10, "not a file");
    assert_int_equal(mkfifo(path, 0600), 0);
    refuse_load(path, 10, "not a file"); /* and nobody waits for a writer */
    unlink(path);
    assert_int_equal(dist_text_file_replace(path, "the file", "12345", 5), DIST_OK);
    expect_text(path, "12345");
    refuse_load(path, 4, "5 bytes");
    unlink(path);
}

static void test_replace(void **state)
{
    (void)state;
    assert_int_equal(dist_text_file_replace(path, "the file", "", 0), DIST_OK);
    expect_text(path, "");
    assert_int_equal(dist_text_file_replace(path, "the file", "one\n", 4), DIST_OK);
    expect_text(path, "one\n");
    assert_int_equal(symlink(path, other), 0);
    assert_int_equal(dist_text_file_replace(other, "the file", "two\n", 4), DIST_OK);
    expect_text(path, "two\n"); /* where the link leads */
    assert_int_equal(entries(), 2);
    unlink(other);
    unlink(path);
}

static void refuse_replace(const char *name, const char *word)
{
    assert_int_equal(dist_text_file_replace(name, "the file", "new", 3), DIST_ERR_IO);
    assert_non_null(strstr(dist_last_error(), name));
    if (!strstr(dist_last_error(), word))
        fail_msg("'%s' should say '%s'", dist_last_error(), word);
}

static void test_what_cannot_be_replaced(void **state)
{
    (void)state;
    struct stat about;
    char below[80], deep[200];
    refuse_replace(folder, "not a file");
    refuse_replace("/dev/null", "not a file");
    assert_true(stat("/dev/null", &about) == 0 && S_ISCHR(about.st_mode));
    refuse_replace("/nowhere/at/all", "No such file");
    assert_int_equal(dist_text_file_replace(path, "the file", "old", 3), DIST_OK);
    snprintf(below, sizeof below, "%s/below", path);
    refuse_replace(below, "Not a directory");
    snprintf(deep, sizeof deep, "%s/", folder);
    refuse_replace(deep, "not a file");
    if (access("/dev/full", W_OK) == 0)
        refuse_replace("/dev/full", "not a file");
    expect_text(path, "old");
    assert_int_equal(entries(), 1);
    unlink(path);
}

/* A place without room: the file stays what it was, and nothing is left beside it. */
static void test_no_room(void **state)
{
    (void)state;
    const size_t bytes = 100000;
    char *text = malloc(bytes);
    struct rlimit before, limit;
    memset(text, 'x', bytes);
    assert_int_equal(dist_text_file_replace(path, "the file", "old", 3), DIST_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const dist_status status = dist_text_file_replace(path, "the file", text, bytes);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, DIST_ERR_IO);
    expect_text(path, "old");
    assert_int_equal(entries(), 1);
    free(text);
    unlink(path);
}

static void test_numbers(void **state)
{
    (void)state;
    char text[32];
    dist_number_text(text, sizeof text, 0.01503);
    assert_string_equal(text, "0.01503");
    dist_number_text(text, sizeof text, 23810000);
    assert_string_equal(text, "23810000");
    assert_true(dist_strtod(text, NULL) == 23810000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_what_cannot_be_replaced),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
