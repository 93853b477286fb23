#include "topology/topology.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

/* A record may come off a wire: nothing in it is trusted to be terminated or in range. */
static dist_status check_record(const dist_rank_record *records, int ranks, int rank)
{
    const dist_rank_record *record = &records[rank];
    if (!memchr(record->host, '\0', DIST_NAME_MAX) || !memchr(record->site, '\0', DIST_NAME_MAX))
        return dist_fail(DIST_ERR_ARGUMENT, "rank %d: its host or site name is longer than %d characters",
                         rank, DIST_NAME_MAX - 1);
    if (record->node < 0 || record->node > rank || records[record->node].node != record->node)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "rank %d of %d (host '%s') says that rank %" PRId32
                         " is the lowest rank on its node, which cannot be",
                         rank, ranks, record->host, record->node);
    return DIST_OK;
}

static dist_status check_mixture(const dist_rank_record *records, int ranks)
{
    int named = -1, unnamed = -1;
    for (int rank = ranks - 1; rank >= 0; rank--)
        *(records[rank].site[0] ? &named : &unnamed) = rank;
    if (named < 0 || unnamed < 0)
        return DIST_OK;
    return dist_fail(DIST_ERR_CONFIG,
                     "rank %d on host '%s' names no site while rank %d on host '%s' is on site '%s': set "
                     "DIST_SITE on every process, or DIST_SITES to a file that covers every host",
                     unnamed, records[unnamed].host, named, records[named].host, records[named].site);
}

typedef struct site_member {
    const char *site;
    int rank;
} site_member;

static int compare_members(const void *left, const void *right)
{
    const site_member *a = left, *b = right;
    int order = strcmp(a->site, b->site);
    return order ? order : (a->rank > b->rank) - (a->rank < b->rank);
}

/* leader[r] = the lowest rank that names the same site as rank r. Sorted, because there may be as many sites
 * as ranks. */
static bool find_leaders(const dist_rank_record *records, int ranks, int *leader)
{
    site_member *member = dist_alloc_zeroed((size_t)ranks * sizeof *member);
    if (!member)
        return false;
    for (int rank = 0; rank < ranks; rank++)
        member[rank] = (site_member){records[rank].site, rank};
    qsort(member, (size_t)ranks, sizeof *member, compare_members);
    for (int i = 0, first = 0; i < ranks; i++) {
        if (strcmp(member[i].site, member[first].site) != 0)
            first = i;
        leader[member[i].rank] = member[first].rank;
    }
    dist_free_zeroed(member);
    return true;
}

/* Numbers places by their lowest rank; `leader` holds each rank's site leader. */
static void number_places(dist_topology *topology, const dist_rank_record *records, const int *leader)
{
    for (int rank = 0; rank < topology->ranks; rank++) {
        dist_place *place = &topology->place[rank];
        place->node =
            records[rank].node == rank ? topology->nodes++ : topology->place[records[rank].node].node;
        place->site = leader[rank] == rank ? topology->sites++ : topology->place[leader[rank]].site;
        memcpy(place->host, records[rank].host, DIST_NAME_MAX);
    }
}

static void fill_sites(dist_topology *topology, const dist_rank_record *records)
{
    for (int rank = 0; rank < topology->ranks; rank++)
        topology->site[topology->place[rank].site].count++;
    int *next = topology->members;
    topology->rails = topology->ranks;
    for (int s = 0; s < topology->sites; s++) {
        dist_site_ranks *site = &topology->site[s];
        site->rank = next;
        next += site->count;
        if (site->count < topology->rails)
            topology->rails = site->count;
        site->count = 0; /* counts again as its ranks arrive */
    }
    for (int rank = 0; rank < topology->ranks; rank++) {
        dist_site_ranks *site = &topology->site[topology->place[rank].site];
        if (site->count == 0)
            snprintf(site->name, sizeof site->name, "%s",
                     records[rank].site[0] ? records[rank].site : "site0");
        topology->place[rank].local = site->count;
        site->rank[site->count++] = rank;
    }
    topology->equal = (int64_t)topology->rails * topology->sites == topology->ranks;
}

static bool build(dist_topology *topology, const dist_rank_record *records)
{
    size_t ranks = (size_t)topology->ranks;
    topology->place = dist_alloc_zeroed(ranks * sizeof *topology->place);
    topology->members = dist_alloc_zeroed(ranks * sizeof *topology->members);
    /* members is not filled yet and has one int a rank: it holds the leaders meanwhile. */
    if (!topology->place || !topology->members || !find_leaders(records, topology->ranks, topology->members))
        return false;
    number_places(topology, records, topology->members);
    topology->site = dist_alloc_zeroed((size_t)topology->sites * sizeof *topology->site);
    if (!topology->site)
        return false;
    fill_sites(topology, records);
    return true;
}

dist_status dist_topology_create(dist_topology **topology, const dist_rank_record *records, int ranks,
                                 const char *why)
{
    *topology = NULL;
    if (!records || ranks < 1)
        return dist_fail(DIST_ERR_ARGUMENT, "a topology needs the records of at least one rank, not of %d",
                         ranks);
    for (int rank = 0; rank < ranks; rank++)
        DIST_TRY(check_record(records, ranks, rank));
    DIST_TRY(check_mixture(records, ranks));
    dist_topology *made = dist_alloc_zeroed(sizeof *made);
    if (made) {
        made->ranks = ranks;
        snprintf(made->why, sizeof made->why, "%s", why ? why : "");
    }
    if (!made || !build(made, records)) {
        dist_topology_destroy(made);
        return dist_fail(DIST_ERR_MEMORY, "no memory for the topology of %d ranks", ranks);
    }
    *topology = made;
    return DIST_OK;
}

void dist_topology_destroy(dist_topology *topology)
{
    if (!topology)
        return;
    dist_free_zeroed(topology->place);
    dist_free_zeroed(topology->site);
    dist_free_zeroed(topology->members);
    dist_free_zeroed(topology->link);
    dist_free_zeroed(topology->probed);
    dist_free_zeroed(topology);
}

/* FNV-1a over the four bytes of a number, lowest first on every machine. */
static uint64_t hash_number(uint64_t hash, int number)
{
    for (int shift = 0; shift < 32; shift += 8)
        hash = (hash ^ ((uint32_t)number >> shift & 0xff)) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t dist_topology_hash(const dist_topology *topology)
{
    uint64_t hash = hash_number(UINT64_C(0xcbf29ce484222325), topology->ranks);
    for (int rank = 0; rank < topology->ranks; rank++) {
        hash = hash_number(hash, topology->place[rank].node);
        hash = hash_number(hash, topology->place[rank].site);
    }
    return hash;
}
