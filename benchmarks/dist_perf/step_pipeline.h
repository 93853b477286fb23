/* dist_perf step: pipelines that wait instead of computing. */
#ifndef DIST_PERF_STEP_PIPELINE_H
#define DIST_PERF_STEP_PIPELINE_H

#include "step.h"

/* One pipeline and what its functions keep. */
typedef struct step_actor {
    dist_pipeline *pipeline;
    dist_pipeline_shape shape;
    double seconds; /* of a call */
    int64_t debt;
    int64_t forwarded; /* end of the last forward call */
    double trip;       /* from there to the backward call that follows */
    step_call *call;   /* what was called, up to `room`; NULL: nobody asks */
    int calls, room;
    int64_t began; /* start of the step, which the caller sets */
} step_actor;

typedef struct step_shape {
    const char *mesh, *schedule;
    int microbatches;
    size_t boundary; /* bytes */
    double seconds;  /* of a call */
} step_shape;

/* Collective. End with dist_pipeline_destroy(actor->pipeline). */
dist_status step_actor_open(dist_context *context, const step_options *o, const step_shape *shape,
                            step_actor *actor);
/* Registers `count` elements for each of n tensors of one stage; n 0: none. Collective. */
dist_status step_actor_register(dist_context *context, const step_actor *actor, const step_options *o,
                                int stage, const dist_parameter *parameter, int n,
                                const dist_data_parallel_options *options);

/* Where everybody is: of each rank, of each stage, and the order of the mesh. */
typedef struct step_places {
    int ranks, *position, *replica; /* [ranks] */
    int stages, *position_of;       /* [stages] */
    int crossing;                   /* a position whose replicas are on the most sites */
    int positions_crossing;         /* how many have replicas on more than one */
    char mesh[48];
} step_places;

/* Collective. */
dist_status step_places_find(dist_context *context, const step_actor *actor, step_places *places);
void step_places_end(step_places *places);
int step_rank_at(const step_places *places, int position, int replica);
/* How many sites the replicas of a position are on. */
int step_sites_of(const dist_context *context, const step_places *places, int position);

/* step_edges.c: what messages between stages take. */
typedef struct step_edges {
    step_actor actor;
    double *trip; /* [STEP_SAMPLES * positions] */
    int samples;
    double rest;
} step_edges;

dist_status step_edges_open(dist_context *context, const step_options *o, const step_places *places,
                            step_edges *edges);
dist_status step_edges_sample(dist_context *context, const step_places *places, step_edges *edges, int times);
/* line[position] is that to the next. */
dist_status step_edges_fit(dist_context *context, const step_options *o, const step_places *places,
                           step_edges *edges, step_line *line);
dist_status step_edges_close(step_edges *edges, dist_status status);

/* step_shared.c: what averages of replicas take. */
typedef struct step_shared {
    step_actor actor[STEP_SIZES];
    double bytes[STEP_SIZES], across[STEP_SIZES];
    double time[STEP_SIZES][STEP_SAMPLES];
    int probes, samples; /* the last probe: all positions at once, as the first one does it alone */
    double rest;
} step_shared;

dist_status step_shared_open(dist_context *context, const step_options *o, const step_places *places,
                             size_t largest, size_t buckets, step_shared *shared);
dist_status step_shared_sample(const step_places *places, int rank, step_shared *shared, int times);
dist_status step_shared_fit(dist_context *context, step_shared *shared, step_result *r, step_line *across);
dist_status step_shared_close(step_shared *shared, dist_status status);

#endif
