/* Broadcast by binomial trees: over all ranks, or to one rank of every site first and then inside the sites.
 */
#include "collective/emit.h"

/* Emits this rank's part of a tree over `group` whose root is position `root`. */
static void binomial(dist_plan *plan, const dist_spec *spec, dist_group group, int root, dist_slice data)
{
    int n = group.count, place = (group.me + n - root) % n, bit = 1;
    while (bit < n && !(place & bit))
        bit *= 2;
    if (place > 0) {
        int parent = dist_group_rank(&group, (place - bit + root) % n);
        dist_plan_recv(plan, dist_channel(spec->topology, spec->rank, parent), parent, data);
    }
    for (bit /= 2; bit > 0; bit /= 2) {
        if (place + bit >= n)
            continue;
        int child = dist_group_rank(&group, (place + bit + root) % n);
        dist_plan_send(plan, dist_channel(spec->topology, spec->rank, child), child, data);
    }
}

static void by_sites(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    const dist_topology *topology = spec->topology;
    int site = topology->place[spec->rank].site, root_site = topology->place[spec->root].site;
    /* the root leads its own site, the first rank every other */
    int leader = site == root_site ? topology->place[spec->root].local : 0;
    if (spec->rank == spec->root)
        for (int s = 0; s < topology->sites; s++)
            if (s != root_site)
                dist_plan_send(plan, DIST_CHANNEL_ACROSS, dist_topology_rank(topology, s, 0), data);
    if (site != root_site && topology->place[spec->rank].local == leader)
        dist_plan_recv(plan, DIST_CHANNEL_ACROSS, spec->root, data);
    dist_group inside = {topology->site[site].rank, topology->site[site].count,
                         topology->place[spec->rank].local};
    binomial(plan, spec, inside, leader, data);
}

void dist_emit_tree_broadcast(dist_plan *plan, const dist_spec *spec, dist_slice data, bool by_site)
{
    DIST_PIECES(data, DIST_INSIDE_PIECE, at)
    {
        dist_slice piece = dist_part(data, at, dist_least(DIST_INSIDE_PIECE, data.bytes - at));
        if (by_site)
            by_sites(plan, spec, piece);
        else
            binomial(plan, spec, dist_everyone(spec), spec->root, piece);
    }
}
