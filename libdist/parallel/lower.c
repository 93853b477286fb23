#include "parallel/lower.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "parallel/lower_room.h"
#include "parallel/lower_slots.h"

typedef struct lowerer {
    const dist_lowering *l;
    const dist_schedule *s;
    dist_plan *plan; /* NULL: only the slots are counted */
    int position;
    int *chunk_of;        /* [stages] number of the stage among those of its rank */
    dist_slot_pool *pool; /* [chunks * POOLS] */
    uint32_t *act, *grad; /* [chunks * microbatches] the slots of inputs and output gradients in use */
} lowerer;

/* What a rank keeps for each chunk. */
typedef enum pool_kind { ACT_IN, ACT_OUT, GRAD_IN, GRAD_OUT, FRAME_IN, FRAME_OUT, POOLS } pool_kind;
static const char *const pool_names[POOLS] = {"act", "out", "grad", "gradout", "frame", "frameout"};

static const dist_slice nothing = {.buffer = DIST_NO_BUFFER};

static int rank_of(const lowerer *w, int stage)
{
    return w->s->rank_of[stage];
}

static bool is_here(const lowerer *w, int stage)
{
    return rank_of(w, stage) == w->position;
}

static int job_rank(const dist_lowering *l, int position)
{
    return l->rank_at ? l->rank_at[position] : position;
}

static bool crosses(const dist_lowering *l, int a, int b)
{
    const dist_place *place = l->topology ? l->topology->place : NULL;
    return place && place[job_rank(l, a)].site != place[job_rank(l, b)].site;
}

static bool is_coded(const lowerer *w, int peer)
{
    return w->l->codec && w->l->codec->kind != DIST_CODEC_NONE && crosses(w->l, w->position, peer);
}

static bool is_on_device_wire(const lowerer *w, int peer)
{
    return w->l->nccl && !crosses(w->l, w->position, peer);
}

static dist_slot_pool *pool_of(const lowerer *w, int stage, pool_kind kind)
{
    return &w->pool[w->chunk_of[stage] * POOLS + (int)kind];
}

static uint32_t *act_of(const lowerer *w, int stage, uint32_t microbatch)
{
    return &w->act[(uint64_t)w->chunk_of[stage] * (uint64_t)w->s->microbatches + microbatch];
}

static uint32_t *grad_of(const lowerer *w, int stage, uint32_t microbatch)
{
    return &w->grad[(uint64_t)w->chunk_of[stage] * (uint64_t)w->s->microbatches + microbatch];
}

static dist_slice slice_of(const lowerer *w, int stage, pool_kind kind, uint32_t slot)
{
    return dist_slot_slice(pool_of(w, stage, kind), slot);
}

/* The part of a slot behind its parcel, of `bytes` bytes. */
static dist_slice body(dist_slice slot, uint64_t bytes)
{
    return dist_slice_of(slot.buffer, slot.offset + sizeof(dist_parcel), bytes);
}

static dist_slice head(dist_slice slot)
{
    return dist_slice_of(slot.buffer, slot.offset, sizeof(dist_parcel));
}

static uint64_t frame_bytes(const dist_lowering *l)
{
    return dist_codec_bytes(l->codec, l->boundary_bytes / dist_type_bytes(l->boundary_type));
}

/* The channel of the edge on which `sender`'s forwards or backwards leave. */
static int channel_of(const lowerer *w, int sender, dist_call_kind kind)
{
    return DIST_CHANNELS + 2 * w->chunk_of[sender] + (kind != DIST_CALL_FORWARD);
}

/* What stage `sender` made of a microbatch, to the slot of `stage`, which is here. */
static void receive(lowerer *w, int stage, int sender, dist_call_kind kind, uint32_t microbatch,
                    dist_slice slot)
{
    const int peer = job_rank(w->l, rank_of(w, sender)), channel = channel_of(w, sender, kind);
    const bool coded = is_coded(w, rank_of(w, sender));
    dist_slice to = slot;
    uint32_t frame = 0;
    if (coded) {
        frame = dist_slot_take(pool_of(w, stage, FRAME_IN));
        to = slice_of(w, stage, FRAME_IN, frame);
    }
    if (w->plan && is_on_device_wire(w, rank_of(w, sender))) {
        dist_plan_recv(w->plan, channel, peer, head(to));
        dist_plan_label(w->plan, kind, (uint32_t)stage, microbatch, false);
        dist_plan_recv(w->plan, channel, peer, body(to, w->l->boundary_bytes));
        dist_plan_label(w->plan, kind, (uint32_t)stage, microbatch, false);
        dist_plan_on_device_wire(w->plan);
    } else if (w->plan) {
        dist_plan_recv(w->plan, channel, peer, to);
        dist_plan_label(w->plan, kind, (uint32_t)stage, microbatch, !coded);
    }
    if (coded && w->plan) {
        dist_plan_copy_head(w->plan, head(slot), head(to));
        dist_plan_decode(w->plan, w->l->boundary_type, body(slot, w->l->boundary_bytes),
                         body(to, frame_bytes(w->l)), 1, 1, false);
    }
    if (coded)
        dist_slot_give(pool_of(w, stage, FRAME_IN), frame);
}

/* What `stage`, which is here, made of a microbatch, from its slot to stage `receiver`. */
static void send(lowerer *w, int stage, int receiver, dist_call_kind kind, uint32_t microbatch,
                 dist_slice slot)
{
    const int peer = job_rank(w->l, rank_of(w, receiver)), channel = channel_of(w, stage, kind);
    const bool coded = is_coded(w, rank_of(w, receiver));
    dist_slice from = slot;
    uint32_t frame = 0;
    if (coded) {
        frame = dist_slot_take(pool_of(w, stage, FRAME_OUT));
        from = slice_of(w, stage, FRAME_OUT, frame);
    }
    if (coded && w->plan) {
        const uint64_t count = w->l->boundary_bytes / dist_type_bytes(w->l->boundary_type);
        dist_plan_copy_head(w->plan, head(from), head(slot));
        dist_plan_encode(w->plan, w->l->boundary_type, body(from, frame_bytes(w->l)),
                         body(slot, w->l->boundary_bytes), nothing, microbatch * count,
                         (uint32_t)stage * 2 + (kind != DIST_CALL_FORWARD));
    }
    if (w->plan && is_on_device_wire(w, rank_of(w, receiver))) {
        dist_plan_send(w->plan, channel, peer, head(from));
        dist_plan_label(w->plan, kind, (uint32_t)stage, microbatch, false);
        dist_plan_send(w->plan, channel, peer, body(from, w->l->boundary_bytes));
        dist_plan_label(w->plan, kind, (uint32_t)stage, microbatch, false);
        dist_plan_on_device_wire(w->plan);
    } else if (w->plan) {
        dist_plan_send(w->plan, channel, peer, from);
        dist_plan_label(w->plan, kind, (uint32_t)stage, microbatch, !coded);
    }
    if (coded)
        dist_slot_give(pool_of(w, stage, FRAME_OUT), frame);
}

static void call(lowerer *w, const dist_slot *slot, double cost, int64_t held, dist_slice dst, dist_slice src,
                 dist_slice state)
{
    const dist_stage_call made = {.kind = (dist_call_kind)slot->kind,
                                  .stage = slot->stage,
                                  .microbatch = slot->microbatch,
                                  .cost = cost,
                                  .held = held,
                                  .dst = dst,
                                  .src = src,
                                  .state = state};
    if (w->plan)
        dist_plan_call(w->plan, &made);
}

/* What stage `other` will find of what `stage` makes: its own input slot where it is here, else one to send from. */
static dist_slice output_slot(lowerer *w, const dist_slot *slot, int other, pool_kind in, pool_kind out,
                              uint32_t *taken)
{
    if (other < 0 || other >= w->s->stages)
        return nothing;
    const pool_kind kind = is_here(w, other) ? in : out;
    const int stage = is_here(w, other) ? other : slot->stage;
    *taken = dist_slot_take(pool_of(w, stage, kind));
    return slice_of(w, stage, kind, *taken);
}

static double share(const lowerer *w, double seconds)
{
    return seconds / w->s->chunks;
}

static int64_t stash(const lowerer *w)
{
    return (int64_t)(w->l->stash_bytes / (uint64_t)w->s->chunks);
}

static void lower_forward(lowerer *w, const dist_slot *slot)
{
    const int stage = slot->stage, next = stage + 1;
    const double cost = w->l->times ? share(w, w->l->times[w->position].forward) : 0;
    dist_slice input = nothing;
    uint32_t taken = 0;
    if (stage > 0) {
        uint32_t *act = act_of(w, stage, slot->microbatch);
        const bool remote = !is_here(w, stage - 1);
        if (remote)
            *act = dist_slot_take(pool_of(w, stage, ACT_IN));
        input = slice_of(w, stage, ACT_IN, *act);
        if (remote)
            receive(w, stage, stage - 1, DIST_CALL_FORWARD, slot->microbatch, input);
    }
    const dist_slice output = output_slot(w, slot, next, ACT_IN, ACT_OUT, &taken);
    call(w, slot, cost, stash(w), output, input, nothing);
    if (next >= w->s->stages)
        return;
    if (is_here(w, next)) {
        *act_of(w, next, slot->microbatch) = taken;
    } else {
        send(w, stage, next, DIST_CALL_FORWARD, slot->microbatch, output);
        dist_slot_give(pool_of(w, stage, ACT_OUT), taken);
    }
}

static dist_slice input_of(const lowerer *w, const dist_slot *slot)
{
    return slot->stage == 0 ? nothing
                            : slice_of(w, slot->stage, ACT_IN, *act_of(w, slot->stage, slot->microbatch));
}

/* After the last call of a stage and microbatch its input is not needed any more. */
static void give_input(lowerer *w, const dist_slot *slot)
{
    if (slot->stage > 0)
        dist_slot_give(pool_of(w, slot->stage, ACT_IN), *act_of(w, slot->stage, slot->microbatch));
}

static void lower_backward(lowerer *w, const dist_slot *slot)
{
    const int stage = slot->stage, before = stage - 1;
    const bool last = !w->s->split || slot->kind == DIST_SLOT_FULL, final = stage + 1 == w->s->stages;
    const dist_stage_times *t = w->l->times ? &w->l->times[w->position] : NULL;
    const double cost = !t ? 0 : share(w, last ? t->backward + t->weight : t->backward);
    dist_slice gradient = nothing;
    uint32_t taken = 0;
    if (!final) {
        uint32_t *grad = grad_of(w, stage, slot->microbatch);
        const bool remote = !is_here(w, stage + 1);
        if (remote)
            *grad = dist_slot_take(pool_of(w, stage, GRAD_IN));
        gradient = slice_of(w, stage, GRAD_IN, *grad);
        if (remote)
            receive(w, stage, stage + 1, DIST_CALL_BACKWARD, slot->microbatch, gradient);
    }
    const dist_slice output = output_slot(w, slot, before, GRAD_IN, GRAD_OUT, &taken);
    call(w, slot, cost, last ? -stash(w) : 0, output, gradient, input_of(w, slot));
    if (!final)
        dist_slot_give(pool_of(w, stage, GRAD_IN), *grad_of(w, stage, slot->microbatch));
    if (before >= 0 && is_here(w, before)) {
        *grad_of(w, before, slot->microbatch) = taken;
    } else if (before >= 0) {
        send(w, stage, before, DIST_CALL_BACKWARD, slot->microbatch, output);
        dist_slot_give(pool_of(w, stage, GRAD_OUT), taken);
    }
    if (last)
        give_input(w, slot);
}

static void lower_weight(lowerer *w, const dist_slot *slot)
{
    const double cost = w->l->times ? share(w, w->l->times[w->position].weight) : 0;
    call(w, slot, cost, -stash(w), nothing, nothing, input_of(w, slot));
    give_input(w, slot);
}

static void walk(lowerer *w)
{
    for (size_t i = 0; i < w->s->slots[w->position]; i++) {
        const dist_slot *slot = &w->s->slot[w->position][i];
        if (slot->kind == DIST_SLOT_FORWARD)
            lower_forward(w, slot);
        else if (slot->kind == DIST_SLOT_WEIGHT)
            lower_weight(w, slot);
        else
            lower_backward(w, slot);
    }
}

/* Messages of one edge are received in the order in which they are sent, so that a channel is first in, first out. */
static dist_status check_order(const lowerer *w, int from, int to, dist_slot_kind kind)
{
    const dist_slot *a = w->s->slot[rank_of(w, from)], *b = w->s->slot[rank_of(w, to)];
    const size_t na = w->s->slots[rank_of(w, from)], nb = w->s->slots[rank_of(w, to)];
    const bool backward = kind != DIST_SLOT_FORWARD;
    for (size_t i = 0, j = 0;; i++, j++) {
        while (i < na && (a[i].stage != from || a[i].kind == DIST_SLOT_WEIGHT ||
                          (a[i].kind != DIST_SLOT_FORWARD) != backward))
            i++;
        while (j < nb && (b[j].stage != to || b[j].kind == DIST_SLOT_WEIGHT ||
                          (b[j].kind != DIST_SLOT_FORWARD) != backward))
            j++;
        if (i >= na || j >= nb)
            return DIST_OK;
        if (a[i].microbatch != b[j].microbatch)
            return dist_fail(DIST_ERR_UNSUPPORTED,
                             "schedule %s: stage %d runs the %s of microbatch %" PRIu32
                             " where stage %d, from which it gets them, runs that of %" PRIu32
                             "; both must take them in the same order",
                             w->s->name, to, backward ? "backward" : "forward", b[j].microbatch, from,
                             a[i].microbatch);
    }
}

static dist_status check_orders(const lowerer *w)
{
    for (int stage = 0; stage < w->s->stages; stage++) {
        if (!is_here(w, stage))
            continue;
        if (stage > 0)
            DIST_TRY(check_order(w, stage - 1, stage, DIST_SLOT_FORWARD));
        if (stage + 1 < w->s->stages)
            DIST_TRY(check_order(w, stage + 1, stage, DIST_SLOT_BACKWARD));
    }
    return DIST_OK;
}

/* How many messages of this rank can be under way at once on a link between sites: a rendezvous takes three ways. */
static double under_way(const lowerer *w, int other)
{
    const dist_topology *t = w->l->topology;
    if (!crosses(w->l, w->position, other) || !t->link || !w->l->times)
        return 0;
    const int from = t->place[job_rank(w->l, w->position)].site, to = t->place[job_rank(w->l, other)].site;
    const dist_stage_times *mine = &w->l->times[w->position];
    const double each = (mine->forward + mine->backward + mine->weight) / w->s->chunks;
    return each > 0 ? ceil(3 * t->link[from * t->sites + to].latency / each) : w->s->microbatches;
}

/* Slots beyond those in use. */
static uint32_t ahead_of(const lowerer *w)
{
    double ahead = w->l->ahead;
    if (w->l->ahead > 0)
        return (uint32_t)w->l->ahead;
    for (int s = 0; s < w->s->stages; s++) {
        if (!is_here(w, s))
            continue;
        if (s > 0)
            ahead = fmax(ahead, under_way(w, rank_of(w, s - 1)));
        if (s + 1 < w->s->stages)
            ahead = fmax(ahead, under_way(w, rank_of(w, s + 1)));
    }
    return 2 + (uint32_t)fmin(ahead, w->s->microbatches);
}

/* What the neighbours on other ranks may send before they need this one again. */
static void make_room(const lowerer *w)
{
    for (int s = 0; s < w->s->stages; s++) {
        if (!is_here(w, s))
            continue;
        if (s > 0 && !is_here(w, s - 1))
            dist_slot_room(pool_of(w, s, ACT_IN), dist_room_for_inputs(w->s, s));
        if (s + 1 < w->s->stages && !is_here(w, s + 1))
            dist_slot_room(pool_of(w, s, GRAD_IN), dist_room_for_gradients(w->s, s));
    }
}

static dist_status make_pools(lowerer *w)
{
    const bool coded = w->l->codec && w->l->codec->kind != DIST_CODEC_NONE;
    const uint64_t frame = coded ? frame_bytes(w->l) : 0;
    for (int c = 0; c < w->s->chunks; c++)
        for (int k = 0; k < POOLS; k++) {
            char name[16];
            const uint64_t bytes = k == FRAME_IN || k == FRAME_OUT ? frame : w->l->boundary_bytes;
            snprintf(name, sizeof name, w->s->chunks > 1 ? "%s %d" : "%s", pool_names[k], c);
            DIST_TRY(dist_slot_pool_open(&w->pool[c * POOLS + k], w->plan, name, bytes, ahead_of(w),
                                         (uint32_t)w->s->microbatches));
        }
    return DIST_OK;
}

static bool allocate(lowerer *w)
{
    const size_t cells = (size_t)w->s->chunks * (size_t)w->s->microbatches;
    int *held = calloc((size_t)w->s->ranks, sizeof *held);
    w->chunk_of = calloc((size_t)w->s->stages, sizeof *w->chunk_of);
    w->pool = calloc((size_t)w->s->chunks * POOLS, sizeof *w->pool);
    w->act = calloc(cells, sizeof *w->act);
    w->grad = calloc(cells, sizeof *w->grad);
    for (int s = 0; held && w->chunk_of && s < w->s->stages; s++)
        w->chunk_of[s] = held[w->s->rank_of[s]]++;
    free(held);
    return held && w->chunk_of && w->pool && w->act && w->grad;
}

static void release(lowerer *w)
{
    for (int i = 0; w->pool && i < w->s->chunks * POOLS; i++)
        dist_slot_pool_close(&w->pool[i]);
    free(w->chunk_of);
    free(w->pool);
    free(w->act);
    free(w->grad);
}

static dist_status lower(lowerer *w, dist_plan *plan)
{
    if (!allocate(w))
        return dist_fail(DIST_ERR_MEMORY, "no memory for a pipeline of %d stages", w->s->stages);
    DIST_TRY(check_orders(w));
    walk(w); /* counts */
    w->plan = plan;
    dist_plan_set_channels(plan, DIST_CHANNELS + 2 * w->s->chunks);
    if (w->l->codec)
        plan->codec = *w->l->codec;
    make_room(w);
    DIST_TRY(make_pools(w));
    walk(w);
    return dist_plan_finish(plan);
}

dist_status dist_lower(dist_plan **out, const dist_lowering *l, int position)
{
    lowerer w = {.l = l, .s = l->schedule, .position = position};
    *out = NULL;
    if (l->schedule->chunks > (DIST_CHANNELS_MOST - DIST_CHANNELS) / 2)
        return dist_fail(DIST_ERR_UNSUPPORTED, "schedule %s: %d chunks on a rank; at most %d",
                         l->schedule->name, l->schedule->chunks, (DIST_CHANNELS_MOST - DIST_CHANNELS) / 2);
    if (l->codec && l->boundary_bytes % dist_type_bytes(l->boundary_type) != 0)
        return dist_fail(DIST_ERR_ARGUMENT, "%" PRIu64 " bytes between stages are no multiple of a %s",
                         l->boundary_bytes, dist_type_name(l->boundary_type));
    dist_plan *plan = dist_plan_create(job_rank(l, position), l->ranks,
                                       "pipeline %s on %d ranks, %d microbatches of %" PRIu64 " bytes%s%s%s",
                                       l->label ? l->label : l->schedule->name, l->schedule->ranks,
                                       l->schedule->microbatches, l->boundary_bytes, l->codec ? ", " : "",
                                       l->codec ? l->codec->text : "", l->device ? ", in device memory" : "");
    if (!plan)
        return DIST_ERR_MEMORY;
    const dist_status status = lower(&w, plan);
    release(&w);
    if (status < 0) {
        dist_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return DIST_OK;
}

dist_status dist_lower_verify(const dist_plan *const *plan, const dist_lowering *l, uint64_t limit)
{
    const dist_schedule *s = l->schedule;
    const dist_call_contract contract = {.stages = s->stages,
                                         .microbatches = s->microbatches,
                                         .split = s->split,
                                         .rank_of = s->rank_of,
                                         .limit = limit};
    if (l->rank_at || l->ranks != s->ranks)
        return dist_fail(DIST_ERR_STATE, "a pipeline is verified by itself, on ranks 0 to %d", s->ranks - 1);
    return dist_verify_calls(plan, s->ranks, &contract);
}
