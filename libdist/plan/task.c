/* A plan bound to memory and to the wire. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "plan/engine_internal.h"

/* The plan's waits, turned round: for each op the ops that wait for it. */
static void link_ops(dist_task *task)
{
    const dist_plan *plan = task->plan;
    uint32_t *first = task->first_after;
    for (size_t op = 0; op < plan->ops; op++)
        task->waits[op] = plan->op[op].waits;
    for (size_t w = 0; w < plan->waits; w++)
        first[plan->wait[w] + 1]++;
    for (size_t op = 0; op < plan->ops; op++)
        first[op + 1] += first[op];
    for (size_t op = 0; op < plan->ops; op++)
        for (uint32_t w = 0; w < plan->op[op].waits; w++) {
            uint32_t before = plan->wait[plan->op[op].first_wait + w];
            task->after[first[before]++] = (uint32_t)op;
        }
    for (size_t op = plan->ops; op > 0; op--) /* filling moved every start to the next one */
        first[op] = first[op - 1];
    first[0] = 0;
}

static dist_status allocate(dist_task *task)
{
    const dist_plan *plan = task->plan;
    size_t ops = plan->ops ? plan->ops : 1;
    task->memory = calloc(plan->buffers ? plan->buffers : 1, sizeof *task->memory);
    task->request = calloc(ops, sizeof(dist_wire_request *));
    task->waits = malloc(ops * sizeof(uint32_t));
    task->pending = malloc(ops * sizeof(uint32_t));
    task->first_after = calloc(ops + 1, sizeof(uint32_t));
    task->after = malloc((plan->waits ? plan->waits : 1) * sizeof(uint32_t));
    task->phase = calloc(ops, 1);
    task->began = task->engine->options.trace ? malloc(ops * sizeof(int64_t)) : NULL;
    task->messages.op = malloc(ops * sizeof(uint32_t));
    task->local.op = malloc(ops * sizeof(uint32_t));
    task->calls.op = malloc(ops * sizeof(uint32_t));
    task->device.op = malloc(ops * sizeof(uint32_t));
    if (!task->memory || !task->request || !task->waits || !task->pending || !task->first_after ||
        !task->after || !task->phase || !task->messages.op || !task->local.op || !task->calls.op ||
        !task->device.op || (task->engine->options.trace && !task->began))
        return dist_fail(DIST_ERR_MEMORY, "%s: no memory for %zu ops", plan->label, plan->ops);
    if (dist_plan_has_device(plan))
        dist_engine_settle(task->engine);
    for (size_t b = 0; b < plan->buffers; b++) {
        const dist_plan_buffer *buffer = &plan->buffer[b];
        void *address = NULL;
        if (buffer->memory == DIST_MEMORY_CUDA && !task->engine->gpu)
            return dist_fail(DIST_ERR_STATE, "%s: device memory, but no device is in use", plan->label);
        if (buffer->kind == DIST_BUFFER_USER)
            continue;
        DIST_TRY(dist_gpu_alloc(task->engine->gpu, buffer->memory, buffer->bytes, &address));
        task->memory[b] = address;
    }
    return dist_device_task_create(task);
}

/* Whether the device wire does it: a plan with device memory has the devices' team, also for what it keeps in pinned memory. */
static bool is_of_device(const dist_task *task, const dist_op *op)
{
    return op->device && (op->kind != DIST_OP_NATIVE || task->on_device);
}

/* The wire that does an op. */
static dist_wire *wire_of(const dist_task *task, const dist_op *op)
{
    const dist_engine *engine = task->engine;
    return is_of_device(task, op) ? engine->device_wire
           : op->device           ? engine->team_wire
                                  : engine->options.wire;
}

static dist_status make_message(dist_task *task, const dist_op *op, dist_wire_request **request)
{
    dist_wire *wire = wire_of(task, op);
    bool send = op->kind == DIST_OP_SEND;
    dist_slice slice = send ? op->src : op->dst;
    dist_wire_message message = {.send = send,
                                 .peer = op->peer,
                                 .channel = op->channel,
                                 .tag = task->tag + op->sequence,
                                 .buffer = dist_task_at(task, slice),
                                 .bytes = slice.bytes,
                                 .variable = op->variable};
    return wire->ops->message(wire, &message, request);
}

/* Where a rank's part of an all-gather lies, counted in parts. */
static uint64_t position_of(const dist_plan *plan, const dist_op *op)
{
    int position = 0;
    if (!op->device)
        return (uint64_t)plan->rank;
    while (position < plan->teammates && plan->team[position] != plan->rank)
        position++;
    return (uint64_t)position;
}

/* `ticket`: how many of the team's collectives come before it in the plan, which is the same on all ranks of the team. */
static dist_status make_collective(dist_task *task, const dist_op *op, uint32_t ticket,
                                   dist_wire_request **request)
{
    dist_wire *wire = wire_of(task, op);
    char *send = dist_task_at(task, op->src), *receive = dist_task_at(task, op->dst);
    dist_wire_collective call = {.kind = (dist_native)op->native,
                                 .type = (dist_type)op->type,
                                 .reduction = (dist_reduction)op->reduction,
                                 .root = op->peer,
                                 .space = op->device ? (int)task->tag : task->space,
                                 .ticket = ticket,
                                 .count = op->count,
                                 .divisor = (int)op->divisor,
                                 .send = send,
                                 .receive = receive};
    uint64_t part = op->count * dist_type_bytes((dist_type)op->type);
    bool all_reduce = op->native == DIST_NATIVE_ALL_REDUCE, gather = op->native == DIST_NATIVE_ALL_GATHER;
    if ((all_reduce && send == receive) || (gather && send == receive + part * position_of(task->plan, op)))
        call.send = DIST_IN_PLACE;
    return wire->ops->collective(wire, &call, request);
}

/* Requests of the device wire hold events of the device. */
static void release_requests(dist_task *task)
{
    const dist_gpu *gpu = task->engine->gpu;
    const int before = gpu ? dist_gpu_enter(gpu) : -1;
    for (size_t op = 0; task->request && op < task->plan->ops; op++)
        if (task->request[op]) {
            task->request[op]->wire->ops->release(task->request[op]);
            task->request[op] = NULL;
        }
    if (gpu)
        dist_gpu_leave(gpu, before);
}

static dist_status make_request(dist_task *task, const dist_op *op, uint32_t ticket,
                                dist_wire_request **request)
{
    return op->kind == DIST_OP_NATIVE ? make_collective(task, op, ticket, request)
                                      : make_message(task, op, request);
}

static dist_status make_requests(dist_task *task)
{
    const dist_plan *plan = task->plan;
    uint32_t ticket = 0;
    for (uint32_t i = 0; i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        if (op->device && !wire_of(task, op))
            return dist_fail(DIST_ERR_STATE, "%s: op %u is of a wire of the team's, but there is none",
                             plan->label, i);
        if (op->kind != DIST_OP_SEND && op->kind != DIST_OP_RECV && op->kind != DIST_OP_NATIVE)
            continue;
        const bool enters = is_of_device(task, op);
        const int before = enters ? dist_gpu_enter(task->engine->gpu) : -1;
        const dist_status status = make_request(task, op, ticket, &task->request[i]);
        ticket += op->device && op->kind == DIST_OP_NATIVE;
        if (enters)
            dist_gpu_leave(task->engine->gpu, before);
        DIST_TRY(status);
        task->request[i]->owner = task;
        task->request[i]->number = i;
    }
    return DIST_OK;
}

dist_status dist_task_bind(dist_task *task, void *const *user)
{
    const dist_plan *plan = task->plan;
    if (atomic_load_explicit(&task->state, memory_order_acquire) == DIST_TASK_RUNNING)
        return dist_fail(DIST_ERR_STATE, "%s: bound to other memory while it is running", plan->label);
    pthread_mutex_lock(&task->engine->drive);
    release_requests(task);
    for (size_t b = 0, u = 0; b < plan->buffers; b++)
        if (plan->buffer[b].kind == DIST_BUFFER_USER)
            task->memory[b] = user[u++];
    dist_status status = make_requests(task);
    pthread_mutex_unlock(&task->engine->drive);
    return status;
}

static void enlist(dist_task *task)
{
    dist_engine *engine = task->engine;
    task->next_live = engine->live;
    engine->live = task;
    if (task->space >= 0)
        engine->spaces_used |= (uint64_t)1 << task->space;
}

static void delist(dist_task *task)
{
    dist_engine *engine = task->engine;
    for (dist_task **link = &engine->live; *link; link = &(*link)->next_live)
        if (*link == task) {
            *link = task->next_live;
            if (task->space >= 0)
                engine->spaces_used &= ~((uint64_t)1 << task->space);
            return;
        }
}

static void free_task(dist_task *task)
{
    dist_device_task_destroy(task);
    for (size_t b = 0; task->memory && b < task->plan->buffers; b++)
        if (task->plan->buffer[b].kind != DIST_BUFFER_USER)
            dist_gpu_free(task->engine->gpu, task->plan->buffer[b].memory, task->memory[b]);
    free(task->memory);
    free(task->request);
    free(task->waits);
    free(task->pending);
    free(task->first_after);
    free(task->after);
    free(task->phase);
    free(task->began);
    free(task->messages.op);
    free(task->local.op);
    free(task->calls.op);
    free(task->device.op);
    dist_plan_destroy(task->plan);
    free(task);
}

/* The tags of a task beside this one, or, with NULL, those that all ranks agree on. */
static dist_status take_tags(dist_task *task, const dist_task *beside)
{
    if (!beside)
        return dist_task_agree(task);
    if (task->plan->sequences > beside->tags)
        return dist_fail(DIST_ERR_STATE, "%s: %u messages to one peer, but there are tags for %u",
                         task->plan->label, task->plan->sequences, beside->tags);
    task->tag = beside->tag;
    task->tags = beside->tags;
    return DIST_OK;
}

static dist_status create(dist_task **out, dist_engine *engine, const dist_task *beside, dist_plan *plan,
                          void *const *user)
{
    dist_task *task = calloc(1, sizeof *task);
    *out = NULL;
    if (!task) {
        dist_plan_destroy(plan);
        return dist_fail(DIST_ERR_MEMORY, "no memory for a task");
    }
    task->engine = engine;
    task->plan = plan;
    task->space = -1;
    dist_status status = dist_engine_status(engine);
    if (status >= 0)
        status = allocate(task);
    if (status >= 0)
        status = take_tags(task, beside);
    if (status >= 0) {
        link_ops(task);
        task->express = !engine->options.trace && dist_plan_is_short(plan);
        enlist(task);
        status = dist_task_bind(task, user);
    }
    if (status < 0) {
        dist_task_destroy(task);
        return status;
    }
    *out = task;
    return DIST_OK;
}

dist_status dist_task_create(dist_task **out, dist_engine *engine, dist_plan *plan, void *const *user)
{
    return create(out, engine, NULL, plan, user);
}

dist_status dist_task_create_beside(dist_task **out, const dist_task *beside, dist_plan *plan,
                                    void *const *user)
{
    return create(out, beside->engine, beside, plan, user);
}

dist_status dist_task_destroy(dist_task *task)
{
    if (!task)
        return DIST_OK;
    dist_status status = dist_task_wait(task, 0);
    delist(task);
    if (atomic_load(&task->engine->failed))
        return status; /* MPI may still touch its memory: it stays until the process ends */
    pthread_mutex_lock(&task->engine->drive);
    release_requests(task);
    pthread_mutex_unlock(&task->engine->drive);
    free_task(task);
    return status;
}

void dist_task_reset(dist_task *task)
{
    size_t ops = task->plan->ops;
    memcpy(task->pending, task->waits, ops * sizeof *task->pending);
    memset(task->phase, DIST_PHASE_WAITING, ops);
    task->messages.head = task->messages.tail = 0;
    task->local.head = task->local.tail = 0;
    task->calls.head = task->calls.tail = 0;
    task->device.head = task->device.tail = 0;
    task->runs++;
    task->remaining = (uint32_t)ops;
    task->step++;
    task->stats = (dist_task_stats){.started = dist_now()};
    task->deadline = task->stats.started + (int64_t)(task->engine->options.timeout * 1e9);
}

const dist_task_stats *dist_task_stats_of(const dist_task *task)
{
    return &task->stats;
}

const dist_plan *dist_task_plan(const dist_task *task)
{
    return task->plan;
}

/* Copies STATE buffers that are in device memory to the host or back. */
static dist_status move_state(dist_task *task, bool down)
{
    const dist_plan *plan = task->plan;
    for (size_t b = 0; task->on_device && b < plan->buffers; b++) {
        const dist_plan_buffer *buffer = &plan->buffer[b];
        void **shadow = &task->on_device->shadow[b];
        if (buffer->kind != DIST_BUFFER_STATE || buffer->memory != DIST_MEMORY_CUDA || buffer->bytes == 0)
            continue;
        if (!*shadow && !(*shadow = dist_alloc_zeroed(buffer->bytes)))
            return dist_fail(DIST_ERR_MEMORY, "no memory for a copy of %s", buffer->name);
        DIST_TRY(dist_gpu_copy_now(task->engine->gpu, down ? *shadow : task->memory[b],
                                   down ? (void *)task->memory[b] : *shadow, buffer->bytes));
    }
    return DIST_OK;
}

dist_status dist_task_pull(dist_task *task)
{
    return move_state(task, true);
}

dist_status dist_task_push(dist_task *task)
{
    return move_state(task, false);
}

void *dist_task_buffer(const dist_task *task, uint32_t buffer)
{
    void *const shadow = task->on_device ? task->on_device->shadow[buffer] : NULL;
    return shadow ? shadow : task->memory[buffer];
}

void dist_task_set_step(dist_task *task, uint64_t step)
{
    task->step = step;
}
