/* sparseloco: which elements of a chunk are sent and as what, shared by C and CUDA.
 *
 *     kept = the ceil(n/64) largest magnitudes of a chunk that are not 0, equal ones by lowest index
 *     levels = dist_sparse_levels(the largest of them, the ceil(kept/2)-th largest)
 *     those of them with dist_sparse_is_sent are sent, as dist_sparse_code_of
 *
 * lo is the middle one and hi the largest, so that neither an outlier nor a chunk of few values spoils the rest,
 * and no code has an error larger than leaving its element out: what error feedback needs.
 */
#ifndef DIST_KERNELS_SPARSE_H
#define DIST_KERNELS_SPARSE_H

#include "kernels/half.h"
#include "kernels/quantize.h"

typedef struct dist_sparse_levels {
    uint16_t lo_bits, hi_bits; /* float16, as stored */
    float lo, hi;
} dist_sparse_levels;

static inline DIST_HD dist_sparse_levels dist_sparse_levels_of(uint16_t lo, uint16_t hi)
{
    dist_sparse_levels levels;
    levels.lo_bits = lo;
    levels.hi_bits = hi;
    levels.lo = dist_half_to_float(lo);
    levels.hi = dist_half_to_float(hi);
    return levels;
}

/* Magnitudes beyond float16 saturate: what is clipped stays in the feedback. */
static inline DIST_HD uint16_t dist_sparse_level(uint32_t magnitude)
{
    const uint16_t half = dist_half_from_float(dist_float_of(magnitude));
    return half == DIST_HALF_INFINITY ? DIST_HALF_MAX : half;
}

static inline DIST_HD dist_sparse_levels dist_sparse_levels_from(uint32_t middle, uint32_t peak)
{
    return dist_sparse_levels_of(dist_sparse_level(middle), dist_sparse_level(peak));
}

static inline DIST_HD bool dist_sparse_is_hi(uint32_t magnitude, dist_sparse_levels levels)
{
    return dist_float_of(magnitude) >= dist_mul(dist_add(levels.lo, levels.hi), 0.5f);
}

static inline DIST_HD bool dist_sparse_is_sent(uint32_t magnitude, dist_sparse_levels levels)
{
    return dist_sparse_is_hi(magnitude, levels) ||
           (levels.lo > 0.0f && dist_float_of(magnitude) >= dist_mul(levels.lo, 0.5f));
}

/* Bit 0: hi; bit 1: negative. */
static inline DIST_HD unsigned dist_sparse_code_of(float h, dist_sparse_levels levels)
{
    return dist_bits_of(h) >> 31 << 1 | (dist_sparse_is_hi(dist_magnitude(h), levels) ? 1u : 0u);
}

static inline DIST_HD float dist_sparse_value(unsigned code, dist_sparse_levels levels)
{
    const float size = code & 1 ? levels.hi : levels.lo;
    return code & 2 ? -size : size;
}

/* Place i of a chunk's packed indices (12 bits) and codes (2 bits). */
static inline DIST_HD uint32_t dist_sparse_index(const uint8_t *indices, uint32_t i)
{
    const uint8_t *pair = indices + i / 2 * 3;
    return i % 2 ? pair[1] >> 4 | (uint32_t)pair[2] << 4 : pair[0] | (uint32_t)(pair[1] & 15) << 8;
}

static inline DIST_HD unsigned dist_sparse_code(const uint8_t *codes, uint32_t i)
{
    return (unsigned)codes[i / 4] >> i % 4 * 2 & 3u;
}

#endif
