/* Frames for the codec tests: made, changed, sealed anew, and expected to be refused. */
#ifndef TEST_CODEC_FRAMES_H
#define TEST_CODEC_FRAMES_H

#include "codec_data.h"

#include "base/error.h"
#include "codec/crc32c.h"
#include "codec/frame.h"

/* A frame in memory of exactly its size. */
typedef struct frame {
    dist_codec codec;
    uint64_t count, bytes, nonfinite;
    uint8_t *at;
} frame;

static inline frame frame_of(const char *text, dist_type type, const void *values, void *feedback,
                             uint64_t count, const dist_codec_position *position)
{
    frame made = {.codec = codec_of(text, DIST_SIMD_AUTO), .count = count};
    made.bytes = dist_codec_encoded_bytes(&made.codec, count);
    made.at = exactly(made.bytes);
    memset(made.at, 0xa5, made.bytes); /* zeros are written, not found */
    assert_int_equal(
        dist_codec_encode(&made.codec, type, values, feedback, count, position, made.at, &made.nonfinite),
        DIST_OK);
    return made;
}

static inline frame frame_of_floats(const char *text, const float *values, uint64_t count)
{
    return frame_of(text, DIST_FLOAT32, values, NULL, count, NULL);
}

static inline uint32_t word_of(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline void put_word(uint8_t *at, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(word >> 8 * i);
}

/* The checksum over what the header's page says: bytes 0 to 27, and all from 32 on. */
static inline void seal(uint8_t *at, uint64_t bytes)
{
    put_word(at + 28, dist_crc32c(dist_crc32c(0, at, 28), at + 32, bytes - 32));
}

static inline void decoded_to(const frame *f, float *values)
{
    if (dist_codec_decode(&f->codec, f->at, f->bytes, DIST_FLOAT32, f->count, values) != DIST_OK)
        fail_msg("%s of %u: %s", f->codec.text, (unsigned)f->count, dist_last_error());
}

static inline void says(const char *words)
{
    if (!strstr(dist_last_error(), words))
        fail_msg("lacks \"%s\": %s", words, dist_last_error());
}

/* Every call refuses these bytes, says why, and writes nothing. */
static inline void refuses(const dist_codec *codec, const uint8_t *at, uint64_t bytes, uint64_t count,
                           const char *words)
{
    float *values = exactly(4 * count), *before = exactly(4 * count);
    double bound = -1;
    const void *const several[] = {at, at};
    fill(values, count, DATA_UNIFORM, 77);
    memcpy(before, values, 4 * count);
    if (dist_codec_decode(codec, at, bytes, DIST_FLOAT32, count, values) != DIST_ERR_FRAME)
        fail_msg("%s accepts what lacks \"%s\"", codec->text, words);
    says(words);
    assert_int_equal(dist_codec_decode_add(codec, at, bytes, DIST_FLOAT32, count, values), DIST_ERR_FRAME);
    says(words);
    assert_int_equal(dist_codec_decode_sum(codec, several, 2, bytes, 1, DIST_FLOAT32, count, values),
                     DIST_ERR_FRAME);
    says(words);
    assert_int_equal(dist_codec_check(codec, at, bytes, count), DIST_ERR_FRAME);
    says(words);
    assert_int_equal(dist_codec_error_bound(codec, at, bytes, count, &bound), DIST_ERR_FRAME);
    says(words);
    assert_true(bound < 0);
    assert_memory_equal(values, before, 4 * count);
    free(values), free(before);
}

#endif
