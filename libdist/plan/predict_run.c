/* What happens when. Time goes from one event to the next: all ops that end at it end; then each free resource
 * starts the op in its queue that became ready first. Ops without a duration end at the time at which they started,
 * so that a time may have several such rounds. Within a round the order of events and of resources makes no
 * difference. */
#include "plan/predict_internal.h"

#include <math.h>

#include "base/type.h"

static size_t compute_of(uint32_t rank)
{
    return 2 * (size_t)rank;
}

static size_t engine_of(uint32_t rank)
{
    return 2 * (size_t)rank + 1;
}

static size_t resource_of_link(const dist_simulation *s, int link)
{
    return 2 * (size_t)s->ranks + (size_t)link;
}

static void enlist(dist_simulation *s, size_t resource)
{
    if (s->resource[resource].listed)
        return;
    s->resource[resource].listed = true;
    s->list[s->listed++] = (uint32_t)resource;
}

static dist_status enqueue(dist_simulation *s, size_t resource, uint32_t rank, uint32_t op)
{
    enlist(s, resource);
    return dist_event_push(&s->resource[resource].queue, (dist_event){s->now, op, rank})
               ? DIST_OK
               : dist_predict_no_memory(s);
}

static void set_free(dist_simulation *s, size_t resource)
{
    s->resource[resource].busy = false;
    enlist(s, resource);
}

static dist_status ends_at(dist_simulation *s, double time, uint32_t rank, uint32_t op)
{
    return dist_event_push(&s->events, (dist_event){time, op, rank}) ? DIST_OK : dist_predict_no_memory(s);
}

dist_status dist_predict_route(const dist_simulation *s, uint32_t from, int to, int *link, double *latency)
{
    *link = s->cluster->route(s->cluster->user, (int)from, to, latency);
    if (*link < 0 || *link >= s->cluster->links)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "the cluster has link %d from rank %u to rank %d; it has %d links", *link, from, to,
                         s->cluster->links);
    if (!(*latency >= 0) || isinf(*latency))
        return dist_fail(DIST_ERR_ARGUMENT, "the cluster has a latency of %g s from rank %u to rank %d",
                         *latency, from, to);
    return DIST_OK;
}

static void note_start(dist_simulation *s, uint32_t rank, uint32_t number)
{
    dist_rank_account *account = &s->account[rank];
    if (s->prediction->start)
        s->prediction->start[rank][number] = s->now;
    if ((!account->calls || s->plan[rank]->op[number].kind == DIST_OP_CALL) && s->now < account->begin)
        account->begin = s->now;
}

static uint32_t member(const dist_simulation *s, size_t meeting, int m)
{
    return (uint32_t)dist_native_rank(&s->natives, meeting, m);
}

static void note_native_start(dist_simulation *s, size_t meeting)
{
    for (int m = 0; m < dist_native_group_of(&s->natives, meeting)->members; m++)
        note_start(s, member(s, meeting, m), dist_native_op(&s->natives, meeting, m));
}

/* ---- becoming ready ---- */

static dist_status arrive_at_message(dist_simulation *s, uint32_t rank, uint32_t number, const dist_op *op)
{
    size_t at = dist_number_of(s, rank, number);
    uint32_t peer = (uint32_t)op->peer, partner = s->meets[at];
    int link;
    double latency;
    s->phase[at] = DIST_PHASE_ARRIVED;
    if (s->phase[dist_number_of(s, peer, partner)] != DIST_PHASE_ARRIVED)
        return DIST_OK;
    bool send = op->kind == DIST_OP_SEND;
    uint32_t from = send ? rank : peer, to = send ? peer : rank;
    DIST_TRY(dist_predict_route(s, from, (int)to, &link, &latency));
    return enqueue(s, resource_of_link(s, link), from, send ? number : partner);
}

static dist_status arrive_at_native(dist_simulation *s, uint32_t rank, uint32_t number)
{
    const size_t at = dist_number_of(s, rank, number), meeting = s->meets[at];
    s->phase[at] = DIST_PHASE_ARRIVED;
    if (++s->arrivals[meeting] < (uint32_t)dist_native_group_of(&s->natives, meeting)->members)
        return DIST_OK;
    const dist_ring *ring = &s->ring[s->natives.item[meeting].group];
    const uint32_t leader = member(s, meeting, 0), first = dist_native_op(&s->natives, meeting, 0);
    if (ring->link >= 0)
        return enqueue(s, resource_of_link(s, ring->link), leader, first);
    s->phase[dist_number_of(s, leader, first)] = DIST_PHASE_MOVED;
    note_native_start(s, meeting);
    return ends_at(s, s->now, leader, first);
}

static dist_status make_ready(dist_simulation *s, uint32_t rank, uint32_t number)
{
    const dist_op *op = &s->plan[rank]->op[number];
    switch (op->kind) {
    case DIST_OP_SEND:
    case DIST_OP_RECV:
        return arrive_at_message(s, rank, number, op);
    case DIST_OP_NATIVE:
        return arrive_at_native(s, rank, number);
    case DIST_OP_CALL:
        return enqueue(s, compute_of(rank), rank, number);
    default:
        return enqueue(s, engine_of(rank), rank, number);
    }
}

/* ---- starting ---- */

static double duration_of(const dist_cluster *cluster, const dist_op *op)
{
    switch (op->kind) {
    case DIST_OP_CALL:
        return op->cost;
    case DIST_OP_COPY:
        return dist_time_at(op->dst.bytes, cluster->copy_rate);
    case DIST_OP_ENCODE:
    case DIST_OP_PROJECT:
        return dist_time_at(op->src.bytes, cluster->codec_rate);
    case DIST_OP_DECODE:
        return dist_time_at(op->dst.bytes * (op->frames > 1 ? op->frames : 1), cluster->codec_rate);
    case DIST_OP_EXPAND:
        return dist_time_at(op->dst.bytes, cluster->codec_rate);
    default: /* REDUCE, DIVIDE */
        return dist_time_at(op->dst.bytes, cluster->reduce_rate);
    }
}

static dist_status start_local(dist_simulation *s, uint32_t rank, uint32_t number, const dist_op *op)
{
    dist_rank_account *account = &s->account[rank];
    double duration = duration_of(s->cluster, op);
    bool call = op->kind == DIST_OP_CALL;
    note_start(s, rank, number);
    if (call == account->calls)
        account->busy += duration;
    if (call && op->held > 0) {
        account->held += op->held;
        if (account->held > account->most_held)
            account->most_held = account->held;
    }
    return ends_at(s, s->now + duration, rank, number);
}

static dist_status start_on_link(dist_simulation *s, int link, uint32_t rank, uint32_t number,
                                 const dist_op *op)
{
    const uint32_t meets = s->meets[dist_number_of(s, rank, number)];
    const bool send = op->kind == DIST_OP_SEND;
    const uint64_t bytes = send ? op->src.bytes : dist_predict_native_bytes(s, meets);
    if (send) {
        dist_predict_account(s, link, bytes);
        note_start(s, rank, number);
        note_start(s, (uint32_t)op->peer, meets);
    } else {
        DIST_TRY(dist_predict_account_native(s, meets, bytes));
        note_native_start(s, meets);
    }
    return ends_at(s, s->now + dist_time_at(bytes, s->cluster->link[link].bandwidth), rank, number);
}

static dist_status start_listed(dist_simulation *s)
{
    for (size_t i = 0; i < s->listed; i++) {
        uint32_t number = s->list[i];
        dist_resource *resource = &s->resource[number];
        resource->listed = false;
        if (resource->busy || resource->queue.count == 0)
            continue;
        dist_event next = dist_event_pop(&resource->queue);
        const dist_op *op = &s->plan[next.rank]->op[next.op];
        int link = (int)number - 2 * s->ranks;
        resource->busy = true;
        DIST_TRY(link >= 0 ? start_on_link(s, link, next.rank, next.op, op)
                           : start_local(s, next.rank, next.op, op));
    }
    s->listed = 0;
    return DIST_OK;
}

/* ---- ending ---- */

static dist_status complete(dist_simulation *s, uint32_t rank, uint32_t number)
{
    size_t at = dist_number_of(s, rank, number), base = s->first_op[rank];
    dist_rank_account *account = &s->account[rank];
    s->phase[at] = DIST_PHASE_DONE;
    s->done++;
    if (s->prediction->end)
        s->prediction->end[rank][number] = s->now;
    if (!account->calls || s->plan[rank]->op[number].kind == DIST_OP_CALL)
        account->end = s->now;
    for (uint32_t i = s->first_after[at]; i < s->first_after[at + 1]; i++)
        if (--s->pending[base + s->after[i]] == 0)
            DIST_TRY(make_ready(s, rank, s->after[i]));
    return DIST_OK;
}

static dist_status end_send(dist_simulation *s, uint32_t rank, uint32_t number, const dist_op *op)
{
    int link;
    double latency;
    uint32_t recv = s->meets[dist_number_of(s, rank, number)];
    DIST_TRY(dist_predict_route(s, rank, op->peer, &link, &latency));
    set_free(s, resource_of_link(s, link));
    DIST_TRY(ends_at(s, s->now + latency, (uint32_t)op->peer, recv));
    return complete(s, rank, number);
}

/* `rank` is the first member. */
static dist_status end_native(dist_simulation *s, uint32_t rank, uint32_t number)
{
    const size_t at = dist_number_of(s, rank, number), meeting = s->meets[at];
    if (s->phase[at] != DIST_PHASE_MOVED) {
        const dist_ring *ring = &s->ring[s->natives.item[meeting].group];
        s->phase[at] = DIST_PHASE_MOVED;
        set_free(s, resource_of_link(s, ring->link));
        return ends_at(s, s->now + ring->latency, rank, number);
    }
    for (int m = 0; m < dist_native_group_of(&s->natives, meeting)->members; m++)
        DIST_TRY(complete(s, member(s, meeting, m), dist_native_op(&s->natives, meeting, m)));
    return DIST_OK;
}

static dist_status end(dist_simulation *s, uint32_t rank, uint32_t number)
{
    const dist_op *op = &s->plan[rank]->op[number];
    switch (op->kind) {
    case DIST_OP_SEND:
        return end_send(s, rank, number, op);
    case DIST_OP_RECV:
        return complete(s, rank, number);
    case DIST_OP_NATIVE:
        return end_native(s, rank, number);
    case DIST_OP_CALL:
        set_free(s, compute_of(rank));
        if (op->held < 0)
            s->account[rank].held += op->held;
        return complete(s, rank, number);
    default:
        set_free(s, engine_of(rank));
        return complete(s, rank, number);
    }
}

dist_status dist_predict_run(dist_simulation *s)
{
    dist_event_heap *events = &s->events;
    for (uint32_t r = 0; r < (uint32_t)s->ranks; r++)
        for (uint32_t i = 0; i < s->plan[r]->ops; i++)
            if (s->plan[r]->op[i].waits == 0)
                DIST_TRY(make_ready(s, r, i));
    for (;;) {
        DIST_TRY(start_listed(s));
        if (events->count == 0)
            break;
        s->now = events->item[0].time;
        while (events->count > 0 && events->item[0].time <= s->now) {
            dist_event event = dist_event_pop(events);
            DIST_TRY(end(s, event.rank, event.op));
        }
    }
    return s->done == s->first_op[s->ranks] ? DIST_OK : dist_predict_deadlock(s);
}
