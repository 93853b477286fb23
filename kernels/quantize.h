/* Block quantization: the arithmetic of one element and of one block's scale, shared by C and CUDA.
 *
 *     h = x + feedback;  peak = max of dist_magnitude(h);  scale from peak;
 *     q = dist_quantize(h, dist_divisor(scale), qmax);  feedback = dist_residual(h, q, scale)
 *
 * A block whose peak is not finite has a NaN scale: it writes q = 0 and leaves its feedback alone.
 */
#ifndef DIST_KERNELS_QUANTIZE_H
#define DIST_KERNELS_QUANTIZE_H

#include <stdbool.h>

#include "kernels/arithmetic.h"
#include "kernels/half.h"

#define DIST_QMAX8 127.0f
#define DIST_QMAX4 7.0f

#define DIST_INFINITY_BITS 0x7f800000u

/* What dist_scale8 gives for FLT_MAX. */
#define DIST_SCALE8_MOST 0x7c010203u

/* Orders finite < infinite < NaN as integers, so a maximum does not depend on the order it is taken in. */
static inline DIST_HD uint32_t dist_magnitude(float value)
{
    return dist_bits_of(value) & 0x7fffffffu;
}

static inline DIST_HD bool dist_is_finite(float value)
{
    return dist_magnitude(value) < DIST_INFINITY_BITS;
}

static inline DIST_HD float dist_scale8(uint32_t peak)
{
    if (peak >= DIST_INFINITY_BITS)
        return dist_float_of(DIST_NAN_BITS);
    return dist_mul(dist_float_of(peak), 1.0f / DIST_QMAX8);
}

/* A float16. One too large for it saturates: q is clamped, and the rest of the value goes to the feedback. */
static inline DIST_HD uint16_t dist_scale4(uint32_t peak)
{
    if (peak >= DIST_INFINITY_BITS)
        return DIST_HALF_NAN;
    const uint16_t half = dist_half_from_float(dist_mul(dist_float_of(peak), 1.0f / DIST_QMAX4));
    return half == DIST_HALF_INFINITY ? DIST_HALF_MAX : half;
}

/* Infinity for a scale of 0: then every q is 0 and every residual is h, without a case of its own. */
static inline DIST_HD float dist_divisor(float scale)
{
    return scale == 0.0f ? dist_float_of(DIST_INFINITY_BITS) : scale;
}

static inline DIST_HD int dist_quantize(float h, float divisor, float qmax)
{
    float v = dist_div(h, divisor);
    v = v > qmax ? qmax : v;
    v = v < -qmax ? -qmax : v;
    /* Adding 1.5 * 2^23 rounds to an integer, ties to even, and leaves it in the low bits of the sum. */
    const float shifted = dist_add(v, 0x1.8p23f);
    return (int)(dist_bits_of(shifted) - dist_bits_of(0x1.8p23f));
}

static inline DIST_HD float dist_dequantize(int q, float scale)
{
    return dist_mul((float)q, scale);
}

static inline DIST_HD float dist_residual(float h, int q, float scale)
{
    return dist_sub(h, dist_dequantize(q, scale));
}

/* Two int4 to a byte: the even element in the low half, two's complement. */
static inline DIST_HD uint8_t dist_pack4(int even, int odd)
{
    return (uint8_t)((even & 15) | (odd & 15) << 4);
}

static inline DIST_HD int dist_unpack4(uint8_t byte, bool odd)
{
    const int nibble = odd ? byte >> 4 : byte & 15;
    return (nibble ^ 8) - 8;
}

#endif
