/* The plan of a bucket in the low-rank steps of PowerSGD. */
#ifndef DIST_PARALLEL_LOWRANK_H
#define DIST_PARALLEL_LOWRANK_H

#include "parallel/buckets.h"

/* How many parameters of a bucket are sent as factors: float32 matrices, between sites, where factors of
 * `spec->codec` are less than half of the matrix. */
size_t dist_lowrank_matrices(const dist_spec *spec, size_t bucket, const dist_parameter *parameters,
                             const dist_placement *place, size_t n);

/* Project each matrix, all-reduce one vector of all factors and of all other gradients, expand. The factors
 * are summed over ranks, not over sites, in full precision. USER buffers are those of dist_bucket_plan. */
dist_status dist_lowrank_plan(dist_plan **plan, const dist_spec *spec, size_t bucket,
                              const dist_parameter *parameters, const dist_placement *place, size_t n);

#endif
