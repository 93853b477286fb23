#include "topology/topology.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"

#define MOST_RANKS 1000000

static dist_status not_a_cluster(const char *text)
{
    return dist_fail(
        DIST_ERR_ARGUMENT,
        "'%.80s' does not describe a cluster: write the ranks of one site (\"4\"), sites times "
        "ranks (\"2x3\") or the ranks of each site (\"3,1,2\"), each at least 1 and %d in all at "
        "most",
        text, MOST_RANKS);
}

/* Reads a number from 1 to MOST_RANKS and moves *text behind it; 0 when there is none. */
static int read_number(const char **text)
{
    int number = 0;
    while (**text >= '0' && **text <= '9') {
        number = number * 10 + (*(*text)++ - '0');
        if (number > MOST_RANKS)
            return 0;
    }
    return number;
}

static void add_site(dist_rank_record *records, int first, int count, int site)
{
    for (int rank = first; records && rank < first + count; rank++) {
        snprintf(records[rank].host, DIST_NAME_MAX, "node%d", site);
        snprintf(records[rank].site, DIST_NAME_MAX, "site%d", site);
        records[rank].node = first;
    }
}

/* "2x3": returns the ranks, 0 when the text is not of this form. `records` may be NULL, to count only. */
static int read_product(const char *text, dist_rank_record *records)
{
    int sites = read_number(&text);
    if (sites == 0 || *text++ != 'x')
        return 0;
    int count = read_number(&text);
    if (count == 0 || *text != '\0' || count > MOST_RANKS / sites)
        return 0;
    for (int site = 0; site < sites; site++)
        add_site(records, site * count, count, site);
    return sites * count;
}

/* "4" and "3,1,2", as read_product. */
static int read_list(const char *text, dist_rank_record *records)
{
    int ranks = 0;
    for (int site = 0;; site++) {
        int count = read_number(&text);
        if (count == 0 || count > MOST_RANKS - ranks)
            return 0;
        add_site(records, ranks, count, site);
        ranks += count;
        if (*text == '\0')
            return ranks;
        if (*text++ != ',')
            return 0;
    }
}

dist_status dist_topology_describe(dist_topology **topology, const char *text)
{
    *topology = NULL;
    if (!text)
        return dist_fail(DIST_ERR_ARGUMENT, "no description of a cluster (NULL)");
    int (*read)(const char *, dist_rank_record *) = strchr(text, 'x') ? read_product : read_list;
    int ranks = read(text, NULL);
    if (ranks == 0)
        return not_a_cluster(text);
    dist_rank_record *records = dist_alloc_zeroed((size_t)ranks * sizeof *records);
    if (!records)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a cluster of %d ranks", ranks);
    read(text, records);
    char why[96];
    snprintf(why, sizeof why, "described as %.64s", text);
    dist_status status = dist_topology_create(topology, records, ranks, why);
    dist_free_zeroed(records);
    return status;
}
