/* The definition of the bytes: one element after another, in float32.
 *
 * scalar.c makes its table of these; the vector files call them for what is left over beyond whole vectors.
 */
#ifndef DIST_CODEC_ELEMENTS_H
#define DIST_CODEC_ELEMENTS_H

#include <string.h>

#include "codec/blocks.h"

DIST_INLINE void dist_put(float *out, uint64_t i, float decoded, bool add)
{
    out[i] = add ? dist_sum(out[i], decoded) : decoded;
}

static inline uint32_t dist_peak_elements(const float *h, uint64_t n)
{
    uint32_t peak = 0;
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t magnitude = dist_magnitude(h[i]);
        peak = magnitude > peak ? magnitude : peak;
    }
    return peak;
}

/* One block, or the end of one, with a finite scale. */
DIST_INLINE void dist_quantize_elements(dist_codec_kind kind, const float *h, float *kept,
                                        const uint32_t *random, uint64_t n, float scale, uint8_t *codes)
{
    const float by = dist_block_by(kind, scale);
    for (uint64_t i = 0; i < n; i++) {
        const unsigned code =
            random ? dist_block_code_stochastic(kind, h[i], by, random[i]) : dist_block_code(kind, h[i], by);
        if (kept)
            kept[i] = dist_sub(h[i], dist_mul(dist_block_value(kind, code), scale));
        if (!dist_block_nibbles(kind))
            codes[i] = (uint8_t)code;
        else if (i % 2 == 0)
            codes[i / 2] = (uint8_t)code;
        else
            codes[i / 2] = (uint8_t)(codes[i / 2] | code << 4);
    }
}

DIST_INLINE void dist_dequantize_elements(dist_codec_kind kind, const uint8_t *codes, uint64_t n, float scale,
                                          float *out, bool add)
{
    for (uint64_t i = 0; i < n; i++) {
        const unsigned code = dist_block_nibbles(kind) ? ((unsigned)codes[i / 2] >> i % 2 * 4 & 15u) : codes[i];
        dist_put(out, i, dist_mul(dist_block_value(kind, code), scale), add);
    }
}

/* The feedback of an element that was sent as `decoded`. What cannot be sent leaves it unchanged. */
DIST_INLINE bool dist_keep_residual(float *kept, uint64_t i, float h, float decoded)
{
    const bool finite = dist_is_finite(decoded);
    if (kept && finite)
        kept[i] = dist_sub(h, decoded);
    return finite;
}

static inline uint64_t dist_encode_none_elements(const float *h, float *kept, uint64_t n, uint8_t *encoded)
{
    uint64_t nonfinite = 0;
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t magnitude = dist_magnitude(h[i]);
        const bool computed_nan = kept && magnitude > DIST_INFINITY_BITS; /* by adding the feedback */
        const uint32_t bits = computed_nan ? DIST_NAN_BITS : dist_bits_of(h[i]);
        memcpy(encoded + 4 * i, &bits, 4);
        nonfinite += !dist_keep_residual(kept, i, h[i], h[i]);
    }
    return nonfinite;
}

static inline void dist_decode_none_elements(const uint8_t *encoded, uint64_t n, float *out, bool add)
{
    for (uint64_t i = 0; i < n; i++) {
        float decoded;
        memcpy(&decoded, encoded + 4 * i, 4);
        dist_put(out, i, decoded, add);
    }
}

/* bf16 and fp16. */
DIST_INLINE uint16_t dist_short_code(dist_codec_kind kind, float h, const uint32_t *random, uint64_t i)
{
    if (kind == DIST_CODEC_FP16)
        return dist_half_from_float(h);
    return random ? dist_bfloat_from_float_stochastic(h, random[i]) : dist_bfloat_from_float(h);
}

DIST_INLINE float dist_short_value(dist_codec_kind kind, uint16_t code)
{
    return kind == DIST_CODEC_FP16 ? dist_half_to_float(code) : dist_bfloat_to_float(code);
}

DIST_INLINE uint64_t dist_encode_short_elements(dist_codec_kind kind, const float *h, float *kept,
                                                const uint32_t *random, uint64_t n, uint8_t *encoded)
{
    uint64_t nonfinite = 0;
    for (uint64_t i = 0; i < n; i++) {
        const uint16_t code = dist_short_code(kind, h[i], random, i);
        memcpy(encoded + 2 * i, &code, 2);
        nonfinite += !dist_keep_residual(kept, i, h[i], dist_short_value(kind, code));
    }
    return nonfinite;
}

DIST_INLINE void dist_decode_short_elements(dist_codec_kind kind, const uint8_t *encoded, uint64_t n,
                                            float *out, bool add)
{
    for (uint64_t i = 0; i < n; i++) {
        uint16_t code;
        memcpy(&code, encoded + 2 * i, 2);
        dist_put(out, i, dist_short_value(kind, code), add);
    }
}

#endif
