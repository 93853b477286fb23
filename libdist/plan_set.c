/* Plans of all ranks of a described cluster, for people and tools. */
#include <libdist/plan.h>

#include <stdlib.h>
#include <string.h>

#include "base/type.h"
#include "context_internal.h"

struct dist_plan_set {
    dist_topology *topology;
    dist_spec spec;
    dist_plan **plan; /* [ranks] */
};

static dist_status read_request(dist_plan_set *set, const dist_plan_request *request)
{
    dist_spec *spec = &set->spec;
    if (!request->cluster)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_request.cluster is NULL; describe one, as \"2x4\"");
    DIST_TRY(dist_topology_describe(&set->topology, request->cluster));
    DIST_TRY(dist_collective_parse(request->collective, &spec->kind));
    DIST_TRY(dist_algo_parse(request->algo ? request->algo : "auto", &spec->algo));
    DIST_TRY(dist_codec_parse(request->codec ? request->codec : "none", DIST_SIMD_AUTO, &spec->codec));
    if (!dist_type_valid(request->type) || !dist_reduction_valid(request->reduction))
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_request: type %d or reduction %d is unknown",
                         (int)request->type, (int)request->reduction);
    if (request->root < 0 || request->root >= set->topology->ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_request: root %d; ranks go from 0 to %d",
                         request->root, set->topology->ranks - 1);
    spec->type = request->type;
    spec->reduction = request->reduction;
    spec->root = request->root;
    spec->count = request->count;
    spec->feedback = spec->codec.feedback;
    spec->chunk_bytes = request->chunk_bytes;
    spec->window_bytes = request->window_bytes;
    spec->topology = set->topology;
    return DIST_OK;
}

static dist_status make_plans(dist_plan_set *set)
{
    set->plan = calloc((size_t)set->topology->ranks, sizeof(dist_plan *));
    if (!set->plan)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the plans of %d ranks", set->topology->ranks);
    for (int r = 0; r < set->topology->ranks; r++) {
        set->spec.rank = r;
        DIST_TRY(dist_collective_plan(&set->plan[r], &set->spec));
    }
    return DIST_OK;
}

dist_status dist_plan_set_create(dist_plan_set **out, const dist_plan_request *request)
{
    if (!out || !request)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_plan_set_create: the request or the place for the set is NULL");
    *out = NULL;
    if (request->size < sizeof *request || request->version != DIST_PLAN_REQUEST_VERSION)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_request: start it with DIST_PLAN_REQUEST_INIT");
    dist_plan_set *set = calloc(1, sizeof *set);
    if (!set)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a plan set");
    dist_status status = read_request(set, request);
    if (status >= 0)
        status = make_plans(set);
    if (status < 0) {
        dist_plan_set_destroy(set);
        return status;
    }
    *out = set;
    return DIST_OK;
}

void dist_plan_set_destroy(dist_plan_set *set)
{
    if (!set)
        return;
    for (int r = 0; set->plan && r < set->topology->ranks; r++)
        dist_plan_destroy(set->plan[r]);
    free(set->plan);
    dist_topology_destroy(set->topology);
    free(set);
}

static const dist_plan *plan_of(const dist_plan_set *set, int rank)
{
    return set && rank >= 0 && rank < set->topology->ranks ? set->plan[rank] : NULL;
}

int dist_plan_set_ranks(const dist_plan_set *set)
{
    return set ? set->topology->ranks : 0;
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

uint64_t dist_plan_set_bytes(const dist_plan_set *set, int from, int to)
{
    uint64_t bytes = 0;
    for (int r = 0; r < dist_plan_set_ranks(set); r++)
        for (size_t i = 0; i < set->plan[r]->ops; i++) {
            const dist_op *op = &set->plan[r]->op[i];
            if (op->kind == DIST_OP_SEND && set->topology->place[r].site == from &&
                set->topology->place[op->peer].site == to)
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
    dist_contract contract;
    if (!set)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_set_verify: the set is NULL");
    DIST_TRY(dist_contract_begin(&contract, &set->spec));
    dist_status status = dist_verify((const dist_plan *const *)set->plan, set->topology->ranks, &contract);
    dist_contract_end(&contract);
    return status;
}
