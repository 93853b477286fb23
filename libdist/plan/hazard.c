#include "plan/hazard.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Bytes [begin, end) that have the same last writer and the same readers since. */
typedef struct interval {
    uint64_t begin, end;
    uint32_t writer;
    uint32_t reader; /* head of a list in the pool, DIST_NO_OP when empty */
} interval;

/* Lists share tails after an interval is split, so cells are never changed once linked. */
typedef struct reader_cell {
    uint32_t op;
    uint32_t next;
} reader_cell;

typedef struct timeline {
    interval *item;
    size_t count, capacity;
} timeline;

struct dist_hazards {
    timeline *buffer;
    size_t buffers, buffer_capacity;
    reader_cell *cell;
    size_t cells, cell_capacity;
    uint32_t *found;
    size_t founds, found_capacity;
};

dist_hazards *dist_hazards_create(void)
{
    return calloc(1, sizeof(dist_hazards));
}

void dist_hazards_destroy(dist_hazards *hazards)
{
    if (!hazards)
        return;
    for (size_t b = 0; b < hazards->buffers; b++)
        free(hazards->buffer[b].item);
    free(hazards->buffer);
    free(hazards->cell);
    free(hazards->found);
    free(hazards);
}

static timeline *timeline_of(dist_hazards *hazards, uint32_t buffer)
{
    if (!dist_grow(&hazards->buffer, &hazards->buffer_capacity, (size_t)buffer + 1, sizeof(timeline)))
        return NULL;
    while (hazards->buffers <= buffer)
        hazards->buffer[hazards->buffers++] = (timeline){0};
    return &hazards->buffer[buffer];
}

/* The first interval that ends after `offset`. */
static size_t first_after(const timeline *line, uint64_t offset)
{
    size_t low = 0, high = line->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (line->item[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool insert(timeline *line, size_t at, interval item)
{
    if (!dist_grow(&line->item, &line->capacity, line->count + 1, sizeof(interval)))
        return false;
    memmove(&line->item[at + 1], &line->item[at], (line->count - at) * sizeof(interval));
    line->item[at] = item;
    line->count++;
    return true;
}

/* Makes `offset` a border between intervals, if it lies inside one. */
static bool split(timeline *line, uint64_t offset)
{
    size_t at = first_after(line, offset);
    if (at == line->count || line->item[at].begin >= offset)
        return true;
    interval left = line->item[at];
    left.end = offset;
    line->item[at].begin = offset;
    return insert(line, at, left);
}

/* Gives the parts of [begin, end) that nobody has touched intervals of their own. */
static bool fill(timeline *line, uint64_t begin, uint64_t end)
{
    size_t at = first_after(line, begin);
    while (begin < end) {
        uint64_t next = at < line->count && line->item[at].begin < end ? line->item[at].begin : end;
        if (begin < next) {
            if (!insert(line, at, (interval){begin, next, DIST_NO_OP, DIST_NO_OP}))
                return false;
        }
        begin = line->item[at].end;
        at++;
    }
    return true;
}

static bool note(dist_hazards *hazards, uint32_t op, uint32_t self)
{
    if (op == DIST_NO_OP || op == self)
        return true;
    if (!dist_grow(&hazards->found, &hazards->found_capacity, hazards->founds + 1, sizeof(uint32_t)))
        return false;
    hazards->found[hazards->founds++] = op;
    return true;
}

static bool read_interval(dist_hazards *hazards, interval *item, uint32_t op)
{
    if (!note(hazards, item->writer, op))
        return false;
    if (!dist_grow(&hazards->cell, &hazards->cell_capacity, hazards->cells + 1, sizeof(reader_cell)))
        return false;
    hazards->cell[hazards->cells] = (reader_cell){op, item->reader};
    item->reader = (uint32_t)hazards->cells++;
    return true;
}

static bool write_interval(dist_hazards *hazards, interval *item, uint32_t op)
{
    bool read = false;
    for (uint32_t c = item->reader; c != DIST_NO_OP; c = hazards->cell[c].next) {
        if (!note(hazards, hazards->cell[c].op, op))
            return false;
        read |= hazards->cell[c].op != op;
    }
    /* whoever read it waited for the writer already */
    return read || note(hazards, item->writer, op);
}

bool dist_hazards_note(dist_hazards *hazards, uint32_t before)
{
    return note(hazards, before, DIST_NO_OP);
}

bool dist_hazards_touch(dist_hazards *hazards, uint32_t op, dist_slice slice, bool write)
{
    if (slice.buffer == DIST_NO_BUFFER || slice.bytes == 0)
        return true;
    timeline *line = timeline_of(hazards, slice.buffer);
    uint64_t end = slice.offset + slice.bytes;
    if (!line || !split(line, slice.offset) || !split(line, end) || !fill(line, slice.offset, end))
        return false;
    size_t first = first_after(line, slice.offset), last = first;
    for (; last < line->count && line->item[last].begin < end; last++) {
        interval *item = &line->item[last];
        if (!(write ? write_interval(hazards, item, op) : read_interval(hazards, item, op)))
            return false;
    }
    if (write) { /* one writer, no reader since: the intervals become one */
        line->item[first] = (interval){slice.offset, end, op, DIST_NO_OP};
        memmove(&line->item[first + 1], &line->item[last], (line->count - last) * sizeof(interval));
        line->count -= last - first - 1;
    }
    return true;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

const uint32_t *dist_hazards_take(dist_hazards *hazards, size_t *count)
{
    size_t kept = 0;
    if (hazards->founds > 1)
        qsort(hazards->found, hazards->founds, sizeof(uint32_t), ascending);
    for (size_t i = 0; i < hazards->founds; i++)
        if (kept == 0 || hazards->found[kept - 1] != hazards->found[i])
            hazards->found[kept++] = hazards->found[i];
    *count = kept;
    hazards->founds = 0;
    return hazards->found;
}
