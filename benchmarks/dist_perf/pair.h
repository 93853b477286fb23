/* Two ranks: how long a message takes, and how much goes through. */
#ifndef DIST_PERF_PAIR_H
#define DIST_PERF_PAIR_H

#include "perf.h"

typedef enum perf_via { PERF_VIA_LIBDIST, PERF_VIA_MPI, PERF_VIAS } perf_via;
const char *perf_via_name(perf_via via);

typedef struct perf_pair {
    int a, b;
} perf_pair;

/* Seconds one way: half a round trip each; of short ones, the mean of some 10 us of them is a sample. */
typedef struct perf_times {
    int count;
    double mean, least, p50, p95, p99;
} perf_times;

/* Which way bytes go: from a to b, from b to a, both at once. */
typedef enum perf_ways { PERF_FORTH, PERF_BACK, PERF_BOTH } perf_ways;

/* Messages are of whole words of four bytes. Both are collective: ranks that are not of the pair wait without spinning. They take about `seconds`. False when a call has failed, which
 * has been said. */
bool perf_pair_latency(dist_context *context, perf_via via, perf_pair pair, size_t bytes, double seconds,
                       perf_times *times);
/* *rate: bytes a second that arrive with messages of `bytes` under way, `window` of them (0: 64, but 16 MiB at most); of both ways the slower
 * one. Not `fixed`: fewer where the link takes long for so many. */
bool perf_pair_rate(dist_context *context, perf_via via, perf_pair pair, size_t bytes, int window, bool fixed,
                    double seconds, perf_ways ways, double *rate);

#endif
