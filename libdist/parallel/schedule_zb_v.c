/* ZB-V (Qi et al. 2024): two chunks on each rank, down the ranks and back up, so that the last stage is on rank 0 and
 * its backward can start at once; weight gradients fill what is left.
 *
  * Equal times and m >= 2p - 1: no bubble between the first and the last slot of a rank, makespan bubble (p - 1) F / 2
  * with F of the whole rank, at most p microbatches held. Fewer microbatches: the schedule of 2p - 1 without the
  * others. */
#include "base/error.h"
#include "parallel/schedule_internal.h"

typedef struct writer {
    dist_schedule *schedule;
    int rank, all;                /* microbatches of the full schedule */
    int done[DIST_SLOT_KINDS][2]; /* of each kind and chunk */
} writer;

static void put(writer *w, dist_slot_kind kind, int chunk)
{
    const int microbatch = w->done[kind][chunk]++;
    const int stage = chunk == 0 ? w->rank : 2 * w->schedule->ranks - 1 - w->rank;
    if (microbatch < w->schedule->microbatches)
        dist_schedule_push(w->schedule, w->rank, kind, stage, microbatch);
}

static void warm_up(writer *w)
{
    const int after = w->schedule->ranks - w->rank;
    for (int i = 0; i < 2 * after - 1; i++)
        put(w, DIST_SLOT_FORWARD, 0);
    for (int i = 0; i < w->rank; i++) {
        put(w, DIST_SLOT_FORWARD, 1);
        put(w, DIST_SLOT_FORWARD, 0);
    }
    for (int i = 0; i < after; i++) {
        put(w, DIST_SLOT_FORWARD, 1);
        put(w, DIST_SLOT_BACKWARD, 1);
        put(w, DIST_SLOT_WEIGHT, 1);
    }
}

static void steady(writer *w)
{
    const int *forwards = w->done[DIST_SLOT_FORWARD];
    while (forwards[1] < forwards[0] || forwards[0] < w->all) {
        if (forwards[0] < w->all)
            put(w, DIST_SLOT_FORWARD, 0);
        put(w, DIST_SLOT_BACKWARD, 0);
        put(w, DIST_SLOT_WEIGHT, 0);
        put(w, DIST_SLOT_FORWARD, 1);
        put(w, DIST_SLOT_BACKWARD, 1);
        put(w, DIST_SLOT_WEIGHT, 1);
    }
}

static void cool_down(writer *w)
{
    for (int i = 0; i < w->rank; i++) {
        put(w, DIST_SLOT_BACKWARD, 0);
        put(w, DIST_SLOT_BACKWARD, 1);
    }
    for (int i = 0; i < w->schedule->ranks - w->rank; i++) {
        put(w, DIST_SLOT_BACKWARD, 0);
        put(w, DIST_SLOT_WEIGHT, 0);
    }
    for (int chunk = 1; chunk >= 0; chunk--)
        while (w->done[DIST_SLOT_WEIGHT][chunk] < w->all)
            put(w, DIST_SLOT_WEIGHT, chunk);
}

dist_status dist_schedule_zb_v(dist_schedule **schedule, const dist_schedule_spec *spec,
                               const dist_schedule_request *request)
{
    const int most = 2 * request->ranks - 1;
    DIST_TRY(dist_schedule_begin(schedule, spec, request, 2, DIST_PLACE_V, true));
    for (int r = 0; r < request->ranks; r++) {
        writer w = {.schedule = *schedule,
                    .rank = r,
                    .all = request->microbatches > most ? request->microbatches : most};
        warm_up(&w);
        steady(&w);
        cool_down(&w);
    }
    return DIST_OK;
}
