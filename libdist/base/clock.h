/* Time. */
#ifndef DIST_BASE_CLOCK_H
#define DIST_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of a clock that never jumps. */
int64_t dist_now(void);

/* A time that `seconds` from now on is in the past. */
int64_t dist_deadline(double seconds);

static inline double dist_seconds(int64_t nanoseconds)
{
    return (double)nanoseconds * 1e-9;
}

#endif
