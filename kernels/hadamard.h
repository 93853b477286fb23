/* The 4-bit codec on Hadamard-rotated blocks (EDEN, DRIVE): arithmetic shared by C and CUDA.
 *
 * A block of d elements, d a power of two (a partial one is padded with zeros):
 *     unit = dist_hadamard_unit_of(peak);  x = signs applied to h * unit.inverse;  dist_hadamard(x, d)
 *     squares = dist_sum_squares16(x, d);  z = x * dist_hadamard_by(squares, d)
 *     code = dist_centroid_code(z), or dist_centroid_code_stochastic
 *     scale = dist_hadamard_scale(squares, dist_dot16(centroids of the codes, x, d), d, unit.unit, stochastic)
 * and back: y = centroids of the codes;  dist_hadamard(y, d);  signs applied to dist_saturated(y * scale)
 */
#ifndef DIST_KERNELS_HADAMARD_H
#define DIST_KERNELS_HADAMARD_H

#include <stdbool.h>

#include "kernels/arithmetic.h"
#include "kernels/philox.h"
#include "kernels/stochastic.h"

#define DIST_HADAMARD_LEAST 16
#define DIST_HADAMARD_MOST  4096

/* The second word of the key, so that signs and roundings with one 32-bit seed differ. */
#define DIST_HADAMARD_KEY 0x48414441u

/* Bit i is set where element 32 * word + i of a block changes its sign; the same for each block of a frame. */
static inline DIST_HD uint32_t dist_hadamard_signs(uint32_t seed, uint32_t word)
{
    const uint32_t key[2] = {seed, DIST_HADAMARD_KEY};
    const uint32_t counter[4] = {word / 4, 0, 0, 0};
    uint32_t four[4];
    dist_philox4x32(counter, key, four);
    return four[word % 4];
}

/* Unnormalized, in place. Stages of stride 1, 2, 4 to d/2: the order decides how sums round. */
static inline DIST_HD void dist_hadamard(float *x, unsigned d)
{
    for (unsigned stride = 1; stride < d; stride *= 2)
        for (unsigned first = 0; first < d; first += 2 * stride)
            for (unsigned i = first; i < first + stride; i++) {
                const float a = x[i], b = x[i + stride];
                x[i] = dist_add(a, b);
                x[i + stride] = dist_sub(a, b);
            }
}

/* 1 / sqrt(d), d a power of two: 2^-k or sqrt(2) * 2^-k to nearest. */
static inline DIST_HD float dist_hadamard_factor(unsigned d)
{
    uint32_t log = 0;
    while (log < 31 && 1u << log < d)
        log++;
    return dist_float_of((127u - (log + 1) / 2) << 23 | (log % 2 ? 0x3504f3u : 0u));
}

/* Lloyd-Max for the magnitude of a normal variable, and the midpoints between neighbours. */
#define DIST_CENTROIDS           0.1284f, 0.3880f, 0.6568f, 0.9423f, 1.2562f, 1.6180f, 2.0690f, 2.7326f
#define DIST_CENTROID_THRESHOLDS 0.2582f, 0.5224f, 0.79955f, 1.09925f, 1.4371f, 1.8435f, 2.4008f

/* How many thresholds are at most `magnitude`. */
static inline DIST_HD unsigned dist_centroid_index(float magnitude)
{
    const float threshold[7] = {DIST_CENTROID_THRESHOLDS};
    unsigned index = 0;
    for (int i = 0; i < 7; i++)
        index += magnitude >= threshold[i];
    return index;
}

/* Bit 3 is the sign, the rest the index. Selects, because a table indexed on a device lies in memory. */
static inline DIST_HD float dist_centroid(unsigned code)
{
    const float c[8] = {DIST_CENTROIDS};
    const float low = code & 2u ? (code & 1u ? c[3] : c[2]) : (code & 1u ? c[1] : c[0]);
    const float high = code & 2u ? (code & 1u ? c[7] : c[6]) : (code & 1u ? c[5] : c[4]);
    return dist_float_of(dist_bits_of(code & 4u ? high : low) | (uint32_t)(code & 8u) << 28);
}

/* For magnitude >= 0: one of the two signed centroids around it, so that the mean is the magnitude up to
 * 2.7326. The code is an index, or 8 (-0.1284), because below 0.1284 the lower neighbour is negative. */
static inline DIST_HD unsigned dist_centroid_index_stochastic(float magnitude, uint32_t r)
{
    const float c[8] = {DIST_CENTROIDS};
    unsigned above = 0;
    for (int i = 0; i < 8; i++)
        above += magnitude >= c[i];
    const unsigned low = above ? above - 1 : 8u, high = above < 8 ? above : 7u;
    const float from = dist_centroid(low), gap = dist_sub(dist_centroid(high), from);
    return dist_mul(dist_random_unit(r), gap) < dist_sub(magnitude, from) ? high : low;
}

/* The same for any v: its mean is v within [-2.7326, 2.7326], and beyond the nearest centroid. */
static inline DIST_HD unsigned dist_centroid_code_stochastic(float v, uint32_t r)
{
    const uint32_t bits = dist_bits_of(v);
    return dist_centroid_index_stochastic(dist_float_of(bits & 0x7fffffffu), r) ^ (bits >> 28 & 8u);
}

/* a[0] b[0] + ... + a[d-1] b[d-1] in one order for scalars, vectors of 4, 8 and 16, and warps: 16 partial sums
 * start at +0; element i is added to partial i % 16, in increasing i; then partial j + s is added to partial j
 * for j < s, with s = 8, 4, 2, 1. Products are rounded before they are added. */
static inline DIST_HD float dist_dot16(const float *a, const float *b, unsigned d)
{
    float partial[16];
    for (unsigned j = 0; j < 16; j++)
        partial[j] = 0.0f;
    for (unsigned i = 0; i < d; i++)
        partial[i % 16] = dist_add(partial[i % 16], dist_mul(a[i], b[i]));
    for (unsigned s = 8; s > 0; s /= 2)
        for (unsigned j = 0; j < s; j++)
            partial[j] = dist_add(partial[j], partial[j + s]);
    return partial[0];
}

static inline DIST_HD float dist_sum_squares16(const float *x, unsigned d)
{
    return dist_dot16(x, x, d);
}

/* The power of two below a block's peak, and its inverse: h * inverse is in (-2, 2), so that no square overflows. */
typedef struct dist_hadamard_unit {
    float unit, inverse;
} dist_hadamard_unit;

static inline DIST_HD dist_hadamard_unit dist_hadamard_unit_of(uint32_t peak)
{
    const uint32_t e = peak >> 23 ? peak >> 23 : 1u;
    dist_hadamard_unit unit;
    unit.unit = dist_float_of(e << 23);
    unit.inverse = e == 254u ? dist_float_of(0x400000u) : dist_float_of((254u - e) << 23);
    return unit;
}

/* By what rotated elements are multiplied to have variance 1. */
static inline DIST_HD float dist_hadamard_by(float squares, unsigned d)
{
    return dist_sqrt(dist_div((float)d, squares));
}

/* EDEN's scale, or the norm when the codes are unbiased themselves; divided by d for the rotation back. */
static inline DIST_HD float dist_hadamard_scale(float squares, float dot, unsigned d, float unit,
                                                bool stochastic)
{
    const float per_element = 1.0f / (float)d; /* exact */
    const float scale = stochastic ? dist_sqrt(dist_mul(squares, per_element)) : dist_div(squares, dot);
    return dist_mul(dist_mul(scale, per_element), unit);
}

static inline DIST_HD unsigned dist_centroid_code(float z)
{
    const uint32_t bits = dist_bits_of(z);
    return dist_centroid_index(dist_float_of(bits & 0x7fffffffu)) | (bits >> 28 & 8u);
}

/* The finite value nearest to v, which is no NaN. */
static inline DIST_HD float dist_saturated(float v)
{
    const float most = dist_float_of(0x7f7fffffu);
    return v > most ? most : v < -most ? -most : v;
}

#endif
