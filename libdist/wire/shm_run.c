/* One collective from begin to end: what a rank says of it, what it waits for, and the arithmetic of short ones. */
#include <string.h>

#include "base/type.h"
#include "device/device.h"
#include "wire/shm_internal.h"

#define SHORT_OF_TWO  ((uint64_t)64 << 10) /* bytes up to which all read all; beyond, each its part */
#define SHORT_OF_MORE ((uint64_t)16 << 10)

dist_shm_way dist_shm_way_of(const dist_shm_wire *wire, const dist_wire_collective *call)
{
    const uint64_t bytes = call->count * dist_type_bytes(call->type);
    if (call->kind == DIST_NATIVE_BARRIER)
        return DIST_SHM_BY_LINE;
    const dist_shm_way way = wire->reads ? DIST_SHM_BY_REACH : DIST_SHM_BY_LANE;
    if (call->kind != DIST_NATIVE_ALL_REDUCE)
        return way;
    if (bytes <= DIST_SHM_INLINE)
        return DIST_SHM_BY_LINE;
    return bytes <= (wire->mates == 2 ? SHORT_OF_TWO : SHORT_OF_MORE) ? DIST_SHM_BY_ENTRY : way;
}

dist_shm_line *dist_shm_line_of(dist_shm_entry *entry, uint32_t run)
{
    return &entry->line[run & 1];
}

void dist_shm_say(const dist_shm_request *request, uint32_t stage)
{
    atomic_store_explicit(&dist_shm_line_of(request->mine, request->run)->state, request->run << 2 | stage,
                          memory_order_release);
}

bool dist_shm_is_at(dist_shm_wire *wire, dist_shm_request *request, int mate, uint32_t stage)
{
    dist_shm_entry **entry = &request->theirs[mate];
    if (!*entry && !(*entry = dist_shm_entry_find(wire, mate, request->mine->key)))
        return false;
    const uint32_t state =
        atomic_load_explicit(&dist_shm_line_of(*entry, request->run)->state, memory_order_acquire);
    return (int32_t)(state - (request->run << 2 | stage)) >= 0;
}

bool dist_shm_all_at(dist_shm_wire *wire, dist_shm_request *request, uint32_t stage)
{
    while (request->mate < wire->mates &&
           (request->mate == wire->me || dist_shm_is_at(wire, request, request->mate, stage)))
        request->mate++;
    return request->mate == wire->mates;
}

void dist_shm_begin(dist_shm_wire *wire, dist_shm_request *request)
{
    const dist_wire_collective *call = &request->call;
    const char *input = call->send == DIST_IN_PLACE ? call->receive : call->send;
    request->run = ++request->mine->runs;
    request->mate = 0;
    request->lane = -1;
    request->step = 0;
    dist_shm_line *line = dist_shm_line_of(request->mine, request->run);
    if (request->way == DIST_SHM_BY_LINE && request->bytes > 0) {
        memcpy(line->data, input, request->bytes);
    } else if (request->way == DIST_SHM_BY_ENTRY) {
        line->at.staged = request->mine->staging[request->run & 1];
        memcpy(wire->mate[wire->me].segment + line->at.staged, input, request->bytes);
    } else if (request->way != DIST_SHM_BY_LINE) {
        dist_shm_reach_show(wire, request, line);
    }
    dist_shm_say(request, DIST_SHM_COME);
}

/* ---- short vectors: everybody reads all, in the same order ---- */

static const char *brought(const dist_shm_wire *wire, const dist_shm_request *request, int mate)
{
    dist_shm_entry *entry = mate == wire->me ? request->mine : request->theirs[mate];
    const dist_shm_line *line = dist_shm_line_of(entry, request->run);
    return request->way == DIST_SHM_BY_LINE ? line->data : wire->mate[mate].segment + line->at.staged;
}

static dist_status reduce_all(dist_shm_wire *wire, dist_shm_request *request)
{
    const dist_wire_collective *call = &request->call;
    if (!dist_shm_all_at(wire, request, DIST_SHM_COME))
        return DIST_IN_PROGRESS;
    if (call->kind == DIST_NATIVE_BARRIER)
        return DIST_OK;
    memcpy(call->receive, brought(wire, request, 0), request->bytes);
    for (int m = 1; m < wire->mates; m++)
        dist_device_host.reduce(call->type, call->reduction, call->receive, brought(wire, request, m),
                                call->count);
    if (call->divisor > 1)
        dist_device_host.divide(call->type, call->receive, call->count, call->divisor);
    return DIST_OK;
}

/* ---- long ones ---- */

enum { NO_LANE = -1, BY_REACH = -2 };

/* What the first of the team says when all have come: so whoever has a lane goes on. It needs none when all memory is mapped. */
static bool find_lane(dist_shm_wire *wire, dist_shm_request *request)
{
    if (wire->me > 0) {
        request->mate = 0;
        if (!dist_shm_is_at(wire, request, 0, DIST_SHM_ASSIGNED))
            return false;
        request->lane = dist_shm_line_of(request->theirs[0], request->run)->at.lane;
    } else {
        if (!dist_shm_all_at(wire, request, DIST_SHM_COME))
            return false;
        const int lane =
            dist_shm_reach_maps(wire, request) ? BY_REACH : dist_shm_lane_take(wire, request->rounds);
        if (lane == NO_LANE)
            return false;
        dist_shm_line_of(request->mine, request->run)->at.lane = request->lane = lane;
        dist_shm_say(request, DIST_SHM_ASSIGNED);
    }
    request->mate = 0;
    if (request->lane != BY_REACH)
        dist_shm_lane_begin(wire, request, request->lane);
    return true;
}

dist_status dist_shm_advance(dist_shm_wire *wire, dist_shm_request *request, size_t *budget)
{
    if (request->way == DIST_SHM_BY_LINE || request->way == DIST_SHM_BY_ENTRY)
        return reduce_all(wire, request);
    if (request->way == DIST_SHM_BY_LANE && request->lane == NO_LANE && !find_lane(wire, request))
        return DIST_IN_PROGRESS;
    if (request->way == DIST_SHM_BY_REACH || request->lane == BY_REACH)
        return dist_shm_reach_advance(wire, request, budget);
    return dist_shm_lane_advance(wire, request, budget) ? DIST_OK : DIST_IN_PROGRESS;
}
