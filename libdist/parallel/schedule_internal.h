/* What the generators of schedules share. */
#ifndef DIST_PARALLEL_SCHEDULE_INTERNAL_H
#define DIST_PARALLEL_SCHEDULE_INTERNAL_H

#include "parallel/schedule.h"

#define DIST_SCHEDULE_MOST_STAGES UINT16_MAX

/* From the simplest on: `auto` prefers the first of equals. */
#define DIST_SCHEDULE_LIST(X)                                                                                \
    X(DIST_SCHEDULE_GPIPE, "gpipe", dist_schedule_lag)                                                       \
    X(DIST_SCHEDULE_1F1B, "1f1b", dist_schedule_lag)                                                         \
    X(DIST_SCHEDULE_EAGER, "eager1f1b", dist_schedule_lag)                                                   \
    X(DIST_SCHEDULE_INTERLEAVED, "interleaved", dist_schedule_interleaved)                                   \
    X(DIST_SCHEDULE_ZB_H1, "zb-h1", dist_schedule_lag)                                                       \
    X(DIST_SCHEDULE_ZB_H2, "zb-h2", dist_schedule_lag)                                                       \
    X(DIST_SCHEDULE_ZB_V, "zb-v", dist_schedule_zb_v)                                                        \
    X(DIST_SCHEDULE_V_HALF, "v-half", dist_schedule_v_periodic)                                              \
    X(DIST_SCHEDULE_V_MIN, "v-min", dist_schedule_v_periodic)                                                \
    X(DIST_SCHEDULE_DUAL, "dualpipev", dist_schedule_dual)                                                   \
    X(DIST_SCHEDULE_WAN_1F1B, "wan-1f1b", dist_schedule_wan)                                                 \
    X(DIST_SCHEDULE_WAN_ZB, "wan-zb", dist_schedule_wan)                                                     \
    X(DIST_SCHEDULE_AUTO, "auto", dist_schedule_auto)

typedef enum dist_schedule_family {
#define DIST_SCHEDULE_ENUM(id, name, generator) id,
    DIST_SCHEDULE_LIST(DIST_SCHEDULE_ENUM)
#undef DIST_SCHEDULE_ENUM
        DIST_SCHEDULE_FAMILIES
} dist_schedule_family;

/* What a name says. */
typedef struct dist_schedule_spec {
    dist_schedule_family family;
    int v;         /* interleaved: chunks */
    int cap;       /* eager1f1b: most microbatches in flight; 0: unlimited */
    char name[64]; /* with its parameters, as dist_schedule.name */
} dist_schedule_spec;

dist_status dist_schedule_parse(const char *name, dist_schedule_spec *spec);

/* Where the stages are. */
typedef enum dist_schedule_placement {
    DIST_PLACE_ROUND, /* stage s on rank s mod p */
    DIST_PLACE_V      /* two chunks: stage s on rank s, stage 2p - 1 - s on rank s */
} dist_schedule_placement;

/* A schedule without slots, all stages on rank 0; NULL without memory. */
dist_schedule *dist_schedule_new(const char *name, int ranks, int chunks, int microbatches, bool split);

/* The same with its stages placed and room for all its slots. */
dist_status dist_schedule_begin(dist_schedule **schedule, const dist_schedule_spec *spec,
                                const dist_schedule_request *request, int chunks,
                                dist_schedule_placement placement, bool split);

static inline void dist_schedule_push(dist_schedule *schedule, int rank, dist_slot_kind kind, int stage,
                                      int microbatch)
{
    schedule->slot[rank][schedule->slots[rank]++] =
        (dist_slot){.kind = (uint8_t)kind, .stage = (uint16_t)stage, .microbatch = (uint32_t)microbatch};
}

/* Fills an empty schedule of one chunk: rank i runs its backward lag[i] forwards late, and its weight gradients
 * weight_lag forwards late where the schedule is split. */
void dist_schedule_emit_lag(dist_schedule *schedule, const int *lag, int weight_lag);

/* Takes idle time out of a sound split schedule of two chunks in V placement, without raising its peak. */
dist_status dist_schedule_squeeze(dist_schedule *schedule);

/* Generators. Each fails with a sentence when its definition does not allow the shape. */
typedef dist_status dist_schedule_generator(dist_schedule **schedule, const dist_schedule_spec *spec,
                                            const dist_schedule_request *request);
dist_schedule_generator dist_schedule_lag, dist_schedule_wan, dist_schedule_interleaved, dist_schedule_zb_v,
    dist_schedule_v_periodic, dist_schedule_dual, dist_schedule_auto;

/* Lags of the members that do not look at times: gpipe, 1f1b, eager1f1b, zb-h1, zb-h2. */
int dist_schedule_fixed_lag(const dist_schedule_spec *spec, const dist_schedule_request *request, int rank);

/* Times of one microbatch on a rank, and the latency of the edge behind it: what NULL stands for filled in. */
static inline dist_stage_times dist_schedule_times_of(const dist_stage_times *times, int rank)
{
    return times ? times[rank] : (dist_stage_times){1, 1, 1};
}
static inline double dist_schedule_latency_of(const double *latency, int edge)
{
    return latency ? latency[edge] : 0;
}

/* Microbatches of the whole rank that `rank` holds at most; its slots decide alone. */
double dist_schedule_peak(const dist_schedule *schedule, int rank);
double dist_schedule_most(const dist_schedule *schedule); /* of all ranks */

/* The makespan alone, of a schedule whose slots are in order. */
dist_status dist_schedule_makespan(const dist_schedule *schedule, const dist_stage_times *times,
                                   const double *latency, double *makespan);

/* Every slot in its bounds, on the rank of its stage, once and in its order; not the order among ranks. */
dist_status dist_schedule_check_slots(const dist_schedule *schedule);

/* "F(3,7)": stage and microbatch. */
typedef struct dist_slot_text {
    char text[32];
} dist_slot_text;
dist_slot_text dist_schedule_slot_text(dist_slot slot);

#endif
