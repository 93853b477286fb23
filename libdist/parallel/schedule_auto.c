/* auto: the schedule with the smallest makespan that the shape and the memory allow; of equals the first of the
 * list. */
#include "base/error.h"
#include "parallel/schedule_internal.h"

/* How `auto` spells the families that take a parameter: two chunks, and as far ahead as the memory allows. */
static void spell(dist_schedule_family family, const dist_schedule_request *request, char *name, size_t size)
{
    if (family == DIST_SCHEDULE_INTERLEAVED)
        snprintf(name, size, "interleaved:v=2");
    else if (family == DIST_SCHEDULE_EAGER && request->memory >= 1 && request->memory < request->microbatches)
        snprintf(name, size, "eager1f1b:cap=%d", (int)request->memory);
    else
        snprintf(name, size, "%s", dist_schedule_names[family]);
}

dist_status dist_schedule_auto(dist_schedule **best, const dist_schedule_spec *spec,
                               const dist_schedule_request *request)
{
    double least = 0;
    for (int family = 0; family < DIST_SCHEDULE_AUTO; family++) {
        char name[64];
        spell((dist_schedule_family)family, request, name, sizeof name);
        dist_schedule_request one = *request;
        one.name = name;
        dist_schedule *schedule;
        dist_status status = dist_schedule_create(&schedule, &one);
        if (status == DIST_ERR_ARGUMENT)
            continue; /* the shape or the memory does not allow it */
        if (status == DIST_OK && request->fused && schedule->split) {
            dist_schedule_destroy(schedule);
            continue;
        }
        double makespan = 0;
        if (status == DIST_OK)
            status = dist_schedule_makespan(schedule, request->times, request->latency, &makespan);
        if (status < 0) {
            dist_schedule_destroy(schedule);
            return status;
        }
        if (!*best || makespan < least * (1 - 1e-12)) {
            dist_schedule_destroy(*best);
            *best = schedule;
            least = makespan;
        } else {
            dist_schedule_destroy(schedule);
        }
    }
    return *best ? DIST_OK
                 : dist_fail(DIST_ERR_ARGUMENT, "%s: no schedule holds at most %g microbatches on each rank",
                             spec->name, request->memory);
}
