/* Sets of plans of one collective. */
#include "plan_set_internal.h"

#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/type.h"
#include "plan/stage.h"

static dist_status check_rate(const char *name, double value)
{
    if (value >= 0 && !isinf(value))
        return DIST_OK;
    return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_request.%s is %g; it has to be finite and at least 0",
                     name, value);
}

static dist_status read_costs(dist_set_collective *c, const dist_plan_request *request)
{
    DIST_TRY(check_rate("inside.latency", request->inside.latency));
    DIST_TRY(check_rate("inside.bandwidth", request->inside.bandwidth));
    DIST_TRY(check_rate("across.latency", request->across.latency));
    DIST_TRY(check_rate("across.bandwidth", request->across.bandwidth));
    DIST_TRY(check_rate("copy_rate", request->copy_rate));
    DIST_TRY(check_rate("reduce_rate", request->reduce_rate));
    DIST_TRY(check_rate("codec_rate", request->codec_rate));
    c->inside = request->inside;
    c->across = request->across;
    c->copy_rate = request->copy_rate;
    c->reduce_rate = request->reduce_rate;
    c->codec_rate = request->codec_rate;
    return DIST_OK;
}

/* As if they had been measured, so that auto goes by them. */
static dist_status set_links(dist_set_collective *c)
{
    const int sites = c->topology->sites;
    c->topology->link = calloc((size_t)sites * (size_t)sites, sizeof *c->topology->link);
    if (!c->topology->link)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the links of %d sites", sites);
    for (int l = 0; l < sites * sites; l++)
        c->topology->link[l] = l / sites == l % sites ? c->inside : c->across;
    return DIST_OK;
}

static dist_status read_request(dist_set_collective *c, const dist_plan_request *request)
{
    dist_spec *spec = &c->spec;
    if (!request->cluster)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_request.cluster is NULL; describe one, as \"2x4\"");
    DIST_TRY(dist_topology_describe(&c->topology, request->cluster));
    DIST_TRY(dist_collective_parse(request->collective, &spec->kind));
    DIST_TRY(dist_algo_parse(request->algo ? request->algo : "auto", &spec->algo));
    DIST_TRY(dist_codec_parse(request->codec ? request->codec : "none", DIST_SIMD_AUTO, &spec->codec));
    if (!dist_type_valid(request->type) || !dist_reduction_valid(request->reduction))
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_request: type %d or reduction %d is unknown",
                         (int)request->type, (int)request->reduction);
    if (request->root < 0 || request->root >= c->topology->ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_request: root %d; ranks go from 0 to %d",
                         request->root, c->topology->ranks - 1);
    DIST_TRY(read_costs(c, request));
    DIST_TRY(set_links(c));
    spec->type = request->type;
    spec->reduction = request->reduction;
    spec->root = request->root;
    spec->count = request->count;
    spec->feedback = spec->codec.feedback;
    spec->chunk_bytes = request->chunk_bytes;
    spec->window_bytes = request->window_bytes;
    spec->topology = c->topology;
    spec->device = request->memory == DIST_MEMORY_CUDA;
    c->nccl = spec->device && request->nccl;
    return DIST_OK;
}

/* The plan of spec->rank, as it runs where its buffers are. */
static dist_status plan_rank(dist_set_collective *c, dist_plan **plan)
{
    const dist_topology *t = c->topology;
    const dist_memory memory = c->spec.device ? DIST_MEMORY_CUDA : DIST_MEMORY_HOST;
    c->spec.team = c->nccl && t->site[t->place[c->spec.rank].site].count > 1;
    c->spec.to = (c->spec.rank + 1) % t->ranks;
    c->spec.from = (c->spec.rank + t->ranks - 1) % t->ranks;
    DIST_TRY(dist_collective_plan(plan, &c->spec));
    return dist_plan_stage(plan, &(dist_staging){.user = (const dist_memory[2]){memory, memory}});
}

static dist_status fill(dist_plan_set *set, const void *request)
{
    dist_set_collective *c = &set->collective;
    DIST_TRY(read_request(c, request));
    DIST_TRY(dist_set_allocate(set, c->topology->ranks));
    for (int r = 0; r < set->ranks; r++) {
        c->spec.rank = r;
        DIST_TRY(plan_rank(c, &set->plan[r]));
    }
    return DIST_OK;
}

dist_status dist_plan_set_create(dist_plan_set **set, const dist_plan_request *request)
{
    if (!set || !request)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_plan_set_create: the request or the place for the set is NULL");
    *set = NULL;
    if (request->size < sizeof *request || request->version != DIST_PLAN_REQUEST_VERSION)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_request: start it with DIST_PLAN_REQUEST_INIT");
    return dist_set_make(set, fill, request);
}

void dist_set_collective_end(dist_set_collective *collective)
{
    dist_topology_destroy(collective->topology);
}

dist_status dist_set_collective_verify(const dist_plan_set *set)
{
    dist_contract contract;
    DIST_TRY(dist_contract_begin(&contract, &set->collective.spec));
    const dist_status status = dist_verify(dist_set_plans(set), set->ranks, &contract);
    dist_contract_end(&contract);
    return status;
}

dist_status dist_set_collective_cluster(const dist_plan_set *set, dist_cluster **cluster)
{
    const dist_set_collective *c = &set->collective;
    const dist_cluster_link inside = {c->inside.latency, c->inside.bandwidth},
                            across = {c->across.latency, c->across.bandwidth};
    DIST_TRY(dist_cluster_create(cluster, c->topology, inside, across));
    (*cluster)->copy_rate = c->copy_rate;
    (*cluster)->reduce_rate = c->reduce_rate;
    (*cluster)->codec_rate = c->codec_rate;
    return DIST_OK;
}

static double at_rate(double bytes, double bandwidth)
{
    return bandwidth > 0 ? bytes / bandwidth : 0;
}

/* What must leave the busiest link of an all-to-all: a rank's to its site, or one between two sites. */
static double exchange_bound(const dist_set_collective *c, double part)
{
    const dist_topology *t = c->topology;
    double bound = 0;
    for (int a = 0; a < t->sites; a++) {
        bound = fmax(bound, at_rate(part * (t->site[a].count - 1), c->inside.bandwidth));
        for (int b = 0; b < t->sites; b++)
            if (a != b)
                bound = fmax(bound, at_rate(part * t->site[a].count * t->site[b].count, c->across.bandwidth));
    }
    return bound;
}

/* A rank sends each byte once, over its slowest link. */
static double shift_bound(const dist_set_collective *c, double bytes)
{
    const double crosses = c->topology->sites > 1 ? at_rate(bytes, c->across.bandwidth) : 0;
    const bool inside = c->topology->sites < c->topology->ranks;
    return fmax(crosses, inside ? at_rate(bytes, c->inside.bandwidth) : 0);
}

/* n members of an all-reduce send (n - 1) / n of the vector twice each, on average; between sites that is
 * spread over the links to the n - 1 others. */
double dist_set_collective_bound(const dist_plan_set *set)
{
    const dist_set_collective *c = &set->collective;
    const double ranks = set->ranks, sites = c->topology->sites;
    const uint64_t bytes = c->spec.count * dist_type_bytes(c->spec.type);
    if (c->spec.kind == DIST_ALL_TO_ALL)
        return exchange_bound(c, (double)bytes);
    if (c->spec.kind == DIST_SEND_RECV)
        return ranks < 2 ? 0 : shift_bound(c, (double)bytes);
    if (c->spec.kind != DIST_ALL_REDUCE || ranks < 2 || c->spec.count == 0)
        return 0;
    if (sites < 2)
        return c->inside.bandwidth > 0 ? 2 * (ranks - 1) / ranks * (double)bytes / c->inside.bandwidth : 0;
    const bool coded = c->spec.codec.kind != DIST_CODEC_NONE;
    const double crossing = (double)(coded ? dist_codec_bytes(&c->spec.codec, c->spec.count) : bytes);
    return c->across.bandwidth > 0 ? 2 / sites * crossing / c->across.bandwidth : 0;
}
