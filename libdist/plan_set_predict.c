/* What a set of plans costs, and its ops one by one. */
#include "plan_set_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

static dist_status cluster_of(const dist_plan_set *set, dist_cluster **cluster)
{
    const dist_set_pipeline *p = &set->pipeline;
    return dist_set_is_pipeline(set) ? dist_cluster_line(cluster, set->ranks, p->latency, p->bandwidth)
                                     : dist_set_collective_cluster(set, cluster);
}

/* Names as the cluster numbers its links. */
static void name_link(const dist_plan_set *set, int number, dist_plan_link_figures *link)
{
    const dist_topology *t = set->collective.topology;
    if (dist_set_is_pipeline(set)) {
        snprintf(link->from, sizeof link->from, "rank %d", number / 2 + number % 2);
        snprintf(link->to, sizeof link->to, "rank %d", number / 2 + (number + 1) % 2);
    } else if (number < t->ranks) {
        snprintf(link->from, sizeof link->from, "rank %d", number);
        snprintf(link->to, sizeof link->to, "site%d", t->place[number].site);
    } else {
        snprintf(link->from, sizeof link->from, "site%d", (number - t->ranks) / t->sites);
        snprintf(link->to, sizeof link->to, "site%d", (number - t->ranks) % t->sites);
    }
}

static int fill_links(dist_plan_set *set, int links)
{
    int used = 0;
    for (int l = 0; l < links; l++) {
        const dist_predicted_link *found = &set->predicted.link[l];
        if (found->messages == 0)
            continue;
        dist_plan_link_figures *link = &set->link[used++];
        *link =
            (dist_plan_link_figures){.bytes = found->bytes, .messages = found->messages, .busy = found->busy};
        name_link(set, l, link);
    }
    return used;
}

/* A pipeline lasts from its first call to its last: messages have no time of their own. */
static void fill_ranks(dist_plan_set *set, dist_plan_prediction *prediction)
{
    const dist_prediction *p = &set->predicted;
    double begin = 0, end = p->makespan;
    if (dist_set_is_pipeline(set)) {
        begin = INFINITY;
        end = 0;
        for (int r = 0; r < set->ranks; r++) {
            begin = fmin(begin, p->rank[r].begin);
            end = fmax(end, p->rank[r].end);
        }
    }
    prediction->makespan = end - begin;
    for (int r = 0; r < set->ranks; r++)
        set->rank[r] = (dist_plan_rank_figures){.begin = p->rank[r].begin,
                                                .end = p->rank[r].end,
                                                .busy = p->rank[r].busy,
                                                .bubble = prediction->makespan - p->rank[r].busy,
                                                .peak = dist_set_is_pipeline(set) ? set->pipeline.peak[r] : 0,
                                                .peak_bytes = p->rank[r].peak};
}

static dist_status predict(dist_plan_set *set, const dist_cluster *cluster, dist_plan_prediction *prediction)
{
    DIST_TRY(dist_predict(dist_set_plans(set), cluster, true, &set->predicted));
    set->rank = calloc((size_t)set->ranks, sizeof *set->rank);
    set->link = calloc((size_t)cluster->links + 1, sizeof *set->link);
    if (!set->rank || !set->link)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the figures of %d ranks", set->ranks);
    prediction->span = set->predicted.span;
    fill_ranks(set, prediction);
    prediction->links = fill_links(set, cluster->links);
    prediction->ranks = set->ranks;
    prediction->rank = set->rank;
    prediction->link = set->link;
    prediction->bound = dist_set_is_pipeline(set) ? set->pipeline.bound : dist_set_collective_bound(set);
    prediction->ratio = prediction->bound > 0 ? prediction->makespan / prediction->bound : 0;
    return DIST_OK;
}

dist_status dist_plan_set_predict(dist_plan_set *set, dist_plan_prediction *prediction)
{
    dist_cluster *cluster;
    if (!set || !prediction)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_plan_set_predict: the set or the place for the prediction is NULL");
    *prediction = (dist_plan_prediction){0};
    dist_set_forget_prediction(set);
    DIST_TRY(cluster_of(set, &cluster));
    const dist_status status = predict(set, cluster, prediction);
    dist_cluster_destroy(cluster);
    if (status < 0) {
        dist_set_forget_prediction(set);
        *prediction = (dist_plan_prediction){0};
    }
    return status;
}

/* ---- ops ---- */

static const dist_plan_op_kind kinds[DIST_OP_KINDS] = {
    [DIST_OP_SEND] = DIST_PLAN_SEND,     [DIST_OP_RECV] = DIST_PLAN_RECV,
    [DIST_OP_REDUCE] = DIST_PLAN_REDUCE, [DIST_OP_COPY] = DIST_PLAN_COPY,
    [DIST_OP_DIVIDE] = DIST_PLAN_DIVIDE, [DIST_OP_ENCODE] = DIST_PLAN_ENCODE,
    [DIST_OP_DECODE] = DIST_PLAN_DECODE, [DIST_OP_PROJECT] = DIST_PLAN_PROJECT,
    [DIST_OP_EXPAND] = DIST_PLAN_EXPAND, [DIST_OP_NATIVE] = DIST_PLAN_NATIVE,
};

static const dist_plan_op_kind calls[DIST_CALL_KINDS] = {
    [DIST_CALL_FORWARD] = DIST_PLAN_FORWARD,
    [DIST_CALL_BACKWARD] = DIST_PLAN_BACKWARD,
    [DIST_CALL_WEIGHT] = DIST_PLAN_WEIGHT,
    [DIST_CALL_FULL] = DIST_PLAN_FULL,
};

const char *dist_plan_op_name(dist_plan_op_kind kind)
{
    static const char *const names[DIST_PLAN_OP_KINDS] = {
        [DIST_PLAN_SEND] = "SEND",     [DIST_PLAN_RECV] = "RECV",       [DIST_PLAN_REDUCE] = "REDUCE",
        [DIST_PLAN_COPY] = "COPY",     [DIST_PLAN_DIVIDE] = "DIVIDE",   [DIST_PLAN_ENCODE] = "ENCODE",
        [DIST_PLAN_DECODE] = "DECODE", [DIST_PLAN_PROJECT] = "PROJECT", [DIST_PLAN_EXPAND] = "EXPAND",
        [DIST_PLAN_NATIVE] = "NATIVE", [DIST_PLAN_FORWARD] = "F",       [DIST_PLAN_BACKWARD] = "B",
        [DIST_PLAN_WEIGHT] = "W",      [DIST_PLAN_FULL] = "BW",
    };
    return (unsigned)kind < DIST_PLAN_OP_KINDS ? names[kind] : "unknown";
}

static uint64_t bytes_of(const dist_op *op)
{
    if (op->kind == DIST_OP_CALL)
        return 0;
    return op->kind == DIST_OP_SEND ? op->src.bytes : op->dst.bytes;
}

dist_status dist_plan_set_op(const dist_plan_set *set, int rank, size_t i, dist_plan_op *found)
{
    if (!set || !found || rank < 0 || rank >= set->ranks || i >= set->plan[rank]->ops)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_plan_set_op: no set, no op %zu of rank %d, or no place for it", i, rank);
    const dist_op *op = &set->plan[rank]->op[i];
    const bool call = op->kind == DIST_OP_CALL,
               message = op->kind == DIST_OP_SEND || op->kind == DIST_OP_RECV;
    *found = (dist_plan_op){.kind = call ? calls[op->call] : kinds[op->kind],
                            .stage = -1,
                            .microbatch = -1,
                            .peer = message ? op->peer : -1,
                            .bytes = bytes_of(op)};
    if (call || op->staged) {
        found->stage = (int)op->stage;
        found->microbatch = (int)op->microbatch;
    }
    if (set->predicted.start) {
        found->start = set->predicted.start[rank][i];
        found->end = set->predicted.end[rank][i];
    }
    return DIST_OK;
}
