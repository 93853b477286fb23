/* How far an element can be from what it was: a function of the scales in a frame alone. */
#include <math.h>
#include <string.h>

#include "codec/frame.h"
#include "codec/sections.h"
#include "kernels/block.h"
#include "kernels/hadamard.h"
#include "kernels/sparse.h"

/* Room for what the formulas round away themselves. */
#define SLACK (1 + 0x1p-18)

typedef struct bounded {
    const dist_codec *codec;
    dist_sections sections;
    uint64_t count;
    float global;
} bounded;

static uint32_t stored_scale(const bounded *b, uint64_t block)
{
    const unsigned size = dist_block_scale_bytes(b->codec->kind);
    const int s = dist_block_scale_section(b->codec->kind);
    uint32_t stored = 0;
    memcpy(&stored, b->sections.frame + b->sections.layout.at[s] + size * block, size);
    return stored;
}

/* In int4 a peak of up to 7 times half a unit of a subnormal float16 lies above 7 scales; in int8 of a subnormal
 * float32. */
static double integer_bound(const bounded *b, uint64_t block)
{
    const uint32_t stored = stored_scale(b, block);
    const bool half = b->codec->kind == DIST_CODEC_INT4;
    const double scale = (double)dist_block_scale_of(b->codec->kind, stored, 0);
    const double least = half ? 7 * 0x1p-25 : 127 * 0x1p-149;
    if (half && stored == DIST_HALF_MAX)
        return HUGE_VAL;
    const double quotient = scale * 0x1p-16; /* rounded where it is up to 127, and the product again */
    return fmax((b->codec->stochastic ? scale : scale / 2) + quotient, least);
}

static double mx_bound(const bounded *b, uint64_t block)
{
    const uint32_t stored = stored_scale(b, block);
    const bool four = b->codec->kind == DIST_CODEC_MXFP4;
    if (stored == (four ? DIST_MXFP4_MOST : DIST_MXFP8_MOST))
        return HUGE_VAL;
    return (four ? 1 : 16) * (double)dist_e8m0_to_float((uint8_t)stored);
}

/* A subnormal E4M3 scale, or none, leaves up to half of its unit six times; a subnormal scale of the frame half of its
 * own 2688 times. */
static double nvfp4_bound(const bounded *b, uint64_t block)
{
    const uint32_t stored = stored_scale(b, block);
    const double scale = (double)dist_e4m3_to_float((uint8_t)stored) * (double)b->global;
    const double least = (b->global < 0x1p-126f ? 1350 : 8) * 0x1p-149;
    return fmax(scale, stored < 8 ? 3 * 0x1p-9 * (double)b->global : 0) + least;
}

static double hadamard_bound(const bounded *b, uint64_t block)
{
    const uint64_t first = block * b->codec->block;
    const uint64_t n = b->count - first < b->codec->block ? b->count - first : b->codec->block;
    const uint32_t d = dist_rotation_of(n, b->codec->block);
    const uint8_t *codes = dist_section_from(&b->sections, 1, first);
    double squares = 0;
    float scale;
    memcpy(&scale, dist_section_from(&b->sections, 0, first), 4);
    for (uint32_t i = 0; i < d; i++) {
        const double c = (double)dist_centroid((unsigned)codes[i / 2] >> i % 2 * 4 & 15u);
        squares += c * c;
    }
    const double norm = sqrt((double)d * squares) + (b->codec->stochastic ? (double)d : 0);
    return (double)scale * norm * (1 + 0x1p-10) + 0x1p-126; /* sums of up to 4096 elements round more */
}

static double sparse_bound(const bounded *b, uint64_t block)
{
    uint16_t level[2];
    memcpy(level, b->sections.frame + b->sections.layout.at[0] + 4 * block, 4);
    const dist_sparse_levels levels = dist_sparse_levels_of(level[0], level[1]);
    if (level[1] == DIST_HALF_MAX)
        return HUGE_VAL;
    const double lo = (double)levels.lo, hi = (double)levels.hi;
    return fmax(lo, (hi - lo) / 2) * (1 + 0x1p-10) + 0x1p-25; /* half a unit of a subnormal float16 */
}

/* Half a unit in the last place of the largest finite value sent, a whole one when rounded stochastically. */
static double short_bound(const bounded *b)
{
    const bool half = b->codec->kind == DIST_CODEC_FP16;
    const uint16_t infinity = half ? DIST_HALF_INFINITY : 0x7f80u;
    uint16_t most = 0;
    for (uint64_t i = 0; i < b->count; i++) {
        uint16_t code;
        memcpy(&code, b->sections.frame + b->sections.layout.at[0] + 2 * i, 2);
        code &= 0x7fff;
        most = code < infinity && code > most ? code : most;
    }
    if (most + 1 == infinity && b->codec->stochastic)
        return HUGE_VAL;
    const double value = half ? (double)dist_half_to_float(most) : (double)dist_bfloat_to_float(most);
    const uint16_t next = (uint16_t)(most + 1);
    const double above = half ? (double)dist_half_to_float(next) : (double)dist_bfloat_to_float(next);
    const double unit = next == infinity ? ldexp(1, half ? 5 : 120) : above - value;
    return b->codec->stochastic ? unit : unit / 2;
}

static double topk_bound(const bounded *b)
{
    const uint32_t kept = b->sections.coding.kept;
    double least = HUGE_VAL;
    for (uint32_t i = 0; i < kept; i++) {
        float value;
        memcpy(&value, b->sections.frame + b->sections.layout.at[1] + 4 * (uint64_t)i, 4);
        least = fabs((double)value) < least ? fabs((double)value) : least;
    }
    return kept == b->count ? 0 : least;
}

/* Whether a block is finite is the bound's business too: a NaN scale makes a NaN bound, which is left out. */
static double largest(const bounded *b, double (*of_block)(const bounded *b, uint64_t block))
{
    double most = 0;
    for (uint64_t block = 0; block < dist_blocks_of(b->count, b->codec->block); block++) {
        const double bound = of_block(b, block);
        most = bound > most ? bound : most;
    }
    return most * SLACK;
}

double dist_frame_error_bound(const dist_codec *codec, const void *frame, uint64_t count)
{
    bounded b = {.codec = codec, .count = count};
    dist_sections_open(&b.sections, codec, count, frame);
    if (count == 0)
        return 0;
    switch (codec->kind) {
    case DIST_CODEC_NONE:
    case DIST_CODEC_POWERSGD:
    case DIST_CODEC_KINDS:
        break;
    case DIST_CODEC_BF16:
    case DIST_CODEC_FP16:
        return short_bound(&b);
    case DIST_CODEC_INT8:
    case DIST_CODEC_INT4:
        return largest(&b, integer_bound);
    case DIST_CODEC_INT4_HADAMARD:
        return largest(&b, hadamard_bound);
    case DIST_CODEC_MXFP8:
    case DIST_CODEC_MXFP4:
        return largest(&b, mx_bound);
    case DIST_CODEC_NVFP4:
        memcpy(&b.global, dist_section_from(&b.sections, 0, 0), 4);
        return largest(&b, nvfp4_bound);
    case DIST_CODEC_TOPK:
        return topk_bound(&b);
    case DIST_CODEC_SPARSELOCO:
        return largest(&b, sparse_bound);
    }
    return 0;
}
