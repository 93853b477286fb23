/* Inputs for the codec tests: what gradients look like, and what they should not look like. */
#ifndef TEST_CODEC_DATA_H
#define TEST_CODEC_DATA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec.h"

typedef struct stream {
    uint64_t state;
} stream;

static inline uint32_t draw_bits(stream *draw) /* splitmix64 */
{
    uint64_t z = draw->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

static inline float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline float draw_unit(stream *draw) /* in (-1, 1) */
{
    return (float)((int32_t)draw_bits(draw) >> 7) * 0x1p-24f;
}

typedef enum data {
    DATA_UNIFORM,
    DATA_HEAVY,     /* a few elements a million times the rest */
    DATA_TIES,      /* multiples of half a scale */
    DATA_SUBNORMAL, /* float32 subnormals, and normals whose scale is one */
    DATA_HALF_EDGE, /* int4 scales around the subnormals and the top of float16 */
    DATA_HUGE,      /* up to the largest float32 */
    DATA_ZEROS,     /* of both signs, whole blocks and parts of them */
    DATA_NONFINITE, /* now and then a NaN of any payload or an infinity */
    DATA_BITS,      /* any bits */
    DATA_KINDS
} data;

static inline float draw_value(stream *draw, data kind, uint64_t i)
{
    const uint32_t bits = draw_bits(draw), sign = bits & 0x80000000u;
    const float unit = draw_unit(draw);
    switch (kind) {
    case DATA_UNIFORM:
        return unit;
    case DATA_HEAVY:
        return bits % 97 == 0 ? unit * 1e3f : unit * 1e-3f;
    case DATA_TIES:
        return i % 16 == 0 ? 127.0f * 7.0f : (float)((int)(bits % 512) - 256) * 0.5f;
    case DATA_SUBNORMAL:
        return float_of(sign | draw_bits(draw) >> (1 + bits % 24 + 7));
    case DATA_HALF_EDGE:
        return i / 64 % 2 ? unit * 0x1p-20f : unit * 1e6f;
    case DATA_HUGE:
        return float_of(sign | (0x7f7fffffu - draw_bits(draw) % 0x1800000u));
    case DATA_ZEROS:
        return i / 512 % 2 && bits % 5 == 0 ? unit : float_of(sign);
    case DATA_NONFINITE:
        if (bits % 301 == 0)
            return float_of(sign | 0x7f800000u | (draw_bits(draw) & (bits >> 12 & 1 ? 0x7fffffu : 0u)));
        return unit;
    default:
        return float_of(draw_bits(draw));
    }
}

static inline void fill(float *values, uint64_t count, data kind, uint64_t seed)
{
    stream draw = {seed * 977 + (uint64_t)kind};
    for (uint64_t i = 0; i < count; i++)
        values[i] = draw_value(&draw, kind, i);
}

/* A feedback as earlier steps leave it: finite, and small beside the values. */
static inline void fill_feedback(float *feedback, uint64_t count, data kind, uint64_t seed)
{
    fill(feedback, count, kind, seed + 1000);
    for (uint64_t i = 0; i < count; i++)
        feedback[i] = (bits_of(feedback[i]) & 0x7f800000u) == 0x7f800000u ? 0.0f : feedback[i] * 0.004f;
}

/* Memory of exactly so many bytes, for a sanitizer to guard; 1 for 0. */
static inline void *exactly(uint64_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    assert_non_null(memory);
    return memory;
}

static inline dist_codec codec_of(const char *text, dist_simd simd)
{
    dist_codec codec;
    assert_int_equal(dist_codec_parse(text, simd, &codec), DIST_OK);
    return codec;
}

/* Around nothing, a vector, int4's block, int8's block, a group of blocks, and a prime. */
static const uint64_t test_counts[] = {1,    2,    15,   16,   17,   31,   32,   33,   63,   64,
                                       65,   127,  255,  256,  257,  511,  513,  1023, 1024, 1025,
                                       1535, 2047, 2049, 4095, 4096, 4097, 8191, 10007};
enum { TEST_COUNTS = sizeof test_counts / sizeof *test_counts };

/* Every kind, with blocks at both ends of what is allowed. */
static const char *const test_codecs[] = {
    "none",
    "none:ef=fp32",
    "bf16",
    "bf16:sr",
    "bf16:ef=fp32",
    "fp16",
    "fp16:ef=fp32",
    "int8",
    "int8:sr",
    "int8:block=16",
    "int8:block=4096",
    "int8:ef=fp32",
    "int8:block=64:sr:ef=bf16",
    "int4",
    "int4:sr",
    "int4:block=16",
    "int4:block=4096",
    "int4:ef=none",
    "int4:ef=int8",
    "int4:hadamard",
    "int4:block=16:hadamard",
    "int4:block=4096:hadamard",
    "int4:block=64:sr:hadamard",
    "int4:hadamard:ef=fp32",
    "mxfp8",
    "mxfp8:ef=fp32",
    "mxfp4",
    "nvfp4",
    "topk:density=0.01",
    "topk:density=0.3:ef=int8",
    "topk:density=1",
    "sparseloco",
    "sparseloco:ef=bf16",
};
enum { TEST_CODECS = sizeof test_codecs / sizeof *test_codecs };

#endif
