/* Long vectors, a round at a time through the lanes of all ranks: put values there, add up one's own part, take what others have added.
 * A round is short enough to stay in the caches. */
#include <string.h>

#include "base/type.h"
#include "device/device.h"
#include "wire/shm_internal.h"

#define SLOTS_WANTED ((uint64_t)512 << 10) /* bytes that a rank puts there in a round */
#define SLOT_MOST    ((uint64_t)128 << 10)
#define SLOT_LEAST   ((uint64_t)4 << 10)
#define GRAIN        64 /* parts of an all-reduce begin at cache lines */

uint64_t dist_shm_slot_bytes(int mates)
{
    const uint64_t even = SLOTS_WANTED / (uint64_t)mates / 4096 * 4096;
    return even > SLOT_MOST ? SLOT_MOST : even < SLOT_LEAST ? SLOT_LEAST : even;
}

/* For each round of a lane a slot for each mate's part and one for what all are to have. */
static uint64_t lane_bytes(int mates)
{
    return DIST_SHM_DEPTH * ((uint64_t)mates + 1) * dist_shm_slot_bytes(mates);
}

uint64_t dist_shm_slots_bytes(int mates)
{
    return DIST_SHM_LANES * lane_bytes(mates);
}

static dist_shm_lane *lane_of(const dist_shm_wire *wire, int mate, int lane)
{
    return &((dist_shm_head *)(void *)wire->mate[mate].segment)->lane[lane];
}

/* Slot `part` of a mate in a round; part wire->mates is the one for all. */
static char *slot_of(const dist_shm_wire *wire, const dist_shm_request *request, int mate, uint32_t round,
                     int part)
{
    const uint64_t slots =
        (uint64_t)((request->first + round) % DIST_SHM_DEPTH) * (uint64_t)(wire->mates + 1) + (uint64_t)part;
    return wire->mate[mate].segment + wire->slots + (uint64_t)request->lane * lane_bytes(wire->mates) +
           slots * wire->slot;
}

/* ---- which bytes ---- */

typedef struct span {
    uint64_t at, bytes;
} span;

static bool is_all_reduce(const dist_shm_request *request)
{
    return request->call.kind == DIST_NATIVE_ALL_REDUCE;
}

static bool reduces(const dist_shm_request *request)
{
    return is_all_reduce(request) || request->call.kind == DIST_NATIVE_REDUCE_SCATTER;
}

uint64_t dist_shm_part_at(const dist_shm_wire *wire, const dist_shm_request *request, int mate)
{
    if (request->call.kind == DIST_NATIVE_BROADCAST)
        return mate < wire->mates ? 0 : request->bytes;
    if (!is_all_reduce(request))
        return (uint64_t)mate * request->bytes;
    const uint64_t grains = (request->bytes + GRAIN - 1) / GRAIN;
    const uint64_t at = grains * (uint64_t)mate / (uint64_t)wire->mates * GRAIN;
    return at < request->bytes ? at : request->bytes;
}

/* A mate's part in a round. A broadcast has one part, the root's. */
static span span_of(const dist_shm_wire *wire, const dist_shm_request *request, int mate, uint32_t round)
{
    const bool whole = request->call.kind == DIST_NATIVE_BROADCAST;
    const uint64_t begin = dist_shm_part_at(wire, request, mate) + round * wire->slot;
    const uint64_t end = whole ? request->bytes : dist_shm_part_at(wire, request, mate + 1);
    if (begin >= end || (whole && wire->mate[mate].rank != request->call.root))
        return (span){0, 0};
    return (span){begin, end - begin < wire->slot ? end - begin : wire->slot};
}

uint32_t dist_shm_lane_rounds(const dist_shm_wire *wire, const dist_shm_request *request)
{
    uint64_t most = request->bytes;
    if (is_all_reduce(request)) /* the largest part */
        most = ((request->bytes + GRAIN - 1) / GRAIN + (uint64_t)wire->mates - 1) / (uint64_t)wire->mates *
               GRAIN;
    return (uint32_t)((most + wire->slot - 1) / wire->slot);
}

/* ---- taking and leaving ---- */

static bool is_behind(uint32_t count, uint32_t wanted)
{
    return (int32_t)(count - wanted) < 0;
}

int dist_shm_lane_take(dist_shm_wire *wire, uint32_t rounds)
{
    for (int lane = 0; lane < DIST_SHM_LANES; lane++) {
        int mate = 0;
        while (mate < wire->mates &&
               !is_behind(atomic_load_explicit(&lane_of(wire, mate, lane)->taken, memory_order_acquire),
                          wire->lane_end[lane]))
            mate++;
        if (mate < wire->mates)
            continue;
        wire->lane_end[lane] += rounds;
        return lane;
    }
    return -1;
}

void dist_shm_lane_begin(dist_shm_wire *wire, dist_shm_request *request, int lane)
{
    request->lane = lane;
    request->first = atomic_load_explicit(&lane_of(wire, wire->me, lane)->taken, memory_order_relaxed);
    request->staged = request->published = request->taken = 0;
}

/* ---- a round ---- */

/* Whether all mates' counts have come to `wanted`. */
static bool all_staged(const dist_shm_wire *wire, int lane, uint32_t wanted)
{
    for (int m = 0; m < wire->mates; m++)
        if (is_behind(atomic_load_explicit(&lane_of(wire, m, lane)->staged, memory_order_acquire), wanted))
            return false;
    return true;
}

static bool all_published(const dist_shm_wire *wire, int lane, uint32_t wanted)
{
    for (int m = 0; m < wire->mates; m++)
        if (is_behind(atomic_load_explicit(&lane_of(wire, m, lane)->published, memory_order_acquire), wanted))
            return false;
    return true;
}

static bool all_taken(const dist_shm_wire *wire, int lane, uint32_t wanted)
{
    for (int m = 0; m < wire->mates; m++)
        if (is_behind(atomic_load_explicit(&lane_of(wire, m, lane)->taken, memory_order_acquire), wanted))
            return false;
    return true;
}

static const char *input_of(const dist_wire_collective *call)
{
    return call->send == DIST_IN_PLACE ? call->receive : call->send;
}

/* This rank's values for the others to add up. False: they still read those of an earlier round. */
static bool stage(const dist_shm_wire *wire, dist_shm_request *request, size_t *moved)
{
    const uint32_t round = request->staged;
    if (!all_published(wire, request->lane, request->first + round + 1 - DIST_SHM_DEPTH))
        return false;
    for (int m = 0; reduces(request) && m < wire->mates; m++) {
        const span s = span_of(wire, request, m, round);
        if (m == wire->me || s.bytes == 0)
            continue;
        memcpy(slot_of(wire, request, wire->me, round, m), input_of(&request->call) + s.at, s.bytes);
        *moved += s.bytes;
    }
    request->staged++;
    atomic_store_explicit(&lane_of(wire, wire->me, request->lane)->staged, request->first + request->staged,
                          memory_order_release);
    return true;
}

/* The sum of this rank's part in the order of ranks, where the others find it, and where the result belongs. */
static void add_up(const dist_shm_wire *wire, const dist_shm_request *request, uint32_t round, span mine)
{
    const dist_wire_collective *call = &request->call;
    const size_t count = mine.bytes / dist_type_bytes(call->type);
    char *const sum = slot_of(wire, request, wire->me, round, wire->mates);
    for (int m = 0; m < wire->mates; m++) {
        const char *const values =
            m == wire->me ? input_of(call) + mine.at : slot_of(wire, request, m, round, wire->me);
        if (m == 0)
            memcpy(sum, values, mine.bytes);
        else
            dist_device_host.reduce(call->type, call->reduction, sum, values, count);
    }
    if (call->divisor > 1)
        dist_device_host.divide(call->type, sum, count, call->divisor);
    memcpy((char *)call->receive + (is_all_reduce(request) ? mine.at : round * wire->slot), sum, mine.bytes);
}

/* What all are to have that is not a sum. */
static void show(const dist_shm_wire *wire, const dist_shm_request *request, uint32_t round, span mine)
{
    const dist_wire_collective *call = &request->call;
    const bool gather = call->kind == DIST_NATIVE_ALL_GATHER;
    const char *const own = gather && call->send != DIST_IN_PLACE
                                ? (const char *)call->send + round * wire->slot
                                : (const char *)call->receive + mine.at;
    memcpy(slot_of(wire, request, wire->me, round, wire->mates), own, mine.bytes);
    if (gather && call->send != DIST_IN_PLACE)
        memcpy((char *)call->receive + mine.at, own, mine.bytes);
}

/* False: others have not put their values there, or still read what was published earlier. */
static bool publish(const dist_shm_wire *wire, dist_shm_request *request, size_t *moved)
{
    const uint32_t round = request->published;
    if (round == request->staged || !all_staged(wire, request->lane, request->first + round + 1) ||
        !all_taken(wire, request->lane, request->first + round + 1 - DIST_SHM_DEPTH))
        return false;
    const span mine = span_of(wire, request, wire->me, round);
    if (mine.bytes > 0)
        (reduces(request) ? add_up : show)(wire, request, round, mine);
    *moved += mine.bytes * (reduces(request) ? (size_t)wire->mates : 1);
    request->published++;
    atomic_store_explicit(&lane_of(wire, wire->me, request->lane)->published,
                          request->first + request->published, memory_order_release);
    return true;
}

/* From the next mate on, so that not all read the same one at once. False: others have not published it. */
static bool take(const dist_shm_wire *wire, dist_shm_request *request, size_t *moved)
{
    const uint32_t round = request->taken;
    if (round == request->published || !all_published(wire, request->lane, request->first + round + 1))
        return false;
    for (int i = 1; request->call.kind != DIST_NATIVE_REDUCE_SCATTER && i < wire->mates; i++) {
        const int m = (wire->me + i) % wire->mates;
        const span s = span_of(wire, request, m, round);
        if (s.bytes > 0)
            memcpy((char *)request->call.receive + s.at, slot_of(wire, request, m, round, wire->mates),
                   s.bytes);
        *moved += s.bytes;
    }
    request->taken++;
    atomic_store_explicit(&lane_of(wire, wire->me, request->lane)->taken, request->first + request->taken,
                          memory_order_release);
    return true;
}

bool dist_shm_lane_advance(dist_shm_wire *wire, dist_shm_request *request, size_t *budget)
{
    bool moves = true;
    while (moves && *budget > 0 && request->taken < request->rounds) {
        size_t moved = 0;
        moves = request->staged < request->rounds && stage(wire, request, &moved);
        moves |= publish(wire, request, &moved);
        moves |= take(wire, request, &moved);
        *budget -= moved < *budget ? moved : *budget;
    }
    return request->taken == request->rounds;
}

int dist_shm_lane_awaits(const dist_shm_wire *wire, const dist_shm_request *request, const char **what)
{
    static const char *const words[] = {"brought its values", "added up its part", "taken the others' parts"};
    for (int m = 0; m < wire->mates; m++) {
        const dist_shm_lane *lane = lane_of(wire, m, request->lane);
        const uint32_t counts[] = {atomic_load(&lane->staged), atomic_load(&lane->published),
                                   atomic_load(&lane->taken)};
        for (int i = 0; i < 3; i++) {
            *what = words[i];
            if (m != wire->me && is_behind(counts[i], request->first + request->taken + (i < 2)))
                return m;
        }
    }
    return -1;
}
