#include "topology/group.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"

dist_status dist_group_check(const int *member, int members, int ranks)
{
    if (!member || members < 1)
        return dist_fail(DIST_ERR_ARGUMENT, "a group of %d ranks; it needs at least one", members);
    for (int m = 0; m < members; m++)
        if (member[m] < 0 || member[m] >= ranks || (m > 0 && member[m] <= member[m - 1]))
            return dist_fail(
                DIST_ERR_ARGUMENT,
                "member %d of a group is rank %d%s; name ranks from 0 to %d, each once, ascending", m,
                member[m], m > 0 && member[m] <= member[m - 1] ? ", not above the one before" : "",
                ranks - 1);
    return DIST_OK;
}

/* first[n] = the first member, by its rank in the group, on node n of `all`. */
static void fill_records(dist_rank_record *record, int *first, const dist_topology *all, const int *member,
                         int members)
{
    for (int n = 0; n < all->nodes; n++)
        first[n] = -1;
    for (int m = 0; m < members; m++) {
        const dist_place *place = &all->place[member[m]];
        if (first[place->node] < 0)
            first[place->node] = m;
        record[m].node = first[place->node];
        memcpy(record[m].host, place->host, DIST_NAME_MAX);
        memcpy(record[m].site, all->site[place->site].name, DIST_NAME_MAX);
    }
}

static bool copy_links(dist_topology *group, const dist_topology *all, const int *member)
{
    const size_t sites = (size_t)group->sites;
    if (!all->link)
        return true;
    group->link = dist_alloc_zeroed(sites * sites * sizeof *group->link);
    for (int s = 0; group->link && s < group->sites; s++)
        for (int t = 0; t < group->sites; t++) {
            const int from = all->place[member[dist_topology_rank(group, s, 0)]].site;
            const int to = all->place[member[dist_topology_rank(group, t, 0)]].site;
            group->link[(size_t)s * sites + (size_t)t] =
                all->link[(size_t)from * (size_t)all->sites + (size_t)to];
        }
    return group->link != NULL;
}

dist_status dist_topology_group(dist_topology **out, const dist_topology *all, const int *member, int members)
{
    dist_topology *group = NULL;
    *out = NULL;
    DIST_TRY(dist_group_check(member, members, all->ranks));
    dist_rank_record *record = dist_alloc_zeroed((size_t)members * sizeof *record);
    int *first = dist_alloc_zeroed((size_t)all->nodes * sizeof *first);
    dist_status status = DIST_ERR_MEMORY;
    if (record && first) {
        fill_records(record, first, all, member, members);
        status = dist_topology_create(&group, record, members, all->why);
    }
    if (status >= 0 && !copy_links(group, all, member))
        status = DIST_ERR_MEMORY;
    dist_free_zeroed(record);
    dist_free_zeroed(first);
    if (status >= 0) {
        *out = group;
        return DIST_OK;
    }
    dist_topology_destroy(group);
    return status == DIST_ERR_MEMORY
               ? dist_fail(status, "no memory for the topology of a group of %d ranks", members)
               : status;
}
