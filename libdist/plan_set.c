/* Plans of all ranks of a described cluster, for people and tools: what all sets have in common. */
#include "plan_set_internal.h"

#include <stdlib.h>

#include "base/error.h"

dist_status dist_set_allocate(dist_plan_set *set, int ranks)
{
    set->plan = calloc((size_t)ranks, sizeof(dist_plan *));
    if (!set->plan)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the plans of %d ranks", ranks);
    set->ranks = ranks;
    return DIST_OK;
}

dist_status dist_set_make(dist_plan_set **out, dist_status (*fill)(dist_plan_set *set, const void *request),
                          const void *request)
{
    dist_plan_set *set = calloc(1, sizeof *set);
    if (!set)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a plan set");
    const dist_status status = fill(set, request);
    if (status < 0) {
        dist_plan_set_destroy(set);
        return status;
    }
    *out = set;
    return DIST_OK;
}

void dist_set_forget_prediction(dist_plan_set *set)
{
    dist_prediction_end(&set->predicted, set->ranks);
    free(set->rank);
    free(set->link);
    set->rank = NULL;
    set->link = NULL;
}

void dist_plan_set_destroy(dist_plan_set *set)
{
    if (!set)
        return;
    dist_set_forget_prediction(set);
    for (int r = 0; r < set->ranks; r++)
        dist_plan_destroy(set->plan[r]);
    free(set->plan);
    dist_set_collective_end(&set->collective);
    dist_set_pipeline_end(&set->pipeline);
    free(set);
}

static const dist_plan *plan_of(const dist_plan_set *set, int rank)
{
    return set && rank >= 0 && rank < set->ranks ? set->plan[rank] : NULL;
}

int dist_plan_set_ranks(const dist_plan_set *set)
{
    return set ? set->ranks : 0;
}

size_t dist_plan_set_ops(const dist_plan_set *set, int rank)
{
    const dist_plan *plan = plan_of(set, rank);
    return plan ? plan->ops : 0;
}

uint64_t dist_plan_set_scratch(const dist_plan_set *set, int rank)
{
    const dist_plan *plan = plan_of(set, rank);
    return plan ? dist_plan_bytes(plan, DIST_BUFFER_SCRATCH) : 0;
}

uint64_t dist_plan_set_hash(const dist_plan_set *set, int rank)
{
    const dist_plan *plan = plan_of(set, rank);
    return plan ? dist_plan_hash(plan) : 0;
}

/* Of a pipeline, each rank is a site. */
static int site_of(const dist_plan_set *set, int rank)
{
    return dist_set_is_pipeline(set) ? rank : set->collective.topology->place[rank].site;
}

uint64_t dist_plan_set_bytes(const dist_plan_set *set, int from, int to)
{
    uint64_t bytes = 0;
    for (int r = 0; r < dist_plan_set_ranks(set); r++)
        for (size_t i = 0; site_of(set, r) == from && i < set->plan[r]->ops; i++) {
            const dist_op *op = &set->plan[r]->op[i];
            if (op->kind == DIST_OP_SEND && site_of(set, op->peer) == to)
                bytes += op->src.bytes;
        }
    return bytes;
}

dist_status dist_plan_set_print(const dist_plan_set *set, int rank, FILE *file)
{
    const dist_plan *plan = plan_of(set, rank);
    if (!plan || !file)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_set_print: no plan of rank %d, or no file", rank);
    dist_plan_write(plan, file);
    return DIST_OK;
}

dist_status dist_plan_set_verify(const dist_plan_set *set)
{
    if (!set)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_set_verify: the set is NULL");
    if (!dist_set_is_pipeline(set))
        return dist_set_collective_verify(set);
    const dist_lowering lowering = dist_set_lowering(set);
    return dist_lower_verify(dist_set_plans(set), &lowering, set->pipeline.memory_bytes);
}
