#include "collective/emit.h"

dist_slots dist_slots_create(dist_plan *plan, const char *name, uint64_t bytes, uint64_t count)
{
    dist_slots slots = {.bytes = bytes, .count = count ? (uint32_t)count : 1};
    slots.buffer = dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, bytes * count, name);
    return slots;
}

dist_slice dist_slot(dist_slots *slots, uint64_t bytes)
{
    uint32_t slot = slots->next;
    slots->next = (slot + 1) % slots->count;
    return dist_slice_of(slots->buffer, slot * slots->bytes, bytes);
}

int dist_channel(const dist_topology *topology, int a, int b)
{
    return topology->place[a].site == topology->place[b].site ? DIST_CHANNEL_INSIDE : DIST_CHANNEL_ACROSS;
}

dist_group dist_everyone(const dist_spec *spec)
{
    return (dist_group){NULL, spec->topology->ranks, spec->rank};
}
