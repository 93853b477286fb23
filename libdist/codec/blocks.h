/* The walk over the blocks of a group that int8, int4, mxfp8, mxfp4 and nvfp4 share, whatever the instruction set.
 *
 * It is always inlined with a constant kind and constant dist_block_kernels, so that no call through a pointer is left.
 */
#ifndef DIST_CODEC_BLOCKS_H
#define DIST_CODEC_BLOCKS_H

#include <string.h>

#include "codec/tables.h"
#include "kernels/block.h"

#define DIST_INLINE static inline __attribute__((always_inline))

enum { DIST_GROUP_BLOCKS = DIST_GROUP / 16 };

/* n elements, in blocks of which the last may be partial. */
typedef struct dist_block_run {
    const float *h;
    float *kept;            /* or NULL */
    const uint32_t *random; /* or NULL */
    uint64_t n, block;
    const float *scale; /* of each block; NaN: codes 0, nothing kept */
    uint8_t *codes;
} dist_block_run;

typedef struct dist_block_kernels {
    void (*peaks)(const float *h, uint64_t n, uint64_t block, uint32_t *peak);
    /* stored[b] and scale[b] from peak[b], as dist_block_scale; arrays have room for whole vectors */
    void (*scales)(dist_codec_kind kind, const uint32_t *peak, uint64_t blocks, float global,
                   uint32_t *stored, float *scale);
    void (*quantize)(dist_codec_kind kind, const dist_block_run *run);
    /* one block */
    void (*dequantize)(dist_codec_kind kind, const uint8_t *codes, uint64_t n, float scale, float *out,
                       dist_write write);
} dist_block_kernels;

DIST_INLINE uint64_t dist_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

DIST_INLINE uint64_t dist_encode_blocks(dist_codec_kind kind, const dist_block_kernels *kernels,
                                        const dist_encode_group *group)
{
    const uint64_t block = group->codec->block;
    const unsigned size = dist_block_scale_bytes(kind);
    const int s = dist_block_scale_section(kind);
    const uint64_t blocks = (group->n + block - 1) / block;
    uint32_t peak[DIST_GROUP_BLOCKS] = {0}, stored[DIST_GROUP_BLOCKS];
    float scale[DIST_GROUP_BLOCKS];
    uint64_t nonfinite = 0;
    /* Two passes over the group: the scales of small blocks cost no stop each. */
    kernels->peaks(group->h, group->n, block, peak);
    kernels->scales(kind, peak, blocks, group->global, stored, scale);
    for (uint64_t b = 0; b < blocks; b++) {
        memcpy(group->section[s] + size * b, &stored[b], size); /* little endian */
        nonfinite += peak[b] >= DIST_INFINITY_BITS;
    }
    const dist_block_run run = {group->h, group->kept, group->random,        group->n,
                                block,    scale,       group->section[s + 1]};
    kernels->quantize(kind, &run);
    return nonfinite;
}

DIST_INLINE void dist_decode_blocks(dist_codec_kind kind, const dist_block_kernels *kernels,
                                    const dist_decode_group *group)
{
    const uint64_t block = group->codec->block;
    const unsigned size = dist_block_scale_bytes(kind);
    const int s = dist_block_scale_section(kind);
    uint64_t b = 0;
    for (uint64_t first = 0; first < group->n; first += block, b++) {
        const uint64_t n = dist_least(block, group->n - first);
        uint32_t stored = 0;
        memcpy(&stored, group->section[s] + size * b, size);
        const float scale = dist_block_scale_of(kind, stored, group->global);
        if (dist_is_finite(scale)) {
            const uint64_t from = dist_block_nibbles(kind) ? first / 2 : first;
            kernels->dequantize(kind, group->section[s + 1] + from, n, scale, group->out + first, group->write);
        } else {
            /* Written, not computed: the bits of 0 * NaN and of a sum of NaNs differ between processors. */
            for (uint64_t i = 0; i < n; i++)
                group->out[first + i] = dist_float_of(DIST_NAN_BITS);
        }
    }
}

/* Both functions of a codec NAME. */
#define DIST_BLOCK_FUNCTIONS(NAME, KIND, kernels, TARGET)                                                    \
    TARGET static uint64_t NAME##_encode(const dist_encode_group *group)                                     \
    {                                                                                                        \
        return dist_encode_blocks(KIND, kernels, group);                                                     \
    }                                                                                                        \
    TARGET static void NAME##_decode(const dist_decode_group *group)                                         \
    {                                                                                                        \
        dist_decode_blocks(KIND, kernels, group);                                                            \
    }

#endif
