/* Sets of plans of one pipeline. */
#include "plan_set_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* ---- the request ---- */

static bool is_time(double value)
{
    return value >= 0 && !isinf(value);
}

static dist_status check_numbers(const dist_plan_pipeline_request *request)
{
    if ((request->time_count > 0 && !request->times) || (request->latency_count > 0 && !request->latency))
        return dist_fail(DIST_ERR_ARGUMENT, "dist_plan_pipeline_request: %d times or %d latencies are NULL",
                         request->time_count, request->latency_count);
    for (int i = 0; i < request->time_count; i++) {
        const dist_stage_times *t = &request->times[i];
        if (!is_time(t->forward) || !is_time(t->backward) || !is_time(t->weight))
            return dist_fail(DIST_ERR_ARGUMENT,
                             "the times of rank %d, %g, %g, %g, are not all finite and at least 0", i,
                             t->forward, t->backward, t->weight);
    }
    for (int j = 0; j < request->latency_count; j++)
        if (!is_time(request->latency[j]))
            return dist_fail(DIST_ERR_ARGUMENT,
                             "latency %g between ranks %d and %d is not finite and at least 0",
                             request->latency[j], j, j + 1);
    if (!is_time(request->bandwidth) || !is_time(request->memory))
        return dist_fail(DIST_ERR_ARGUMENT,
                         "a bandwidth of %g or a memory of %g is not finite and at least 0",
                         request->bandwidth, request->memory);
    if (request->boundary_bytes > INT32_MAX || request->stash_bytes > INT64_MAX / INT32_MAX)
        return dist_fail(
            DIST_ERR_ARGUMENT, "%llu bytes between stages or %llu bytes of stash: at most %d and %lld",
            (unsigned long long)request->boundary_bytes, (unsigned long long)request->stash_bytes, INT32_MAX,
            (long long)(INT64_MAX / INT32_MAX));
    return DIST_OK;
}

/* Times and latencies of every rank. The shape is that of the request, or of the file. */
static dist_status spread(dist_set_pipeline *p, const dist_plan_pipeline_request *request, int ranks)
{
    const int times = request->time_count, latencies = request->latency_count;
    if (times != 0 && times != 1 && times != ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "%d times for %d ranks; give one for all of them, or %d", times,
                         ranks, ranks);
    if (latencies != 0 && latencies != 1 && latencies != ranks - 1)
        return dist_fail(DIST_ERR_ARGUMENT, "%d latencies between %d ranks; give one for all edges, or %d",
                         latencies, ranks, ranks - 1);
    p->times = calloc((size_t)ranks, sizeof *p->times);
    p->latency = calloc((size_t)ranks, sizeof *p->latency);
    p->delay = calloc((size_t)ranks, sizeof *p->delay);
    p->peak = calloc((size_t)ranks, sizeof *p->peak);
    if (!p->times || !p->latency || !p->delay || !p->peak)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a pipeline of %d ranks", ranks);
    const double message = (double)(request->boundary_bytes + sizeof(dist_parcel));
    for (int r = 0; r < ranks; r++) {
        p->times[r] = times ? request->times[times == 1 ? 0 : r] : (dist_stage_times){1, 1, 1};
        if (latencies && r + 1 < ranks)
            p->latency[r] = request->latency[latencies == 1 ? 0 : r];
        p->delay[r] = p->latency[r] + (request->bandwidth > 0 ? message / request->bandwidth : 0);
    }
    p->bandwidth = request->bandwidth;
    p->boundary_bytes = request->boundary_bytes;
    p->stash_bytes = request->stash_bytes;
    p->memory_bytes = request->memory_bytes;
    return DIST_OK;
}

/* ---- the schedule ---- */

static dist_status read_schedule(dist_set_pipeline *p, const dist_plan_pipeline_request *request,
                                 const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return dist_fail(DIST_ERR_IO, "the schedule in '%s' cannot be read: %s", path, strerror(errno));
    const dist_status status = dist_schedule_read(&p->schedule, file, path);
    fclose(file);
    DIST_TRY(status);
    const dist_schedule *s = p->schedule;
    if ((request->ranks && request->ranks != s->ranks) ||
        (request->microbatches && request->microbatches != s->microbatches))
        return dist_fail(DIST_ERR_ARGUMENT,
                         "the schedule in '%s' is of %d ranks and %d microbatches, not of %d and %d", path,
                         s->ranks, s->microbatches, request->ranks, request->microbatches);
    return spread(p, request, s->ranks);
}

static dist_status make_schedule(dist_set_pipeline *p, const dist_plan_pipeline_request *request)
{
    const char *name = request->schedule ? request->schedule : "auto";
    if (strncmp(name, "file:", 5) == 0)
        return read_schedule(p, request, name + 5);
    if (request->ranks < 1 || request->microbatches < 1)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "a pipeline of %d ranks and %d microbatches; there must be at least one of each",
                         request->ranks, request->microbatches);
    DIST_TRY(spread(p, request, request->ranks));
    const dist_schedule_request wanted = {.name = name,
                                          .ranks = request->ranks,
                                          .microbatches = request->microbatches,
                                          .times = p->times,
                                          .latency = p->delay,
                                          .memory = request->memory};
    return dist_schedule_create(&p->schedule, &wanted);
}

/* Whether each message stays on one edge. */
static bool is_among_neighbours(const dist_schedule *s)
{
    for (int stage = 1; stage < s->stages; stage++)
        if (abs(s->rank_of[stage] - s->rank_of[stage - 1]) > 1)
            return false;
    return true;
}

static dist_status take_figures(dist_set_pipeline *p, const dist_schedule_time *time, double memory)
{
    const dist_schedule *s = p->schedule;
    for (int r = 0; r < s->ranks; r++) {
        p->peak[r] = time->peak[r];
        if (memory > 0 && p->peak[r] > memory)
            return dist_fail(DIST_ERR_ARGUMENT,
                             "%s: rank %d would hold %g microbatches, but the memory is for %g", s->name, r,
                             p->peak[r], memory);
    }
    /* A message over several edges is on one of them only, and does not cost what one on each would. */
    p->bound = is_among_neighbours(s) ? time->bound : dist_schedule_bound(s, p->times, p->latency);
    return DIST_OK;
}

/* ---- the plans ---- */

dist_lowering dist_set_lowering(const dist_plan_set *set)
{
    const dist_set_pipeline *p = &set->pipeline;
    return (dist_lowering){.schedule = p->schedule,
                           .ranks = set->ranks,
                           .boundary_bytes = p->boundary_bytes,
                           .times = p->times,
                           .stash_bytes = p->stash_bytes};
}

static dist_status fill(dist_plan_set *set, const void *given)
{
    const dist_plan_pipeline_request *request = given;
    dist_set_pipeline *p = &set->pipeline;
    dist_schedule_time time;
    DIST_TRY(check_numbers(request));
    DIST_TRY(make_schedule(p, request));
    DIST_TRY(dist_set_allocate(set, p->schedule->ranks));
    DIST_TRY(dist_schedule_run(p->schedule, p->times, p->delay, &time));
    const dist_status status = take_figures(p, &time, request->memory);
    dist_schedule_time_end(&time, set->ranks);
    DIST_TRY(status);
    const dist_lowering lowering = dist_set_lowering(set);
    for (int r = 0; r < set->ranks; r++)
        DIST_TRY(dist_lower(&set->plan[r], &lowering, r));
    return DIST_OK;
}

dist_status dist_plan_set_create_pipeline(dist_plan_set **set, const dist_plan_pipeline_request *request)
{
    if (!set || !request)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_plan_set_create_pipeline: the request or the place for the set is NULL");
    *set = NULL;
    if (request->size < sizeof *request || request->version != DIST_PLAN_PIPELINE_REQUEST_VERSION)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_plan_pipeline_request: start it with DIST_PLAN_PIPELINE_REQUEST_INIT");
    return dist_set_make(set, fill, request);
}

void dist_set_pipeline_end(dist_set_pipeline *pipeline)
{
    dist_schedule_destroy(pipeline->schedule);
    free(pipeline->times);
    free(pipeline->latency);
    free(pipeline->delay);
    free(pipeline->peak);
}

/* ---- what it is ---- */

static dist_status check_pipeline(const dist_plan_set *set, const void *place, const char *call)
{
    if (!set || !place)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: the set or the place for the answer is NULL", call);
    if (!dist_set_is_pipeline(set))
        return dist_fail(DIST_ERR_STATE, "%s: the plans are of a collective, which has no schedule", call);
    return DIST_OK;
}

dist_status dist_plan_set_pipeline(const dist_plan_set *set, dist_plan_pipeline *pipeline)
{
    DIST_TRY(check_pipeline(set, pipeline, __func__));
    const dist_schedule *s = set->pipeline.schedule;
    *pipeline = (dist_plan_pipeline){.schedule = s->name,
                                     .ranks = s->ranks,
                                     .chunks = s->chunks,
                                     .stages = s->stages,
                                     .microbatches = s->microbatches,
                                     .split = s->split,
                                     .rank_of = s->rank_of,
                                     .times = set->pipeline.times,
                                     .latency = set->pipeline.latency};
    return DIST_OK;
}

dist_status dist_plan_set_write_schedule(const dist_plan_set *set, FILE *file)
{
    DIST_TRY(check_pipeline(set, file, __func__));
    return dist_schedule_write(set->pipeline.schedule, file);
}
