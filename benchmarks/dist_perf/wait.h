/* Waits that stand for compute. */
#ifndef DIST_PERF_WAIT_H
#define DIST_PERF_WAIT_H

#include <stdint.h>

/* Nanoseconds by CLOCK_MONOTONIC. */
int64_t perf_now(void);

/* Sleeps, and returns the time at its end. What it takes too long is kept in *debt and taken off the next one. */
int64_t perf_wait(int64_t *debt, double seconds);

#endif
