/* Interleaved 1F1B (Narayanan et al. 2021): rank r holds stages r, r + p, r + 2p, ..., and runs p microbatches through
 * one chunk before it turns to the next.
 *
 * Forward k of a rank is of chunk floor(k / p) mod v and microbatch floor(k / (p v)) p + k mod p, backward k the same
 * from the last chunk down. Bubble (p - 1) T / v; most chunks held: 2 (p - 1 - r) + (v - 1) p + 1. */
#include "base/error.h"
#include "parallel/schedule_internal.h"

static void push(dist_schedule *schedule, int rank, dist_slot_kind kind, int64_t k)
{
    const int64_t p = schedule->ranks, v = schedule->chunks;
    const int64_t chunk = kind == DIST_SLOT_FORWARD ? k / p % v : v - 1 - k / p % v;
    dist_schedule_push(schedule, rank, kind, (int)(rank + p * chunk), (int)(k / (p * v) * p + k % p));
}

dist_status dist_schedule_interleaved(dist_schedule **schedule, const dist_schedule_spec *spec,
                                      const dist_schedule_request *request)
{
    const int p = request->ranks, m = request->microbatches;
    if (m % p != 0)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "%s runs microbatches in groups of one a rank: %d do not divide into groups of %d",
                         spec->name, m, p);
    DIST_TRY(dist_schedule_begin(schedule, spec, request, spec->v, DIST_PLACE_ROUND, false));
    const int64_t all = (int64_t)m * spec->v;
    for (int r = 0; r < p; r++) {
        int64_t ahead = 2 * (int64_t)(p - r - 1) + (int64_t)(spec->v - 1) * p;
        ahead = ahead < all ? ahead : all;
        for (int64_t k = 0; k < all + ahead; k++) {
            if (k < all)
                push(*schedule, r, DIST_SLOT_FORWARD, k);
            if (k >= ahead)
                push(*schedule, r, DIST_SLOT_BACKWARD, k - ahead);
        }
    }
    return DIST_OK;
}
