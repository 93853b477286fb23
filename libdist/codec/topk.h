/* topk: the largest elements of a whole frame, found in passes over it. */
#ifndef DIST_CODEC_TOPK_H
#define DIST_CODEC_TOPK_H

#include "codec/sections.h"

uint64_t dist_topk_encode(const dist_codec *codec, dist_type type, const void *values, void *feedback,
                          uint64_t count, dist_sections *sections);
/* Elements [first, first + n) of a checked frame. */
void dist_topk_decode(const dist_sections *sections, uint64_t first, uint64_t n, float *out, bool add);

#endif
