/* Data parallel inside the library: buckets of gradients, each an all-reduce that starts when its last
 * gradient is ready. */
#ifndef DIST_PARALLEL_DATA_PARALLEL_H
#define DIST_PARALLEL_DATA_PARALLEL_H

#include <libdist/data_parallel.h>

#include "collective/collective.h"
#include "device/gpu.h"
#include "plan/engine.h"

/* What the context decides; `spec` has algorithm, codec, tuning, topology and rank.
 *
 * In a group, averages are over the ranks member[0] < member[1] < ... of the job: topology is that of the group
 * (dist_topology_group; it stays the caller's and outlives the data parallel), and spec.rank the position of this rank in
 * `member`, of which a copy is kept. Each rank of the job is in one group, and all create theirs at the same time. Algorithm
 * 'mpi' is refused, as are saving and loading a state (DIST_ERR_UNSUPPORTED). */
typedef struct dist_data_parallel_setup {
    dist_engine *engine;
    const dist_log *log;
    dist_spec spec;
    uint64_t bucket_bytes;       /* 0: DIST_BUCKET_DEFAULT, at most an eighth of all gradients */
    uint64_t first_bucket_bytes; /* 0: 1 MiB */
    int accumulate;
    dist_wire *team_wire;  /* whose memory host buckets are; NULL: any */
    const int *member;     /* [spec.topology->ranks]; NULL: all ranks of the job */
    dist_memory memory;    /* of all gradients, and of the buckets; AUTO is HOST */
    const dist_gpu *gpu;   /* that plans may use; NULL: host memory only. Stays the caller's */
    const dist_cuda *cuda; /* that pins buckets, without a device in use; NULL: PINNED is HOST */
    bool direct;           /* the wire takes device memory */
} dist_data_parallel_setup;

#define DIST_BUCKET_DEFAULT ((uint64_t)25 << 20)

dist_status dist_dp_create(dist_data_parallel **out, const dist_data_parallel_setup *setup,
                           const dist_parameter *parameters, size_t n);
void *dist_dp_gradient(const dist_data_parallel *dp, size_t i);
/* `stream`: of device memory, and NULL otherwise. */
dist_status dist_dp_ready(dist_data_parallel *dp, size_t i, void *stream);
dist_status dist_dp_wait(dist_data_parallel *dp, void *stream);
void dist_dp_stats(dist_data_parallel *dp, dist_data_parallel_stats *stats);
dist_status dist_dp_bucket(dist_data_parallel *dp, size_t i, dist_bucket_info *info);
bool dist_dp_takes_streams(const dist_data_parallel *dp);
/* Before what is kept from step to step is read or written, and after it was written: waits until what is in flight has ended, and
 * brings what is in device memory to the host and back. In mid-step, when that is refused, pull does nothing. */
dist_status dist_dp_pull(dist_data_parallel *dp);
dist_status dist_dp_push(dist_data_parallel *dp);
/* feedback.c */
uint64_t dist_dp_state_bytes(const dist_data_parallel *dp);
dist_status dist_dp_state_save(dist_data_parallel *dp, void *state, uint64_t bytes);
/* feedback_load.c */
dist_status dist_dp_state_load(dist_data_parallel *dp, const void *const *part, const uint64_t *bytes,
                               int parts);
dist_status dist_dp_destroy(dist_data_parallel *dp);

#endif
