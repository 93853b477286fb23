#include "codec/frame.h"

#include <string.h>

#include "base/fpmode.h"
#include "codec/sections.h"
#include "codec/tables.h"
#include "codec/topk.h"
#include "kernels/hadamard.h"

enum { PAST_CACHES = 8 << 20 }; /* bytes, more than a core's share of most last caches */

typedef struct decoding {
    const dist_codec *codec;
    int frames;
    dist_sections frame[DIST_FRAMES_AT_ONCE];
} decoding;

/* Elements [first, first + n) of one frame. */
static void decode_group(const dist_codec *codec, const dist_sections *frame, uint64_t first, uint64_t n,
                         float *out, dist_write write)
{
    dist_decode_group group = {.codec = codec, .out = out, .n = n, .write = write};
    uint32_t signs[DIST_GROUP_MOST / 32];
    if (codec->kind == DIST_CODEC_TOPK) {
        dist_topk_decode(frame, first, n, out, write == DIST_WRITE_ADD);
        return;
    }
    for (int s = 0; s < DIST_SECTIONS; s++)
        group.section[s] = dist_section_from(frame, s, first);
    if (codec->kind == DIST_CODEC_NVFP4)
        memcpy(&group.global, group.section[0], 4);
    if (codec->kind == DIST_CODEC_INT4_HADAMARD) {
        dist_frame_header header;
        memcpy(&header, frame->frame, sizeof header);
        for (uint32_t word = 0; word < (codec->block + 31) / 32; word++)
            signs[word] = dist_hadamard_signs(header.seed, word);
        group.signs = signs;
    }
    codec->table->decode[codec->kind](&group);
}

/* The sum of all frames over one group. */
static void sum_group(const decoding *decoder, uint64_t first, uint64_t n, float *out, dist_write write)
{
    for (int f = 0; f < decoder->frames; f++)
        decode_group(decoder->codec, &decoder->frame[f], first, n, out, f > 0 ? DIST_WRITE_ADD : write);
}

/* What no cache would keep is not read into one first: an ordinary write of a line reads it. */
static dist_write write_of(const decoding *decoder, bool add, uint64_t count, const void *values)
{
    if (add)
        return DIST_WRITE_ADD;
    return decoder->frames == 1 && count * sizeof(float) >= PAST_CACHES && (uintptr_t)values % 64 == 0
               ? DIST_WRITE_PAST
               : DIST_WRITE_SET;
}

void dist_frame_decode(const dist_codec *codec, const void *const *frame, int frames, int divisor, bool add,
                       dist_type type, uint64_t count, void *values)
{
    const uint64_t mode = dist_fpmode_default();
    const uint64_t size = codec->block > DIST_GROUP ? codec->block : DIST_GROUP;
    decoding decoder;
    decoder.codec = codec;
    decoder.frames = frames;
    for (int f = 0; f < frames; f++)
        dist_sections_open(&decoder.frame[f], codec, count, frame[f]);
    /* Without a conversion at the end the sum can be made where it will be. */
    const bool in_place = type == DIST_FLOAT32 && divisor == 1 && (!add || frames == 1);
    const dist_write write = in_place ? write_of(&decoder, add, count, values) : DIST_WRITE_SET;
    for (uint64_t first = 0; first < count; first += size) {
        const uint64_t n = count - first < size ? count - first : size;
        char *out = (char *)values + first * (type == DIST_FLOAT32 ? 4 : 2);
        float sum[DIST_GROUP_MOST];
        if (in_place) {
            sum_group(&decoder, first, n, (float *)(void *)out, write);
        } else {
            sum_group(&decoder, first, n, sum, DIST_WRITE_SET);
            codec->table->unstage(type, sum, divisor, add, n, out);
        }
    }
    if (write == DIST_WRITE_PAST && codec->table->settle)
        codec->table->settle();
    dist_fpmode_set(mode);
}
