/* NaN and infinity go through as such, harm only their block, and are told; finite values never become one untold. */
#include "codec_frames.h"

#include <float.h>
#include <math.h>

enum { COUNT = 6000 };

static bool by_element(const dist_codec *codec)
{
    return codec->kind == DIST_CODEC_NONE || codec->kind == DIST_CODEC_BF16 ||
           codec->kind == DIST_CODEC_FP16 || codec->kind == DIST_CODEC_TOPK;
}

static const uint32_t bad[] = {0x7fc00000, 0xffc12345, 0x7f800001, 0x7f800000, 0xff800000};

/* One bad element: its block decodes to NaN (alone, it stays what it is), and its neighbours know nothing of it. */
static void bad_block_stays_alone(void **state)
{
    (void)state;
    static float x[COUNT], decoded[COUNT], added[COUNT];
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        for (unsigned b = 0; b < 5; b++) {
            const unsigned at = 300 + 777 * b;
            dist_codec_frame info;
            fill(x, COUNT, DATA_UNIFORM, 4);
            for (int i = 0; i < COUNT; i++)
                added[i] = 1.0f;
            x[at] = float_of(bad[b]);
            const frame f = frame_of_floats(test_codecs[c], x, COUNT);
            const unsigned block = f.codec.block;
            const bool nan = b < 3 || !by_element(&f.codec);
            assert_int_equal(f.nonfinite, 1);
            assert_int_equal(dist_codec_frame_read(f.at, f.bytes, &info), DIST_OK);
            assert_true(info.nonfinite);
            decoded_to(&f, decoded);
            assert_int_equal(dist_codec_decode_add(&f.codec, f.at, f.bytes, DIST_FLOAT32, COUNT, added),
                             DIST_OK);
            for (unsigned i = 0; i < COUNT; i++) {
                const bool hit = i / block == at / block;
                assert_int_equal(!isfinite(decoded[i]), hit);
                assert_int_equal(!isfinite(added[i]), hit);
                if (hit && nan)
                    assert_true(isnan(decoded[i]) && isnan(added[i]));
                else if (hit)
                    assert_int_equal(bits_of(decoded[i]), bad[b]);
            }
            free(f.at);
        }
    }
}

/* A NaN that was computed, and one that is not sent bit by bit, has one pattern. */
static void one_pattern(void **state)
{
    (void)state;
    static float x[COUNT], decoded[COUNT];
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        fill(x, COUNT, DATA_UNIFORM, 4);
        x[77] = float_of(0xffc12345), x[4000] = float_of(0x7f812345);
        const frame f = frame_of_floats(test_codecs[c], x, COUNT);
        decoded_to(&f, decoded);
        for (int i = 0; i < COUNT; i++)
            if (isnan(decoded[i]) && f.codec.kind != DIST_CODEC_NONE)
                assert_int_equal(bits_of(decoded[i]), 0x7fc00000);
        free(f.at);
    }
}

/* The feedback of what could not be sent is what it was, bit by bit; the rest goes on. */
static void feedback_is_unchanged(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "none:ef=fp32",       "bf16:ef=fp32",    "fp16:ef=fp32",
        "int8:ef=fp32",       "int8:sr:ef=fp32", "int4",
        "mxfp8:ef=fp32",      "mxfp4",           "int4:hadamard:ef=fp32",
        "topk:density=0.1",   "sparseloco",      "nvfp4",
        "int8:ef=bf16",       "int4:ef=bf16",    "topk:density=0.1:ef=bf16",
        "sparseloco:ef=bf16",
    };
    static float x[COUNT], e[COUNT];
    static uint8_t before[4 * COUNT], after[4 * COUNT];
    for (unsigned t = 0; t < sizeof texts / sizeof *texts; t++) {
        const dist_codec codec = codec_of(texts[t], DIST_SIMD_AUTO);
        const unsigned size = codec.feedback == DIST_FEEDBACK_FP32 ? 4 : 2;
        for (unsigned b = 0; b < 5; b++) {
            const unsigned at = 300 + 777 * b;
            fill(x, COUNT, DATA_UNIFORM, 4);
            fill_feedback(e, COUNT, DATA_UNIFORM, 5);
            x[at] = float_of(bad[b]);
            for (unsigned i = 0; i < COUNT; i++)
                memcpy(before + size * i, (const char *)&e[i] + (4 - size), size);
            memcpy(after, before, sizeof after);
            free(frame_of(texts[t], DIST_FLOAT32, x, after, COUNT, NULL).at);
            unsigned changed = 0;
            for (unsigned i = 0; i < COUNT; i++) {
                const bool same = memcmp(before + size * i, after + size * i, size) == 0;
                changed += !same;
                if (i / codec.block == at / codec.block)
                    assert_true(same);
            }
            assert_true(changed > COUNT / 10);
        }
    }
}

/* In int8 a block of feedback is 256 elements: when all of them are in bad blocks, its codes stay, and its scale up to
 * the rounding of 127 scales. */
static void feedback_in_int8_is_unchanged(void **state)
{
    (void)state;
    static const char *const texts[] = {"int8:ef=int8", "int4:block=256:ef=int8", "sparseloco:ef=int8",
                                        "int8:block=4096:ef=int8"};
    static float x[COUNT];
    for (int t = 0; t < 4; t++) {
        const dist_codec codec = codec_of(texts[t], DIST_SIMD_AUTO);
        const uint64_t bytes = dist_codec_feedback_bytes(&codec, COUNT);
        uint8_t *feedback = exactly(bytes), *before = exactly(bytes);
        for (uint64_t step = 0; step < 4; step++) {
            fill(x, COUNT, DATA_UNIFORM, step);
            free(frame_of(texts[t], DIST_FLOAT32, x, feedback, COUNT, NULL).at);
            memcpy(before, feedback, bytes);
            x[1000] = float_of(0x7fc00000);
            free(frame_of(texts[t], DIST_FLOAT32, x, feedback, COUNT, NULL).at);
            for (unsigned first = 1000 / codec.block * codec.block, n = 0; n < codec.block; n += 256) {
                const uint64_t at = (first + n) / 256 * 260;
                const uint32_t scale = word_of(feedback + at);
                assert_in_range(scale, word_of(before + at) - 1, word_of(before + at) + 1);
                assert_memory_equal(feedback + at + 4, before + at + 4, 256);
            }
            assert_memory_not_equal(feedback, before, bytes);
        }
        free(feedback), free(before);
    }
}

static void sum_that_overflows_is_bad(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "int8:ef=fp32", "int4",         "mxfp4",          "nvfp4",
        "none:ef=fp32", "bf16:ef=fp32", "topk:density=1", "int4:hadamard:ef=fp32"};
    for (int t = 0; t < 8; t++) {
        float x = FLT_MAX, feedback = 0x1p127f, decoded;
        const frame f = frame_of(texts[t], DIST_FLOAT32, &x, &feedback, 1, NULL);
        assert_int_equal(f.nonfinite, 1);
        assert_true(feedback == 0x1p127f);
        decoded_to(&f, &decoded);
        assert_true(!isfinite(decoded));
        free(f.at);
    }
}

/* FLT_MAX and its neighbours: decoded to something finite, or told. */
static void finite_stays_finite_or_is_told(void **state)
{
    (void)state;
    static float x[COUNT], decoded[COUNT];
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        for (uint64_t seed = 0; seed < 12; seed++) {
            stream draw = {seed};
            const uint64_t count = seed < 6 ? COUNT : 1 + draw_bits(&draw) % 40;
            for (uint64_t i = 0; i < count; i++) {
                const uint32_t sign = draw_bits(&draw) & 0x80000000u;
                x[i] =
                    float_of(sign | (seed % 3 ? 0x7f7fffffu : 0x7f7fffffu - draw_bits(&draw) % 0x1000000u));
                x[i] = seed % 4 == 1 && i ? draw_unit(&draw) : x[i];
            }
            const frame f = frame_of_floats(test_codecs[c], x, count);
            assert_int_equal(dist_codec_check(&f.codec, f.at, f.bytes, count), DIST_OK);
            decoded_to(&f, decoded);
            bool finite = true;
            for (uint64_t i = 0; i < count; i++)
                finite = finite && isfinite(decoded[i]);
            assert_int_equal(finite, f.nonfinite == 0);
            assert_int_equal(f.at[6] & 1, f.nonfinite > 0);
            if (f.codec.kind != DIST_CODEC_BF16 && f.codec.kind != DIST_CODEC_FP16)
                assert_true(finite); /* only these two have no room for it */
            free(f.at);
        }
    }
}

/* Whatever bits come in, the frame is one that decoders take, and the count is that of its flag. */
static void every_frame_is_taken(void **state)
{
    (void)state;
    static float x[COUNT], decoded[COUNT];
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            for (unsigned n = 0; n < TEST_COUNTS; n++) {
                const uint64_t count = test_counts[n] < COUNT ? test_counts[n] : COUNT;
                fill(x, count, (data)kind, n);
                const frame f = frame_of_floats(test_codecs[c], x, count);
                decoded_to(&f, decoded);
                assert_int_equal(f.at[6] & 1, f.nonfinite > 0);
                bool finite = true;
                for (uint64_t i = 0; i < count; i++)
                    finite = finite && isfinite(decoded[i]);
                assert_int_equal(finite, f.nonfinite == 0);
                free(f.at);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_block_stays_alone),     cmocka_unit_test(one_pattern),
        cmocka_unit_test(feedback_is_unchanged),     cmocka_unit_test(feedback_in_int8_is_unchanged),
        cmocka_unit_test(sum_that_overflows_is_bad), cmocka_unit_test(finite_stays_finite_or_is_told),
        cmocka_unit_test(every_frame_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
