/* The sections of a frame, and their checksum as they fill: each window is summed while it is still in the cache. */
#ifndef DIST_CODEC_SECTIONS_H
#define DIST_CODEC_SECTIONS_H

#include "codec/codec.h"

typedef struct dist_sections {
    uint8_t *frame;
    dist_coding coding;
    dist_layout layout;
    uint64_t count;
    uint64_t summed[DIST_SECTIONS]; /* bytes of each section in its crc */
    uint32_t crc[DIST_SECTIONS];
    uint64_t next; /* elements at which it is worth summing again */
} dist_sections;

/* Also writes the zeros between sections. */
void dist_sections_begin(dist_sections *sections, const dist_codec *codec, uint64_t count, void *frame);

/* For reading. Nothing is written. */
void dist_sections_open(dist_sections *sections, const dist_codec *codec, uint64_t count, const void *frame);

/* Where the bytes of the elements from `first` on begin; `first` is a multiple of the block. */
static inline uint8_t *dist_section_from(const dist_sections *sections, int s, uint64_t first)
{
    /* topk has its elements in no order of blocks, nvfp4 one scale for all of them. */
    const bool whole = sections->coding.kind == DIST_CODEC_TOPK || (s == 0 && sections->coding.kind == DIST_CODEC_NVFP4);
    const uint64_t before = whole ? 0 : dist_section_bytes(sections->coding, s, first);
    return sections->frame + sections->layout.at[s] + before;
}

/* The first `n` elements are encoded (or about to be decoded). */
void dist_sections_advance(dist_sections *sections, uint64_t n);

/* The checksum of `header` and of all sections; all must be there. */
uint32_t dist_sections_crc(dist_sections *sections, const dist_frame_header *header);

/* Writes the header. */
void dist_sections_seal(dist_sections *sections, uint16_t flags, uint32_t seed);

#endif
