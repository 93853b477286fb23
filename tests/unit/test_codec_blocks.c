/* The bytes of the scalar codecs against the definition in <libdist/codec.h>, written once more and plainly.
 */
#include "codec_data.h"

#include "codec/layout.h"
#include "kernels/half.h"

/* One rounding a step, whatever the compiler would like to fuse. */
static float rounded(float value)
{
    volatile float once = value;
    return once;
}

static int reference_q(float h, float scale, int qmax)
{
    if (scale == 0.0f)
        return 0;
    const double v = (double)rounded(h / scale);
    if (v >= qmax)
        return qmax;
    if (v <= -qmax)
        return -qmax;
    int q = (int)v; /* toward zero */
    const double rest = v - q, size = rest < 0 ? -rest : rest;
    if (size > 0.5 || (size == 0.5 && q % 2 != 0))
        q += rest < 0 ? -1 : 1;
    return q;
}

static bool is_finite(float value)
{
    return (bits_of(value) & 0x7f800000u) != 0x7f800000u;
}

/* The scale of a block as decoding reads it; NaN when it has a non-finite element. */
static float reference_scale(const float *h, uint64_t n, bool half)
{
    float peak = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (!is_finite(h[i]))
            return float_of(0x7fc00000);
        peak = h[i] > peak ? h[i] : -h[i] > peak ? -h[i] : peak;
    }
    if (!half)
        return rounded(peak * (1.0f / 127.0f));
    const float wanted = rounded(peak * (1.0f / 7.0f));
    return wanted > 65504.0f ? 65504.0f : dist_half_to_float(dist_half_from_float(wanted));
}

static int stored_q(const uint8_t *codes, uint64_t i, bool half)
{
    if (!half)
        return codes[i] < 128 ? codes[i] : codes[i] - 256;
    const int nibble = i % 2 ? codes[i / 2] >> 4 : codes[i / 2] & 15;
    return nibble < 8 ? nibble : nibble - 16;
}

static void check_block(const float *h, const float *before, const float *after, uint64_t n, float stored,
                        const uint8_t *codes, bool half)
{
    const float scale = reference_scale(h, n, half);
    assert_int_equal(bits_of(stored), bits_of(scale));
    for (uint64_t i = 0; i < n; i++) {
        const int q = is_finite(scale) ? reference_q(h[i], scale, half ? 7 : 127) : 0;
        assert_int_equal(stored_q(codes, i, half), q);
        const float rest = is_finite(scale) ? rounded(h[i] - rounded((float)q * scale)) : before[i];
        assert_int_equal(bits_of(after[i]), bits_of(rest));
    }
}

static void check_blocks(const char *text, uint64_t count, data kind)
{
    const dist_codec codec = codec_of(text, DIST_SIMD_SCALAR);
    const bool half = codec.kind == DIST_CODEC_INT4;
    const uint64_t bytes = dist_codec_bytes(&codec, count), scales = dist_codec_scale_bytes(&codec, count);
    float *x = exactly(4 * count), *before = exactly(4 * count), *after = exactly(4 * count);
    float *h = exactly(4 * count);
    uint8_t *encoded = exactly(bytes);
    fill(x, count, kind, count);
    fill_feedback(before, count, kind, count);
    memcpy(after, before, 4 * count);
    memset(encoded, 0xa5, bytes); /* codes of 0 are written, not found */
    for (uint64_t i = 0; i < count; i++)
        h[i] = rounded(x[i] + before[i]);

    uint64_t nonfinite = codec.ops->encode(&codec, x, after, count, encoded);
    for (uint64_t first = 0, b = 0; first < count; first += codec.block, b++) {
        const uint64_t n = count - first < codec.block ? count - first : codec.block;
        uint32_t pattern = 0;
        memcpy(&pattern, encoded + b * (half ? 2 : 4), half ? 2 : 4);
        if (half && pattern >= 0x7c00)
            assert_int_equal(pattern, 0x7e00);
        const float scale = half ? dist_half_to_float((uint16_t)pattern) : float_of(pattern);
        nonfinite -= !is_finite(scale);
        check_block(h + first, before + first, after + first, n, scale,
                    encoded + scales + (half ? first / 2 : first), half);
    }
    assert_int_equal(nonfinite, 0);
    if (half && count % 2)
        assert_int_equal(encoded[bytes - 1] >> 4, 0);
    free(x), free(before), free(after), free(h), free(encoded);
}

static void blocks_follow_the_definition(void **state)
{
    (void)state;
    for (unsigned c = 0; c < TEST_CODECS; c++)
        if (test_codecs[c][0] == 'i' && !strstr(test_codecs[c], "none"))
            for (int kind = 0; kind < DATA_KINDS; kind++)
                for (unsigned n = 0; n < TEST_COUNTS; n++)
                    check_blocks(test_codecs[c], test_counts[n], (data)kind);
}

/* What a second implementation, or this one in ten years, has to write. */
static void golden_bytes(void **state)
{
    (void)state;
    const float x[] = {7.0f, -7.0f, 1.0f, 0.5f, 1.5f, -0.5f, 2.5f};
    const uint8_t int4[] = {0x00, 0x3c, 0x97, 0x01, 0x02, 0x02};
    const float y[] = {127.0f, -127.0f, 1.0f, 0.5f, 1.5f, -0.5f, -2.5f};
    const uint8_t int8[] = {0x00, 0x00, 0x80, 0x3f, 0x7f, 0x81, 0x01, 0x00, 0x02, 0x00, 0xfe};
    const float z[] = {1.0f, -2.0f, 0x1.01p0f, 0x1.03p0f};
    const uint8_t bf16[] = {0x80, 0x3f, 0x00, 0xc0, 0x80, 0x3f, 0x82, 0x3f};
    const struct golden {
        const char *text;
        const float *values;
        uint64_t count, bytes;
        const uint8_t *encoded;
    } golden[] = {{"int4", x, 7, 6, int4}, {"int8", y, 7, 11, int8}, {"bf16", z, 4, 8, bf16}};
    for (int g = 0; g < 3; g++) {
        const dist_codec codec = codec_of(golden[g].text, DIST_SIMD_AUTO);
        uint8_t encoded[16];
        assert_int_equal(dist_codec_bytes(&codec, golden[g].count), golden[g].bytes);
        codec.ops->encode(&codec, golden[g].values, NULL, golden[g].count, encoded);
        assert_memory_equal(encoded, golden[g].encoded, golden[g].bytes);
    }
}

static void sizes_are_exact(void **state)
{
    (void)state;
    const struct size {
        const char *text;
        uint64_t count, bytes;
    } sizes[] = {{"none", 5, 20},
                 {"bf16", 5, 10},
                 {"int8", 0, 0},
                 {"int8", 1, 5},
                 {"int8", 256, 260},
                 {"int8", 257, 265},
                 {"int8:block=16", 17, 25},
                 {"int4", 0, 0},
                 {"int4", 1, 3},
                 {"int4", 32, 18},
                 {"int4", 33, 21},
                 {"int4:block=4096", 4097, 2053}};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const dist_codec codec = codec_of(sizes[s].text, DIST_SIMD_AUTO);
        assert_int_equal(dist_codec_bytes(&codec, sizes[s].count), sizes[s].bytes);
    }
    const dist_codec codec = codec_of("bf16", DIST_SIMD_AUTO);
    assert_true(dist_codec_bytes(&codec, UINT64_MAX / 2 + 1) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_follow_the_definition),
        cmocka_unit_test(golden_bytes),
        cmocka_unit_test(sizes_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
