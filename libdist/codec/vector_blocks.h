/* int8, int4, mxfp8, mxfp4 and nvfp4 on vectors of 16 elements, over the primitives that avx2.c, avx512.c and neon.c define.
 *
 * What is left over beyond whole vectors goes to elements.h, which has the same arithmetic.
 */
#include "codec/elements.h"

VECTOR DIST_INLINE uint32_t peak_of(const float *h, uint64_t n)
{
    uint64_t i = 0;
    ivec most = iall(0);
    for (; i + 16 <= n; i += 16)
        most = imost(most, magnitude(load(h + i)));
    const uint32_t whole = greatest(most);
    if (i == n)
        return whole;
    const uint32_t rest = dist_peak_elements(h + i, n - i);
    return rest > whole ? rest : whole;
}

VECTOR static void peaks(const float *h, uint64_t n, uint64_t block, uint32_t *peak)
{
    for (uint64_t i = 0; i < n; i += block)
        *peak++ = peak_of(h + i, dist_least(block, n - i));
}

/* What a block's codes are computed with. */
typedef struct block_scale {
    vec scale, by, inverse;
    bool invertible; /* multiplying by the inverse is as good as dividing, but for ties */
} block_scale;

VECTOR DIST_INLINE block_scale block_scale_of(dist_codec_kind kind, float scale)
{
    const float by = dist_block_by(kind, scale), inverse = dist_div(1.0f, by);
    return (block_scale){all(scale), all(by), all(inverse),
                         scale == 0.0f || (scale > 0x1p-100f && scale < 0x1p100f)};
}

/* clamp(rint(h / scale)). A product with the inverse is off by less than 2^-14 of the quotient below 128, so only near a tie
 * can it round elsewhere: then the division decides. */
VECTOR DIST_INLINE ivec quantized(vec h, const block_scale *s, float qmax)
{
    const vec v = multiply(h, s->inverse);
    const ivec q = rounded(v);
    const vec off = absolute(subtract(v, converted(q)));
    if (!s->invertible || any_above(off, 0.5f - 0x1p-14f))
        return rounded(clamp(divide(h, s->by), qmax));
    return iclamp(q, (int)qmax);
}

VECTOR DIST_INLINE ivec quantized_stochastically(vec h, const block_scale *s, float qmax, ivec random)
{
    const vec v = clamp(divide(h, s->by), qmax), below = lower(v);
    const vec u = multiply(converted(shift_right(random, 8)), all(0x1p-24f));
    return rounded(select_less(u, subtract(v, below), add(below, all(1.0f)), below));
}

/* dist_e4m3_from_float of finite elements, as signed bytes. */
VECTOR DIST_INLINE ivec e4m3s(vec v)
{
    const vec size = smaller(absolute(v), all(DIST_E4M3_MAX));
    const ivec sign = iand(shift_right(bits_of(v), 24), iall(0x80)), bits = bits_of(size);
    const ivec even = iand(shift_right(bits, 20), iall(1));
    const ivec normal = isub(shift_right(iadd(bits, iadd(even, iall(0x7ffff))), 20), iall(120 << 3));
    const ivec small = isub(bits_of(add(size, all(0x1p14f))), iall((int)dist_bits_of(0x1p14f)));
    return isub(iselect_less(size, all(0x1p-6f), small, normal),
                sign); /* as signed bytes: packing may saturate */
}

VECTOR DIST_INLINE vec from_e4m3s(ivec codes)
{
    const ivec size = iand(codes, iall(0x7f)), sign = shift_left(iand(codes, iall(0x80)), 24);
    const vec normal = of_bits(iadd(shift_left(size, 20), iall(120 << 23)));
    const vec value =
        select_less(converted(size), all(8.0f), multiply(converted(size), all(0x1p-9f)), normal);
    return of_bits(ior(bits_of(value), sign));
}

/* dist_e2m1_from_float, in the low four bits. */
VECTOR DIST_INLINE ivec e2m1s(vec v)
{
    const vec size = smaller(absolute(v), all(DIST_E2M1_MAX));
    const ivec sign = iand(shift_right(bits_of(v), 28), iall(8)), bits = bits_of(size);
    const ivec even = iand(shift_right(bits, 22), iall(1));
    const ivec normal = isub(shift_right(iadd(bits, iadd(even, iall(0x1fffff))), 22), iall(126 << 1));
    const ivec small = isub(bits_of(add(size, all(0x1p22f))), iall((int)dist_bits_of(0x1p22f)));
    return ior(sign, iselect_less(size, all(1.0f), small, normal));
}

static const float e2m1_values[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                      -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

/* dist_block_scale of 16 blocks. */
VECTOR DIST_INLINE ivec stored_scales(dist_codec_kind kind, ivec peak, float global)
{
    const vec size = of_bits(peak);
    switch (kind) {
    case DIST_CODEC_INT8:
        return iselect_below(peak, DIST_INFINITY_BITS, bits_of(multiply(size, all(1.0f / DIST_QMAX8))),
                             iall(DIST_NAN_BITS));
    case DIST_CODEC_INT4: {
        const ivec half = halves(multiply(size, all(1.0f / DIST_QMAX4)));
        const ivec saturated = iselect_below(half, DIST_HALF_INFINITY, half, iall(DIST_HALF_MAX));
        return iselect_below(peak, DIST_INFINITY_BITS, saturated, iall(DIST_HALF_NAN));
    }
    case DIST_CODEC_NVFP4: {
        const vec ratio = divide(multiply(size, all(1.0f / DIST_E2M1_MAX)), all(dist_divisor(global)));
        return iselect_below(peak, DIST_INFINITY_BITS, e4m3s(ratio), iall(DIST_E4M3_NAN));
    }
    default: {
        const bool eight = kind == DIST_CODEC_MXFP8;
        const ivec y = bits_of(multiply(size, all(eight ? 1.0f / DIST_E4M3_MAX : 1.0f / DIST_E2M1_MAX)));
        const ivec up = shift_right(iadd(y, iall(0x7fffff)), 23);
        const int most = eight ? DIST_MXFP8_MOST : DIST_MXFP4_MOST;
        const ivec e = iselect_below(y, 0x400001, iall(0), iselect_below(up, (uint32_t)most, up, iall(most)));
        return iselect_below(peak, DIST_INFINITY_BITS, e, iall(DIST_E8M0_NAN));
    }
    }
}

VECTOR DIST_INLINE vec scales_of(dist_codec_kind kind, ivec stored, float global)
{
    const ivec nan = iall(DIST_NAN_BITS);
    switch (kind) {
    case DIST_CODEC_INT8:
        return of_bits(stored);
    case DIST_CODEC_INT4:
        return of_bits(iselect_below(stored, DIST_HALF_INFINITY, bits_of(from_halves(stored)), nan));
    case DIST_CODEC_NVFP4:
        return of_bits(
            iselect_below(stored, DIST_E4M3_NAN, bits_of(multiply(from_e4m3s(stored), all(global))), nan));
    default: {
        const ivec power = iselect_below(stored, 1, iall(0x400000), shift_left(stored, 23));
        return of_bits(iselect_below(stored, DIST_E8M0_NAN, power, nan));
    }
    }
}

VECTOR DIST_INLINE void scales(dist_codec_kind kind, const uint32_t *peak, uint64_t blocks, float global,
                               uint32_t *stored, float *scale)
{
    for (uint64_t b = 0; b < blocks; b += 16) {
        const ivec bits = stored_scales(kind, load_ints(peak + b), global);
        store_ints(stored + b, bits);
        store(scale + b, scales_of(kind, bits, global));
    }
}

VECTOR DIST_INLINE ivec codes_of(dist_codec_kind kind, vec h, const block_scale *s, const uint32_t *random)
{
    switch (kind) {
    case DIST_CODEC_INT8:
        return random ? quantized_stochastically(h, s, DIST_QMAX8, load_ints(random))
                      : quantized(h, s, DIST_QMAX8);
    case DIST_CODEC_INT4:
        return random ? quantized_stochastically(h, s, DIST_QMAX4, load_ints(random))
                      : quantized(h, s, DIST_QMAX4);
    case DIST_CODEC_MXFP8:
        return e4m3s(multiply(h, s->by));
    case DIST_CODEC_MXFP4:
        return e2m1s(multiply(h, s->by));
    default:
        return e2m1s(divide(h, s->by));
    }
}

VECTOR DIST_INLINE vec values_of(dist_codec_kind kind, ivec codes)
{
    switch (kind) {
    case DIST_CODEC_INT8:
    case DIST_CODEC_INT4:
        return converted(codes);
    case DIST_CODEC_MXFP8:
        return from_e4m3s(codes);
    default:
        return table16(e2m1_values, codes);
    }
}

/* One block with a finite scale: whole vectors, then the rest. */
VECTOR DIST_INLINE void quantize_block(dist_codec_kind kind, const float *h, float *kept,
                                       const uint32_t *random, uint64_t n, float scale, uint8_t *codes)
{
    const block_scale s = block_scale_of(kind, scale);
    uint64_t i = 0;
    if (kind != DIST_CODEC_NVFP4 || scale != 0.0f) /* without a scale there is no -0 either */
        for (; i + 16 <= n; i += 16) {
            const vec x = load(h + i);
            const ivec q = codes_of(kind, x, &s, random ? random + i : NULL);
            if (kept)
                store(kept + i, subtract(x, multiply(values_of(kind, q), s.scale)));
            if (dist_block_nibbles(kind))
                store_nibbles(codes + i / 2, q);
            else
                store_bytes(codes + i, q);
        }
    if (i < n)
        dist_quantize_elements(kind, h + i, kept ? kept + i : NULL, random ? random + i : NULL, n - i, scale,
                               codes + (dist_block_nibbles(kind) ? i / 2 : i));
}

VECTOR DIST_INLINE void quantize_run(dist_codec_kind kind, const dist_block_run *run, float *kept,
                                     const uint32_t *random)
{
    const float *scale = run->scale;
    for (uint64_t i = 0; i < run->n; i += run->block, scale++) {
        const uint64_t n = dist_least(run->block, run->n - i);
        uint8_t *codes = run->codes + (dist_block_nibbles(kind) ? i / 2 : i);
        if (dist_is_finite(*scale))
            quantize_block(kind, run->h + i, kept ? kept + i : NULL, random ? random + i : NULL, n, *scale,
                           codes);
        else
            memset(codes, 0, dist_block_nibbles(kind) ? (n + 1) / 2 : n);
    }
}

/* A copy for each combination that matters, so that none is decided inside. */
VECTOR DIST_INLINE void quantize(dist_codec_kind kind, const dist_block_run *run)
{
    if (run->random)
        quantize_run(kind, run, run->kept, run->random);
    else if (run->kept)
        quantize_run(kind, run, run->kept, NULL);
    else
        quantize_run(kind, run, NULL, NULL);
}

VECTOR DIST_INLINE void put(float *out, vec decoded, dist_write write)
{
    if (write == DIST_WRITE_PAST)
        store_past(out, decoded);
    else
        store(out, write == DIST_WRITE_ADD ? sum(load(out), decoded) : decoded);
}

VECTOR DIST_INLINE ivec load_codes(dist_codec_kind kind, const uint8_t *codes, uint64_t i)
{
    switch (kind) {
    case DIST_CODEC_INT8:
        return load_bytes(codes + i);
    case DIST_CODEC_INT4:
        return load_nibbles(codes + i / 2);
    case DIST_CODEC_MXFP8:
        return iand(load_bytes(codes + i), iall(0xff));
    default:
        return iand(load_nibbles(codes + i / 2), iall(0xf));
    }
}

VECTOR DIST_INLINE void dequantize_to(dist_codec_kind kind, const uint8_t *codes, uint64_t n, float scale,
                                      float *out, dist_write write)
{
    uint64_t i = 0;
    for (; i + 16 <= n; i += 16)
        put(out + i, multiply(values_of(kind, load_codes(kind, codes, i)), all(scale)), write);
    if (i < n)
        dist_dequantize_elements(kind, codes + (dist_block_nibbles(kind) ? i / 2 : i), n - i, scale, out + i,
                                 write == DIST_WRITE_ADD);
}

VECTOR DIST_INLINE void dequantize(dist_codec_kind kind, const uint8_t *codes, uint64_t n, float scale,
                                   float *out, dist_write write)
{
    if (write == DIST_WRITE_ADD)
        dequantize_to(kind, codes, n, scale, out, DIST_WRITE_ADD);
    else if (write == DIST_WRITE_PAST)
        dequantize_to(kind, codes, n, scale, out, DIST_WRITE_PAST);
    else
        dequantize_to(kind, codes, n, scale, out, DIST_WRITE_SET);
}

static const dist_block_kernels kernels = {peaks, scales, quantize, dequantize};
DIST_BLOCK_FUNCTIONS(int8, DIST_CODEC_INT8, &kernels, VECTOR)
DIST_BLOCK_FUNCTIONS(int4, DIST_CODEC_INT4, &kernels, VECTOR)
DIST_BLOCK_FUNCTIONS(mxfp8, DIST_CODEC_MXFP8, &kernels, VECTOR)
DIST_BLOCK_FUNCTIONS(mxfp4, DIST_CODEC_MXFP4, &kernels, VECTOR)
DIST_BLOCK_FUNCTIONS(nvfp4, DIST_CODEC_NVFP4, &kernels, VECTOR)
