#include "plan/stage.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "plan/stage_regions.h"

typedef struct staging {
    const dist_plan *from;
    dist_plan *to;
    const dist_staging *how;
    uint32_t *mirror;   /* [from->buffers] the pinned buffer beside it, or DIST_NO_BUFFER */
    bool *sent;         /* [from->buffers] messages are sent from it */
    bool *decoded;      /* [from->buffers] frames in it are decoded */
    bool *frames;       /* [from->buffers] it holds frames: never direct, for the host checks what arrives */
    dist_regions below; /* bytes of device memory whose pinned copy is the same */
    dist_regions arrived; /* bytes of frames that are in pinned memory alone */
} staging;

static dist_memory memory_of(const staging *s, dist_slice slice)
{
    return slice.buffer < s->to->buffers ? s->to->buffer[slice.buffer].memory : DIST_MEMORY_HOST;
}

static bool on_device(const staging *s, dist_slice slice)
{
    return memory_of(s, slice) == DIST_MEMORY_CUDA;
}

static dist_slice beside(staging *s, dist_slice slice)
{
    if (s->mirror[slice.buffer] == DIST_NO_BUFFER) {
        const dist_plan_buffer *buffer = &s->from->buffer[slice.buffer];
        char name[sizeof buffer->name];
        snprintf(name, sizeof name, "h:%.12s", buffer->name);
        const uint32_t made = dist_plan_add_buffer(s->to, DIST_BUFFER_SCRATCH, buffer->bytes, name);
        if (made == DIST_NO_BUFFER)
            return slice; /* the plan's status says why */
        s->to->buffer[made].memory = DIST_MEMORY_PINNED;
        s->to->buffer[made].copies = slice.buffer + 1;
        s->to->buffer[slice.buffer].copy = made + 1;
        s->mirror[slice.buffer] = made;
    }
    slice.buffer = s->mirror[slice.buffer];
    return slice;
}

static void note(staging *s, bool room)
{
    if (!room && s->to->status == DIST_OK)
        s->to->status = dist_fail(DIST_ERR_MEMORY, "no memory to stage '%s'", s->to->label);
}

static void copy_down(staging *s, dist_slice slice)
{
    if (dist_regions_cover(&s->below, slice))
        return;
    dist_plan_copy(s->to, beside(s, slice), slice);
    note(s, dist_regions_add(&s->below, slice));
}

static void copy_up(staging *s, dist_slice slice, uint64_t frame_elements)
{
    const dist_op copy = {.kind = DIST_OP_COPY,
                          .count = frame_elements,
                          .dst = slice,
                          .src = beside(s, slice),
                          .state = {.buffer = DIST_NO_BUFFER}};
    if (slice.bytes == 0)
        return;
    dist_plan_append(s->to, &copy);
    note(s, dist_regions_add(&s->below, slice));
}

/* The device's bytes change: what was known of their pinned copy holds no longer. */
static void overwrite(staging *s, dist_slice slice)
{
    note(s, dist_regions_remove(&s->below, slice) && dist_regions_remove(&s->arrived, slice));
}

static bool is_staged(const staging *s, dist_slice slice)
{
    return !s->how->direct || s->frames[slice.buffer];
}

/* What of a message is in device memory: the head of a parcel is not. */
static dist_slice body_of(const dist_op *op, dist_slice slice)
{
    if (!op->variable && !op->staged) /* all messages of pipelines begin with a head */
        return slice;
    return dist_slice_of(slice.buffer, slice.offset + sizeof(dist_parcel), slice.bytes - sizeof(dist_parcel));
}

static void stage_send(staging *s, dist_op op)
{
    if (on_device(s, op.src) && is_staged(s, op.src)) {
        copy_down(s, body_of(&op, op.src));
        op.src = beside(s, op.src);
    }
    dist_plan_append(s->to, &op);
}

/* Frames wait below until all of one is there. */
static void stage_recv(staging *s, dist_op op)
{
    const dist_slice dst = op.dst;
    if (!on_device(s, dst) || !is_staged(s, dst)) {
        if (on_device(s, dst))
            overwrite(s, dst);
        dist_plan_append(s->to, &op);
        return;
    }
    overwrite(s, dst);
    op.dst = beside(s, dst);
    dist_plan_append(s->to, &op);
    if (s->decoded[dst.buffer])
        note(s, dist_regions_add(&s->arrived, body_of(&op, dst)));
    else
        copy_up(s, body_of(&op, dst), 0);
}

static void stage_encode(staging *s, const dist_op *op)
{
    overwrite(s, op->dst);
    dist_plan_append(s->to, op);
    if (on_device(s, op->dst) && s->sent[op->dst.buffer])
        copy_down(s, op->dst);
}

static void stage_decode(staging *s, const dist_op *op)
{
    const uint64_t bytes = dist_codec_bytes(&s->from->codec, op->count);
    for (uint32_t f = 0; f < op->frames && on_device(s, op->src); f++) {
        const dist_slice frame =
            dist_slice_of(op->src.buffer, op->src.offset + f * dist_frame_stride(bytes), bytes);
        if (!dist_regions_touch(&s->arrived, frame))
            continue;
        copy_up(s, frame, op->count);
        note(s, dist_regions_remove(&s->arrived, frame));
    }
    overwrite(s, op->dst);
    dist_plan_append(s->to, op);
}

/* An op that only the host can do: what it reads comes down before, what it writes goes up after. */
static void stage_on_host(staging *s, dist_op op)
{
    const dist_slice dst = op.dst;
    const bool up = on_device(s, dst);
    if (on_device(s, op.src)) {
        copy_down(s, op.src);
        op.src = beside(s, op.src);
    }
    if (up && dist_op_updates(&op))
        copy_down(s, dst);
    if (up) {
        overwrite(s, dst);
        op.dst = beside(s, dst);
    }
    dist_plan_append(s->to, &op);
    if (up)
        copy_up(s, dst, 0);
}

static void stage_call(staging *s, const dist_op *op)
{
    const dist_slice slice[] = {op->dst, op->src, op->state};
    for (size_t n = 0; n < 3; n++) /* heads need a place, also where no message comes by */
        if (on_device(s, slice[n]))
            beside(s, slice[n]);
    overwrite(s, op->dst);
    dist_plan_append(s->to, op);
}

static void stage_copy(staging *s, dist_op op)
{
    if (op.head && on_device(s, op.dst)) {
        op.dst = beside(s, op.dst);
        op.src = beside(s, op.src);
    } else {
        overwrite(s, op.dst);
    }
    dist_plan_append(s->to, &op);
}

static bool at_host(const staging *s, dist_slice slice)
{
    return slice.buffer < s->to->buffers && !on_device(s, slice);
}

/* What the device cannot do, and what has a buffer that is on the host for its sake. */
static bool host_does(const staging *s, const dist_op *op)
{
    switch (op->kind) {
    case DIST_OP_PROJECT:
    case DIST_OP_EXPAND:
        return true;
    case DIST_OP_CALL:
        return !s->how->calls;
    case DIST_OP_REDUCE:
    case DIST_OP_DIVIDE:
        return at_host(s, op->dst) || at_host(s, op->src);
    default:
        return false;
    }
}

static void stage_op(staging *s, const dist_op *op)
{
    if (op->device) {
        overwrite(s, op->dst);
        dist_plan_append(s->to, op);
        return;
    }
    switch ((dist_op_kind)op->kind) {
    case DIST_OP_SEND:
        stage_send(s, *op);
        break;
    case DIST_OP_RECV:
        stage_recv(s, *op);
        break;
    case DIST_OP_ENCODE:
        stage_encode(s, op);
        break;
    case DIST_OP_DECODE:
        stage_decode(s, op);
        break;
    case DIST_OP_PROJECT:
    case DIST_OP_EXPAND:
    case DIST_OP_NATIVE:
        stage_on_host(s, *op);
        break;
    case DIST_OP_CALL:
        stage_call(s, op);
        break;
    case DIST_OP_COPY:
        stage_copy(s, *op);
        break;
    default: /* REDUCE, DIVIDE */
        if (host_does(s, op)) {
            stage_on_host(s, *op);
            break;
        }
        overwrite(s, op->dst);
        dist_plan_append(s->to, op);
    }
}

/* The ops that only the host can do keep their buffers in memory that copies reach without a wait, and so does what
 * works on these buffers. */
static bool keep_on_host(staging *s)
{
    dist_plan *to = s->to;
    bool moved = false;
    for (size_t i = 0; i < s->from->ops; i++) {
        const dist_op *op = &s->from->op[i];
        const dist_slice slice[] = {op->dst, op->src, op->state};
        const bool here = host_does(s, op);
        for (size_t n = 0; here && n < 3; n++) {
            dist_plan_buffer *buffer = slice[n].buffer < to->buffers ? &to->buffer[slice[n].buffer] : NULL;
            if (!buffer || buffer->kind == DIST_BUFFER_USER || buffer->memory != DIST_MEMORY_CUDA)
                continue;
            buffer->memory = DIST_MEMORY_PINNED;
            moved = true;
        }
    }
    return moved;
}

/* Scratch and state go where the data is, but for those of ops that only the host can do. */
static void place_buffers(staging *s)
{
    dist_plan *to = s->to;
    const dist_memory *user = s->how->user;
    for (size_t b = 0, u = 0; b < to->buffers; b++)
        to->buffer[b].memory = to->buffer[b].kind == DIST_BUFFER_USER ? user[u++] : DIST_MEMORY_CUDA;
    while (keep_on_host(s))
        continue;
    for (size_t i = 0; i < s->from->ops; i++) {
        const dist_op *op = &s->from->op[i];
        if (op->kind == DIST_OP_SEND && !op->device)
            s->sent[op->src.buffer] = true;
        if (op->kind == DIST_OP_DECODE)
            s->decoded[op->src.buffer] = s->frames[op->src.buffer] = true;
        if (op->kind == DIST_OP_ENCODE)
            s->frames[op->dst.buffer] = true;
        if (op->variable || (op->staged && !op->device)) /* their heads are the host's */
            s->frames[op->kind == DIST_OP_SEND ? op->src.buffer : op->dst.buffer] = true;
    }
}

static dist_status begin(staging *s)
{
    const size_t buffers = s->from->buffers ? s->from->buffers : 1;
    s->to = dist_plan_create(s->from->rank, s->from->ranks, "%s", s->from->label);
    s->mirror = malloc(buffers * sizeof *s->mirror);
    s->sent = calloc(buffers, sizeof *s->sent);
    s->decoded = calloc(buffers, sizeof *s->decoded);
    s->frames = calloc(buffers, sizeof *s->frames);
    if (!s->to || !s->mirror || !s->sent || !s->decoded || !s->frames)
        return dist_fail(DIST_ERR_MEMORY, "no memory to stage '%s'", s->from->label);
    memset(s->mirror, 0xff, buffers * sizeof *s->mirror); /* DIST_NO_BUFFER */
    s->to->codec = s->from->codec;
    s->to->channels = s->from->channels;
    s->to->sequences = s->from->sequences;
    if (s->from->team)
        dist_plan_set_team(s->to, s->from->team, s->from->teammates);
    for (size_t b = 0; b < s->from->buffers; b++)
        dist_plan_add_buffer(s->to, s->from->buffer[b].kind, s->from->buffer[b].bytes,
                             s->from->buffer[b].name);
    if (s->to->status == DIST_OK)
        place_buffers(s);
    return s->to->status;
}

static bool any_on_device(const dist_plan *plan, const dist_staging *how)
{
    for (size_t b = 0, u = 0; b < plan->buffers; b++)
        if (plan->buffer[b].kind == DIST_BUFFER_USER && how->user[u++] == DIST_MEMORY_CUDA)
            return true;
    return how->calls;
}

dist_status dist_plan_stage(dist_plan **plan, const dist_staging *how)
{
    staging s = {.from = *plan, .how = how};
    if (!any_on_device(*plan, how))
        return DIST_OK;
    dist_status status = begin(&s);
    for (size_t i = 0; status >= 0 && i < s.from->ops; i++)
        stage_op(&s, &s.from->op[i]);
    if (status >= 0)
        status = dist_plan_finish(s.to);
    if (status >= 0) {
        dist_plan_destroy(*plan);
        *plan = s.to;
        s.to = NULL;
    }
    dist_plan_destroy(s.to);
    dist_regions_end(&s.below);
    dist_regions_end(&s.arrived);
    free(s.mirror);
    free(s.sent);
    free(s.decoded);
    free(s.frames);
    return status;
}
