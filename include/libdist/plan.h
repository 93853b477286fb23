/* Plans: what a collective does, op by op, on every rank, as data. For those who want to see, check or
 * compare an algorithm; a training program does not need this header. Nothing here needs MPI: the cluster is
 * described.
 *
 *     dist_plan_request request = DIST_PLAN_REQUEST_INIT;
 *     request.cluster = "4x8";                     // 4 sites of 8 ranks; "3,1" is a site of 3 and a site of
 * 1 request.collective = "all-reduce"; request.algo = "hier"; request.codec = "int8"; request.count = 1 <<
 * 20; dist_plan_set *set; if (dist_plan_set_create(&set, &request) < 0 || dist_plan_set_verify(set) < 0)
 *         puts(dist_last_error());
 *     dist_plan_set_print(set, 0, stdout);
 */
#ifndef LIBDIST_PLAN_H
#define LIBDIST_PLAN_H

#include <libdist/collective.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dist_plan_set dist_plan_set;

typedef struct dist_plan_request {
    size_t size;            /* set by the initializer */
    int version;            /* set by the initializer */
    const char *cluster;    /* "SxR" or "R1,R2,...": ranks of each site */
    const char *collective; /* all-reduce, reduce-scatter, all-gather, broadcast, barrier */
    const char *algo;       /* as in collective.h; NULL: auto */
    const char *codec;      /* NULL: none */
    uint64_t count;         /* as the collective's call takes it */
    dist_type type;
    dist_reduction reduction;
    int root;
    uint64_t chunk_bytes;  /* 0: the default */
    uint64_t window_bytes; /* 0: the default */
} dist_plan_request;

#define DIST_PLAN_REQUEST_VERSION 1
#define DIST_PLAN_REQUEST_INIT                                                                               \
    {                                                                                                        \
        .size = sizeof(dist_plan_request), .version = DIST_PLAN_REQUEST_VERSION, .collective = "all-reduce", \
        .type = DIST_FLOAT32, .reduction = DIST_SUM                                                          \
    }

/* Makes the plans of all ranks. Errors: DIST_ERR_ARGUMENT, DIST_ERR_MEMORY. */
DIST_API dist_status dist_plan_set_create(dist_plan_set **set, const dist_plan_request *request);
DIST_API void dist_plan_set_destroy(dist_plan_set *set);

DIST_API int dist_plan_set_ranks(const dist_plan_set *set);

/* Ops of one rank's plan, the scratch memory it needs in bytes, and its hash (the same plan gives the same
 * hash on any machine). */
DIST_API size_t dist_plan_set_ops(const dist_plan_set *set, int rank);
DIST_API uint64_t dist_plan_set_scratch(const dist_plan_set *set, int rank);
DIST_API uint64_t dist_plan_set_hash(const dist_plan_set *set, int rank);

/* Bytes that ranks of site `from` send to ranks of site `to`. */
DIST_API uint64_t dist_plan_set_bytes(const dist_plan_set *set, int from, int to);

/* One line an op: number, kind, slices, peer, what it waits for. */
DIST_API dist_status dist_plan_set_print(const dist_plan_set *set, int rank, FILE *file);

/* Proves on all ranks' plans together: every SEND meets its RECV with the same size; no deadlock even when no
 * send is buffered; no two unordered ops touch the same bytes; every output element holds each contribution
 * exactly once. DIST_ERR_PLAN with the rank and op otherwise. */
DIST_API dist_status dist_plan_set_verify(const dist_plan_set *set);

#ifdef __cplusplus
}
#endif
#endif
