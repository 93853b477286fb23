/* The block codecs as one: int8, int4, mxfp8, mxfp4 and nvfp4 differ in how a scale is made from a block's peak
 * and in what a code stands for. Shared by C and CUDA; `kind` is a constant wherever these are called, so that
 * nothing is decided at run time.
 *
 *     peak = max dist_magnitude(h);  scale = dist_block_scale(kind, peak, global, &stored);
 *     code = dist_block_code(kind, h, dist_block_by(kind, scale));  decoded = dist_block_value(kind, code) * scale
 */
#ifndef DIST_KERNELS_BLOCK_H
#define DIST_KERNELS_BLOCK_H

#include "kernels/float4.h"
#include "kernels/float8.h"
#include "kernels/frame.h"
#include "kernels/quantize.h"
#include "kernels/scale.h"
#include "kernels/stochastic.h"

/* Whether two codes share a byte. */
static inline DIST_HD bool dist_block_nibbles(dist_codec_kind kind)
{
    return kind == DIST_CODEC_INT4 || kind == DIST_CODEC_MXFP4 || kind == DIST_CODEC_NVFP4;
}

/* Bytes of a stored scale. */
static inline DIST_HD unsigned dist_block_scale_bytes(dist_codec_kind kind)
{
    return kind == DIST_CODEC_INT8 ? 4 : kind == DIST_CODEC_INT4 ? 2 : 1;
}

/* Sections of the scales and codes. */
static inline DIST_HD int dist_block_scale_section(dist_codec_kind kind)
{
    return kind == DIST_CODEC_NVFP4 ? 1 : 0;
}

/* The scale that decoding will read from `stored`; NaN for a block that is not finite. */
static inline DIST_HD float dist_block_scale_of(dist_codec_kind kind, uint32_t stored, float global)
{
    switch (kind) {
    case DIST_CODEC_INT8:
        return dist_float_of(stored);
    case DIST_CODEC_INT4:
        return dist_half_to_float((uint16_t)stored);
    case DIST_CODEC_NVFP4:
        return stored == DIST_E4M3_NAN ? dist_float_of(DIST_NAN_BITS)
                                       : dist_nvfp4_block_scale((uint8_t)stored, global);
    default:
        return dist_e8m0_to_float((uint8_t)stored);
    }
}

static inline DIST_HD float dist_block_scale(dist_codec_kind kind, uint32_t peak, float global,
                                             uint32_t *stored)
{
    switch (kind) {
    case DIST_CODEC_INT8:
        *stored = dist_bits_of(dist_scale8(peak));
        break;
    case DIST_CODEC_INT4:
        *stored = dist_scale4(peak);
        break;
    case DIST_CODEC_NVFP4:
        *stored = dist_nvfp4_scale(peak, global);
        break;
    case DIST_CODEC_MXFP8:
        *stored = dist_e8m0_from_peak(peak, 1.0f / DIST_E4M3_MAX, DIST_MXFP8_MOST);
        break;
    default:
        *stored = dist_e8m0_from_peak(peak, 1.0f / DIST_E2M1_MAX, DIST_MXFP4_MOST);
    }
    return dist_block_scale_of(kind, *stored, global);
}

/* By what h is divided, or multiplied (MX: by the exact reciprocal of a power of two). */
static inline DIST_HD float dist_block_by(dist_codec_kind kind, float scale)
{
    return kind == DIST_CODEC_MXFP8 || kind == DIST_CODEC_MXFP4 ? dist_div(1.0f, scale) : dist_divisor(scale);
}

static inline DIST_HD unsigned dist_block_code(dist_codec_kind kind, float h, float by)
{
    switch (kind) {
    case DIST_CODEC_INT8:
        return (unsigned)dist_quantize(h, by, DIST_QMAX8) & 0xffu;
    case DIST_CODEC_INT4:
        return (unsigned)dist_quantize(h, by, DIST_QMAX4) & 0xfu;
    case DIST_CODEC_MXFP8:
        return dist_e4m3_from_float(dist_mul(h, by));
    case DIST_CODEC_MXFP4:
        return dist_e2m1_from_float(dist_mul(h, by));
    default: /* a block with scale 0 has no code but 0, not even -0 */
        return dist_bits_of(by) == DIST_INFINITY_BITS ? 0u : dist_e2m1_from_float(dist_div(h, by));
    }
}

/* int8 and int4 alone. */
static inline DIST_HD unsigned dist_block_code_stochastic(dist_codec_kind kind, float h, float by,
                                                          uint32_t random)
{
    const bool half = kind == DIST_CODEC_INT4;
    return (unsigned)dist_quantize_stochastic(h, by, half ? DIST_QMAX4 : DIST_QMAX8, random) &
           (half ? 0xfu : 0xffu);
}

static inline DIST_HD float dist_block_value(dist_codec_kind kind, unsigned code)
{
    switch (kind) {
    case DIST_CODEC_INT8:
        return (float)(int8_t)code;
    case DIST_CODEC_INT4:
        return (float)((int)(code ^ 8u) - 8);
    case DIST_CODEC_MXFP8:
        return dist_e4m3_to_float((uint8_t)code);
    default:
        return dist_e2m1_to_float((uint8_t)code);
    }
}

#endif
