/* Codec strings: what is understood, what is refused, and whether the sentence says what to do. */
#include "codec_data.h"

static void strings_and_their_canonical_form(void **state)
{
    (void)state;
    const struct row {
        const char *text, *canonical;
        dist_codec_kind kind;
        unsigned block;
        bool feedback;
    } rows[] = {
        {"none", "none", DIST_CODEC_NONE, 1, false},
        {"none:ef=none", "none", DIST_CODEC_NONE, 1, false},
        {"none:ef=fp32", "none:ef=fp32", DIST_CODEC_NONE, 1, true},
        {"bf16", "bf16", DIST_CODEC_BF16, 1, false},
        {"bf16:ef=fp32", "bf16:ef=fp32", DIST_CODEC_BF16, 1, true},
        {"int8", "int8", DIST_CODEC_INT8, 256, true},
        {"int8:block=256:ef=fp32", "int8", DIST_CODEC_INT8, 256, true},
        {"int8:block=128", "int8:block=128", DIST_CODEC_INT8, 128, true},
        {"int8:ef=none", "int8:ef=none", DIST_CODEC_INT8, 256, false},
        {"int8:ef=none:block=16", "int8:block=16:ef=none", DIST_CODEC_INT8, 16, false},
        {"int4", "int4", DIST_CODEC_INT4, 32, true},
        {"int4:block=32", "int4", DIST_CODEC_INT4, 32, true},
        {"int4:block=4096:ef=none", "int4:block=4096:ef=none", DIST_CODEC_INT4, 4096, false},
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

static void bad_strings_and_their_sentences(void **state)
{
    (void)state;
    const struct row {
        const char *text, *says;
    } rows[] = {
        {"", "unknown codec \"\"; known are none, bf16, int8[:block=N] and int4[:block=N]"},
        {"fp8", "unknown codec \"fp8\"; known are none, bf16, int8"},
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
        {"int8:density=0.1", "unknown parameter \"density=0.1\""},
        {"int8:block=32:block=32", "codec int8: \"block=\" is given twice"},
        {"int8:ef=none:block=32:ef=fp32", "\"ef=\" is given twice"},
        {"int8:ef=", "codec int8: ef=; it must be fp32 or none"},
        {"int8:ef=bf16", "ef=bf16; it must be fp32 or none"},
        {"bf16:block=32", "codec bf16 has no blocks"},
        {"none:block=1", "codec none has no blocks"},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        dist_codec codec;
        assert_int_equal(dist_codec_parse(rows[r].text, DIST_SIMD_AUTO, &codec), DIST_ERR_ARGUMENT);
        if (!strstr(dist_last_error(), rows[r].says))
            fail_msg("\"%s\" says: %s", rows[r].text, dist_last_error());
    }
}

/* The advice survives a string that would fill the sentence, and no prefix of it is taken for the whole. */
static void long_strings(void **state)
{
    (void)state;
    char text[3000];
    dist_codec codec;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(dist_codec_parse(text, DIST_SIMD_AUTO, &codec), DIST_ERR_ARGUMENT);
    assert_non_null(strstr(dist_last_error(), "known are none"));
    memcpy(text, "int8:block=", 11);
    assert_int_equal(dist_codec_parse(text, DIST_SIMD_AUTO, &codec), DIST_ERR_ARGUMENT);
    assert_non_null(strstr(dist_last_error(), "power of two from 16 to 4096"));
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
        cmocka_unit_test(bad_strings_and_their_sentences),
        cmocka_unit_test(long_strings),
        cmocka_unit_test(null_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
