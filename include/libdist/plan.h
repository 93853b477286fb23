/* Plans: what a collective or a pipeline does, op by op, on every rank, as data; proven, predicted and printed
 * before anything runs. For those who want to see, check or compare; a training program does not need this
 * header. Nothing here needs MPI: the cluster is described. Calls are local and block until they are done; a set
 * may be read by several threads at once, but not while dist_plan_set_predict or dist_plan_set_destroy has it.
 *
 *     dist_plan_request request = DIST_PLAN_REQUEST_INIT;
 *     request.cluster = "4x8";         // 4 sites of 8 ranks; "3,1" is a site of 3 and a site of 1
 *     request.codec = "int8";
 *     request.count = 1 << 20;
 *     dist_plan_set *set;
 *     if (dist_plan_set_create(&set, &request) < 0 || dist_plan_set_verify(set) < 0)
 *         puts(dist_last_error());
 *     dist_plan_set_print(set, 0, stdout);
 *
 *     dist_plan_pipeline_request pipeline = DIST_PLAN_PIPELINE_REQUEST_INIT;
 *     pipeline.schedule = "wan-1f1b";
 *     pipeline.ranks = 8;
 *     pipeline.microbatches = 128;
 *     dist_plan_prediction predicted;
 *     if (dist_plan_set_create_pipeline(&set, &pipeline) < 0 || dist_plan_set_predict(set, &predicted) < 0)
 *         puts(dist_last_error());
 *     printf("%g, bound %g", predicted.makespan, predicted.bound);
 */
#ifndef LIBDIST_PLAN_H
#define LIBDIST_PLAN_H

#include <libdist/collective.h>
#include <libdist/memory.h>
#include <libdist/pipeline.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dist_plan_set dist_plan_set;

/* ---- Sets of plans ---- */

typedef struct dist_plan_request {
    size_t size;            /* set by the initializer */
    int version;            /* set by the initializer */
    const char *cluster;    /* "SxR" or "R1,R2,...": ranks of each site */
    const char *collective; /* all-reduce, reduce-scatter, all-gather, broadcast, all-to-all, barrier; send-recv is a shift: each rank
                               sends to the next and receives from the one before */
    const char *algo;       /* as in collective.h; NULL: auto */
    const char *codec;      /* NULL: none */
    uint64_t count;         /* as the collective's call takes it */
    dist_type type;
    dist_reduction reduction;
    int root;
    uint64_t chunk_bytes;  /* 0: the default */
    uint64_t window_bytes; /* 0: the default */
    /* What auto and predictions go by, in seconds and bytes a second (or any other unit of time throughout).
     * Of a rank's messages to its own site, and of each site's to each other site; a bandwidth of 0 is
     * infinite. */
    dist_link inside, across;
    /* Bytes a second of copies, of reductions, and of the values that codecs read or write; 0: they take no
     * time. */
    double copy_rate, reduce_rate, codec_rate;
    dist_memory memory; /* where all ranks' buffers are; AUTO is host memory */
    bool nccl;          /* device memory: inside each site NCCL connects the ranks */
} dist_plan_request;

#define DIST_PLAN_REQUEST_VERSION 1
#define DIST_PLAN_REQUEST_INIT                                                                               \
    {                                                                                                        \
        .size = sizeof(dist_plan_request), .version = DIST_PLAN_REQUEST_VERSION, .collective = "all-reduce", \
        .type = DIST_FLOAT32, .reduction = DIST_SUM, .inside = {.latency = 1e-6, .bandwidth = 5e9},          \
        .across = {                                                                                          \
            .latency = 50e-6,                                                                                \
            .bandwidth = 125e6                                                                               \
        }                                                                                                    \
    }

/* Makes the plans of all ranks. End with dist_plan_set_destroy. Errors: DIST_ERR_ARGUMENT,
 * DIST_ERR_UNSUPPORTED (algorithm, codec and type do not go together), DIST_ERR_MEMORY; *set is NULL then. */
DIST_API dist_status dist_plan_set_create(dist_plan_set **set, const dist_plan_request *request);

/* One pipeline of `ranks` ranks in a line. Times are in any one unit, that of the latencies and of all
 * predictions. */
typedef struct dist_plan_pipeline_request {
    size_t size; /* set by the initializer */
    int version; /* set by the initializer */
    /* As in dist_pipeline_options, file:PATH included; NULL: auto. */
    const char *schedule;
    int ranks, microbatches; /* 0 with file:PATH: as it says */
    /* Of one microbatch on each rank, all its chunks together: time_count is the number of ranks, 1 (all
     * alike), or 0 (1, 1, 1). */
    const dist_stage_times *times;
    int time_count;
    /* One way from each rank to the next: latency_count is one less than the ranks, 1 (all alike), or 0
     * (none). */
    const double *latency;
    int latency_count;
    double bandwidth;        /* bytes a unit of time, of each directed edge; 0: infinite */
    uint64_t boundary_bytes; /* that a stage hands to the next for one microbatch; a message has 64 more */
    uint64_t stash_bytes;    /* that the program keeps for one microbatch on a rank, all its chunks */
    /* Most that a rank may hold, in microbatches of the whole rank: a schedule that needs more is refused,
     * auto takes another, and wan schedules run less far ahead. 0: no limit. */
    double memory;
    /* Most bytes of stashes and boundary buffers on a rank, for dist_plan_set_verify; 0: no limit. */
    uint64_t memory_bytes;
} dist_plan_pipeline_request;

#define DIST_PLAN_PIPELINE_REQUEST_VERSION 1
#define DIST_PLAN_PIPELINE_REQUEST_INIT                                                                      \
    {                                                                                                        \
        .size = sizeof(dist_plan_pipeline_request), .version = DIST_PLAN_PIPELINE_REQUEST_VERSION            \
    }

/* Makes the schedule and the plans of all ranks, with the boundary buffers that a pipeline on one site has,
 * which are enough for no message to wait for one. What the request points to is copied. Errors:
 * DIST_ERR_ARGUMENT (a name, shape, count, time or memory that cannot be), DIST_ERR_UNSUPPORTED (a schedule
 * whose neighbours take microbatches in different orders), DIST_ERR_IO (the file cannot be read),
 * DIST_ERR_MEMORY; *set is NULL then. */
DIST_API dist_status dist_plan_set_create_pipeline(dist_plan_set **set,
                                                   const dist_plan_pipeline_request *request);

/* NULL is legal. */
DIST_API void dist_plan_set_destroy(dist_plan_set *set);

/* ---- What is in a set ---- */

DIST_API int dist_plan_set_ranks(const dist_plan_set *set);

/* Ops of one rank's plan, the scratch memory it needs in bytes, and its hash (the same plan gives the same
 * hash on any machine). 0 for a rank that is not there. */
DIST_API size_t dist_plan_set_ops(const dist_plan_set *set, int rank);
DIST_API uint64_t dist_plan_set_scratch(const dist_plan_set *set, int rank);
DIST_API uint64_t dist_plan_set_hash(const dist_plan_set *set, int rank);

/* Bytes that ranks of site `from` send to ranks of site `to`; of a pipeline, that rank `from` sends to rank
 * `to`. */
DIST_API uint64_t dist_plan_set_bytes(const dist_plan_set *set, int from, int to);

/* The schedule of a pipeline's set. Pointers are into the set. */
typedef struct dist_plan_pipeline {
    const char *schedule; /* its name; what auto has taken */
    int ranks, chunks, stages, microbatches;
    bool split;                    /* gradients of weights have slots of their own */
    const int *rank_of;            /* [stages] */
    const dist_stage_times *times; /* [ranks] */
    const double *latency;         /* [ranks - 1] */
} dist_plan_pipeline;

/* DIST_ERR_STATE when the set is of a collective. */
DIST_API dist_status dist_plan_set_pipeline(const dist_plan_set *set, dist_plan_pipeline *pipeline);

/* The schedule as text, which file:PATH reads; one line a rank. DIST_ERR_STATE as above, DIST_ERR_IO. */
DIST_API dist_status dist_plan_set_write_schedule(const dist_plan_set *set, FILE *file);

/* One line an op: number, kind, slices, peer, what it waits for. */
DIST_API dist_status dist_plan_set_print(const dist_plan_set *set, int rank, FILE *file);

/* Proves on all ranks' plans together: every SEND meets its RECV with the same size; no deadlock even when no
 * send is buffered; no two unordered ops touch the same bytes. Of a collective: every output element holds
 * each contribution exactly once. Of a pipeline: every call finds the microbatch that it needs in its
 * buffers, every stage is called for every microbatch as the schedule says, each stash is given back exactly
 * once, and no rank holds more than memory_bytes. DIST_ERR_PLAN with the rank and op otherwise;
 * DIST_ERR_MEMORY. */
DIST_API dist_status dist_plan_set_verify(const dist_plan_set *set);

/* ---- What a set costs ---- */

/* One rank. In a pipeline only the program's calls count as work; in a collective, the local ops. */
typedef struct dist_plan_rank_figures {
    double begin, end;   /* of its first and last call; in a collective, of its first and last op */
    double busy;         /* at work */
    double bubble;       /* makespan - busy */
    double peak;         /* most microbatches of the whole rank held at once; 0 in a collective */
    uint64_t peak_bytes; /* most bytes: of boundary buffers and stashes, or of the plan's own buffers */
} dist_plan_rank_figures;

/* One directed link that carried messages. */
typedef struct dist_plan_link_figures {
    char from[24], to[24]; /* "rank 3", "site0" */
    uint64_t bytes, messages;
    double busy;
} dist_plan_link_figures;

typedef struct dist_plan_prediction {
    double makespan; /* from the first call (in a collective, op) to the last over all ranks */
    double span;     /* longest first to last of one rank */
    /* No order of the ops is faster; 0 when no bound is known. Of a pipeline: what the first microbatch takes
     * on its way to a rank, what the rank has to do, and what the last takes on its way back, for the worst
     * rank. Of an all-reduce on k sites: 2 / k of the (encoded) vector over a link between sites; on one site
     * of n ranks: 2 (n - 1) / n of it over a rank's link. Of an all-to-all and a shift: what the busiest link has to carry. */
    double bound;
    double ratio; /* makespan / bound; 0 without a bound */
    int ranks, links;
    const dist_plan_rank_figures *rank; /* [ranks] */
    const dist_plan_link_figures *link; /* [links] */
} dist_plan_prediction;

/* Runs the plans in a discrete-event simulation. A rank runs its calls one at a time, and its other local ops
 * one at a time beside them. A message starts when both sides are ready for it and its link is free; it
 * occupies the link for bytes / bandwidth and arrives one latency after that. Messages between ranks of a
 * pipeline that are no neighbours occupy the first edge of their way. The arrays belong to the set and are
 * valid until it is destroyed or predicted again. Errors: DIST_ERR_ARGUMENT, DIST_ERR_PLAN (the plans deadlock),
 * DIST_ERR_MEMORY. */
DIST_API dist_status dist_plan_set_predict(dist_plan_set *set, dist_plan_prediction *prediction);

typedef enum dist_plan_op_kind {
    DIST_PLAN_SEND,
    DIST_PLAN_RECV,
    DIST_PLAN_REDUCE,
    DIST_PLAN_COPY,
    DIST_PLAN_DIVIDE,
    DIST_PLAN_ENCODE,
    DIST_PLAN_DECODE,
    DIST_PLAN_PROJECT,
    DIST_PLAN_EXPAND,
    DIST_PLAN_NATIVE,   /* a whole collective of the wire */
    DIST_PLAN_FORWARD,  /* calls of the program */
    DIST_PLAN_BACKWARD, /* of the input; of the weights too in a schedule that is not split */
    DIST_PLAN_WEIGHT,
    DIST_PLAN_FULL, /* BACKWARD and WEIGHT at once, in a split schedule */
    DIST_PLAN_OP_KINDS
} dist_plan_op_kind;

typedef struct dist_plan_op {
    dist_plan_op_kind kind;
    /* Of calls, and of a pipeline's messages those of the call that they belong to; else -1. */
    int stage, microbatch;
    int peer;       /* of messages; else -1 */
    uint64_t bytes; /* sent, received or written; 0 for calls */
    /* As predicted; 0 before. A message starts on the link; its SEND ends when the link is free. */
    double start, end;
} dist_plan_op;

/* One op of a rank, in the order of the plan. DIST_ERR_ARGUMENT when it is not there. */
DIST_API dist_status dist_plan_set_op(const dist_plan_set *set, int rank, size_t i, dist_plan_op *op);

/* "SEND", "F", "W", ...; "unknown" otherwise. */
DIST_API const char *dist_plan_op_name(dist_plan_op_kind kind);

#ifdef __cplusplus
}
#endif
#endif
