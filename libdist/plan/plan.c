#include "plan/plan.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "codec/codec.h"
#include "plan/hazard.h"

void dist_plan_set_channels(dist_plan *plan, int channels)
{
    free(plan->sequencer);
    plan->channels = channels;
    plan->sequencer = calloc((size_t)plan->ranks * (size_t)channels * 2, sizeof(uint32_t));
    if (!plan->sequencer)
        plan->status = dist_fail(DIST_ERR_MEMORY, "no memory for a plan of %d ranks and %d channels",
                                 plan->ranks, channels);
}

void dist_plan_set_team(dist_plan *plan, const int *rank, int ranks)
{
    int *team = malloc((size_t)(ranks ? ranks : 1) * sizeof *team);
    free(plan->team);
    plan->team = team;
    plan->teammates = ranks;
    for (int r = 0; team && r < ranks; r++)
        team[r] = rank[r];
    if (!team)
        plan->status = dist_fail(DIST_ERR_MEMORY, "no memory for a team of %d ranks", ranks);
}

dist_plan *dist_plan_create(int rank, int ranks, const char *label, ...)
{
    dist_plan *plan = calloc(1, sizeof *plan);
    if (plan) {
        plan->rank = rank;
        plan->ranks = ranks;
        plan->last_call = DIST_NO_OP;
        plan->hazards = dist_hazards_create();
        dist_plan_set_channels(plan, DIST_CHANNELS);
    }
    if (!plan || !plan->hazards || !plan->sequencer) {
        dist_plan_destroy(plan);
        dist_fail(DIST_ERR_MEMORY, "no memory for a plan of %d ranks", ranks);
        return NULL;
    }
    va_list arguments;
    va_start(arguments, label);
    vsnprintf(plan->label, sizeof plan->label, label, arguments);
    va_end(arguments);
    return plan;
}

void dist_plan_destroy(dist_plan *plan)
{
    if (!plan)
        return;
    dist_hazards_destroy(plan->hazards);
    free(plan->sequencer);
    free(plan->team);
    free(plan->buffer);
    free(plan->wait);
    free(plan->op);
    free(plan);
}

static void out_of_memory(dist_plan *plan)
{
    plan->status = dist_fail(DIST_ERR_MEMORY, "no memory for plan '%s' with %zu ops", plan->label, plan->ops);
}

uint32_t dist_plan_add_buffer(dist_plan *plan, dist_buffer_kind kind, uint64_t bytes, const char *name)
{
    if (!dist_grow(&plan->buffer, &plan->buffer_capacity, plan->buffers + 1, sizeof *plan->buffer)) {
        out_of_memory(plan);
        return DIST_NO_BUFFER;
    }
    dist_plan_buffer *buffer = &plan->buffer[plan->buffers];
    *buffer = (dist_plan_buffer){.kind = kind, .bytes = bytes};
    snprintf(buffer->name, sizeof buffer->name, "%s", name);
    return (uint32_t)plan->buffers++;
}

/* The head of a parcel in device memory is in its pinned copy. */
static bool touch_head(dist_plan *plan, const dist_op *op, dist_slice slice, bool write)
{
    if (op->kind != DIST_OP_CALL || slice.buffer >= plan->buffers || plan->buffer[slice.buffer].copy == 0)
        return true;
    return dist_hazards_touch(
        plan->hazards, (uint32_t)plan->ops,
        dist_slice_of(plan->buffer[slice.buffer].copy - 1, slice.offset, sizeof(dist_parcel)), write);
}

static bool touch(dist_plan *plan, const dist_op *op)
{
    uint32_t number = (uint32_t)plan->ops;
    bool src_is_dst = op->src.buffer == op->dst.buffer && op->src.offset == op->dst.offset;
    return dist_hazards_touch(plan->hazards, number, op->src, false) &&
           (src_is_dst || !dist_op_updates(op) ||
            dist_hazards_touch(plan->hazards, number, op->dst, false)) &&
           dist_hazards_touch(plan->hazards, number, op->dst, true) &&
           dist_hazards_touch(plan->hazards, number, op->state, op->kind != DIST_OP_CALL) &&
           touch_head(plan, op, op->src, false) && touch_head(plan, op, op->state, false) &&
           touch_head(plan, op, op->dst, true) &&
           (op->kind != DIST_OP_CALL || dist_hazards_note(plan->hazards, plan->last_call));
}

static void append(dist_plan *plan, dist_op op)
{
    size_t waits = 0;
    if (plan->status < 0)
        return;
    if (!dist_grow(&plan->op, &plan->op_capacity, plan->ops + 1, sizeof *plan->op) || !touch(plan, &op)) {
        out_of_memory(plan);
        return;
    }
    const uint32_t *list = dist_hazards_take(plan->hazards, &waits);
    if (!dist_grow(&plan->wait, &plan->wait_capacity, plan->waits + waits, sizeof *plan->wait)) {
        out_of_memory(plan);
        return;
    }
    if (waits > 0)
        memcpy(&plan->wait[plan->waits], list, waits * sizeof *list);
    op.first_wait = (uint32_t)plan->waits;
    op.waits = (uint32_t)waits;
    plan->waits += waits;
    plan->op[plan->ops++] = op;
}

void dist_plan_after(dist_plan *plan, uint32_t op)
{
    if (plan->status == DIST_OK && !dist_hazards_note(plan->hazards, op))
        out_of_memory(plan);
}

void dist_plan_append(dist_plan *plan, const dist_op *op)
{
    append(plan, *op);
    if (op->kind == DIST_OP_CALL)
        plan->last_call = (uint32_t)plan->ops - 1;
    if ((op->kind == DIST_OP_SEND || op->kind == DIST_OP_RECV) && op->sequence >= plan->sequences)
        plan->sequences = op->sequence + 1;
}

static const dist_slice nothing = {.buffer = DIST_NO_BUFFER};

static uint32_t next_sequence(dist_plan *plan, int channel, int direction, int peer)
{
    uint32_t *next = &plan->sequencer[(channel * 2 + direction) * plan->ranks + peer];
    if (*next + 1 > plan->sequences)
        plan->sequences = *next + 1;
    return (*next)++;
}

void dist_plan_send(dist_plan *plan, int channel, int peer, dist_slice src)
{
    if (src.bytes == 0)
        return;
    append(plan, (dist_op){.kind = DIST_OP_SEND,
                           .channel = (uint16_t)channel,
                           .peer = peer,
                           .sequence = next_sequence(plan, channel, 0, peer),
                           .src = src,
                           .dst = nothing,
                           .state = nothing});
}

void dist_plan_recv(dist_plan *plan, int channel, int peer, dist_slice dst)
{
    if (dst.bytes == 0)
        return;
    append(plan, (dist_op){.kind = DIST_OP_RECV,
                           .channel = (uint16_t)channel,
                           .peer = peer,
                           .sequence = next_sequence(plan, channel, 1, peer),
                           .dst = dst,
                           .src = nothing,
                           .state = nothing});
}

void dist_plan_label(dist_plan *plan, dist_call_kind call, uint32_t stage, uint32_t microbatch, bool variable)
{
    if (plan->status < 0 || plan->ops == 0)
        return;
    dist_op *op = &plan->op[plan->ops - 1];
    op->call = (uint8_t)call;
    op->stage = stage;
    op->microbatch = microbatch;
    op->variable = variable;
    op->staged = true;
}

void dist_plan_reduce(dist_plan *plan, dist_type type, dist_reduction reduction, dist_slice dst,
                      dist_slice src)
{
    if (dst.bytes == 0)
        return;
    append(plan, (dist_op){.kind = DIST_OP_REDUCE,
                           .type = (uint8_t)type,
                           .reduction = (uint8_t)(reduction == DIST_AVERAGE ? DIST_SUM : reduction),
                           .count = dst.bytes / dist_type_bytes(type),
                           .dst = dst,
                           .src = src,
                           .state = nothing});
}

void dist_plan_copy(dist_plan *plan, dist_slice dst, dist_slice src)
{
    if (dst.bytes == 0)
        return;
    append(plan, (dist_op){.kind = DIST_OP_COPY, .dst = dst, .src = src, .state = nothing});
}

void dist_plan_copy_head(dist_plan *plan, dist_slice dst, dist_slice src)
{
    dist_plan_copy(plan, dst, src);
    if (plan->status == DIST_OK && plan->ops > 0)
        plan->op[plan->ops - 1].head = true;
}

void dist_plan_divide(dist_plan *plan, dist_type type, dist_slice dst, int divisor)
{
    if (dst.bytes == 0)
        return;
    append(plan, (dist_op){.kind = DIST_OP_DIVIDE,
                           .type = (uint8_t)type,
                           .divisor = (uint32_t)divisor,
                           .count = dst.bytes / dist_type_bytes(type),
                           .dst = dst,
                           .src = nothing,
                           .state = nothing});
}

void dist_plan_encode(dist_plan *plan, dist_type type, dist_slice frame, dist_slice values, dist_slice state,
                      uint64_t first, uint32_t stream)
{
    if (values.bytes == 0)
        return;
    append(plan, (dist_op){.kind = DIST_OP_ENCODE,
                           .type = (uint8_t)type,
                           .count = values.bytes / dist_type_bytes(type),
                           .stream = stream,
                           .first = first,
                           .dst = frame,
                           .src = values,
                           .state = state});
}

void dist_plan_decode(dist_plan *plan, dist_type type, dist_slice values, dist_slice encoded, int frames,
                      int divisor, bool add)
{
    if (values.bytes == 0)
        return;
    append(plan, (dist_op){.kind = DIST_OP_DECODE,
                           .type = (uint8_t)type,
                           .add = add,
                           .divisor = (uint32_t)divisor,
                           .frames = (uint32_t)frames,
                           .count = values.bytes / dist_type_bytes(type),
                           .dst = values,
                           .src = encoded,
                           .state = nothing});
}

static void append_lowrank(dist_plan *plan, dist_op_kind kind, uint64_t rows, dist_slice matrix,
                           dist_slice dst, dist_slice src, dist_slice state)
{
    if (matrix.bytes == 0)
        return;
    append(plan, (dist_op){.kind = (uint8_t)kind,
                           .type = DIST_FLOAT32,
                           .rows = rows,
                           .count = matrix.bytes / sizeof(float),
                           .dst = dst,
                           .src = src,
                           .state = state});
}

void dist_plan_project(dist_plan *plan, uint64_t rows, dist_slice factor, dist_slice matrix, dist_slice state)
{
    append_lowrank(plan, DIST_OP_PROJECT, rows, matrix, factor, matrix, state);
}

void dist_plan_expand(dist_plan *plan, uint64_t rows, dist_slice matrix, dist_slice factor, dist_slice state)
{
    append_lowrank(plan, DIST_OP_EXPAND, rows, matrix, matrix, factor, state);
}

void dist_plan_native(dist_plan *plan, dist_native native, dist_type type, dist_reduction reduction, int root,
                      uint64_t count, dist_slice dst, dist_slice src)
{
    append(plan, (dist_op){.kind = DIST_OP_NATIVE,
                           .native = (uint8_t)native,
                           .type = (uint8_t)type,
                           .reduction = (uint8_t)(reduction == DIST_AVERAGE ? DIST_SUM : reduction),
                           .peer = root,
                           .divisor = 1,
                           .count = count,
                           .dst = dst,
                           .src = src,
                           .state = nothing});
}

void dist_plan_on_device_wire(dist_plan *plan)
{
    if (plan->status == DIST_OK && plan->ops > 0)
        plan->op[plan->ops - 1].device = true;
}

void dist_plan_native_team(dist_plan *plan, dist_native native, dist_type type, dist_reduction reduction,
                           int root, uint64_t count, dist_slice dst, dist_slice src)
{
    const size_t before = plan->ops;
    dist_plan_native(plan, native, type, reduction, root, count, dst, src);
    if (plan->ops > before)
        plan->op[before].device = true;
    if (plan->sequences == 0)
        plan->sequences = 1; /* its tag tells its collectives from those of other tasks */
}

void dist_plan_native_divide(dist_plan *plan, int divisor)
{
    if (plan->status == DIST_OK && plan->ops > 0)
        plan->op[plan->ops - 1].divisor = (uint32_t)divisor;
}

bool dist_op_on_device(const dist_plan *plan, const dist_op *op)
{
    switch (op->kind) {
    case DIST_OP_REDUCE:
    case DIST_OP_COPY:
    case DIST_OP_DIVIDE:
    case DIST_OP_ENCODE:
    case DIST_OP_DECODE:
    case DIST_OP_CALL:
        return dist_slice_on_device(plan, op->dst) || dist_slice_on_device(plan, op->src) ||
               dist_slice_on_device(plan, op->state);
    default:
        return false;
    }
}

void dist_plan_call(dist_plan *plan, const dist_stage_call *call)
{
    append(plan, (dist_op){.kind = DIST_OP_CALL,
                           .call = (uint8_t)call->kind,
                           .stage = call->stage,
                           .microbatch = call->microbatch,
                           .cost = call->cost,
                           .held = call->held,
                           .dst = call->dst,
                           .src = call->src,
                           .state = call->state});
    plan->last_call = (uint32_t)plan->ops - 1;
}

dist_status dist_plan_finish(dist_plan *plan)
{
    dist_hazards_destroy(plan->hazards);
    free(plan->sequencer);
    plan->hazards = NULL;
    plan->sequencer = NULL;
    if (plan->status == DIST_OK && plan->ops >= DIST_NO_OP)
        return dist_fail(DIST_ERR_UNSUPPORTED, "plan '%s' has %zu ops; the most is %u", plan->label,
                         plan->ops, DIST_NO_OP - 1);
    return plan->status;
}

uint64_t dist_plan_bytes(const dist_plan *plan, dist_buffer_kind kind)
{
    uint64_t bytes = 0;
    for (size_t b = 0; b < plan->buffers; b++)
        if (plan->buffer[b].kind == kind)
            bytes += plan->buffer[b].bytes;
    return bytes;
}
