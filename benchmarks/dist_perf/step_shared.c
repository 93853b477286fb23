/* What averages of replicas take: of one position alone, and of all positions at once. */
#include <math.h>
#include <stdlib.h>

#include "step_pipeline.h"

#define LONGEST_REST 1.0 /* seconds between two averages that are measured */

/* `buckets` of `bytes` of the position that crosses most, or of all. */
static dist_status open_probe(dist_context *context, const step_options *o, const step_places *places,
                              size_t bytes, size_t buckets, bool all, step_shared *s)
{
    const step_shape shape = {
        .mesh = places->mesh, .schedule = "gpipe", .microbatches = 1, .boundary = sizeof(float)};
    step_actor *a = &s->actor[s->probes];
    dist_parameter parameter[STEP_TOGETHER];
    dist_data_parallel_options options = step_averages(o);
    options.bucket_bytes = options.first_bucket_bytes = bytes;
    for (size_t b = 0; b < buckets; b++)
        parameter[b] =
            (dist_parameter){.name = "probe", .count = bytes / dist_type_bytes(o->type), .type = o->type};
    s->bytes[s->probes++] = (double)bytes * (double)buckets;
    const dist_status status = step_actor_open(context, o, &shape, a);
    if (status < 0)
        return status;
    const int n = all || a->shape.position == places->crossing ? (int)buckets : 0;
    return step_actor_register(context, a, o, dist_pipeline_stage(a->pipeline, 0), parameter, n, &options);
}

dist_status step_shared_open(dist_context *context, const step_options *o, const step_places *places,
                             size_t largest, size_t buckets, step_shared *s)
{
    size_t size[STEP_SIZES];
    const int sizes = step_sizes(largest, dist_type_bytes(o->type), size);
    const size_t together = buckets < STEP_TOGETHER ? buckets : STEP_TOGETHER;
    dist_status status = DIST_OK;
    s->rest = fmin(o->compute / 3, LONGEST_REST);
    if (o->replicas == 1 || largest == 0)
        return DIST_OK;
    status = open_probe(context, o, places, size[0], together, false, s);
    for (int i = together > 1 ? 0 : 1; i < sizes && s->probes + 1 < STEP_SIZES && status == DIST_OK; i++)
        status = open_probe(context, o, places, size[i], 1, false, s);
    return status == DIST_OK ? open_probe(context, o, places, size[0], together, true, s) : status;
}

/* times 0: once, unseen. */
dist_status step_shared_sample(const step_places *places, int rank, step_shared *s, int times)
{
    dist_status status = DIST_OK;
    for (int t = 0; t < (times ? times : 1); t++) {
        for (int i = s->probes; i-- > 0 && status == DIST_OK;) {
            int64_t debt = 0;
            dist_pipeline_stats stats = {0};
            perf_wait(&debt, s->rest);
            status = dist_pipeline_step(s->actor[i].pipeline);
            if (status == DIST_OK)
                status = dist_pipeline_stats_get(s->actor[i].pipeline, &stats);
            const bool counts = places->position[rank] == places->crossing;
            s->time[i][s->samples] = counts ? stats.exposed / s->actor[i].shape.replicas : 0;
            s->across[i] = counts ? (double)stats.bytes_across : 0;
        }
        s->samples += times > 0;
    }
    return status;
}

dist_status step_shared_fit(dist_context *context, step_shared *s, step_result *r, step_line *across)
{
    double seconds[STEP_SIZES];
    const int last = s->probes - 1;
    for (int i = 0; i < s->probes; i++) {
        const dist_status status = dist_reduce_scalars(context, s->time[i], (size_t)s->samples, DIST_SUM);
        if (status < 0)
            return status;
        seconds[i] = perf_median(s->time[i], s->samples);
    }
    if (last < 1)
        return DIST_OK;
    const dist_status status = dist_reduce_scalars(context, s->across, (size_t)last, DIST_SUM);
    r->average = step_line_through(s->bytes, seconds, last);
    r->residual = step_residual(&r->average, s->bytes, seconds, last);
    *across = step_line_through(s->bytes, s->across, last);
    r->sharing = seconds[0] > 0 ? fmax(1, seconds[last] / seconds[0]) : 1;
    return status;
}

dist_status step_shared_close(step_shared *s, dist_status status)
{
    for (int i = 0; i < STEP_SIZES; i++) {
        const dist_status ended = dist_pipeline_destroy(s->actor[i].pipeline);
        status = status < 0 ? status : ended;
    }
    return status;
}
