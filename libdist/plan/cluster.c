#include "plan/predict.h"

#include <stdlib.h>

#include "base/error.h"

/* ---- of a topology ---- */

typedef struct topology_cluster {
    dist_cluster cluster; /* first: destroyed as such */
    const dist_topology *topology;
} topology_cluster;

static int topology_route(const void *user, int from, int to, double *latency)
{
    const topology_cluster *c = user;
    const dist_topology *t = c->topology;
    int here = t->place[from].site, there = t->place[to].site;
    int link = here == there ? from : t->ranks + here * t->sites + there;
    *latency = c->cluster.link[link].latency;
    return link;
}

dist_status dist_cluster_create(dist_cluster **cluster, const dist_topology *topology,
                                dist_cluster_link inside, dist_cluster_link across)
{
    size_t ranks = (size_t)topology->ranks, pairs = (size_t)topology->sites * (size_t)topology->sites;
    topology_cluster *made = calloc(1, sizeof *made);
    dist_cluster_link *link = pairs < INT32_MAX - ranks ? calloc(ranks + pairs, sizeof *link) : NULL;
    *cluster = NULL;
    if (!made || !link) {
        free(made);
        free(link);
        return dist_fail(DIST_ERR_MEMORY, "no memory for the links of %d ranks on %d sites", topology->ranks,
                         topology->sites);
    }
    for (size_t r = 0; r < ranks; r++)
        link[r] = inside;
    for (size_t p = 0; p < pairs; p++)
        link[ranks + p] = topology->link
                              ? (dist_cluster_link){topology->link[p].latency, topology->link[p].bandwidth}
                              : across;
    made->topology = topology;
    made->cluster = (dist_cluster){.ranks = topology->ranks,
                                   .links = (int)(ranks + pairs),
                                   .link = link,
                                   .route = topology_route,
                                   .user = made};
    *cluster = &made->cluster;
    return DIST_OK;
}

/* ---- a line ---- */

typedef struct line_cluster {
    dist_cluster cluster; /* first: destroyed as such */
    double before[];      /* [ranks] latency from rank 0 */
} line_cluster;

static int line_route(const void *user, int from, int to, double *latency)
{
    const line_cluster *line = user;
    int link = from < to ? 2 * from : 2 * (from - 1) + 1;
    if (to == from + 1 || to == from - 1)
        *latency = line->cluster.link[link].latency; /* as given: no rounding by the sum */
    else
        *latency = from < to ? line->before[to] - line->before[from] : line->before[from] - line->before[to];
    return link;
}

dist_status dist_cluster_line(dist_cluster **cluster, int ranks, const double *latency, double bandwidth)
{
    *cluster = NULL;
    if (ranks < 1 || ranks > INT32_MAX / 2)
        return dist_fail(DIST_ERR_ARGUMENT, "a line of %d ranks; it has at least one and at most %d", ranks,
                         INT32_MAX / 2);
    line_cluster *line = calloc(1, sizeof *line + (size_t)ranks * sizeof(double));
    dist_cluster_link *link = calloc(2 * (size_t)ranks, sizeof *link);
    if (!line || !link) {
        free(line);
        free(link);
        return dist_fail(DIST_ERR_MEMORY, "no memory for a line of %d ranks", ranks);
    }
    for (int j = 0; j + 1 < ranks; j++) {
        link[2 * j] = link[2 * j + 1] = (dist_cluster_link){latency[j], bandwidth};
        line->before[j + 1] = line->before[j] + latency[j];
    }
    line->cluster = (dist_cluster){
        .ranks = ranks, .links = 2 * (ranks - 1), .link = link, .route = line_route, .user = line};
    *cluster = &line->cluster;
    return DIST_OK;
}

void dist_cluster_destroy(dist_cluster *cluster)
{
    if (!cluster)
        return;
    free(cluster->link);
    free(cluster);
}
