/* Shared by the generators: groups of ranks, parts of slices, slots of scratch that are reused in turn. */
#ifndef DIST_COLLECTIVE_EMIT_H
#define DIST_COLLECTIVE_EMIT_H

#include "collective/collective.h"

/* Ranks that do something together; `me` is this rank's position, or -1. */
typedef struct dist_group {
    const int *rank; /* NULL: position i is rank i */
    int count, me;
} dist_group;

static inline int dist_group_rank(const dist_group *group, int position)
{
    return group->rank ? group->rank[position] : position;
}

static inline uint64_t dist_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline dist_slice dist_part(dist_slice slice, uint64_t offset, uint64_t bytes)
{
    return (dist_slice){.offset = slice.offset + offset, .bytes = bytes, .buffer = slice.buffer};
}

/* Part i of n of a slice of whole elements, as even as possible. */
static inline dist_slice dist_share(dist_slice slice, size_t element, uint64_t i, uint64_t n)
{
    uint64_t elements = slice.bytes / element, each = elements / n, left = elements % n;
    uint64_t first = i * each + (i < left ? i : left), count = each + (i < left);
    return dist_part(slice, first * element, count * element);
}

/* Scratch cut into equal slots, handed out in turn: a slot that is used again waits for its last use. */
typedef struct dist_slots {
    uint32_t buffer;
    uint64_t bytes; /* of one slot */
    uint32_t count, next;
} dist_slots;

dist_slots dist_slots_create(dist_plan *plan, const char *name, uint64_t bytes, uint64_t count);
dist_slice dist_slot(dist_slots *slots, uint64_t bytes);

/* Pieces in which a slice travels: `piece` bytes each, the last one shorter. */
#define DIST_PIECES(slice, piece, offset) for (uint64_t offset = 0; offset < (slice).bytes; offset += (piece))

/* Bytes of a message inside a site, and how many are under way to one peer. */
#define DIST_INSIDE_PIECE ((uint64_t)512 << 10)
#define DIST_INSIDE_SLOTS 8

/* The channel that connects two ranks. */
int dist_channel(const dist_topology *topology, int a, int b);
dist_group dist_everyone(const dist_spec *spec);

/* Bounds the bytes that a rank has under way in one direction: an op that would be too many waits for the oldest of them. Ranks whose
 * ops on both sides of all messages are in one common order cannot wait for each other in a circle. */
typedef struct dist_window {
    struct dist_window_op {
        uint64_t bytes;
        uint32_t op;
    } * op; /* a ring of `room` */
    size_t room, first, count;
    uint64_t bytes, most;
} dist_window;

/* Before an op of so many bytes is added. Ends with dist_window_end. */
void dist_window_pass(dist_window *window, dist_plan *plan, uint64_t bytes);
void dist_window_end(dist_window *window);

/* Of all messages of a rank inside its site, in one direction. */
#define DIST_INSIDE_WINDOW (DIST_INSIDE_SLOTS * DIST_INSIDE_PIECE)

/* Copies in pieces that leave time to look at the wire between them. */
void dist_emit_copy(dist_plan *plan, const dist_spec *spec, dist_slice dst, dist_slice src);

/* exchange.c */
void dist_emit_all_to_all(dist_plan *plan, const dist_spec *spec, dist_slice output, dist_slice input);
void dist_emit_send_recv(dist_plan *plan, const dist_spec *spec, dist_slice output, dist_slice input);

/* ring.c */
void dist_emit_ring_all_reduce(dist_plan *plan, const dist_spec *spec, dist_group group, dist_slice data);
void dist_emit_ring_reduce_scatter(dist_plan *plan, const dist_spec *spec, dist_slice input,
                                   dist_slice output);
void dist_emit_ring_all_gather(dist_plan *plan, const dist_spec *spec, dist_slice data);
void dist_emit_chain_broadcast(dist_plan *plan, const dist_spec *spec, dist_slice data);

/* halving.c */
void dist_emit_halving(dist_plan *plan, const dist_spec *spec, dist_slice data);
void dist_emit_doubling(dist_plan *plan, const dist_spec *spec, dist_slice data);

/* tree.c */
void dist_emit_tree_broadcast(dist_plan *plan, const dist_spec *spec, dist_slice data, bool by_site);

/* team.c: of a spec that dist_is_of_team */
bool dist_is_of_team(const dist_spec *spec);
void dist_emit_team_all_reduce(dist_plan *plan, const dist_spec *spec, dist_slice output, dist_slice input);
void dist_emit_team_reduce_scatter(dist_plan *plan, const dist_spec *spec, dist_slice output,
                                   dist_slice input);
void dist_emit_team_all_gather(dist_plan *plan, const dist_spec *spec, dist_slice output, dist_slice input);
void dist_emit_team_broadcast(dist_plan *plan, const dist_spec *spec, dist_slice data);
void dist_emit_team_barrier(dist_plan *plan, const dist_spec *spec, dist_slice word);

/* hier.c, across.c */
void dist_emit_hier_all_reduce(dist_plan *plan, const dist_spec *spec, dist_slice data);
void dist_emit_hier_reduce_scatter(dist_plan *plan, const dist_spec *spec, dist_slice input,
                                   dist_slice output);
void dist_emit_hier_all_gather(dist_plan *plan, const dist_spec *spec, dist_slice data);

#endif
