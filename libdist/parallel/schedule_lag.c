/* The family of schedules with a lag: rank i runs forward x, then backward x - a_i, then weight gradient x - b.
 *
 *     schedule      a_i                       b         most microbatches held
 *     gpipe         m - 1                               m
 *     1f1b          p - 1 - i                           p - i
 *     eager1f1b     min(2 (p - 1 - i), D - 1)           min(2 (p - 1 - i), D - 1) + 1
 *     zb-h1         p - 1 - i                 p - 1     p
 *     zb-h2         2 (p - 1 - i)             2(p - 1)  2p - 1
 *
 * 1F1B: Narayanan et al. 2019; ZB: Qi et al. 2023. wan-1f1b and wan-zb choose a_i in schedule_wan.c.
 */
#include <stdlib.h>

#include "base/error.h"
#include "parallel/schedule_internal.h"

void dist_schedule_emit_lag(dist_schedule *schedule, const int *lag, int weight_lag)
{
    const int64_t m = schedule->microbatches;
    for (int r = 0; r < schedule->ranks; r++) {
        const int64_t late = schedule->split && weight_lag > lag[r] ? weight_lag : lag[r];
        schedule->slots[r] = 0;
        for (int64_t x = 0; x < m + late; x++) {
            const int64_t b = x - lag[r], w = x - late;
            if (x < m)
                dist_schedule_push(schedule, r, DIST_SLOT_FORWARD, r, (int)x);
            if (b >= 0 && b < m)
                dist_schedule_push(schedule, r, DIST_SLOT_BACKWARD, r, (int)b);
            if (schedule->split && w >= 0)
                dist_schedule_push(schedule, r, DIST_SLOT_WEIGHT, r, (int)w);
        }
    }
}

int dist_schedule_fixed_lag(const dist_schedule_spec *spec, const dist_schedule_request *request, int rank)
{
    const int after = request->ranks - 1 - rank;
    if (spec->family == DIST_SCHEDULE_GPIPE)
        return request->microbatches - 1;
    if (spec->family == DIST_SCHEDULE_1F1B || spec->family == DIST_SCHEDULE_ZB_H1)
        return after;
    return spec->cap && spec->cap - 1 < 2 * after ? spec->cap - 1 : 2 * after;
}

dist_status dist_schedule_lag(dist_schedule **schedule, const dist_schedule_spec *spec,
                              const dist_schedule_request *request)
{
    const bool split = spec->family == DIST_SCHEDULE_ZB_H1 || spec->family == DIST_SCHEDULE_ZB_H2;
    DIST_TRY(dist_schedule_begin(schedule, spec, request, 1, DIST_PLACE_ROUND, split));
    int *lag = malloc((size_t)request->ranks * sizeof *lag);
    if (!lag)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the lags of %d ranks", request->ranks);
    for (int r = 0; r < request->ranks; r++)
        lag[r] = dist_schedule_fixed_lag(spec, request, r);
    dist_schedule_emit_lag(*schedule, lag, lag[0]);
    free(lag);
    return DIST_OK;
}
