/* Ops of the device: queued on streams as soon as what they wait for on the device is queued, and done when events say so. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "codec/frame.h"
#include "plan/engine_internal.h"

_Static_assert((int)DIST_CUDA_FLOAT32 == (int)DIST_FLOAT32 && (int)DIST_CUDA_FLOAT16 == (int)DIST_FLOAT16 &&
                   (int)DIST_CUDA_BFLOAT16 == (int)DIST_BFLOAT16,
               "the plugin counts types as libdist does");

/* ---- creating ---- */

/* Sums and copies go where what they wait for comes from, so that no lane stands still for another's sake. */
static dist_lane lane_of(const dist_task *task, const dist_op *op)
{
    const dist_plan *plan = task->plan;
    if (op->kind == DIST_OP_CALL)
        return DIST_LANE_PROGRAM;
    if (op->kind == DIST_OP_ENCODE)
        return DIST_LANE_ENCODE;
    if (op->kind == DIST_OP_DECODE)
        return DIST_LANE_DECODE;
    if (op->kind == DIST_OP_COPY && !dist_slice_on_device(plan, op->src))
        return DIST_LANE_UP;
    if (op->kind == DIST_OP_COPY && !dist_slice_on_device(plan, op->dst))
        return DIST_LANE_DOWN;
    for (uint32_t w = 0; w < op->waits; w++) {
        const dist_device_op *before = task->on_device->of[plan->wait[op->first_wait + w]];
        if (before && (before->lane == DIST_LANE_UP || before->lane == DIST_LANE_DECODE))
            return DIST_LANE_DECODE;
    }
    return DIST_LANE_ENCODE;
}

static bool find_ops(dist_task *task)
{
    dist_device_task *t = task->on_device;
    const dist_plan *plan = task->plan;
    size_t encodes = 0;
    t->of = calloc(plan->ops ? plan->ops : 1, sizeof(dist_device_op *));
    t->op = calloc(plan->ops ? plan->ops : 1, sizeof *t->op);
    t->shadow = calloc(plan->buffers ? plan->buffers : 1, sizeof *t->shadow);
    if (!t->of || !t->op || !t->shadow)
        return false;
    for (uint32_t i = 0; i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        if (!dist_op_on_device(plan, op))
            continue;
        dist_device_op *made = &t->op[t->ops++];
        *made = (dist_device_op){.task = task, .number = i, .lane = (uint8_t)lane_of(task, op)};
        t->of[i] = made;
        encodes += op->kind == DIST_OP_ENCODE;
    }
    if (encodes == 0)
        return true;
    void *counts = NULL;
    if (dist_gpu_alloc(task->engine->gpu, DIST_MEMORY_PINNED, encodes * sizeof *t->nonfinite, &counts) < 0)
        return false;
    t->nonfinite = counts;
    for (size_t d = 0, e = 0; d < t->ops; d++)
        if (plan->op[t->op[d].number].kind == DIST_OP_ENCODE)
            t->op[d].nonfinite = &t->nonfinite[e++];
    return true;
}

static dist_status make_workspace(dist_task *task)
{
    const dist_gpu *gpu = task->engine->gpu;
    dist_device_task *t = task->on_device;
    uint64_t most = 0;
    for (size_t d = 0; d < t->ops; d++) {
        const dist_op *op = &task->plan->op[t->op[d].number];
        if (op->kind != DIST_OP_ENCODE)
            continue;
        const uint64_t bytes =
            gpu->codec->workspace(dist_codec_coding(&task->plan->codec, op->count), op->count);
        most = bytes > most ? bytes : most;
    }
    return dist_gpu_alloc(gpu, DIST_MEMORY_CUDA, most, &t->workspace);
}

static dist_status make_events(dist_task *task)
{
    const dist_gpu *gpu = task->engine->gpu;
    dist_device_task *t = task->on_device;
    int error = 0;
    const int before = dist_gpu_enter(gpu);
    for (size_t d = 0; d < t->ops && !error; d++)
        error = gpu->cuda->event_create(&t->op[d].event);
    for (int g = 0; g < DIST_GATES_MOST && !error; g++)
        error = gpu->cuda->event_create(&t->gate[g].event);
    dist_gpu_leave(gpu, before);
    return dist_gpu_check(gpu, error, "creating events");
}

bool dist_plan_has_device(const dist_plan *plan)
{
    for (size_t b = 0; b < plan->buffers; b++)
        if (plan->buffer[b].memory == DIST_MEMORY_CUDA)
            return true;
    return false;
}

dist_status dist_device_task_create(dist_task *task)
{
    const dist_gpu *gpu = task->engine->gpu;
    const size_t ops = task->plan->ops ? task->plan->ops : 1;
    if (gpu && gpu->cuda->ranges() && !(task->range = calloc(ops, sizeof *task->range)))
        return dist_fail(DIST_ERR_MEMORY, "no memory for the ranges of %zu ops", ops);
    if (!dist_plan_has_device(task->plan))
        return DIST_OK;
    if (!(task->on_device = calloc(1, sizeof *task->on_device)) || !find_ops(task))
        return dist_fail(DIST_ERR_MEMORY, "%s: no memory for %zu ops of a device", task->plan->label, ops);
    DIST_TRY(dist_gpu_take_word(gpu, &task->on_device->word));
    task->runs = task->on_device->led = *task->on_device->word;
    DIST_TRY(make_workspace(task));
    DIST_TRY(dist_device_warm(gpu, task->plan));
    return make_events(task);
}

void dist_device_task_destroy(dist_task *task)
{
    const dist_gpu *gpu = task->engine->gpu;
    dist_device_task *t = task->on_device;
    free(task->range);
    if (!t)
        return;
    dist_engine_settle(task->engine);
    const int before = dist_gpu_enter(gpu);
    for (size_t d = 0; d < t->ops; d++)
        if (t->op[d].event)
            gpu->cuda->event_destroy(t->op[d].event);
    for (int g = 0; g < DIST_GATES_MOST; g++)
        if (t->gate[g].event)
            gpu->cuda->event_destroy(t->gate[g].event);
    dist_gpu_leave(gpu, before);
    for (size_t b = 0; t->shadow && b < task->plan->buffers; b++)
        dist_free_zeroed(t->shadow[b]);
    dist_gpu_free(gpu, DIST_MEMORY_CUDA, t->workspace);
    dist_gpu_free(gpu, DIST_MEMORY_PINNED, t->nonfinite);
    dist_gpu_give_word(gpu, t->word);
    free(t->shadow);
    free(t->of);
    free(t->op);
    free(t);
    task->on_device = NULL;
}

/* ---- queueing ---- */

static int encode(dist_task *task, const dist_op *op, const dist_device_op *d, void *stream)
{
    const dist_codec *codec = &task->plan->codec;
    void *const feedback = codec->feedback ? dist_task_at(task, op->state) : NULL;
    const dist_cuda_encode what = {.coding = dist_codec_coding(codec, op->count),
                                   .type = op->type,
                                   .keep = feedback ? (uint32_t)codec->feedback : DIST_CUDA_KEEP_NONE,
                                   .stochastic = codec->stochastic,
                                   .seed = codec->seed,
                                   .step = task->step,
                                   .first = op->first,
                                   .stream_number = op->stream,
                                   .decay = dist_codec_decay(codec),
                                   .values = dist_task_at(task, op->src),
                                   .feedback = feedback,
                                   .count = op->count,
                                   .frame = dist_task_at(task, op->dst),
                                   .workspace = task->on_device->workspace,
                                   .nonfinite = d->nonfinite};
    return task->engine->gpu->codec->encode(&what, stream);
}

static int decode(dist_task *task, const dist_op *op, void *stream)
{
    const uint64_t stride = dist_frame_stride(dist_codec_bytes(&task->plan->codec, op->count));
    const void *frame[DIST_FRAMES_MOST];
    for (uint32_t f = 0; f < op->frames; f++)
        frame[f] = dist_task_at(task, op->src) + f * stride;
    const dist_cuda_decode what = {.coding = dist_codec_coding(&task->plan->codec, op->count),
                                   .type = op->type,
                                   .add = op->add,
                                   .frame = frame,
                                   .frames = (int)op->frames,
                                   .divisor = (int)op->divisor,
                                   .count = op->count,
                                   .values = dist_task_at(task, op->dst)};
    return task->engine->gpu->codec->decode(&what, stream);
}

static uint32_t reduction_of(const dist_op *op)
{
    return op->reduction == DIST_MIN   ? DIST_CUDA_MIN
           : op->reduction == DIST_MAX ? DIST_CUDA_MAX
                                       : DIST_CUDA_SUM;
}

static int launch(dist_task *task, const dist_op *op, const dist_device_op *d, void *stream)
{
    const dist_cuda *cuda = task->engine->gpu->cuda;
    char *dst = dist_task_at(task, op->dst), *src = dist_task_at(task, op->src);
    switch ((dist_op_kind)op->kind) {
    case DIST_OP_REDUCE:
        return cuda->reduce(op->type, reduction_of(op), dst, src, op->count, stream);
    case DIST_OP_DIVIDE:
        return cuda->divide(op->type, dst, op->count, (int)op->divisor, stream);
    case DIST_OP_ENCODE:
        return encode(task, op, d, stream);
    case DIST_OP_DECODE:
        return decode(task, op, stream);
    default:
        return cuda->copy(dst, src, op->dst.bytes, stream);
    }
}

/* Work on the device that is under way on other lanes and must come first. */
static int wait_for_others(dist_task *task, const dist_op *op, const dist_device_op *d, void *stream)
{
    const dist_device_task *t = task->on_device;
    const dist_cuda *cuda = task->engine->gpu->cuda;
    int error = 0;
    for (uint32_t w = 0; w < op->waits && !error; w++) {
        const uint32_t number = task->plan->wait[op->first_wait + w];
        const dist_device_op *before = t->of[number];
        if (before && before->lane != d->lane && task->phase[number] == DIST_PHASE_STARTED)
            error = cuda->stream_wait_event(stream, before->event);
    }
    return error;
}

/* What came over a wire is checked before the device sees it. */
static dist_status check_frame(const dist_task *task, const dist_op *op)
{
    if (op->kind != DIST_OP_COPY || op->count == 0)
        return DIST_OK;
    return dist_frame_check(&task->plan->codec, dist_task_at(task, op->src), op->src.bytes, op->count);
}

/* Behind what is queued on its lane. */
static dist_status mark(dist_engine *engine, dist_task *task, dist_device_op *d, void *stream)
{
    const int error = engine->gpu->cuda->event_record(d->event, stream);
    if (error)
        return dist_engine_blame(task, d->number, dist_gpu_check(engine->gpu, error, "recording an event"));
    d->next = NULL;
    if (engine->lane_last[d->lane])
        engine->lane_last[d->lane]->next = d;
    else
        engine->lane_first[d->lane] = d;
    engine->lane_last[d->lane] = d;
    dist_engine_queued(task, d->number);
    return DIST_OK;
}

dist_status dist_queue_before_call(dist_task *task, uint32_t number)
{
    const dist_op *op = &task->plan->op[number];
    dist_device_op *d = task->on_device->of[number];
    const int error = wait_for_others(task, op, d, task->on_device->stream);
    return error ? dist_engine_blame(task, number, dist_gpu_check(task->engine->gpu, error, "queueing"))
                 : DIST_OK;
}

dist_status dist_queue_after_call(dist_task *task, uint32_t number)
{
    return mark(task->engine, task, task->on_device->of[number], task->on_device->stream);
}

static dist_status queue(dist_engine *engine, dist_task *task, uint32_t number)
{
    const dist_op *op = &task->plan->op[number];
    dist_device_op *d = task->on_device->of[number];
    void *const stream = engine->gpu->stream[d->lane];
    const dist_status status = check_frame(task, op);
    if (status < 0)
        return dist_engine_blame(task, number, status);
    dist_engine_begin(engine, task, number);
    int error = wait_for_others(task, op, d, stream);
    if (!error)
        error = launch(task, op, d, stream);
    if (error)
        return dist_engine_blame(task, number, dist_gpu_check(engine->gpu, error, "queueing"));
    return mark(engine, task, d, stream);
}

dist_status dist_queue_start(dist_engine *engine, dist_task *task, bool *moved)
{
    while (task->device.head < task->device.tail) {
        DIST_TRY(queue(engine, task, task->device.op[task->device.head++]));
        *moved = true;
    }
    return DIST_OK;
}

/* ---- ending ---- */

static void complete(dist_engine *engine, dist_device_op *d)
{
    dist_task *task = d->task;
    if (d->nonfinite) {
        task->stats.nonfinite += *d->nonfinite;
        engine->counters.nonfinite += *d->nonfinite;
    }
    dist_engine_complete(engine, task, d->number);
}

dist_status dist_queue_poll(dist_engine *engine, bool *moved)
{
    for (int lane = 0; lane < DIST_LANES_ALL; lane++) {
        dist_device_op *d;
        while ((d = engine->lane_first[lane]) != NULL) {
            const int error = engine->gpu->cuda->event_query(d->event);
            if (error == DIST_CUDA_NOT_READY)
                break;
            if (error)
                return dist_engine_blame(d->task, d->number,
                                         dist_gpu_check(engine->gpu, error, "on the device"));
            engine->lane_first[lane] = d->next;
            if (!d->next)
                engine->lane_last[lane] = NULL;
            complete(engine, d);
            *moved = true;
        }
    }
    return DIST_OK;
}
