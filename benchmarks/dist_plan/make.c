/* From options to plans. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

/* ---- pipelines ---- */

typedef struct layers {
    plan_times times;
    plan_numbers memory;
    double *total; /* [times.count] all that a layer takes */
} layers;

static int read_layers(layers *l, const char *path)
{
    if (!plan_read_layers(path, &l->times, &l->memory))
        return plan_complain(
            PLAN_USAGE,
            "--layers takes a file with a line a layer, F,B,W and its memory, all finite and at least 0, "
            "not '%s'",
            path);
    l->total = malloc((size_t)l->times.count * sizeof *l->total);
    if (!l->total)
        return plan_complain(PLAN_FAILED, "no memory for %d layers", l->times.count);
    for (int i = 0; i < l->times.count; i++) {
        const dist_stage_times *t = &l->times.value[i];
        l->total[i] = t->forward + t->backward + t->weight;
    }
    return PLAN_FINE;
}

static void layers_end(layers *l)
{
    free(l->times.value);
    free(l->memory.value);
    free(l->total);
}

/* The layers split over `stages` stages, and what that makes of the ranks' times: stage s is on rank_of[s],
 * or on rank s where that is NULL. */
static int split(plan_case *c, const layers *l, int stages, const int *rank_of, int ranks, plan_times *times)
{
    int *first = realloc(c->first, ((size_t)stages + 1) * sizeof *first);
    dist_stage_times *sum = calloc((size_t)ranks, sizeof *sum);
    c->first = first ? first : c->first;
    free(times->value);
    *times = (plan_times){sum, ranks};
    if (!first || !sum)
        return plan_complain(PLAN_FAILED, "no memory for %d stages", stages);
    const dist_status status =
        dist_partition(l->total, l->memory.value, l->times.count, stages, c->options->layer_memory, first);
    if (status < 0)
        return plan_refused(status);
    for (int s = 0; s < stages; s++) {
        dist_stage_times *of = &sum[rank_of ? rank_of[s] : s];
        for (int i = first[s]; i < first[s + 1]; i++) {
            of->forward += l->times.value[i].forward;
            of->backward += l->times.value[i].backward;
            of->weight += l->times.value[i].weight;
        }
    }
    return PLAN_FINE;
}

static int create(plan_case *c, const plan_times *times)
{
    const plan_options *o = c->options;
    dist_plan_pipeline_request request = DIST_PLAN_PIPELINE_REQUEST_INIT;
    request.schedule = o->schedule;
    request.ranks = o->stages;
    request.microbatches = o->microbatches;
    request.times = times->value;
    request.time_count = times->count;
    request.latency = o->latency.value;
    request.latency_count = o->latency.count;
    request.bandwidth = o->bandwidth > 0 ? o->bandwidth : 0;
    request.boundary_bytes = o->boundary;
    request.stash_bytes = o->stash;
    request.memory = o->memory;
    request.memory_bytes = o->memory_bytes;
    dist_plan_set_destroy(c->set);
    dist_status status = dist_plan_set_create_pipeline(&c->set, &request);
    if (status >= 0)
        status = dist_plan_set_pipeline(c->set, &c->pipeline);
    return status < 0 ? plan_refused(status) : PLAN_FINE;
}

/* Which stages there are is known once there is a schedule, and auto's depends on the times: first as if
 * there were one stage a rank. */
static int create_of_layers(plan_case *c)
{
    const plan_times even = {0};
    plan_times times = {0};
    layers l = {0};
    int status = read_layers(&l, c->options->layers);
    if (status == PLAN_FINE && !c->options->stages) /* a file's schedule knows */
        status = create(c, &even);
    const int ranks = c->options->stages ? c->options->stages : c->pipeline.ranks;
    if (status == PLAN_FINE && l.times.count < ranks)
        status = plan_complain(PLAN_USAGE, "%d layers are too few for %d ranks", l.times.count, ranks);
    if (status == PLAN_FINE)
        status = split(c, &l, ranks, NULL, ranks, &times);
    if (status == PLAN_FINE)
        status = create(c, &times);
    if (status == PLAN_FINE && c->pipeline.chunks > 1) {
        const dist_plan_pipeline shape = c->pipeline;
        status = split(c, &l, shape.stages, shape.rank_of, ranks, &times);
        if (status == PLAN_FINE)
            status = create(c, &times);
        if (status == PLAN_FINE && c->pipeline.chunks != shape.chunks)
            status = plan_complain(
                PLAN_USAGE, "auto takes %s when the layers are split for %d stages a rank; name a schedule",
                c->pipeline.schedule, shape.chunks);
    }
    free(times.value);
    layers_end(&l);
    return status;
}

int plan_make_pipeline(plan_case *c)
{
    const int status = c->options->layers ? create_of_layers(c) : create(c, &c->options->times);
    if (status != PLAN_FINE)
        return status;
    const dist_plan_pipeline *p = &c->pipeline;
    int used =
        snprintf(c->title, sizeof c->title, "%s, %d rank%s", p->schedule, p->ranks, p->ranks > 1 ? "s" : "");
    if (p->chunks > 1)
        used += snprintf(c->title + used, sizeof c->title - (size_t)used, " of %d stages", p->chunks);
    snprintf(c->title + used, sizeof c->title - (size_t)used, ", %d microbatch%s", p->microbatches,
             p->microbatches > 1 ? "es" : "");
    return PLAN_FINE;
}

/* ---- collectives ---- */

/* Numbers of ranks separated by commas, or one for all sites. */
static bool place_ranks(plan_case *c, int sites, const char *ranks)
{
    plan_numbers each = {0};
    int all = 0;
    bool good = plan_read_numbers(ranks, &each) && (each.count == 1 || each.count == sites);
    for (int s = 0; good && s < sites; s++) {
        const int count = (int)each.value[each.count == 1 ? 0 : s];
        int *site_of = realloc(c->site_of, ((size_t)all + (size_t)count) * sizeof *site_of);
        good = site_of != NULL;
        c->site_of = good ? site_of : c->site_of;
        for (int r = 0; good && r < count; r++)
            site_of[all++] = s;
    }
    free(each.value);
    return good;
}

static int count_commas(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += *text == ',';
    return count;
}

static int describe(const plan_options *o, char *cluster, size_t size, int *sites)
{
    const int listed = count_commas(o->ranks) + 1;
    *sites = listed > 1 ? listed : o->sites ? o->sites : 1;
    if (listed > 1 && o->sites && o->sites != listed)
        return plan_complain(PLAN_USAGE, "--ranks %s lists %d sites, but --sites is %d", o->ranks, listed,
                             o->sites);
    const int length = listed > 1 ? snprintf(cluster, size, "%s", o->ranks)
                                  : snprintf(cluster, size, "%dx%s", *sites, o->ranks);
    if ((size_t)length >= size)
        return plan_complain(PLAN_USAGE, "--ranks lists too many sites");
    return PLAN_FINE;
}

int plan_make_collective(plan_case *c)
{
    const plan_options *o = c->options;
    dist_plan_request request = DIST_PLAN_REQUEST_INIT;
    char cluster[4096];
    int sites;
    const int described = describe(o, cluster, sizeof cluster, &sites);
    if (described != PLAN_FINE)
        return described;
    request.cluster = cluster;
    request.collective = o->command;
    request.algo = o->algo;
    request.codec = o->codec;
    request.type = o->type;
    request.count = o->bytes / dist_type_bytes(o->type);
    request.inside = (dist_link){o->inside_latency, o->inside_bandwidth};
    if (o->latency.count)
        request.across.latency = o->latency.value[0];
    if (o->bandwidth >= 0)
        request.across.bandwidth = o->bandwidth;
    request.copy_rate = o->copy_rate;
    request.reduce_rate = o->reduce_rate;
    request.codec_rate = o->codec_rate;
    request.memory = o->cuda || o->nccl ? DIST_MEMORY_CUDA : DIST_MEMORY_HOST;
    request.nccl = o->nccl;
    const dist_status status = dist_plan_set_create(&c->set, &request);
    if (status < 0)
        return plan_refused(status);
    if (!place_ranks(c, sites, o->ranks))
        return plan_complain(PLAN_FAILED, "no memory for the ranks %s", o->ranks);
    snprintf(c->title, sizeof c->title, "%s of %llu bytes, %s, codec %s, %d ranks in %d site%s", o->command,
             (unsigned long long)o->bytes, o->algo ? o->algo : "auto", o->codec ? o->codec : "none",
             dist_plan_set_ranks(c->set), sites, sites > 1 ? "s" : "");
    return PLAN_FINE;
}
