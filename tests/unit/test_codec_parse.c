/* Codec strings: what is understood, what is refused, and whether the sentence says what to do. */
#include "codec_data.h"

#include "base/error.h"

static void strings_and_their_canonical_form(void **state)
{
    (void)state;
    const struct row {
        const char *text, *canonical;
        dist_codec_kind kind;
        unsigned block;
        dist_feedback feedback;
    } rows[] = {
        {"none", "none", DIST_CODEC_NONE, 1, DIST_FEEDBACK_NONE},
        {"none:ef=none", "none", DIST_CODEC_NONE, 1, DIST_FEEDBACK_NONE},
        {"none:ef=fp32", "none:ef=fp32", DIST_CODEC_NONE, 1, DIST_FEEDBACK_FP32},
        {"bf16", "bf16", DIST_CODEC_BF16, 1, DIST_FEEDBACK_NONE},
        {"bf16:ef=fp32", "bf16:ef=fp32", DIST_CODEC_BF16, 1, DIST_FEEDBACK_FP32},
        {"bf16:sr:seed=0", "bf16:sr", DIST_CODEC_BF16, 1, DIST_FEEDBACK_NONE},
        {"fp16", "fp16", DIST_CODEC_FP16, 1, DIST_FEEDBACK_NONE},
        {"int8", "int8", DIST_CODEC_INT8, 256, DIST_FEEDBACK_NONE},
        {"int8:block=256:ef=none", "int8", DIST_CODEC_INT8, 256, DIST_FEEDBACK_NONE},
        {"int8:block=128", "int8:block=128", DIST_CODEC_INT8, 128, DIST_FEEDBACK_NONE},
        {"int8:ef=fp32:block=16", "int8:block=16:ef=fp32", DIST_CODEC_INT8, 16, DIST_FEEDBACK_FP32},
        {"int8:seed=7:sr", "int8:sr:seed=7", DIST_CODEC_INT8, 256, DIST_FEEDBACK_NONE},
        {"int4", "int4", DIST_CODEC_INT4, 32, DIST_FEEDBACK_FP32},
        {"int4:block=32:ef=fp32", "int4", DIST_CODEC_INT4, 32, DIST_FEEDBACK_FP32},
        {"int4:ef=int8:block=4096", "int4:block=4096:ef=int8", DIST_CODEC_INT4, 4096, DIST_FEEDBACK_INT8},
        {"int4:ef=bf16", "int4:ef=bf16", DIST_CODEC_INT4, 32, DIST_FEEDBACK_BF16},
        {"int4:hadamard", "int4:hadamard", DIST_CODEC_INT4_HADAMARD, 1024, DIST_FEEDBACK_NONE},
        {"int4:block=32:hadamard", "int4:block=32:hadamard", DIST_CODEC_INT4_HADAMARD, 32,
         DIST_FEEDBACK_NONE},
        {"int4:hadamard:block=1024", "int4:hadamard", DIST_CODEC_INT4_HADAMARD, 1024, DIST_FEEDBACK_NONE},
        {"int4:ef=fp32:hadamard", "int4:hadamard:ef=fp32", DIST_CODEC_INT4_HADAMARD, 1024,
         DIST_FEEDBACK_FP32},
        {"int4:hadamard:seed=3", "int4:hadamard:seed=3", DIST_CODEC_INT4_HADAMARD, 1024, DIST_FEEDBACK_NONE},
        {"mxfp8", "mxfp8", DIST_CODEC_MXFP8, 32, DIST_FEEDBACK_NONE},
        {"mxfp4", "mxfp4", DIST_CODEC_MXFP4, 32, DIST_FEEDBACK_FP32},
        {"nvfp4:ef=none", "nvfp4:ef=none", DIST_CODEC_NVFP4, 16, DIST_FEEDBACK_NONE},
        {"topk:density=0.010", "topk:density=0.01", DIST_CODEC_TOPK, 1, DIST_FEEDBACK_FP32},
        {"topk:density=1e-2", "topk:density=0.01", DIST_CODEC_TOPK, 1, DIST_FEEDBACK_FP32},
        {"topk:density=1", "topk:density=1", DIST_CODEC_TOPK, 1, DIST_FEEDBACK_FP32},
        {"topk:density=0.1:dense=5", "topk:density=0.1:dense=5", DIST_CODEC_TOPK, 1, DIST_FEEDBACK_FP32},
        {"topk:density=0.30000000000000004", "topk:density=0.30000000000000004", DIST_CODEC_TOPK, 1,
         DIST_FEEDBACK_FP32},
        {"sparseloco:dense=0", "sparseloco", DIST_CODEC_SPARSELOCO, 4096, DIST_FEEDBACK_FP32},
        {"powersgd", "powersgd", DIST_CODEC_POWERSGD, 1, DIST_FEEDBACK_FP32},
        {"powersgd:rank=4:dense=10", "powersgd", DIST_CODEC_POWERSGD, 1, DIST_FEEDBACK_FP32},
        {"powersgd:dense=0:rank=64", "powersgd:rank=64:dense=0", DIST_CODEC_POWERSGD, 1, DIST_FEEDBACK_FP32},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        const dist_codec codec = codec_of(rows[r].text, DIST_SIMD_AUTO);
        assert_string_equal(codec.text, rows[r].canonical);
        assert_int_equal(codec.kind, rows[r].kind);
        assert_int_equal(codec.block, rows[r].block);
        assert_int_equal(codec.feedback, rows[r].feedback);
        assert_string_equal(codec_of(codec.text, DIST_SIMD_AUTO).text, codec.text);
    }
}

static void numbers_are_read_whole(void **state)
{
    (void)state;
    assert_true(codec_of("int8:sr:seed=18446744073709551615", DIST_SIMD_AUTO).seed == UINT64_MAX);
    assert_true(codec_of("topk:density=0.125", DIST_SIMD_AUTO).density == 0.125);
    assert_int_equal(codec_of("powersgd:rank=64:dense=1000000000", DIST_SIMD_AUTO).dense, 1000000000);
    const dist_codec longest =
        codec_of("int4:block=4096:sr:hadamard:seed=18446744073709551615:ef=int8", DIST_SIMD_AUTO);
    assert_string_equal(longest.text, "int4:block=4096:sr:hadamard:seed=18446744073709551615:ef=int8");
    const dist_codec other =
        codec_of("topk:density=2.2250738585072014e-308:dense=1000000000:ef=int8", DIST_SIMD_AUTO);
    assert_string_equal(other.text, "topk:density=2.2250738585072014e-308:dense=1000000000:ef=int8");
}

/* Every string of the other tests is its own canonical form. */
static void canonical_strings_stay(void **state)
{
    (void)state;
    for (unsigned c = 0; c < TEST_CODECS; c++)
        assert_string_equal(codec_of(test_codecs[c], DIST_SIMD_AUTO).text, test_codecs[c]);
}

static void bad_strings_and_their_sentences(void **state)
{
    (void)state;
    const struct row {
        const char *text, *says;
    } rows[] = {
        {"", "unknown codec \"\"; known are none, bf16[:sr], fp16, int8[:block=N][:sr], "},
        {"fp8", "unknown codec \"fp8\"; known are none, bf16[:sr]"},
        {"INT8", "unknown codec \"INT8\""},
        {"int", "unknown codec \"int\""},
        {"int88", "unknown codec \"int88\""},
        {" int8", "unknown codec \" int8\""},
        {":block=32", "unknown codec \"\""},
        {"int8:block=100", "codec int8: block=100; it must be a power of two from 16 to 4096"},
        {"int8:block=8", "from 16 to 4096"},
        {"int8:block=8192", "from 16 to 4096"},
        {"int8:block=", "from 16 to 4096"},
        {"int8:block=-256", "from 16 to 4096"},
        {"int8:block=+256", "from 16 to 4096"},
        {"int8:block=0256", "from 16 to 4096"},
        {"int8:block=256 ", "from 16 to 4096"},
        {"int8:block=18446744073709551872", "from 16 to 4096"},
        {"int8:block", "codec int8: unknown parameter \"block\"; known are"},
        {"int8:", "unknown parameter \"\""},
        {"int8::block=32", "unknown parameter \"\""},
        {"int8:block=32:", "unknown parameter \"\""},
        {"int8:density=0.1", "codec int8: it has no parameter \"density=0.1\""},
        {"int8:hadamard", "codec int8: it has no parameter \"hadamard\""},
        {"int8:rank=4", "it has no parameter \"rank=4\""},
        {"int8:dense=4", "it has no parameter \"dense=4\""},
        {"int8:srx", "unknown parameter \"srx\""},
        {"int8:sr=1", "unknown parameter \"sr=1\""},
        {"int8:block=32:block=32", "codec int8: \"block=\" is given twice; keep one"},
        {"int8:ef=none:block=32:ef=fp32", "\"ef=\" is given twice"},
        {"int8:sr:sr", "\"sr\" is given twice"},
        {"int8:ef=", "codec int8: ef=; it must be fp32, bf16, int8 or none"},
        {"int8:ef=fp16", "ef=fp16; it must be fp32, bf16, int8 or none"},
        {"int8:seed=5", "codec int8: a seed means nothing without sr or hadamard"},
        {"int8:sr:seed=", "codec int8: seed=; it must be a whole number from 0 to 18446744073709551615"},
        {"int8:sr:seed=18446744073709551616", "it must be a whole number from 0"},
        {"int8:sr:seed=-1", "it must be a whole number"},
        {"int8:sr:seed=1x", "it must be a whole number"},
        {"mxfp8:sr", "codec mxfp8: it has no parameter \"sr\""},
        {"fp16:sr", "codec fp16: it has no parameter \"sr\""},
        {"mxfp8:block=32", "it has no parameter \"block=32\""},
        {"bf16:block=32", "codec bf16: it has no parameter \"block=32\""},
        {"topk", "codec topk needs a density, such as topk:density=0.01"},
        {"topk:density=", "codec topk: density=; it must be a number above 0, up to 1"},
        {"topk:density=0", "it must be a number above 0"},
        {"topk:density=-0.5", "it must be a number above 0"},
        {"topk:density=1.01", "it must be a number above 0"},
        {"topk:density=nan", "it must be a number above 0"},
        {"topk:density=0x1p-3", "it must be a number above 0"},
        {"topk:density=0,5", "it must be a number above 0"},
        {"topk:density= 0.5", "it must be a number above 0"},
        {"topk:density=1e-400", "it must be a number above 0"},
        {"powersgd:rank=0", "codec powersgd: rank=0; it must be a whole number from 1 to 64"},
        {"powersgd:rank=65", "from 1 to 64"},
        {"powersgd:ef=none", "codec powersgd does not converge without its error feedback in fp32"},
        {"powersgd:ef=bf16", "codec powersgd does not converge"},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        dist_codec codec;
        assert_int_equal(dist_codec_parse(rows[r].text, DIST_SIMD_AUTO, &codec), DIST_ERR_ARGUMENT);
        if (!strstr(dist_last_error(), rows[r].says))
            fail_msg("\"%s\" says: %s", rows[r].text, dist_last_error());
    }
}

/* The advice survives a string that would fill the sentence. */
static void long_strings(void **state)
{
    (void)state;
    static const char *const begins[] = {
        "", "int8:block=", "topk:density=", "int8:sr:seed=", "int8:ef=", "int8:"};
    static const char *const says[] = {"known are none",
                                       "power of two from 16 to 4096",
                                       "a number above 0, up to 1",
                                       "a whole number from 0",
                                       "it must be fp32",
                                       "known are none"};
    for (int b = 0; b < 6; b++) {
        for (size_t length = 60; length < 3000; length += length < 100 ? 1 : 700) {
            char text[3001] = {0};
            dist_codec codec;
            memset(text, 'x', length);
            memcpy(text, begins[b], strlen(begins[b]));
            assert_int_equal(dist_codec_parse(text, DIST_SIMD_AUTO, &codec), DIST_ERR_ARGUMENT);
            if (!strstr(dist_last_error(), says[b]))
                fail_msg("\"%s\" says: %s", text, dist_last_error());
        }
    }
}

/* No beginning of a long number is taken for the whole. */
static void long_numbers(void **state)
{
    (void)state;
    static const char *const begins[] = {"topk:density=0.5", "int8:sr:seed="};
    for (int b = 0; b < 2; b++) {
        for (size_t zeros = 70; zeros < 1000; zeros += 100) {
            char text[1100] = {0};
            dist_codec codec;
            strcpy(text, begins[b]);
            memset(text + strlen(text), '0', zeros);
            strcat(text, "7");
            assert_int_equal(dist_codec_parse(text, DIST_SIMD_AUTO, &codec), DIST_ERR_ARGUMENT);
        }
    }
}

static void null_is_refused(void **state)
{
    (void)state;
    dist_codec codec;
    assert_int_equal(dist_codec_parse(NULL, DIST_SIMD_AUTO, &codec), DIST_ERR_ARGUMENT);
    assert_non_null(strstr(dist_last_error(), "is NULL; name one of none, bf16"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_and_their_canonical_form),
        cmocka_unit_test(numbers_are_read_whole),
        cmocka_unit_test(canonical_strings_stay),
        cmocka_unit_test(bad_strings_and_their_sentences),
        cmocka_unit_test(long_strings),
        cmocka_unit_test(long_numbers),
        cmocka_unit_test(null_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
