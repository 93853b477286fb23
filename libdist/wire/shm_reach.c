/* Long vectors where they are: a rank adds up its part out of the memory of all, and writes the sum to all. So each byte is read once,
 * and the sum is written from the cache. Memory of the segments is mapped; the system copies to and from other memory. */
#include <string.h>

#include "base/type.h"
#include "device/device.h"
#include "wire/shm_internal.h"

#define PIECE_MAPPED ((size_t)32 << 10)  /* bytes at a time where no call into the system has to pay off */
#define PAST_CACHES  ((uint64_t)8 << 20) /* longer vectors are in no cache when they are read next */

enum { STEP_COME, STEP_REDUCE, STEP_GATHER, STEP_LEAVE };

/* ---- memory ---- */

static bool is_mapped(const dist_shm_wire *wire, const void *memory, uint64_t *offset)
{
    const uintptr_t base = (uintptr_t)wire->mate[wire->me].segment, at = (uintptr_t)memory;
    *offset = at - base;
    return at >= base && at - base < wire->reserve;
}

static const char *input_of(const dist_wire_collective *call)
{
    return call->send == DIST_IN_PLACE ? call->receive : call->send;
}

void dist_shm_reach_show(const dist_shm_wire *wire, const dist_shm_request *request, dist_shm_line *line)
{
    const dist_wire_collective *call = &request->call;
    const char *input = input_of(call);
    if (call->kind == DIST_NATIVE_ALL_GATHER && call->send == DIST_IN_PLACE)
        input += dist_shm_part_at(wire, request, wire->me);
    if (call->kind == DIST_NATIVE_BROADCAST)
        input = call->receive;
    line->at.send_mapped = is_mapped(wire, input, &line->at.send);
    if (!line->at.send_mapped)
        line->at.send = (uint64_t)(uintptr_t)input;
    line->at.receive_mapped = is_mapped(wire, call->receive, &line->at.receive);
    if (!line->at.receive_mapped)
        line->at.receive = (uint64_t)(uintptr_t)call->receive;
}

static const dist_shm_line *line_of_mate(const dist_shm_wire *wire, const dist_shm_request *request, int mate)
{
    return dist_shm_line_of(mate == wire->me ? request->mine : request->theirs[mate], request->run);
}

bool dist_shm_reach_maps(const dist_shm_wire *wire, const dist_shm_request *request)
{
    bool all = true;
    for (int m = 0; m < wire->mates; m++) {
        const dist_shm_line *line = line_of_mate(wire, request, m);
        all &= line->at.send_mapped && line->at.receive_mapped;
    }
    return all;
}

/* A mate's input, where it can be read: there, or a copy in `copy`. NULL with the last error. */
static const char *view(const dist_shm_wire *wire, const dist_shm_request *request, int mate, uint64_t at,
                        size_t bytes, char *copy)
{
    const dist_shm_line *line = line_of_mate(wire, request, mate);
    if (line->at.send_mapped)
        return wire->mate[mate].segment + line->at.send + at;
    return dist_shm_read(wire, mate, copy, line->at.send + at, bytes) < 0 ? NULL : copy;
}

static void put(const dist_shm_request *request, char *dst, const char *src, size_t bytes)
{
    if (request->bytes >= PAST_CACHES)
        dist_device_host.copy_past(dst, src, bytes);
    else
        memcpy(dst, src, bytes);
}

/* ---- adding up ---- */

/* To the next mate first: at any time the ranks write to different ones, so that no NUMA node's memory has to take from all. */
static dist_status give(const dist_shm_wire *wire, const dist_shm_request *request, uint64_t at, size_t bytes)
{
    for (int i = 1; i < wire->mates; i++) {
        const int mate = (wire->me + i) % wire->mates;
        const dist_shm_line *line = line_of_mate(wire, request, mate);
        if (line->at.receive_mapped)
            put(request, wire->mate[mate].segment + line->at.receive + at, wire->sum, bytes);
        else
            DIST_TRY(dist_shm_write(wire, mate, line->at.receive + at, wire->sum, bytes));
    }
    return DIST_OK;
}

/* The sum of a piece, in the cache, in the order of ranks. */
static dist_status add_up(const dist_shm_wire *wire, const dist_shm_request *request, uint64_t at,
                          size_t bytes)
{
    const dist_wire_collective *call = &request->call;
    const size_t count = bytes / dist_type_bytes(call->type);
    for (int m = 0; m < wire->mates; m++) {
        const char *const values = m == wire->me
                                       ? input_of(call) + at
                                       : view(wire, request, m, at, bytes, m ? wire->other : wire->sum);
        if (!values)
            return DIST_ERR_SYSTEM;
        if (m > 0)
            dist_device_host.reduce(call->type, call->reduction, wire->sum, values, count);
        else if (values != wire->sum)
            memcpy(wire->sum, values, bytes);
    }
    if (call->divisor > 1)
        dist_device_host.divide(call->type, wire->sum, count, call->divisor);
    return DIST_OK;
}

static size_t piece_of(const dist_shm_wire *wire, const dist_shm_request *request)
{
    return dist_shm_reach_maps(wire, request) ? PIECE_MAPPED : DIST_SHM_PIECE;
}

static dist_status reduce(dist_shm_wire *wire, dist_shm_request *request, size_t *budget)
{
    const bool scatter = request->call.kind == DIST_NATIVE_REDUCE_SCATTER;
    const uint64_t begin = dist_shm_part_at(wire, request, wire->me);
    const uint64_t size = scatter ? request->bytes : dist_shm_part_at(wire, request, wire->me + 1) - begin;
    char *const out = (char *)request->call.receive + (scatter ? 0 : begin);
    const size_t piece = piece_of(wire, request);
    while (request->done < size) {
        if (*budget == 0)
            return DIST_IN_PROGRESS;
        const uint64_t left = size - request->done;
        const size_t bytes = left < piece ? (size_t)left : piece;
        DIST_TRY(add_up(wire, request, begin + request->done, bytes));
        put(request, out + request->done, wire->sum, bytes);
        if (!scatter)
            DIST_TRY(give(wire, request, begin + request->done, bytes));
        request->done += bytes;
        *budget -= bytes < *budget ? bytes : *budget;
    }
    return DIST_OK;
}

/* ---- gathering ---- */

/* What a mate has for this rank: its part, or all of the root's. */
static dist_status gather_from(dist_shm_wire *wire, dist_shm_request *request, int mate, size_t *budget)
{
    const bool broadcast = request->call.kind == DIST_NATIVE_BROADCAST;
    char *const to = (char *)request->call.receive + (broadcast ? 0 : dist_shm_part_at(wire, request, mate));
    while (request->done < request->bytes) {
        if (*budget == 0)
            return DIST_IN_PROGRESS;
        const uint64_t left = request->bytes - request->done;
        const size_t bytes = left < DIST_SHM_PIECE ? (size_t)left : DIST_SHM_PIECE;
        char *const dst = to + request->done;
        const char *const src = view(wire, request, mate, request->done, bytes, dst);
        if (!src)
            return DIST_ERR_SYSTEM;
        if (src != dst)
            put(request, dst, src, bytes);
        request->done += bytes;
        *budget -= bytes < *budget ? bytes : *budget;
    }
    return DIST_OK;
}

/* From the next mate on, so that not all read the same one at once. */
static dist_status gather(dist_shm_wire *wire, dist_shm_request *request, size_t *budget)
{
    const dist_wire_collective *call = &request->call;
    for (; request->mate < wire->mates - 1; request->mate++, request->done = 0) {
        const int mate = (wire->me + 1 + request->mate) % wire->mates;
        if (call->kind == DIST_NATIVE_BROADCAST &&
            (wire->mate[wire->me].rank == call->root || wire->mate[mate].rank != call->root))
            continue;
        if (!dist_shm_is_at(wire, request, mate, DIST_SHM_COME))
            return DIST_IN_PROGRESS;
        const dist_status status = gather_from(wire, request, mate, budget);
        if (status != DIST_OK)
            return status;
    }
    return DIST_OK;
}

/* ---- step by step ---- */

static void next_step(dist_shm_request *request, int step)
{
    request->step = step;
    request->mate = 0;
    request->done = 0;
}

static dist_status come(dist_shm_wire *wire, dist_shm_request *request)
{
    const dist_wire_collective *call = &request->call;
    const bool reduces = call->kind == DIST_NATIVE_ALL_REDUCE || call->kind == DIST_NATIVE_REDUCE_SCATTER;
    if (reduces && !dist_shm_all_at(wire, request, DIST_SHM_COME))
        return DIST_IN_PROGRESS;
    if (call->kind == DIST_NATIVE_ALL_GATHER && call->send != DIST_IN_PLACE)
        put(request, (char *)call->receive + dist_shm_part_at(wire, request, wire->me), call->send,
            (size_t)request->bytes);
    next_step(request, reduces ? STEP_REDUCE : STEP_GATHER);
    return DIST_OK;
}

dist_status dist_shm_reach_advance(dist_shm_wire *wire, dist_shm_request *request, size_t *budget)
{
    dist_status status = DIST_OK;
    if (request->step == STEP_COME)
        status = come(wire, request);
    if (status == DIST_OK && request->step == STEP_REDUCE)
        status = reduce(wire, request, budget);
    if (status == DIST_OK && request->step == STEP_GATHER)
        status = gather(wire, request, budget);
    if (status != DIST_OK)
        return status;
    if (request->step != STEP_LEAVE) {
        dist_shm_say(request, DIST_SHM_DONE);
        next_step(request, STEP_LEAVE);
    }
    /* what others still read or write must stay as it is */
    return dist_shm_all_at(wire, request, DIST_SHM_DONE) ? DIST_OK : DIST_IN_PROGRESS;
}
