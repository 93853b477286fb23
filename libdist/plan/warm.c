/* Codecs of a task, run once on nothing when the task is made.
 *
 * CUDA loads a kernel when it is first launched, and may wait for the whole device then: in a step that would also be for streams
 * of the program that wait for what the kernel was to do. */
#include <string.h>

#include "codec/frame.h"
#include "plan/engine_internal.h"

enum { FEW = 4096, SECTION = 256 };

typedef struct scratch {
    char *values, *feedback, *frame, *workspace;
    char *all;
} scratch;

static uint64_t section(uint64_t bytes)
{
    return (bytes + SECTION - 1) / SECTION * SECTION;
}

static dist_status make_scratch(const dist_gpu *gpu, const dist_codec *codec, scratch *s)
{
    const uint64_t values = section(8 * FEW), feedback = section(8 * FEW);
    const uint64_t frame = section(dist_codec_bytes(codec, FEW));
    const uint64_t workspace = gpu->codec->workspace(dist_codec_coding(codec, FEW), FEW);
    void *all = NULL;
    DIST_TRY(dist_gpu_alloc(gpu, DIST_MEMORY_CUDA, values + feedback + frame + workspace, &all));
    s->all = s->values = all;
    s->feedback = s->values + values;
    s->frame = s->feedback + feedback;
    s->workspace = s->frame + frame;
    return DIST_OK;
}

static int run_encode(const dist_gpu *gpu, const dist_codec *codec, const dist_op *op, const scratch *s)
{
    const bool keeps = codec->feedback && op->state.buffer != DIST_NO_BUFFER;
    const dist_cuda_encode what = {.coding = dist_codec_coding(codec, FEW),
                                   .type = op->type,
                                   .keep = keeps ? (uint32_t)codec->feedback : DIST_CUDA_KEEP_NONE,
                                   .stochastic = codec->stochastic,
                                   .decay = dist_codec_decay(codec),
                                   .values = s->values,
                                   .feedback = keeps ? s->feedback : NULL,
                                   .count = FEW,
                                   .frame = s->frame,
                                   .workspace = s->workspace};
    return gpu->codec->encode(&what, gpu->stream[DIST_LANE_ENCODE]);
}

static int run_decode(const dist_gpu *gpu, const dist_codec *codec, const dist_op *op, const scratch *s)
{
    const void *frame[DIST_FRAMES_MOST];
    for (uint32_t f = 0; f < op->frames; f++)
        frame[f] = s->frame;
    const dist_cuda_decode what = {.coding = dist_codec_coding(codec, FEW),
                                   .type = op->type,
                                   .add = op->add,
                                   .frame = frame,
                                   .frames = (int)op->frames,
                                   .divisor = (int)op->divisor,
                                   .count = FEW,
                                   .values = s->values};
    return gpu->codec->decode(&what, gpu->stream[DIST_LANE_ENCODE]);
}

/* What chooses between kernels. */
static bool alike(const dist_op *a, const dist_op *b)
{
    return a->kind == b->kind && a->type == b->type && a->add == b->add &&
           (a->frames > 1) == (b->frames > 1) &&
           (a->state.buffer == DIST_NO_BUFFER) == (b->state.buffer == DIST_NO_BUFFER);
}

static int run_all(const dist_gpu *gpu, const dist_plan *plan, dist_op_kind kind, const scratch *s)
{
    const dist_op *last = NULL;
    int error = 0;
    for (size_t i = 0; i < plan->ops && !error; i++) {
        const dist_op *op = &plan->op[i];
        if (op->kind != kind || !dist_op_on_device(plan, op) || (last && alike(last, op)))
            continue;
        error = kind == DIST_OP_ENCODE ? run_encode(gpu, &plan->codec, op, s)
                                       : run_decode(gpu, &plan->codec, op, s);
        last = op;
    }
    return error;
}

dist_status dist_device_warm(const dist_gpu *gpu, const dist_plan *plan)
{
    static const dist_op any = {.type = DIST_FLOAT32, .state = {.buffer = DIST_NO_BUFFER}};
    scratch s = {0};
    bool coded = false;
    for (size_t i = 0; i < plan->ops; i++)
        coded |= dist_op_is_coded(&plan->op[i]) && dist_op_on_device(plan, &plan->op[i]);
    if (!coded)
        return DIST_OK;
    DIST_TRY(make_scratch(gpu, &plan->codec, &s));
    const int before = dist_gpu_enter(gpu);
    int error = run_encode(gpu, &plan->codec, &any, &s); /* a frame for plans that only decode */
    if (!error)
        error = run_all(gpu, plan, DIST_OP_ENCODE, &s);
    if (!error)
        error = run_all(gpu, plan, DIST_OP_DECODE, &s);
    if (!error)
        error = gpu->cuda->synchronize(gpu->stream[DIST_LANE_ENCODE]);
    dist_gpu_leave(gpu, before);
    dist_gpu_free(gpu, DIST_MEMORY_CUDA, s.all);
    return dist_gpu_check(gpu, error, "loading the kernels of a codec");
}
