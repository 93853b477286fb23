/* The program's streams: a run begins when they have come to where it was started, and they wait for its end. */
#include <stdio.h>

#include "base/error.h"
#include "plan/engine_internal.h"

/* The host looks, and lanes do not wait for them: what a program's stream waits for may still have to use the lanes. */
dist_status dist_gates_open(dist_task *task, bool *open)
{
    dist_device_task *t = task->on_device;
    const dist_gpu *gpu = task->engine->gpu;
    *open = false;
    for (; t->gates > 0; t->gates--) {
        const int error = gpu->cuda->event_query(t->gate[t->gates - 1].event);
        if (error == DIST_CUDA_NOT_READY)
            return DIST_OK;
        DIST_TRY(dist_gpu_check(gpu, error, "the program's stream"));
    }
    *open = true;
    return DIST_OK;
}

void dist_engine_settle(dist_engine *engine)
{
    for (dist_task *task = engine->live; task; task = task->next_live)
        if (task->on_device && task->on_device->led == task->runs)
            dist_task_wait(task, 0); /* its failure is the engine's */
}

/* The streams that wait look at the word themselves. */
void dist_device_task_announce(dist_task *task)
{
    dist_device_task *t = task->on_device;
    t->gates = 0;
    t->held = false;
    __atomic_store_n(t->word, task->runs, __ATOMIC_RELEASE);
}

bool dist_task_has_device(const dist_task *task)
{
    return task->on_device != NULL;
}

/* What the device says of earlier work ends the job, so all ranks are told; a stream that is none is the caller's mistake. */
static dist_status judge(dist_task *task, int error, const char *what)
{
    enum { INVALID_VALUE = 1, INVALID_HANDLE = 400 };
    dist_engine *engine = task->engine;
    char sentence[DIST_ERROR_MAX];
    const dist_status status = dist_gpu_check(engine->gpu, error, what);
    if (status >= 0 || error == INVALID_VALUE || error == INVALID_HANDLE)
        return status;
    snprintf(sentence, sizeof sentence, "%s: %s", task->plan->label, dist_last_error());
    pthread_mutex_lock(&engine->drive);
    dist_engine_fail(engine, status, sentence);
    pthread_mutex_unlock(&engine->drive);
    return dist_engine_status(engine);
}

static dist_status check_stream(dist_task *task, void *stream, const char *what)
{
    int capturing = 0;
    DIST_TRY(
        judge(task, task->engine->gpu->cuda->stream_capturing(stream, &capturing), "looking at the stream"));
    if (capturing)
        return dist_fail(DIST_ERR_STATE, "%s: the stream is being captured into a CUDA graph; %s",
                         task->plan->label, what);
    return DIST_OK;
}

/* cudaStreamPerThread is one handle for the streams of all threads. */
#define PER_THREAD ((void *)2)

static uint64_t thread_of(const void *stream)
{
    static _Atomic uint64_t threads;
    static _Thread_local uint64_t own; /* the system's numbers of threads are used again */
    if (stream != PER_THREAD)
        return 0;
    if (own == 0)
        own = 1 + atomic_fetch_add(&threads, 1);
    return own;
}

static dist_status follow(dist_task *task, void *stream)
{
    dist_device_task *t = task->on_device;
    const dist_gpu *gpu = task->engine->gpu;
    const uint64_t thread = thread_of(stream);
    int g = 0;
    DIST_TRY(check_stream(task, stream, "launch the graph first, then say on its stream what is ready"));
    while (g < t->gates && (t->gate[g].stream != stream || t->gate[g].thread != thread))
        g++;
    if (g == DIST_GATES_MOST)
        return dist_fail(DIST_ERR_UNSUPPORTED, "%s: it starts behind more than %d streams", task->plan->label,
                         DIST_GATES_MOST);
    DIST_TRY(judge(task, gpu->cuda->event_record(t->gate[g].event, stream), "recording an event"));
    t->gate[g].stream = stream;
    t->gate[g].thread = thread;
    t->gates = g == t->gates ? g + 1 : t->gates;
    return DIST_OK;
}

dist_status dist_task_follow(dist_task *task, void *stream)
{
    if (!task->on_device)
        return dist_fail(DIST_ERR_STATE, "%s: it has no device memory, so it follows no stream",
                         task->plan->label);
    if (atomic_load_explicit(&task->state, memory_order_acquire) == DIST_TASK_RUNNING)
        return dist_fail(DIST_ERR_STATE, "%s: it is running; wait for it first", task->plan->label);
    const int before = dist_gpu_enter(task->engine->gpu);
    const dist_status status = follow(task, stream);
    dist_gpu_leave(task->engine->gpu, before);
    return status;
}

/* By the program's stream; by the host where a stream cannot, which some drivers say only when it is tried. */
static dist_status await_word(dist_task *task, void *stream)
{
    enum { NOT_SUPPORTED = 801 };
    dist_device_task *t = task->on_device;
    t->led = task->runs;
    const int error = task->engine->gpu->cuda->stream_wait_value(stream, t->word, task->runs);
    return error == NOT_SUPPORTED ? dist_task_wait(task, 0) : judge(task, error, "making a stream wait");
}

static dist_status lead(dist_task *task, void *stream)
{
    const dist_gpu *gpu = task->engine->gpu;
    DIST_TRY(check_stream(task, stream, "wait before the capture begins or after it has ended"));
    if (dist_task_outcome(task) != DIST_IN_PROGRESS)
        return dist_task_outcome(task);
    if (!gpu->identity.stream_values || !task->engine->has_thread) /* nobody else would write the value */
        return dist_task_wait(task, 0);
    return await_word(task, stream);
}

dist_status dist_task_lead(dist_task *task, void *stream)
{
    if (!task->on_device)
        return dist_fail(DIST_ERR_STATE, "%s: it has no device memory, so no stream follows it",
                         task->plan->label);
    const int before = dist_gpu_enter(task->engine->gpu);
    const dist_status status = lead(task, stream);
    dist_gpu_leave(task->engine->gpu, before);
    return status;
}
