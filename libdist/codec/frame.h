/* Whole frames: encode, check, decode. */
#ifndef DIST_CODEC_FRAME_H
#define DIST_CODEC_FRAME_H

#include "codec/codec.h"

/* Encodes into dist_codec_bytes(codec, count) at `frame`; `feedback` may be NULL. Returns the number of
 * non-finite blocks. */
uint64_t dist_frame_encode(const dist_codec *codec, dist_type type, const void *values, void *feedback,
                           uint64_t count, const dist_codec_position *position, void *frame);

/* All checks of a frame that claims to be `codec` with `count` elements; DIST_ERR_FRAME. */
dist_status dist_frame_check(const dist_codec *codec, const void *frame, uint64_t bytes, uint64_t count);

/* Frames that one sum takes. */
#define DIST_FRAMES_AT_ONCE 64

/* values (+)= the sum of `frames` checked frames in order / divisor. Frame i lies at frame[i]. */
void dist_frame_decode(const dist_codec *codec, const void *const *frame, int frames, int divisor, bool add,
                       dist_type type, uint64_t count, void *values);

/* The header as such: magic, version, codec, flags, block and kept are what some codec can have. Fills *info. */
dist_status dist_frame_read(const void *frame, uint64_t bytes, dist_codec_frame *info);

/* The bound of a checked frame; HUGE_VAL without one. */
double dist_frame_error_bound(const dist_codec *codec, const void *frame, uint64_t count);

#endif
