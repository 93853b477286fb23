/* Where things lie in encoded bytes, all little endian:
 *
 *     none  count float32
 *     bf16  count bfloat16
 *     int8  a float32 scale for each block, then count bytes in two's complement
 *     int4  a float16 scale for each block, then ceil(count/2) bytes, the even element in the low half
 *
 * The last block may be partial; the unused half of int4's last byte is 0.
 */
#ifndef DIST_CODEC_LAYOUT_H
#define DIST_CODEC_LAYOUT_H

#include "codec/codec.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "encoded bytes are little endian; this processor needs swaps in libdist/codec"
#endif

/* More elements than this fit no memory, and their size might not fit a uint64_t. */
#define DIST_CODEC_MAX_COUNT (UINT64_MAX / 16)

static inline uint64_t dist_codec_blocks(const dist_codec *codec, uint64_t count)
{
    return count / codec->block + (count % codec->block != 0);
}

/* Bytes before the codes. */
static inline uint64_t dist_codec_scale_bytes(const dist_codec *codec, uint64_t count)
{
    switch (codec->kind) {
    case DIST_CODEC_INT8:
        return 4 * dist_codec_blocks(codec, count);
    case DIST_CODEC_INT4:
        return 2 * dist_codec_blocks(codec, count);
    case DIST_CODEC_NONE:
    case DIST_CODEC_BF16:
        break;
    }
    return 0;
}

/* UINT64_MAX beyond DIST_CODEC_MAX_COUNT. */
static inline uint64_t dist_codec_bytes(const dist_codec *codec, uint64_t count)
{
    if (count > DIST_CODEC_MAX_COUNT)
        return UINT64_MAX;
    const uint64_t scales = dist_codec_scale_bytes(codec, count);
    switch (codec->kind) {
    case DIST_CODEC_NONE:
        return 4 * count;
    case DIST_CODEC_BF16:
        return 2 * count;
    case DIST_CODEC_INT8:
        return scales + count;
    case DIST_CODEC_INT4:
        return scales + count / 2 + count % 2;
    }
    return 0;
}

#endif
