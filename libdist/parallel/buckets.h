/* Which gradients go into which bucket, and the plan of a bucket. */
#ifndef DIST_PARALLEL_BUCKETS_H
#define DIST_PARALLEL_BUCKETS_H

#include <libdist/data_parallel.h>

#include "collective/collective.h"

typedef struct dist_placement {
    size_t bucket;
    uint64_t offset; /* bytes, in the bucket */
} dist_placement;

/* Cuts n parameters, last registered first, into buckets of one type: the first of at most `first` bytes, so that
 * the link starts early, the others of `bytes`, and of the last one a part of at most `first` for itself, because
 * nothing hides it. A parameter is never cut; one larger than a bucket has its own. place[i] gets parameter i's
 * place; the return value is the number of buckets. */
size_t dist_buckets_place(const dist_parameter *parameters, size_t n, uint64_t first, uint64_t bytes,
                          dist_placement *place);

/* Elements of a bucket that belong to a parameter, with those of the gap behind it: the next one begins at a cache
 * line. The last of a bucket has no gap. */
uint64_t dist_parameter_span(const dist_parameter *parameter);

/* A number that differs when ranks give the parameters of a bucket different counts, types or rows. */
unsigned dist_bucket_shapes(size_t bucket, const dist_parameter *parameters, const dist_placement *place,
                            size_t n);

/* The plan of one bucket: copy in the gradients that live elsewhere, all-reduce, copy out. USER buffer 0 is
 * the bucket of `spec->count` elements; then one for each parameter with a gradient of the program's, in
 * registration order. */
dist_status dist_bucket_plan(dist_plan **plan, const dist_spec *spec, size_t bucket,
                             const dist_parameter *parameters, const dist_placement *place, size_t n);

#endif
