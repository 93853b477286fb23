/* What a collective cannot be faster than: the bytes that must cross between sites at plain TCP's goodput, or be copied inside a
 * node. */
#include <stdlib.h>
#include <string.h>

#include "perf.h"

#define COPIES 5 /* of which the fastest counts */

static void measure_tcp(const int *agent, perf_link *link)
{
    perf_goodput result[PERF_GOODPUTS];
    char trouble[256] = "";
    const int n = perf_goodput_measure(agent, link->groups, 4, PERF_STREAMS_MOST, true, result, trouble);
    for (int i = 0; i < n; i++)
        if (result[i].sum > link->rate) {
            link->rate = result[i].sum;
            link->streams = result[i].streams;
        }
    if (n == 0)
        snprintf(link->sentence, sizeof link->sentence, "no bound: %.200s", trouble);
    else
        snprintf(link->sentence, sizeof link->sentence,
                 "bound: at the goodput of plain TCP, all links both ways at once: %.2f MB/s a direction "
                 "with %d stream%s",
                 link->rate / 1e6, link->streams, link->streams > 1 ? "s" : "");
}

void perf_link_find(dist_context *context, const perf_options *options, perf_link *link)
{
    int *agent = calloc((size_t)dist_ranks(context), sizeof *agent);
    *link = (perf_link){.groups = 1};
    if (agent)
        link->groups = perf_agents(context, dist_sites(context) > 1, agent);
    if (options->no_bound) {
        snprintf(link->sentence, sizeof link->sentence, "no bound: not asked for");
        link->groups = 0;
    } else if (link->groups == 1 && options->buffers == PERF_CUDA) {
        snprintf(link->sentence, sizeof link->sentence,
                 "no bound: none is known for device memory inside a node");
        link->groups = 0;
    } else if (link->groups == 1) {
        snprintf(link->sentence, sizeof link->sentence,
                 "bound: size over the bandwidth of copying by all ranks at once");
    } else if (options->link_rate > 0) {
        link->rate = options->link_rate;
        snprintf(link->sentence, sizeof link->sentence, "bound: at %.2f MB/s a direction, as given",
                 link->rate / 1e6);
    } else {
        perf_progress(context, "measuring plain TCP");
        measure_tcp(agent, link);
        perf_progress(context, NULL);
    }
    free(agent);
}

double perf_copy_time(size_t bytes)
{
    char *from = malloc(bytes + 1), *to = malloc(bytes + 1);
    double best = 0;
    const bool good = perf_all(from && to);
    if (good) {
        memset(from, 1, bytes);
        memset(to, 2, bytes);
    }
    for (int i = 0; good && i < COPIES; i++) {
        const int times = bytes < 1 << 20 ? (1 << 20) / ((int)bytes + 1) + 1 : 1;
        MPI_Barrier(MPI_COMM_WORLD);
        const double began = perf_seconds();
        for (int t = 0; t < times; t++) {
            memcpy(to, from, bytes);
            __asm__ volatile("" : : "r"(to) : "memory"); /* all of them are made */
        }
        double took = (perf_seconds() - began) / times;
        perf_reduce(&took, 1, MPI_MAX);
        best = i == 0 || took < best ? took : best;
    }
    free(from);
    free(to);
    return best;
}

double perf_codec_ratio(const char *name)
{
    const size_t count = 1 << 20;
    double ratio = 1;
    dist_codec *codec = NULL;
    if (strcmp(name, "none") != 0 && dist_codec_create(&codec, name) == DIST_OK)
        ratio = (double)dist_codec_encoded_bytes(codec, count) / (4.0 * (double)count);
    dist_codec_destroy(codec);
    return ratio;
}
