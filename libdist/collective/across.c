/* The exchange between sites: encode once, exchange, sum in site order, so that every replica decodes the
 * same bytes. */
#include "collective/across.h"

/* Wire bytes of a message. Below Open MPI's eager limit for TCP (64 KiB with its header) it needs no handshake
 * with a peer that may be busy: on a 200 Mbit/s link 1.03 times the bound; 128 KiB take 1.4 times. */
#define CHUNK_DEFAULT ((uint64_t)48 << 10)
#define CHUNK_LEAST   ((uint64_t)16 << 10)
/* A wire without such a limit takes longer ones of a long vector, each of which costs the processor less; so many that filling and
 * draining cost less than 1 %. On that link and 64 MiB they take half the processor time of 48 KiB. */
#define CHUNK_MOST    ((uint64_t)256 << 10)
#define CHUNKS_FINE   160
#define WINDOW_LEAST  ((uint64_t)8 << 20) /* covers 200 Mbit/s with 300 ms, 2 Gbit/s with 30 ms */
#define WINDOW_MOST   ((uint64_t)256 << 20)
#define CHUNKS_WANTED 12 /* so that filling and draining the pipeline costs little */
#define DEVICE_PIECE                                                                                         \
    ((uint64_t)512 << 10) /* wire bytes of a piece in device memory: enough work for a kernel or a copy */
#define SLOT_GRAIN 64     /* slots begin at cache lines */

static bool coded(const dist_spec *spec)
{
    return spec->codec.kind != DIST_CODEC_NONE;
}

/* Nothing makes no frame. */
static uint64_t encoded_bytes(const dist_spec *spec, uint64_t bytes)
{
    if (bytes == 0)
        return 0;
    return coded(spec) ? dist_codec_bytes(&spec->codec, bytes / dist_type_bytes(spec->type)) : bytes;
}

static bool use_two_shots(const dist_spec *spec)
{
    int sites = spec->topology->sites;
    if (spec->algo.shots != 0 || sites < 3)
        return spec->algo.shots == 2 && sites > 1;
    return sites > 4 || !coded(spec); /* without a codec a second shot costs no precision and saves bytes */
}

uint64_t dist_across_piece_bytes(const dist_spec *spec, uint64_t shard)
{
    const uint64_t block = coded(spec) ? dist_codec_grain(&spec->codec) * dist_type_bytes(spec->type) : 0;
    const uint64_t grain =
        block > 4096 ? block : 4096; /* a whole number of blocks: block sizes are powers of two */
    const uint64_t sample = (uint64_t)1 << 24, encoded = encoded_bytes(spec, sample);
    const uint64_t most = spec->device ? DEVICE_PIECE : CHUNK_DEFAULT;
    uint64_t chunk = spec->device ? 0 : spec->chunk_bytes;
    if (chunk == 0) {
        const uint64_t parts = use_two_shots(spec) ? (uint64_t)spec->topology->sites : 1; /* each a message */
        const uint64_t even = shard / CHUNKS_WANTED * encoded / sample;
        const uint64_t fine = dist_least(shard / CHUNKS_FINE * encoded / sample, CHUNK_MOST);
        const uint64_t limit = spec->one_way > CHUNK_MOST && fine > most ? fine : most;
        chunk = even < CHUNK_LEAST ? CHUNK_LEAST : dist_least(even, parts * limit);
    }
    uint64_t grains = chunk * sample / encoded / grain;
    return (grains ? grains : 1) * grain;
}

/* Nothing is reduced on the way, so pieces need not be fine for one stage to begin before another ends. */
uint64_t dist_across_message_bytes(const dist_spec *spec, uint64_t bytes)
{
    const uint64_t fine = dist_least(bytes / CHUNKS_FINE, CHUNK_MOST);
    uint64_t message = spec->chunk_bytes;
    if (message == 0)
        message = spec->one_way > CHUNK_MOST && fine > CHUNK_DEFAULT ? fine : CHUNK_DEFAULT;
    return (message + SLOT_GRAIN - 1) / SLOT_GRAIN * SLOT_GRAIN;
}

/* Of the values in the first `bytes` of a shard. */
static uint64_t feedback_bytes(const dist_spec *spec, uint64_t bytes)
{
    return dist_feedback_bytes(spec->codec.feedback, bytes / dist_type_bytes(spec->type));
}

static uint32_t feedback_buffer(const dist_spec *spec, dist_plan *plan, const char *name, uint64_t bytes)
{
    if (!coded(spec) || !spec->codec.feedback || !spec->feedback)
        return DIST_NO_BUFFER;
    return dist_plan_add_buffer(plan, DIST_BUFFER_STATE, feedback_bytes(spec, bytes), name);
}

/* Bytes under way to one peer: twice the rate x round trip of the longest link, where that has been measured. */
uint64_t dist_across_window_bytes(const dist_spec *spec)
{
    const dist_topology *t = spec->topology;
    double most = 0;
    if (spec->window_bytes)
        return spec->window_bytes;
    for (int i = 0; t->probed && i < t->sites * t->sites; i++) {
        const double held = 2 * t->probed[i].bandwidth * 2 * t->probed[i].latency;
        if (i / t->sites != i % t->sites)
            most = held > most ? held : most;
    }
    if (most >= (double)WINDOW_MOST)
        return WINDOW_MOST;
    return most > (double)WINDOW_LEAST ? (uint64_t)most : WINDOW_LEAST;
}

void dist_across_begin(dist_across *across, dist_plan *plan, const dist_spec *spec, int rail, uint64_t piece,
                       uint64_t shard)
{
    int sites = spec->topology->sites;
    *across = (dist_across){.spec = spec,
                            .rail = rail,
                            .site = spec->topology->place[spec->rank].site,
                            .sites = sites,
                            .two_shot = use_two_shots(spec),
                            .feedback = DIST_NO_BUFFER,
                            .feedback_total = DIST_NO_BUFFER};
    if (sites == 1 || shard == 0)
        return;
    piece = dist_least(piece, shard);
    across->piece = piece;
    uint64_t wire = (encoded_bytes(spec, piece) + SLOT_GRAIN - 1) / SLOT_GRAIN * SLOT_GRAIN;
    uint64_t window = dist_across_window_bytes(spec);
    uint64_t pieces = (shard + piece - 1) / piece;
    uint64_t ahead = dist_least(pieces, window / wire + 1);
    uint64_t peers = (uint64_t)sites - 1;
    if (!coded(spec)) {
        across->incoming = dist_slots_create(plan, "incoming", wire, ahead * peers);
        return;
    }
    across->frames = dist_slots_create(plan, "frames", wire * (uint64_t)sites, ahead);
    across->feedback = feedback_buffer(spec, plan, "feedback", shard);
    if (across->two_shot) {
        across->own = dist_slots_create(plan, "encoded", wire, ahead * peers);
        across->total = dist_slots_create(plan, "encoded-sum", wire, ahead * (peers + 1));
        across->feedback_total = feedback_buffer(spec, plan, "feedback-sum", shard);
    }
}

/* A piece is a message; one in device memory, which is larger, is several. */
static uint64_t message_bytes(const dist_across *across, dist_slice slice)
{
    const uint64_t chunk = across->spec->chunk_bytes ? across->spec->chunk_bytes : CHUNK_DEFAULT;
    return across->spec->device ? (chunk + SLOT_GRAIN - 1) / SLOT_GRAIN * SLOT_GRAIN : slice.bytes;
}

static void send_to(const dist_across *across, dist_plan *plan, int peer, dist_slice slice)
{
    DIST_PIECES(slice, message_bytes(across, slice), at)
    dist_plan_send(plan, DIST_CHANNEL_ACROSS, peer,
                   dist_part(slice, at, dist_least(message_bytes(across, slice), slice.bytes - at)));
}

static void receive_to(const dist_across *across, dist_plan *plan, int peer, dist_slice slice)
{
    DIST_PIECES(slice, message_bytes(across, slice), at)
    dist_plan_recv(plan, DIST_CHANNEL_ACROSS, peer,
                   dist_part(slice, at, dist_least(message_bytes(across, slice), slice.bytes - at)));
}

static int peer_at(const dist_across *across, int site)
{
    return dist_topology_rank(across->spec->topology, site, across->rail);
}

static void divide(const dist_across *across, dist_plan *plan, dist_slice piece)
{
    if (across->spec->reduction == DIST_AVERAGE)
        dist_plan_divide(plan, across->spec->type, piece, across->spec->topology->ranks);
}

static dist_slice receive_from(dist_across *across, dist_plan *plan, int site, uint64_t bytes)
{
    dist_slice slot = dist_slot(&across->incoming, bytes);
    receive_to(across, plan, peer_at(across, site), slot);
    return slot;
}

/* piece = sum in site order of `mine` (this site's) and what the others send: the first site's value is the
 * start, wherever it is, and all add to it, so every replica gets the same bits. */
static void sum_plain(dist_across *across, dist_plan *plan, dist_slice piece)
{
    const dist_spec *spec = across->spec;
    dist_slice start = piece;
    for (int site = 0; site < across->sites; site++) {
        dist_slice value = site == across->site ? piece : receive_from(across, plan, site, piece.bytes);
        if (site == 0)
            start = value;
        else
            dist_plan_reduce(plan, spec->type, spec->reduction, start, value);
    }
    if (across->site != 0)
        dist_plan_copy(plan, piece, start);
}

/* Where the frames of all sites for some values come to lie, in site order, so that one DECODE adds them up. */
static dist_slice frames_slot(dist_across *across, uint64_t bytes)
{
    return dist_slot(&across->frames, (uint64_t)(across->sites - 1) * dist_frame_stride(bytes) + bytes);
}

static dist_slice frame_of(dist_slice frames, int site, uint64_t bytes)
{
    return dist_part(frames, (uint64_t)site * dist_frame_stride(bytes), bytes);
}

/* Encodes values that lie `at` bytes into the shard. Their place in the whole vector is that of their bytes in
 * its buffer. */
static void encode(const dist_across *across, dist_plan *plan, dist_slice frame, dist_slice values,
                   uint64_t at, bool total)
{
    const dist_spec *spec = across->spec;
    const uint32_t buffer = total ? across->feedback_total : across->feedback;
    const dist_slice state = dist_slice_of(
        buffer, feedback_bytes(spec, at), feedback_bytes(spec, at + values.bytes) - feedback_bytes(spec, at));
    dist_plan_encode(plan, spec->type, frame, values, state, values.offset / dist_type_bytes(spec->type),
                     2 * spec->stream + total);
}

/* values = the sum of all frames, or their average. */
static void sum_frames(const dist_across *across, dist_plan *plan, dist_slice values, dist_slice frames,
                       uint64_t bytes)
{
    const dist_spec *spec = across->spec;
    const int divisor = spec->reduction == DIST_AVERAGE ? spec->topology->ranks : 1;
    const bool once = across->sites <= DIST_FRAMES_MOST;
    for (int site = 0; site < across->sites; site += DIST_FRAMES_MOST) {
        const int some = across->sites - site < DIST_FRAMES_MOST ? across->sites - site : DIST_FRAMES_MOST;
        dist_slice part = frame_of(frames, site, bytes);
        part.bytes = (uint64_t)(some - 1) * dist_frame_stride(bytes) + bytes;
        dist_plan_decode(plan, spec->type, values, part, some, once ? divisor : 1, site > 0);
    }
    if (!once && divisor > 1)
        dist_plan_divide(plan, spec->type, values, divisor);
}

static void receive_frames(const dist_across *across, dist_plan *plan, dist_slice frames, uint64_t bytes)
{
    for (int site = 0; site < across->sites; site++)
        if (site != across->site)
            receive_to(across, plan, peer_at(across, site), frame_of(frames, site, bytes));
}

static void send_to_others(const dist_across *across, dist_plan *plan, dist_slice slice)
{
    for (int site = 0; site < across->sites; site++)
        if (site != across->site)
            send_to(across, plan, peer_at(across, site), slice);
}

static void direct_plain(dist_across *across, dist_plan *plan, dist_slice piece)
{
    send_to_others(across, plan, piece);
    sum_plain(across, plan, piece);
    divide(across, plan, piece);
}

static void direct_coded(dist_across *across, dist_plan *plan, dist_slice piece, uint64_t at)
{
    const uint64_t bytes = encoded_bytes(across->spec, piece.bytes);
    const dist_slice frames = frames_slot(across, bytes), own = frame_of(frames, across->site, bytes);
    encode(across, plan, own, piece, at, false);
    send_to_others(across, plan, own);
    receive_frames(across, plan, frames, bytes);
    sum_frames(across, plan, piece, frames, bytes);
}

/* The part of a piece that the rank on `site` sums; parts begin at codec blocks. */
static dist_slice part_of(const dist_across *across, dist_slice piece, int site)
{
    const dist_spec *spec = across->spec;
    uint64_t grain = coded(spec) ? dist_codec_grain(&spec->codec) * dist_type_bytes(spec->type) : 64;
    uint64_t grains = (piece.bytes + grain - 1) / grain, sites = (uint64_t)across->sites, s = (uint64_t)site;
    uint64_t begin = dist_least(grains * s / sites * grain, piece.bytes);
    uint64_t end = dist_least(grains * (s + 1) / sites * grain, piece.bytes);
    return dist_part(piece, begin, end - begin);
}

static void two_shot_plain(dist_across *across, dist_plan *plan, dist_slice piece)
{
    dist_slice mine = part_of(across, piece, across->site);
    for (int site = 0; site < across->sites; site++)
        if (site != across->site)
            send_to(across, plan, peer_at(across, site), part_of(across, piece, site));
    sum_plain(across, plan, mine);
    divide(across, plan, mine);
    send_to_others(across, plan, mine);
    for (int site = 0; site < across->sites; site++)
        if (site != across->site)
            receive_to(across, plan, peer_at(across, site), part_of(across, piece, site));
}

static void two_shot_coded(dist_across *across, dist_plan *plan, dist_slice piece, uint64_t at)
{
    const dist_slice mine = part_of(across, piece, across->site);
    const uint64_t bytes = encoded_bytes(across->spec, mine.bytes);
    const dist_slice frames = frames_slot(across, bytes), total = dist_slot(&across->total, bytes);
    for (int site = 0; site < across->sites; site++) {
        const dist_slice part = part_of(across, piece, site);
        dist_slice frame = frame_of(frames, site, bytes);
        if (site != across->site)
            frame = dist_slot(&across->own, encoded_bytes(across->spec, part.bytes));
        encode(across, plan, frame, part, at + part.offset - piece.offset, false);
        if (site != across->site)
            send_to(across, plan, peer_at(across, site), frame);
    }
    receive_frames(across, plan, frames, bytes);
    sum_frames(across, plan, mine, frames, bytes);
    encode(across, plan, total, mine, at + mine.offset - piece.offset, true);
    send_to_others(across, plan, total);
    for (int site = 0; site < across->sites; site++) {
        const dist_slice part = part_of(across, piece, site);
        dist_slice frame = total;
        if (site != across->site) {
            frame = dist_slot(&across->total, encoded_bytes(across->spec, part.bytes));
            receive_to(across, plan, peer_at(across, site), frame);
        }
        dist_plan_decode(plan, across->spec->type, part, frame, 1, 1, false);
    }
}

void dist_across_piece(dist_across *across, dist_plan *plan, dist_slice piece, uint64_t at)
{
    if (across->sites == 1)
        divide(across, plan, piece);
    else if (coded(across->spec))
        (across->two_shot ? two_shot_coded : direct_coded)(across, plan, piece, at);
    else
        (across->two_shot ? two_shot_plain : direct_plain)(across, plan, piece);
}
