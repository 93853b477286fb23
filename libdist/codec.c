#include <libdist/codec.h>

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "codec/codec.h"
#include "codec/frame.h"

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

uint64_t dist_codec_feedback_bytes(const dist_codec *codec, uint64_t count)
{
    return codec && count <= DIST_CODEC_MAX_COUNT ? dist_feedback_bytes(codec->feedback, count) : 0;
}

/* Elements or a frame at NULL; empty arrays may be there. */
static dist_status check_there(const char *call, const void *what, const char *name, uint64_t count)
{
    if (count && !what)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %s is NULL but count is %" PRIu64, call, name, count);
    return DIST_OK;
}

static dist_status check_codec(const char *call, const dist_codec *codec, uint64_t count)
{
    if (!codec)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: codec is NULL; make one with dist_codec_create", call);
    if (codec->kind == DIST_CODEC_POWERSGD)
        return dist_fail(DIST_ERR_UNSUPPORTED,
                         "%s: codec %s has no frames; name it in dist_data_parallel_options", call,
                         codec->text);
    if (dist_codec_bytes(codec, count) == UINT64_MAX)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "%s: count is %" PRIu64 ", more than a frame of codec %s can have", call, count,
                         codec->text);
    return DIST_OK;
}

static dist_status check_type(const char *call, dist_type type)
{
    if (type != DIST_FLOAT32 && type != DIST_FLOAT16 && type != DIST_BFLOAT16)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: the type is %s; codecs take float32, float16 and bfloat16",
                         call, dist_type_name(type));
    return DIST_OK;
}

static dist_status check_frame(const char *call, const dist_codec *codec, const void *frame, uint64_t bytes,
                               uint64_t count)
{
    if (!frame)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: the frame is NULL", call);
    const dist_status status = dist_frame_check(codec, frame, bytes, count);
    return status < 0 ? dist_fail(status, "%s: %s", call, dist_last_error()) : status;
}

dist_status dist_codec_encode(const dist_codec *codec, dist_type type, const void *values, void *feedback,
                              uint64_t count, const dist_codec_position *position, void *frame,
                              uint64_t *nonfinite)
{
    DIST_TRY(check_codec("dist_codec_encode", codec, count));
    DIST_TRY(check_type("dist_codec_encode", type));
    DIST_TRY(check_there("dist_codec_encode", values, "values", count));
    if (!frame)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_codec_encode: the frame is NULL");
    if (position && position->first > UINT64_MAX - count)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_codec_encode: position->first is %" PRIu64 ", beyond any vector",
                         position->first);
    const uint64_t blocks = dist_frame_encode(codec, type, values, feedback, count, position, frame);
    if (nonfinite)
        *nonfinite = blocks;
    return DIST_OK;
}

static dist_status decode(const char *call, const dist_codec *codec, const void *frame, uint64_t bytes,
                          dist_type type, uint64_t count, bool add, void *values)
{
    DIST_TRY(check_codec(call, codec, count));
    DIST_TRY(check_type(call, type));
    DIST_TRY(check_there(call, values, "values", count));
    DIST_TRY(check_frame(call, codec, frame, bytes, count));
    dist_frame_decode(codec, &frame, 1, 1, add, type, count, values);
    return DIST_OK;
}

dist_status dist_codec_decode(const dist_codec *codec, const void *frame, uint64_t bytes, dist_type type,
                              uint64_t count, void *values)
{
    return decode("dist_codec_decode", codec, frame, bytes, type, count, false, values);
}

dist_status dist_codec_decode_add(const dist_codec *codec, const void *frame, uint64_t bytes, dist_type type,
                                  uint64_t count, void *values)
{
    return decode("dist_codec_decode_add", codec, frame, bytes, type, count, true, values);
}

dist_status dist_codec_decode_sum(const dist_codec *codec, const void *const *frame, int frames,
                                  uint64_t bytes, int divisor, dist_type type, uint64_t count, void *values)
{
    const char *call = "dist_codec_decode_sum";
    DIST_TRY(check_codec(call, codec, count));
    DIST_TRY(check_type(call, type));
    DIST_TRY(check_there(call, values, "values", count));
    if (!frame || frames < 1 || frames > DIST_FRAMES_AT_ONCE || divisor < 1)
        return dist_fail(
            DIST_ERR_ARGUMENT,
            "%s: %d frames at %p and divisor %d; there must be 1 to %d frames, and divisor 1 at least", call,
            frames, (const void *)frame, divisor, DIST_FRAMES_AT_ONCE);
    for (int f = 0; f < frames; f++) {
        const dist_status status = check_frame(call, codec, frame[f], bytes, count);
        if (status < 0)
            return dist_fail(status, "frame %d: %s", f, dist_last_error());
    }
    dist_frame_decode(codec, frame, frames, divisor, false, type, count, values);
    return DIST_OK;
}

dist_status dist_codec_check(const dist_codec *codec, const void *frame, uint64_t bytes, uint64_t count)
{
    DIST_TRY(check_codec("dist_codec_check", codec, count));
    return check_frame("dist_codec_check", codec, frame, bytes, count);
}

dist_status dist_codec_error_bound(const dist_codec *codec, const void *frame, uint64_t bytes, uint64_t count,
                                   double *bound)
{
    DIST_TRY(dist_codec_check(codec, frame, bytes, count));
    if (!bound)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_codec_error_bound: bound is NULL");
    *bound = dist_frame_error_bound(codec, frame, count);
    return DIST_OK;
}

dist_status dist_codec_frame_read(const void *frame, uint64_t bytes, dist_codec_frame *info)
{
    if (!frame || !info)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_codec_frame_read: %s is NULL",
                         frame ? "info" : "the frame");
    return dist_frame_read(frame, bytes, info);
}
