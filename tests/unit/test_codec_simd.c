/* Every instruction set writes the bytes of the scalar definition, leaves the same feedback, and decodes the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/frame.h"
#include "codec/tables.h"

enum { MOST = 70000, LANES = 16 };

/* Sanitizers are ten times slower, and look at the code, not at the bytes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STEP = 7 };
#else
enum { STEP = 1 };
#endif

static const char *const codecs[] = {"none",
                                     "none:ef=fp32",
                                     "bf16",
                                     "bf16:sr:ef=fp32",
                                     "fp16:ef=fp32",
                                     "int8",
                                     "int8:block=16:ef=fp32",
                                     "int8:block=4096:sr:ef=int8",
                                     "int8:ef=bf16",
                                     "int4",
                                     "int4:block=16:ef=none",
                                     "int4:block=1024:sr:ef=bf16",
                                     "int4:block=4096:ef=int8",
                                     "int4:hadamard",
                                     "int4:block=16:hadamard:ef=fp32",
                                     "int4:block=4096:hadamard:sr",
                                     "mxfp8:ef=fp32",
                                     "mxfp4",
                                     "nvfp4",
                                     "topk:density=0.03",
                                     "sparseloco"};

enum { CODECS = sizeof codecs / sizeof *codecs };

static const dist_simd simds[] = {DIST_SIMD_AVX2, DIST_SIMD_AVX512, DIST_SIMD_NEON};
static const char *const simd_names[] = {"avx2", "avx512", "neon"};

static uint64_t state = 1;

static uint32_t next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

/* One side of a comparison. */
typedef struct side {
    dist_codec codec;
    uint8_t frame[4 * MOST + 1024], kept[4 * MOST + 4096];
    float decoded[MOST];
} side;

static side scalar, vector;
static char values[4 * MOST + 64];

static uint64_t encode_with(side *s, dist_type type, uint64_t count, uint64_t first, bool feedback)
{
    const dist_codec_position position = {.step = 7, .first = first, .stream = 3};
    return dist_frame_encode(&s->codec, type, values, feedback ? s->kept : NULL, count, &position, s->frame);
}

static void expect_same(const char *what, const void *a, const void *b, size_t bytes, const char *codec,
                        int simd, dist_type type, uint64_t count)
{
    if (memcmp(a, b, bytes) == 0)
        return;
    size_t at = 0;
    while (((const char *)a)[at] == ((const char *)b)[at])
        at++;
    fail_msg("%s of %s by %s, type %d, %llu elements: byte %zu differs", what, codec, simd_names[simd],
             (int)type, (unsigned long long)count, at);
}

static void decode_and_compare(const char *codec, int simd, dist_type type, uint64_t count)
{
    const void *a[] = {scalar.frame, scalar.frame, scalar.frame},
               *b[] = {vector.frame, vector.frame, vector.frame};
    const size_t bytes = count * (type == DIST_FLOAT32 ? 4 : 2);
    for (int way = 0; way < 3; way++) { /* set, add, average of three */
        for (uint64_t i = 0; i < count; i++)
            scalar.decoded[i] = vector.decoded[i] = (float)(i % 5) - 2;
        dist_frame_decode(&scalar.codec, a, way == 2 ? 3 : 1, way == 2 ? 3 : 1, way == 1, type, count,
                          scalar.decoded);
        dist_frame_decode(&vector.codec, b, way == 2 ? 3 : 1, way == 2 ? 3 : 1, way == 1, type, count,
                          vector.decoded);
        expect_same("the decoded values", scalar.decoded, vector.decoded, bytes, codec, simd, type, count);
    }
}

/* What is in `values`, twice, so that feedback is used. */
static void compare(int c, int simd, dist_type type, uint64_t count, uint64_t first)
{
    const bool feedback = strstr(codecs[c], "ef=none") == NULL;
    assert_int_equal(dist_codec_parse(codecs[c], DIST_SIMD_SCALAR, &scalar.codec), DIST_OK);
    assert_int_equal(dist_codec_parse(codecs[c], simds[simd], &vector.codec), DIST_OK);
    memset(scalar.kept, 0, sizeof scalar.kept);
    memset(vector.kept, 0, sizeof vector.kept);
    const uint64_t bytes = dist_codec_bytes(&scalar.codec, count),
                   kept = dist_feedback_bytes(scalar.codec.feedback, count);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(encode_with(&scalar, type, count, first, feedback),
                         encode_with(&vector, type, count, first, feedback));
        expect_same("the frame", scalar.frame, vector.frame, bytes, codecs[c], simd, type, count);
        expect_same("the feedback", scalar.kept, vector.kept, kept, codecs[c], simd, type, count);
    }
    assert_int_equal(dist_frame_check(&scalar.codec, scalar.frame, bytes, count), DIST_OK);
    decode_and_compare(codecs[c], simd, type, count);
}

static void each(void (*fill)(uint64_t count), dist_type type, uint64_t count, uint64_t first)
{
    fill(count);
    for (size_t s = 0; s < sizeof simds / sizeof *simds; s++)
        for (int c = 0; dist_codec_table_of(simds[s]) && c < CODECS; c++)
            compare(c, (int)s, type, count, first);
}

static void put_bits(uint64_t i, uint32_t bits)
{
    memcpy(values + 4 * i, &bits, 4);
}

static void fill_normal(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        float sum = 0;
        for (int k = 0; k < 4; k++)
            sum += (float)(next() >> 8) * 0x1p-24f - 0.5f;
        memcpy(values + 4 * i, &sum, 4);
    }
}

static void fill_bits(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        put_bits(i, next());
}

/* Subnormals, zeros of both signs, the ends of the range, and now and then what is not finite. */
static void fill_corners(uint64_t count)
{
    static const uint32_t corner[] = {0,           0x80000000u, 1,           0x80000001u,
                                      0x007fffffu, 0x00800000u, 0x7f7fffffu, 0xff7fffffu,
                                      0x3f800000u, 0x00000100u, 0x33800000u, 0x38800000u};
    for (uint64_t i = 0; i < count; i++) {
        const bool special = i / 512 % 3 == 1 && next() % 64 == 0;
        put_bits(i, special ? 0x7f800000u | next() << 1 : corner[next() % (i / 256 % 4 ? 12 : 5)]);
    }
}

/* Multiples of half a step, where rounding has ties. */
static void fill_ties(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const float value = (float)((int)(next() % 509) - 254) * 0.5f * (i / 64 % 2 ? 0x1p-40f : 1.0f);
        memcpy(values + 4 * i, &value, 4);
    }
}

static void sizes_and_kinds_of_values(void **unused)
{
    (void)unused;
    static const uint64_t counts[] = {0,   1,   2,   3,   15,   16,   17,   31,   32,   33,   63,  65,
                                      255, 256, 257, 300, 1023, 1024, 1025, 4095, 4096, 4097, 9973};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
        each(fill_normal, DIST_FLOAT32, counts[n], n);
        each(fill_bits, DIST_FLOAT32, counts[n], 4 * n);
        each(fill_corners, DIST_FLOAT32, counts[n], n + 1);
        each(fill_ties, DIST_FLOAT32, counts[n], n + 2);
    }
}

static uint64_t rotation;

/* Every 16-bit pattern, `rotation` lanes further. */
static void fill_patterns(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const uint16_t bits = (uint16_t)(i - rotation);
        memcpy(values + 2 * i, &bits, 2);
    }
}

static void fill_wide_patterns(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        put_bits(i, (uint32_t)((uint16_t)(i * 40503u - rotation)) << 16 | (next() & 0xffffu));
}

static void all_patterns_in_all_lanes(void **unused)
{
    (void)unused;
    for (rotation = 0; rotation < LANES; rotation += STEP) {
        each(fill_patterns, DIST_FLOAT16, 65536 + rotation, 0);
        each(fill_patterns, DIST_BFLOAT16, 65536 + rotation, 0);
        each(fill_wide_patterns, DIST_FLOAT32, 65536 + rotation, 0);
    }
}

/* All patterns alone in a block, so that each is its peak. */
static void every_pattern_as_peak(void **unused)
{
    (void)unused;
    static const int blocks[] = {6, 10, 16, 17, 18};
    for (size_t s = 0; s < sizeof simds / sizeof *simds; s++) {
        for (size_t b = 0; dist_codec_table_of(simds[s]) && b < sizeof blocks / sizeof *blocks; b++)
            for (uint32_t base = 0; base < 65536; base += 4096 * STEP) {
                memset(values, 0, sizeof values);
                for (uint32_t i = 0; i < 4096; i++) {
                    const uint16_t bits = (uint16_t)(base + i);
                    memcpy(values + 2 * (16 * i + (i * 7 + base / 4096) % 16), &bits, 2);
                }
                compare(blocks[b], (int)s, base % 8192 ? DIST_FLOAT16 : DIST_BFLOAT16, 65536, 0);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_kinds_of_values),
        cmocka_unit_test(all_patterns_in_all_lanes),
        cmocka_unit_test(every_pattern_as_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
