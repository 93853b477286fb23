/* E4M3 of the OCP 8-bit floats from and to float32: a sign, 4 bits of exponent with bias 7, 3 of fraction.
 *
 * There is no infinity; 0x7f and 0xff are NaN. Narrowing rounds to nearest even, saturates at 448 (infinities
 * too), keeps subnormals, and turns every NaN into one.
 */
#ifndef DIST_KERNELS_FLOAT8_H
#define DIST_KERNELS_FLOAT8_H

#include "kernels/arithmetic.h"
#include "kernels/half.h"

#define DIST_E4M3_MAX 448.0f
#define DIST_E4M3_NAN 0x7fu

static inline DIST_HD uint8_t dist_e4m3_from_float(float v)
{
    const uint32_t least = 0x3c800000u, most = 0x43e00000u; /* 2^-6, the least normal, and 448 */
    const uint32_t bits = dist_bits_of(v);
    const uint32_t magnitude = bits & 0x7fffffffu;
    const uint32_t sign = bits >> 24 & 0x80u;
    if (magnitude > 0x7f800000u)
        return DIST_E4M3_NAN;
    if (magnitude < least) /* a unit of 2^14 is 2^-9, the least subnormal: the addition rounds */
        return (uint8_t)(sign |
                         (dist_bits_of(dist_add(dist_float_of(magnitude), 0x1p14f)) - dist_bits_of(0x1p14f)));
    return (uint8_t)(sign | dist_shift_rne((magnitude > most ? most : magnitude) - (120u << 23), 20));
}

static inline DIST_HD float dist_e4m3_to_float(uint8_t code)
{
    const uint32_t sign = (uint32_t)(code & 0x80u) << 24;
    const uint32_t magnitude = code & 0x7fu;
    if (magnitude == DIST_E4M3_NAN)
        return dist_float_of(DIST_NAN_BITS);
    if (magnitude < 8u) /* subnormal */
        return dist_float_of(sign | dist_bits_of(dist_mul((float)magnitude, 0x1p-9f)));
    return dist_float_of(sign | ((magnitude << 20) + (120u << 23)));
}

#endif
