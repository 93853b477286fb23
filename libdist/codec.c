#include <libdist/codec.h>

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "codec/codec.h"
#include "codec/layout.h"

dist_status dist_codec_create(dist_codec **codec, const char *text)
{
    if (!codec)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_codec_create: codec is NULL; pass the address of a pointer");
    *codec = NULL;
    dist_codec *made = malloc(sizeof *made);
    if (!made)
        return dist_fail(DIST_ERR_MEMORY, "dist_codec_create: no memory for %zu bytes", sizeof *made);
    const dist_status status = dist_codec_parse(text, DIST_SIMD_AUTO, made);
    if (status < 0) {
        free(made);
        return status;
    }
    *codec = made;
    return DIST_OK;
}

void dist_codec_destroy(dist_codec *codec)
{
    free(codec);
}

const char *dist_codec_text(const dist_codec *codec)
{
    return codec ? codec->text : "";
}

uint64_t dist_codec_encoded_bytes(const dist_codec *codec, uint64_t count)
{
    return codec ? dist_codec_bytes(codec, count) : 0;
}

/* What all three calls need; empty arrays may be NULL. */
static dist_status check(const char *call, const dist_codec *codec, const void *values, const void *encoded,
                         uint64_t count)
{
    if (!codec)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: codec is NULL; make one with dist_codec_create", call);
    if (count > DIST_CODEC_MAX_COUNT)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: count is %" PRIu64 ", more than any memory holds", call,
                         count);
    if (count && (!values || !encoded))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %s is NULL but count is %" PRIu64, call,
                         values ? "encoded" : "values", count);
    return DIST_OK;
}

static dist_status check_frame(const char *call, const dist_codec *codec, uint64_t bytes, uint64_t count)
{
    const uint64_t wanted = dist_codec_bytes(codec, count);
    if (bytes != wanted)
        return dist_fail(DIST_ERR_FRAME,
                         "%s: %" PRIu64 " bytes, but %" PRIu64 " elements of codec %s take %" PRIu64
                         "; check that both ends use the same codec and count",
                         call, bytes, count, codec->text, wanted);
    return DIST_OK;
}

dist_status dist_codec_encode(const dist_codec *codec, const float *values, float *feedback, uint64_t count,
                              void *encoded, uint64_t *nonfinite)
{
    DIST_TRY(check("dist_codec_encode", codec, values, encoded, count));
    float *kept = codec->feedback ? feedback : NULL;
    const uint64_t blocks = count ? codec->ops->encode(codec, values, kept, count, encoded) : 0;
    if (nonfinite)
        *nonfinite = blocks;
    return DIST_OK;
}

dist_status dist_codec_decode(const dist_codec *codec, const void *encoded, uint64_t bytes, uint64_t count,
                              float *values)
{
    DIST_TRY(check("dist_codec_decode", codec, values, encoded, count));
    DIST_TRY(check_frame("dist_codec_decode", codec, bytes, count));
    if (count)
        codec->ops->decode(codec, encoded, count, values);
    return DIST_OK;
}

dist_status dist_codec_decode_add(const dist_codec *codec, const void *encoded, uint64_t bytes,
                                  uint64_t count, float *values)
{
    DIST_TRY(check("dist_codec_decode_add", codec, values, encoded, count));
    DIST_TRY(check_frame("dist_codec_decode_add", codec, bytes, count));
    if (count)
        codec->ops->decode_add(codec, encoded, count, values);
    return DIST_OK;
}
