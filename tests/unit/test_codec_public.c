/* The calls of <libdist/codec.h>: arguments, and a round trip as a program would make it. */
#include "codec_frames.h"

static dist_codec *create(const char *text)
{
    dist_codec *codec = NULL;
    assert_int_equal(dist_codec_create(&codec, text), DIST_OK);
    assert_non_null(codec);
    return codec;
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
    says("known are none, bf16[:sr], fp16, int8");
    assert_null(codec);
    assert_string_equal(dist_codec_text(NULL), "");
    assert_int_equal(dist_codec_encoded_bytes(NULL, 7), 0);
    assert_int_equal(dist_codec_feedback_bytes(NULL, 7), 0);
}

static void round_trip(void **state)
{
    (void)state;
    float x[300], feedback[300] = {0}, decoded[300], added[300];
    dist_codec *codec = create("int8:ef=fp32");
    uint8_t encoded[32 + 16 + 300];
    uint64_t nonfinite = 9;
    fill(x, 300, DATA_UNIFORM, 1), fill(added, 300, DATA_UNIFORM, 2);
    x[299] = float_of(0x7fc00000);
    assert_int_equal(dist_codec_encoded_bytes(codec, 300), sizeof encoded);
    assert_int_equal(dist_codec_feedback_bytes(codec, 300), sizeof feedback);
    assert_int_equal(dist_codec_encode(codec, DIST_FLOAT32, x, feedback, 300, NULL, encoded, &nonfinite),
                     DIST_OK);
    assert_int_equal(nonfinite, 1);
    assert_int_equal(dist_codec_encode(codec, DIST_FLOAT32, x, NULL, 300, NULL, encoded, NULL), DIST_OK);
    assert_int_equal(dist_codec_decode(codec, encoded, sizeof encoded, DIST_FLOAT32, 300, decoded), DIST_OK);
    assert_int_equal(dist_codec_decode_add(codec, encoded, sizeof encoded, DIST_FLOAT32, 300, added),
                     DIST_OK);
    for (int i = 0; i < 256; i++) {
        const float before = added[i] - decoded[i], error = x[i] - decoded[i];
        assert_true(error < 0.01f && error > -0.01f);
        assert_true(feedback[i] == error);
        assert_true(before < 1 && before > -1 && decoded[i] != 0);
    }
    dist_codec_destroy(codec);
}

#define REFUSES(words, call)                                                                                 \
    do {                                                                                                     \
        assert_int_equal(call, DIST_ERR_ARGUMENT);                                                           \
        says(words);                                                                                         \
    } while (0)

static void bad_arguments(void **state)
{
    (void)state;
    dist_codec *codec = create("bf16");
    float x = 1;
    double bound = 7;
    uint8_t encoded[34] = {0};
    const void *frames[65] = {encoded};
    dist_codec_frame info;
    const uint64_t most = UINT64_MAX / 2 + 1;
    const dist_type float32 = DIST_FLOAT32;
    REFUSES("dist_codec_encode: codec is NULL",
            dist_codec_encode(NULL, float32, &x, NULL, 1, NULL, encoded, NULL));
    REFUSES("values is NULL but count is 1",
            dist_codec_encode(codec, float32, NULL, NULL, 1, NULL, encoded, NULL));
    REFUSES("the frame is NULL", dist_codec_encode(codec, float32, &x, NULL, 1, NULL, NULL, NULL));
    REFUSES("the frame is NULL", dist_codec_encode(codec, float32, NULL, NULL, 0, NULL, NULL, NULL));
    REFUSES("codecs take float32, float16 and bfloat16",
            dist_codec_encode(codec, DIST_FLOAT64, &x, NULL, 1, NULL, encoded, NULL));
    REFUSES("more than a frame of codec bf16",
            dist_codec_encode(codec, float32, &x, NULL, most, NULL, encoded, NULL));
    REFUSES("dist_codec_decode: codec is NULL", dist_codec_decode(NULL, encoded, 34, float32, 1, &x));
    REFUSES("the frame is NULL", dist_codec_decode(codec, NULL, 34, float32, 1, &x));
    REFUSES("values is NULL", dist_codec_decode(codec, encoded, 34, float32, 1, NULL));
    REFUSES("the type is", dist_codec_decode(codec, encoded, 34, DIST_INT32, 1, &x));
    REFUSES("the type is", dist_codec_decode(codec, encoded, 34, (dist_type)99, 1, &x));
    REFUSES("more than a frame", dist_codec_decode(codec, encoded, 34, float32, most, &x));
    REFUSES("dist_codec_decode_add: codec is NULL", dist_codec_decode_add(NULL, encoded, 34, float32, 1, &x));
    REFUSES("dist_codec_decode_sum: codec is NULL",
            dist_codec_decode_sum(NULL, frames, 1, 34, 1, float32, 1, &x));
    REFUSES("0 frames", dist_codec_decode_sum(codec, frames, 0, 34, 1, float32, 1, &x));
    REFUSES("65 frames", dist_codec_decode_sum(codec, frames, 65, 34, 1, float32, 1, &x));
    REFUSES("divisor 0", dist_codec_decode_sum(codec, frames, 1, 34, 0, float32, 1, &x));
    REFUSES("there must be 1 to 64 frames", dist_codec_decode_sum(codec, NULL, 1, 34, 1, float32, 1, &x));
    REFUSES("dist_codec_check: codec is NULL", dist_codec_check(NULL, encoded, 34, 1));
    REFUSES("dist_codec_check: the frame is NULL", dist_codec_check(codec, NULL, 34, 1));
    REFUSES("codec is NULL", dist_codec_error_bound(NULL, encoded, 34, 1, &bound));
    REFUSES("the frame is NULL", dist_codec_frame_read(NULL, 34, &info));
    REFUSES("info is NULL", dist_codec_frame_read(encoded, 34, NULL));
    assert_int_equal(dist_codec_encode(codec, float32, &x, NULL, 1, NULL, encoded, NULL), DIST_OK);
    REFUSES("bound is NULL", dist_codec_error_bound(codec, encoded, 34, 1, NULL));
    assert_true(x == 1 && bound == 7);
    dist_codec_destroy(codec);
}

/* topk has 32 bits for an index. */
static void counts_have_an_end(void **state)
{
    (void)state;
    dist_codec *codec = create("topk:density=0.01");
    float x = 1;
    uint8_t encoded[64];
    assert_int_equal(dist_codec_encoded_bytes(codec, UINT32_MAX),
                     32 + 42949673ull * 4 + 12 + 42949673ull * 4);
    REFUSES("more than a frame of codec topk:density=0.01 can have",
            dist_codec_decode(codec, encoded, 64, DIST_FLOAT32, UINT32_MAX + 1ull, &x));
    dist_codec_destroy(codec);
}

static void powersgd_has_no_frames(void **state)
{
    (void)state;
    dist_codec *codec = create("powersgd");
    float x = 1;
    uint8_t encoded[64] = {0};
    assert_int_equal(dist_codec_encoded_bytes(codec, 100), 0);
    assert_int_equal(dist_codec_encode(codec, DIST_FLOAT32, &x, NULL, 1, NULL, encoded, NULL),
                     DIST_ERR_UNSUPPORTED);
    says("codec powersgd has no frames; name it in dist_data_parallel_options");
    assert_int_equal(dist_codec_decode(codec, encoded, 32, DIST_FLOAT32, 1, &x), DIST_ERR_UNSUPPORTED);
    assert_int_equal(dist_codec_check(codec, encoded, 32, 1), DIST_ERR_UNSUPPORTED);
    dist_codec_destroy(codec);
}

/* Nothing to encode and no place for the count. */
static void nothing_to_do(void **state)
{
    (void)state;
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        dist_codec *codec = create(test_codecs[c]);
        uint8_t encoded[32];
        uint64_t nonfinite = 9;
        assert_int_equal(dist_codec_encode(codec, DIST_FLOAT16, NULL, NULL, 0, NULL, encoded, &nonfinite),
                         DIST_OK);
        assert_int_equal(nonfinite, 0);
        assert_int_equal(dist_codec_decode(codec, encoded, 32, DIST_FLOAT32, 0, NULL), DIST_OK);
        assert_int_equal(dist_codec_decode(codec, encoded, 32, DIST_FLOAT32, 1, &(float){0}), DIST_ERR_FRAME);
        dist_codec_destroy(codec);
    }
}

/* Only so many bytes are written as encoded_bytes says, whatever lies around them. */
static void nothing_else_is_written(void **state)
{
    (void)state;
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        for (unsigned n = 0; n < TEST_COUNTS && test_counts[n] < 2000; n++) {
            const uint64_t count = test_counts[n];
            float *x = exactly(4 * count);
            fill(x, count, DATA_UNIFORM, n);
            const frame f = frame_of_floats(test_codecs[c], x, count);
            uint8_t *wide = exactly(f.bytes + 128), *values = exactly(4 * count + 128);
            memset(wide, 0x3c, f.bytes + 128), memset(values, 0x3c, 4 * count + 128);
            assert_int_equal(dist_codec_encode(&f.codec, DIST_FLOAT32, x, NULL, count, NULL, wide + 64, NULL),
                             DIST_OK);
            assert_int_equal(dist_codec_decode(&f.codec, f.at, f.bytes, DIST_FLOAT32, count, values + 64),
                             DIST_OK);
            assert_memory_equal(wide + 64, f.at, f.bytes);
            for (int i = 0; i < 64; i++) {
                assert_true(wide[i] == 0x3c && values[i] == 0x3c);
                assert_int_equal(wide[f.bytes + 64 + (uint64_t)i] | values[4 * count + 64 + (uint64_t)i],
                                 0x3c);
            }
            free(x), free(f.at), free(wide), free(values);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_and_destroy),      cmocka_unit_test(round_trip),
        cmocka_unit_test(bad_arguments),           cmocka_unit_test(counts_have_an_end),
        cmocka_unit_test(powersgd_has_no_frames),  cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(nothing_else_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
