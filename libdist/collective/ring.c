/* Rings: every rank sends to the next and receives from the one before. Each byte is sent 2(n-1)/n times. */
#include "collective/emit.h"

typedef struct ring {
    int n, me, next, before;
    int to_next, from_before; /* channels */
} ring;

static ring ring_of(const dist_spec *spec, const dist_group *group)
{
    int n = group->count, me = group->me;
    ring r = {.n = n,
              .me = me,
              .next = dist_group_rank(group, (me + 1) % n),
              .before = dist_group_rank(group, (me + n - 1) % n)};
    r.to_next = dist_channel(spec->topology, spec->rank, r.next);
    r.from_before = dist_channel(spec->topology, spec->rank, r.before);
    return r;
}

/* The segment that position `me` sends in `step`, counted so that after n-1 steps it holds segment `me`. */
static int segment_at(const ring *r, int step)
{
    return (r->me + 2 * r->n - step - 1) % r->n;
}

void dist_emit_ring_all_reduce(dist_plan *plan, const dist_spec *spec, dist_group group, dist_slice data)
{
    size_t element = dist_type_bytes(spec->type);
    ring r = ring_of(spec, &group);
    dist_slots slots =
        dist_slots_create(plan, "ring", dist_least(DIST_INSIDE_PIECE, data.bytes), DIST_INSIDE_SLOTS);
    for (int step = 0; step < r.n - 1; step++) {
        dist_slice out = dist_share(data, element, (uint64_t)segment_at(&r, step), (uint64_t)r.n);
        dist_slice in = dist_share(data, element, (uint64_t)segment_at(&r, step + 1), (uint64_t)r.n);
        DIST_PIECES(out, DIST_INSIDE_PIECE, at)
        dist_plan_send(plan, r.to_next, r.next,
                       dist_part(out, at, dist_least(DIST_INSIDE_PIECE, out.bytes - at)));
        DIST_PIECES(in, DIST_INSIDE_PIECE, at)
        {
            dist_slice piece = dist_part(in, at, dist_least(DIST_INSIDE_PIECE, in.bytes - at));
            dist_slice slot = dist_slot(&slots, piece.bytes);
            dist_plan_recv(plan, r.from_before, r.before, slot);
            dist_plan_reduce(plan, spec->type, spec->reduction, piece, slot);
        }
    }
    dist_slice mine = dist_share(data, element, (uint64_t)r.me, (uint64_t)r.n);
    if (spec->reduction == DIST_AVERAGE)
        dist_plan_divide(plan, spec->type, mine, spec->topology->ranks);
    for (int step = 0; step < r.n - 1; step++) {
        dist_slice out = dist_share(data, element, (uint64_t)((r.me + r.n - step) % r.n), (uint64_t)r.n);
        dist_slice in =
            dist_share(data, element, (uint64_t)((r.me + 2 * r.n - step - 1) % r.n), (uint64_t)r.n);
        DIST_PIECES(out, DIST_INSIDE_PIECE, at)
        dist_plan_send(plan, r.to_next, r.next,
                       dist_part(out, at, dist_least(DIST_INSIDE_PIECE, out.bytes - at)));
        DIST_PIECES(in, DIST_INSIDE_PIECE, at)
        dist_plan_recv(plan, r.from_before, r.before,
                       dist_part(in, at, dist_least(DIST_INSIDE_PIECE, in.bytes - at)));
    }
}

/* Partial sums travel in slots, because the input is the program's and stays as it is. */
void dist_emit_ring_reduce_scatter(dist_plan *plan, const dist_spec *spec, dist_slice input,
                                   dist_slice output)
{
    dist_group all = dist_everyone(spec);
    ring r = ring_of(spec, &all);
    uint64_t bytes = output.bytes;
    if (r.n == 1) {
        if (!spec->in_place)
            dist_plan_copy(plan, output, input);
        return;
    }
    dist_slots slots =
        dist_slots_create(plan, "ring", dist_least(DIST_INSIDE_PIECE, bytes), 2 * DIST_INSIDE_SLOTS);
    for (uint64_t at = 0; at < bytes;
         at += DIST_INSIDE_PIECE) { /* each piece goes all the way round by itself */
        uint64_t size = dist_least(DIST_INSIDE_PIECE, bytes - at);
        dist_slice carried = dist_part(input, (uint64_t)segment_at(&r, 0) * bytes + at, size);
        for (int step = 0; step < r.n - 1; step++) {
            dist_plan_send(plan, r.to_next, r.next, carried);
            carried = dist_slot(&slots, size);
            dist_plan_recv(plan, r.from_before, r.before, carried);
            dist_plan_reduce(plan, spec->type, spec->reduction, carried,
                             dist_part(input, (uint64_t)segment_at(&r, step + 1) * bytes + at, size));
        }
        dist_plan_copy(plan, dist_part(output, at, size), carried);
        if (spec->reduction == DIST_AVERAGE)
            dist_plan_divide(plan, spec->type, dist_part(output, at, size), spec->topology->ranks);
    }
}

void dist_emit_ring_all_gather(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    dist_group all = dist_everyone(spec);
    ring r = ring_of(spec, &all);
    uint64_t bytes = data.bytes / (uint64_t)r.n;
    for (int step = 0; step < r.n - 1; step++) {
        dist_slice out = dist_part(data, (uint64_t)((r.me + r.n - step) % r.n) * bytes, bytes);
        dist_slice in = dist_part(data, (uint64_t)((r.me + 2 * r.n - step - 1) % r.n) * bytes, bytes);
        DIST_PIECES(out, DIST_INSIDE_PIECE, at)
        dist_plan_send(plan, r.to_next, r.next,
                       dist_part(out, at, dist_least(DIST_INSIDE_PIECE, bytes - at)));
        DIST_PIECES(in, DIST_INSIDE_PIECE, at)
        dist_plan_recv(plan, r.from_before, r.before,
                       dist_part(in, at, dist_least(DIST_INSIDE_PIECE, bytes - at)));
    }
}

void dist_emit_chain_broadcast(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    dist_group all = dist_everyone(spec);
    ring r = ring_of(spec, &all);
    int place = (r.me + r.n - spec->root) % r.n; /* how far from the root */
    DIST_PIECES(data, DIST_INSIDE_PIECE, at)
    {
        dist_slice piece = dist_part(data, at, dist_least(DIST_INSIDE_PIECE, data.bytes - at));
        if (place > 0)
            dist_plan_recv(plan, r.from_before, r.before, piece);
        if (place < r.n - 1)
            dist_plan_send(plan, r.to_next, r.next, piece);
    }
}
