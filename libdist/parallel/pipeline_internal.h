/* Shared by the files of a pipeline: pipeline.c (life, averages, words), pipeline_layout.c (who is where, and which
 * schedule), pipeline_step.c (the program's functions). */
#ifndef DIST_PARALLEL_PIPELINE_INTERNAL_H
#define DIST_PARALLEL_PIPELINE_INTERNAL_H

#include "parallel/lower.h"
#include "parallel/pipeline.h"

/* One of this rank's stages. */
typedef struct dist_pipeline_stage_state {
    int stage;
    dist_data_parallel *averages; /* NULL until it is registered */
    size_t parameters;
    int inputs, weights; /* calls of backward_input and backward_weight in this step */
    void **stash;        /* [microbatches] */
} dist_pipeline_stage_state;

/* Who is where, and what that costs. */
typedef struct dist_pipeline_layout {
    dist_mesh mesh;
    int *rank_at;            /* [positions] of this rank's pipeline */
    double *latency;         /* [positions - 1] seconds, what a boundary takes to the next position */
    dist_stage_times *times; /* [positions] seconds */
    dist_schedule *schedule;
    double predicted; /* seconds of a step without averages */
    double averages;  /* seconds that averages are estimated to take after it */
    double bound;
    char why[200]; /* the order of the axes */
} dist_pipeline_layout;

dist_status dist_pipeline_layout_choose(dist_pipeline_layout *layout, const dist_pipeline_setup *setup);
void dist_pipeline_layout_end(dist_pipeline_layout *layout);

struct dist_pipeline {
    dist_pipeline_setup setup;
    dist_pipeline_options options; /* strings are not kept */
    dist_pipeline_layout layout;
    int position;
    int *member; /* [replicas] the ranks with this position */
    dist_topology *group;
    dist_task *task;
    dist_pipeline_stage_state *state; /* [chunks] */
    int *chunk_of;                    /* [stages] into state, -1: another rank's */
    int registered;
    dist_pipeline_stats stats;
};

static inline bool dist_pp_on_device(const dist_pipeline *p)
{
    return p->setup.gpu != NULL;
}

/* pipeline_edges.c. Makes sure that the device wire connects all neighbours in all pipelines. Collective; blocks. */
dist_status dist_pipeline_edges_open(const dist_pipeline *p);

#endif
