#include "parallel/lower_room.h"

typedef struct walker {
    const dist_schedule *s;
    int stage;
    size_t at; /* in the slots of its rank */
    uint32_t forwards, backwards, released;
} walker;

static walker walk_from(const dist_schedule *s, int stage)
{
    return (walker){.s = s, .stage = stage};
}

/* The next slot of the stage; NULL at the end. */
static const dist_slot *next(walker *w)
{
    const int rank = w->s->rank_of[w->stage];
    while (w->at < w->s->slots[rank]) {
        const dist_slot *slot = &w->s->slot[rank][w->at++];
        if (slot->stage != w->stage)
            continue;
        const bool forward = slot->kind == DIST_SLOT_FORWARD, weight = slot->kind == DIST_SLOT_WEIGHT;
        w->forwards += forward;
        w->backwards += !forward && !weight;
        w->released += weight || slot->kind == DIST_SLOT_FULL || (!w->s->split && !forward);
        return slot;
    }
    return NULL;
}

uint32_t dist_room_for_inputs(const dist_schedule *schedule, int stage)
{
    walker from = walk_from(schedule, stage - 1), to = walk_from(schedule, stage);
    uint32_t room = 0;
    for (const dist_slot *slot; (slot = next(&from)) != NULL;) {
        if (slot->kind != DIST_SLOT_FORWARD)
            continue;
        /* the backwards that the sender has behind it came after the receiver's */
        while (to.backwards < from.backwards && next(&to))
            continue;
        if (from.forwards > to.released && from.forwards - to.released > room)
            room = from.forwards - to.released;
    }
    return room;
}

uint32_t dist_room_for_gradients(const dist_schedule *schedule, int stage)
{
    walker from = walk_from(schedule, stage + 1), to = walk_from(schedule, stage);
    uint32_t room = 0;
    for (const dist_slot *slot; (slot = next(&from)) != NULL;) {
        if (slot->kind == DIST_SLOT_FORWARD || slot->kind == DIST_SLOT_WEIGHT)
            continue;
        /* the forwards that the sender has behind it came after the receiver's, and those after what was before them */
        while (to.forwards < from.forwards && next(&to))
            continue;
        if (from.backwards > to.backwards && from.backwards - to.backwards > room)
            room = from.backwards - to.backwards;
    }
    return room;
}
