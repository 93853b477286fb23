/* Is a schedule sound? Each rank's own slots; that ranks never wait for ever is the dry run's to say. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "parallel/schedule_internal.h"

dist_slot_text dist_schedule_slot_text(dist_slot slot)
{
    dist_slot_text text;
    snprintf(text.text, sizeof text.text, "%c(%u,%" PRIu32 ")",
             slot.kind < DIST_SLOT_KINDS ? "FBWD"[slot.kind] : '?', (unsigned)slot.stage, slot.microbatch);
    return text;
}

static dist_status bad_slot(int rank, size_t k, dist_slot slot, const char *reason)
{
    return dist_fail(DIST_ERR_PLAN, "rank %d slot %zu %s: %s", rank, k, dist_schedule_slot_text(slot).text,
                     reason);
}

/* Fills chunk_of with the place of each stage among those of its rank, lowest first. */
static dist_status check_placement(const dist_schedule *schedule, int *chunk_of, int *held)
{
    for (int s = 0; s < schedule->stages; s++) {
        const int rank = schedule->rank_of[s];
        if (rank < 0 || rank >= schedule->ranks)
            return dist_fail(DIST_ERR_PLAN, "stage %d is on rank %d, but the ranks are 0 to %d", s, rank,
                             schedule->ranks - 1);
        chunk_of[s] = held[rank]++;
    }
    for (int r = 0; r < schedule->ranks; r++)
        if (held[r] != schedule->chunks)
            return dist_fail(DIST_ERR_PLAN, "rank %d has %d stages, but every rank must have %d", r, held[r],
                             schedule->chunks);
    return DIST_OK;
}

/* What a (stage, microbatch) has behind it. */
enum { FORWARD_RAN = 1, BACKWARD_RAN = 2, WEIGHT_RAN = 4 };

static dist_status check_slot(const dist_schedule *schedule, int rank, size_t k, uint8_t *ran)
{
    const dist_slot slot = schedule->slot[rank][k];
    switch ((dist_slot_kind)slot.kind) {
    case DIST_SLOT_FORWARD:
        if (*ran & FORWARD_RAN)
            return bad_slot(rank, k, slot, "its forward has run before");
        *ran |= FORWARD_RAN;
        return DIST_OK;
    case DIST_SLOT_BACKWARD:
    case DIST_SLOT_FULL:
        if (!(*ran & FORWARD_RAN))
            return bad_slot(rank, k, slot, "its forward has not run");
        if (*ran & BACKWARD_RAN)
            return bad_slot(rank, k, slot, "its backward has run before");
        if (slot.kind == DIST_SLOT_FULL && !schedule->split)
            return bad_slot(rank, k, slot, "a fused schedule writes its backwards as B");
        *ran |= slot.kind == DIST_SLOT_FULL || !schedule->split ? BACKWARD_RAN | WEIGHT_RAN : BACKWARD_RAN;
        return DIST_OK;
    case DIST_SLOT_WEIGHT:
        if (!schedule->split)
            return bad_slot(rank, k, slot, "a fused schedule has no weight gradients apart");
        if (!(*ran & BACKWARD_RAN))
            return bad_slot(rank, k, slot, "its backward has not run");
        if (*ran & WEIGHT_RAN)
            return bad_slot(rank, k, slot, "its weight gradient has been taken before");
        *ran |= WEIGHT_RAN;
        return DIST_OK;
    default:
        return bad_slot(rank, k, slot, "there is no such kind of slot");
    }
}

static dist_status missing(const dist_schedule *schedule, int rank, const int *chunk_of, const uint8_t *ran)
{
    const size_t m = (size_t)schedule->microbatches;
    size_t at = 0;
    while (ran[at] == (FORWARD_RAN | BACKWARD_RAN | WEIGHT_RAN))
        at++;
    int stage = 0;
    while (schedule->rank_of[stage] != rank || (size_t)chunk_of[stage] != at / m)
        stage++;
    const dist_slot_kind kind = !(ran[at] & FORWARD_RAN)    ? DIST_SLOT_FORWARD
                                : !(ran[at] & BACKWARD_RAN) ? DIST_SLOT_BACKWARD
                                                            : DIST_SLOT_WEIGHT;
    const dist_slot slot = {
        .kind = (uint8_t)kind, .stage = (uint16_t)stage, .microbatch = (uint32_t)(at % m)};
    return dist_fail(DIST_ERR_PLAN, "rank %d: %s is missing", rank, dist_schedule_slot_text(slot).text);
}

/* `ran` starts zeroed, [chunks * microbatches]: of a short rank with many microbatches little of it is touched. */
static dist_status check_rank(const dist_schedule *schedule, int rank, const int *chunk_of, uint8_t *ran)
{
    const size_t m = (size_t)schedule->microbatches;
    size_t ended = 0;
    for (size_t k = 0; k < schedule->slots[rank]; k++) {
        const dist_slot slot = schedule->slot[rank][k];
        if (slot.stage >= schedule->stages || slot.microbatch >= m)
            return dist_fail(DIST_ERR_PLAN, "rank %d slot %zu %s: there are %d stages and %d microbatches",
                             rank, k, dist_schedule_slot_text(slot).text, schedule->stages,
                             schedule->microbatches);
        if (schedule->rank_of[slot.stage] != rank)
            return dist_fail(DIST_ERR_PLAN, "rank %d slot %zu %s: stage %u is on rank %d", rank, k,
                             dist_schedule_slot_text(slot).text, (unsigned)slot.stage,
                             schedule->rank_of[slot.stage]);
        uint8_t *state = &ran[(size_t)chunk_of[slot.stage] * m + slot.microbatch];
        DIST_TRY(check_slot(schedule, rank, k, state));
        ended += *state == (FORWARD_RAN | BACKWARD_RAN | WEIGHT_RAN) && slot.kind != DIST_SLOT_FORWARD;
    }
    return ended == m * (size_t)schedule->chunks ? DIST_OK : missing(schedule, rank, chunk_of, ran);
}

dist_status dist_schedule_check_slots(const dist_schedule *schedule)
{
    const size_t cells = (size_t)schedule->microbatches * (size_t)schedule->chunks;
    int *chunk_of = calloc((size_t)schedule->stages, sizeof *chunk_of);
    int *held = calloc((size_t)schedule->ranks, sizeof *held);
    dist_status status = chunk_of && held ? check_placement(schedule, chunk_of, held) : DIST_ERR_MEMORY;
    for (int r = 0; r < schedule->ranks && status == DIST_OK; r++) {
        uint8_t *ran = calloc(cells, 1);
        status = ran ? check_rank(schedule, r, chunk_of, ran) : DIST_ERR_MEMORY;
        free(ran);
    }
    free(held);
    free(chunk_of);
    return status == DIST_ERR_MEMORY ? dist_fail(status, "no memory to check a schedule") : status;
}

dist_status dist_schedule_check(const dist_schedule *schedule)
{
    DIST_TRY(dist_schedule_check_slots(schedule));
    double makespan;
    return dist_schedule_makespan(schedule, NULL, NULL, &makespan);
}
