#include "codec/frame.h"

#include <string.h>

#include "base/fpmode.h"
#include "codec/sections.h"
#include "codec/staged.h"
#include "codec/topk.h"
#include "kernels/hadamard.h"
#include "kernels/scale.h"

/* What the groups of one frame share. */
typedef struct encoding {
    dist_staged staged;
    uint64_t count;
    dist_random_key key;
    uint64_t first; /* of the frame in its vector */
    dist_sections sections;
    float global;
    uint32_t signs[DIST_GROUP_MOST / 32];
} encoding;

static uint64_t encode_group(encoding *encoder, uint64_t first, uint64_t n)
{
    const dist_codec *codec = encoder->staged.codec;
    float h[DIST_GROUP_MOST], e[DIST_GROUP_MOST], *old;
    uint32_t random[DIST_GROUP_MOST + 4];
    dist_encode_group group = {.codec = codec, .n = n, .global = encoder->global, .signs = encoder->signs};
    group.h = dist_stage(&encoder->staged, first, n, h, e, &old);
    group.kept = old;
    if (codec->stochastic) {
        const uint64_t padded =
            (n + codec->block - 1) / codec->block * codec->block; /* a rotation rounds them all */
        const uint64_t at = encoder->first + first,
                       before = at % 4; /* four elements share a block of random bits */
        codec->table->random(encoder->key, at - before, padded + before, random);
        group.random = random + before;
    }
    for (int s = 0; s < DIST_SECTIONS; s++)
        group.section[s] = dist_section_from(&encoder->sections, s, first);
    const uint64_t nonfinite = codec->table->encode[codec->kind](&group);
    dist_stage_keep(&encoder->staged, first, n, old);
    return nonfinite;
}

/* The largest finite |h| of the frame, from which nvfp4 has its scale. */
static uint32_t peak_of(const encoding *encoder)
{
    float h[DIST_GROUP], e[DIST_GROUP], *old;
    uint32_t peak = 0;
    for (uint64_t first = 0; first < encoder->count; first += DIST_GROUP) {
        const uint64_t n = encoder->count - first < DIST_GROUP ? encoder->count - first : DIST_GROUP;
        const uint32_t here =
            encoder->staged.codec->table->peak(dist_stage(&encoder->staged, first, n, h, e, &old), n);
        peak = here > peak ? here : peak;
    }
    return peak;
}

static uint32_t begin(encoding *encoder)
{
    uint32_t seed = 0;
    if (encoder->staged.codec->kind == DIST_CODEC_NVFP4 && encoder->count) {
        encoder->global = dist_nvfp4_global(peak_of(encoder));
        memcpy(dist_section_from(&encoder->sections, 0, 0), &encoder->global, 4);
    }
    if (encoder->staged.codec->kind == DIST_CODEC_INT4_HADAMARD) {
        seed = dist_random_at(encoder->key, encoder->first) ^ 0x9e3779b9u;
        for (uint32_t word = 0; word < DIST_GROUP_MOST / 32; word++)
            encoder->signs[word] = dist_hadamard_signs(seed, word);
    }
    return seed;
}

static uint64_t encode_groups(encoding *encoder)
{
    const uint64_t size =
        encoder->staged.codec->block > DIST_GROUP ? encoder->staged.codec->block : DIST_GROUP;
    uint64_t nonfinite = 0;
    for (uint64_t first = 0; first < encoder->count; first += size) {
        const uint64_t n = encoder->count - first < size ? encoder->count - first : size;
        nonfinite += encode_group(encoder, first, n);
        dist_sections_advance(&encoder->sections, first + n);
    }
    return nonfinite;
}

uint64_t dist_frame_encode(const dist_codec *codec, dist_type type, const void *values, void *feedback,
                           uint64_t count, const dist_codec_position *position, void *frame)
{
    const uint64_t mode = dist_fpmode_default();
    const dist_codec_position at = position ? *position : (dist_codec_position){0};
    encoding encoder = {.staged = dist_staged_of(codec, type, values, feedback),
                        .count = count,
                        .key = dist_random_key_of(codec->seed, at.step, at.stream),
                        .first = at.first};
    dist_sections_begin(&encoder.sections, codec, count, frame);
    const uint32_t seed = begin(&encoder);
    const uint64_t nonfinite = codec->kind == DIST_CODEC_TOPK
                                   ? dist_topk_encode(codec, type, values, feedback, count, &encoder.sections)
                                   : encode_groups(&encoder);
    const int flags =
        (nonfinite ? DIST_FRAME_NONFINITE : 0) | (codec->stochastic ? DIST_FRAME_STOCHASTIC : 0);
    dist_sections_seal(&encoder.sections, (uint16_t)flags, seed);
    dist_fpmode_set(mode);
    return nonfinite;
}
