/* E2M1 of the OCP 4-bit floats from and to float32: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and, with bit 3, their
 * negatives. Every code is a number; -0 is code 8.
 *
 * Narrowing rounds to nearest even and saturates at 6, infinities too. A NaN gives 0: a block that holds one
 * is marked by its scale.
 */
#ifndef DIST_KERNELS_FLOAT4_H
#define DIST_KERNELS_FLOAT4_H

#include "kernels/arithmetic.h"
#include "kernels/half.h"

#define DIST_E2M1_MAX 6.0f

static inline DIST_HD uint8_t dist_e2m1_from_float(float v)
{
    const uint32_t least = 0x3f800000u, most = 0x40c00000u; /* 1, the least normal, and 6 */
    const uint32_t bits = dist_bits_of(v);
    const uint32_t magnitude = bits & 0x7fffffffu;
    const uint32_t sign = bits >> 28 & 8u;
    if (magnitude > 0x7f800000u)
        return 0;
    if (magnitude < least) /* a unit of 2^22 is 0.5: the addition rounds */
        return (uint8_t)(sign |
                         (dist_bits_of(dist_add(dist_float_of(magnitude), 0x1p22f)) - dist_bits_of(0x1p22f)));
    return (uint8_t)(sign | dist_shift_rne((magnitude > most ? most : magnitude) - (126u << 23), 22));
}

/* Of the low four bits of `code`. */
static inline DIST_HD float dist_e2m1_to_float(uint8_t code)
{
    const uint32_t sign = (uint32_t)(code & 8u) << 28;
    const uint32_t magnitude = code & 7u;
    const uint32_t small = magnitude ? 0x3f000000u : 0u; /* 0.5 or 0 */
    return dist_float_of(sign | (magnitude < 2u ? small : (magnitude << 22) + (126u << 23)));
}

#endif
