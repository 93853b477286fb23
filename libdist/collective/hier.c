/* Hierarchical collectives: as little as possible across sites, all of it at once.
 *
 * All-reduce, for each chunk: reduce-scatter inside the site, so that rail j (the ranks with local index j)
 * owns piece j; exchange between sites, rail by rail; all-gather inside. Chunks are independent, so all three
 * stages run at once on different chunks and the slow link never idles. */
#include "collective/across.h"

typedef struct inside {
    const dist_spec *spec;
    const dist_site_ranks *site;
    int local, rails;
    bool team; /* the team's wire does it */
    dist_slots slots;
} inside;

/* Everybody sends piece j to its owner, who adds them up in rank order after its own. */
static void scatter_piece(inside *in, dist_plan *plan, dist_slice piece, int owner)
{
    const dist_spec *spec = in->spec;
    if (in->local != owner) {
        dist_plan_send(plan, DIST_CHANNEL_INSIDE, in->site->rank[owner], piece);
        return;
    }
    for (int other = 0; other < in->site->count; other++) {
        if (other == owner)
            continue;
        dist_slice slot = dist_slot(&in->slots, piece.bytes);
        dist_plan_recv(plan, DIST_CHANNEL_INSIDE, in->site->rank[other], slot);
        dist_plan_reduce(plan, spec->type, spec->reduction, piece, slot);
    }
}

static void gather_piece(inside *in, dist_plan *plan, dist_slice piece, int owner)
{
    if (in->local != owner) {
        dist_plan_recv(plan, DIST_CHANNEL_INSIDE, in->site->rank[owner], piece);
        return;
    }
    for (int other = 0; other < in->site->count; other++)
        if (other != owner)
            dist_plan_send(plan, DIST_CHANNEL_INSIDE, in->site->rank[other], piece);
}

/* The same over the team's wire. A whole chunk of which every rank owns a piece takes one reduce-scatter and one all-gather. Of
 * others, the last of a vector and all of a site with more ranks than rails, everybody gets the sum, and then each
 * owner's piece. */
static bool is_even(const inside *in, dist_slice chunk, uint64_t piece)
{
    return in->rails == in->site->count && chunk.bytes == piece * (uint64_t)in->rails;
}

static dist_slice own_part(const inside *in, dist_slice chunk, uint64_t piece)
{
    return dist_part(chunk, (uint64_t)in->local * piece, piece);
}

static void team_scatter(const inside *in, dist_plan *plan, dist_slice chunk, uint64_t piece)
{
    const dist_spec *spec = in->spec;
    const uint64_t size = dist_type_bytes(spec->type);
    if (is_even(in, chunk, piece))
        dist_plan_native_team(plan, DIST_NATIVE_REDUCE_SCATTER, spec->type, spec->reduction, 0, piece / size,
                              own_part(in, chunk, piece), chunk);
    else
        dist_plan_native_team(plan, DIST_NATIVE_ALL_REDUCE, spec->type, spec->reduction, 0,
                              chunk.bytes / size, chunk, chunk);
}

static void team_gather(const inside *in, dist_plan *plan, dist_slice chunk, uint64_t piece)
{
    const dist_spec *spec = in->spec;
    const uint64_t size = dist_type_bytes(spec->type);
    if (is_even(in, chunk, piece)) {
        dist_plan_native_team(plan, DIST_NATIVE_ALL_GATHER, spec->type, DIST_SUM, 0, piece / size, chunk,
                              own_part(in, chunk, piece));
        return;
    }
    for (int rail = 0; rail < in->rails && (uint64_t)rail * piece < chunk.bytes; rail++) {
        const uint64_t begin = (uint64_t)rail * piece, bytes = dist_least(piece, chunk.bytes - begin);
        dist_plan_native_team(plan, DIST_NATIVE_BROADCAST, spec->type, DIST_SUM, in->site->rank[rail],
                              bytes / size, dist_part(chunk, begin, bytes),
                              dist_slice_of(DIST_NO_BUFFER, 0, 0));
    }
}

/* Piece j of the chunk at `at`: rails share a chunk evenly, in whole grains of the piece size. */
static dist_slice piece_of(dist_slice data, uint64_t at, uint64_t piece, int rail)
{
    uint64_t begin = dist_least(at + (uint64_t)rail * piece, data.bytes);
    return dist_part(data, begin, dist_least(piece, data.bytes - begin));
}

static void scatter_chunk(inside *in, dist_plan *plan, dist_slice chunk, uint64_t piece)
{
    if (in->team)
        team_scatter(in, plan, chunk, piece);
    for (int rail = 0; rail < in->rails && !in->team; rail++)
        scatter_piece(in, plan, piece_of(chunk, 0, piece, rail), rail);
}

static void gather_chunk(inside *in, dist_plan *plan, dist_slice chunk, uint64_t piece)
{
    if (in->team)
        team_gather(in, plan, chunk, piece);
    for (int rail = 0; rail < in->rails && !in->team; rail++)
        gather_piece(in, plan, piece_of(chunk, 0, piece, rail), rail);
}

void dist_emit_hier_all_reduce(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    const dist_topology *topology = spec->topology;
    if (dist_is_of_team(spec)) {
        dist_emit_team_all_reduce(plan, spec, data, data);
        return;
    }
    const dist_place *me = &topology->place[spec->rank];
    inside in = {
        .spec = spec, .site = &topology->site[me->site], .local = me->local, .rails = topology->rails};
    in.team = spec->team && in.site->count > 1;
    uint64_t rails = (uint64_t)in.rails, shard = (data.bytes + rails - 1) / rails;
    uint64_t piece = dist_across_piece_bytes(spec, shard), chunk = piece * rails;
    uint64_t chunks = (data.bytes + chunk - 1) / chunk;
    dist_across across = {0};
    bool owner = in.local < in.rails;
    if (in.team)
        dist_plan_set_team(plan, in.site->rank, in.site->count);
    if (owner) {
        if (!in.team)
            in.slots = dist_slots_create(plan, "inside", dist_least(piece, data.bytes),
                                         dist_least(chunks, 4) * (uint64_t)(in.site->count - 1));
        dist_across_begin(&across, plan, spec, in.local, piece, dist_least(chunks * piece, data.bytes));
    }
    for (uint64_t c = 0; c < chunks; c++) {
        const dist_slice whole = dist_part(data, c * chunk, dist_least(chunk, data.bytes - c * chunk));
        const dist_slice mine = piece_of(data, c * chunk, piece, in.local);
        scatter_chunk(&in, plan, whole, piece);
        if (owner && mine.bytes > 0)
            dist_across_piece(&across, plan, mine, c * piece);
        gather_chunk(&in, plan, whole, piece);
    }
}

/* For every rank d: each site adds up its block d on one rank, which sends the sum to d; d adds the sites'
 * sums in site order. So a block crosses between two sites once. */
typedef struct scatter {
    const dist_spec *spec;
    const dist_topology *topology;
    int site, local;
    dist_slots sums, incoming;
} scatter;

/* The local index of who adds up, on a site of `count` ranks, the block of a rank with local index `local`.
 */
static int adder(int local, int count)
{
    return local % count;
}

static dist_slice site_sum(scatter *s, dist_plan *plan, dist_slice block)
{
    const dist_site_ranks *site = &s->topology->site[s->site];
    dist_slice sum = dist_slot(&s->sums, block.bytes);
    dist_plan_copy(plan, sum, block);
    for (int other = 0; other < site->count; other++) {
        if (other == s->local)
            continue;
        dist_slice slot = dist_slot(&s->incoming, block.bytes);
        dist_plan_recv(plan, DIST_CHANNEL_INSIDE, site->rank[other], slot);
        dist_plan_reduce(plan, s->spec->type, s->spec->reduction, sum, slot);
    }
    return sum;
}

static void total(scatter *s, dist_plan *plan, dist_slice sum, dist_slice output)
{
    const dist_topology *topology = s->topology;
    dist_slice start = sum;
    for (int site = 0; site < topology->sites; site++) {
        dist_slice value = sum;
        if (site != s->site) {
            int from = dist_topology_rank(topology, site, adder(s->local, topology->site[site].count));
            value = dist_slot(&s->incoming, output.bytes);
            dist_plan_recv(plan, DIST_CHANNEL_ACROSS, from, value);
        }
        if (site == 0)
            start = value;
        else
            dist_plan_reduce(plan, s->spec->type, s->spec->reduction, start, value);
    }
    dist_plan_copy(plan, output, start);
    if (s->spec->reduction == DIST_AVERAGE)
        dist_plan_divide(plan, s->spec->type, output, topology->ranks);
}

static void scatter_block(scatter *s, dist_plan *plan, int destination, dist_slice block, dist_slice output)
{
    const dist_topology *topology = s->topology;
    const dist_site_ranks *site = &topology->site[s->site];
    const dist_place *to = &topology->place[destination];
    int sums = adder(to->local, site->count);
    if (s->local != sums) {
        dist_plan_send(plan, DIST_CHANNEL_INSIDE, site->rank[sums], block);
        return;
    }
    dist_slice sum = site_sum(s, plan, block);
    if (to->site != s->site)
        dist_plan_send(plan, DIST_CHANNEL_ACROSS, destination, sum);
    else
        total(s, plan, sum, output);
}

void dist_emit_hier_reduce_scatter(dist_plan *plan, const dist_spec *spec, dist_slice input,
                                   dist_slice output)
{
    const dist_topology *topology = spec->topology;
    const dist_place *me = &topology->place[spec->rank];
    scatter s = {.spec = spec, .topology = topology, .site = me->site, .local = me->local};
    uint64_t piece = dist_least(DIST_INSIDE_PIECE / 2, output.bytes);
    s.sums = dist_slots_create(plan, "sums", piece, DIST_INSIDE_SLOTS);
    s.incoming = dist_slots_create(plan, "incoming", piece,
                                   2 * (uint64_t)(topology->site[me->site].count + topology->sites));
    DIST_PIECES(output, piece, at)
    for (int d = 0; d < topology->ranks; d++) {
        uint64_t size = dist_least(piece, output.bytes - at);
        scatter_block(&s, plan, d, dist_part(input, (uint64_t)d * output.bytes + at, size),
                      dist_part(output, at, size));
    }
}

/* Every block goes to one rank of each other site, and from there to the rest of that site. */
void dist_emit_hier_all_gather(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    const dist_topology *topology = spec->topology;
    const dist_place *me = &topology->place[spec->rank];
    const dist_site_ranks *site = &topology->site[me->site];
    uint64_t block = data.bytes / (uint64_t)topology->ranks;
    uint64_t piece = dist_least(DIST_INSIDE_PIECE / 2, block ? block : 1);
    for (uint64_t at = 0; at < block; at += piece)
        for (int from = 0; from < topology->ranks; from++) {
            const dist_place *owner = &topology->place[from];
            dist_slice part = dist_part(data, (uint64_t)from * block + at, dist_least(piece, block - at));
            int entry = owner->site == me->site ? owner->local : adder(owner->local, site->count);
            for (int s = 0; s < topology->sites; s++)
                if (from == spec->rank && s != me->site)
                    dist_plan_send(plan, DIST_CHANNEL_ACROSS,
                                   dist_topology_rank(topology, s, adder(me->local, topology->site[s].count)),
                                   part);
            if (entry == me->local && owner->site != me->site)
                dist_plan_recv(plan, DIST_CHANNEL_ACROSS, from, part);
            for (int other = 0; other < site->count; other++)
                if (entry == me->local && other != me->local)
                    dist_plan_send(plan, DIST_CHANNEL_INSIDE, site->rank[other], part);
            if (entry != me->local)
                dist_plan_recv(plan, DIST_CHANNEL_INSIDE, site->rank[entry], part);
        }
}
