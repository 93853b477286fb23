/* Settings, faults and words. */
#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "fake_nccl_internal.h"

static struct {
    const char *name;
    long value; /* by relaxed atomic operations */
} settings[FAKE_NCCL_SETTINGS] = {
    [FAKE_NCCL_VERSION] = {"FAKE_NCCL_VERSION", 22809}, [FAKE_NCCL_RESIDENT] = {"FAKE_NCCL_RESIDENT", 1},
    [FAKE_NCCL_REFUSE] = {"FAKE_NCCL_REFUSE", -1},      [FAKE_NCCL_STICK] = {"FAKE_NCCL_STICK", -1},
    [FAKE_NCCL_LOSE] = {"FAKE_NCCL_LOSE", -1},          [FAKE_NCCL_BREAK] = {"FAKE_NCCL_BREAK", -1}};

static void read_environment(void)
{
    for (int s = 0; s < FAKE_NCCL_SETTINGS; s++) {
        const char *text = settings[s].name ? getenv(settings[s].name) : NULL;
        if (text && *text)
            settings[s].value = strtol(text, NULL, 10);
    }
}

static long *setting_at(fake_nccl_setting setting)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_environment);
    return &settings[setting].value;
}

long fake_nccl_value(fake_nccl_setting setting)
{
    return __atomic_load_n(setting_at(setting), __ATOMIC_RELAXED);
}

long fake_nccl_exchange(fake_nccl_setting setting, long value)
{
    return __atomic_exchange_n(setting_at(setting), value, __ATOMIC_RELAXED);
}

void fake_nccl_add(fake_nccl_setting setting, long more)
{
    __atomic_fetch_add(setting_at(setting), more, __ATOMIC_RELAXED);
}

/* The setting counts down to 0. */
void fake_nccl_count_operation(void)
{
    long *at = setting_at(FAKE_NCCL_BREAK), left = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (left > 0 &&
           !__atomic_compare_exchange_n(at, &left, left - 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

bool fake_nccl_broken(void)
{
    return fake_nccl_value(FAKE_NCCL_BREAK) == 0;
}

void fake_nccl_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "fake NCCL: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    abort();
}

void fake_nccl_pause(unsigned *turns)
{
    if (++*turns < 10)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

/* ---- words ---- */

static const char *last_sentence = "";

int fake_nccl_error(int result, const char *sentence)
{
    __atomic_store_n(&last_sentence, sentence, __ATOMIC_RELAXED);
    return result;
}

FAKE_NEWER_API const char *ncclGetLastError(void *comm);
const char *ncclGetLastError(void *comm)
{
    (void)comm; /* NCCL keeps one for the process, too */
    return __atomic_load_n(&last_sentence, __ATOMIC_RELAXED);
}

FAKE_NEWER_API const char *ncclGetErrorString(int result);
const char *ncclGetErrorString(int result)
{
    static const char *const words[] = {
        "no error",
        "unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
        "unhandled system error (run with NCCL_DEBUG=INFO for details)",
        "internal error - please report this issue to the NCCL developers",
        "invalid argument (run with NCCL_DEBUG=WARN for details)",
        "invalid usage (run with NCCL_DEBUG=WARN for details)",
        "remote process exited or there was a network error",
        "NCCL operation in progress",
    };
    return result >= 0 && result < (int)(sizeof words / sizeof *words) ? words[result]
                                                                       : "unknown result code";
}

FAKE_API int ncclGetVersion(int *version);
int ncclGetVersion(int *version)
{
    *version = (int)fake_nccl_value(FAKE_NCCL_VERSION);
    return DIST_NCCL_SUCCESS;
}
