#include <libdist/codec.h>

#include <inttypes.h>

#include "base/error.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "device/cuda.h"

_Static_assert(DIST_CUDA_FRAMES == DIST_FRAMES_AT_ONCE, "the plugin takes as many frames as the CPU");
_Static_assert((int)DIST_CUDA_KEEP_NONE == (int)DIST_FEEDBACK_NONE &&
                   (int)DIST_CUDA_KEEP_FP32 == (int)DIST_FEEDBACK_FP32 &&
                   (int)DIST_CUDA_KEEP_BF16 == (int)DIST_FEEDBACK_BF16 &&
                   (int)DIST_CUDA_KEEP_INT8 == (int)DIST_FEEDBACK_INT8,
               "the plugin counts the kinds of feedback as libdist does");

dist_status dist_codec_cuda_available(void)
{
    dist_cuda_plugin plugin;
    return dist_cuda_plugin_find(&plugin);
}

/* The plugin's number of the type; values must begin at a whole element. */
static dist_status check_values(const char *call, const dist_codec *codec, dist_type type, const void *values,
                                uint64_t count, uint32_t *number)
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
    if (type != DIST_FLOAT32 && type != DIST_FLOAT16 && type != DIST_BFLOAT16)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: the type is %s; codecs take float32, float16 and bfloat16",
                         call, dist_type_name(type));
    if (count && !values)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: values is NULL but count is %" PRIu64, call, count);
    if ((uintptr_t)values % dist_type_bytes(type))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: values at %p are not aligned to their type, %s", call,
                         values, dist_type_name(type));
    *number = type == DIST_FLOAT32   ? DIST_CUDA_FLOAT32
              : type == DIST_FLOAT16 ? DIST_CUDA_FLOAT16
                                     : DIST_CUDA_BFLOAT16;
    return DIST_OK;
}

/* What must be there and aligned to `grain` bytes. */
static dist_status check_place(const char *call, const char *what, const void *place, unsigned grain)
{
    if (!place)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %s is NULL", call, what);
    if ((uintptr_t)place % grain)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %s at %p is not aligned to %u bytes", call, what, place,
                         grain);
    return DIST_OK;
}

static dist_status queued(const char *call, const dist_codec_cuda *table, int error)
{
    if (error)
        return dist_fail(DIST_ERR_CUDA, "%s: CUDA error %d, %s", call, error, table->error_name(error));
    return DIST_OK;
}

uint64_t dist_codec_cuda_workspace_bytes(const dist_codec *codec, uint64_t count)
{
    dist_cuda_plugin plugin;
    if (!codec || codec->kind == DIST_CODEC_POWERSGD || dist_codec_bytes(codec, count) == UINT64_MAX ||
        dist_cuda_plugin_find(&plugin) < 0)
        return 0;
    return plugin.codec->workspace(dist_codec_coding(codec, count), count);
}

dist_status dist_codec_cuda_encode(const dist_codec *codec, dist_type type, const void *values,
                                   void *feedback, uint64_t count, const dist_codec_position *position,
                                   void *frame, uint64_t *nonfinite, void *workspace, void *stream)
{
    const char *call = "dist_codec_cuda_encode";
    const dist_codec_position at = position ? *position : (dist_codec_position){0};
    dist_cuda_plugin plugin;
    dist_cuda_encode encode = {.values = values,
                               .count = count,
                               .frame = frame,
                               .workspace = workspace,
                               .nonfinite = nonfinite,
                               .step = at.step,
                               .first = at.first,
                               .stream_number = at.stream};
    DIST_TRY(check_values(call, codec, type, values, count, &encode.type));
    DIST_TRY(check_place(call, "the frame", frame, DIST_FRAME_GRAIN));
    DIST_TRY(check_place(call, "the workspace", workspace, DIST_FRAME_GRAIN));
    if ((uintptr_t)nonfinite % sizeof *nonfinite)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: nonfinite at %p is not aligned to 8 bytes", call,
                         (void *)nonfinite);
    if (feedback && codec->feedback)
        DIST_TRY(check_place(call, "the feedback", feedback, codec->feedback == DIST_FEEDBACK_BF16 ? 2 : 4));
    DIST_TRY(dist_cuda_plugin_find(&plugin));
    encode.coding = dist_codec_coding(codec, count);
    encode.feedback = codec->feedback ? feedback : NULL;
    encode.keep = encode.feedback ? codec->feedback : DIST_FEEDBACK_NONE;
    encode.stochastic = codec->stochastic;
    encode.seed = codec->seed;
    encode.decay = dist_codec_decay(codec);
    return queued(call, plugin.codec, plugin.codec->encode(&encode, stream));
}

dist_status dist_codec_cuda_decode_sum(const dist_codec *codec, const void *const *frame, int frames,
                                       int divisor, bool add, dist_type type, uint64_t count, void *values,
                                       void *stream)
{
    const char *call = "dist_codec_cuda_decode_sum";
    dist_cuda_plugin plugin;
    dist_cuda_decode decode = {
        .add = add, .frame = frame, .frames = frames, .divisor = divisor, .count = count, .values = values};
    DIST_TRY(check_values(call, codec, type, values, count, &decode.type));
    if (!frame || frames < 1 || frames > DIST_FRAMES_AT_ONCE || divisor < 1)
        return dist_fail(
            DIST_ERR_ARGUMENT,
            "%s: %d frames at %p and divisor %d; there must be 1 to %d frames, and divisor 1 at least", call,
            frames, (const void *)frame, divisor, DIST_FRAMES_AT_ONCE);
    for (int f = 0; f < frames; f++) {
        const dist_status status = check_place(call, "the frame", frame[f], DIST_FRAME_GRAIN);
        if (status < 0)
            return dist_fail(status, "frame %d: %s", f, dist_last_error());
    }
    DIST_TRY(dist_cuda_plugin_find(&plugin));
    decode.coding = dist_codec_coding(codec, count);
    return queued(call, plugin.codec, plugin.codec->decode(&decode, stream));
}
