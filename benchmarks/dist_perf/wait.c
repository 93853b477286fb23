#define _POSIX_C_SOURCE 200809L /* clock_nanosleep */

#include "wait.h"

#include <time.h>

int64_t perf_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t perf_wait(int64_t *debt, double seconds)
{
    const int64_t began = perf_now(), until = began + (int64_t)(seconds * 1e9) - *debt;
    if (seconds > 0 && until > began) {
        const struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    }
    const int64_t ended = perf_now();
    *debt = seconds > 0 ? ended - until : 0;
    return ended;
}
