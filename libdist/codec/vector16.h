/* The codecs on vectors of 16 elements, for a file that has defined
 *
 *     VECTOR               the function attribute that turns its instructions on
 *     vec, ivec            16 float32 and 16 int32
 *     and the primitives on them that avx2.c and avx512.c list
 *
 * What is left over beyond whole vectors goes to elements.h, which has the same arithmetic.
 */
#include "codec/elements.h"
#include "codec/tables.h"

VECTOR DIST_INLINE uint32_t peak_of(const float *x, const float *e, uint64_t n)
{
    uint64_t i = 0;
    ivec most = integer_zero();
    for (; i + 16 <= n; i += 16)
        most = peak_with(most, e ? add(load(x + i), load(e + i)) : load(x + i));
    const uint32_t whole = greatest(most);
    if (i == n)
        return whole;
    const uint32_t rest = dist_peak_elements(x + i, e ? e + i : NULL, n - i);
    return rest > whole ? rest : whole;
}

VECTOR static void peaks(const float *x, const float *e, uint64_t n, uint64_t block, uint32_t *peak)
{
    if (e) {
        for (uint64_t i = 0; i < n; i += block)
            *peak++ = peak_of(x + i, e + i, dist_least(block, n - i));
    } else {
        for (uint64_t i = 0; i < n; i += block)
            *peak++ = peak_of(x + i, NULL, dist_least(block, n - i));
    }
}

/* Quantizes the whole vectors of a block and returns how many elements they had. */
VECTOR DIST_INLINE uint64_t quantize_block(const float *x, float *e, uint64_t n, float scale, uint8_t *codes,
                                           bool half)
{
    const vec divisors = all(dist_divisor(scale)), scales = all(scale);
    const float qmax = half ? DIST_QMAX4 : DIST_QMAX8;
    uint64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const vec h = e ? add(load(x + i), load(e + i)) : load(x + i);
        const ivec q = rounded(clamp(divide(h, divisors), qmax));
        if (e)
            store(e + i, subtract(h, multiply(converted(q), scales)));
        if (half)
            store_nibbles(codes + i / 2, q);
        else
            store_bytes(codes + i, q);
    }
    return i;
}

VECTOR DIST_INLINE void quantize(const float *x, float *e, uint64_t n, uint64_t block, const float *scale,
                                 uint8_t *codes, bool half)
{
    for (uint64_t first = 0; first < n; first += block, scale++) {
        const uint64_t m = dist_least(block, n - first);
        uint8_t *to = codes + (half ? first / 2 : first);
        if (!dist_is_finite(*scale)) {
            memset(to, 0, half ? (m + 1) / 2 : m);
            continue;
        }
        const uint64_t i = quantize_block(x + first, e ? e + first : NULL, m, *scale, to, half);
        if (i == m)
            continue;
        if (half)
            dist_quantize4_elements(x + first + i, e ? e + first + i : NULL, m - i, *scale, to + i / 2);
        else
            dist_quantize8_elements(x + first + i, e ? e + first + i : NULL, m - i, *scale, to + i);
    }
}

VECTOR static void quantize8(const float *x, float *e, uint64_t n, uint64_t block, const float *scale,
                             uint8_t *codes)
{
    if (e)
        quantize(x, e, n, block, scale, codes, false);
    else
        quantize(x, NULL, n, block, scale, codes, false);
}

VECTOR static void quantize4(const float *x, float *e, uint64_t n, uint64_t block, const float *scale,
                             uint8_t *codes)
{
    if (e)
        quantize(x, e, n, block, scale, codes, true);
    else
        quantize(x, NULL, n, block, scale, codes, true);
}

VECTOR DIST_INLINE void put(float *values, vec decoded, bool adding)
{
    store(values, adding ? sum(load(values), decoded) : decoded);
}

VECTOR static inline void dequantize8(const uint8_t *codes, uint64_t n, float scale, float *values,
                                      bool adding)
{
    uint64_t i = 0;
    for (; i + 16 <= n; i += 16)
        put(values + i, multiply(converted(load_bytes(codes + i)), all(scale)), adding);
    if (i < n)
        dist_dequantize8_elements(codes + i, n - i, scale, values + i, adding);
}

VECTOR static inline void dequantize4(const uint8_t *codes, uint64_t n, float scale, float *values,
                                      bool adding)
{
    uint64_t i = 0;
    for (; i + 16 <= n; i += 16)
        put(values + i, multiply(converted(load_nibbles(codes + i / 2)), all(scale)), adding);
    if (i < n)
        dist_dequantize4_elements(codes + i / 2, n - i, scale, values + i, adding);
}

VECTOR static uint64_t none_encode(const dist_codec *codec, const float *values, float *feedback,
                                   uint64_t count, void *encoded)
{
    (void)codec;
    const uint64_t mode = dist_fpmode_default();
    uint8_t *to = encoded;
    uint64_t i = 0, nonfinite = 0;
    for (; i + 16 <= count; i += 16) {
        const vec h = feedback ? sum(load(values + i), load(feedback + i)) : load(values + i);
        store_words(to + 4 * i, h);
        if (feedback)
            store(feedback + i, where_finite(h, subtract(h, h), load(feedback + i)));
        nonfinite += nonfinites(h);
    }
    nonfinite += dist_encode_none_elements(values + i, feedback ? feedback + i : NULL, count - i, to + 4 * i);
    dist_fpmode_set(mode);
    return nonfinite;
}

VECTOR static void none_decode(const dist_codec *codec, const void *encoded, uint64_t count, float *values)
{
    (void)codec;
    memcpy(values, encoded, 4 * count);
}

VECTOR static void none_decode_add(const dist_codec *codec, const void *encoded, uint64_t count,
                                   float *values)
{
    (void)codec;
    const uint64_t mode = dist_fpmode_default();
    const uint8_t *from = encoded;
    uint64_t i = 0;
    for (; i + 16 <= count; i += 16)
        put(values + i, load_words(from + 4 * i), true);
    dist_add_none_elements(from + 4 * i, count - i, values + i);
    dist_fpmode_set(mode);
}

VECTOR static uint64_t bf16_encode(const dist_codec *codec, const float *values, float *feedback,
                                   uint64_t count, void *encoded)
{
    (void)codec;
    const uint64_t mode = dist_fpmode_default();
    uint8_t *to = encoded;
    uint64_t i = 0, nonfinite = 0;
    for (; i + 16 <= count; i += 16) {
        const vec h = feedback ? add(load(values + i), load(feedback + i)) : load(values + i);
        const ivec codes = bfloats(h);
        const vec decoded = from_bfloats(codes);
        store_shorts(to + 2 * i, codes);
        if (feedback)
            store(feedback + i, where_finite(decoded, subtract(h, decoded), load(feedback + i)));
        nonfinite += nonfinites(decoded);
    }
    nonfinite += dist_encode_bf16_elements(values + i, feedback ? feedback + i : NULL, count - i, to + 2 * i);
    dist_fpmode_set(mode);
    return nonfinite;
}

VECTOR DIST_INLINE void bf16_decode_to(const void *encoded, uint64_t count, float *values, bool adding)
{
    const uint64_t mode = dist_fpmode_default();
    const uint8_t *from = encoded;
    uint64_t i = 0;
    for (; i + 16 <= count; i += 16)
        put(values + i, from_bfloats(load_shorts(from + 2 * i)), adding);
    dist_decode_bf16_elements(from + 2 * i, count - i, values + i, adding);
    dist_fpmode_set(mode);
}

VECTOR static void bf16_decode(const dist_codec *codec, const void *encoded, uint64_t count, float *values)
{
    (void)codec;
    bf16_decode_to(encoded, count, values, false);
}

VECTOR static void bf16_decode_add(const dist_codec *codec, const void *encoded, uint64_t count,
                                   float *values)
{
    (void)codec;
    bf16_decode_to(encoded, count, values, true);
}

static const dist_block_kernels int8_kernels = {false, peaks, quantize8, dequantize8};
static const dist_block_kernels int4_kernels = {true, peaks, quantize4, dequantize4};
DIST_BLOCK_FUNCTIONS(int8, &int8_kernels, VECTOR)
DIST_BLOCK_FUNCTIONS(int4, &int4_kernels, VECTOR)

static const dist_codec_ops table[DIST_CODEC_KINDS] = {
    [DIST_CODEC_NONE] = {none_encode, none_decode, none_decode_add},
    [DIST_CODEC_BF16] = {bf16_encode, bf16_decode, bf16_decode_add},
    [DIST_CODEC_INT8] = {int8_encode, int8_decode, int8_decode_add},
    [DIST_CODEC_INT4] = {int4_encode, int4_decode, int4_decode_add},
};
