/* Values and feedback to float32 and back, one element after another: the definition, and the ends of vectors. */
#ifndef DIST_CODEC_STAGING_H
#define DIST_CODEC_STAGING_H

#include <string.h>

#include "codec/elements.h"

/* A value at i of an array of `type`, as float32. */
DIST_INLINE float dist_widened(dist_type type, const void *x, uint64_t i)
{
    uint16_t bits;
    if (type == DIST_FLOAT32)
        return ((const float *)x)[i];
    memcpy(&bits, (const char *)x + 2 * i, 2);
    return type == DIST_FLOAT16 ? dist_half_to_float(bits) : dist_bfloat_to_float(bits);
}

DIST_INLINE void dist_narrowed(dist_type type, float value, uint64_t i, void *x)
{
    if (type == DIST_FLOAT32) {
        ((float *)x)[i] = value;
        return;
    }
    const uint16_t bits = type == DIST_FLOAT16 ? dist_half_from_float(value) : dist_bfloat_from_float(value);
    memcpy((char *)x + 2 * i, &bits, 2);
}

DIST_INLINE void dist_stage_elements(dist_type type, const void *x, const float *e, float decay, uint64_t n,
                                     float *h)
{
    for (uint64_t i = 0; i < n; i++) {
        const float value = dist_widened(type, x, i);
        h[i] = e ? dist_add(value, decay == 1.0f ? e[i] : dist_mul(e[i], decay)) : value;
    }
}

DIST_INLINE void dist_unstage_elements(dist_type type, const float *sum, int divisor, bool add,
                                       uint64_t first, uint64_t n, void *values)
{
    for (uint64_t i = first; i < n; i++) {
        const float part = divisor == 1 ? sum[i] : dist_div(sum[i], (float)divisor);
        dist_narrowed(type, add ? dist_sum(dist_widened(type, values, i), part) : part, i, values);
    }
}

#endif
