/* What a codec is inside the library: parsed parameters and a table of functions.
 *
 * The scalar functions define the bytes; a vector table gives the same bytes sooner. Arithmetic that CUDA
 * will share lives in kernels/.
 */
#ifndef DIST_CODEC_CODEC_H
#define DIST_CODEC_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include <libdist/codec.h>

/* All slots are required. `feedback` may be NULL. Pointers need natural alignment only (int8: `encoded` at 4
 * bytes). */
typedef struct dist_codec_ops {
    uint64_t (*encode)(const dist_codec *codec, const float *values, float *feedback, uint64_t count,
                       void *encoded); /* returns the number of non-finite blocks */
    void (*decode)(const dist_codec *codec, const void *encoded, uint64_t count, float *values);
    void (*decode_add)(const dist_codec *codec, const void *encoded, uint64_t count, float *values);
} dist_codec_ops;

typedef enum dist_codec_kind {
    DIST_CODEC_NONE,
    DIST_CODEC_BF16,
    DIST_CODEC_INT8,
    DIST_CODEC_INT4
} dist_codec_kind;

struct dist_codec {
    const dist_codec_ops *ops;
    dist_codec_kind kind;
    unsigned block; /* elements that share a scale; 1 for none and bf16 */
    bool feedback;  /* keep error feedback where the caller has a place for it */
    char text[32];
};

/* Which instruction set the functions use. AUTO takes the best that this CPU has. */
typedef enum dist_simd { DIST_SIMD_AUTO, DIST_SIMD_SCALAR, DIST_SIMD_AVX2, DIST_SIMD_AVX512 } dist_simd;

/* Fills *codec from its string, with the functions of `simd`; DIST_ERR_UNSUPPORTED when this CPU lacks it. */
dist_status dist_codec_parse(const char *text, dist_simd simd, dist_codec *codec);

#endif
