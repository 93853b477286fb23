/* Plans with CALLs: the program's functions run in the thread that waits for the plan. */
#include "base/clock.h"
#include "plan/engine_internal.h"
#include "plan/trace.h"

#define POLLS 16 /* looks at the wire before the first look at the clock */

void dist_task_prolong(dist_task *task, int64_t now)
{
    if (task->moved || task->calling)
        task->deadline = now + (int64_t)(task->engine->options.timeout * 1e9);
    task->moved = false;
}

/* Queued work on the device comes first there, and ops of the device behind it. */
static dist_status around_call(dist_task *task, uint32_t number, bool before)
{
    const dist_gpu *gpu = task->engine->gpu;
    if (!task->on_device || !task->on_device->of[number])
        return DIST_OK;
    const int device = dist_gpu_enter(gpu);
    const dist_status status =
        before ? dist_queue_before_call(task, number) : dist_queue_after_call(task, number);
    dist_gpu_leave(gpu, device);
    return status;
}

/* Runs the next CALL that is ready, without the lock, so that messages move meanwhile. Holds drive before and after. */
static void call(dist_task *task, void *user)
{
    dist_engine *engine = task->engine;
    const uint32_t number = task->calls.op[task->calls.head++];
    const bool queued = task->on_device && task->on_device->of[number];
    if (around_call(task, number, true) < 0) {
        dist_engine_fail(engine, DIST_ERR_CUDA, dist_last_error());
        return;
    }
    task->phase[number] = DIST_PHASE_STARTED;
    dist_engine_begin(engine, task, number);
    task->calling = true;
    pthread_mutex_unlock(&engine->drive);
    const int64_t began = dist_now();
    const dist_status status = task->function(user, task, &task->plan->op[number]);
    const int64_t ended = dist_now();
    pthread_mutex_lock(&engine->drive);
    task->calling = false;
    if (atomic_load(&engine->failed))
        return;
    if (status < 0) {
        char text[200], sentence[DIST_ERROR_MAX];
        dist_op_format(task->plan, number, text, sizeof text);
        snprintf(sentence, sizeof sentence, "%s: op %u %s: %s", task->plan->label, number, text,
                 dist_last_error());
        dist_engine_fail(engine, status, sentence);
        return;
    }
    task->stats.calls += ended - began;
    if (!queued)
        dist_engine_complete(engine, task, number);
    else if (around_call(task, number, false) < 0)
        dist_engine_fail(engine, DIST_ERR_CUDA, dist_last_error());
}

static bool ready(const dist_task *task)
{
    return task->calls.head < task->calls.tail;
}

/* Drives the engine between CALLs, beside its thread. Holds drive. */
static void await_call(dist_task *task)
{
    dist_engine *engine = task->engine;
    int64_t idle_since = 0;
    for (unsigned idle = 0; !ready(task) && dist_task_outcome(task) == DIST_IN_PROGRESS;) {
        if (dist_engine_pass(engine)) {
            idle = 0;
            continue;
        }
        if (++idle < POLLS)
            continue;
        const int64_t now = dist_now();
        if (idle == POLLS)
            idle_since = now;
        dist_engine_check(engine, now);
        pthread_mutex_unlock(&engine->drive);
        dist_engine_rest(engine, now - idle_since, DIST_CALLER_SPIN);
        pthread_mutex_lock(&engine->drive);
    }
}

dist_status dist_task_serve_stream(dist_task *task, dist_task_function *function, void *user, void *stream)
{
    if (task->on_device) {
        task->on_device->stream = stream;
        DIST_TRY(dist_task_follow(task, stream)); /* or lanes would wait for calls that wait for lanes */
    }
    return dist_task_serve(task, function, user);
}

dist_status dist_task_serve(dist_task *task, dist_task_function *function, void *user)
{
    dist_engine *engine = task->engine;
    task->function = function;
    DIST_TRY(dist_task_submit(task, true));
    pthread_mutex_lock(&engine->drive);
    for (;;) {
        await_call(task);
        if (!ready(task) || dist_task_outcome(task) != DIST_IN_PROGRESS)
            break;
        call(task, user);
    }
    pthread_mutex_unlock(&engine->drive);
    return dist_task_outcome(task);
}
