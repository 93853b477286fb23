/* Scales of the small float formats: the MX formats' powers of two (E8M0) and NVFP4's two levels.
 *
 * MX, for a block of 32:
 *     e = dist_e8m0_from_peak(peak, 1 / largest element, most);
 *     code = from_float(dist_mul(h, dist_e8m0_reciprocal(e)));
 *     value = dist_mul(to_float(code), dist_e8m0_to_float(e))
 * NVFP4, with one `global` for a frame and one scale for a block of 16:
 *     scale = dist_nvfp4_scale(peak of the block, global); s = dist_nvfp4_block_scale(scale, global);
 *     code = dist_e2m1_from_float(dist_div(h, dist_divisor(s)));  value = dist_mul(dist_e2m1_to_float(code), s)
 *
 * A peak is the largest dist_magnitude. One that is not finite gives a scale that decodes to NaN.
 */
#ifndef DIST_KERNELS_SCALE_H
#define DIST_KERNELS_SCALE_H

#include "kernels/arithmetic.h"
#include "kernels/float4.h"
#include "kernels/float8.h"
#include "kernels/quantize.h"

#define DIST_E8M0_NAN 0xffu

/* The largest exponents at which the largest element times the scale is finite: 448 * 2^119, 6 * 2^125. */
#define DIST_MXFP8_MOST 246
#define DIST_MXFP4_MOST 252

/* What a peak of FLT_MAX gives, and the largest global at which 6 * 448 * global is finite. */
#define DIST_NVFP4_GLOBAL_MAX 0x1.86186p116f

/* RCEIL: peak * inverse_max rounded up to a power of two. At `most` the elements saturate instead. */
static inline DIST_HD uint8_t dist_e8m0_from_peak(uint32_t peak_bits, float inverse_max, uint8_t most)
{
    if (peak_bits >= DIST_INFINITY_BITS)
        return DIST_E8M0_NAN;
    const uint32_t y = dist_bits_of(dist_mul(dist_float_of(peak_bits), inverse_max));
    const uint32_t up = y <= 0x400000u ? 0u : (y + 0x7fffffu) >> 23; /* 2^-127 is a subnormal float32 */
    return (uint8_t)(up > most ? most : up);
}

static inline DIST_HD float dist_e8m0_to_float(uint8_t e)
{
    const uint32_t normal = e == DIST_E8M0_NAN ? DIST_NAN_BITS : (uint32_t)e << 23;
    return dist_float_of(e ? normal : 0x400000u);
}

/* 2^(127 - e), exactly; NaN for the NaN. */
static inline DIST_HD float dist_e8m0_reciprocal(uint8_t e)
{
    return dist_e8m0_to_float((uint8_t)(e == DIST_E8M0_NAN ? DIST_E8M0_NAN : 254u - e));
}

/* `peak_bits` is that of all finite elements of the frame. */
static inline DIST_HD float dist_nvfp4_global(uint32_t peak_bits)
{
    if (peak_bits >= DIST_INFINITY_BITS)
        return dist_float_of(DIST_NAN_BITS);
    return dist_mul(dist_float_of(peak_bits), 1.0f / (DIST_E4M3_MAX * DIST_E2M1_MAX));
}

static inline DIST_HD uint8_t dist_nvfp4_scale(uint32_t peak_bits, float global)
{
    if (peak_bits >= DIST_INFINITY_BITS)
        return DIST_E4M3_NAN;
    if (peak_bits == 0 || global == 0.0f)
        return 0;
    return dist_e4m3_from_float(dist_div(dist_mul(dist_float_of(peak_bits), 1.0f / DIST_E2M1_MAX), global));
}

static inline DIST_HD float dist_nvfp4_block_scale(uint8_t scale, float global)
{
    return dist_mul(dist_e4m3_to_float(scale), global);
}

#endif
