/* What the files of data parallel share. */
#ifndef DIST_PARALLEL_DATA_PARALLEL_INTERNAL_H
#define DIST_PARALLEL_DATA_PARALLEL_INTERNAL_H

#include "parallel/buckets.h"
#include "parallel/data_parallel.h"

/* When a bucket was in flight. */
typedef struct dist_flight {
    int64_t began, ended;
} dist_flight;

typedef struct dist_bucket {
    dist_task *task;
    dist_task *coded; /* takes over when `dense` is 0; NULL: never */
    dist_task *begun; /* what was started last and has not been counted; NULL: nothing */
    uint64_t dense;   /* steps left before */
    char *memory;
    uint64_t bytes;
    dist_type type;
    size_t parameters, missing; /* how many there are; how many are not ready in this step */
    size_t first, last;         /* of them */
    dist_flight flight;         /* of the last step that was counted */
} dist_bucket;

/* What runs in this step. */
static inline dist_task *dist_bucket_task(const dist_bucket *bucket)
{
    return bucket->coded && bucket->dense == 0 ? bucket->coded : bucket->task;
}

struct dist_data_parallel {
    dist_data_parallel_setup setup;
    dist_parameter *parameter;
    char **name; /* copies */
    dist_placement *place;
    bool *ready;
    size_t parameters;
    int *member; /* a copy of setup.member, which points here */
    dist_bucket *bucket;
    dist_flight *flight; /* of all buckets; sorted in place when a step is counted */
    size_t buckets;
    int *round;     /* how often each gradient became ready since the last average */
    uint64_t steps; /* averaged so far, by the jobs whose state was loaded too */
    dist_data_parallel_stats stats;
    dist_data_parallel_stats counted; /* of the step in flight, from the buckets that have ended */
    double exposed;                   /* of that step */
    size_t uncounted;                 /* its buckets that have not ended */
};

static inline bool dist_dp_on_device(const dist_data_parallel *dp)
{
    return dp->setup.memory == DIST_MEMORY_CUDA;
}

/* tasks.c. Makes the tasks of all buckets, unless `status`, of what was done for them before, is a failure; returns the
 * first one. In groups all ranks of the job must come here, also after a failure. */
dist_status dist_dp_make_tasks(dist_data_parallel *dp, dist_status status);

#endif
