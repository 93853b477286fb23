/* wan-1f1b and wan-zb: as far ahead as the round trip to the last rank takes, so that a slow edge costs its latency
 * once and not once a microbatch.
 *
 * wan-1f1b: with T* the longest T and a_{p-1} = 0,
 *
 *     a_i = max over j > i of a_j + ceil((sum_{i..j} T + 2 sum_{i..j-1} c) / T*) - 1
 *
 * made non-increasing in i, at most m - 1: the least lags with which the steady state keeps the slowest rank busy.
 * Where the memory does not allow them, T* is the shortest period whose lags it does.
 *
 * wan-zb: a_i = ceil((sum_{j>i} (F + B) + 2 sum_{j>=i} c) / max_{j<=i} F), at most m, b = a_0: forwards fill the time
 * until the first backward comes. On equal ranks that is (p-1-i) + ceil(((p-1-i) B + 2 sum c) / F).
 *
  * With uneven times, few microbatches or little memory other lags may be faster, so others are run dry as well: beside
  * wan-1f1b those of 1f1b; beside wan-zb those of zb-h1, zb-h2 and of the shortest period (where a round trip has one
  * weight gradient only). While nothing is within 5 % of the bound, larger lags are tried too. The fastest is taken, of
  * equals the one that holds least.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "parallel/schedule_internal.h"

#define NEAR 1.05 /* of the bound */

/* Rounding must not make a round trip of 3 T into one of 4. */
static int steps(double time, double step, int most)
{
    const double n = step > 0 ? ceil(time / step * (1 - 1e-12)) : (time > 0 ? most : 0);
    return n < most ? (int)n : most;
}

static double whole(const dist_schedule_request *request, int rank)
{
    const dist_stage_times t = dist_schedule_times_of(request->times, rank);
    return t.forward + t.backward + t.weight;
}

/* The least lags with which the steady state needs no more than `period` a microbatch; returns the longest. */
static int lags_of_period(const dist_schedule_request *request, double period, bool split, int *lag)
{
    const int p = request->ranks, most = request->microbatches - 1;
    lag[p - 1] = 0;
    for (int i = p - 2; i >= 0; i--) {
        lag[i] = lag[i + 1];
        double trip = whole(request, i);
        for (int j = i + 1; j < p && lag[i] < most; j++) {
            const dist_stage_times t = dist_schedule_times_of(request->times, j);
            trip += t.forward + t.backward + (split ? 0 : t.weight) +
                    2 * dist_schedule_latency_of(request->latency, j - 1);
            const int needed = lag[j] + steps(trip, period, most + 1) - 1;
            lag[i] = needed > lag[i] ? needed : lag[i];
        }
        lag[i] = lag[i] < most ? lag[i] : most;
    }
    return lag[0];
}

/* The lags of the shortest period that the memory allows: of T* where it allows that. */
static void lags_within(const dist_schedule_request *request, int most, bool split, int *lag)
{
    double low = 0, high = 0;
    for (int r = 0; r < request->ranks; r++) {
        low = fmax(low, whole(request, r));
        high += whole(request, r) + 2 * (r > 0 ? dist_schedule_latency_of(request->latency, r - 1) : 0);
    }
    if (lags_of_period(request, low, split, lag) <= most)
        return;
    for (int halvings = 0; halvings < 40; halvings++) { /* with the first `high` all lags are 0 */
        const double middle = low + (high - low) / 2;
        if (lags_of_period(request, middle, split, lag) <= most)
            high = middle;
        else
            low = middle;
    }
    lags_of_period(request, high, split, lag);
}

static void lags_of_trip(const dist_schedule_request *request, int *lag)
{
    const int p = request->ranks;
    double trip = 0;
    for (int i = p - 1; i >= 0; i--) {
        double slowest = 0;
        for (int j = 0; j <= i; j++)
            slowest = fmax(slowest, dist_schedule_times_of(request->times, j).forward);
        if (i < p - 1) {
            const dist_stage_times t = dist_schedule_times_of(request->times, i + 1);
            trip += t.forward + t.backward + 2 * dist_schedule_latency_of(request->latency, i);
        }
        lag[i] = steps(trip, slowest, request->microbatches);
        if (i < p - 1 && lag[i] < lag[i + 1])
            lag[i] = lag[i + 1];
    }
}

static void lags_of_family(dist_schedule_family family, const dist_schedule_request *request, int *lag)
{
    const dist_schedule_spec spec = {.family = family};
    for (int r = 0; r < request->ranks; r++)
        lag[r] = dist_schedule_fixed_lag(&spec, request, r);
}

typedef struct search {
    dist_schedule *schedule; /* takes each candidate in turn */
    const dist_schedule_request *request;
    int *lag;  /* [ranks] the candidate */
    int *best; /* [ranks] */
    int most;  /* longest lag that the memory allows */
    double makespan;
    bool any;
} search;

/* Runs found->lag dry, cut to the memory, and keeps it when nothing before it was as good. */
static dist_status consider(search *found)
{
    const dist_schedule_request *request = found->request;
    for (int r = 0; r < request->ranks; r++)
        found->lag[r] = found->lag[r] < found->most ? found->lag[r] : found->most;
    dist_schedule_emit_lag(found->schedule, found->lag, found->lag[0]);
    double makespan;
    DIST_TRY(dist_schedule_makespan(found->schedule, request->times, request->latency, &makespan));
    const double margin = 1e-12 * found->makespan; /* what rounding may do to equals */
    if (!found->any || makespan < found->makespan - margin ||
        (makespan <= found->makespan + margin && found->lag[0] < found->best[0])) {
        memcpy(found->best, found->lag, (size_t)request->ranks * sizeof(int));
        found->makespan = makespan;
        found->any = true;
    }
    return DIST_OK;
}

static bool is_near_bound(const search *found)
{
    const dist_schedule_request *request = found->request;
    return found->makespan <= NEAR * dist_schedule_bound(found->schedule, request->times, request->latency);
}

/* Uneven times leave ranks idle until the steady state is there; forwards further ahead shorten that, for memory. */
static dist_status consider_further(search *found, bool split)
{
    static const int further[][2] = {
        {1, 1}, {1, 2}, {2, 0}, {2, 1}, {3, 0}}; /* factor; more for each rank after */
    const int ranks = found->request->ranks, most = found->request->microbatches - 1;
    for (size_t k = 0; k < sizeof further / sizeof *further; k++) {
        lags_within(found->request, found->most, split, found->lag);
        for (int r = 0; r < ranks; r++) {
            const int64_t lag =
                (int64_t)further[k][0] * found->lag[r] + (int64_t)further[k][1] * (ranks - 1 - r);
            found->lag[r] = lag < most ? (int)lag : most;
        }
        DIST_TRY(consider(found));
    }
    return DIST_OK;
}

static dist_status choose_fused(search *found)
{
    lags_within(found->request, found->most, false, found->lag);
    DIST_TRY(consider(found));
    lags_of_family(DIST_SCHEDULE_1F1B, found->request, found->lag);
    DIST_TRY(consider(found));
    return is_near_bound(found) ? DIST_OK : consider_further(found, false);
}

/* The lags of the shortest period, each as much longer as the memory and the round trip allow. */
static dist_status consider_spare(search *found)
{
    const int ranks = found->request->ranks;
    int *trip = malloc((size_t)ranks * sizeof *trip);
    if (!trip)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the lags of %d ranks", ranks);
    lags_of_trip(found->request, trip);
    lags_within(found->request, found->most, true, found->lag);
    const int spare = found->most - found->lag[0];
    for (int r = 0; r < ranks; r++) {
        const int reach = trip[r] > found->lag[r] ? trip[r] - found->lag[r] : 0;
        found->lag[r] += spare < reach ? spare : reach;
    }
    for (int r = ranks - 2; r >= 0; r--)
        found->lag[r] = found->lag[r] > found->lag[r + 1] ? found->lag[r] : found->lag[r + 1];
    free(trip);
    return consider(found);
}

static dist_status choose_split(search *found)
{
    static const dist_schedule_family families[] = {DIST_SCHEDULE_ZB_H1, DIST_SCHEDULE_ZB_H2};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        lags_of_family(families[i], found->request, found->lag);
        DIST_TRY(consider(found));
    }
    lags_within(found->request, found->most, true, found->lag);
    DIST_TRY(consider(found));
    lags_of_trip(found->request, found->lag);
    DIST_TRY(consider(found));
    DIST_TRY(consider_spare(found));
    return is_near_bound(found) ? DIST_OK : consider_further(found, true);
}

dist_status dist_schedule_wan(dist_schedule **schedule, const dist_schedule_spec *spec,
                              const dist_schedule_request *request)
{
    const bool split = spec->family == DIST_SCHEDULE_WAN_ZB;
    if (request->memory > 0 && request->memory < 1)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "%s: a rank holds at least one microbatch, but the memory is for %g", spec->name,
                         request->memory);
    DIST_TRY(dist_schedule_begin(schedule, spec, request, 1, DIST_PLACE_ROUND, split));
    search found = {.schedule = *schedule,
                    .request = request,
                    .lag = malloc((size_t)request->ranks * sizeof(int)),
                    .best = malloc((size_t)request->ranks * sizeof(int))};
    const bool limited = request->memory > 0 && request->memory < request->microbatches;
    found.most = limited ? (int)request->memory - 1 : request->microbatches;
    const dist_status status =
        found.lag && found.best
            ? (split ? choose_split(&found) : choose_fused(&found))
            : dist_fail(DIST_ERR_MEMORY, "no memory for the lags of %d ranks", request->ranks);
    if (status == DIST_OK)
        dist_schedule_emit_lag(*schedule, found.best, found.best[0]);
    free(found.lag);
    free(found.best);
    return status;
}
