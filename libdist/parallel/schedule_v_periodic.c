/* V-Half and V-Min (Qi et al. 2024): two chunks on each rank as in ZB-V, and every microbatch goes the way of the one
 * before it six slots later, so that few are on their way at once.
 *
 *     first slot of     F of s    F of 2p-1-s    B of 2p-1-s      B of s         d
 *     v-half            2s        3p-s-2         3p+d+2s-1        6p+d-s-2       3 where p is even, else 0
 *     v-min             s         2p-s-1         2p+d+s           4p+d-s-1       2 where 3 divides p, else 0
 *
 * Weight gradients take the free slots; then idle time is squeezed out. Most microbatches held: floor((p+2)/2) and
 * floor((p+4)/3), where there are so many. */
#include "base/error.h"
#include "parallel/schedule_internal.h"

enum { PERIOD = 6, PASSES = 4 };

typedef struct pattern {
    int64_t at[PASSES]; /* slot of microbatch 0: F0, F1, B1, B0 */
} pattern;

static pattern pattern_of(bool half, int64_t p, int64_t r)
{
    if (half) {
        const int64_t d = p % 2 == 0 ? 3 : 0;
        return (pattern){{2 * r, 3 * p - r - 2, 3 * p + d + 2 * r - 1, 6 * p + d - r - 2}};
    }
    const int64_t d = p % 3 == 0 ? 2 : 0;
    return (pattern){{r, 2 * p - r - 1, 2 * p + d + r, 4 * p + d - r - 1}};
}

/* The pass that the pattern has at a time, and its microbatch; PASSES when the slot is free. */
static int pass_at(const pattern *own, int64_t time, int microbatches, int *microbatch)
{
    for (int pass = 0; pass < PASSES; pass++) {
        const int64_t since = time - own->at[pass];
        if (since >= 0 && since % PERIOD == 0 && since / PERIOD < microbatches) {
            *microbatch = (int)(since / PERIOD);
            return pass;
        }
    }
    return PASSES;
}

static void write_rank(dist_schedule *schedule, int rank, const pattern *own)
{
    const int stage[PASSES] = {rank, 2 * schedule->ranks - 1 - rank, 2 * schedule->ranks - 1 - rank, rank};
    const dist_slot *slot = schedule->slot[rank];
    const size_t all = (size_t)schedule->microbatches * 6;
    size_t weighed = 0; /* slots whose weight gradients, where they lack them, have been taken */
    for (int64_t time = 0; schedule->slots[rank] < all; time++) {
        int microbatch;
        const int pass = pass_at(own, time, schedule->microbatches, &microbatch);
        if (pass < PASSES) {
            dist_schedule_push(schedule, rank, pass < 2 ? DIST_SLOT_FORWARD : DIST_SLOT_BACKWARD, stage[pass],
                               microbatch);
            continue;
        }
        while (weighed < schedule->slots[rank] && slot[weighed].kind != DIST_SLOT_BACKWARD)
            weighed++;
        if (weighed < schedule->slots[rank]) {
            const dist_slot oldest = slot[weighed++];
            dist_schedule_push(schedule, rank, DIST_SLOT_WEIGHT, oldest.stage, (int)oldest.microbatch);
        }
    }
}

dist_status dist_schedule_v_periodic(dist_schedule **schedule, const dist_schedule_spec *spec,
                                     const dist_schedule_request *request)
{
    DIST_TRY(dist_schedule_begin(schedule, spec, request, 2, DIST_PLACE_V, true));
    for (int r = 0; r < request->ranks; r++) {
        const pattern own = pattern_of(spec->family == DIST_SCHEDULE_V_HALF, request->ranks, r);
        write_rank(*schedule, r, &own);
    }
    return dist_schedule_squeeze(*schedule);
}
