#include <inttypes.h>

#include "topology/topology.h"

static void write_count(FILE *file, int count, const char *what)
{
    fprintf(file, "%d %s%s", count, what, count == 1 ? "" : "s");
}

/* The ranks of `node` within a site, as "0-3,8". */
static void write_ranks(const dist_topology *topology, const dist_site_ranks *site, int node, FILE *file)
{
    const char *separator = "";
    for (int i = 0; i < site->count; i++) {
        int first = site->rank[i], last = first;
        if (topology->place[first].node != node)
            continue;
        while (i + 1 < site->count && site->rank[i + 1] == last + 1 && topology->place[last + 1].node == node)
            last = site->rank[++i];
        if (last > first)
            fprintf(file, "%s%d-%d", separator, first, last);
        else
            fprintf(file, "%s%d", separator, first);
        separator = ",";
    }
}

/* True where no rank before `local` of the site is on the same node. */
static bool begins_node(const dist_topology *topology, const dist_site_ranks *site, int local)
{
    int node = topology->place[site->rank[local]].node;
    for (int i = local - 1; i >= 0; i--) {
        if (topology->place[site->rank[i]].node == node)
            return false;
    }
    return true;
}

static void write_site(const dist_topology *topology, int number, FILE *file)
{
    const dist_site_ranks *site = &topology->site[number];
    fprintf(file, "site %d %s: ", number, site->name);
    write_count(file, site->count, "rank");
    fputc('\n', file);
    for (int local = 0; local < site->count; local++) {
        const dist_place *place = &topology->place[site->rank[local]];
        if (!begins_node(topology, site, local))
            continue;
        fprintf(file, "  node %d %s: ranks ", place->node, place->host);
        write_ranks(topology, site, place->node, file);
        fputc('\n', file);
    }
}

/* Rank by rank, the peers across sites: each rail moves its own part of a vector, all of them at once. */
static void write_rails(const dist_topology *topology, FILE *file)
{
    for (int rail = 0; rail < topology->rails; rail++) {
        fprintf(file, "rail %d: ranks ", rail);
        for (int site = 0; site < topology->sites; site++)
            fprintf(file, "%s%d", site ? "," : "", dist_topology_rank(topology, site, rail));
        fputc('\n', file);
    }
    if (topology->equal)
        return;
    const char *separator = "on no rail, because the smallest site has fewer: ranks ";
    for (int rank = 0; rank < topology->ranks; rank++) {
        if (topology->place[rank].local < topology->rails)
            continue;
        fprintf(file, "%s%d", separator, rank);
        separator = ",";
    }
    fputc('\n', file);
}

static void write_link(const dist_topology *topology, int from, int to, FILE *file)
{
    const dist_link *link = &topology->link[(size_t)from * (size_t)topology->sites + (size_t)to];
    if (from == to)
        fprintf(file, "inside %s: ", topology->site[from].name);
    else
        fprintf(file, "%s to %s: ", topology->site[from].name, topology->site[to].name);
    fprintf(file, "latency %.3f ms, bandwidth %.1f MB/s\n", link->latency * 1e3, link->bandwidth * 1e-6);
}

void dist_topology_write(const dist_topology *topology, FILE *file)
{
    write_count(file, topology->ranks, "rank");
    fputs(" on ", file);
    write_count(file, topology->nodes, "node");
    fputs(" in ", file);
    write_count(file, topology->sites, "site");
    if (topology->why[0])
        fprintf(file, " (%s)", topology->why);
    fputc('\n', file);
    for (int site = 0; site < topology->sites; site++)
        write_site(topology, site, file);
    if (topology->sites > 1)
        write_rails(topology, file);
    if (!topology->link)
        return;
    for (int from = 0; from < topology->sites; from++) {
        for (int to = 0; to < topology->sites; to++)
            write_link(topology, from, to, file);
    }
}
