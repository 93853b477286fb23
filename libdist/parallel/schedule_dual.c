/* DualPipeV (DeepSeek 2025): two chunks on each rank as in ZB-V; in the steady state a forward of one chunk is paired
 * with a full backward of the other, so that the messages of one can hide behind the work of the other. Here the two of
 * a pair are slots one after the other. m >= 2p; at most p + 1/2 microbatches held. */
#include <inttypes.h>

#include "base/error.h"
#include "parallel/schedule_internal.h"

typedef struct writer {
    dist_schedule *schedule;
    int rank;
    int forwards[2], backwards[2]; /* of each chunk, so far */
    size_t weighed;                /* slots whose weight gradients, where they lack them, have been taken */
} writer;

static int stage_of(const writer *w, int chunk)
{
    return chunk == 0 ? w->rank : 2 * w->schedule->ranks - 1 - w->rank;
}

static void forward(writer *w, int chunk)
{
    dist_schedule_push(w->schedule, w->rank, DIST_SLOT_FORWARD, stage_of(w, chunk), w->forwards[chunk]++);
}

static void backward(writer *w, int chunk, bool split)
{
    dist_schedule_push(w->schedule, w->rank, split ? DIST_SLOT_BACKWARD : DIST_SLOT_FULL, stage_of(w, chunk),
                       w->backwards[chunk]++);
}

/* Of the oldest backward that has none. */
static void weight(writer *w)
{
    const dist_slot *slot = w->schedule->slot[w->rank];
    while (slot[w->weighed].kind != DIST_SLOT_BACKWARD)
        w->weighed++;
    const dist_slot oldest = slot[w->weighed++];
    dist_schedule_push(w->schedule, w->rank, DIST_SLOT_WEIGHT, oldest.stage, (int)oldest.microbatch);
}

static void pair(writer *w, int chunk)
{
    forward(w, chunk);
    backward(w, 1 - chunk, false);
}

static void write_rank(writer *w)
{
    const int after = w->schedule->ranks - 1 - w->rank, held = w->rank + 1;
    for (int i = 0; i < 2 * after; i++)
        forward(w, 0);
    for (int i = 0; i < held; i++) {
        forward(w, 0);
        forward(w, 1);
    }
    for (int i = 0; i < after; i++) {
        backward(w, 1, true);
        weight(w);
        forward(w, 1);
    }
    for (int i = 0; i < w->schedule->microbatches - 2 * w->schedule->ranks + held; i++) {
        pair(w, 0);
        pair(w, 1);
    }
    for (int i = 0; i < after; i++) {
        backward(w, 1, false);
        pair(w, 1);
    }
    /* The second half of these backwards leaves its weight gradients for the end. */
    for (int i = 0; i < 2 * held; i++)
        backward(w, i % 2 == 0 ? 1 : 0, i >= held);
    for (int i = 0; i < after; i++) {
        weight(w);
        backward(w, 0, true);
    }
    for (int i = 0; i < held; i++)
        weight(w);
}

dist_status dist_schedule_dual(dist_schedule **schedule, const dist_schedule_spec *spec,
                               const dist_schedule_request *request)
{
    if (request->microbatches / 2 < request->ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "%s of %d ranks needs at least %" PRId64 " microbatches, not %d",
                         spec->name, request->ranks, 2 * (int64_t)request->ranks, request->microbatches);
    DIST_TRY(dist_schedule_begin(schedule, spec, request, 2, DIST_PLACE_V, true));
    for (int r = 0; r < request->ranks; r++) {
        writer w = {.schedule = *schedule, .rank = r};
        write_rank(&w);
    }
    return DIST_OK;
}
