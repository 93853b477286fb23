/* What is under way in dist_perf's collectives. */
#ifndef DIST_PERF_COLLECTIVE_INTERNAL_H
#define DIST_PERF_COLLECTIVE_INTERNAL_H

#include "collective.h"

#define PERF_VARIANTS (PERF_WORDS * PERF_WORDS)

/* Of a variant, in or out of place. */
typedef struct perf_samples {
    double *time;     /* [iterations] */
    double across;    /* bytes that this rank sent to other sites, all iterations */
    double cpu, wall; /* seconds of this rank in them */
    dist_request *request;
} perf_samples;

typedef struct perf_bench {
    dist_context *context;
    const perf_operation *operation;
    const perf_options *options;
    perf_sheet *sheet;
    perf_result *result;
    size_t count;
    int root;
    char *send, *receive;
    char *host[2]; /* what is in them, where the host cannot reach them; else NULL */
    perf_variant variant[PERF_VARIANTS];
    int variants;
    bool counts; /* bytes of this node's interfaces: MPI does not tell what it sends */
    perf_samples sample[PERF_VARIANTS][PERF_PLACES];
} perf_bench;

/* A sentence where it is no use to begin, with `most` bytes on the larger side; NULL otherwise. Collective. */
const char *perf_hindrance(const perf_bench *bench, size_t most, char text[160]);
bool perf_uses_mpi(const perf_bench *bench);

/* Buffers and room for samples. False on all ranks, and said, when one has none. Collective. */
bool perf_bench_allocate(perf_bench *bench, size_t bytes);
/* Requests too; and the bench. */
void perf_bench_free(perf_bench *bench);
void perf_bench_close_requests(perf_bench *bench);

#endif
