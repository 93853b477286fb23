/* What an all-reduce cannot be faster than: the bytes that must cross between sites at plain TCP's goodput, or be copied inside a
 * node. */
#include <stdlib.h>
#include <string.h>

#include "perf.h"

#define COPIES 5 /* of which the fastest counts */

/* The first rank of each site, or of each node of one site; returns how many there are. */
static int find_agents(const dist_context *context, int *agent)
{
    const bool sites = dist_sites(context) > 1;
    const int mine = sites ? dist_site(context) : dist_node(context), ranks = dist_ranks(context);
    const int groups = sites ? dist_sites(context) : dist_nodes(context);
    for (int g = 0; g < groups; g++) {
        const int candidate = mine == g ? dist_rank(context) : ranks;
        MPI_Allreduce(&candidate, &agent[g], 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    }
    return groups;
}

void perf_link_find(dist_context *context, const perf_options *options, perf_link *link)
{
    int *agent = calloc((size_t)dist_ranks(context), sizeof *agent);
    *link = (perf_link){.groups = 1};
    if (agent)
        link->groups = find_agents(context, agent);
    if (options->no_bound) {
        snprintf(link->sentence, sizeof link->sentence, "no bound: not asked for");
        link->groups = 0;
    } else if (link->groups == 1) {
        snprintf(link->sentence, sizeof link->sentence,
                 "bound: size over the bandwidth of copying by all ranks at once");
    } else if (options->link_rate > 0) {
        link->rate = options->link_rate;
        snprintf(link->sentence, sizeof link->sentence, "bound: at %.2f MB/s a direction, as given",
                 link->rate / 1e6);
    } else {
        perf_goodput(agent, link->groups, link);
    }
    free(agent);
}

/* Seconds to copy, all ranks at once: to add up n vectors on n ranks, each must be read and each sum written, which is a copy of the
 * vector a rank. */
static double time_to_copy(size_t bytes)
{
    char *from = malloc(bytes), *to = malloc(bytes);
    double best = 0;
    int good = from && to;
    MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (good) {
        memset(from, 1, bytes);
        memset(to, 2, bytes);
    }
    for (int i = 0; good && i < COPIES; i++) {
        const int times = bytes < 1 << 20 ? (1 << 20) / (int)bytes : 1;
        MPI_Barrier(MPI_COMM_WORLD);
        const double began = MPI_Wtime();
        for (int t = 0; t < times; t++) {
            memcpy(to, from, bytes);
            __asm__ volatile("" : : "r"(to) : "memory"); /* all of them are made */
        }
        double took = (MPI_Wtime() - began) / times;
        MPI_Allreduce(MPI_IN_PLACE, &took, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        best = i == 0 || took < best ? took : best;
    }
    free(from);
    free(to);
    return best;
}

/* Encoded bytes / bytes. */
static double ratio_of(const char *name)
{
    const size_t count = 1 << 20;
    double ratio = 1;
    dist_codec *codec = NULL;
    if (strcmp(name, "none") != 0 && dist_codec_create(&codec, name) == DIST_OK)
        ratio = (double)dist_codec_encoded_bytes(codec, count) / (4.0 * (double)count);
    dist_codec_destroy(codec);
    return ratio;
}

double perf_bound(dist_context *context, const perf_link *link, const perf_variant *variant, size_t bytes)
{
    const double k = link->groups;
    if (link->groups == 1)
        return dist_ranks(context) > 1 ? time_to_copy(bytes) : 0;
    if (!(link->rate > 0))
        return 0;
    return 2 * (k - 1) / k * (double)bytes * ratio_of(variant->codec) / link->rate;
}
