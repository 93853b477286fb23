#include "collective/measure.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "collective/emit.h"

#define PINGS       12
#define PING_BYTES  8
#define PROBE_PIECE ((uint64_t)128 << 10)
#define PROBE_SMALL ((uint64_t)1 << 20)
#define PROBE_LARGE ((uint64_t)16 << 20)
#define QUICK       0.01 /* seconds: a link that carries the small probe sooner gets the large one */

typedef struct probe {
    dist_engine *engine;
    const dist_topology *topology;
    int rank;
} probe;

/* Rank a sends `bytes` to b in pieces; b answers with a word of each when all have come. Others have an empty
 * plan. */
static dist_plan *round_trip(const probe *p, int a, int b, uint64_t bytes)
{
    dist_plan *plan =
        dist_plan_create(p->rank, p->topology->ranks, "probe of %llu bytes from rank %d to rank %d",
                         (unsigned long long)bytes, a, b);
    if (!plan || (p->rank != a && p->rank != b))
        return plan;
    int channel = dist_channel(p->topology, a, b), peer = p->rank == a ? b : a;
    uint64_t words = (bytes + PROBE_PIECE - 1) / PROBE_PIECE * PING_BYTES, word = 0;
    dist_slice data =
        dist_slice_of(dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, bytes, "probe"), 0, bytes);
    dist_slice answer =
        dist_slice_of(dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, words, "answer"), 0, words);
    DIST_PIECES(data, PROBE_PIECE, at)
    {
        dist_slice piece = dist_part(data, at, dist_least(PROBE_PIECE, bytes - at));
        if (p->rank == a) {
            dist_plan_send(plan, channel, peer, piece);
            continue;
        }
        dist_plan_recv(plan, channel, peer, piece);
        dist_plan_copy(plan, dist_part(answer, word, PING_BYTES), dist_part(piece, 0, PING_BYTES));
        word += PING_BYTES;
    }
    if (p->rank == a)
        dist_plan_recv(plan, channel, peer, answer);
    else
        dist_plan_send(plan, channel, peer, answer);
    return plan;
}

/* The shortest of `times` round trips, in seconds, on rank a; 0 elsewhere. */
static dist_status shortest(const probe *p, int a, int b, uint64_t bytes, int times, double *seconds)
{
    dist_task *task;
    dist_plan *plan = round_trip(p, a, b, bytes);
    *seconds = 0;
    if (!plan)
        return DIST_ERR_MEMORY;
    DIST_TRY(dist_plan_finish(plan));
    DIST_TRY(dist_task_create(&task, p->engine, plan, NULL));
    dist_status status = DIST_OK;
    for (int i = 0; i < times && status >= 0; i++) {
        int64_t began = dist_now();
        status = dist_task_run(task);
        double took = dist_seconds(dist_now() - began);
        if (p->rank == a && (i == 0 || took < *seconds))
            *seconds = took;
    }
    dist_status ended = dist_task_destroy(task);
    return status < 0 ? status : ended;
}

/* The sum tells all. */
dist_status dist_measure_share(dist_engine *engine, const dist_topology *topology, int rank, double *values,
                               uint64_t count)
{
    dist_plan *plan;
    dist_task *task;
    dist_spec spec = {.kind = DIST_ALL_REDUCE,
                      .algo = {.kind = DIST_ALGO_DOUBLING},
                      .type = DIST_FLOAT64,
                      .count = count,
                      .in_place = true,
                      .topology = topology,
                      .rank = rank};
    DIST_TRY(dist_collective_plan(&plan, &spec));
    DIST_TRY(dist_task_create(&task, engine, plan, (void *[]){values}));
    dist_status status = dist_task_run(task), ended = dist_task_destroy(task);
    return status < 0 ? status : ended;
}

dist_status dist_measure_nodes(dist_engine *engine, const dist_topology *topology, int rank, double *latency)
{
    probe p = {engine, topology, rank};
    int nodes = topology->nodes;
    int *first = malloc(sizeof *first * (size_t)nodes);
    if (!first)
        return dist_fail(DIST_ERR_MEMORY, "no memory for %d nodes", nodes);
    for (int r = topology->ranks - 1; r >= 0; r--)
        first[topology->place[r].node] = r;
    dist_status status = DIST_OK;
    memset(latency, 0, sizeof *latency * (size_t)nodes * (size_t)nodes);
    for (int a = 0; a < nodes; a++)
        for (int b = a + 1; b < nodes && status >= 0; b++) {
            double seconds;
            status = shortest(&p, first[a], first[b], PING_BYTES, PINGS, &seconds);
            latency[a * nodes + b] = latency[b * nodes + a] = seconds / 2;
        }
    free(first);
    return status < 0 ? status : dist_measure_share(engine, topology, rank, latency, (uint64_t)nodes * (uint64_t)nodes);
}

static bool pair_of(const dist_topology *topology, int from, int to, int *a, int *b)
{
    *a = dist_topology_rank(topology, from, 0);
    if (from == to && topology->site[from].count < 2)
        return false;
    *b = dist_topology_rank(topology, to, from == to ? 1 : 0);
    return true;
}

/* One pass over all pairs; time[] gets seconds for pairs that `wanted` says yes to, and is the same on all
 * ranks. */
static dist_status time_pairs(const probe *p, uint64_t bytes, int times, const double *limit, double *time)
{
    int sites = p->topology->sites, a, b;
    memset(time, 0, sizeof *time * (size_t)sites * (size_t)sites);
    for (int from = 0; from < sites; from++)
        for (int to = 0; to < sites; to++) {
            int i = from * sites + to;
            if (pair_of(p->topology, from, to, &a, &b) && (!limit || limit[i] < QUICK))
                DIST_TRY(shortest(p, a, b, bytes, times, &time[i]));
        }
    return dist_measure_share(p->engine, p->topology, p->rank, time, (uint64_t)sites * (uint64_t)sites);
}

static double bandwidth(uint64_t bytes, double took, double latency)
{
    double moving = took - 2 * latency;
    return (double)bytes / (moving > took / 10 ? moving : took / 10);
}

dist_status dist_measure_links(dist_engine *engine, dist_topology *topology, int rank)
{
    probe p = {engine, topology, rank};
    size_t pairs = (size_t)topology->sites * (size_t)topology->sites;
    double *ping = calloc(3 * pairs, sizeof *ping), *small = ping + pairs, *large = small + pairs;
    dist_link *link = calloc(pairs, sizeof *link);
    if (!ping || !link) {
        free(ping);
        free(link);
        return dist_fail(DIST_ERR_MEMORY, "no memory for %zu links", pairs);
    }
    dist_status status = time_pairs(&p, PING_BYTES, PINGS, NULL, ping);
    if (status >= 0)
        status = time_pairs(&p, PROBE_SMALL, 2, NULL, small);
    if (status >= 0)
        status = time_pairs(&p, PROBE_LARGE, 2, small, large);
    for (size_t i = 0; status >= 0 && i < pairs; i++) {
        link[i].latency = ping[i] / 2;
        if (large[i] > 0)
            link[i].bandwidth = bandwidth(PROBE_LARGE, large[i], link[i].latency);
        else if (small[i] > 0)
            link[i].bandwidth = bandwidth(PROBE_SMALL, small[i], link[i].latency);
    }
    free(ping);
    if (status < 0) {
        free(link);
        return status;
    }
    free(topology->link);
    topology->link = link;
    return DIST_OK;
}
