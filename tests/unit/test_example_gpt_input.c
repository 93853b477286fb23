/* What examples/train_gpt is given: its command line and its text. And what it gives back: its report. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp, symlink */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data.h"
#include "options.h"
#include "report.h"

/* ---- Options ---- */

static bool parse(gpt_options *options, char *sentence, const char *line)
{
    static char words[256];
    char *argv[32] = {"train_gpt"};
    int argc = 1;
    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    sentence[0] = '\0';
    return gpt_options_parse(options, argc, argv, sentence, 256);
}

static void no_options_give_the_defaults(void **state)
{
    (void)state;
    gpt_options options;
    char sentence[256];
    assert_true(parse(&options, sentence, ""));
    assert_string_equal(options.data, GPT_DEFAULT_DATA);
    assert_int_equal(options.layers, 4);
    assert_int_equal(options.batch, 16);
    assert_int_equal(options.accumulate, 1);
    assert_null(options.codec);
    assert_false(options.untied);
    assert_false(options.help);
}

static void every_option_is_read(void **state)
{
    (void)state;
    gpt_options options;
    char sentence[256];
    assert_true(parse(&options, sentence,
                      "--data a.txt --layers 2 --heads=3 --width 48 --context 32 --batch 8 --accumulate 2 "
                      "--steps 5 --seed 0 --lr 3e-4 --warmup 0"));
    assert_string_equal(options.data, "a.txt");
    assert_int_equal(options.layers, 2);
    assert_int_equal(options.heads, 3);
    assert_int_equal(options.width, 48);
    assert_int_equal(options.context, 32);
    assert_int_equal(options.batch, 8);
    assert_int_equal(options.accumulate, 2);
    assert_int_equal(options.steps, 5);
    assert_int_equal(options.seed, 0);
    assert_true(fabs(options.learning_rate - 3e-4) < 1e-12);
    assert_int_equal(options.warmup, 0);
    assert_true(parse(&options, sentence,
                      "--weight-decay 0.5 --untied --algo hier --codec int8:block=64 --bucket 256K "
                      "--validate 7 --report r.json --trace=t.json --progress line --quiet --help"));
    assert_true(fabs(options.weight_decay - 0.5) < 1e-12);
    assert_true(options.untied && options.quiet && options.help);
    assert_string_equal(options.algo, "hier");
    assert_string_equal(options.codec, "int8:block=64");
    assert_int_equal(options.bucket, 256 * 1024);
    assert_int_equal(options.validate, 7);
    assert_string_equal(options.report, "r.json");
    assert_string_equal(options.trace, "t.json");
    assert_string_equal(options.progress, "line");
    assert_true(parse(&options, sentence, "--bucket 3M"));
    assert_int_equal(options.bucket, 3 * 1024 * 1024);
    assert_true(parse(&options, sentence, "--bucket 1000"));
    assert_int_equal(options.bucket, 1000);
}

static void bad_options_get_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *line, *part; /* of the sentence */
    } bad[] = {
        {"--bogus", "unknown option \"--bogus\""},
        {"--layer 3", "unknown option \"--layer\""},
        {"-n 4", "unknown option \"-n\""},
        {"text", "unknown option \"text\""},
        {"--", "unknown option \"--\""},
        {"--steps", "--steps needs a value"},
        {"--steps 0", "from 1 to"},
        {"--steps -1", "not \"-1\""},
        {"--steps 12x", "not \"12x\""},
        {"--steps=", "not \"\""},
        {"--steps 99999999999999999999999", "whole number"},
        {"--steps 1K", "whole number"},
        {"--layers 1025", "from 1 to 1024"},
        {"--bucket 1T", "K, M or G"},
        {"--bucket 1KB", "K, M or G"},
        {"--bucket 99999999G", "K, M or G"},
        {"--lr fast", "not \"fast\""},
        {"--lr nan", "not \"nan\""},
        {"--lr -1", "not \"-1\""},
        {"--lr 1e-3x", "not \"1e-3x\""},
        {"--untied=yes", "--untied takes no value"},
        {"--heads 3", "--heads 3 does not divide --width 256"},
        {"--progress often", "auto, line or lines"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gpt_options options;
        char sentence[256];
        assert_false(parse(&options, sentence, bad[i].line));
        if (!strstr(sentence, bad[i].part))
            fail_msg("%s: \"%s\" does not contain \"%s\"", bad[i].line, sentence, bad[i].part);
    }
}

static void help_names_every_option(void **state)
{
    (void)state;
    static const char *const names[] = {
        "--data",       "--layers",   "--heads", "--width",  "--context",  "--batch",
        "--accumulate", "--steps",    "--seed",  "--lr",     "--warmup",   "--weight-decay",
        "--untied",     "--algo",     "--codec", "--bucket", "--validate", "--report",
        "--trace",      "--progress", "--quiet", "--help",
    };
    static char text[16384];
    FILE *file = tmpfile();
    assert_non_null(file);
    gpt_options_help(file);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(strstr(text, names[i]));
}

/* ---- Text ---- */

struct folder {
    char path[64];
};

static int make_folder(void **state)
{
    static struct folder folder;
    snprintf(folder.path, sizeof folder.path, "/tmp/test_example_gpt.XXXXXX");
    *state = &folder;
    return mkdtemp(folder.path) ? 0 : -1;
}

static const char *in_folder(const struct folder *folder, const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    return path;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"a", "b", "c", "inner"};
    const struct folder *folder = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(in_folder(folder, names[i]));
    return rmdir(folder->path);
}

static void write_file(const struct folder *folder, const char *name, const char *text)
{
    FILE *file = fopen(in_folder(folder, name), "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void a_file_is_read_whole(void **state)
{
    gpt_text text;
    char sentence[256];
    write_file(*state, "a", "0123456789");
    assert_true(gpt_text_load(&text, in_folder(*state, "a"), 9, false, sentence, sizeof sentence));
    assert_int_equal(text.count, 10);
    assert_int_equal(text.held, 0);
    assert_memory_equal(text.bytes, "0123456789", 10);
    gpt_text_destroy(&text);
}

static void a_folder_is_read_in_the_order_of_names(void **state)
{
    const struct folder *folder = *state;
    gpt_text text;
    char sentence[256];
    write_file(folder, "b", "second");
    write_file(folder, "a", "first ");
    assert_int_equal(symlink("a", in_folder(folder, "c")), 0);
    assert_int_equal(mkdir(in_folder(folder, "inner"), 0700), 0);
    assert_true(gpt_text_load(&text, folder->path, 4, false, sentence, sizeof sentence));
    assert_int_equal(text.count, 12);
    assert_memory_equal(text.bytes, "first second", 12);
    gpt_text_destroy(&text);
}

static void a_missing_file_is_named(void **state)
{
    gpt_text text;
    char sentence[256];
    assert_false(gpt_text_load(&text, in_folder(*state, "a"), 4, false, sentence, sizeof sentence));
    assert_non_null(strstr(sentence, "/a: No such file"));
    assert_non_null(strstr(sentence, "--data"));
}

static void a_text_shorter_than_a_sequence_is_refused(void **state)
{
    gpt_text text;
    char sentence[256];
    write_file(*state, "a", "0123456789");
    const char *path = in_folder(*state, "a");
    assert_false(gpt_text_load(&text, path, 10, false, sentence, sizeof sentence));
    assert_non_null(strstr(sentence, "has 10 bytes, but one sequence takes 11"));
    assert_null(text.bytes);
    assert_false(gpt_text_load(&text, path, 1, true, sentence, sizeof sentence));
    write_file(*state, "a", "");
    assert_false(gpt_text_load(&text, path, 1, false, sentence, sizeof sentence));
}

static void sequences_depend_on_seed_step_and_index_alone(void **state)
{
    enum { CONTEXT = 8, BYTES = 256 };
    gpt_text text = {.bytes = malloc(BYTES), .count = BYTES};
    unsigned char inputs[CONTEXT], targets[CONTEXT], again[CONTEXT];
    size_t seen[BYTES] = {0};
    (void)state;
    assert_non_null(text.bytes);
    for (size_t i = 0; i < BYTES; i++)
        text.bytes[i] = (unsigned char)i;
    for (size_t step = 0; step < 1000; step++)
        for (size_t index = 0; index < 4; index++) {
            gpt_text_sequence(&text, 1, step, index, CONTEXT, inputs, targets);
            gpt_text_sequence(&text, 1, step, index, CONTEXT, again, targets);
            assert_memory_equal(inputs, again, CONTEXT);
            assert_int_equal(targets[0], inputs[0] + 1);
            assert_int_equal(targets[CONTEXT - 1], inputs[0] + CONTEXT);
            seen[inputs[0]]++;
        }
    for (size_t i = 0; i < BYTES - CONTEXT; i++)
        assert_in_range(seen[i], 1, 60); /* 16 on average */
    for (size_t i = BYTES - CONTEXT; i < BYTES; i++)
        assert_int_equal(seen[i], 0);
    gpt_text_destroy(&text);
}

static void held_out_bytes_are_never_trained_on(void **state)
{
    enum { CONTEXT = 3 };
    gpt_text text;
    char sentence[256];
    unsigned char inputs[CONTEXT], targets[CONTEXT];
    write_file(*state, "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaazzzzzz");
    assert_true(gpt_text_load(&text, in_folder(*state, "a"), CONTEXT, true, sentence, sizeof sentence));
    assert_int_equal(text.count, 54);
    assert_int_equal(text.held, 6);
    for (size_t i = 0; i < 500; i++) {
        gpt_text_sequence(&text, 1, i, 0, CONTEXT, inputs, targets);
        assert_memory_equal(inputs, "aaa", CONTEXT);
        assert_memory_equal(targets, "aaa", CONTEXT);
    }
    for (size_t i = 0; i < 8; i++) {
        gpt_text_held_sequence(&text, i, 8, CONTEXT, inputs, targets);
        assert_memory_equal(inputs, "zzz", CONTEXT);
        assert_memory_equal(targets, "zzz", CONTEXT);
    }
    gpt_text_destroy(&text);
}

/* ---- Report ---- */

static void medians_and_totals(void **state)
{
    (void)state;
    static const double steps[] = {3, 1, 2, 10};
    gpt_history history;
    assert_true(gpt_history_create(&history, 4));
    assert_true(fabs(gpt_history_median(&history, GPT_STEP)) < 1e-12);
    for (size_t i = 0; i < 4; i++) {
        gpt_history_next(&history)[GPT_STEP] = steps[i];
        if (i == 2)
            assert_true(fabs(gpt_history_median(&history, GPT_STEP) - 2) < 1e-12);
    }
    assert_true(fabs(gpt_history_median(&history, GPT_STEP) - 2.5) < 1e-12);
    assert_true(fabs(gpt_history_total(&history, GPT_STEP) - 16) < 1e-12);
    gpt_history_destroy(&history);
}

static void the_report_is_json(void **state)
{
    (void)state;
    static char text[8192];
    gpt_report report = {
        .algo = "hier", .codec = "a \"quoted\\ name", .ranks = 4, .sites = 2, .identical = true};
    assert_true(gpt_history_create(&report.history, 2));
    gpt_history_next(&report.history)[GPT_LOSS] = 2.5;
    double *last = gpt_history_next(&report.history);
    last[GPT_LOSS] = NAN;
    last[GPT_ACROSS] = 50;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_true(gpt_report_write(&report, file));
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_non_null(strstr(text, "\"codec\": \"a \\\"quoted\\\\ name\",\n"));
    assert_non_null(strstr(text, "\"loss_first\": 2.5,\n"));
    assert_non_null(strstr(text, "\"loss_last\": null,\n")); /* JSON has no NaN */
    assert_non_null(strstr(text, "\"wan_bytes_per_step\": 100,\n"));
    assert_non_null(strstr(text, "\"wan_bytes_total\": 200,\n"));
    assert_non_null(strstr(text, "\"replicas_identical\": true,\n"));
    assert_non_null(strstr(text, "\"loss_curve\": [2.5, null]\n}\n"));
    gpt_history_destroy(&report.history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_options_give_the_defaults),
        cmocka_unit_test(every_option_is_read),
        cmocka_unit_test(bad_options_get_a_sentence),
        cmocka_unit_test(help_names_every_option),
        cmocka_unit_test_setup_teardown(a_file_is_read_whole, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_is_read_in_the_order_of_names, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_missing_file_is_named, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_text_shorter_than_a_sequence_is_refused, make_folder,
                                        remove_folder),
        cmocka_unit_test(sequences_depend_on_seed_step_and_index_alone),
        cmocka_unit_test_setup_teardown(held_out_bytes_are_never_trained_on, make_folder, remove_folder),
        cmocka_unit_test(medians_and_totals),
        cmocka_unit_test(the_report_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
