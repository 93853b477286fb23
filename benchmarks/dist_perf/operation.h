/* What is measured: each collective as libdist and as MPI call it, and what it must bring. */
#ifndef DIST_PERF_OPERATION_H
#define DIST_PERF_OPERATION_H

#include "perf.h"

enum { PERF_OUT_OF_PLACE, PERF_IN_PLACE, PERF_PLACES };

/* One call. Buffers are those of the larger side; in place `send` is not used. */
typedef struct perf_call {
    dist_context *context;
    char *send, *receive;
    size_t count; /* as the collective's call takes it */
    dist_type type;
    dist_reduction op;
    int root, place;
    bool by_mpi;
    dist_collective_options options;
} perf_call;

typedef struct perf_operation {
    const char *name;
    bool wide_input, wide_output; /* has a part for each rank */
    bool reduces, rooted;
    bool replicates;          /* all ranks get the same */
    bool places[PERF_PLACES]; /* which of them there are */
    dist_status (*call)(const perf_call *call);
    dist_status (*init)(const perf_call *call, dist_request **request);
    int (*mpi)(const perf_call *call, MPI_Datatype type, MPI_Op op); /* MPI_SUCCESS */
    double (*bus)(double ranks);                                     /* busbw / algbw */
} perf_operation;

/* NULL: there is none of this name. */
const perf_operation *perf_operation_find(const char *name);

/* The count for about `bytes` on the larger side, at least 1; and the bytes that it makes. */
size_t perf_operation_count(const perf_operation *operation, size_t bytes, dist_type type, int ranks);
size_t perf_operation_bytes(const perf_operation *operation, size_t count, dist_type type, int ranks);

/* Bytes a direction that must cross the busiest link of a site, uncompressed, when a rank's larger side has `bytes`. */
double perf_operation_across(const perf_operation *operation, const dist_context *context, double bytes);
/* Bytes that a rank must read and write inside a node, in copies: half of their sum. */
double perf_operation_copied(const perf_operation *operation, double bytes, int ranks);

/* MPI_DATATYPE_NULL: MPI has none. MPI_OP_NULL: the same. */
MPI_Datatype perf_mpi_type(dist_type type);
MPI_Op perf_mpi_op(dist_reduction op);

/* ---- check.c ---- */

/* Fills the input of this rank, in memory that the host can write. */
void perf_fill_input(const perf_operation *operation, const perf_call *call);

typedef struct perf_expectation {
    int sites;
    const char *codec; /* "none" */
} perf_expectation;
/* How many elements of this rank's output are not what they must be. */
long long perf_count_wrong(const perf_operation *operation, const perf_call *call,
                           const perf_expectation *expectation);

#endif
