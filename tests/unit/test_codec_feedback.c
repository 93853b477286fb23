/* What error feedback promises: nothing is lost, and what is rounded away stays small. */
#include "codec_data.h"

#include "codec/layout.h"

static double size_of(double value)
{
    return value < 0 ? -value : value;
}

/* Over many steps, what was sent plus what is still kept is what was put in. */
static void telescopes(void **state)
{
    (void)state;
    enum { COUNT = 3001, STEPS = 50 };
    const char *const texts[] = {"int8", "int4", "bf16:ef=fp32", "int4:block=512", "none:ef=fp32"};
    const data kinds[] = {DATA_UNIFORM, DATA_HEAVY, DATA_ZEROS, DATA_HALF_EDGE};
    static double put[COUNT], sent[COUNT];
    static float x[COUNT], feedback[COUNT], decoded[COUNT];
    for (unsigned c = 0; c < 5; c++) {
        for (unsigned k = 0; k < 4; k++) {
            const dist_codec codec = codec_of(texts[c], DIST_SIMD_AUTO);
            uint8_t *encoded = exactly(dist_codec_bytes(&codec, COUNT));
            double most = 0;
            memset(put, 0, sizeof put), memset(sent, 0, sizeof sent), memset(feedback, 0, sizeof feedback);
            for (uint64_t step = 0; step < STEPS; step++) {
                fill(x, COUNT, kinds[k], step);
                assert_int_equal(codec.ops->encode(&codec, x, feedback, COUNT, encoded), 0);
                codec.ops->decode(&codec, encoded, COUNT, decoded);
                for (int i = 0; i < COUNT; i++) {
                    put[i] += (double)x[i], sent[i] += (double)decoded[i];
                    most = size_of((double)x[i]) > most ? size_of((double)x[i]) : most;
                }
            }
            for (int i = 0; i < COUNT; i++)
                assert_true(size_of(put[i] - sent[i] - (double)feedback[i]) <= most * STEPS * 0x1p-23);
            free(encoded);
        }
    }
}

/* Half a scale, and an ulp for the division and for a float16 scale that was rounded down. */
static void error_is_bounded(void **state)
{
    (void)state;
    enum { COUNT = 4099 };
    const struct bound {
        const char *text;
        double steps;
    } bounds[] = {{"int8", 0.5 + 0x1p-14}, {"int4", 0.5 + 7 * 0x1p-10}, {"int8:block=16", 0.5 + 0x1p-14}};
    const data kinds[] = {DATA_UNIFORM, DATA_HEAVY, DATA_TIES, DATA_ZEROS};
    static float x[COUNT], feedback[COUNT], decoded[COUNT];
    for (unsigned c = 0; c < 3; c++) {
        for (unsigned k = 0; k < 4; k++) {
            const dist_codec codec = codec_of(bounds[c].text, DIST_SIMD_AUTO);
            const double qmax = codec.kind == DIST_CODEC_INT8 ? 127 : 7;
            uint8_t *encoded = exactly(dist_codec_bytes(&codec, COUNT));
            fill(x, COUNT, kinds[k], 5);
            memset(feedback, 0, sizeof feedback);
            codec.ops->encode(&codec, x, feedback, COUNT, encoded);
            codec.ops->decode(&codec, encoded, COUNT, decoded);
            for (unsigned first = 0; first < COUNT; first += codec.block) {
                const unsigned last = first + codec.block < COUNT ? first + codec.block : COUNT;
                double peak = 0;
                for (unsigned i = first; i < last; i++)
                    peak = size_of((double)x[i]) > peak ? size_of((double)x[i]) : peak;
                for (unsigned i = first; i < last; i++) {
                    const double error = (double)x[i] - (double)decoded[i];
                    assert_true(size_of(error) <= bounds[c].steps * peak / qmax);
                    assert_true(size_of(error - (double)feedback[i]) <= 0x1p-24 * peak);
                }
            }
            free(encoded);
        }
    }
}

/* -128 and -8 would decode to more than was put in. */
static void lowest_codes_are_never_written(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static float x[COUNT], feedback[COUNT];
    const char *const texts[] = {"int8", "int4"};
    for (int t = 0; t < 2; t++) {
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            const dist_codec codec = codec_of(texts[t], DIST_SIMD_AUTO);
            const uint64_t scales = dist_codec_scale_bytes(&codec, COUNT),
                           bytes = dist_codec_bytes(&codec, COUNT);
            uint8_t *encoded = exactly(bytes);
            fill(x, COUNT, (data)kind, 8);
            for (int i = 0; i < COUNT; i++)
                x[i] = x[i] > 0 ? -x[i] : x[i];
            memset(feedback, 0, sizeof feedback);
            codec.ops->encode(&codec, x, feedback, COUNT, encoded);
            for (uint64_t i = scales; i < bytes; i++)
                assert_true(t == 0 ? encoded[i] != 0x80 : (encoded[i] & 15) != 8 && encoded[i] >> 4 != 8);
            free(encoded);
        }
    }
}

/* One bad element: its block decodes to NaN and keeps its feedback; its neighbours know nothing of it. */
static void bad_block_stays_alone(void **state)
{
    (void)state;
    enum { COUNT = 1024 };
    const uint32_t bad[] = {0x7fc00000, 0xffc12345, 0x7f800001, 0x7f800000, 0xff800000};
    const char *const texts[] = {"int8", "int4", "int8:block=4096"};
    static float x[COUNT], feedback[COUNT], decoded[COUNT], added[COUNT];
    for (int t = 0; t < 3; t++) {
        for (unsigned b = 0; b < 5; b++) {
            const dist_codec codec = codec_of(texts[t], DIST_SIMD_AUTO);
            uint8_t *encoded = exactly(dist_codec_bytes(&codec, COUNT));
            const unsigned at = 300 + 77 * b, block = codec.block < COUNT ? codec.block : COUNT;
            fill(x, COUNT, DATA_UNIFORM, 4);
            for (int i = 0; i < COUNT; i++)
                feedback[i] = 0.25f, added[i] = 1.0f;
            x[at] = float_of(bad[b]);
            assert_int_equal(codec.ops->encode(&codec, x, feedback, COUNT, encoded), 1);
            codec.ops->decode(&codec, encoded, COUNT, decoded);
            codec.ops->decode_add(&codec, encoded, COUNT, added);
            for (unsigned i = 0; i < COUNT; i++) {
                const bool same = i / block == at / block;
                assert_int_equal(bits_of(decoded[i]) == 0x7fc00000, same);
                assert_int_equal(bits_of(added[i]) == 0x7fc00000, same);
                assert_int_equal(bits_of(feedback[i]) == bits_of(0.25f), same);
            }
            free(encoded);
        }
    }
}

static void sum_that_overflows_is_bad(void **state)
{
    (void)state;
    const dist_codec codec = codec_of("int8", DIST_SIMD_AUTO);
    float x = 0x1.fffffep127f, feedback = 0x1p127f, decoded;
    uint8_t encoded[5];
    assert_int_equal(codec.ops->encode(&codec, &x, &feedback, 1, encoded), 1);
    assert_true(feedback == 0x1p127f);
    codec.ops->decode(&codec, encoded, 1, &decoded);
    assert_int_equal(bits_of(decoded), 0x7fc00000);
}

/* A scale of 0: nothing is sent, everything is kept, the sign of a zero too. */
static void zero_scale_keeps_all(void **state)
{
    (void)state;
    const char *const texts[] = {"int8", "int4"};
    const float tiny = float_of(1);
    for (dist_simd simd = DIST_SIMD_AUTO; simd <= DIST_SIMD_SCALAR; simd++) {
        for (int t = 0; t < 2; t++) {
            const dist_codec codec = codec_of(texts[t], simd);
            float x[32], feedback[32], decoded[32];
            uint8_t encoded[64], zeros[64] = {0};
            for (int i = 0; i < 32; i++)
                x[i] = i % 3 ? tiny : -0.0f, feedback[i] = -0.0f;
            assert_int_equal(codec.ops->encode(&codec, x, feedback, 32, encoded), 0);
            assert_memory_equal(encoded, zeros, dist_codec_bytes(&codec, 32));
            assert_memory_equal(feedback, x, sizeof x);
            codec.ops->decode(&codec, encoded, 32, decoded);
            assert_memory_equal(decoded, zeros, 64);
        }
    }
}

/* int4 beyond the top of float16: the part that was clamped away comes in later steps. */
static void saturated_scale_catches_up(void **state)
{
    (void)state;
    const dist_codec codec = codec_of("int4", DIST_SIMD_AUTO);
    float x[16] = {1e6f, -1e6f}, feedback[16] = {0}, sum[16] = {0};
    uint8_t encoded[16];
    for (int step = 0; step < 8; step++) {
        assert_int_equal(codec.ops->encode(&codec, x, feedback, 16, encoded), 0);
        codec.ops->decode_add(&codec, encoded, 16, sum);
        if (step == 0)
            assert_true(sum[0] == 7 * 65504.0f && sum[1] == -7 * 65504.0f);
        memset(x, 0, sizeof x);
    }
    assert_true(size_of((double)sum[0] - 1e6) < 1 && size_of((double)sum[1] + 1e6) < 1);
}

/* bf16 and none count elements; one that is sent as an infinity leaves its feedback alone. */
static void elements_without_blocks(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    const float large = 0x1.fffffep127f; /* finite, but infinite as bf16 */
    const uint64_t bad[] = {3, 2};
    const char *const texts[] = {"bf16:ef=fp32", "none:ef=fp32"};
    for (int t = 0; t < 2; t++) {
        for (dist_simd simd = DIST_SIMD_AUTO; simd <= DIST_SIMD_SCALAR; simd++) {
            const dist_codec codec = codec_of(texts[t], simd);
            float x[COUNT], feedback[COUNT], decoded[COUNT];
            uint8_t encoded[4 * COUNT];
            for (int i = 0; i < COUNT; i++)
                x[i] = 1.0f + (float)i * 0x1p-12f, feedback[i] = 0x1p-14f;
            x[3] = float_of(0xff812345), x[20] = large, x[37] = float_of(0x7f800000);
            assert_int_equal(codec.ops->encode(&codec, x, feedback, COUNT, encoded), bad[t]);
            codec.ops->decode(&codec, encoded, COUNT, decoded);
            assert_int_equal(bits_of(decoded[3]), 0x7fc00000);
            assert_int_equal(bits_of(decoded[37]), 0x7f800000);
            for (int i = 0; i < COUNT; i++) {
                const bool kept = i == 3 || i == 37 || (i == 20 && t == 0);
                const float rest = x[i] + 0x1p-14f - decoded[i];
                assert_int_equal(bits_of(feedback[i]), bits_of(kept ? 0x1p-14f : rest));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(telescopes),
        cmocka_unit_test(error_is_bounded),
        cmocka_unit_test(lowest_codes_are_never_written),
        cmocka_unit_test(bad_block_stays_alone),
        cmocka_unit_test(sum_that_overflows_is_bad),
        cmocka_unit_test(zero_scale_keeps_all),
        cmocka_unit_test(saturated_scale_catches_up),
        cmocka_unit_test(elements_without_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
