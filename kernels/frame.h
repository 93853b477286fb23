/* Where everything lies in a frame: shared by C and CUDA. include/libdist/codec.h describes the format. */
#ifndef DIST_KERNELS_FRAME_H
#define DIST_KERNELS_FRAME_H

#include "kernels/arithmetic.h"

#define DIST_FRAME_MAGIC   0x46534944u /* "DISF" */
#define DIST_FRAME_VERSION 1
#define DIST_FRAME_HEADER  32
#define DIST_FRAME_GRAIN   16 /* sections begin at multiples of it */

enum { DIST_FRAME_NONFINITE = 1, DIST_FRAME_STOCHASTIC = 2 };

/* The numbers are those of the header. */
typedef enum dist_codec_kind {
    DIST_CODEC_NONE,
    DIST_CODEC_BF16,
    DIST_CODEC_FP16,
    DIST_CODEC_INT8,
    DIST_CODEC_INT4,
    DIST_CODEC_INT4_HADAMARD,
    DIST_CODEC_MXFP8,
    DIST_CODEC_MXFP4,
    DIST_CODEC_NVFP4,
    DIST_CODEC_TOPK,
    DIST_CODEC_SPARSELOCO,
    DIST_CODEC_POWERSGD, /* has no frames */
    DIST_CODEC_KINDS
} dist_codec_kind;

typedef struct dist_frame_header {
    uint32_t magic;
    uint8_t version, codec;
    uint16_t flags;
    uint32_t block, seed;
    uint64_t count;
    uint32_t kept, crc;
} dist_frame_header;

/* What the layout of a frame depends on, besides its count. */
typedef struct dist_coding {
    uint32_t kind;  /* dist_codec_kind */
    uint32_t block; /* elements that share a scale; 1 without blocks */
    uint32_t kept;  /* topk: elements sent, of this count */
} dist_coding;

enum { DIST_SPARSE_CHUNK = 4096, DIST_SPARSE_SHARE = 64, DIST_SECTIONS = 3 };

static inline DIST_HD uint64_t dist_blocks_of(uint64_t n, uint32_t block)
{
    return n / block + (n % block != 0);
}

/* Elements for which a rotation of n has codes: a partial block is padded to a power of two. */
static inline DIST_HD uint32_t dist_rotation_of(uint64_t n, uint32_t block)
{
    uint32_t rotation = 2;
    if (n >= block)
        return block;
    while (rotation < n)
        rotation *= 2;
    return rotation;
}

/* Elements that a chunk of n sends. */
static inline DIST_HD uint32_t dist_sparse_kept(uint64_t n)
{
    return (uint32_t)((n + DIST_SPARSE_SHARE - 1) / DIST_SPARSE_SHARE);
}

/* Whole chunks have `whole` bytes, a partial one `bits` for each place. */
static inline DIST_HD uint64_t dist_sparse_bytes(uint64_t n, uint32_t whole, uint32_t bits)
{
    const uint32_t kept = dist_sparse_kept(n % DIST_SPARSE_CHUNK);
    return n / DIST_SPARSE_CHUNK * whole + (kept * bits + 7) / 8;
}

/* Bytes of the first section for n elements. Of a frame's first n elements too, when n is a multiple of the block. */
static inline DIST_HD uint64_t dist_section0_bytes(dist_coding coding, uint64_t n)
{
    switch (coding.kind) {
    case DIST_CODEC_NONE:
        return 4 * n;
    case DIST_CODEC_BF16:
    case DIST_CODEC_FP16:
        return 2 * n;
    case DIST_CODEC_INT8:
    case DIST_CODEC_INT4_HADAMARD:
    case DIST_CODEC_SPARSELOCO:
        return 4 * dist_blocks_of(n, coding.block);
    case DIST_CODEC_INT4:
        return 2 * dist_blocks_of(n, coding.block);
    case DIST_CODEC_MXFP8:
    case DIST_CODEC_MXFP4:
        return dist_blocks_of(n, coding.block);
    case DIST_CODEC_NVFP4:
        return n ? 4 : 0;
    case DIST_CODEC_TOPK:
        return 4 * (uint64_t)coding.kept;
    default:
        return 0;
    }
}

static inline DIST_HD uint64_t dist_section1_bytes(dist_coding coding, uint64_t n)
{
    switch (coding.kind) {
    case DIST_CODEC_INT8:
    case DIST_CODEC_MXFP8:
        return n;
    case DIST_CODEC_INT4:
    case DIST_CODEC_MXFP4:
        return n / 2 + n % 2;
    case DIST_CODEC_INT4_HADAMARD: {
        const uint64_t rest = n % coding.block;
        return n / coding.block * (coding.block / 2) + (rest ? dist_rotation_of(rest, coding.block) / 2 : 0);
    }
    case DIST_CODEC_NVFP4:
        return dist_blocks_of(n, coding.block);
    case DIST_CODEC_TOPK:
        return 4 * (uint64_t)coding.kept;
    case DIST_CODEC_SPARSELOCO:
        return dist_sparse_bytes(n, DIST_SPARSE_SHARE * 12 / 8, 12);
    default:
        return 0;
    }
}

static inline DIST_HD uint64_t dist_section2_bytes(dist_coding coding, uint64_t n)
{
    switch (coding.kind) {
    case DIST_CODEC_NVFP4:
        return n / 2 + n % 2;
    case DIST_CODEC_SPARSELOCO:
        return dist_sparse_bytes(n, DIST_SPARSE_SHARE * 2 / 8, 2);
    default:
        return 0;
    }
}

static inline DIST_HD uint64_t dist_section_bytes(dist_coding coding, int section, uint64_t n)
{
    return section == 0   ? dist_section0_bytes(coding, n)
           : section == 1 ? dist_section1_bytes(coding, n)
                          : dist_section2_bytes(coding, n);
}

static inline DIST_HD uint64_t dist_grains(uint64_t bytes)
{
    return (bytes + DIST_FRAME_GRAIN - 1) / DIST_FRAME_GRAIN * DIST_FRAME_GRAIN;
}

/* Where the sections of a frame of `count` elements begin, and where the last ends. */
typedef struct dist_layout {
    uint64_t at[DIST_SECTIONS];
    uint64_t bytes;
} dist_layout;

static inline DIST_HD dist_layout dist_layout_of(dist_coding coding, uint64_t count)
{
    dist_layout layout;
    const uint64_t first = dist_section0_bytes(coding, count), second = dist_section1_bytes(coding, count),
                   third = dist_section2_bytes(coding, count);
    layout.at[0] = DIST_FRAME_HEADER;
    layout.bytes = layout.at[0] + first;
    layout.at[1] = second ? dist_grains(layout.bytes) : layout.bytes;
    layout.bytes = layout.at[1] + second;
    layout.at[2] = third ? dist_grains(layout.bytes) : layout.bytes;
    layout.bytes = layout.at[2] + third;
    return layout;
}

#endif
