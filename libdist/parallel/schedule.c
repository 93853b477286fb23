/* Schedules: their names, their shape, and which generator writes them. */
#include "parallel/schedule.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "parallel/schedule_internal.h"

const char *const dist_schedule_names[] = {
#define DIST_SCHEDULE_NAME(id, name, generator) name,
    DIST_SCHEDULE_LIST(DIST_SCHEDULE_NAME)
#undef DIST_SCHEDULE_NAME
        NULL};

static dist_schedule_generator *const generators[] = {
#define DIST_SCHEDULE_GENERATOR(id, name, generator) generator,
    DIST_SCHEDULE_LIST(DIST_SCHEDULE_GENERATOR)
#undef DIST_SCHEDULE_GENERATOR
};

static dist_status unknown_name(const char *name)
{
    char list[256] = "";
    for (size_t i = 0, used = 0; dist_schedule_names[i] && used < sizeof list; i++)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", dist_schedule_names[i]);
    return dist_fail(DIST_ERR_ARGUMENT, "no schedule is called '%s'; there are %s", name, list);
}

/* The number after `key`; 0 when the text is anything else. */
static int parameter(const char *text, const char *key)
{
    const size_t length = strlen(key);
    if (strncmp(text, key, length) != 0 || text[length] < '0' || text[length] > '9')
        return 0;
    char *end;
    const long number = strtol(text + length, &end, 10);
    return *end || number < 1 || number > INT_MAX ? 0 : (int)number;
}

dist_status dist_schedule_parse(const char *name, dist_schedule_spec *spec)
{
    if (!name || !*name)
        return dist_fail(DIST_ERR_ARGUMENT, "the schedule has no name");
    const char *colon = strchr(name, ':');
    const size_t length = colon ? (size_t)(colon - name) : strlen(name);
    int family = 0;
    while (family < DIST_SCHEDULE_FAMILIES && (strlen(dist_schedule_names[family]) != length ||
                                               memcmp(dist_schedule_names[family], name, length) != 0))
        family++;
    if (family == DIST_SCHEDULE_FAMILIES)
        return unknown_name(name);
    *spec = (dist_schedule_spec){.family = (dist_schedule_family)family};
    if (spec->family == DIST_SCHEDULE_INTERLEAVED) {
        spec->v = colon ? parameter(colon + 1, "v=") : 0;
        if (!spec->v)
            return dist_fail(DIST_ERR_ARGUMENT,
                             "'%s': write interleaved:v=V, where each rank holds V >= 1 stages", name);
        snprintf(spec->name, sizeof spec->name, "interleaved:v=%d", spec->v);
    } else if (spec->family == DIST_SCHEDULE_EAGER && colon) {
        spec->cap = parameter(colon + 1, "cap=");
        if (!spec->cap)
            return dist_fail(
                DIST_ERR_ARGUMENT,
                "'%s': write eager1f1b or eager1f1b:cap=D, where a rank holds at most D >= 1 microbatches",
                name);
        snprintf(spec->name, sizeof spec->name, "eager1f1b:cap=%d", spec->cap);
    } else if (colon) {
        return dist_fail(DIST_ERR_ARGUMENT, "'%s': %s takes no parameter", name, dist_schedule_names[family]);
    } else {
        snprintf(spec->name, sizeof spec->name, "%s", dist_schedule_names[family]);
    }
    return DIST_OK;
}

dist_schedule *dist_schedule_new(const char *name, int ranks, int chunks, int microbatches, bool split)
{
    dist_schedule *schedule = calloc(1, sizeof *schedule);
    if (!schedule)
        return NULL;
    snprintf(schedule->name, sizeof schedule->name, "%s", name);
    schedule->ranks = ranks;
    schedule->chunks = chunks;
    schedule->stages = ranks * chunks;
    schedule->microbatches = microbatches;
    schedule->split = split;
    schedule->rank_of = calloc((size_t)schedule->stages, sizeof *schedule->rank_of);
    schedule->slot = calloc((size_t)ranks, sizeof(dist_slot *));
    schedule->slots = calloc((size_t)ranks, sizeof *schedule->slots);
    if (schedule->rank_of && schedule->slot && schedule->slots)
        return schedule;
    dist_schedule_destroy(schedule);
    return NULL;
}

dist_status dist_schedule_begin(dist_schedule **out, const dist_schedule_spec *spec,
                                const dist_schedule_request *request, int chunks,
                                dist_schedule_placement placement, bool split)
{
    const int ranks = request->ranks;
    if (chunks > DIST_SCHEDULE_MOST_STAGES / ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %d ranks of %d stages each are more than %d stages",
                         spec->name, ranks, chunks, DIST_SCHEDULE_MOST_STAGES);
    dist_schedule *schedule = dist_schedule_new(spec->name, ranks, chunks, request->microbatches, split);
    const size_t most = (size_t)request->microbatches * (size_t)chunks * (split ? 3 : 2);
    bool whole = schedule != NULL;
    for (int r = 0; whole && r < ranks; r++)
        whole = (schedule->slot[r] = malloc(most * sizeof(dist_slot))) != NULL;
    if (!whole) {
        dist_schedule_destroy(schedule);
        return dist_fail(DIST_ERR_MEMORY, "%s: no memory for %d ranks of %zu slots", spec->name, ranks, most);
    }
    for (int s = 0; s < schedule->stages; s++)
        schedule->rank_of[s] = placement == DIST_PLACE_V && s >= ranks ? 2 * ranks - 1 - s : s % ranks;
    *out = schedule;
    return DIST_OK;
}

void dist_schedule_destroy(dist_schedule *schedule)
{
    if (!schedule)
        return;
    for (int r = 0; schedule->slot && r < schedule->ranks; r++)
        free(schedule->slot[r]);
    free(schedule->slot);
    free(schedule->slots);
    free(schedule->rank_of);
    free(schedule);
}

static bool is_time(double time)
{
    return isfinite(time) && time >= 0;
}

static dist_status check_request(const dist_schedule_request *request)
{
    if (request->ranks < 1 || request->ranks > DIST_SCHEDULE_MOST_STAGES || request->microbatches < 1)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "a schedule of %d ranks and %d microbatches: 1 to %d ranks and at least 1 "
                         "microbatch are needed",
                         request->ranks, request->microbatches, DIST_SCHEDULE_MOST_STAGES);
    for (int r = 0; r < request->ranks; r++) {
        const dist_stage_times t = dist_schedule_times_of(request->times, r);
        if (!is_time(t.forward) || !is_time(t.backward) || !is_time(t.weight))
            return dist_fail(DIST_ERR_ARGUMENT, "rank %d: times %g, %g, %g are not all finite and at least 0",
                             r, t.forward, t.backward, t.weight);
        if (r + 1 < request->ranks && !is_time(dist_schedule_latency_of(request->latency, r)))
            return dist_fail(DIST_ERR_ARGUMENT,
                             "latency %g between ranks %d and %d is not finite and at least 0",
                             request->latency[r], r, r + 1);
    }
    if (!is_time(request->memory))
        return dist_fail(DIST_ERR_ARGUMENT, "a memory of %g microbatches is not finite and at least 0",
                         request->memory);
    return DIST_OK;
}

static dist_status check_memory(const dist_schedule *schedule, double memory)
{
    for (int r = 0; memory > 0 && r < schedule->ranks; r++) {
        const double peak = dist_schedule_peak(schedule, r);
        if (peak > memory)
            return dist_fail(DIST_ERR_ARGUMENT,
                             "%s: rank %d would hold %g microbatches, but the memory is for %g",
                             schedule->name, r, peak, memory);
    }
    return DIST_OK;
}

dist_status dist_schedule_create(dist_schedule **schedule, const dist_schedule_request *request)
{
    *schedule = NULL;
    dist_schedule_spec spec;
    DIST_TRY(dist_schedule_parse(request->name, &spec));
    DIST_TRY(check_request(request));
    dist_status status = generators[spec.family](schedule, &spec, request);
    if (status == DIST_OK)
        status = check_memory(*schedule, request->memory);
    if (status < 0) {
        dist_schedule_destroy(*schedule);
        *schedule = NULL;
    }
    return status;
}
