/* One pass of the engine: what finished, what can start, one piece of arithmetic. */
#include "plan/engine_internal.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/error.h"
#include "codec/frame.h"
#include "device/device.h"
#include "plan/trace.h"

_Static_assert(DIST_FRAMES_MOST <= DIST_FRAMES_AT_ONCE, "a DECODE is one sum");

#define SHORT 4096 /* bytes: the clock would take longer than arithmetic on so few */

static bool is_message(const dist_op *op)
{
    return op->kind == DIST_OP_SEND || op->kind == DIST_OP_RECV || op->kind == DIST_OP_NATIVE;
}

static void make_ready(dist_task *task, uint32_t op)
{
    const dist_op *which = &task->plan->op[op];
    dist_ready *ready = is_message(which)                            ? &task->messages
                        : which->kind == DIST_OP_CALL                ? &task->calls
                        : task->on_device && task->on_device->of[op] ? &task->device
                                                                     : &task->local;
    ready->op[ready->tail++] = op;
}

static void finish_task(dist_engine *engine, dist_task *task)
{
    dist_task **link = &engine->active;
    while (*link != task)
        link = &(*link)->next;
    *link = task->next;
    task->stats.finished = dist_now();
    if (task->on_device)
        dist_device_task_announce(task);
    int64_t busy_since = engine->busy_since; /* a start may write it as soon as nothing is in flight */
    if (atomic_fetch_sub(&engine->in_flight, 1) == 1)
        engine->counters.seconds_busy += dist_seconds(task->stats.finished - busy_since);
    atomic_store_explicit(&task->state, DIST_TASK_IDLE, memory_order_release);
}

void dist_engine_begin(dist_engine *engine, dist_task *task, uint32_t op)
{
    if (engine->options.trace)
        task->began[op] = dist_now();
    if (task->range) {
        char name[128];
        dist_op_format(task->plan, op, name, sizeof name);
        task->range[op] = engine->gpu->cuda->range_begin(name);
    }
}

static bool device_does(const dist_task *task, uint32_t op)
{
    return task->on_device && task->on_device->of[op];
}

/* Ops that wait for `op` and are the device's, or are not. */
static void release(dist_task *task, uint32_t op, bool device)
{
    for (uint32_t i = task->first_after[op]; i < task->first_after[op + 1]; i++)
        if (device_does(task, task->after[i]) == device && --task->pending[task->after[i]] == 0)
            make_ready(task, task->after[i]);
}

void dist_engine_queued(dist_task *task, uint32_t op)
{
    task->phase[op] = DIST_PHASE_STARTED;
    release(task, op, true);
}

void dist_engine_complete(dist_engine *engine, dist_task *task, uint32_t op)
{
    task->phase[op] = DIST_PHASE_DONE;
    task->moved = true;
    engine->counters.ops++;
    if (engine->options.trace)
        dist_trace_op(engine->options.trace, task->plan, op, task->began[op], dist_now());
    if (task->range)
        engine->gpu->cuda->range_end(task->range[op]);
    release(task, op, false);
    if (!device_does(task, op))
        release(task, op, true);
    if (--task->remaining == 0)
        finish_task(engine, task);
}

void dist_count_message(dist_engine *engine, dist_task *task, const dist_op *op)
{
    const dist_place *place = engine->options.topology->place;
    if (op->kind != DIST_OP_SEND)
        return;
    bool inside = place[op->peer].site == place[task->plan->rank].site;
    *(inside ? &task->stats.bytes_inside : &task->stats.bytes_across) += op->src.bytes;
    *(inside ? &engine->counters.bytes_inside : &engine->counters.bytes_across) += op->src.bytes;
    task->stats.messages++;
    engine->counters.messages++;
}

dist_status dist_engine_blame(const dist_task *task, uint32_t op, dist_status status)
{
    char text[200];
    dist_op_format(task->plan, op, text, sizeof text);
    return dist_fail(status, "%s: op %u %s: %s", task->plan->label, op, text, dist_last_error());
}

static dist_status start_messages(dist_engine *engine, dist_task *task, bool *moved)
{
    while (task->messages.head < task->messages.tail) {
        uint32_t op = task->messages.op[task->messages.head++];
        dist_engine_begin(engine, task, op);
        dist_status status = task->request[op]->wire->ops->start(task->request[op]);
        if (status < 0)
            return dist_engine_blame(task, op, status);
        task->phase[op] = DIST_PHASE_STARTED;
        dist_count_message(engine, task, &task->plan->op[op]);
        *moved = true;
    }
    return DIST_OK;
}

static void count_nonfinite(dist_engine *engine, dist_task *task, uint64_t nonfinite)
{
    task->stats.nonfinite += nonfinite;
    engine->counters.nonfinite += nonfinite;
}

static void encode(dist_engine *engine, dist_task *task, const dist_op *op)
{
    const dist_codec_position position = {.step = task->step, .first = op->first, .stream = op->stream};
    uint64_t nonfinite =
        dist_frame_encode(&task->plan->codec, (dist_type)op->type, dist_task_at(task, op->src),
                          dist_task_at(task, op->state), op->count, &position, dist_task_at(task, op->dst));
    count_nonfinite(engine, task, nonfinite);
}

static void project(dist_engine *engine, dist_task *task, const dist_op *op)
{
    const dist_lowrank shape = dist_op_matrix(task->plan, op);
    const void *matrix = dist_task_at(task, op->src);
    void *state = dist_task_at(task, op->state), *factor = dist_task_at(task, op->dst);
    count_nonfinite(engine, task, dist_lowrank_project(&shape, matrix, state, factor));
}

static void expand(dist_task *task, const dist_op *op)
{
    const dist_lowrank shape = dist_op_matrix(task->plan, op);
    const void *factor = dist_task_at(task, op->src);
    void *state = dist_task_at(task, op->state), *matrix = dist_task_at(task, op->dst);
    dist_lowrank_expand(&shape, factor, state, matrix);
}

/* What came over a wire is checked before it is used. */
static dist_status decode(dist_task *task, const dist_op *op)
{
    const dist_codec *codec = &task->plan->codec;
    const uint64_t bytes = dist_codec_bytes(codec, op->count);
    const void *frame[DIST_FRAMES_MOST];
    for (uint32_t f = 0; f < op->frames; f++) {
        frame[f] = dist_task_at(task, op->src) + f * dist_frame_stride(bytes);
        const dist_status status = dist_frame_check(codec, frame[f], bytes, op->count);
        if (status < 0)
            return dist_fail(status, "frame %" PRIu32 " of %" PRIu32 ": %s", f, op->frames,
                             dist_last_error());
    }
    dist_frame_decode(codec, frame, (int)op->frames, (int)op->divisor, op->add, (dist_type)op->type,
                      op->count, dist_task_at(task, op->dst));
    return DIST_OK;
}

dist_status dist_op_run(dist_engine *engine, dist_task *task, const dist_op *op)
{
    char *dst = dist_task_at(task, op->dst), *src = dist_task_at(task, op->src);
    switch ((dist_op_kind)op->kind) {
    case DIST_OP_REDUCE:
        dist_device_host.reduce((dist_type)op->type, (dist_reduction)op->reduction, dst, src, op->count);
        break;
    case DIST_OP_COPY:
        dist_device_host.copy(dst, src, op->dst.bytes);
        break;
    case DIST_OP_DIVIDE:
        dist_device_host.divide((dist_type)op->type, dst, op->count, (int)op->divisor);
        break;
    case DIST_OP_ENCODE:
        encode(engine, task, op);
        break;
    case DIST_OP_PROJECT:
        project(engine, task, op);
        break;
    case DIST_OP_EXPAND:
        expand(task, op);
        break;
    default:
        return decode(task, op);
    }
    return DIST_OK;
}

static dist_status run_local(dist_engine *engine, dist_task *task, uint32_t number)
{
    const dist_op *op = &task->plan->op[number];
    bool coded = dist_op_is_coded(op);
    bool timed = coded || op->dst.bytes > SHORT;
    int64_t began = timed ? dist_now() : 0;
    dist_engine_begin(engine, task, number);
    dist_status status = dist_op_run(engine, task, op);
    if (status < 0)
        return dist_engine_blame(task, number, status);
    if (timed) {
        int64_t spent = dist_now() - began;
        *(coded ? &task->stats.codec : &task->stats.reduce) += spent;
        *(coded ? &engine->counters.seconds_codec : &engine->counters.seconds_reduce) += dist_seconds(spent);
    }
    dist_engine_complete(engine, task, number);
    return DIST_OK;
}

static void begin_task(dist_engine *engine, dist_task *task)
{
    for (uint32_t op = 0; op < task->plan->ops; op++)
        if (task->pending[op] == 0)
            make_ready(task, op);
    if (task->remaining == 0)
        finish_task(engine, task);
}

static void activate(dist_engine *engine, dist_task *task)
{
    dist_task **end = &engine->active;
    while (*end)
        end = &(*end)->next;
    task->next = NULL;
    *end = task;
    if (task->on_device && task->on_device->gates > 0)
        task->on_device->held = true;
    else
        begin_task(engine, task);
}

static dist_status begin_held(dist_engine *engine, dist_task *task, bool *moved)
{
    bool open;
    DIST_TRY(dist_gates_open(task, &open));
    if (open) {
        task->on_device->held = false;
        *moved = true;
        begin_task(engine, task);
    }
    return DIST_OK;
}

static bool take_submitted(dist_engine *engine)
{
    dist_task *oldest = NULL;
    if (!atomic_load_explicit(&engine->submitted, memory_order_relaxed))
        return false;
    dist_task *newest = atomic_exchange_explicit(&engine->submitted, NULL, memory_order_acquire);
    while (newest) { /* the list is newest first */
        dist_task *task = newest;
        newest = task->next;
        task->next = oldest;
        oldest = task;
    }
    while (oldest) {
        dist_task *task = oldest;
        oldest = task->next;
        activate(engine, task);
    }
    return true;
}

static dist_status poll_wire(dist_engine *engine, dist_wire *wire, bool *moved)
{
    dist_wire_request *const *done;
    dist_wire_request *failed = NULL;
    int count = 0;
    dist_status status = wire->ops->poll(wire, &done, &count, &failed);
    if (status < 0 && failed)
        return dist_engine_blame(failed->owner, failed->number, status);
    for (int i = 0; status >= 0 && i < count; i++)
        dist_engine_complete(engine, done[i]->owner, done[i]->number);
    *moved |= count > 0;
    return status;
}

/* Tasks may end, and leave the list, when their last op does. */
static dist_status drive_device(dist_engine *engine, bool *moved)
{
    DIST_TRY(dist_queue_poll(engine, moved));
    for (dist_task *task = engine->active, *next; task; task = next) {
        next = task->next;
        if (task->on_device && task->on_device->held)
            DIST_TRY(begin_held(engine, task, moved));
    }
    for (dist_task *task = engine->active; task; task = task->next)
        if (task->on_device)
            DIST_TRY(dist_queue_start(engine, task, moved));
    return DIST_OK;
}

static dist_status pass(dist_engine *engine, bool *moved)
{
    *moved = take_submitted(engine);
    DIST_TRY(poll_wire(engine, engine->options.wire, moved));
    if (engine->team_wire)
        DIST_TRY(poll_wire(engine, engine->team_wire, moved));
    if (engine->device_wire)
        DIST_TRY(poll_wire(engine, engine->device_wire, moved));
    if (engine->gpu)
        DIST_TRY(drive_device(engine, moved));
    for (dist_task *task = engine->active; task; task = task->next)
        DIST_TRY(start_messages(engine, task, moved));
    for (dist_task *task = engine->active; task; task = task->next) {
        if (task->local.head == task->local.tail)
            continue;
        DIST_TRY(run_local(engine, task, task->local.op[task->local.head++]));
        *moved = true;
        break; /* look at the wire again between two pieces of arithmetic */
    }
    return DIST_OK;
}

/* After a failure the wire may still finish what no task waits for any more. */
bool dist_engine_pass(dist_engine *engine)
{
    bool moved = false;
    if (atomic_load(&engine->failed))
        return false;
    const dist_gpu *const gpu = engine->gpu;
    const int before = gpu ? dist_gpu_enter(gpu) : -1;
    dist_status status = pass(engine, &moved);
    if (gpu)
        dist_gpu_leave(gpu, before);
    if (status < 0)
        dist_engine_fail(engine, status, dist_last_error());
    return moved || status < 0;
}
