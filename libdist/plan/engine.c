/* The engine's life, its thread, and waiting. */
#define _POSIX_C_SOURCE 200809L

#include "plan/engine_internal.h"

#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"

#define CALLER_POLLS  16     /* looks at the wire before the first look at the clock, which costs as much */
#define LONGEST_SLEEP 300000 /* ns, where the wire ends it */
#define LEAST_SPIN    5000   /* ns */

void dist_engine_rest(dist_engine *engine, int64_t idle, int64_t spin)
{
    dist_wire *wire = engine->options.wire;
    const int64_t learned = atomic_load_explicit(&engine->spin, memory_order_relaxed);
    spin = spin < learned ? spin : learned;
    const int64_t asleep = idle / 4 < LONGEST_SLEEP ? idle / 4 : LONGEST_SLEEP;
    if (idle >= spin && wire->ops->rest && wire->ops->rest(wire, asleep))
        atomic_store_explicit(&engine->woken, true, memory_order_relaxed);
    else
        dist_rest(idle, spin);
}

/* Where the wire wakes whoever sleeps, to look again at once is worth while only as long as what comes comes that soon: over a slow
 * link it does not, and the program may have better use for the processor. */
static void learn(dist_engine *engine, int64_t waited)
{
    int64_t spin = atomic_load_explicit(&engine->spin, memory_order_relaxed);
    const bool woken = atomic_exchange_explicit(&engine->woken, false, memory_order_relaxed);
    if (waited < spin)
        spin = 2 * spin < DIST_CALLER_SPIN ? 2 * spin : DIST_CALLER_SPIN;
    else if (woken)
        spin = spin / 2 > LEAST_SPIN ? spin / 2 : LEAST_SPIN;
    atomic_store_explicit(&engine->spin, spin, memory_order_relaxed);
}

static bool has_work(dist_engine *engine)
{
    return atomic_load(&engine->in_flight) > 0 && atomic_load(&engine->waiters) == 0 &&
           !atomic_load(&engine->failed);
}

/* Sleeps until there is work for the thread; false when it is to end. */
static bool await_work(dist_engine *engine)
{
    pthread_mutex_lock(&engine->gate);
    while (!engine->stop && !has_work(engine))
        pthread_cond_wait(&engine->work, &engine->gate);
    bool stop = engine->stop;
    pthread_mutex_unlock(&engine->gate);
    return !stop;
}

static void *progress(void *argument)
{
    dist_engine *engine = argument;
    int64_t moved_at = dist_now();
    while (await_work(engine)) {
        pthread_mutex_lock(&engine->drive);
        if (engine->gpu) /* for good: to go back to the first device would make a context there */
            dist_gpu_enter(engine->gpu);
        bool moved = dist_engine_pass(engine);
        int64_t now = dist_now();
        if (!moved)
            dist_engine_check(engine, now);
        pthread_mutex_unlock(&engine->drive);
        if (moved)
            moved_at = now;
        else
            dist_engine_rest(engine, now - moved_at, DIST_THREAD_SPIN);
    }
    return NULL;
}

/* The program's signals are for the program's threads. */
static int start_thread(dist_engine *engine)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&engine->thread, NULL, progress, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

dist_status dist_engine_create(dist_engine **out, const dist_engine_options *options)
{
    dist_engine *engine = calloc(1, sizeof *engine);
    *out = NULL;
    if (!engine)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the engine");
    engine->options = *options;
    engine->spin = DIST_CALLER_SPIN;
    pthread_mutex_init(&engine->drive, NULL);
    pthread_mutex_init(&engine->gate, NULL);
    pthread_cond_init(&engine->work, NULL);
    if (options->threaded && options->wire->threaded) {
        int code = start_thread(engine);
        engine->has_thread = code == 0;
        if (code != 0)
            dist_log_write(options->log, DIST_LOG_WARN,
                           "no progress thread (error %d): progress inside calls only", code);
    }
    *out = engine;
    return DIST_OK;
}

static void end_thread(dist_engine *engine)
{
    if (!engine->has_thread)
        return;
    pthread_mutex_lock(&engine->gate);
    engine->stop = true;
    pthread_cond_signal(&engine->work);
    pthread_mutex_unlock(&engine->gate);
    pthread_join(engine->thread, NULL);
}

dist_status dist_engine_destroy(dist_engine *engine)
{
    dist_status status = DIST_OK;
    if (!engine)
        return DIST_OK;
    for (dist_task *task = engine->live; task; task = task->next_live) {
        dist_status ended = dist_task_wait(task, 0);
        status = status < 0 ? status : ended;
    }
    end_thread(engine);
    pthread_cond_destroy(&engine->work);
    pthread_mutex_destroy(&engine->gate);
    pthread_mutex_destroy(&engine->drive);
    free(engine);
    return status;
}

dist_status dist_engine_status(dist_engine *engine)
{
    if (!atomic_load_explicit(&engine->failed, memory_order_acquire))
        return DIST_OK;
    return dist_fail(engine->failure, "%s", engine->sentence);
}

dist_status dist_engine_locate(dist_engine *engine, const dist_topology *topology)
{
    if (engine->live)
        return dist_fail(DIST_ERR_STATE, "the topology changed while plans exist");
    engine->options.topology = topology;
    return DIST_OK;
}

dist_status dist_engine_use_device(dist_engine *engine, const dist_gpu *gpu, dist_wire *device_wire)
{
    dist_status status = DIST_OK;
    pthread_mutex_lock(&engine->drive);
    if (engine->gpu && gpu && engine->gpu != gpu)
        status = dist_fail(DIST_ERR_STATE, "device %d is in use already; a rank has one device",
                           engine->gpu->device);
    else
        engine->gpu = gpu;
    if (status >= 0)
        engine->device_wire = device_wire;
    pthread_mutex_unlock(&engine->drive);
    return status;
}

void dist_engine_use_team_wire(dist_engine *engine, dist_wire *team_wire)
{
    pthread_mutex_lock(&engine->drive);
    engine->team_wire = team_wire;
    pthread_mutex_unlock(&engine->drive);
}

double dist_engine_timeout(const dist_engine *engine)
{
    return engine->options.timeout;
}

void dist_engine_counters(dist_engine *engine, dist_counters *counters)
{
    pthread_mutex_lock(&engine->drive);
    *counters = engine->counters;
    pthread_mutex_unlock(&engine->drive);
}

/* Hands a task to the drivers, or fails it: under the gate, so that a failure of the engine finds it or stops it
 * here. */
dist_status dist_task_submit(dist_task *task, bool wake)
{
    dist_engine *engine = task->engine;
    if (atomic_load_explicit(&task->state, memory_order_acquire) == DIST_TASK_RUNNING)
        return dist_fail(DIST_ERR_STATE, "%s: started while it is running; wait for it first",
                         task->plan->label);
    pthread_mutex_lock(&engine->gate);
    if (atomic_load(&engine->failed)) {
        atomic_store_explicit(&task->state, DIST_TASK_FAILED, memory_order_release);
        pthread_mutex_unlock(&engine->gate);
        return dist_engine_status(engine);
    }
    dist_task_reset(task);
    atomic_store_explicit(&task->state, DIST_TASK_RUNNING, memory_order_relaxed);
    if (atomic_fetch_add(&engine->in_flight, 1) == 0)
        engine->busy_since = task->stats.started;
    task->next = atomic_load_explicit(&engine->submitted, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&engine->submitted, &task->next, task, memory_order_release,
                                                  memory_order_relaxed))
        continue;
    if (wake && engine->has_thread)
        pthread_cond_signal(&engine->work);
    pthread_mutex_unlock(&engine->gate);
    return DIST_OK;
}

/* One pass by the caller where no thread makes progress. */
static void help(dist_engine *engine)
{
    if (engine->has_thread)
        return;
    pthread_mutex_lock(&engine->drive);
    if (!dist_engine_pass(engine))
        dist_engine_check(engine, dist_now());
    pthread_mutex_unlock(&engine->drive);
}

dist_status dist_task_start(dist_task *task)
{
    DIST_TRY(dist_task_submit(task, true));
    help(task->engine);
    return DIST_OK;
}

dist_status dist_task_outcome(dist_task *task)
{
    switch (atomic_load_explicit(&task->state, memory_order_acquire)) {
    case DIST_TASK_RUNNING:
        return DIST_IN_PROGRESS;
    case DIST_TASK_FAILED:
        return dist_engine_status(task->engine);
    default:
        return DIST_OK;
    }
}

dist_status dist_task_test(dist_task *task)
{
    if (atomic_load_explicit(&task->state, memory_order_acquire) == DIST_TASK_RUNNING)
        help(task->engine);
    return dist_task_outcome(task);
}

/* Drives the engine until the task is done or the time is over. Keeps the lock while it is busy: nobody else
 * drives now. */
static void drive_until(dist_task *task, int64_t until)
{
    dist_engine *engine = task->engine;
    int64_t idle_since = 0;
    unsigned idle = 0;
    pthread_mutex_lock(&engine->drive);
    while (dist_task_outcome(task) == DIST_IN_PROGRESS) {
        if (dist_engine_pass(engine)) {
            if (idle >= CALLER_POLLS)
                learn(engine, dist_now() - idle_since);
            idle = 0;
            continue;
        }
        if (++idle < CALLER_POLLS)
            continue;
        int64_t now = dist_now();
        if (now > until)
            break;
        if (idle == CALLER_POLLS)
            idle_since = now;
        dist_engine_check(engine, now);
        pthread_mutex_unlock(&engine->drive);
        dist_engine_rest(engine, now - idle_since, DIST_CALLER_SPIN);
        pthread_mutex_lock(&engine->drive);
    }
    pthread_mutex_unlock(&engine->drive);
}

/* A caller stops driving: what is still in flight is the thread's again. */
static void leave(dist_engine *engine)
{
    if (atomic_fetch_sub(&engine->waiters, 1) > 1 || !engine->has_thread ||
        atomic_load(&engine->in_flight) == 0)
        return;
    pthread_mutex_lock(&engine->gate);
    pthread_cond_signal(&engine->work);
    pthread_mutex_unlock(&engine->gate);
}

dist_status dist_task_wait(dist_task *task, double timeout)
{
    dist_engine *engine = task->engine;
    dist_status status = dist_task_outcome(task);
    if (status != DIST_IN_PROGRESS)
        return status;
    atomic_fetch_add(&engine->waiters, 1);
    drive_until(task, timeout > 0 ? dist_deadline(timeout) : INT64_MAX);
    leave(engine);
    status = dist_task_outcome(task);
    if (status == DIST_IN_PROGRESS) {
        char where[256];
        pthread_mutex_lock(&engine->drive);
        dist_task_describe(task, where, sizeof where);
        pthread_mutex_unlock(&engine->drive);
        return dist_fail(DIST_ERR_TIMEOUT, "not done after %g s (it goes on): %s", timeout, where);
    }
    return status;
}

dist_status dist_task_run(dist_task *task)
{
    if (task->express && atomic_load(&task->engine->in_flight) == 0)
        return dist_task_express(task);
    /* counted as a waiter first, so that the thread leaves the task to this call */
    atomic_fetch_add(&task->engine->waiters, 1);
    dist_status status = dist_task_submit(task, false);
    if (status >= 0)
        status = dist_task_wait(task, 0);
    leave(task->engine);
    return status;
}
