/* Who is where: ranks on nodes on sites, and what the links between sites are worth.
 *
 * Pure data: the caller gathers one record a rank (over any wire), so a described cluster and a real one are
 * the same thing.
 */
#ifndef DIST_TOPOLOGY_TOPOLOGY_H
#define DIST_TOPOLOGY_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <libdist/context.h>

#define DIST_NAME_MAX 64

/* What each rank says of itself. Fixed size, no pointers: it travels. */
typedef struct dist_rank_record {
    char host[DIST_NAME_MAX];
    char site[DIST_NAME_MAX]; /* from DIST_SITE or the site file; "" when neither names one */
    int32_t node;             /* the lowest rank on the same node */
} dist_rank_record;

typedef struct dist_place {
    int node;  /* nodes are numbered by their lowest rank */
    int site;  /* sites are numbered by their lowest rank */
    int local; /* position among the ranks of its site, ascending */
    char host[DIST_NAME_MAX];
} dist_place;

typedef struct dist_site_ranks {
    char name[DIST_NAME_MAX];
    int count;
    int *rank; /* ascending; into one array of the topology */
} dist_site_ranks;

typedef struct dist_topology {
    int ranks, nodes, sites;
    int rails;             /* ranks of the smallest site: the local indices below it own shards */
    bool equal;            /* all sites have as many ranks */
    dist_place *place;     /* [ranks] */
    dist_site_ranks *site; /* [sites] */
    int *members;          /* [ranks], backs site[].rank */
    dist_link *link;       /* [sites * sites], NULL until measured */
    dist_link *probed;     /* the same from a quick look at start, between sites alone, or a tuning file; NULL: none */
    char why[160];         /* how the sites were found, for people */
} dist_topology;

/* Builds a topology. Either every rank names a site or none does (then there is one site, "site0"); a mixture
 * is DIST_ERR_CONFIG naming the first rank and host without one. `why` is copied. */
dist_status dist_topology_create(dist_topology **topology, const dist_rank_record *records, int ranks,
                                 const char *why);

/* A described cluster: "4" is one site of 4, "2x3" two sites of 3, "3,1,2" three sites; each site one node.
 * DIST_ERR_ARGUMENT when the text is neither, or has no rank, or more than a million. */
dist_status dist_topology_describe(dist_topology **topology, const char *text);

void dist_topology_destroy(dist_topology *topology);

/* The site of `host` by a file of `host-pattern site` lines (shell patterns, # starts a comment, the first
 * match counts). DIST_ERR_CONFIG, naming file and line or the host, when the file cannot be read, a line has
 * not two words, or no line matches. */
dist_status dist_site_from_file(const char *path, const char *host, char site[DIST_NAME_MAX]);

/* Groups nodes into sites by measured latency: `latency` is nodes * nodes seconds, one way; nodes nearer than 8 times the
 * smallest latency (and any closer than 100 microseconds, but none from a millisecond on) share a site, transitively. site[n]
 * gets the site number of node n. */
void dist_sites_from_latency(const double *latency, int nodes, int *site);

/* Same ranks on the same nodes and sites give the same number on every rank. */
uint64_t dist_topology_hash(const dist_topology *topology);

void dist_topology_write(const dist_topology *topology, FILE *file);

static inline int dist_topology_rank(const dist_topology *topology, int site, int local)
{
    return topology->site[site].rank[local];
}

#endif
