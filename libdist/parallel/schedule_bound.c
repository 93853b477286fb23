/* What every order of slots has to pay: the lower bounds on the makespan, and the memory that an order takes. */
#include <math.h>

#include "parallel/schedule_internal.h"

double dist_schedule_peak(const dist_schedule *schedule, int rank)
{
    const dist_slot_kind last = schedule->split ? DIST_SLOT_WEIGHT : DIST_SLOT_BACKWARD;
    int64_t held = 0, most = 0;
    for (size_t k = 0; k < schedule->slots[rank]; k++) {
        const dist_slot_kind kind = (dist_slot_kind)schedule->slot[rank][k].kind;
        held += kind == DIST_SLOT_FORWARD;
        most = held > most ? held : most;
        held -= kind == last || kind == DIST_SLOT_FULL;
    }
    return (double)most / schedule->chunks;
}

double dist_schedule_most(const dist_schedule *schedule)
{
    double most = 0;
    for (int r = 0; r < schedule->ranks; r++)
        most = fmax(most, dist_schedule_peak(schedule, r));
    return most;
}

static double between(const double *latency, int from, int to)
{
    double sum = 0;
    for (int j = from < to ? from : to; j < (from < to ? to : from); j++)
        sum += dist_schedule_latency_of(latency, j);
    return sum;
}

/* A rank meets a microbatch first, and leaves it last, at its lowest stage: what the stages before it take on the way
 * there and back is lost to the rank, whatever its order. Fused: bound (c), the largest of
 *
 *     sum_{j<i} (F_j + c_j) + m T_i + sum_{j<i} (B_j + W_j + c_j)
 *
 * Split: bound (d), where after the last backward of a rank only backwards and one weight gradient need follow:
 *
 *     sum_{j<i} (F_j + c_j) + max(m T_i, [i > 0] (m (F_i + B_i) + sum_{j<i} (B_j + c_j) + W_0))
 *
 * With many chunks and few microbatches, one microbatch on its way through all stages can take longer. */
double dist_schedule_bound(const dist_schedule *schedule, const dist_stage_times *times,
                           const double *latency)
{
    const double m = schedule->microbatches, share = 1.0 / schedule->chunks;
    const bool split = schedule->split;
    const double last = split ? dist_schedule_times_of(times, schedule->rank_of[0]).weight * share : 0;
    uint8_t seen[DIST_SCHEDULE_MOST_STAGES / 8 + 1] = {0};
    double bound = 0, ahead = 0, behind = 0, forward = 0, backward = 0;
    for (int s = 0, before = 0; s < schedule->stages; before = s++) {
        const int rank = schedule->rank_of[s];
        const double latencies = between(latency, schedule->rank_of[before], rank);
        ahead += forward + latencies;
        behind += backward + latencies;
        const dist_stage_times t = dist_schedule_times_of(times, rank);
        const double all = t.forward + t.backward + t.weight;
        forward = t.forward * share;
        backward = (split ? t.backward : t.backward + t.weight) * share;
        if (seen[rank / 8] >> rank % 8 & 1)
            continue;
        seen[rank / 8] |= (uint8_t)(1u << rank % 8);
        bound = fmax(bound, ahead + m * all + (split ? 0 : behind));
        if (split && s > 0)
            bound = fmax(bound, ahead + m * (t.forward + t.backward) + behind + last);
    }
    return fmax(bound, ahead + forward + backward + behind + last);
}
