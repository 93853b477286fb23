/* What error feedback promises: nothing is lost, and what is rounded away stays small. */
#include "codec_frames.h"

#include <math.h>

/* The feedback of `count` elements in float32, read as <libdist/codec.h> says that it lies. */
static void feedback_values(dist_feedback kept, const void *feedback, uint64_t count, float *values)
{
    const uint8_t *at = feedback;
    for (uint64_t i = 0; i < count; i++) {
        if (kept == DIST_FEEDBACK_FP32) {
            values[i] = float_of(word_of(at + 4 * i));
        } else if (kept == DIST_FEEDBACK_BF16) {
            values[i] = float_of((uint32_t)at[2 * i] << 16 | (uint32_t)at[2 * i + 1] << 24);
        } else {
            const uint8_t *block = at + i / 256 * 260;
            values[i] = float_of(word_of(block)) * (float)(int8_t)block[4 + i % 256];
        }
    }
}

static const char *const kept_texts[] = {
    "int8:ef=fp32",
    "int8:ef=bf16",
    "int8:ef=int8",
    "int4",
    "int4:ef=bf16",
    "int4:ef=int8",
    "int4:block=512",
    "bf16:ef=fp32",
    "fp16:ef=fp32",
    "none:ef=fp32",
    "mxfp8:ef=fp32",
    "mxfp4",
    "mxfp4:ef=int8",
    "nvfp4",
    "nvfp4:ef=bf16",
    "int8:sr:ef=fp32",
    "int4:hadamard:ef=fp32",
    "topk:density=0.1",
    "topk:density=0.1:ef=bf16",
    "topk:density=0.1:ef=int8",
};
enum { KEPT_TEXTS = sizeof kept_texts / sizeof *kept_texts };

static void sizes_of_feedback(void **state)
{
    (void)state;
    const struct row {
        const char *text;
        uint64_t count, bytes;
    } rows[] = {
        {"int4", 0, 0},
        {"int4", 1000, 4000},
        {"int4:ef=bf16", 1001, 2002},
        {"int4:ef=int8", 256, 260},
        {"int4:ef=int8", 257, 265},
        {"int4:ef=int8", 1, 5},
        {"int4:ef=none", 1000, 0},
        {"int8", 1000, 0},
        {"int4:ef=int8", 512, 520},
        {"sparseloco", 100, 400},
        {"none", 10, 0},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        const dist_codec codec = codec_of(rows[r].text, DIST_SIMD_AUTO);
        assert_int_equal(dist_codec_feedback_bytes(&codec, rows[r].count), rows[r].bytes);
    }
}

/* What is kept is h - decoded: exactly in fp32, within half a unit of bf16 or of the int8 block's scale otherwise. */
static void what_is_kept(void **state)
{
    (void)state;
    enum { COUNT = 1500 };
    static float x[COUNT], old[COUNT], now[COUNT], decoded[COUNT];
    static const data kinds[] = {DATA_UNIFORM, DATA_HEAVY, DATA_TIES, DATA_ZEROS};
    for (unsigned t = 0; t < KEPT_TEXTS; t++) {
        for (int k = 0; k < 4; k++) {
            const dist_codec codec = codec_of(kept_texts[t], DIST_SIMD_AUTO);
            uint8_t *feedback = exactly(dist_codec_feedback_bytes(&codec, COUNT));
            for (uint64_t step = 0; step < 3; step++) {
                fill(x, COUNT, kinds[k], step);
                feedback_values(codec.feedback, feedback, COUNT, old);
                const frame f = frame_of(kept_texts[t], DIST_FLOAT32, x, feedback, COUNT, NULL);
                decoded_to(&f, decoded);
                feedback_values(codec.feedback, feedback, COUNT, now);
                for (int i = 0; i < COUNT; i++) {
                    const float rest = (x[i] + old[i]) - decoded[i];
                    float peak = 0;
                    for (int j = i / 256 * 256; j < COUNT && j < i / 256 * 256 + 256; j++)
                        peak = fmaxf(peak, fabsf((x[j] + old[j]) - decoded[j]));
                    const float room = codec.feedback == DIST_FEEDBACK_FP32   ? 0
                                       : codec.feedback == DIST_FEEDBACK_BF16 ? fabsf(rest) * 0x1p-8f
                                                                              : peak / 127 * 0.5001f;
                    if (!(fabsf(now[i] - rest) <= room))
                        fail_msg("%s keeps %a of %a", kept_texts[t], (double)now[i], (double)rest);
                }
                free(f.at);
            }
            free(feedback);
        }
    }
}

/* Over many steps, what was sent plus what is still kept is what was put in. */
static void telescopes(void **state)
{
    (void)state;
    enum { COUNT = 1001, STEPS = 40 };
    static const data kinds[] = {DATA_UNIFORM, DATA_HEAVY, DATA_ZEROS, DATA_HALF_EDGE};
    static double put[COUNT], sent[COUNT];
    static float x[COUNT], feedback[COUNT], decoded[COUNT];
    for (unsigned t = 0; t < KEPT_TEXTS; t++) {
        if (codec_of(kept_texts[t], DIST_SIMD_AUTO).feedback != DIST_FEEDBACK_FP32)
            continue;
        for (unsigned k = 0; k < (strstr(kept_texts[t], "fp16") ? 2 : 4); k++) {
            double most = 0;
            memset(put, 0, sizeof put), memset(sent, 0, sizeof sent), memset(feedback, 0, sizeof feedback);
            for (uint64_t step = 0; step < STEPS; step++) {
                const dist_codec_position position = {step, 0, 0};
                fill(x, COUNT, kinds[k], step);
                const frame f = frame_of(kept_texts[t], DIST_FLOAT32, x, feedback, COUNT, &position);
                assert_int_equal(f.nonfinite, 0);
                decoded_to(&f, decoded);
                free(f.at);
                for (int i = 0; i < COUNT; i++) {
                    put[i] += (double)x[i], sent[i] += (double)decoded[i];
                    most = fmax(most, fmax(fabs((double)x[i]), fabs((double)feedback[i])));
                }
            }
            for (int i = 0; i < COUNT; i++)
                if (!(fabs(put[i] - sent[i] - (double)feedback[i]) <= most * STEPS * 0x1p-23))
                    fail_msg("%s: element %d: %g is lost", kept_texts[t], i,
                             put[i] - sent[i] - (double)feedback[i]);
        }
    }
}

/* sparseloco forgets a twentieth of what it keeps at each step; what is kept is exactly h - decoded. */
static void sparseloco_decays(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static float x[COUNT], feedback[COUNT], old[COUNT], decoded[COUNT];
    fill(x, COUNT, DATA_UNIFORM, 1);
    for (int step = 0; step < 4; step++) {
        memcpy(old, feedback, sizeof old);
        const frame f = frame_of("sparseloco", DIST_FLOAT32, x, feedback, COUNT, NULL);
        decoded_to(&f, decoded);
        free(f.at);
        for (int i = 0; i < COUNT; i++) {
            volatile float decayed = old[i] * 0.95f, h = x[i] + decayed;
            assert_int_equal(bits_of(feedback[i]), bits_of(h - decoded[i]));
        }
    }
}

/* A part that begins at a multiple of 256 and of the block has its feedback where feedback_bytes says. */
static void parts_are_the_whole(void **state)
{
    (void)state;
    enum { COUNT = 3000, FIRST = 1024 };
    static float x[COUNT];
    fill(x, COUNT, DATA_UNIFORM, 4);
    for (unsigned t = 0; t < KEPT_TEXTS; t++) {
        const dist_codec codec = codec_of(kept_texts[t], DIST_SIMD_AUTO);
        if (codec.kind == DIST_CODEC_TOPK || codec.kind == DIST_CODEC_NVFP4 ||
            codec.kind == DIST_CODEC_INT4_HADAMARD)
            continue; /* a frame is more than its blocks */
        const uint64_t bytes = dist_codec_feedback_bytes(&codec, COUNT);
        const uint64_t before = dist_codec_feedback_bytes(&codec, FIRST);
        const dist_codec_position second = {0, FIRST, 0};
        uint8_t *whole = exactly(bytes), *parts = exactly(bytes);
        for (int step = 0; step < 2; step++) {
            free(frame_of(kept_texts[t], DIST_FLOAT32, x, whole, COUNT, NULL).at);
            free(frame_of(kept_texts[t], DIST_FLOAT32, x + FIRST, parts + before, COUNT - FIRST, &second).at);
            free(frame_of(kept_texts[t], DIST_FLOAT32, x, parts, FIRST, NULL).at);
            assert_memory_equal(whole, parts, bytes);
        }
        free(whole), free(parts);
    }
}

/* ef=none means none, whatever array the caller holds. */
static void feedback_off_is_left_alone(void **state)
{
    (void)state;
    static const char *const texts[] = {"int8",
                                        "int4:ef=none",
                                        "bf16",
                                        "none",
                                        "nvfp4:ef=none",
                                        "sparseloco:ef=none",
                                        "topk:density=0.1:ef=none",
                                        "int4:hadamard"};
    for (int t = 0; t < 8; t++) {
        float x[64], feedback[64], before[64];
        fill(x, 64, DATA_UNIFORM, 1), fill(feedback, 64, DATA_UNIFORM, 2);
        memcpy(before, feedback, sizeof before);
        const frame with = frame_of(texts[t], DIST_FLOAT32, x, feedback, 64, NULL);
        const frame without = frame_of(texts[t], DIST_FLOAT32, x, NULL, 64, NULL);
        assert_memory_equal(with.at, without.at, with.bytes);
        assert_memory_equal(feedback, before, sizeof before);
        free(with.at), free(without.at);
    }
}

/* A NULL feedback is one of zeros that nobody wants back. */
static void no_feedback_is_one_of_zeros(void **state)
{
    (void)state;
    float x[300];
    fill(x, 300, DATA_UNIFORM, 1);
    for (unsigned t = 0; t < KEPT_TEXTS; t++) {
        const dist_codec codec = codec_of(kept_texts[t], DIST_SIMD_AUTO);
        void *zeros = exactly(dist_codec_feedback_bytes(&codec, 300));
        const frame with = frame_of(kept_texts[t], DIST_FLOAT32, x, zeros, 300, NULL);
        const frame without = frame_of(kept_texts[t], DIST_FLOAT32, x, NULL, 300, NULL);
        assert_memory_equal(with.at, without.at, with.bytes);
        free(with.at), free(without.at), free(zeros);
    }
}

/* A scale of 0: nothing is sent, everything is kept, the sign of a zero too. */
static void zero_scale_keeps_all(void **state)
{
    (void)state;
    static const char *const texts[] = {"int8:ef=fp32", "int4", "nvfp4"};
    const float tiny = float_of(1);
    for (int t = 0; t < 3; t++) {
        float x[32], feedback[32], decoded[32], zeros[32] = {0};
        for (int i = 0; i < 32; i++)
            x[i] = i % 3 ? tiny : -0.0f, feedback[i] = -0.0f;
        const frame f = frame_of(texts[t], DIST_FLOAT32, x, feedback, 32, NULL);
        for (uint64_t i = 32; i < f.bytes; i++)
            assert_int_equal(f.at[i], 0);
        assert_memory_equal(feedback, x, sizeof x);
        decoded_to(&f, decoded);
        assert_memory_equal(decoded, zeros, sizeof zeros);
        free(f.at);
    }
}

/* int4 and sparseloco beyond the top of float16: the part that was clamped away comes in later steps. */
static void saturated_scale_catches_up(void **state)
{
    (void)state;
    float x[16] = {1e6f, -1e6f}, feedback[16] = {0}, sum[16] = {0};
    for (int step = 0; step < 8; step++) {
        const frame f = frame_of("int4", DIST_FLOAT32, x, feedback, 16, NULL);
        assert_int_equal(f.nonfinite, 0);
        assert_int_equal(dist_codec_decode_add(&f.codec, f.at, f.bytes, DIST_FLOAT32, 16, sum), DIST_OK);
        if (step == 0)
            assert_true(sum[0] == 7 * 65504.0f && sum[1] == -7 * 65504.0f);
        memset(x, 0, sizeof x);
        free(f.at);
    }
    assert_true(fabsf(sum[0] - 1e6f) < 1 && fabsf(sum[1] + 1e6f) < 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_feedback),
        cmocka_unit_test(what_is_kept),
        cmocka_unit_test(telescopes),
        cmocka_unit_test(sparseloco_decays),
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(feedback_off_is_left_alone),
        cmocka_unit_test(no_feedback_is_one_of_zeros),
        cmocka_unit_test(zero_scale_keeps_all),
        cmocka_unit_test(saturated_scale_catches_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
