#include "plan/predict.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "plan/predict_internal.h"

dist_status dist_predict_no_memory(const dist_simulation *s)
{
    return dist_fail(DIST_ERR_MEMORY, "no memory to predict the plans of %d ranks", s->ranks);
}

/* ---- what the simulation takes for granted ---- */

static dist_status check_cluster(const dist_cluster *cluster)
{
    if (cluster->ranks < 1 || cluster->links < 0 || cluster->links > INT32_MAX - 2 * cluster->ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "a cluster of %d ranks and %d links cannot be simulated",
                         cluster->ranks, cluster->links);
    for (int l = 0; l < cluster->links; l++) {
        const dist_cluster_link *link = &cluster->link[l];
        if (!(link->latency >= 0) || isinf(link->latency) || !(link->bandwidth >= 0))
            return dist_fail(DIST_ERR_ARGUMENT, "link %d of the cluster has a latency of %g s and %g bytes/s",
                             l, link->latency, link->bandwidth);
    }
    return DIST_OK;
}

static dist_status check_op(const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    if (op->kind >= DIST_OP_KINDS)
        return dist_fault(plan, number, "is of an unknown kind, %u", op->kind);
    if (op->kind == DIST_OP_CALL && (!(op->cost >= 0) || isinf(op->cost)))
        return dist_fault(plan, number, "has a cost of %g s", op->cost);
    if (op->waits > plan->waits || op->first_wait > plan->waits - op->waits)
        return dist_fault(plan, number, "has waits that the plan does not have");
    for (uint32_t w = 0; w < op->waits; w++)
        if (plan->wait[op->first_wait + w] >= number)
            return dist_fault(plan, number, "waits for op %" PRIu32 ", which is not before it",
                              plan->wait[op->first_wait + w]);
    return DIST_OK;
}

static dist_status check_plan(const dist_simulation *s, int rank)
{
    const dist_plan *plan = s->plan[rank];
    if (!plan)
        return dist_fail(DIST_ERR_ARGUMENT, "rank %d has no plan", rank);
    if (plan->rank != rank || plan->ranks != s->ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "the plan of rank %d of %d is made for rank %d of %d", rank,
                         s->ranks, plan->rank, plan->ranks);
    if (plan->status < 0)
        return dist_fail(DIST_ERR_PLAN, "building the plan of rank %d failed: %s", rank,
                         dist_status_text(plan->status));
    for (size_t i = 0; i < plan->ops; i++)
        DIST_TRY(check_op(plan, i));
    return DIST_OK;
}

/* ---- setup ---- */

static dist_status number_ops(dist_simulation *s, size_t *waits)
{
    size_t ops = 0;
    s->first_op = calloc((size_t)s->ranks + 1, sizeof *s->first_op);
    if (!s->first_op)
        return dist_predict_no_memory(s);
    for (int r = 0; r < s->ranks; r++) {
        DIST_TRY(check_plan(s, r));
        s->first_op[r] = (uint32_t)ops;
        ops += s->plan[r]->ops;
        for (size_t i = 0; i < s->plan[r]->ops; i++)
            *waits += s->plan[r]->op[i].waits;
        if (ops >= DIST_NO_OP || *waits >= UINT32_MAX)
            return dist_fail(DIST_ERR_UNSUPPORTED,
                             "the plans of ranks 0 to %d have %zu ops and %zu waits; the most is %u", r, ops,
                             *waits, UINT32_MAX - 1);
    }
    s->first_op[s->ranks] = (uint32_t)ops;
    return DIST_OK;
}

static dist_status allocate(dist_simulation *s, size_t waits)
{
    size_t ops = s->first_op[s->ranks], resources = 2 * (size_t)s->ranks + (size_t)s->cluster->links;
    s->pending = calloc(ops + 1, sizeof *s->pending);
    s->first_after = calloc(ops + 1, sizeof *s->first_after);
    s->after = calloc(waits + 1, sizeof *s->after);
    s->meets = calloc(ops + 1, sizeof *s->meets);
    s->phase = calloc(ops + 1, sizeof *s->phase);
    s->resource = calloc(resources, sizeof *s->resource);
    s->list = calloc(resources, sizeof *s->list);
    s->account = calloc((size_t)s->ranks, sizeof *s->account);
    return s->pending && s->first_after && s->after && s->meets && s->phase && s->resource && s->list &&
                   s->account
               ? DIST_OK
               : dist_predict_no_memory(s);
}

static void release(dist_simulation *s)
{
    size_t resources = s->resource ? 2 * (size_t)s->ranks + (size_t)s->cluster->links : 0;
    for (size_t i = 0; i < resources; i++)
        free(s->resource[i].queue.item);
    free(s->first_op);
    free(s->pending);
    free(s->first_after);
    free(s->after);
    free(s->meets);
    free(s->phase);
    dist_natives_end(&s->natives);
    free(s->arrivals);
    free(s->ring);
    free(s->events.item);
    free(s->resource);
    free(s->list);
    free(s->account);
}

/* Turns the waits of a plan around. `first` is where the lists of its ops begin in after. */
static uint32_t link_waits(dist_simulation *s, const dist_plan *plan, uint32_t first)
{
    size_t base = s->first_op[plan->rank];
    uint32_t *after = &s->first_after[base];
    for (size_t i = 0; i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        s->pending[base + i] = op->waits;
        s->account[plan->rank].calls |= op->kind == DIST_OP_CALL;
        for (uint32_t w = 0; w < op->waits; w++)
            after[plan->wait[op->first_wait + w]]++;
    }
    for (size_t i = 0; i < plan->ops; i++) /* ends; filling moves each back to its begin */
        first = after[i] += first;
    for (size_t i = plan->ops; i-- > 0;)
        for (uint32_t w = 0; w < plan->op[i].waits; w++)
            s->after[--after[plan->wait[plan->op[i].first_wait + w]]] = (uint32_t)i;
    return first;
}

static dist_status set_up(dist_simulation *s)
{
    size_t waits = 0;
    uint32_t linked = 0;
    DIST_TRY(check_cluster(s->cluster));
    DIST_TRY(number_ops(s, &waits));
    DIST_TRY(allocate(s, waits));
    for (int r = 0; r < s->ranks; r++) {
        s->account[r].begin = INFINITY;
        linked = link_waits(s, s->plan[r], linked);
    }
    s->first_after[s->first_op[s->ranks]] = linked;
    DIST_TRY(dist_predict_match(s));
    return dist_predict_rings(s);
}

/* ---- result ---- */

static double **make_times(const dist_simulation *s)
{
    double **time = calloc((size_t)s->ranks, sizeof *time);
    bool whole = time;
    for (int r = 0; whole && r < s->ranks; r++)
        whole = (time[r] = calloc(s->plan[r]->ops + 1, sizeof **time));
    for (int r = 0; time && !whole && r < s->ranks; r++)
        free(time[r]);
    if (whole)
        return time;
    free(time);
    return NULL;
}

static dist_status make_result(const dist_simulation *s, bool keep_times)
{
    dist_prediction *p = s->prediction;
    p->rank = calloc((size_t)s->ranks, sizeof *p->rank);
    p->link = calloc((size_t)s->cluster->links + 1, sizeof *p->link);
    if (keep_times) {
        p->start = make_times(s);
        p->end = make_times(s);
    }
    return p->rank && p->link && (!keep_times || (p->start && p->end)) ? DIST_OK : dist_predict_no_memory(s);
}

static void fill_result(const dist_simulation *s)
{
    dist_prediction *p = s->prediction;
    p->makespan = s->now;
    for (int r = 0; r < s->ranks; r++) {
        const dist_rank_account *account = &s->account[r];
        const dist_plan *plan = s->plan[r];
        dist_predicted_rank *rank = &p->rank[r];
        if (plan->ops > 0) {
            rank->begin = account->begin;
            rank->end = account->end;
        }
        rank->busy = account->busy;
        rank->bubble = p->makespan - rank->busy;
        rank->peak = dist_plan_bytes(plan, DIST_BUFFER_SCRATCH) + dist_plan_bytes(plan, DIST_BUFFER_STATE) +
                     (uint64_t)account->most_held;
        if (rank->end - rank->begin > p->span)
            p->span = rank->end - rank->begin;
    }
}

dist_status dist_predict(const dist_plan *const *plan, const dist_cluster *cluster, bool keep_times,
                         dist_prediction *prediction)
{
    dist_simulation s = {.plan = plan, .cluster = cluster, .prediction = prediction, .ranks = cluster->ranks};
    *prediction = (dist_prediction){0};
    dist_status status = set_up(&s);
    if (status >= 0)
        status = make_result(&s, keep_times);
    if (status >= 0)
        status = dist_predict_run(&s);
    if (status >= 0)
        fill_result(&s);
    else
        dist_prediction_end(prediction, s.ranks);
    release(&s);
    return status;
}

void dist_prediction_end(dist_prediction *prediction, int ranks)
{
    for (int r = 0; r < ranks && prediction->start; r++)
        free(prediction->start[r]);
    for (int r = 0; r < ranks && prediction->end; r++)
        free(prediction->end[r]);
    free(prediction->start);
    free(prediction->end);
    free(prediction->rank);
    free(prediction->link);
    *prediction = (dist_prediction){0};
}
