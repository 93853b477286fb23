/* A set of plans, and what its two kinds differ in. */
#ifndef DIST_PLAN_SET_INTERNAL_H
#define DIST_PLAN_SET_INTERNAL_H

#include <libdist/plan.h>

#include "collective/collective.h"
#include "parallel/lower.h"
#include "plan/predict.h"

/* What the set has of a collective. */
typedef struct dist_set_collective {
    dist_topology *topology;
    dist_spec spec;
    dist_link inside, across;
    double copy_rate, reduce_rate, codec_rate;
    bool nccl; /* teams inside sites */
} dist_set_collective;

/* What it has of a pipeline. */
typedef struct dist_set_pipeline {
    dist_schedule *schedule; /* NULL: the set is of a collective */
    dist_stage_times *times; /* [ranks] */
    double *latency;         /* [ranks]: of each edge; one more than there are */
    double *delay;           /* [ranks]: the same, and the time of a message on the edge */
    double *peak;            /* [ranks]: microbatches held */
    double bound, bandwidth;
    uint64_t boundary_bytes, stash_bytes, memory_bytes;
} dist_set_pipeline;

struct dist_plan_set {
    int ranks;
    dist_plan **plan; /* [ranks] */
    dist_set_collective collective;
    dist_set_pipeline pipeline;
    dist_prediction predicted; /* empty until it has been asked for */
    dist_plan_rank_figures *rank;
    dist_plan_link_figures *link;
};

static inline const dist_plan *const *dist_set_plans(const dist_plan_set *set)
{
    return (const dist_plan *const *)set->plan;
}

static inline bool dist_set_is_pipeline(const dist_plan_set *set)
{
    return set->pipeline.schedule != NULL;
}

/* An empty set for so many ranks is filled by `fill`; on failure nothing is left of it. */
dist_status dist_set_make(dist_plan_set **set, dist_status (*fill)(dist_plan_set *set, const void *request),
                          const void *request);
dist_status dist_set_allocate(dist_plan_set *set, int ranks);
void dist_set_forget_prediction(dist_plan_set *set);

/* plan_set_collective.c */
dist_status dist_set_collective_verify(const dist_plan_set *set);
dist_status dist_set_collective_cluster(const dist_plan_set *set, dist_cluster **cluster);
double dist_set_collective_bound(const dist_plan_set *set);
void dist_set_collective_end(dist_set_collective *collective);

/* plan_set_pipeline.c */
dist_lowering dist_set_lowering(const dist_plan_set *set);
void dist_set_pipeline_end(dist_set_pipeline *pipeline);

#endif
