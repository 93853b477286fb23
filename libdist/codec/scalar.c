#include "codec/tables.h"

#include "codec/elements.h"

#define ANYWHERE

static uint64_t none_encode(const dist_codec *codec, const float *values, float *feedback, uint64_t count,
                            void *encoded)
{
    (void)codec;
    const uint64_t mode = dist_fpmode_default();
    const uint64_t nonfinite = dist_encode_none_elements(values, feedback, count, encoded);
    dist_fpmode_set(mode);
    return nonfinite;
}

static void none_decode(const dist_codec *codec, const void *encoded, uint64_t count, float *values)
{
    (void)codec;
    memcpy(values, encoded, 4 * count);
}

static void none_decode_add(const dist_codec *codec, const void *encoded, uint64_t count, float *values)
{
    (void)codec;
    const uint64_t mode = dist_fpmode_default();
    dist_add_none_elements(encoded, count, values);
    dist_fpmode_set(mode);
}

static uint64_t bf16_encode(const dist_codec *codec, const float *values, float *feedback, uint64_t count,
                            void *encoded)
{
    (void)codec;
    const uint64_t mode = dist_fpmode_default();
    const uint64_t nonfinite = dist_encode_bf16_elements(values, feedback, count, encoded);
    dist_fpmode_set(mode);
    return nonfinite;
}

static void bf16_decode(const dist_codec *codec, const void *encoded, uint64_t count, float *values)
{
    (void)codec;
    dist_decode_bf16_elements(encoded, count, values, false);
}

static void bf16_decode_add(const dist_codec *codec, const void *encoded, uint64_t count, float *values)
{
    (void)codec;
    const uint64_t mode = dist_fpmode_default();
    dist_decode_bf16_elements(encoded, count, values, true);
    dist_fpmode_set(mode);
}

static void peaks(const float *x, const float *e, uint64_t n, uint64_t block, uint32_t *peak)
{
    for (uint64_t i = 0; i < n; i += block)
        *peak++ = dist_peak_elements(x + i, e ? e + i : NULL, dist_least(block, n - i));
}

static void quantize8(const float *x, float *e, uint64_t n, uint64_t block, const float *scale,
                      uint8_t *codes)
{
    for (uint64_t i = 0; i < n; i += block, scale++) {
        const uint64_t m = dist_least(block, n - i);
        if (dist_is_finite(*scale))
            dist_quantize8_elements(x + i, e ? e + i : NULL, m, *scale, codes + i);
        else
            memset(codes + i, 0, m);
    }
}

static void quantize4(const float *x, float *e, uint64_t n, uint64_t block, const float *scale,
                      uint8_t *codes)
{
    for (uint64_t i = 0; i < n; i += block, scale++) {
        const uint64_t m = dist_least(block, n - i);
        if (dist_is_finite(*scale))
            dist_quantize4_elements(x + i, e ? e + i : NULL, m, *scale, codes + i / 2);
        else
            memset(codes + i / 2, 0, (m + 1) / 2);
    }
}

static const dist_block_kernels int8_kernels = {false, peaks, quantize8, dist_dequantize8_elements};
static const dist_block_kernels int4_kernels = {true, peaks, quantize4, dist_dequantize4_elements};
DIST_BLOCK_FUNCTIONS(int8, &int8_kernels, ANYWHERE)
DIST_BLOCK_FUNCTIONS(int4, &int4_kernels, ANYWHERE)

const dist_codec_ops dist_codec_scalar[DIST_CODEC_KINDS] = {
    [DIST_CODEC_NONE] = {none_encode, none_decode, none_decode_add},
    [DIST_CODEC_BF16] = {bf16_encode, bf16_decode, bf16_decode_add},
    [DIST_CODEC_INT8] = {int8_encode, int8_decode, int8_decode_add},
    [DIST_CODEC_INT4] = {int4_encode, int4_decode, int4_decode_add},
};
