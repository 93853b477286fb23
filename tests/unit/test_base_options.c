#define _POSIX_C_SOURCE 200809L /* mkstemp, setenv */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <locale.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/options.h"

static char config_path[] = "/tmp/dist_options_XXXXXX";
static char config_entry[64]; /* DIST_CONFIG=config_path */

static int make_config(void **state)
{
    (void)state;
    int file = mkstemp(config_path);
    snprintf(config_entry, sizeof config_entry, "DIST_CONFIG=%s", config_path);
    return file < 0 ? -1 : close(file);
}

static int remove_config(void **state)
{
    (void)state;
    return unlink(config_path);
}

static void write_config_bytes(const char *text, size_t length)
{
    FILE *file = fopen(config_path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void write_config(const char *text)
{
    write_config_bytes(text, strlen(text));
}

/* Begins from an environment of up to three entries. */
static dist_status begin_with(dist_options *options, char *first, char *second, char *third)
{
    char *environment[] = {first, second, third, NULL};
    return dist_options_begin(options, NULL, environment);
}

/* One environment entry that must be refused with a sentence that holds each part of `parts`. */
static void refused(char *entry, const char *const parts[3])
{
    dist_options options;
    assert_int_equal(begin_with(&options, entry, NULL, NULL), DIST_ERR_CONFIG);
    dist_options_end(&options);
    for (int i = 0; i < 3 && parts[i]; i++) {
        if (!strstr(dist_last_error(), parts[i]))
            fail_msg("'%s' lacks '%s'", dist_last_error(), parts[i]);
    }
}

static double number_of(char *entry, dist_option option)
{
    dist_options options;
    assert_int_equal(begin_with(&options, entry, NULL, NULL), DIST_OK);
    assert_int_equal(options.value[option].source, DIST_FROM_ENVIRONMENT);
    double number = dist_option_number(&options, option);
    dist_options_end(&options);
    return number;
}

static void defaults_are_all_there(void **state)
{
    (void)state;
    dist_options options;
    assert_int_equal(dist_options_begin(&options, NULL, NULL), DIST_OK);
    for (int i = 0; i < DIST_OPTIONS; i++) {
        assert_non_null(options.value[i].text);
        assert_int_equal(options.value[i].source, DIST_FROM_DEFAULT);
    }
    assert_string_equal(dist_option_text(&options, DIST_OPTION_CODEC), "none");
    assert_string_equal(dist_option_text(&options, DIST_OPTION_SITE), "");
    assert_true(dist_option_number(&options, DIST_OPTION_TIMEOUT) == 60);
    assert_true(dist_option_number(&options, DIST_OPTION_BUCKET) == 25 * 1024 * 1024);
    assert_true(dist_option_number(&options, DIST_OPTION_LOG) == 0);
    assert_string_equal(options.warnings, "");
    dist_options_end(&options);
}

static void nearer_sources_win(void **state)
{
    (void)state;
    write_config("DIST_ALGO = ring\nDIST_CODEC = bf16\nDIST_SITE = east\n");
    const char *api[DIST_OPTIONS] = {[DIST_OPTION_ALGO] = "hier"};
    char *environment[] = {config_entry, "DIST_ALGO=mpi", "DIST_CODEC=int8", "DIST_CODEC=int4", NULL};
    dist_options options;
    assert_int_equal(dist_options_begin(&options, api, environment), DIST_OK);
    assert_string_equal(dist_option_text(&options, DIST_OPTION_ALGO), "hier");
    assert_int_equal(options.value[DIST_OPTION_ALGO].source, DIST_FROM_API);
    assert_string_equal(dist_option_text(&options, DIST_OPTION_CODEC), "int8"); /* as getenv: the first */
    assert_int_equal(options.value[DIST_OPTION_CODEC].source, DIST_FROM_ENVIRONMENT);
    assert_string_equal(dist_option_text(&options, DIST_OPTION_SITE), "east");
    assert_int_equal(options.value[DIST_OPTION_SITE].source, DIST_FROM_FILE);
    assert_int_equal(options.value[DIST_OPTION_TIMEOUT].source, DIST_FROM_DEFAULT);
    assert_string_equal(dist_option_text(&options, DIST_OPTION_CONFIG), config_path);
    assert_int_equal(options.value[DIST_OPTION_CONFIG].source, DIST_FROM_ENVIRONMENT);
    assert_string_equal(options.warnings, "");
    dist_options_end(&options);
}

static void an_empty_text_says_nothing(void **state)
{
    (void)state;
    write_config("DIST_SITE = east\nDIST_TIMEOUT =\n");
    const char *api[DIST_OPTIONS] = {[DIST_OPTION_SITE] = "", [DIST_OPTION_CONFIG] = config_path};
    char *environment[] = {"DIST_SITE=", "DIST_TIMEOUT=", NULL};
    dist_options options;
    assert_int_equal(dist_options_begin(&options, api, environment), DIST_OK);
    assert_string_equal(dist_option_text(&options, DIST_OPTION_SITE), "east");
    assert_int_equal(options.value[DIST_OPTION_TIMEOUT].source, DIST_FROM_DEFAULT);
    assert_int_equal(options.value[DIST_OPTION_CONFIG].source, DIST_FROM_API);
    dist_options_end(&options);
}

static void the_program_names_the_file_first(void **state)
{
    (void)state;
    write_config("DIST_SITE=west");
    const char *api[DIST_OPTIONS] = {[DIST_OPTION_CONFIG] = config_path};
    char *environment[] = {"DIST_CONFIG=/nowhere/at/all", NULL};
    dist_options options;
    assert_int_equal(dist_options_begin(&options, api, environment), DIST_OK);
    assert_string_equal(dist_option_text(&options, DIST_OPTION_SITE), "west");
    dist_options_end(&options);
}

static void words_become_their_positions(void **state)
{
    (void)state;
    assert_true(number_of("DIST_LOG=debug", DIST_OPTION_LOG) == 4);
    assert_true(number_of("DIST_PROGRESS=inline", DIST_OPTION_PROGRESS) == 1);
    assert_true(number_of("DIST_SIMD=avx512", DIST_OPTION_SIMD) == 3);
    refused("DIST_LOG=loud", (const char *[3]){"DIST_LOG", "'loud' in the environment", "info or debug"});
    refused("DIST_PROGRESS=Thread", (const char *[3]){"DIST_PROGRESS", "'Thread'", "thread or inline"});
    refused("DIST_SIMD=sse", (const char *[3]){"DIST_SIMD", "'sse'", "avx2, avx512 or neon"});
}

static void seconds_are_positive_and_finite(void **state)
{
    (void)state;
    assert_true(number_of("DIST_TIMEOUT=0.25", DIST_OPTION_TIMEOUT) == 0.25);
    assert_true(number_of("DIST_TIMEOUT=1e+03", DIST_OPTION_TIMEOUT) == 1000);
    char *const wrong[] = {"0",   "-1",  "inf", "nan", "1e999", "0x10", "5s",
                           "1 0", "1,5", ".",   "e5",  "-0",    "1e",   "1.2.3"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char entry[64];
        snprintf(entry, sizeof entry, "DIST_TIMEOUT=%s", wrong[i]);
        refused(entry, (const char *[3]){"DIST_TIMEOUT is '", wrong[i], "positive number of seconds"});
    }
}

static void bytes_have_binary_suffixes(void **state)
{
    (void)state;
    assert_true(number_of("DIST_CHUNK=0", DIST_OPTION_CHUNK) == 0);
    assert_true(number_of("DIST_CHUNK=65537", DIST_OPTION_CHUNK) == 65537);
    assert_true(number_of("DIST_CHUNK=64K", DIST_OPTION_CHUNK) == 64 * 1024);
    assert_true(number_of("DIST_CHUNK=3m", DIST_OPTION_CHUNK) == 3 * 1024 * 1024);
    assert_true(number_of("DIST_CHUNK=2G", DIST_OPTION_CHUNK) == 2147483648.0);
    assert_true(number_of("DIST_CHUNK=1048576G", DIST_OPTION_CHUNK) == 0x1p50);
    assert_true(number_of("DIST_CHUNK=999999999999999", DIST_OPTION_CHUNK) == 999999999999999.0);
    char *const wrong[] = {
        "K", "-1", "+1", "1.5M", "1T", "1KB", "1K1", " 1", "0x10", "1048577G", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char entry[64];
        snprintf(entry, sizeof entry, "DIST_CHUNK=%s", wrong[i]);
        refused(entry, (const char *[3]){"DIST_CHUNK is '", wrong[i], "whole number of bytes"});
    }
}

/* Sets a locale whose decimal point is a comma, one that is installed or else one made for this test. */
static bool set_comma_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (setlocale(LC_ALL, names[i]))
            return true;
    }
    char folder[] = "/tmp/dist_locale_XXXXXX", command[256];
    if (!mkdtemp(folder))
        return false;
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", folder);
    setenv("LOCPATH", folder, 1);
    bool set = system(command) == 0 && setlocale(LC_ALL, "de_DE.UTF-8");
    unsetenv("LOCPATH");
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) == 0 && set;
}

/* The program's locale must not decide what 0.5 means, nor be changed. */
static void the_locale_does_not_matter(void **state)
{
    (void)state;
    if (!set_comma_locale())
        skip(); /* neither a locale nor localedef with its sources */
    assert_true(number_of("DIST_TIMEOUT=0.5", DIST_OPTION_TIMEOUT) == 0.5);
    assert_string_equal(localeconv()->decimal_point, ",");
    setlocale(LC_ALL, "C");
}

static void a_wrong_value_of_the_program_names_it(void **state)
{
    (void)state;
    const char *api[DIST_OPTIONS] = {[DIST_OPTION_PROGRESS] = "often"};
    dist_options options;
    assert_int_equal(dist_options_begin(&options, api, NULL), DIST_ERR_CONFIG);
    assert_non_null(strstr(dist_last_error(), "DIST_PROGRESS is 'often' in the program's options"));
    dist_options_end(&options);
}

static void files_have_comments_and_blanks(void **state)
{
    (void)state;
    write_config(
        "# all sites\n\n   \t\n  DIST_CODEC=int8   # between sites\r\n"
        "DIST_TRACE = /tmp/a#b c.json \nDIST_SITE = x#y # z\n#DIST_ALGO = nothing\nDIST_WINDOW\t=\t4M");
    dist_options options;
    assert_int_equal(begin_with(&options, config_entry, NULL, NULL), DIST_OK);
    assert_string_equal(dist_option_text(&options, DIST_OPTION_CODEC), "int8");
    assert_string_equal(dist_option_text(&options, DIST_OPTION_TRACE), "/tmp/a#b c.json");
    assert_string_equal(dist_option_text(&options, DIST_OPTION_SITE), "x#y");
    assert_string_equal(dist_option_text(&options, DIST_OPTION_ALGO), "auto");
    assert_true(dist_option_number(&options, DIST_OPTION_WINDOW) == 4 * 1024 * 1024);
    assert_string_equal(options.warnings, "");
    dist_options_end(&options);
}

/* The file must be refused with a sentence that begins with the file, `line` and holds `part`. */
static void config_refused(int line, const char *part)
{
    char where[64];
    snprintf(where, sizeof where, "%s:%d: ", config_path, line);
    dist_options options;
    assert_int_equal(begin_with(&options, config_entry, NULL, NULL), DIST_ERR_CONFIG);
    dist_options_end(&options);
    assert_int_equal(strncmp(dist_last_error(), where, strlen(where)), 0);
    assert_non_null(strstr(dist_last_error(), part));
}

static void wrong_lines_are_named(void **state)
{
    (void)state;
    write_config("# one\nDIST_CODEC int8\n");
    config_refused(2, "'DIST_CODEC int8' is not of the form NAME = value");
    write_config("= int8\n");
    config_refused(1, "is not of the form NAME = value");
    write_config("\n\nDIST_TIMEOUT = soon\n");
    config_refused(3, "DIST_TIMEOUT is 'soon', but it must be a positive number of seconds");
    write_config_bytes("DIST_SITE = a\nDIST_SITE = b\0c\n", 29);
    config_refused(2, "NUL");
}

static void a_wrong_line_is_found_even_when_overridden(void **state)
{
    (void)state;
    write_config("DIST_TIMEOUT = soon\n");
    dist_options options;
    assert_int_equal(begin_with(&options, config_entry, "DIST_TIMEOUT=5", NULL), DIST_ERR_CONFIG);
    dist_options_end(&options);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    refused("DIST_CONFIG=/nowhere/at/all", (const char *[3]){"'/nowhere/at/all'", "DIST_CONFIG", "No such"});
    refused("DIST_CONFIG=/tmp", (const char *[3]){"'/tmp'", "DIST_CONFIG", "directory"});
}

/* The one warning that this environment entry gives must be `line`. */
static void warned(char *entry, const char *line)
{
    dist_options options;
    assert_int_equal(begin_with(&options, entry, "PATH=/bin", "DISTANCE=3"), DIST_OK);
    assert_string_equal(options.warnings, line);
    dist_options_end(&options);
}

static void unknown_variables_are_warnings(void **state)
{
    (void)state;
    warned("DIST_COEDC=int8", "DIST_COEDC is not an option of libdist; did you mean DIST_CODEC?\n");
    warned("DIST_TIMOUT=3", "DIST_TIMOUT is not an option of libdist; did you mean DIST_TIMEOUT?\n");
    warned("DIST_Trace=3", "DIST_Trace is not an option of libdist; did you mean DIST_TRACE?\n");
    warned("DIST_SITEZ=a", "DIST_SITEZ is not an option of libdist; did you mean DIST_SITE?\n");
    warned("DIST_SITESS=a", "DIST_SITESS is not an option of libdist; did you mean DIST_SITES?\n");
    warned("DIST_LOGG=a", "DIST_LOGG is not an option of libdist; did you mean DIST_LOG?\n");
    warned("DIST_STIE=a", "DIST_STIE is not an option of libdist; did you mean DIST_SITE?\n");
    warned("DIST_TMOUT=a", "DIST_TMOUT is not an option of libdist; did you mean DIST_TIMEOUT?\n");
    warned("DIST_ablgoo=a", "DIST_ablgoo is not an option of libdist; did you mean DIST_ALGO?\n");
    warned("DIST_CONFG=a", "DIST_CONFG is not an option of libdist; did you mean DIST_CONFIG?\n");
    warned("DIST_FOO=a", "DIST_FOO is not an option of libdist\n");
    warned("DIST_=a", "DIST_ is not an option of libdist\n");
    warned("DIST_QUITE_ANOTHER_VARIABLE_OF_SOMEONE=a",
           "DIST_QUITE_ANOTHER_VARIABLE_OF_SOMEONE is not an option of libdist\n");
    warned("DIST_CODEC_MORE=a", "DIST_CODEC_MORE is not an option of libdist\n");
}

static void unknown_names_in_a_file_are_warnings(void **state)
{
    (void)state;
    write_config("codec = int8\ntimeout = 8\nDIST_CODEC = int8\nDIST_CODEC = int4\nDIST_CONFIG = x\n");
    dist_options options;
    assert_int_equal(begin_with(&options, config_entry, "DIST_ALGOO=x", NULL), DIST_OK);
    assert_string_equal(dist_option_text(&options, DIST_OPTION_CODEC), "int4");
    char expected[1024];
    snprintf(expected, sizeof expected,
             "%s:1: codec is not an option of libdist; did you mean DIST_CODEC?\n"
             "%s:2: timeout is not an option of libdist; did you mean DIST_TIMEOUT?\n"
             "%s:4: DIST_CODEC was set on line 3 already; the last line counts\n"
             "%s:5: DIST_CONFIG has no effect here: one configuration file cannot name another\n"
             "DIST_ALGOO is not an option of libdist; did you mean DIST_ALGO?\n",
             config_path, config_path, config_path, config_path);
    assert_string_equal(options.warnings, expected);
    dist_options_end(&options);
}

static void writing_shows_values_sources_and_warnings(void **state)
{
    (void)state;
    dist_options options;
    assert_int_equal(begin_with(&options, "DIST_CODEC=int8", "DIST_COEDC=x", NULL), DIST_OK);
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    dist_options_write(&options, file);
    fclose(file);
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, DIST_OPTIONS + 1);
    assert_non_null(strstr(text, "\nDIST_CODEC       int8             environment  between sites"));
    assert_non_null(strstr(text, "\nDIST_TIMEOUT     60               default      seconds after"));
    assert_non_null(strstr(text, "\nDIST_SITE        \"\"  "));
    assert_non_null(strstr(text, "\nDIST_COEDC is not an option"));
    free(text);
    dist_options_end(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_all_there),
        cmocka_unit_test(nearer_sources_win),
        cmocka_unit_test(an_empty_text_says_nothing),
        cmocka_unit_test(the_program_names_the_file_first),
        cmocka_unit_test(words_become_their_positions),
        cmocka_unit_test(seconds_are_positive_and_finite),
        cmocka_unit_test(bytes_have_binary_suffixes),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(a_wrong_value_of_the_program_names_it),
        cmocka_unit_test(files_have_comments_and_blanks),
        cmocka_unit_test(wrong_lines_are_named),
        cmocka_unit_test(a_wrong_line_is_found_even_when_overridden),
        cmocka_unit_test(a_file_that_cannot_be_read_is_an_error),
        cmocka_unit_test(unknown_variables_are_warnings),
        cmocka_unit_test(unknown_names_in_a_file_are_warnings),
        cmocka_unit_test(writing_shows_values_sources_and_warnings),
    };
    return cmocka_run_group_tests(tests, make_config, remove_config);
}
