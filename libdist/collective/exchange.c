/* What only passes from rank to rank: all-to-all and send-recv.
 *
 * All-to-all goes by rounds: in round i rank r exchanges with rank i - r, so that each pair meets in one round, with itself in one, and
 * all ranks are busy at once. A block that is both sent and replaced then waits for nobody but its partner. `ring` lets a rank run
 * ahead of a round by a window of bytes. `hier` takes the exchanges between sites apart and begins with them: the slow link never idles
 * while others inside the sites run beside it. */
#include "collective/across.h"

enum { EVERY_CHANNEL = -1 };

/* How messages of one channel go. */
typedef struct way {
    uint64_t piece;      /* bytes of one at most */
    uint64_t window;     /* bytes under way */
    dist_window out, in; /* of `ring` only those of the first way are used, for all */
    dist_slots slots;    /* in place: what has come for a block that is not sent yet */
} way;

typedef struct exchange {
    const dist_spec *spec;
    dist_plan *plan;
    dist_slice output, input;
    uint64_t part; /* bytes of a block */
    int ranks;
    bool in_place, by_rounds;
    way way[2];
} exchange;

static way way_of(const dist_spec *spec, int channel, uint64_t bytes)
{
    const bool across = channel == DIST_CHANNEL_ACROSS;
    way w = {.piece = across ? dist_across_message_bytes(spec, bytes) : DIST_INSIDE_PIECE,
             .window = across ? dist_across_window_bytes(spec) : DIST_INSIDE_WINDOW};
    w.out.most = w.in.most = w.window;
    return w;
}

static uint64_t pieces_of(uint64_t bytes, uint64_t piece)
{
    return (bytes + piece - 1) / piece;
}

/* In any round the rank itself, or the one that has this rank in the same round. */
static int partner(const exchange *e, int round)
{
    return (round - e->spec->rank + e->ranks) % e->ranks;
}

static int peers_on(const exchange *e, int channel)
{
    int peers = 0;
    for (int p = 0; p < e->ranks; p++)
        peers += p != e->spec->rank && dist_channel(e->spec->topology, e->spec->rank, p) == channel;
    return peers;
}

static void make_slots(exchange *e, int channel, const char *name)
{
    way *w = &e->way[channel];
    const uint64_t piece = dist_least(w->piece, e->part), ahead = w->window / piece + 1,
                   all = pieces_of(e->part, piece) * (uint64_t)peers_on(e, channel);
    if (all > 0)
        w->slots = dist_slots_create(e->plan, name, (piece + 63) / 64 * 64, dist_least(ahead, all));
}

static void begin(exchange *e)
{
    const bool sites = e->spec->topology->sites > 1;
    e->way[DIST_CHANNEL_INSIDE] = way_of(e->spec, DIST_CHANNEL_INSIDE, e->part);
    e->way[DIST_CHANNEL_ACROSS] = way_of(e->spec, DIST_CHANNEL_ACROSS, e->part);
    way *first = &e->way[0];
    if (e->by_rounds && sites && e->way[DIST_CHANNEL_ACROSS].window > first->out.most)
        first->out.most = first->in.most = e->way[DIST_CHANNEL_ACROSS].window;
    if (e->in_place) {
        make_slots(e, DIST_CHANNEL_INSIDE, "inside");
        make_slots(e, DIST_CHANNEL_ACROSS, "across");
    }
}

static void end(exchange *e)
{
    for (int c = 0; c < 2; c++) {
        dist_window_end(&e->way[c].out);
        dist_window_end(&e->way[c].in);
    }
}

static void send_block(exchange *e, int peer, int channel)
{
    const dist_slice block = dist_part(e->input, (uint64_t)peer * e->part, e->part);
    const uint64_t piece = e->way[channel].piece;
    dist_window *window = &e->way[e->by_rounds ? 0 : channel].out;
    DIST_PIECES(block, piece, at)
    {
        const uint64_t bytes = dist_least(piece, block.bytes - at);
        dist_window_pass(window, e->plan, bytes);
        dist_plan_send(e->plan, channel, peer, dist_part(block, at, bytes));
    }
}

static void receive_block(exchange *e, int peer, int channel)
{
    const dist_slice block = dist_part(e->output, (uint64_t)peer * e->part, e->part);
    const uint64_t piece = e->way[channel].piece;
    dist_window *window = &e->way[e->by_rounds ? 0 : channel].in;
    DIST_PIECES(block, piece, at)
    {
        const uint64_t bytes = dist_least(piece, block.bytes - at);
        const dist_slice place = dist_part(block, at, bytes),
                         comes = e->in_place ? dist_slot(&e->way[channel].slots, bytes) : place;
        dist_window_pass(window, e->plan, bytes);
        dist_plan_recv(e->plan, channel, peer, comes);
        if (e->in_place)
            dist_plan_copy(e->plan, place, comes);
    }
}

/* The rounds, but for partners on other channels. */
static void run_rounds(exchange *e, int channel, bool send, bool receive)
{
    for (int round = 0; round < e->ranks; round++) {
        const int peer = partner(e, round);
        const int on = dist_channel(e->spec->topology, e->spec->rank, peer);
        if (peer == e->spec->rank || (channel != EVERY_CHANNEL && channel != on))
            continue;
        if (send)
            send_block(e, peer, on);
        if (receive)
            receive_block(e, peer, on);
    }
}

static void run_channels(exchange *e, bool send, bool receive)
{
    if (e->by_rounds) {
        run_rounds(e, EVERY_CHANNEL, send, receive);
    } else {
        run_rounds(e, DIST_CHANNEL_ACROSS, send, receive);
        run_rounds(e, DIST_CHANNEL_INSIDE, send, receive);
    }
}

/* Short blocks all leave before the first is waited for: such a plan is run op after op. */
static void run(exchange *e)
{
    const bool at_once = e->part <= DIST_WIRE_SHORT;
    run_channels(e, true, !at_once);
    if (at_once)
        run_channels(e, false, true);
}

/* MPI's own in place is not what every library has without faults. */
static void native(dist_plan *plan, const dist_spec *spec, dist_slice output, dist_slice input, bool in_place)
{
    if (in_place) {
        const uint32_t copy = dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, output.bytes, "copy");
        input = dist_slice_of(copy, 0, output.bytes);
        dist_emit_copy(plan, spec, input, output);
    }
    dist_plan_native(plan, DIST_NATIVE_ALL_TO_ALL, spec->type, DIST_SUM, 0, spec->count, output, input);
}

void dist_emit_all_to_all(dist_plan *plan, const dist_spec *spec, dist_slice output, dist_slice input)
{
    exchange e = {.spec = spec,
                  .plan = plan,
                  .output = output,
                  .input = input,
                  .part = output.bytes / (uint64_t)spec->topology->ranks,
                  .ranks = spec->topology->ranks,
                  .in_place = input.buffer == output.buffer,
                  .by_rounds = spec->algo.kind != DIST_ALGO_HIER};
    const uint64_t own = (uint64_t)spec->rank * e.part;
    if (e.part == 0)
        return;
    if (spec->algo.kind == DIST_ALGO_MPI && e.ranks > 1) {
        native(plan, spec, output, input, e.in_place);
        return;
    }
    begin(&e);
    run(&e);
    end(&e);
    if (!e.in_place)
        dist_emit_copy(plan, spec, dist_part(output, own, e.part), dist_part(input, own, e.part));
}

/* ---- send-recv ---- */

uint32_t dist_send_recv_sequences(const dist_spec *spec)
{
    const uint64_t bytes = spec->count * dist_type_bytes(spec->type);
    const uint64_t inside = pieces_of(bytes, DIST_INSIDE_PIECE),
                   across = pieces_of(bytes, dist_across_message_bytes(spec, bytes));
    const uint64_t most = spec->topology->sites > 1 && across > inside ? across : inside;
    return (uint32_t)dist_least(spec->topology->ranks > 1 ? most : 0, UINT32_MAX);
}

static void pass_to(dist_plan *plan, const dist_spec *spec, int peer, dist_slice data, bool send)
{
    const int channel = dist_channel(spec->topology, spec->rank, peer);
    way w = way_of(spec, channel, data.bytes);
    DIST_PIECES(data, w.piece, at)
    {
        const dist_slice piece = dist_part(data, at, dist_least(w.piece, data.bytes - at));
        dist_window_pass(&w.out, plan, piece.bytes);
        if (send)
            dist_plan_send(plan, channel, peer, piece);
        else
            dist_plan_recv(plan, channel, peer, piece);
    }
    dist_window_end(&w.out);
}

void dist_emit_send_recv(dist_plan *plan, const dist_spec *spec, dist_slice output, dist_slice input)
{
    if (spec->to == spec->rank) {
        dist_emit_copy(plan, spec, output, input);
        return;
    }
    if (spec->to >= 0)
        pass_to(plan, spec, spec->to, input, true);
    if (spec->from >= 0)
        pass_to(plan, spec, spec->from, output, false);
}
