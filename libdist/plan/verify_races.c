/* Ops of one rank that touch the same bytes are ordered by their waits.
 *
 * All borders of all slices cut the buffers into segments, each of which an op touches as a whole. Ops are
 * looked at by number, which is an order that their waits allow: if each op is ordered after the last writer
 * of a segment and the readers since, all that touch it are. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "plan/verify_internal.h"

typedef struct border {
    uint64_t offset;
    uint32_t buffer;
} border;

typedef struct reader {
    uint32_t op;
    uint32_t next; /* in the pool; DIST_NO_OP ends a list */
} reader;

typedef struct segment {
    uint32_t writer;  /* the last one */
    uint32_t readers; /* since then */
} segment;

typedef struct race_check {
    const dist_plan *plan;
    border *border; /* sorted, each once */
    size_t borders;
    segment *segment; /* segment[i] begins at border[i] */
    reader *reader;
    size_t readers, reader_capacity;
    /* A search backwards along the waits of op `from`: mark[op] == from + 1 when they lead to op. Ops from
     * `scanned` on have handed their marks to those that they wait for. */
    uint32_t *mark;
    uint32_t from, scanned;
} race_check;

static void mark_waits(race_check *check, uint32_t op)
{
    const dist_op *o = &check->plan->op[op];
    for (uint32_t w = 0; w < o->waits; w++)
        check->mark[check->plan->wait[o->first_wait + w]] = check->from + 1;
}

/* Whether `later` waits, directly or not, for `earlier`. */
static bool ordered(race_check *check, uint32_t earlier, uint32_t later)
{
    if (check->from != later || check->scanned == DIST_NO_OP) {
        check->from = check->scanned = later;
        mark_waits(check, later);
    }
    while (check->mark[earlier] != later + 1 && check->scanned > earlier + 1)
        if (check->mark[--check->scanned] == later + 1)
            mark_waits(check, check->scanned);
    return check->mark[earlier] == later + 1;
}

static int compare_borders(const void *a, const void *b)
{
    const border *x = a, *y = b;
    if (x->buffer != y->buffer)
        return x->buffer < y->buffer ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static void add_borders(race_check *check, dist_slice slice)
{
    if (slice.buffer == DIST_NO_BUFFER || slice.bytes == 0)
        return;
    check->border[check->borders++] = (border){slice.offset, slice.buffer};
    check->border[check->borders++] = (border){slice.offset + slice.bytes, slice.buffer};
}

static void collect_borders(race_check *check)
{
    size_t kept = 0;
    for (size_t i = 0; i < check->plan->ops; i++) {
        add_borders(check, check->plan->op[i].dst);
        add_borders(check, check->plan->op[i].src);
        add_borders(check, check->plan->op[i].state);
    }
    qsort(check->border, check->borders, sizeof(border), compare_borders);
    for (size_t i = 0; i < check->borders; i++)
        if (kept == 0 || compare_borders(&check->border[kept - 1], &check->border[i]) != 0)
            check->border[kept++] = check->border[i];
    check->borders = kept;
}

static size_t find_border(const race_check *check, uint32_t buffer, uint64_t offset)
{
    const border key = {offset, buffer};
    const border *found = bsearch(&key, check->border, check->borders, sizeof(border), compare_borders);
    return (size_t)(found - check->border);
}

static dist_status race(const race_check *check, size_t at, uint32_t op, const char *does, uint32_t other,
                        const char *did)
{
    char text[256];
    const border *begin = &check->border[at];
    dist_op_format(check->plan, other, text, sizeof text);
    return dist_fault(
        check->plan, op,
        "%s bytes %" PRIu64 " to %" PRIu64 " of %s, which op %" PRIu32 " %s %s, without waiting for it", does,
        begin->offset, begin[1].offset, check->plan->buffer[begin->buffer].name, other, text, did);
}

static dist_status read_segment(race_check *check, size_t at, uint32_t op)
{
    segment *s = &check->segment[at];
    if (s->writer != DIST_NO_OP && s->writer != op && !ordered(check, s->writer, op))
        return race(check, at, op, "reads", s->writer, "writes");
    if (!dist_grow(&check->reader, &check->reader_capacity, check->readers + 1, sizeof(reader)))
        return dist_fail(DIST_ERR_MEMORY, "no memory to verify the plan of rank %d", check->plan->rank);
    check->reader[check->readers] = (reader){op, s->readers};
    s->readers = (uint32_t)check->readers++;
    return DIST_OK;
}

static dist_status write_segment(race_check *check, size_t at, uint32_t op)
{
    segment *s = &check->segment[at];
    for (uint32_t i = s->readers; i != DIST_NO_OP; i = check->reader[i].next)
        if (check->reader[i].op != op && !ordered(check, check->reader[i].op, op))
            return race(check, at, op, "writes", check->reader[i].op, "reads");
    if (s->writer != DIST_NO_OP && s->writer != op && !ordered(check, s->writer, op))
        return race(check, at, op, "writes", s->writer, "writes");
    *s = (segment){op, DIST_NO_OP};
    return DIST_OK;
}

static dist_status touch(race_check *check, uint32_t op, dist_slice slice, bool write)
{
    if (slice.buffer == DIST_NO_BUFFER || slice.bytes == 0)
        return DIST_OK;
    size_t end = find_border(check, slice.buffer, slice.offset + slice.bytes);
    for (size_t at = find_border(check, slice.buffer, slice.offset); at < end; at++)
        DIST_TRY(write ? write_segment(check, at, op) : read_segment(check, at, op));
    return DIST_OK;
}

/* A wire matches collectives of the job by the order in which they start. Ops start in the order in which they become
 * ready, and by number when that is at once; so a collective must not be ready before the one before it is. Those of a
 * team are ordered by the device wire itself. */
static dist_status check_natives(race_check *check)
{
    const dist_plan *plan = check->plan;
    uint32_t last = DIST_NO_OP;
    for (uint32_t i = 0; i < plan->ops; i++) {
        if (plan->op[i].kind != DIST_OP_NATIVE || plan->op[i].device)
            continue;
        for (uint32_t w = 0; last != DIST_NO_OP && w < plan->op[last].waits; w++)
            if (!ordered(check, plan->wait[plan->op[last].first_wait + w], i) && !ordered(check, last, i))
                return dist_fault(plan, i,
                                  "may start before op %" PRIu32
                                  ", the collective before it, which waits for op %" PRIu32,
                                  last, plan->wait[plan->op[last].first_wait + w]);
        last = i;
    }
    return DIST_OK;
}

static dist_status check_rank(race_check *check)
{
    const dist_plan *plan = check->plan;
    check->border = calloc(6 * plan->ops + 1, sizeof(border));
    check->segment = calloc(6 * plan->ops + 1, sizeof(segment));
    check->mark = calloc(plan->ops + 1, sizeof(uint32_t));
    if (!check->border || !check->segment || !check->mark)
        return dist_fail(DIST_ERR_MEMORY, "no memory to verify the plan of rank %d", plan->rank);
    collect_borders(check);
    for (size_t i = 0; i < check->borders; i++)
        check->segment[i] = (segment){DIST_NO_OP, DIST_NO_OP};
    for (uint32_t i = 0; i < plan->ops; i++) {
        DIST_TRY(touch(check, i, plan->op[i].src, false));
        DIST_TRY(touch(check, i, plan->op[i].dst, true));
        DIST_TRY(touch(check, i, plan->op[i].state, plan->op[i].kind != DIST_OP_CALL));
    }
    return check_natives(check);
}

dist_status dist_verify_races(const dist_verifier *verifier)
{
    dist_status status = DIST_OK;
    for (int r = 0; status == DIST_OK && r < verifier->ranks; r++) {
        race_check check = {.plan = verifier->plan[r], .scanned = DIST_NO_OP};
        status = check_rank(&check);
        free(check.border);
        free(check.segment);
        free(check.reader);
        free(check.mark);
    }
    return status;
}
