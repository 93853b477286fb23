/* Time. */
#ifndef DIST_BASE_CLOCK_H
#define DIST_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of a clock that never jumps. */
int64_t dist_now(void);

/* A time that `seconds` from now on is in the past. */
int64_t dist_deadline(double seconds);

/* For who found nothing to do for `idle` nanoseconds: gives the processor away during the first `spin` of them, afterwards sleeps an
 * eighth of the time, at most 0.1 ms. With more processes than cores who only yields still takes turns from those with work. */
void dist_rest(int64_t idle, int64_t spin);

static inline double dist_seconds(int64_t nanoseconds)
{
    return (double)nanoseconds * 1e-9;
}

#endif
