/* Which ranks of a site the device wire has to connect for pipelines. */
#include <stdlib.h>

#include "base/error.h"
#include "parallel/pipeline_internal.h"
#include "wire/nccl.h"

typedef struct edges {
    dist_wire *wire;
    dist_nccl_edge *edge;
    int count;
    bool *known; /* [ranks * ranks] */
} edges;

static void add(edges *e, const dist_topology *t, int from, int to, int site)
{
    if (from == to || t->place[from].site != site || t->place[to].site != site ||
        e->known[from * t->ranks + to])
        return;
    e->known[from * t->ranks + to] = true;
    e->edge[e->count++] = (dist_nccl_edge){from, to};
}

/* All pipelines' edges inside this rank's site, in one order on all its ranks. */
static void collect(edges *e, const dist_pipeline *p)
{
    const dist_topology *t = p->setup.topology;
    const dist_schedule *s = p->layout.schedule;
    const int site = t->place[p->setup.rank].site;
    for (int replica = 0; replica < p->layout.mesh.replicas; replica++)
        for (int stage = 0; stage + 1 < s->stages; stage++) {
            const int from = dist_mesh_rank(&p->layout.mesh, s->rank_of[stage], replica);
            const int to = dist_mesh_rank(&p->layout.mesh, s->rank_of[stage + 1], replica);
            add(e, t, from, to, site);
            add(e, t, to, from, site);
        }
}

static dist_status open_edges(dist_wire *control, const dist_patience *patience, void *argument)
{
    const edges *e = argument;
    (void)control;
    return e->wire ? dist_wire_nccl_edges(e->wire, e->edge, e->count, patience) : DIST_OK;
}

dist_status dist_pipeline_edges_open(const dist_pipeline *p)
{
    const size_t ranks = (size_t)p->setup.topology->ranks;
    const size_t most = (size_t)p->layout.mesh.replicas * (size_t)p->layout.schedule->stages * 2;
    edges e = {.wire = p->setup.nccl,
               .edge = calloc(most ? most : 1, sizeof *e.edge),
               .known = calloc(ranks * ranks, sizeof *e.known)};
    dist_status status = DIST_OK;
    if (!e.edge || !e.known)
        status = dist_fail(DIST_ERR_MEMORY, "no memory for the edges of %zu ranks", ranks);
    if (status >= 0) {
        collect(&e, p);
        const int before = dist_gpu_enter(p->setup.gpu);
        status = dist_engine_together(p->setup.engine, "opening the edges of pipelines", open_edges, &e);
        dist_gpu_leave(p->setup.gpu, before);
    }
    free(e.edge);
    free(e.known);
    return status;
}
