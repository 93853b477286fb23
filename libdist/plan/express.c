/* Short plans, run op after op by the caller: what a few bytes cost is the bookkeeping, not the wire.
 *
 * Plans are written as if ops ran one after the other, so that order is always right; sends are started and
 * left until an op needs their bytes back. */
#include "base/clock.h"
#include "plan/engine_internal.h"

#define SHORT_OPS     64
#define SHORT_NATIVE  ((uint64_t)64 << 10) /* bytes of a collective of the team, and of arithmetic beside it */
#define POLLS         64                   /* before the first look at the clock */
#define TEAM_POLLS    512 /* of the team's wire, which take nanoseconds: a mate that runs comes soon */
#define CROWDED_POLLS 4   /* one that does not run needs the processor */

bool dist_plan_is_short(const dist_plan *plan)
{
    if (plan->ops > SHORT_OPS)
        return false;
    for (size_t i = 0; i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        const uint64_t most = op->kind == DIST_OP_NATIVE || plan->team ? SHORT_NATIVE : DIST_WIRE_SHORT;
        if ((op->kind == DIST_OP_NATIVE && !op->device) || op->kind == DIST_OP_CALL || op->variable ||
            dist_op_is_coded(op) || op->dst.bytes > most || op->src.bytes > most)
            return false;
    }
    for (size_t b = 0; b < plan->buffers; b++) /* streams have an order of their own */
        if (plan->buffer[b].memory == DIST_MEMORY_CUDA)
            return false;
    return true;
}

typedef struct express {
    dist_task *task;
    dist_engine *engine;
    dist_wire *wire;
    dist_wire_token token[SHORT_OPS];
    uint64_t sending;      /* bit op: a send whose bytes are still needed */
    int64_t waiting_since; /* when the clock was first looked at; 0: not yet */
} express;

/* Marks where the run stands, for the sentence of a failure. */
static dist_status give_up(express *e, uint32_t op, dist_status status, const char *why)
{
    char where[256], sentence[DIST_ERROR_MAX];
    for (uint32_t i = 0; i < e->task->plan->ops; i++)
        e->task->phase[i] = i < op ? DIST_PHASE_DONE : i == op ? DIST_PHASE_STARTED : DIST_PHASE_WAITING;
    dist_task_describe(e->task, where, sizeof where);
    snprintf(sentence, sizeof sentence, "%s: %s", why, where);
    dist_engine_fail(e->engine, status, sentence);
    return dist_engine_status(e->engine);
}

/* What there is to do while a message does not come. */
static dist_status wait_on(express *e, uint32_t op)
{
    int64_t now = dist_now();
    if (e->waiting_since == 0)
        e->waiting_since = now;
    if (dist_seconds(now - e->waiting_since) > e->engine->options.timeout)
        return give_up(e, op, DIST_ERR_TIMEOUT, "the deadline has passed");
    e->engine->preparing = e->task->plan->label; /* so that another rank's failure is heard */
    dist_engine_check(e->engine, now);
    e->engine->preparing = NULL;
    dist_engine_rest(e->engine, now - e->waiting_since, DIST_CALLER_SPIN);
    return dist_engine_status(e->engine);
}

static dist_status await(express *e, uint32_t op)
{
    for (unsigned polls = 1;; polls++) {
        bool done = false;
        dist_status status = e->wire->ops->finish(e->wire, &e->token[op], &done);
        if (status < 0)
            return give_up(e, op, status, dist_last_error());
        if (done)
            return DIST_OK;
        if (polls >= POLLS)
            DIST_TRY(wait_on(e, op));
    }
}

static dist_status await_sends(express *e, uint64_t which)
{
    which &= e->sending;
    for (uint32_t op = 0; which >> op; op++)
        if (which >> op & 1) {
            DIST_TRY(await(e, op));
            e->sending &= ~((uint64_t)1 << op);
        }
    return DIST_OK;
}

static dist_status message(express *e, uint32_t number, const dist_op *op)
{
    bool send = op->kind == DIST_OP_SEND;
    dist_slice slice = send ? op->src : op->dst;
    dist_wire_message message = {.send = send,
                                 .peer = op->peer,
                                 .channel = op->channel,
                                 .tag = e->task->tag + op->sequence,
                                 .buffer = dist_task_at(e->task, slice),
                                 .bytes = slice.bytes};
    dist_status status = e->wire->ops->post(e->wire, &message, &e->token[number]);
    if (status < 0)
        return give_up(e, number, status, dist_last_error());
    if (!send)
        return await(e, number);
    e->sending |= (uint64_t)1 << number;
    dist_count_message(e->engine, e->task, op);
    return DIST_OK;
}

/* A collective of the team. Whatever else ends there meanwhile is another task's. */
static dist_status native(express *e, uint32_t number)
{
    dist_wire_request *const mine = e->task->request[number];
    const unsigned most = mine->wire->crowded ? CROWDED_POLLS : TEAM_POLLS;
    dist_status status = mine->wire->ops->start(mine);
    for (unsigned polls = 1; status >= 0; polls++) {
        dist_wire_request *const *done;
        dist_wire_request *failed = NULL;
        int count = 0;
        bool ended = false;
        status = mine->wire->ops->poll(mine->wire, &done, &count, &failed);
        for (int i = 0; status >= 0 && i < count; i++) {
            ended |= done[i] == mine;
            if (done[i] != mine)
                dist_engine_complete(e->engine, done[i]->owner, done[i]->number);
        }
        if (ended)
            return DIST_OK;
        if (status >= 0 && polls >= most)
            DIST_TRY(wait_on(e, number));
    }
    return give_up(e, number, status, dist_last_error());
}

static dist_status run(express *e)
{
    const dist_plan *plan = e->task->plan;
    for (uint32_t i = 0; i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        uint64_t before = 0;
        for (uint32_t w = 0; e->sending && w < op->waits; w++)
            before |= (uint64_t)1 << plan->wait[op->first_wait + w];
        if (before & e->sending)
            DIST_TRY(await_sends(e, before));
        if (op->kind == DIST_OP_SEND || op->kind == DIST_OP_RECV)
            DIST_TRY(message(e, i, op));
        else if (op->kind == DIST_OP_NATIVE)
            DIST_TRY(native(e, i));
        else
            DIST_TRY(dist_op_run(e->engine, e->task, op)); /* arithmetic of a short plan does not fail */
    }
    e->engine->counters.ops += plan->ops;
    return await_sends(e, e->sending);
}

dist_status dist_task_express(dist_task *task)
{
    express e;
    e.task = task;
    e.engine = task->engine;
    e.wire = task->engine->options.wire;
    e.sending = 0;
    e.waiting_since = 0;
    DIST_TRY(dist_engine_status(e.engine));
    task->stats = (dist_task_stats){0};
    pthread_mutex_lock(&e.engine->drive);
    dist_status status = run(&e);
    pthread_mutex_unlock(&e.engine->drive);
    return status;
}
