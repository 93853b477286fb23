/* The codecs of the plugin: libdist's own, run by streams. */
#include <stdlib.h>
#include <string.h>

#include <libdist/collective.h>

#include "codec/frame.h"
#include "fake_cuda_internal.h"

/* A codec with this layout. */
static dist_codec codec_of(dist_coding coding, uint64_t count)
{
    static const char *const text[DIST_CODEC_KINDS] = {
        [DIST_CODEC_NONE] = "none",
        [DIST_CODEC_BF16] = "bf16",
        [DIST_CODEC_FP16] = "fp16",
        [DIST_CODEC_INT8] = "int8",
        [DIST_CODEC_INT4] = "int4",
        [DIST_CODEC_INT4_HADAMARD] = "int4:hadamard",
        [DIST_CODEC_MXFP8] = "mxfp8",
        [DIST_CODEC_MXFP4] = "mxfp4",
        [DIST_CODEC_NVFP4] = "nvfp4",
        [DIST_CODEC_TOPK] = "topk:density=0.5",
        [DIST_CODEC_SPARSELOCO] = "sparseloco",
    };
    dist_codec codec;
    if (coding.kind >= DIST_CODEC_KINDS || !text[coding.kind] ||
        dist_codec_parse(text[coding.kind], DIST_SIMD_AUTO, &codec) < 0)
        fake_die("an unknown codec");
    codec.block = coding.block;
    codec.density = count ? ((double)coding.kept - 0.5) / (double)count : 0.5; /* rounds up to `kept` */
    return codec;
}

static uint64_t workspace_of(dist_coding coding, uint64_t count)
{
    (void)coding;
    return 16 + count / 64; /* some: its contents are spoilt */
}

typedef struct encoding {
    dist_cuda_encode what; /* with places of bytes */
    uint64_t workspace;
} encoding;

static void run_encode(const fake_work *w)
{
    const encoding *e = w->more;
    dist_codec codec = codec_of(e->what.coding, e->what.count);
    const dist_codec_position position = {
        .step = e->what.step, .stream = e->what.stream_number, .first = e->what.first};
    codec.stochastic = e->what.stochastic != 0;
    codec.seed = e->what.seed;
    codec.feedback = (dist_feedback)e->what.keep;
    memset(e->what.workspace, 0x5a, e->workspace);
    const uint64_t nonfinite = dist_frame_encode(&codec, (dist_type)e->what.type, e->what.values,
                                                 e->what.feedback, e->what.count, &position, e->what.frame);
    if (e->what.nonfinite)
        *e->what.nonfinite = nonfinite;
}

static int encode(const dist_cuda_encode *given, void *stream)
{
    const int error = fake_fault("encode");
    FAKE_COUNT(kernels);
    if (error)
        return error;
    encoding *e = calloc(1, sizeof *e);
    if (!e)
        fake_die("no memory");
    const dist_codec codec = codec_of(given->coding, given->count);
    e->what = *given;
    e->workspace = workspace_of(given->coding, given->count);
    e->what.values = fake_kernel_bytes(given->values, given->count * dist_type_bytes((dist_type)given->type));
    e->what.frame = fake_kernel_bytes(given->frame, dist_codec_bytes(&codec, given->count));
    e->what.workspace = fake_kernel_bytes(given->workspace, e->workspace);
    e->what.nonfinite = fake_kernel_bytes(given->nonfinite, sizeof *given->nonfinite);
    e->what.feedback =
        fake_kernel_bytes(given->feedback, dist_feedback_bytes((dist_feedback)given->keep, given->count));
    if (((given->count && !e->what.values) || !e->what.frame || !e->what.workspace) ||
        (given->nonfinite && !e->what.nonfinite) || (given->feedback && !e->what.feedback)) {
        free(e);
        return 0; /* the error comes later */
    }
    return fake_queue(stream, &(fake_work){.run = run_encode, .more = e});
}

typedef struct decoding {
    dist_cuda_decode what;
    const void *frame[DIST_CUDA_FRAMES];
} decoding;

static void run_decode(const fake_work *w)
{
    const decoding *d = w->more;
    const dist_codec codec = codec_of(d->what.coding, d->what.count);
    for (int f = 0; f < d->what.frames; f++)
        if (dist_frame_check(&codec, d->frame[f], dist_codec_bytes(&codec, d->what.count), d->what.count) < 0)
            fake_die("a frame comes to the device that was not checked, or not yet");
    dist_frame_decode(&codec, d->frame, d->what.frames, d->what.divisor, d->what.add != 0,
                      (dist_type)d->what.type, d->what.count, d->what.values);
}

static int decode(const dist_cuda_decode *given, void *stream)
{
    const int error = fake_fault("decode");
    FAKE_COUNT(kernels);
    if (error || given->count == 0)
        return error;
    decoding *d = calloc(1, sizeof *d);
    if (!d)
        fake_die("no memory");
    const dist_codec codec = codec_of(given->coding, given->count);
    d->what = *given;
    d->what.values = fake_kernel_bytes(given->values, given->count * dist_type_bytes((dist_type)given->type));
    bool right = d->what.values != NULL;
    for (int f = 0; f < given->frames; f++) {
        d->frame[f] = fake_kernel_bytes(given->frame[f], dist_codec_bytes(&codec, given->count));
        right = right && d->frame[f];
    }
    if (!right) {
        free(d);
        return 0; /* the error comes later */
    }
    return fake_queue(stream, &(fake_work){.run = run_decode, .more = d});
}

static int count_devices(int *devices)
{
    return dist_cuda_table(DIST_CUDA_VERSION)->devices(devices);
}

static const char *error_name(int error)
{
    return dist_cuda_table(DIST_CUDA_VERSION)->error_name(error);
}

const dist_codec_cuda *dist_codec_cuda_table(uint32_t version)
{
    static const dist_codec_cuda table = {
        DIST_CODEC_CUDA_VERSION, count_devices, error_name, workspace_of, encode, decode};
    return version == DIST_CODEC_CUDA_VERSION ? &table : NULL;
}
