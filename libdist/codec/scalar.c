#include "codec/elements.h"
#include "codec/hadamard.h"
#include "codec/sparse.h"
#include "codec/staging.h"
#include "codec/tables.h"

#define ANYWHERE

static uint64_t none_encode(const dist_encode_group *group)
{
    return dist_encode_none_elements(group->h, group->kept, group->n, group->section[0]);
}

static void none_decode(const dist_decode_group *group)
{
    dist_decode_none_elements(group->section[0], group->n, group->out, group->write == DIST_WRITE_ADD);
}

static uint64_t bf16_encode(const dist_encode_group *group)
{
    return dist_encode_short_elements(DIST_CODEC_BF16, group->h, group->kept, group->random, group->n,
                                      group->section[0]);
}

static void bf16_decode(const dist_decode_group *group)
{
    dist_decode_short_elements(DIST_CODEC_BF16, group->section[0], group->n, group->out,
                               group->write == DIST_WRITE_ADD);
}

static uint64_t fp16_encode(const dist_encode_group *group)
{
    return dist_encode_short_elements(DIST_CODEC_FP16, group->h, group->kept, NULL, group->n,
                                      group->section[0]);
}

static void fp16_decode(const dist_decode_group *group)
{
    dist_decode_short_elements(DIST_CODEC_FP16, group->section[0], group->n, group->out,
                               group->write == DIST_WRITE_ADD);
}

static void peaks(const float *h, uint64_t n, uint64_t block, uint32_t *peak)
{
    for (uint64_t i = 0; i < n; i += block)
        *peak++ = dist_peak_elements(h + i, dist_least(block, n - i));
}

static inline void scales(dist_codec_kind kind, const uint32_t *peak, uint64_t blocks, float global,
                          uint32_t *stored, float *scale)
{
    for (uint64_t b = 0; b < blocks; b++)
        scale[b] = dist_block_scale(kind, peak[b], global, &stored[b]);
}

static inline void quantize(dist_codec_kind kind, const dist_block_run *run)
{
    const float *scale = run->scale;
    for (uint64_t i = 0; i < run->n; i += run->block, scale++) {
        const uint64_t n = dist_least(run->block, run->n - i);
        uint8_t *codes = run->codes + (dist_block_nibbles(kind) ? i / 2 : i);
        if (dist_is_finite(*scale))
            dist_quantize_elements(kind, run->h + i, run->kept ? run->kept + i : NULL,
                                   run->random ? run->random + i : NULL, n, *scale, codes);
        else
            memset(codes, 0, dist_block_nibbles(kind) ? (n + 1) / 2 : n);
    }
}

static inline void dequantize(dist_codec_kind kind, const uint8_t *codes, uint64_t n, float scale, float *out,
                              dist_write write)
{
    dist_dequantize_elements(kind, codes, n, scale, out, write == DIST_WRITE_ADD);
}

static const dist_block_kernels kernels = {peaks, scales, quantize, dequantize};
DIST_BLOCK_FUNCTIONS(int8, DIST_CODEC_INT8, &kernels, ANYWHERE)
DIST_BLOCK_FUNCTIONS(int4, DIST_CODEC_INT4, &kernels, ANYWHERE)
DIST_BLOCK_FUNCTIONS(mxfp8, DIST_CODEC_MXFP8, &kernels, ANYWHERE)
DIST_BLOCK_FUNCTIONS(mxfp4, DIST_CODEC_MXFP4, &kernels, ANYWHERE)
DIST_BLOCK_FUNCTIONS(nvfp4, DIST_CODEC_NVFP4, &kernels, ANYWHERE)

static void stage(dist_type type, const void *x, const float *e, float decay, uint64_t n, float *h)
{
    dist_stage_elements(type, x, e, decay, n, h);
}

static void unstage(dist_type type, const float *sum, int divisor, bool add, uint64_t n, void *values)
{
    dist_unstage_elements(type, sum, divisor, add, 0, n, values);
}

/* int8 feedback is the int8 codec with its scale before each block. */
static void load_feedback(dist_feedback feedback, const void *kept, uint64_t n, float *e)
{
    const uint8_t *from = kept;
    if (feedback == DIST_FEEDBACK_BF16) {
        dist_stage_elements(DIST_BFLOAT16, kept, NULL, 1, n, e);
        return;
    }
    for (uint64_t i = 0; i < n; i += DIST_FEEDBACK_BLOCK, from += DIST_FEEDBACK_BLOCK + 4) {
        float scale;
        memcpy(&scale, from, 4);
        dist_dequantize_elements(DIST_CODEC_INT8, from + 4, dist_least(DIST_FEEDBACK_BLOCK, n - i), scale,
                                 e + i, false);
    }
}

static void store_feedback(dist_feedback feedback, const float *e, uint64_t n, void *kept)
{
    uint8_t *to = kept;
    if (feedback == DIST_FEEDBACK_BF16) {
        dist_unstage_elements(DIST_BFLOAT16, e, 1, false, 0, n, kept);
        return;
    }
    for (uint64_t i = 0; i < n; i += DIST_FEEDBACK_BLOCK, to += DIST_FEEDBACK_BLOCK + 4) {
        const uint64_t m = dist_least(DIST_FEEDBACK_BLOCK, n - i);
        const float scale = dist_scale8(dist_peak_elements(e + i, m));
        memcpy(to, &scale, 4);
        if (dist_is_finite(scale))
            dist_quantize_elements(DIST_CODEC_INT8, e + i, NULL, NULL, m, scale, to + 4);
        else
            memset(to + 4, 0, m);
    }
}

static void fill_random(dist_random_key key, uint64_t first, uint64_t n, uint32_t *words)
{
    for (uint64_t i = 0; i < n; i++)
        words[i] = dist_random_at(key, first + i);
}

static uint32_t peak(const float *h, uint64_t n)
{
    uint32_t most = 0;
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t magnitude = dist_magnitude(h[i]);
        most = magnitude > most && magnitude < DIST_INFINITY_BITS ? magnitude : most;
    }
    return most;
}

const dist_codec_table dist_codec_scalar = {
    .encode = {[DIST_CODEC_NONE] = none_encode,
               [DIST_CODEC_BF16] = bf16_encode,
               [DIST_CODEC_FP16] = fp16_encode,
               [DIST_CODEC_INT8] = int8_encode,
               [DIST_CODEC_INT4] = int4_encode,
               [DIST_CODEC_INT4_HADAMARD] = dist_hadamard_encode,
               [DIST_CODEC_MXFP8] = mxfp8_encode,
               [DIST_CODEC_MXFP4] = mxfp4_encode,
               [DIST_CODEC_NVFP4] = nvfp4_encode,
               [DIST_CODEC_SPARSELOCO] = dist_sparse_encode},
    .decode = {[DIST_CODEC_NONE] = none_decode,
               [DIST_CODEC_BF16] = bf16_decode,
               [DIST_CODEC_FP16] = fp16_decode,
               [DIST_CODEC_INT8] = int8_decode,
               [DIST_CODEC_INT4] = int4_decode,
               [DIST_CODEC_INT4_HADAMARD] = dist_hadamard_decode,
               [DIST_CODEC_MXFP8] = mxfp8_decode,
               [DIST_CODEC_MXFP4] = mxfp4_decode,
               [DIST_CODEC_NVFP4] = nvfp4_decode,
               [DIST_CODEC_SPARSELOCO] = dist_sparse_decode},
    .stage = stage,
    .unstage = unstage,
    .load_feedback = load_feedback,
    .store_feedback = store_feedback,
    .random = fill_random,
    .peak = peak,
};
