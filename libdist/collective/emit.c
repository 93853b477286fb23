#include "collective/emit.h"

#include <stdlib.h>

#include "base/error.h"

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

static bool make_room(dist_window *window)
{
    const size_t room = window->room ? 2 * window->room : 16;
    struct dist_window_op *op = malloc(room * sizeof *op);
    if (!op)
        return false;
    for (size_t i = 0; i < window->count; i++)
        op[i] = window->op[(window->first + i) % window->room];
    free(window->op);
    window->op = op;
    window->room = room;
    window->first = 0;
    return true;
}

void dist_window_pass(dist_window *window, dist_plan *plan, uint64_t bytes)
{
    while (window->count > 0 && window->bytes + bytes > window->most) {
        const struct dist_window_op *oldest = &window->op[window->first];
        dist_plan_after(plan, oldest->op);
        window->bytes -= oldest->bytes;
        window->first = (window->first + 1) % window->room;
        window->count--;
    }
    if (window->count == window->room && !make_room(window)) {
        plan->status = dist_fail(DIST_ERR_MEMORY, "no memory for plan '%s'", plan->label);
        return;
    }
    window->op[(window->first + window->count++) % window->room] =
        (struct dist_window_op){bytes, (uint32_t)plan->ops};
    window->bytes += bytes;
}

void dist_window_end(dist_window *window)
{
    free(window->op);
}

int dist_channel(const dist_topology *topology, int a, int b)
{
    return topology->place[a].site == topology->place[b].site ? DIST_CHANNEL_INSIDE : DIST_CHANNEL_ACROSS;
}

dist_group dist_everyone(const dist_spec *spec)
{
    return (dist_group){NULL, spec->topology->ranks, spec->rank};
}
