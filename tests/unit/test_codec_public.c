/* The calls of <libdist/codec.h>: arguments, frames, and bytes that nobody encoded. */
#include "codec_data.h"

static dist_codec *create(const char *text)
{
    dist_codec *codec = NULL;
    assert_int_equal(dist_codec_create(&codec, text), DIST_OK);
    assert_non_null(codec);
    return codec;
}

static void says(const char *words)
{
    if (!strstr(dist_last_error(), words))
        fail_msg("says: %s", dist_last_error());
}

static void create_and_destroy(void **state)
{
    (void)state;
    dist_codec *codec = create("int8:block=256");
    assert_string_equal(dist_codec_text(codec), "int8");
    dist_codec_destroy(codec);
    dist_codec_destroy(NULL);
    assert_int_equal(dist_codec_create(NULL, "int8"), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_codec_create(&codec, NULL), DIST_ERR_ARGUMENT);
    assert_null(codec);
    codec = (dist_codec *)(void *)&state;
    assert_int_equal(dist_codec_create(&codec, "gzip"), DIST_ERR_ARGUMENT);
    says("known are none, bf16, int8");
    assert_null(codec);
    assert_string_equal(dist_codec_text(NULL), "");
    assert_int_equal(dist_codec_encoded_bytes(NULL, 7), 0);
}

static void round_trip(void **state)
{
    (void)state;
    float x[300], feedback[300] = {0}, decoded[300], added[300];
    dist_codec *codec = create("int8");
    uint8_t encoded[308];
    uint64_t nonfinite = 9;
    fill(x, 300, DATA_UNIFORM, 1), fill(added, 300, DATA_UNIFORM, 2);
    x[299] = float_of(0x7fc00000);
    assert_int_equal(dist_codec_encoded_bytes(codec, 300), sizeof encoded);
    assert_int_equal(dist_codec_encode(codec, x, feedback, 300, encoded, &nonfinite), DIST_OK);
    assert_int_equal(nonfinite, 1);
    assert_int_equal(dist_codec_encode(codec, x, NULL, 300, encoded, NULL), DIST_OK);
    assert_int_equal(dist_codec_decode(codec, encoded, 308, 300, decoded), DIST_OK);
    assert_int_equal(dist_codec_decode_add(codec, encoded, 308, 300, added), DIST_OK);
    for (int i = 0; i < 256; i++) {
        const float before = added[i] - decoded[i], error = x[i] - decoded[i];
        assert_true(error < 0.01f && error > -0.01f);
        assert_true(before < 1 && before > -1 && decoded[i] != 0);
    }
    dist_codec_destroy(codec);
}

static void null_arguments(void **state)
{
    (void)state;
    dist_codec *codec = create("bf16");
    float x = 1;
    uint8_t encoded[2] = {0};
    assert_int_equal(dist_codec_encode(NULL, &x, NULL, 1, encoded, NULL), DIST_ERR_ARGUMENT);
    says("dist_codec_encode: codec is NULL");
    assert_int_equal(dist_codec_encode(codec, NULL, NULL, 1, encoded, NULL), DIST_ERR_ARGUMENT);
    says("values is NULL");
    assert_int_equal(dist_codec_encode(codec, &x, NULL, 1, NULL, NULL), DIST_ERR_ARGUMENT);
    says("encoded is NULL");
    assert_int_equal(dist_codec_decode(NULL, encoded, 2, 1, &x), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_codec_decode(codec, NULL, 2, 1, &x), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_codec_decode(codec, encoded, 2, 1, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_codec_decode_add(NULL, encoded, 2, 1, &x), DIST_ERR_ARGUMENT);
    says("dist_codec_decode_add: codec is NULL");
    assert_int_equal(dist_codec_decode(codec, encoded, 0, UINT64_MAX / 2 + 1, &x), DIST_ERR_ARGUMENT);
    says("more than any memory holds");
    dist_codec_destroy(codec);
}

static void nothing_to_do(void **state)
{
    (void)state;
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        dist_codec *codec = create(test_codecs[c]);
        uint64_t nonfinite = 9;
        assert_int_equal(dist_codec_encoded_bytes(codec, 0), 0);
        assert_int_equal(dist_codec_encode(codec, NULL, NULL, 0, NULL, &nonfinite), DIST_OK);
        assert_int_equal(nonfinite, 0);
        assert_int_equal(dist_codec_decode(codec, NULL, 0, 0, NULL), DIST_OK);
        assert_int_equal(dist_codec_decode_add(codec, NULL, 0, 0, NULL), DIST_OK);
        assert_int_equal(dist_codec_decode(codec, NULL, 1, 0, NULL), DIST_ERR_FRAME);
        dist_codec_destroy(codec);
    }
}

/* A frame of another size is refused before anything is read or written. */
static void wrong_frames(void **state)
{
    (void)state;
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        dist_codec *codec = create(test_codecs[c]);
        const uint64_t right = dist_codec_encoded_bytes(codec, 50);
        const uint64_t wrong[] = {0, 1, right - 1, right + 1, 2 * right, UINT64_MAX};
        float values[50];
        const float untouched[50] = {0};
        memset(values, 0, sizeof values);
        for (int w = 0; w < 6; w++) {
            uint8_t *encoded = exactly(1);
            assert_int_equal(dist_codec_decode(codec, encoded, wrong[w], 50, values), DIST_ERR_FRAME);
            says("check that both ends use the same codec and count");
            assert_int_equal(dist_codec_decode_add(codec, encoded, wrong[w], 50, values), DIST_ERR_FRAME);
            assert_memory_equal(values, untouched, sizeof values);
            free(encoded);
        }
        dist_codec_destroy(codec);
    }
}

/* ef=none means none, whatever array the caller holds. */
static void feedback_off_is_left_alone(void **state)
{
    (void)state;
    const char *const texts[] = {"int8:ef=none", "int4:ef=none", "bf16", "none"};
    for (int t = 0; t < 4; t++) {
        dist_codec *codec = create(texts[t]);
        float x[64], feedback[64];
        uint8_t with[256] = {0}, without[256] = {0};
        fill(x, 64, DATA_UNIFORM, 1), fill(feedback, 64, DATA_UNIFORM, 2);
        float before[64];
        memcpy(before, feedback, sizeof before);
        assert_int_equal(dist_codec_encode(codec, x, feedback, 64, with, NULL), DIST_OK);
        assert_int_equal(dist_codec_encode(codec, x, NULL, 64, without, NULL), DIST_OK);
        assert_memory_equal(with, without, sizeof with);
        assert_memory_equal(feedback, before, sizeof before);
        dist_codec_destroy(codec);
    }
}

/* Random bytes of the right length: read and write in bounds, which a sanitizer sees, and always the same. */
static void any_frame_decodes(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 400; round++) {
        dist_codec *codec = create(test_codecs[round % TEST_CODECS]);
        stream draw = {round};
        const uint64_t count = 1 + draw_bits(&draw) % 700, bytes = dist_codec_encoded_bytes(codec, count);
        uint8_t *encoded = exactly(bytes);
        float *once = exactly(4 * count), *twice = exactly(4 * count);
        for (uint64_t i = 0; i < bytes; i++)
            encoded[i] = (uint8_t)draw_bits(&draw);
        assert_int_equal(dist_codec_decode(codec, encoded, bytes, count, once), DIST_OK);
        assert_int_equal(dist_codec_decode(codec, encoded, bytes, count, twice), DIST_OK);
        assert_memory_equal(once, twice, 4 * count);
        assert_int_equal(dist_codec_decode_add(codec, encoded, bytes, count, twice), DIST_OK);
        assert_int_equal(dist_codec_encode(codec, once, NULL, count, encoded, NULL), DIST_OK);
        free(encoded), free(once), free(twice);
        dist_codec_destroy(codec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_and_destroy), cmocka_unit_test(round_trip),
        cmocka_unit_test(null_arguments),     cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(wrong_frames),       cmocka_unit_test(feedback_off_is_left_alone),
        cmocka_unit_test(any_frame_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
