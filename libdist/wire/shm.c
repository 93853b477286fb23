#define _GNU_SOURCE

#include "wire/shm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "wire/shm_internal.h"

#define OPEN_TIMEOUT 60.0 /* seconds for all ranks to come */

/* ---- requests ---- */

static dist_status shm_collective(dist_wire *base, const dist_wire_collective *call, dist_wire_request **out)
{
    dist_shm_wire *wire = (dist_shm_wire *)base;
    const size_t needed = wire->existing + 1;
    if (call->kind == DIST_NATIVE_ALL_TO_ALL)
        return dist_fail(DIST_ERR_UNSUPPORTED, "shared memory has no all-to-all; make it of messages");
    dist_shm_request *request = calloc(1, sizeof *request);
    if (!request || !(request->theirs = calloc((size_t)wire->mates, sizeof(dist_shm_entry *))) ||
        !dist_grow(&wire->active, &wire->active_room, needed, sizeof *wire->active) ||
        !dist_grow(&wire->done, &wire->done_room, needed, sizeof *wire->done)) {
        free(request ? request->theirs : NULL);
        free(request);
        return dist_fail(DIST_ERR_MEMORY, "no memory for collective number %zu", needed);
    }
    request->base.wire = base;
    request->call = *call;
    request->at = -1;
    request->bytes = call->kind == DIST_NATIVE_BARRIER ? 0 : call->count * dist_type_bytes(call->type);
    request->way = dist_shm_way_of(wire, call);
    request->lane = -1;
    request->rounds = request->way >= DIST_SHM_BY_REACH ? dist_shm_lane_rounds(wire, request) : 0;
    request->mine = dist_shm_entry_make(wire, (uint64_t)(uint32_t)call->space << 32 | call->ticket,
                                        request->way == DIST_SHM_BY_ENTRY ? request->bytes : 0);
    if (!request->mine) {
        free(request->theirs);
        free(request);
        return DIST_ERR_MEMORY;
    }
    wire->existing = needed;
    *out = &request->base;
    return DIST_OK;
}

static dist_status shm_start(dist_wire_request *base)
{
    dist_shm_wire *wire = (dist_shm_wire *)base->wire;
    dist_shm_request *request = (dist_shm_request *)base;
    dist_shm_begin(wire, request);
    request->at = (int)wire->actives;
    wire->active[wire->actives++] = request;
    return DIST_OK;
}

/* The order of the others stays: the oldest first. */
static void retire(dist_shm_wire *wire, dist_shm_request *request)
{
    wire->actives--;
    for (size_t i = (size_t)request->at; i < wire->actives; i++) {
        wire->active[i] = wire->active[i + 1];
        wire->active[i]->at = (int)i;
    }
    request->at = -1;
}

static dist_status shm_poll(dist_wire *base, dist_wire_request *const **done, int *count,
                            dist_wire_request **failed)
{
    dist_shm_wire *wire = (dist_shm_wire *)base;
    size_t budget = DIST_SHM_STEP;
    *failed = NULL;
    *done = wire->done;
    *count = 0;
    for (size_t i = 0; i < wire->actives && budget > 0;) {
        dist_shm_request *request = wire->active[i];
        const dist_status status = dist_shm_advance(wire, request, &budget);
        if (status < 0) {
            *failed = &request->base;
            return status;
        }
        if (status == DIST_IN_PROGRESS) {
            i++;
            continue;
        }
        retire(wire, request);
        wire->done[(*count)++] = &request->base;
    }
    return DIST_OK;
}

static void shm_release(dist_wire_request *base)
{
    dist_shm_request *request = (dist_shm_request *)base;
    if (!request)
        return;
    dist_shm_wire *wire = (dist_shm_wire *)base->wire;
    if (request->at >= 0)
        retire(wire, request);
    wire->existing--;
    free(request->theirs);
    free(request);
}

static void shm_describe(dist_wire *base, char *text, size_t size)
{
    const dist_shm_wire *wire = (const dist_shm_wire *)base;
    const char *what = "come";
    text[0] = '\0';
    if (wire->actives == 0)
        return;
    const dist_shm_request *request = wire->active[0];
    int mate = request->mate;
    if (request->lane >= 0)
        mate = dist_shm_lane_awaits(wire, request, &what);
    else if (request->step > 0)
        what = "come, or left";
    if (mate >= 0 && mate < wire->mates && mate != wire->me)
        snprintf(text, size, "in shared memory rank %d has not %s", wire->mate[mate].rank, what);
}

static void shm_close(dist_wire *base, bool failed)
{
    dist_shm_wire *wire = (dist_shm_wire *)base;
    (void)failed; /* nothing of it is another's: what others map stays theirs */
    dist_shm_segment_close(wire);
    free(wire->mate);
    free(wire->sum);
    free(wire->other);
    free(wire->active);
    free(wire->done);
    free(wire);
}

static const dist_wire_ops shm_ops = {
    .name = "shm",
    .collective = shm_collective,
    .start = shm_start,
    .poll = shm_poll,
    .release = shm_release,
    .describe = shm_describe,
    .allocate = dist_shm_alloc,
    .free = dist_shm_free,
    .close = shm_close,
};

/* ---- opening ---- */

/* What a rank says while the wire is opened. */
typedef struct hello {
    uint64_t job, number, address; /* rank 0's job is everybody's; the number is at the address */
    int64_t pid;
    int32_t status;
    char sentence[200];
} hello;

static dist_shm_wire *allocate(const dist_wire *control, const dist_topology *topology)
{
    const dist_site_ranks *site = &topology->site[topology->place[control->rank].site];
    dist_shm_wire *wire = calloc(1, sizeof *wire);
    if (!wire)
        return NULL;
    wire->base =
        (dist_wire){.ops = &shm_ops, .rank = control->rank, .ranks = control->ranks, .threaded = true};
    wire->base.crowded = site->count > sysconf(_SC_NPROCESSORS_ONLN);
    wire->file = -1;
    wire->mates = site->count;
    wire->mate = calloc((size_t)site->count, sizeof *wire->mate);
    wire->sum = aligned_alloc(4096, DIST_SHM_PIECE);
    wire->other = aligned_alloc(4096, DIST_SHM_PIECE);
    if (!wire->mate || !wire->sum || !wire->other) {
        free(wire->mate);
        free(wire->sum);
        free(wire->other);
        free(wire);
        return NULL;
    }
    for (int m = 0; m < site->count; m++) {
        wire->mate[m].rank = site->rank[m];
        if (site->rank[m] == control->rank)
            wire->me = m;
    }
    return wire;
}

/* Says how this rank fares, and hears of all others; the first failure is everybody's. */
static dist_status share(dist_wire *control, hello *mine, hello *all, dist_status status)
{
    const dist_patience patience = {.deadline = dist_deadline(OPEN_TIMEOUT)};
    mine->status = status;
    if (status < 0)
        snprintf(mine->sentence, sizeof mine->sentence, "%s", dist_last_error());
    DIST_TRY(control->ops->exchange(control, mine, all, sizeof *mine, &patience));
    for (int r = 0; r < control->ranks; r++)
        if (all[r].status < 0)
            return dist_fail(DIST_ERR_UNSUPPORTED, "rank %d: %s", r, all[r].sentence);
    return DIST_OK;
}

/* Whether this rank may read and write all others of its team. */
static dist_status try_reaching(const dist_shm_wire *wire, dist_shm_wish wish, const hello *all)
{
    if (wish != DIST_SHM_REACHED)
        return dist_fail(DIST_ERR_UNSUPPORTED, "DIST_SHM=stage");
    for (int m = 0; m < wire->mates; m++) {
        const hello *other = &all[wire->mate[m].rank];
        uint64_t number = 0;
        if (m == wire->me)
            continue;
        DIST_TRY(dist_shm_read(wire, m, &number, other->address, sizeof number));
        if (number != other->number)
            return dist_fail(DIST_ERR_SYSTEM, "rank %d's process id %lld is another process here",
                             wire->mate[m].rank, (long long)other->pid);
        DIST_TRY(dist_shm_write(wire, m, other->address, &number, sizeof number));
    }
    return DIST_OK;
}

static dist_status connect_team(dist_shm_wire *wire, dist_shm_wish wish, dist_wire *control, hello *mine,
                                hello *all)
{
    DIST_TRY(share(control, mine, all,
                   wish != DIST_SHM_NONE ? DIST_OK : dist_fail(DIST_ERR_UNSUPPORTED, "DIST_SHM=off")));
    const uint64_t job = all[0].job;
    for (int m = 0; m < wire->mates; m++)
        wire->mate[m].pid = (pid_t)all[wire->mate[m].rank].pid;
    dist_status status = share(control, mine, all, dist_shm_segment_create(wire, job));
    if (status >= 0)
        status = share(control, mine, all, dist_shm_segment_map(wire, job));
    dist_shm_segment_unlink(wire, job);
    DIST_TRY(status);
    wire->reads = share(control, mine, all, try_reaching(wire, wish, all)) == DIST_OK;
    if (!wire->reads)
        dist_log_write(wire->log, DIST_LOG_INFO, "long vectors are staged in shared memory: %s",
                       dist_last_error());
    return DIST_OK;
}

/* One site of several ranks, all on one node. Where there are more sites the slow link paces a sum, and messages, which need not wait for
 * the other's processor, keep it busier: a training step took 5 to 15 % longer with teams. */
static bool is_possible(const dist_topology *topology)
{
    const dist_site_ranks *site = &topology->site[0];
    bool one_node = topology->sites == 1;
    for (int i = 1; i < site->count && one_node; i++)
        one_node = topology->place[site->rank[i]].node == topology->place[site->rank[0]].node;
    return one_node && site->count > 1;
}

dist_status dist_wire_shm_open(dist_wire **out, dist_shm_wish wish, dist_wire *control,
                               const dist_topology *topology, const dist_log *log)
{
    *out = NULL;
    if (!is_possible(topology))
        return DIST_OK;
    hello mine;
    memset(&mine, 0, sizeof mine); /* it travels */
    if (getrandom(&mine.job, sizeof mine.job, 0) != (ssize_t)sizeof mine.job)
        mine.job = (uint64_t)dist_now();
    uint64_t number = mine.job ^ (uint64_t)control->rank;
    mine.pid = getpid();
    mine.number = number;
    mine.address = (uint64_t)(uintptr_t)&number;
    hello *all = malloc(sizeof *all * (size_t)control->ranks);
    dist_shm_wire *wire = allocate(control, topology);
    if (!all || !wire) {
        free(all);
        return dist_fail(DIST_ERR_MEMORY, "no memory for the shared-memory wire");
    }
    wire->log = log;
#ifdef PR_SET_PTRACER
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* where Yama asks for it, the others may read */
#endif
    dist_status status = connect_team(wire, wish, control, &mine, all);
    free(all);
    if (status < 0) {
        shm_close(&wire->base, false);
        dist_log_write(log, DIST_LOG_INFO, "no shared-memory wire: %s", dist_last_error());
        return status == DIST_ERR_UNSUPPORTED ? DIST_OK : status;
    }
    *out = &wire->base;
    return DIST_OK;
}

bool dist_wire_shm_reaches(const dist_wire *wire)
{
    return ((const dist_shm_wire *)wire)->reads;
}
