/* How long collectives of a wire take. Those of the job are one message on the slowest link of all. Those of a team go round a
 * ring of its members: each link between neighbours has the same bytes, and the slowest of them decides. */
#include <math.h>
#include <stdlib.h>

#include "plan/predict_internal.h"

static double rate_of(const dist_cluster_link *link)
{
    return link->bandwidth > 0 ? link->bandwidth : INFINITY;
}

/* Less bandwidth; with the same, more latency. */
static bool is_slower(const dist_simulation *s, dist_ring a, dist_ring b)
{
    if (b.link < 0)
        return true;
    const double rate = rate_of(&s->cluster->link[a.link]), least = rate_of(&s->cluster->link[b.link]);
    return rate < least || (rate <= least && a.latency > b.latency);
}

static dist_ring slowest_link(const dist_simulation *s)
{
    dist_ring slowest = {.link = -1};
    for (int l = 0; l < s->cluster->links; l++) {
        const dist_ring ring = {.link = l, .latency = s->cluster->link[l].latency};
        if (is_slower(s, ring, slowest))
            slowest = ring;
    }
    return slowest;
}

static dist_status edge_of(const dist_simulation *s, const dist_native_group *team, int m, dist_ring *edge)
{
    const int next = team->member[(m + 1) % team->members];
    return dist_predict_route(s, (uint32_t)team->member[m], next, &edge->link, &edge->latency);
}

static dist_status slowest_edge(const dist_simulation *s, const dist_native_group *team, dist_ring *slowest)
{
    *slowest = (dist_ring){.link = -1};
    for (int m = 0; m < team->members && team->members > 1; m++) {
        dist_ring edge;
        DIST_TRY(edge_of(s, team, m, &edge));
        if (is_slower(s, edge, *slowest))
            *slowest = edge;
    }
    return DIST_OK;
}

dist_status dist_predict_rings(dist_simulation *s)
{
    s->arrivals = calloc(s->natives.count + 1, sizeof *s->arrivals);
    s->ring = calloc(s->natives.groups, sizeof *s->ring);
    if (!s->arrivals || !s->ring)
        return dist_predict_no_memory(s);
    s->ring[0] = slowest_link(s);
    for (size_t g = 1; g < s->natives.groups; g++)
        DIST_TRY(slowest_edge(s, &s->natives.group[g], &s->ring[g]));
    return DIST_OK;
}

/* Of the job: its bytes once, and of an all-reduce the sums as well. Of a ring: all but one part, as often. */
uint64_t dist_predict_native_bytes(const dist_simulation *s, size_t meeting)
{
    const dist_native_group *group = dist_native_group_of(&s->natives, meeting);
    const dist_op *op =
        &s->plan[dist_native_rank(&s->natives, meeting, 0)]->op[dist_native_op(&s->natives, meeting, 0)];
    uint64_t bytes = op->dst.bytes > op->src.bytes ? op->dst.bytes : op->src.bytes;
    if (op->native == DIST_NATIVE_BARRIER)
        return 0;
    if (group->member)
        bytes -= bytes / (uint64_t)group->members;
    return op->native == DIST_NATIVE_ALL_REDUCE ? 2 * bytes : bytes;
}

dist_status dist_predict_account_native(const dist_simulation *s, size_t meeting, uint64_t bytes)
{
    const dist_native_group *group = dist_native_group_of(&s->natives, meeting);
    if (!group->member)
        dist_predict_account(s, s->ring[0].link, bytes);
    for (int m = 0; m < group->members && group->member; m++) {
        dist_ring edge;
        DIST_TRY(edge_of(s, group, m, &edge));
        dist_predict_account(s, edge.link, bytes);
    }
    return DIST_OK;
}
