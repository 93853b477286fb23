/* Recursive halving and doubling, for any number of ranks: those beyond a power of two hand their data to a
 * neighbour first and get the result from it. log2(n) rounds; halving sends 2(n-1)/n of the bytes, doubling
 * log2(n) times all of them. */
#include "collective/emit.h"

typedef struct pairing {
    int n, power, extra;
    int me; /* position among those who take part, -1 for one who handed its data on */
    dist_slots slots;
    dist_plan *plan;
    const dist_spec *spec;
    size_t element;
} pairing;

static int rank_at(const pairing *p, int position)
{
    return position < p->extra ? 2 * position + 1 : position + p->extra;
}

static pairing pair_up(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    pairing p = {.n = spec->topology->ranks, .power = 1, .plan = plan, .spec = spec};
    while (p.power * 2 <= p.n)
        p.power *= 2;
    p.extra = p.n - p.power;
    p.element = dist_type_bytes(spec->type);
    if (spec->rank >= 2 * p.extra)
        p.me = spec->rank - p.extra;
    else
        p.me = spec->rank % 2 ? spec->rank / 2 : -1;
    p.slots =
        dist_slots_create(plan, "halving", dist_least(DIST_INSIDE_PIECE, data.bytes), DIST_INSIDE_SLOTS);
    return p;
}

static void send_pieces(pairing *p, int peer, dist_slice slice)
{
    int channel = dist_channel(p->spec->topology, p->spec->rank, peer);
    DIST_PIECES(slice, DIST_INSIDE_PIECE, at)
    dist_plan_send(p->plan, channel, peer,
                   dist_part(slice, at, dist_least(DIST_INSIDE_PIECE, slice.bytes - at)));
}

static void recv_pieces(pairing *p, int peer, dist_slice slice)
{
    int channel = dist_channel(p->spec->topology, p->spec->rank, peer);
    DIST_PIECES(slice, DIST_INSIDE_PIECE, at)
    dist_plan_recv(p->plan, channel, peer,
                   dist_part(slice, at, dist_least(DIST_INSIDE_PIECE, slice.bytes - at)));
}

/* slice = what peer sends combined with slice. Operands go in rank order, so that both sides of a pair get
 * the same bits even where an operation is not quite symmetric (zeros of both signs, NaN payloads). */
static void reduce_pieces(pairing *p, int peer, dist_slice slice)
{
    int channel = dist_channel(p->spec->topology, p->spec->rank, peer);
    DIST_PIECES(slice, DIST_INSIDE_PIECE, at)
    {
        dist_slice piece = dist_part(slice, at, dist_least(DIST_INSIDE_PIECE, slice.bytes - at));
        dist_slice slot = dist_slot(&p->slots, piece.bytes);
        dist_plan_recv(p->plan, channel, peer, slot);
        if (p->spec->rank < peer) {
            dist_plan_reduce(p->plan, p->spec->type, p->spec->reduction, piece, slot);
        } else {
            dist_plan_reduce(p->plan, p->spec->type, p->spec->reduction, slot, piece);
            dist_plan_copy(p->plan, piece, slot);
        }
    }
}

static void fold(pairing *p, dist_slice data)
{
    if (p->spec->rank >= 2 * p->extra)
        return;
    if (p->me < 0)
        send_pieces(p, p->spec->rank + 1, data);
    else
        reduce_pieces(p, p->spec->rank - 1, data);
}

static void unfold(pairing *p, dist_slice data)
{
    if (p->spec->rank >= 2 * p->extra)
        return;
    if (p->me < 0)
        recv_pieces(p, p->spec->rank + 1, data);
    else
        send_pieces(p, p->spec->rank - 1, data);
}

/* Segments [first, first + count) of `power`, as one slice. */
static dist_slice segments(const pairing *p, dist_slice data, int first, int count)
{
    dist_slice low = dist_share(data, p->element, (uint64_t)first, (uint64_t)p->power);
    dist_slice high = dist_share(data, p->element, (uint64_t)(first + count - 1), (uint64_t)p->power);
    low.bytes = high.offset + high.bytes - low.offset;
    return low;
}

static void halve(pairing *p, dist_slice data)
{
    int first = 0;
    for (int half = p->power / 2; half > 0; half /= 2) {
        int peer = rank_at(p, p->me ^ half);
        bool upper = p->me & half;
        send_pieces(p, peer, segments(p, data, upper ? first : first + half, half));
        first += upper ? half : 0;
        reduce_pieces(p, peer, segments(p, data, first, half));
    }
    if (p->spec->reduction == DIST_AVERAGE)
        dist_plan_divide(p->plan, p->spec->type, segments(p, data, first, 1), p->n);
    for (int half = 1; half < p->power; half *= 2) {
        int peer = rank_at(p, p->me ^ half);
        int theirs = first ^ half;
        send_pieces(p, peer, segments(p, data, first, half));
        recv_pieces(p, peer, segments(p, data, theirs, half));
        first = first < theirs ? first : theirs;
    }
}

void dist_emit_halving(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    pairing p = pair_up(plan, spec, data);
    fold(&p, data);
    if (p.me >= 0)
        halve(&p, data);
    unfold(&p, data);
}

void dist_emit_doubling(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    pairing p = pair_up(plan, spec, data);
    fold(&p, data);
    for (int bit = 1; p.me >= 0 && bit < p.power; bit *= 2) {
        int peer = rank_at(&p, p.me ^ bit);
        send_pieces(&p, peer, data);
        reduce_pieces(&p, peer, data);
    }
    if (p.me >= 0 && spec->reduction == DIST_AVERAGE)
        dist_plan_divide(plan, spec->type, data, p.n);
    unfold(&p, data);
}
