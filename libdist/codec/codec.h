/* What a codec is inside the library: parsed parameters and a table of functions.
 *
 * frame.h encodes and decodes whole frames, in groups of elements that stay in the L1 cache: values and feedback
 * of any type are brought to float32 (stage.h), the codec's own functions turn these to bytes (the tables below),
 * and what was rounded away goes back. The scalar functions define the bytes; a vector table gives the same bytes
 * sooner. Arithmetic that CUDA shares lives in kernels/.
 */
#ifndef DIST_CODEC_CODEC_H
#define DIST_CODEC_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include <libdist/codec.h>

#include "kernels/frame.h"

/* How error feedback is kept. In int8 it lies in blocks: a float32 scale, then the codes. */
typedef enum dist_feedback {
    DIST_FEEDBACK_NONE,
    DIST_FEEDBACK_FP32,
    DIST_FEEDBACK_BF16,
    DIST_FEEDBACK_INT8
} dist_feedback;

/* Which instruction set the functions use. AUTO takes the best that this CPU has. */
typedef enum dist_simd {
    DIST_SIMD_AUTO,
    DIST_SIMD_SCALAR,
    DIST_SIMD_AVX2,
    DIST_SIMD_AVX512,
    DIST_SIMD_NEON
} dist_simd;

enum { DIST_FEEDBACK_BLOCK = 256 };

struct dist_codec_table;

struct dist_codec {
    const struct dist_codec_table *table;
    dist_codec_kind kind;
    unsigned block;         /* elements that share a scale; 1 without blocks */
    dist_feedback feedback; /* kept where the caller has a place for it */
    bool stochastic;
    uint64_t seed;
    double density; /* topk */
    unsigned rank;  /* powersgd */
    unsigned dense; /* data parallel: steps without it at the start */
    char text[64];
};

/* Fills *codec from its string, with the functions of `simd`; DIST_ERR_UNSUPPORTED when this CPU lacks it. */
dist_status dist_codec_parse(const char *text, dist_simd simd, dist_codec *codec);
/* Writes codec->text from the rest. */
void dist_codec_write_text(dist_codec *codec);

/* More elements than this fit no memory, and their size might not fit a uint64_t. */
#define DIST_CODEC_MAX_COUNT (UINT64_MAX / 16)

dist_coding dist_codec_coding(const dist_codec *codec, uint64_t count);
/* Bytes of a frame; UINT64_MAX beyond DIST_CODEC_MAX_COUNT. */
uint64_t dist_codec_bytes(const dist_codec *codec, uint64_t count);
/* Bytes of the feedback of `count` elements, as it is kept; 0 without. */
uint64_t dist_feedback_bytes(dist_feedback feedback, uint64_t count);
/* Where parts of a vector that are encoded apart may begin: a multiple of so many elements. */
uint64_t dist_codec_grain(const dist_codec *codec);

/* By what feedback is multiplied before it is added: sparseloco forgets. */
static inline float dist_codec_decay(const dist_codec *codec)
{
    return codec->kind == DIST_CODEC_SPARSELOCO ? 0.95f : 1.0f;
}

#endif
