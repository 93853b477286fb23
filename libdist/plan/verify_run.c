/* Runs all ranks' plans together, in an order that their waits and a wire without buffers allow: a SEND and
 * its RECV are done together, once both can start; so are the NATIVE ops that are one collective. What is left when
 * nothing can start has no way to its end. */
#include <inttypes.h>
#include <stdlib.h>

#include "plan/verify_internal.h"

typedef struct ready_op {
    int rank;
    uint32_t op;
} ready_op;

typedef enum phase { WAITING, ARRIVED, DONE } phase;

/* Arrays are indexed by op number of all ranks. */
typedef struct schedule {
    const dist_verifier *verifier;
    uint32_t *pending;   /* ops that must be done first */
    size_t *first_after; /* [ops + 1] into after */
    uint32_t *after;     /* the ops of the same rank that wait for this one */
    uint8_t *phase;
    ready_op *queue; /* every op enters once */
    size_t head, tail, done;
    int *arrivals; /* of each collective: ranks that can start it */
    void *state;   /* of the domain */
} schedule;

static size_t number_of(const schedule *s, int rank, size_t op)
{
    return s->verifier->first_op[rank] + op;
}

static void make_ready(schedule *s, int rank, uint32_t op)
{
    s->queue[s->tail++] = (ready_op){rank, op};
}

static void link_waits_of(schedule *s, const dist_plan *plan)
{
    size_t *after = &s->first_after[number_of(s, plan->rank, 0)];
    for (uint32_t i = 0; i < plan->ops; i++)
        for (uint32_t w = 0; w < plan->op[i].waits; w++)
            s->after[--after[plan->wait[plan->op[i].first_wait + w]]] = i;
}

static void link_waits(schedule *s)
{
    const dist_verifier *v = s->verifier;
    size_t ops = v->first_op[v->ranks];
    for (int r = 0; r < v->ranks; r++) {
        const dist_plan *plan = v->plan[r];
        for (uint32_t i = 0; i < plan->ops; i++) {
            s->pending[number_of(s, r, i)] = plan->op[i].waits;
            for (uint32_t w = 0; w < plan->op[i].waits; w++)
                s->first_after[number_of(s, r, plan->wait[plan->op[i].first_wait + w])]++;
            if (plan->op[i].waits == 0)
                make_ready(s, r, i);
        }
    }
    for (size_t i = 1; i <= ops; i++) /* ends; filling moves each back to its begin */
        s->first_after[i] += s->first_after[i - 1];
    for (int r = 0; r < v->ranks; r++)
        link_waits_of(s, v->plan[r]);
}

static bool allocate(schedule *s)
{
    const dist_verifier *v = s->verifier;
    size_t ops = v->first_op[v->ranks], waits = 0;
    for (int r = 0; r < v->ranks; r++)
        for (size_t i = 0; i < v->plan[r]->ops; i++)
            waits += v->plan[r]->op[i].waits;
    s->pending = calloc(ops + 1, sizeof *s->pending);
    s->first_after = calloc(ops + 1, sizeof *s->first_after);
    s->after = calloc(waits + 1, sizeof *s->after);
    s->phase = calloc(ops + 1, sizeof *s->phase);
    s->queue = calloc(ops + 1, sizeof *s->queue);
    s->arrivals = calloc(v->natives.count + 1, sizeof *s->arrivals);
    return s->pending && s->first_after && s->after && s->phase && s->queue && s->arrivals;
}

static void release(schedule *s)
{
    free(s->pending);
    free(s->first_after);
    free(s->after);
    free(s->phase);
    free(s->queue);
    free(s->arrivals);
    s->verifier->domain->end(s->state);
}

static void complete(schedule *s, int rank, uint32_t op)
{
    size_t number = number_of(s, rank, op);
    s->phase[number] = DONE;
    s->done++;
    for (size_t i = s->first_after[number]; i < s->first_after[number + 1]; i++)
        if (--s->pending[number_of(s, rank, s->after[i])] == 0)
            make_ready(s, rank, s->after[i]);
}

static dist_status arrive_at_message(schedule *s, ready_op at, const dist_op *op)
{
    uint32_t partner = s->verifier->meets[number_of(s, at.rank, at.op)];
    s->phase[number_of(s, at.rank, at.op)] = ARRIVED;
    if (s->phase[number_of(s, op->peer, partner)] != ARRIVED)
        return DIST_OK;
    if (op->kind == DIST_OP_SEND)
        DIST_TRY(s->verifier->domain->message(s->state, at.rank, at.op, op->peer, partner));
    else
        DIST_TRY(s->verifier->domain->message(s->state, op->peer, partner, at.rank, at.op));
    complete(s, at.rank, at.op);
    complete(s, op->peer, partner);
    return DIST_OK;
}

static dist_status arrive_at_native(schedule *s, ready_op at)
{
    const dist_verifier *v = s->verifier;
    const size_t native = v->meets[number_of(s, at.rank, at.op)];
    const int members = dist_native_group_of(&v->natives, native)->members;
    s->phase[number_of(s, at.rank, at.op)] = ARRIVED;
    if (++s->arrivals[native] < members)
        return DIST_OK;
    DIST_TRY(v->domain->native(s->state, native));
    for (int m = 0; m < members; m++)
        complete(s, dist_native_rank(&v->natives, native, m), dist_native_op(&v->natives, native, m));
    return DIST_OK;
}

static dist_status start(schedule *s, ready_op at)
{
    const dist_op *op = dist_verify_op(s->verifier, at.rank, at.op);
    if (dist_op_is_message(op))
        return arrive_at_message(s, at, op);
    if (op->kind == DIST_OP_NATIVE)
        return arrive_at_native(s, at);
    DIST_TRY(s->verifier->domain->local(s->state, at.rank, at.op));
    complete(s, at.rank, at.op);
    return DIST_OK;
}

/* `op` of `rank` can start, but the op that it meets cannot: says so, and what that one waits for. */
static dist_status deadlock(const schedule *s, int rank, uint32_t op, int peer, uint32_t partner)
{
    const dist_plan *mine = s->verifier->plan[rank], *other = s->verifier->plan[peer];
    const dist_op *stuck = &other->op[partner];
    char first[256], second[256], third[256] = "";
    uint32_t before = 0;
    for (uint32_t w = 0; w < stuck->waits; w++) {
        before = other->wait[stuck->first_wait + w];
        if (s->phase[number_of(s, peer, before)] != DONE)
            break;
    }
    dist_op_format(mine, op, first, sizeof first);
    dist_op_format(other, partner, second, sizeof second);
    dist_op_format(other, before, third, sizeof third);
    return dist_fail(DIST_ERR_PLAN,
                     "deadlock with %zu ops left: rank %d waits at op %" PRIu32
                     " %s for rank %d, whose op %" PRIu32 " %s is not reached: it waits for op %" PRIu32
                     " %s",
                     s->verifier->first_op[s->verifier->ranks] - s->done, rank, op, first, peer, partner,
                     second, before, third);
}

static dist_status explain(const schedule *s, int rank, uint32_t op)
{
    const dist_verifier *v = s->verifier;
    uint32_t meets = v->meets[number_of(s, rank, op)];
    if (dist_verify_op(v, rank, op)->kind != DIST_OP_NATIVE)
        return deadlock(s, rank, op, dist_verify_op(v, rank, op)->peer, meets);
    int m = 0; /* the first member that has not come to the collective */
    while (s->phase[number_of(s, dist_native_rank(&v->natives, meets, m),
                              dist_native_op(&v->natives, meets, m))] == ARRIVED)
        m++;
    return deadlock(s, rank, op, dist_native_rank(&v->natives, meets, m),
                    dist_native_op(&v->natives, meets, m));
}

static dist_status run(schedule *s)
{
    const dist_verifier *v = s->verifier;
    if (!allocate(s))
        return dist_verify_no_memory(v);
    DIST_TRY(v->domain->begin(v, &s->state));
    link_waits(s);
    while (s->head < s->tail)
        DIST_TRY(start(s, s->queue[s->head++]));
    /* waits point backwards, so an op that can start is among what is left */
    for (int r = 0; r < v->ranks; r++)
        for (uint32_t i = 0; i < v->plan[r]->ops; i++)
            if (s->phase[number_of(s, r, i)] == ARRIVED)
                return explain(s, r, i);
    return v->domain->check(s->state);
}

dist_status dist_verify_run(const dist_verifier *verifier)
{
    schedule s = {.verifier = verifier};
    dist_status status = run(&s);
    release(&s);
    return status;
}
