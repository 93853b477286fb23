/* none, bf16, fp16, and values and feedback to float32 and back, on vectors of 16. After vector_blocks.h. */
#include "codec/staging.h"

VECTOR static uint64_t none_encode(const dist_encode_group *group)
{
    if (group->kept)
        return dist_encode_none_elements(group->h, group->kept, group->n, group->section[0]);
    uint64_t i = 0, nonfinite = 0;
    for (; i + 16 <= group->n; i += 16) {
        const vec h = load(group->h + i);
        store_words(group->section[0] + 4 * i, h);
        nonfinite += nonfinites(h);
    }
    return nonfinite + dist_encode_none_elements(group->h + i, NULL, group->n - i, group->section[0] + 4 * i);
}

VECTOR static void none_decode(const dist_decode_group *group)
{
    uint64_t i = 0;
    if (group->write == DIST_WRITE_SET) {
        memcpy(group->out, group->section[0], 4 * group->n);
        return;
    }
    for (; i + 16 <= group->n; i += 16)
        put(group->out + i, load_words(group->section[0] + 4 * i), group->write);
    dist_decode_none_elements(group->section[0] + 4 * i, group->n - i, group->out + i,
                              group->write == DIST_WRITE_ADD);
}

VECTOR DIST_INLINE ivec shorts_of(dist_codec_kind kind, vec h, const uint32_t *random)
{
    if (kind == DIST_CODEC_FP16)
        return halves(h);
    if (!random)
        return bfloats(h);
    const ivec up = iadd(bits_of(h), iand(load_ints(random), iall(0xffff)));
    return iselect_nan(h, iall(DIST_BFLOAT_NAN), shift_right(up, 16));
}

VECTOR DIST_INLINE vec of_shorts(dist_codec_kind kind, ivec codes)
{
    return kind == DIST_CODEC_FP16 ? from_halves(codes) : from_bfloats(codes);
}

VECTOR DIST_INLINE uint64_t shorts_encode(dist_codec_kind kind, const dist_encode_group *group, float *kept,
                                          const uint32_t *random)
{
    uint64_t i = 0, nonfinite = 0;
    for (; i + 16 <= group->n; i += 16) {
        const vec h = load(group->h + i);
        const ivec codes = shorts_of(kind, h, random ? random + i : NULL);
        const vec decoded = of_shorts(kind, codes);
        store_shorts(group->section[0] + 2 * i, codes);
        if (kept)
            store(kept + i, where_finite(decoded, subtract(h, decoded), load(kept + i)));
        nonfinite += nonfinites(decoded);
    }
    return nonfinite + dist_encode_short_elements(kind, group->h + i, kept ? kept + i : NULL,
                                                  random ? random + i : NULL, group->n - i,
                                                  group->section[0] + 2 * i);
}

VECTOR DIST_INLINE void shorts_decode(dist_codec_kind kind, const dist_decode_group *group, dist_write write)
{
    uint64_t i = 0;
    for (; i + 16 <= group->n; i += 16)
        put(group->out + i, of_shorts(kind, load_shorts(group->section[0] + 2 * i)), write);
    dist_decode_short_elements(kind, group->section[0] + 2 * i, group->n - i, group->out + i,
                               write == DIST_WRITE_ADD);
}

VECTOR static uint64_t bf16_encode(const dist_encode_group *group)
{
    if (group->random || group->kept)
        return shorts_encode(DIST_CODEC_BF16, group, group->kept, group->random);
    return shorts_encode(DIST_CODEC_BF16, group, NULL, NULL);
}

VECTOR static void bf16_decode(const dist_decode_group *group)
{
    if (group->write == DIST_WRITE_ADD)
        shorts_decode(DIST_CODEC_BF16, group, DIST_WRITE_ADD);
    else if (group->write == DIST_WRITE_PAST)
        shorts_decode(DIST_CODEC_BF16, group, DIST_WRITE_PAST);
    else
        shorts_decode(DIST_CODEC_BF16, group, DIST_WRITE_SET);
}

VECTOR static uint64_t fp16_encode(const dist_encode_group *group)
{
    return shorts_encode(DIST_CODEC_FP16, group, group->kept, NULL);
}

VECTOR static void fp16_decode(const dist_decode_group *group)
{
    shorts_decode(DIST_CODEC_FP16, group, group->write);
}

VECTOR DIST_INLINE vec widened(dist_type type, const void *x, uint64_t i)
{
    if (type == DIST_FLOAT32)
        return load((const float *)x + i);
    const ivec codes = load_shorts((const uint8_t *)x + 2 * i);
    return type == DIST_FLOAT16 ? from_halves(codes) : from_bfloats(codes);
}

VECTOR DIST_INLINE void narrowed(dist_type type, vec value, uint64_t i, void *x)
{
    if (type == DIST_FLOAT32)
        store((float *)x + i, value);
    else
        store_shorts((uint8_t *)x + 2 * i, type == DIST_FLOAT16 ? halves(value) : bfloats(value));
}

VECTOR DIST_INLINE void stage_type(dist_type type, const void *x, const float *e, float decay, uint64_t n,
                                   float *h)
{
    uint64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        vec value = widened(type, x, i);
        if (e)
            value = add(value, decay == 1.0f ? load(e + i) : multiply(load(e + i), all(decay)));
        store(h + i, value);
    }
    dist_stage_elements(type, (const char *)x + i * (type == DIST_FLOAT32 ? 4 : 2), e ? e + i : NULL, decay,
                        n - i, h + i);
}

VECTOR static void stage(dist_type type, const void *x, const float *e, float decay, uint64_t n, float *h)
{
    if (type == DIST_FLOAT32)
        stage_type(DIST_FLOAT32, x, e, decay, n, h);
    else if (type == DIST_FLOAT16)
        stage_type(DIST_FLOAT16, x, e, decay, n, h);
    else
        stage_type(DIST_BFLOAT16, x, e, decay, n, h);
}

VECTOR DIST_INLINE void unstage_type(dist_type type, const float *from, int divisor, bool adding, uint64_t n,
                                     void *values)
{
    const vec by = all((float)divisor);
    uint64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const vec part = divisor == 1 ? load(from + i) : divide(load(from + i), by);
        narrowed(type, adding ? sum(widened(type, values, i), part) : part, i, values);
    }
    dist_unstage_elements(type, from, divisor, adding, i, n, values);
}

VECTOR static void unstage(dist_type type, const float *from, int divisor, bool adding, uint64_t n,
                           void *values)
{
    if (type == DIST_FLOAT32)
        unstage_type(DIST_FLOAT32, from, divisor, adding, n, values);
    else if (type == DIST_FLOAT16)
        unstage_type(DIST_FLOAT16, from, divisor, adding, n, values);
    else
        unstage_type(DIST_BFLOAT16, from, divisor, adding, n, values);
}

VECTOR static void load_feedback(dist_feedback feedback, const void *kept, uint64_t n, float *e)
{
    const uint8_t *from = kept;
    if (feedback == DIST_FEEDBACK_BF16) {
        stage_type(DIST_BFLOAT16, kept, NULL, 1, n, e);
        return;
    }
    for (uint64_t i = 0; i < n; i += DIST_FEEDBACK_BLOCK, from += DIST_FEEDBACK_BLOCK + 4) {
        float scale;
        memcpy(&scale, from, 4);
        dequantize_to(DIST_CODEC_INT8, from + 4, dist_least(DIST_FEEDBACK_BLOCK, n - i), scale, e + i,
                      DIST_WRITE_SET);
    }
}

VECTOR static void store_feedback(dist_feedback feedback, const float *e, uint64_t n, void *kept)
{
    uint8_t *to = kept;
    if (feedback == DIST_FEEDBACK_BF16) {
        unstage_type(DIST_BFLOAT16, e, 1, false, n, kept);
        return;
    }
    for (uint64_t i = 0; i < n; i += DIST_FEEDBACK_BLOCK, to += DIST_FEEDBACK_BLOCK + 4) {
        const uint64_t m = dist_least(DIST_FEEDBACK_BLOCK, n - i);
        const float scale = dist_scale8(peak_of(e + i, m));
        memcpy(to, &scale, 4);
        if (dist_is_finite(scale))
            quantize_block(DIST_CODEC_INT8, e + i, NULL, NULL, m, scale, to + 4);
        else
            memset(to + 4, 0, m);
    }
}

/* Philox4x32-10 on 16 counters at once; plain loops, of which compilers make vectors. `first` is a multiple of 4. */
VECTOR static void random64(dist_random_key key, uint64_t group, uint32_t *words)
{
    uint32_t x[4][16], k0 = key.key[0], k1 = key.key[1];
    for (uint32_t l = 0; l < 16; l++) {
        x[0][l] = (uint32_t)(group + l);
        x[1][l] = (uint32_t)((group + l) >> 32);
        x[2][l] = key.counter[0];
        x[3][l] = key.counter[1];
    }
    for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
        for (int l = 0; l < 16; l++) {
            const uint64_t p = (uint64_t)0xd2511f53u * x[0][l], q = (uint64_t)0xcd9e8d57u * x[2][l];
            const uint32_t b = x[1][l], d = x[3][l];
            x[0][l] = (uint32_t)(q >> 32) ^ b ^ k0;
            x[1][l] = (uint32_t)q;
            x[2][l] = (uint32_t)(p >> 32) ^ d ^ k1;
            x[3][l] = (uint32_t)p;
        }
    }
    for (int l = 0; l < 16; l++)
        for (int w = 0; w < 4; w++)
            words[4 * l + w] = x[w][l];
}

VECTOR static void fill_random(dist_random_key key, uint64_t first, uint64_t n, uint32_t *words)
{
    uint64_t i = 0;
    for (; i + 64 <= n; i += 64)
        random64(key, (first + i) / 4, words + i);
    for (; i < n; i++)
        words[i] = dist_random_at(key, first + i);
}

VECTOR static uint32_t finite_peak(const float *h, uint64_t n)
{
    uint64_t i = 0;
    ivec most = iall(0);
    for (; i + 16 <= n; i += 16) {
        const vec x = load(h + i);
        most = imost(most, magnitude(where_finite(x, x, all(0.0f))));
    }
    uint32_t peak = greatest(most);
    for (; i < n; i++)
        peak = dist_is_finite(h[i]) && dist_magnitude(h[i]) > peak ? dist_magnitude(h[i]) : peak;
    return peak;
}
