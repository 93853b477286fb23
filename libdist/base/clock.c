#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "base/clock.h"

#include <time.h>

int64_t dist_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t dist_deadline(double seconds)
{
    const double longest = 1e9; /* thirty years: keeps the sum inside 64 bits */
    return dist_now() + (int64_t)((seconds < longest ? seconds : longest) * 1e9);
}
