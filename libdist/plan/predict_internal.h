/* Shared by the files of the prediction: predict.c (setup and result), predict_match.c (who meets whom), predict_native.c (the time of collectives), predict_run.c
 * (what happens when), predict_deadlock.c, predict_heap.c. */
#ifndef DIST_PLAN_PREDICT_INTERNAL_H
#define DIST_PLAN_PREDICT_INTERNAL_H

#include "base/error.h"
#include "plan/predict.h"
#include "plan/verify_internal.h"

/* ---- predict_heap.c ---- */

/* Something about op number `op` of `rank`. Ordered by time, then op, then rank: no two are alike, so the order in
 * which a heap yields them does not depend on the order in which they came. */
typedef struct dist_event {
    double time;
    uint32_t op, rank;
} dist_event;

typedef struct dist_event_heap {
    dist_event *item; /* item[0] is the first */
    size_t count, capacity;
} dist_event_heap;

bool dist_event_push(dist_event_heap *heap, dist_event event);
dist_event dist_event_pop(dist_event_heap *heap);

/* ---- the simulation ---- */

typedef enum dist_phase {
    DIST_PHASE_WAITING, /* or in the queue of its resource */
    DIST_PHASE_ARRIVED, /* SEND, RECV, NATIVE: ready */
    DIST_PHASE_MOVED,   /* NATIVE of the first member: has left the link */
    DIST_PHASE_DONE
} dist_phase;

/* Serves one op or message at a time. */
typedef struct dist_resource {
    dist_event_heap queue; /* by the time of becoming ready */
    bool busy;
    bool listed;
} dist_resource;

/* What a rank has done so far. */
typedef struct dist_rank_account {
    bool calls; /* its plan has CALLs, and only they count */
    double begin, end, busy;
    int64_t held, most_held;
} dist_rank_account;

/* Where the collectives of a group are timed. */
typedef struct dist_ring {
    int link; /* -1: nowhere; they take no time */
    double latency;
} dist_ring;

/* Arrays of [ops] are indexed by first_op[rank] + op; the numbers in them are those of an op in its own plan. About 20
 * bytes an op. */
typedef struct dist_simulation {
    const dist_plan *const *plan;
    const dist_cluster *cluster;
    dist_prediction *prediction;
    int ranks;
    uint32_t *first_op;    /* [ranks + 1] */
    uint32_t *pending;     /* [ops] ops that must be done first */
    uint32_t *first_after; /* [ops + 1] into after */
    uint32_t *after;       /* the ops of the same rank that wait for an op */
    uint32_t *meets;       /* [ops] SEND, RECV: the peer's op; NATIVE: the meeting */
    uint8_t *phase;        /* [ops] */
    dist_natives natives;
    uint32_t *arrivals; /* [natives.count] members that are ready for it */
    dist_ring *ring;    /* [natives.groups] */

    double now;
    size_t done;
    dist_event_heap events;  /* when ops end */
    dist_resource *resource; /* [2 * ranks + links] compute and engine of each rank, links */
    uint32_t *list;          /* resources that may be able to start something */
    size_t listed;
    dist_rank_account *account; /* [ranks] */
} dist_simulation;

static inline double dist_time_at(uint64_t bytes, double rate)
{
    return rate > 0 ? (double)bytes / rate : 0;
}

static inline void dist_predict_account(const dist_simulation *s, int link, uint64_t bytes)
{
    dist_predicted_link *account = &s->prediction->link[link];
    account->bytes += bytes;
    account->messages++;
    account->busy += dist_time_at(bytes, s->cluster->link[link].bandwidth);
}

static inline size_t dist_number_of(const dist_simulation *s, uint32_t rank, size_t op)
{
    return (size_t)s->first_op[rank] + op;
}

dist_status dist_predict_no_memory(const dist_simulation *s);
/* predict_match.c: fills meets and natives. */
dist_status dist_predict_match(dist_simulation *s);
/* predict_native.c: fills arrivals and ring. */
dist_status dist_predict_rings(dist_simulation *s);
/* Bytes of a collective on the link that it is timed on; and those of a team on each link of its ring. */
uint64_t dist_predict_native_bytes(const dist_simulation *s, size_t meeting);
dist_status dist_predict_account_native(const dist_simulation *s, size_t meeting, uint64_t bytes);
/* predict_run.c: the link and latency from one rank to another. */
dist_status dist_predict_route(const dist_simulation *s, uint32_t from, int to, int *link, double *latency);
/* predict_run.c: until nothing more can happen. */
dist_status dist_predict_run(dist_simulation *s);
/* predict_deadlock.c: says who waits for whom, when ops are left. */
dist_status dist_predict_deadlock(const dist_simulation *s);

#endif
