#include "codec/codec.h"

#include <math.h>

/* ceil(density * count), at least 1; a product that only rounding puts above a whole number does not count. */
static uint32_t kept_of(double density, uint64_t count)
{
    const double exact = density * (double)count;
    const double whole = floor(exact + 0.5);
    const double kept = fabs(exact - whole) <= 0x1p-50 * whole ? whole : ceil(exact);
    if (count == 0)
        return 0;
    return kept < 1 ? 1 : (uint32_t)kept;
}

dist_coding dist_codec_coding(const dist_codec *codec, uint64_t count)
{
    return (dist_coding){.kind = codec->kind,
                         .block = codec->block,
                         .kept = codec->kind == DIST_CODEC_TOPK ? kept_of(codec->density, count) : 0};
}

uint64_t dist_codec_bytes(const dist_codec *codec, uint64_t count)
{
    if (count > DIST_CODEC_MAX_COUNT || (codec->kind == DIST_CODEC_TOPK && count > UINT32_MAX))
        return UINT64_MAX;
    if (codec->kind == DIST_CODEC_POWERSGD)
        return 0;
    return dist_layout_of(dist_codec_coding(codec, count), count).bytes;
}

uint64_t dist_feedback_bytes(dist_feedback feedback, uint64_t count)
{
    switch (feedback) {
    case DIST_FEEDBACK_NONE:
        break;
    case DIST_FEEDBACK_FP32:
        return 4 * count;
    case DIST_FEEDBACK_BF16:
        return 2 * count;
    case DIST_FEEDBACK_INT8:
        return count + 4 * dist_blocks_of(count, DIST_FEEDBACK_BLOCK);
    }
    return 0;
}

uint64_t dist_codec_grain(const dist_codec *codec)
{
    return codec->block > DIST_FEEDBACK_BLOCK ? codec->block : DIST_FEEDBACK_BLOCK;
}
