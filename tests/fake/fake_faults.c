#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_cuda_internal.h"

long fake_number(const char *variable, long otherwise)
{
    const char *text = getenv(variable);
    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

void fake_die(const char *sentence)
{
    fprintf(stderr, "fake CUDA: %s\n", sentence);
    abort();
}

static int broken; /* sticky */

void fake_cuda_break(int error)
{
    __atomic_store_n(&broken, error, __ATOMIC_RELAXED);
}

/* FAKE_CUDA_FAIL=CALL:N:ERROR */
static int planned_fault(const char *call)
{
    static long calls;
    const char *plan = getenv("FAKE_CUDA_FAIL");
    const size_t length = strlen(call);
    char *end;
    if (!plan || strncmp(plan, call, length) != 0 || plan[length] != ':')
        return 0;
    const long n = strtol(plan + length + 1, &end, 10);
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) != n || *end != ':')
        return 0;
    return (int)strtol(end + 1, NULL, 10);
}

static int freeing; /* how many threads */

void fake_freeing(void)
{
    if (!fake_number("FAKE_CUDA_FREE_WAITS", 0))
        return;
    __atomic_fetch_add(&freeing, 1, __ATOMIC_RELAXED);
    fake_synchronize_all();
    __atomic_fetch_sub(&freeing, 1, __ATOMIC_RELAXED);
}

int fake_fault(const char *call)
{
    while (__atomic_load_n(&freeing, __ATOMIC_RELAXED))
        sched_yield();
    const int error = planned_fault(call);
    if (error)
        fake_cuda_break(error);
    return __atomic_load_n(&broken, __ATOMIC_RELAXED);
}

bool fake_drops_wait(void)
{
    static long waits;
    const char *plan = getenv("FAKE_CUDA_DROP_WAIT");
    if (!plan || !*plan)
        return false;
    return strcmp(plan, "all") == 0 ||
           __atomic_add_fetch(&waits, 1, __ATOMIC_RELAXED) == strtol(plan, NULL, 10);
}
