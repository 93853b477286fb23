#define _POSIX_C_SOURCE 200809L /* clock_gettime, nanosleep */

#include "base/clock.h"

#include <sched.h>
#include <time.h>

#define LONGEST_REST 100000 /* ns */

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

void dist_rest(int64_t idle, int64_t spin)
{
    const int64_t pause = idle / 8 < LONGEST_REST ? idle / 8 : LONGEST_REST;
    if (idle < spin)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
}
