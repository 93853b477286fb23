/* Collectives by algorithm and codec, size by size. */
#ifndef DIST_PERF_COLLECTIVE_H
#define DIST_PERF_COLLECTIVE_H

#include "operation.h"

/* An algorithm with a codec: one line for each size. */
typedef struct perf_variant {
    const char *algo, *codec;
    bool mpi; /* MPI's own call */
} perf_variant;

/* Of one variant, in place or out of place. */
typedef struct perf_figures {
    bool measured;
    double mean, least, p50, p95, p99; /* seconds */
    long long wrong;                   /* elements outside what they must be, all ranks; < 0: not checked */
    int diverge;                       /* ranks whose bits differ from rank 0's; < 0: not checked */
    double cpu;                        /* processor time / time of the rank that uses most */
    double wan; /* bytes a direction on the busiest link between sites; < 0: not counted */
} perf_figures;

typedef struct perf_row {
    size_t bytes, count;
    int root; /* -1: the operation has none */
    perf_variant variant;
    perf_figures at[PERF_PLACES];
    double across; /* bytes that must cross the busiest link a direction, without a codec; 0: one site */
    double bound;  /* seconds; 0: none */
} perf_row;

/* The figures that the columns behind those of nccl-tests are of. */
static inline const perf_figures *perf_chosen(const perf_row *row)
{
    return &row->at[row->at[PERF_OUT_OF_PLACE].measured ? PERF_OUT_OF_PLACE : PERF_IN_PLACE];
}

typedef struct perf_result {
    perf_link link;
    perf_row *row; /* [rows] by size, root and variant; freed by the caller */
    size_t rows;
    int variants;
} perf_result;

/* Measures and prints; the sheet gets a row for each figure. Collective. PERF_FINE or PERF_WRONG with a result; else what went wrong
 * has been said, and the result has no rows. */
int perf_measure_collective(dist_context *context, const perf_operation *operation,
                            const perf_options *options, perf_sheet *sheet, perf_result *result);

/* Draws the picture that is asked for, and holds the mean bus bandwidth against --min-bw: the exit status, `status` where all is well. Rank 0. */
int perf_conclude(const dist_context *context, const perf_operation *operation, const perf_options *options,
                  const perf_result *result, int status);

/* ---- collective_report.c: rank 0 ---- */

void perf_print_header(const dist_context *context, const perf_operation *operation,
                       const perf_options *options, const perf_link *link);
void perf_print_row(const perf_operation *operation, const perf_options *options, const perf_row *row,
                    int ranks);
void perf_print_footer(const perf_result *result, double bus);
void perf_note_row(perf_sheet *sheet, const dist_context *context, const perf_operation *operation,
                   const perf_options *options, const perf_row *row);
/* GB/s, the mean of all figures. */
double perf_mean_bus(const perf_operation *operation, const perf_result *result, int ranks);
/* The curves of all variants: 0, or -1 with errno. */
int perf_draw_curves(const char *path, const dist_context *context, const perf_operation *operation,
                     const perf_options *options, const perf_result *result);

#endif
