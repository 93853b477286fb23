/* A pipeline at work: its schedule as a task, the program's functions, and the averages of its replicas. */
#ifndef DIST_PARALLEL_PIPELINE_H
#define DIST_PARALLEL_PIPELINE_H

#include <libdist/pipeline.h>

#include "parallel/data_parallel.h"
#include "parallel/mesh.h"
#include "parallel/schedule.h"

/* What the context decides. */
typedef struct dist_pipeline_setup {
    dist_context *context; /* whose it is; for the public functions only */
    dist_engine *engine;
    const dist_log *log;
    const dist_topology *topology; /* with links where there is more than one site */
    int rank;
    uint64_t
        one_way; /* bytes up to which a message takes one latency; longer ones are agreed on first, and take three */
    dist_spec spec;      /* for averages: algorithm, tuning and rank of the job */
    dist_codec codec;    /* of activations between sites */
    const dist_gpu *gpu; /* of slots in device memory; NULL: in host memory */
    dist_wire *nccl;     /* connects the devices of this site; NULL: nothing does */
    bool team;           /* it does so on each site that has several ranks */
    const dist_pipeline_options *options;
} dist_pipeline_setup;

dist_status dist_pp_create(dist_pipeline **pipeline, const dist_pipeline_setup *setup);
void dist_pp_shape(const dist_pipeline *pipeline, dist_pipeline_shape *shape);
int dist_pp_stage(const dist_pipeline *pipeline, int i);
dist_context *dist_pp_context(const dist_pipeline *pipeline);
/* spec: of the averages, with algorithm and codec chosen. */
dist_status dist_pp_register(dist_pipeline *pipeline, int stage, const dist_parameter *parameters, size_t n,
                             const dist_data_parallel_setup *averages);
void *dist_pp_gradient(const dist_pipeline *pipeline, int stage, size_t i);
dist_status dist_pp_bucket(const dist_pipeline *p, int stage, size_t i, dist_bucket_info *info);
dist_status dist_pp_step(dist_pipeline *pipeline);
void dist_pp_stats(const dist_pipeline *pipeline, dist_pipeline_stats *stats);
void dist_pp_write(const dist_pipeline *pipeline, FILE *file);
dist_status dist_pp_destroy(dist_pipeline *pipeline);

#endif
