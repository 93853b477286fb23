/* How many boundary buffers a pipeline needs.
 *
 * The inputs of a stage lie in slots that are used again in turn. A message is received at once when its slot is free at the
 * moment at which it is sent, so that the slots that a stage needs are those in use then: the messages sent to it so
 * far, less those that it had no more use for. Lowering adds slots to the most that the schedule uses at once. */
#include <stdlib.h>

#include "base/error.h"
#include "plan_set_internal.h"

typedef struct counter {
    const dist_set_pipeline *pipeline;
    const dist_schedule_time *time;
    double *sent; /* [2][stages][microbatches]: when forwards and backwards end */
    double *free; /* [microbatches]: when slots are given back, in order */
} counter;

static double time_of(const dist_set_pipeline *p, dist_slot slot, int rank)
{
    const dist_stage_times *t = &p->times[rank];
    const double backward = p->schedule->split ? t->backward : t->backward + t->weight;
    const double of[DIST_SLOT_KINDS] = {t->forward, backward, t->weight, t->backward + t->weight};
    return of[slot.kind] / p->schedule->chunks;
}

static double *sent_at(const counter *c, bool backward, int stage, uint32_t microbatch)
{
    const dist_schedule *s = c->pipeline->schedule;
    return &c->sent[((size_t)backward * (size_t)s->stages + (size_t)stage) * (size_t)s->microbatches +
                    microbatch];
}

static void note_ends(const counter *c)
{
    const dist_schedule *s = c->pipeline->schedule;
    for (int r = 0; r < s->ranks; r++)
        for (size_t k = 0; k < s->slots[r]; k++) {
            const dist_slot slot = s->slot[r][k];
            if (slot.kind != DIST_SLOT_WEIGHT)
                *sent_at(c, slot.kind != DIST_SLOT_FORWARD, slot.stage, slot.microbatch) =
                    c->time->start[r][k] + time_of(c->pipeline, slot, r);
        }
}

static bool is_backward(dist_slot slot)
{
    return slot.kind == DIST_SLOT_BACKWARD || slot.kind == DIST_SLOT_FULL;
}

/* Activations are of use until the last backward call, gradients for one call. */
static bool takes(dist_slot slot, bool gradients)
{
    return gradients ? is_backward(slot) : slot.kind == DIST_SLOT_FORWARD;
}

static bool gives(const dist_schedule *s, dist_slot slot, bool gradients)
{
    if (gradients || !s->split)
        return is_backward(slot);
    return slot.kind == DIST_SLOT_WEIGHT || slot.kind == DIST_SLOT_FULL;
}

/* Slots that the activations (or the gradients) of a stage need beyond those that it uses at once. */
static int slots_of(const counter *c, int stage, bool gradients)
{
    const dist_schedule *s = c->pipeline->schedule;
    const int rank = s->rank_of[stage];
    int given = 0, taken = 0, live = 0, most = 0, needed = 0;
    for (size_t k = 0; k < s->slots[rank]; k++)
        if (s->slot[rank][k].stage == stage && gives(s, s->slot[rank][k], gradients))
            c->free[given++] = c->time->start[rank][k] + time_of(c->pipeline, s->slot[rank][k], rank);
    const int all = given;
    given = 0;
    for (size_t k = 0; k < s->slots[rank]; k++) {
        const dist_slot slot = s->slot[rank][k];
        if (slot.stage != stage)
            continue;
        if (takes(slot, gradients)) {
            const double sent = *sent_at(c, gradients, gradients ? stage + 1 : stage - 1, slot.microbatch);
            while (given < all && c->free[given] <= sent)
                given++;
            taken++;
            live++;
            most = live > most ? live : most;
            needed = taken - given > needed ? taken - given : needed;
        }
        live -= gives(s, slot, gradients);
    }
    return needed - most;
}

dist_status dist_set_slots(const dist_set_pipeline *pipeline, const dist_schedule_time *time, int *ahead)
{
    enum { LEAST = 2 };
    const dist_schedule *s = pipeline->schedule;
    const size_t microbatches = (size_t)s->microbatches;
    const counter c = {.pipeline = pipeline,
                       .time = time,
                       .sent = malloc(2 * (size_t)s->stages * microbatches * sizeof(double)),
                       .free = malloc(microbatches * sizeof(double))};
    if (!c.sent || !c.free) {
        free(c.sent);
        free(c.free);
        return dist_fail(DIST_ERR_MEMORY, "no memory for the messages of %d stages", s->stages);
    }
    note_ends(&c);
    for (int r = 0; r < s->ranks; r++)
        ahead[r] = LEAST;
    for (int edge = 0; edge + 1 < s->stages; edge++) {
        const int from = s->rank_of[edge], to = s->rank_of[edge + 1];
        if (from == to)
            continue;
        const int forward = slots_of(&c, edge + 1, false), backward = slots_of(&c, edge, true);
        ahead[to] = forward > ahead[to] ? forward : ahead[to];
        ahead[from] = backward > ahead[from] ? backward : ahead[from];
    }
    free(c.sent);
    free(c.free);
    return DIST_OK;
}
