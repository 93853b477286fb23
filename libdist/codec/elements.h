/* The definition of the bytes: one element after another, in float32.
 *
 * scalar.c makes its table of these; the vector files call them for what is left over beyond whole vectors.
 */
#ifndef DIST_CODEC_ELEMENTS_H
#define DIST_CODEC_ELEMENTS_H

#include <string.h>

#include "codec/blocks.h"
#include "kernels/quantize.h"

DIST_INLINE float dist_with_feedback(const float *x, const float *e, uint64_t i)
{
    return e ? dist_add(x[i], e[i]) : x[i];
}

DIST_INLINE void dist_put(float *values, uint64_t i, float decoded, bool add)
{
    values[i] = add ? dist_sum(values[i], decoded) : decoded;
}

static inline uint32_t dist_peak_elements(const float *x, const float *e, uint64_t n)
{
    uint32_t peak = 0;
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t magnitude = dist_magnitude(dist_with_feedback(x, e, i));
        peak = magnitude > peak ? magnitude : peak;
    }
    return peak;
}

DIST_INLINE int dist_quantize_element(const float *x, float *e, uint64_t i, float scale, float qmax)
{
    const float h = dist_with_feedback(x, e, i);
    const int q = dist_quantize(h, dist_divisor(scale), qmax);
    if (e)
        e[i] = dist_residual(h, q, scale);
    return q;
}

static inline void dist_quantize8_elements(const float *x, float *e, uint64_t n, float scale, uint8_t *codes)
{
    for (uint64_t i = 0; i < n; i++)
        codes[i] = (uint8_t)dist_quantize_element(x, e, i, scale, DIST_QMAX8);
}

static inline void dist_quantize4_elements(const float *x, float *e, uint64_t n, float scale, uint8_t *codes)
{
    for (uint64_t i = 0; i < n; i += 2) {
        const int even = dist_quantize_element(x, e, i, scale, DIST_QMAX4);
        const int odd = i + 1 < n ? dist_quantize_element(x, e, i + 1, scale, DIST_QMAX4) : 0;
        codes[i / 2] = dist_pack4(even, odd);
    }
}

static inline void dist_dequantize8_elements(const uint8_t *codes, uint64_t n, float scale, float *values,
                                             bool add)
{
    for (uint64_t i = 0; i < n; i++)
        dist_put(values, i, dist_dequantize((int8_t)codes[i], scale), add);
}

static inline void dist_dequantize4_elements(const uint8_t *codes, uint64_t n, float scale, float *values,
                                             bool add)
{
    for (uint64_t i = 0; i < n; i++)
        dist_put(values, i, dist_dequantize(dist_unpack4(codes[i / 2], i % 2 != 0), scale), add);
}

/* The feedback of an element that was sent as `decoded`. What cannot be sent leaves it unchanged. */
DIST_INLINE bool dist_keep_residual(float *e, uint64_t i, float h, float decoded)
{
    const bool finite = dist_is_finite(decoded);
    if (e && finite)
        e[i] = dist_sub(h, decoded);
    return finite;
}

static inline uint64_t dist_encode_none_elements(const float *x, float *e, uint64_t n, uint8_t *encoded)
{
    uint64_t nonfinite = 0;
    for (uint64_t i = 0; i < n; i++) {
        const float h = e ? dist_sum(x[i], e[i]) : x[i];
        memcpy(encoded + 4 * i, &h, 4);
        nonfinite += !dist_keep_residual(e, i, h, h);
    }
    return nonfinite;
}

static inline void dist_add_none_elements(const uint8_t *encoded, uint64_t n, float *values)
{
    for (uint64_t i = 0; i < n; i++) {
        float decoded;
        memcpy(&decoded, encoded + 4 * i, 4);
        dist_put(values, i, decoded, true);
    }
}

static inline uint64_t dist_encode_bf16_elements(const float *x, float *e, uint64_t n, uint8_t *encoded)
{
    uint64_t nonfinite = 0;
    for (uint64_t i = 0; i < n; i++) {
        const float h = dist_with_feedback(x, e, i);
        const uint16_t code = dist_bfloat_from_float(h);
        memcpy(encoded + 2 * i, &code, 2);
        nonfinite += !dist_keep_residual(e, i, h, dist_bfloat_to_float(code));
    }
    return nonfinite;
}

static inline void dist_decode_bf16_elements(const uint8_t *encoded, uint64_t n, float *values, bool add)
{
    for (uint64_t i = 0; i < n; i++) {
        uint16_t code;
        memcpy(&code, encoded + 2 * i, 2);
        dist_put(values, i, dist_bfloat_to_float(code), add);
    }
}

#endif
