/* Values of every type, and sums of frames: each is what float32 arithmetic on one frame after the other gives. */
#include "codec_frames.h"

#include "kernels/half.h"

enum { COUNT = 2500 };

static const dist_type types[] = {DIST_FLOAT32, DIST_BFLOAT16, DIST_FLOAT16};

static uint64_t element_bytes(dist_type type)
{
    return type == DIST_FLOAT32 ? 4 : 2;
}

static void narrow(dist_type type, const float *from, uint64_t count, void *to)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint16_t bits =
            type == DIST_FLOAT16 ? dist_half_from_float(from[i]) : dist_bfloat_from_float(from[i]);
        if (type == DIST_FLOAT32)
            memcpy((char *)to + 4 * i, &from[i], 4);
        else
            memcpy((char *)to + 2 * i, &bits, 2);
    }
}

static void widen(dist_type type, const void *from, uint64_t count, float *to)
{
    for (uint64_t i = 0; i < count; i++) {
        uint16_t bits;
        if (type == DIST_FLOAT32) {
            memcpy(&to[i], (const char *)from + 4 * i, 4);
            continue;
        }
        memcpy(&bits, (const char *)from + 2 * i, 2);
        to[i] = type == DIST_FLOAT16 ? dist_half_to_float(bits) : dist_bfloat_to_float(bits);
    }
}

/* A frame of bfloat16 or float16 values is that of the same values in float32. */
static void inputs_of_every_type(void **state)
{
    (void)state;
    static float x[COUNT], wide[COUNT];
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        for (int t = 1; t < 3; t++) {
            for (int kind = 0; kind < DATA_KINDS; kind++) {
                uint16_t *narrowed = exactly(2 * COUNT);
                fill(x, COUNT, (data)kind, 3);
                narrow(types[t], x, COUNT, narrowed);
                widen(types[t], narrowed, COUNT, wide);
                const frame one = frame_of(test_codecs[c], types[t], narrowed, NULL, COUNT, NULL);
                const frame other = frame_of_floats(test_codecs[c], wide, COUNT);
                assert_int_equal(one.nonfinite, other.nonfinite);
                assert_memory_equal(one.at, other.at, one.bytes);
                free(one.at), free(other.at), free(narrowed);
            }
        }
    }
}

/* The same with feedback of every kind, over some steps. */
static void inputs_with_feedback(void **state)
{
    (void)state;
    static const char *const texts[] = {"int4", "int4:ef=bf16", "int4:ef=int8", "sparseloco",
                                        "topk:density=0.1:ef=int8"};
    static float x[COUNT], wide[COUNT];
    uint16_t narrowed[COUNT];
    for (int c = 0; c < 5; c++) {
        for (int t = 1; t < 3; t++) {
            const dist_codec codec = codec_of(texts[c], DIST_SIMD_AUTO);
            const uint64_t bytes = dist_codec_feedback_bytes(&codec, COUNT);
            void *one_feedback = exactly(bytes), *other_feedback = exactly(bytes);
            for (uint64_t step = 0; step < 3; step++) {
                fill(x, COUNT, DATA_UNIFORM, step);
                narrow(types[t], x, COUNT, narrowed);
                widen(types[t], narrowed, COUNT, wide);
                const frame one = frame_of(texts[c], types[t], narrowed, one_feedback, COUNT, NULL);
                const frame other = frame_of(texts[c], DIST_FLOAT32, wide, other_feedback, COUNT, NULL);
                assert_memory_equal(one.at, other.at, one.bytes);
                assert_memory_equal(one_feedback, other_feedback, bytes);
                free(one.at), free(other.at);
            }
            free(one_feedback), free(other_feedback);
        }
    }
}

/* Decoding to a type rounds once, at the end. */
static void outputs_of_every_type(void **state)
{
    (void)state;
    static float x[COUNT], decoded[COUNT], start[COUNT], sum[COUNT];
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            fill(x, COUNT, (data)kind, 5);
            const frame f = frame_of_floats(test_codecs[c], x, COUNT);
            decoded_to(&f, decoded);
            for (int t = 1; t < 3; t++) {
                uint16_t *found = exactly(2 * COUNT), *wanted = exactly(2 * COUNT);
                narrow(types[t], decoded, COUNT, wanted);
                assert_int_equal(dist_codec_decode(&f.codec, f.at, f.bytes, types[t], COUNT, found), DIST_OK);
                assert_memory_equal(found, wanted, 2 * COUNT);
                fill(start, COUNT, DATA_UNIFORM, 6);
                narrow(types[t], start, COUNT, found);
                widen(types[t], found, COUNT, start);
                for (int i = 0; i < COUNT; i++)
                    sum[i] = start[i] + decoded[i];
                narrow(types[t], sum, COUNT, wanted);
                assert_int_equal(dist_codec_decode_add(&f.codec, f.at, f.bytes, types[t], COUNT, found),
                                 DIST_OK);
                assert_memory_equal(found, wanted, 2 * COUNT);
                free(found), free(wanted);
            }
            free(f.at);
        }
    }
}

static uint32_t canonical(float value)
{
    return (bits_of(value) & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : bits_of(value);
}

/* S frames at once: decoded and added one after the other in float32, divided once, rounded once. */
static void check_sum(const char *text, data kind, int frames, int divisor)
{
    static float x[COUNT], sum[COUNT];
    frame f[64];
    const void *at[64];
    for (int s = 0; s < frames; s++) {
        fill(x, COUNT, kind, (uint64_t)s);
        f[s] = frame_of_floats(text, x, COUNT);
        at[s] = f[s].at;
        if (s == 0)
            decoded_to(&f[s], sum);
        else
            assert_int_equal(
                dist_codec_decode_add(&f[s].codec, f[s].at, f[s].bytes, DIST_FLOAT32, COUNT, sum), DIST_OK);
    }
    for (int i = 0; i < COUNT && divisor > 1; i++)
        sum[i] = sum[i] / (float)divisor;
    for (int t = 0; t < 3; t++) {
        const uint64_t bytes = element_bytes(types[t]) * COUNT;
        uint8_t *found = exactly(bytes), *wanted = exactly(bytes);
        narrow(types[t], sum, COUNT, wanted);
        assert_int_equal(
            dist_codec_decode_sum(&f[0].codec, at, frames, f[0].bytes, divisor, types[t], COUNT, found),
            DIST_OK);
        if (memcmp(found, wanted, bytes) != 0)
            fail_msg("%s: the sum of %d frames, divided by %d, in %s", text, frames, divisor,
                     dist_type_name(types[t]));
        free(found), free(wanted);
    }
    for (int s = 0; s < frames; s++)
        free(f[s].at);
}

static void sums_of_frames(void **state)
{
    (void)state;
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            check_sum(test_codecs[c], (data)kind, 1, 1);
            check_sum(test_codecs[c], (data)kind, 1, 3);
            check_sum(test_codecs[c], (data)kind, 2, 1);
            check_sum(test_codecs[c], (data)kind, 3, 3);
        }
        check_sum(test_codecs[c], DATA_UNIFORM, 64, 64);
    }
}

/* decode_add is decoding and adding in float32. */
static void adding_is_decoding_and_adding(void **state)
{
    (void)state;
    static float x[COUNT], one[COUNT], other[COUNT], start[COUNT];
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        fill(x, COUNT, DATA_NONFINITE, 1), fill(start, COUNT, DATA_UNIFORM, 2);
        const frame f = frame_of_floats(test_codecs[c], x, COUNT);
        decoded_to(&f, one);
        memcpy(other, start, sizeof start);
        assert_int_equal(dist_codec_decode_add(&f.codec, f.at, f.bytes, DIST_FLOAT32, COUNT, other), DIST_OK);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(bits_of(other[i]), canonical(start[i] + one[i]));
        free(f.at);
    }
}

/* One bad frame of several: nothing is written, and the sentence says which. */
static void sums_check_every_frame(void **state)
{
    (void)state;
    float x[40], values[40], before[40];
    fill(x, 40, DATA_UNIFORM, 1), fill(values, 40, DATA_UNIFORM, 2);
    memcpy(before, values, sizeof values);
    const frame f = frame_of_floats("int8", x, 40), g = frame_of_floats("int8", x, 40);
    const void *several[] = {f.at, f.at, g.at};
    g.at[50] ^= 1;
    assert_int_equal(dist_codec_decode_sum(&f.codec, several, 3, f.bytes, 1, DIST_FLOAT32, 40, values),
                     DIST_ERR_FRAME);
    says("frame 2: dist_codec_decode_sum: the frame's checksum is");
    several[1] = NULL;
    assert_int_equal(dist_codec_decode_sum(&f.codec, several, 3, f.bytes, 1, DIST_FLOAT32, 40, values),
                     DIST_ERR_ARGUMENT);
    says("frame 1: dist_codec_decode_sum: the frame is NULL");
    assert_memory_equal(values, before, sizeof values);
    free(f.at), free(g.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_of_every_type),          cmocka_unit_test(inputs_with_feedback),
        cmocka_unit_test(outputs_of_every_type),         cmocka_unit_test(sums_of_frames),
        cmocka_unit_test(adding_is_decoding_and_adding), cmocka_unit_test(sums_check_every_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
