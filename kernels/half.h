/* float16 and bfloat16 from and to float32, in integers alone: no rounding mode or flush-to-zero reaches
 * them.
 *
 * Narrowing rounds to nearest even, overflows to infinity, keeps subnormals, and turns every NaN into one:
 * which payload an addition of two NaNs keeps differs between processors, and must not reach the bytes.
 */
#ifndef DIST_KERNELS_HALF_H
#define DIST_KERNELS_HALF_H

#include "kernels/arithmetic.h"

#define DIST_HALF_NAN      0x7e00u
#define DIST_HALF_INFINITY 0x7c00u
#define DIST_HALF_MAX      0x7bffu /* 65504 */
#define DIST_BFLOAT_NAN    0x7fc0u

/* bits / 2^shift, to nearest even. */
static inline DIST_HD uint32_t dist_shift_rne(uint32_t bits, unsigned shift)
{
    return (bits + ((1u << (shift - 1)) - 1u) + ((bits >> shift) & 1u)) >> shift;
}

static inline DIST_HD uint16_t dist_half_from_float(float value)
{
    const uint32_t least = 0x38800000u, beyond = 0x47800000u; /* 2^-14, the least normal, and 2^16 */
    const uint32_t bits = dist_bits_of(value);
    const uint32_t magnitude = bits & 0x7fffffffu;
    const uint32_t sign = bits >> 16 & 0x8000u;
    if (magnitude - least < beyond - least) /* rounds up to infinity by itself */
        return (uint16_t)(sign | dist_shift_rne(magnitude - (112u << 23), 13));
    if (magnitude >= beyond)
        return (uint16_t)(magnitude > 0x7f800000u ? DIST_HALF_NAN : sign | DIST_HALF_INFINITY);
    if (magnitude <= 0x33000000u) /* 2^-25, a tie with 0 */
        return (uint16_t)sign;
    const uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
    return (uint16_t)(sign | dist_shift_rne(significand, 126u - (magnitude >> 23)));
}

static inline DIST_HD float dist_half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = half & 0x7fffu;
    if (magnitude >= 0x400u && magnitude < DIST_HALF_INFINITY)
        return dist_float_of(sign | ((magnitude << 13) + (112u << 23)));
    if (magnitude >= DIST_HALF_INFINITY) /* a NaN is quieted */
        return dist_float_of(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13 |
                             (magnitude > DIST_HALF_INFINITY ? 0x400000u : 0u));
    if (!magnitude)
        return dist_float_of(sign);
    uint32_t exponent = 113, fraction = magnitude; /* every subnormal float16 is a normal float32 */
    for (; !(fraction & 0x400u); fraction <<= 1)
        exponent--;
    return dist_float_of(sign | exponent << 23 | (fraction & 0x3ffu) << 13);
}

static inline DIST_HD uint16_t dist_bfloat_from_float(float value)
{
    const uint32_t bits = dist_bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return DIST_BFLOAT_NAN;
    return (uint16_t)dist_shift_rne(bits, 16);
}

static inline DIST_HD float dist_bfloat_to_float(uint16_t bfloat)
{
    return dist_float_of((uint32_t)bfloat << 16);
}

#endif
