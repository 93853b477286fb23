/* The walk over blocks that int8 and int4 share, whatever the instruction set.
 *
 * It is always inlined with a constant dist_block_kernels, so that no call through a pointer is left.
 */
#ifndef DIST_CODEC_BLOCKS_H
#define DIST_CODEC_BLOCKS_H

#include <string.h>

#include "codec/codec.h"
#include "base/fpmode.h"
#include "codec/layout.h"
#include "kernels/quantize.h"

#define DIST_INLINE static inline __attribute__((always_inline))

/* Elements between two looks at the scales: two passes over so many stay in the L1 cache, and the scales of
 * small blocks cost no stop each. */
enum { DIST_GROUP = 1024, DIST_GROUP_BLOCKS = DIST_GROUP / 16 };

/* On any n elements from 1, in blocks of which the last may be partial; e, the feedback, may be NULL. */
typedef struct dist_block_kernels {
    bool half; /* float16 scales and two codes a byte, else float32 scales and one */
    void (*peaks)(const float *x, const float *e, uint64_t n, uint64_t block, uint32_t *peak);
    void (*quantize)(const float *x, float *e, uint64_t n, uint64_t block, const float *scale,
                     uint8_t *codes);
    /* one block */
    void (*dequantize)(const uint8_t *codes, uint64_t n, float scale, float *values, bool add);
} dist_block_kernels;

DIST_INLINE uint64_t dist_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Stores the scale of block b and returns it as decoding will read it. */
DIST_INLINE float dist_store_scale(bool half, uint8_t *scales, uint64_t b, uint32_t peak)
{
    if (half) {
        const uint16_t scale = dist_scale4(peak);
        memcpy(scales + 2 * b, &scale, 2);
        return dist_half_to_float(scale);
    }
    const float scale = dist_scale8(peak);
    memcpy(scales + 4 * b, &scale, 4);
    return scale;
}

DIST_INLINE float dist_load_scale(bool half, const uint8_t *scales, uint64_t b)
{
    if (half) {
        uint16_t scale;
        memcpy(&scale, scales + 2 * b, 2);
        return dist_half_to_float(scale);
    }
    float scale;
    memcpy(&scale, scales + 4 * b, 4);
    return scale;
}

DIST_INLINE uint64_t dist_encode_blocks(const dist_block_kernels *kernels, const dist_codec *codec,
                                        const float *values, float *feedback, uint64_t count, void *encoded)
{
    const uint64_t mode = dist_fpmode_default();
    const uint64_t block = codec->block, group = block > DIST_GROUP ? block : DIST_GROUP;
    uint8_t *scales = encoded;
    uint8_t *codes = scales + dist_codec_scale_bytes(codec, count);
    uint64_t nonfinite = 0, blocks = 0;
    for (uint64_t first = 0; first < count; first += group) {
        const uint64_t n = dist_least(group, count - first);
        const float *x = values + first;
        float *e = feedback ? feedback + first : NULL;
        uint32_t peak[DIST_GROUP_BLOCKS];
        float scale[DIST_GROUP_BLOCKS];
        kernels->peaks(x, e, n, block, peak);
        for (uint64_t b = 0; b * block < n; b++) {
            scale[b] = dist_store_scale(kernels->half, scales, blocks++, peak[b]);
            nonfinite += !dist_is_finite(scale[b]);
        }
        kernels->quantize(x, e, n, block, scale, codes + (kernels->half ? first / 2 : first));
    }
    dist_fpmode_set(mode);
    return nonfinite;
}

DIST_INLINE void dist_decode_blocks(const dist_block_kernels *kernels, const dist_codec *codec,
                                    const void *encoded, uint64_t count, float *values, bool add)
{
    const uint64_t mode = dist_fpmode_default();
    const uint8_t *scales = encoded;
    const uint8_t *codes = scales + dist_codec_scale_bytes(codec, count);
    uint64_t b = 0;
    for (uint64_t first = 0; first < count; first += codec->block, b++) {
        const uint64_t n = dist_least(codec->block, count - first);
        const float scale = dist_load_scale(kernels->half, scales, b);
        if (dist_is_finite(scale)) {
            const uint8_t *from = codes + (kernels->half ? first / 2 : first);
            kernels->dequantize(from, n, scale, values + first, add);
        } else {
            /* Written, not computed: the bits of 0 * NaN and of a sum of NaNs differ between processors. */
            for (uint64_t i = 0; i < n; i++)
                values[first + i] = dist_float_of(DIST_NAN_BITS);
        }
    }
    dist_fpmode_set(mode);
}

/* The three functions of a codec NAME over `kernels`. */
#define DIST_BLOCK_FUNCTIONS(NAME, kernels, TARGET)                                                          \
    TARGET static uint64_t NAME##_encode(const dist_codec *codec, const float *values, float *feedback,      \
                                         uint64_t count, void *encoded)                                      \
    {                                                                                                        \
        return dist_encode_blocks(kernels, codec, values, feedback, count, encoded);                         \
    }                                                                                                        \
    TARGET static void NAME##_decode(const dist_codec *codec, const void *encoded, uint64_t count,           \
                                     float *values)                                                          \
    {                                                                                                        \
        dist_decode_blocks(kernels, codec, encoded, count, values, false);                                   \
    }                                                                                                        \
    TARGET static void NAME##_decode_add(const dist_codec *codec, const void *encoded, uint64_t count,       \
                                         float *values)                                                      \
    {                                                                                                        \
        dist_decode_blocks(kernels, codec, encoded, count, values, true);                                    \
    }

#endif
