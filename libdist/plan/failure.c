/* When a run stops moving: who waits where, and what the other ranks say about it. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "plan/engine_internal.h"

#define CHECK_INTERVAL 1000000 /* ns */
#define LISTEN_SECONDS 1.0     /* how long the others get to say where they are */

/* A message that has started and not ended says most; else the first op that has not started. */
static uint32_t blamed_op(const dist_task *task)
{
    for (uint32_t op = 0; op < task->plan->ops; op++)
        if (task->phase[op] == DIST_PHASE_STARTED && task->plan->op[op].kind != DIST_OP_SEND)
            return op;
    for (uint32_t op = 0; op < task->plan->ops; op++)
        if (task->phase[op] != DIST_PHASE_DONE)
            return op;
    return 0;
}

void dist_task_describe(const dist_task *task, char *text, size_t size)
{
    char op[160] = "its end";
    uint32_t number = 0;
    if (task->on_device && task->on_device->held) {
        snprintf(text, size, "%s waits for the program's streams to come to where it starts",
                 task->plan->label);
        return;
    }
    if (task->plan->ops > 0) {
        number = blamed_op(task);
        dist_op_format(task->plan, number, op, sizeof op);
    }
    snprintf(text, size, "%s waits at op %" PRIu32 " %s", task->plan->label, number, op);
}

/* Adds what other ranks have told to `sentence`; the same words from several ranks once. */
static void listen(dist_engine *engine, char *sentence, size_t size, int heard)
{
    char note[DIST_NOTE_MAX];
    int from;
    int64_t until = dist_deadline(LISTEN_SECONDS);
    dist_wire *wire = engine->options.wire;
    while (heard < wire->ranks - 1 && dist_now() < until) {
        if (!wire->ops->hear(wire, note, &from)) {
            dist_rest(DIST_CALLER_SPIN, 0);
            continue;
        }
        heard++;
        size_t used = strlen(sentence);
        if (!strstr(sentence, note))
            snprintf(sentence + used, size - used, "; rank %d says: %s", from, note);
    }
    size_t used = strlen(sentence);
    if (heard == 0 && wire->ranks > 1)
        snprintf(sentence + used, size - used, "; no other rank says that it waits");
}

static void end_task(dist_task *task)
{
    task->stats.finished = dist_now();
    if (task->on_device)
        dist_device_task_announce(task);
    atomic_store_explicit(&task->state, DIST_TASK_FAILED, memory_order_release);
}

/* Under the gate: whatever is submitted is either here or refused, because the engine has failed already. */
static void end_all(dist_engine *engine)
{
    pthread_mutex_lock(&engine->gate);
    for (dist_task *task = engine->active; task; task = task->next)
        end_task(task);
    for (dist_task *task = atomic_exchange(&engine->submitted, NULL); task; task = task->next)
        end_task(task);
    engine->active = NULL;
    atomic_store(&engine->in_flight, 0);
    pthread_mutex_unlock(&engine->gate);
}

/* Kernels that wait for a lost rank would hold up whatever the program does with the device from now on. */
static void stop_device_wire(dist_engine *engine)
{
    if (engine->device_wire)
        engine->device_wire->ops->close(engine->device_wire, true);
}

/* `own`: what the other ranks are told. */
static void fail_and_listen(dist_engine *engine, dist_status status, const char *sentence, const char *own,
                            int heard)
{
    dist_wire *wire = engine->options.wire;
    const dist_topology *topology = engine->options.topology;
    char note[DIST_NOTE_MAX] = "";
    if (atomic_load(&engine->failed))
        return;
    snprintf(engine->sentence, sizeof engine->sentence, "rank %d (%s): %s", wire->rank,
             topology->site[topology->place[wire->rank].site].name, sentence);
    snprintf(note, sizeof note, "%s", own);
    wire->ops->tell(wire, note);
    listen(engine, engine->sentence, sizeof engine->sentence, heard);
    engine->failure = status;
    dist_log_write(engine->options.log, DIST_LOG_ERROR, "%s", engine->sentence);
    atomic_store_explicit(&engine->failed, true, memory_order_release);
    end_all(engine);
    stop_device_wire(engine);
}

void dist_engine_fail(dist_engine *engine, dist_status status, const char *sentence)
{
    dist_wire *wire = engine->options.wire;
    char copy[DIST_ERROR_MAX], why[256] = "", mates[256] = "";
    if (status == DIST_ERR_TIMEOUT && wire->ops->describe)
        wire->ops->describe(wire, why, sizeof why);
    if (status == DIST_ERR_TIMEOUT && engine->team_wire)
        engine->team_wire->ops->describe(engine->team_wire, mates, sizeof mates);
    snprintf(copy, sizeof copy, "%s%s%s%s%s", sentence, why[0] ? "; " : "", why, mates[0] ? "; " : "", mates);
    fail_and_listen(engine, status, copy, copy, 0);
}

/* Another rank has failed: nothing that needs it will end, so there is no point in waiting for our own
 * deadline. */
static void hear_failure(dist_engine *engine)
{
    char note[DIST_NOTE_MAX], sentence[2 * DIST_NOTE_MAX], where[256];
    int from;
    if ((!engine->active && !engine->preparing) ||
        !engine->options.wire->ops->hear(engine->options.wire, note, &from))
        return;
    if (engine->active)
        dist_task_describe(engine->active, where, sizeof where);
    else
        snprintf(where, sizeof where, "preparing '%s'", engine->preparing);
    snprintf(sentence, sizeof sentence, "%s; given up because rank %d says: %s", where, from, note);
    fail_and_listen(engine, DIST_ERR_TIMEOUT, sentence, where,
                    1); /* the rest they hear from where it comes from */
}

void dist_engine_check(dist_engine *engine, int64_t now)
{
    char where[256], sentence[400];
    if (now - engine->last_check < CHECK_INTERVAL)
        return;
    engine->last_check = now;
    for (dist_task *task = engine->active; task; task = task->next) {
        bool open = true;
        if (task->on_device && dist_gates_open(task, &open) >= 0 && !open)
            task->moved = true; /* the program's own work has not come to where the run starts */
        if (task->function || !open)
            dist_task_prolong(task, now);
        if (now <= task->deadline)
            continue;
        dist_task_describe(task, where, sizeof where);
        snprintf(sentence, sizeof sentence, "the deadline of %g s has passed: %s", engine->options.timeout,
                 where);
        dist_engine_fail(engine, DIST_ERR_TIMEOUT, sentence);
        return;
    }
    hear_failure(engine);
}
