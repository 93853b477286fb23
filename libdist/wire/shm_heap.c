/* Memory of this rank's segment for the program: pages, lent and given back. What is free is kept in order of address, so that neighbours
 * join again. */
#define _GNU_SOURCE

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "wire/shm_internal.h"

#define PAGE ((uint64_t)4096)

typedef struct range {
    uint64_t begin, bytes;
} range;

typedef struct ranges {
    range *range;
    size_t count, room;
} ranges;

struct dist_shm_heap {
    pthread_mutex_t lock;
    ranges free, lent; /* in order of address */
};

dist_status dist_shm_heap_create(dist_shm_wire *wire, uint64_t begin, uint64_t end)
{
    struct dist_shm_heap *heap = calloc(1, sizeof *heap);
    if (!heap || !dist_grow(&heap->free.range, &heap->free.room, 1, sizeof(range))) {
        free(heap);
        return dist_fail(DIST_ERR_MEMORY, "no memory for a heap");
    }
    pthread_mutex_init(&heap->lock, NULL);
    heap->free.range[heap->free.count++] = (range){begin, end - begin};
    wire->heap = heap;
    return DIST_OK;
}

void dist_shm_heap_destroy(dist_shm_wire *wire)
{
    if (!wire->heap)
        return;
    pthread_mutex_destroy(&wire->heap->lock);
    free(wire->heap->free.range);
    free(wire->heap->lent.range);
    free(wire->heap);
    wire->heap = NULL;
}

/* The first range that begins at `begin` or behind it. */
static size_t place_of(const ranges *all, uint64_t begin)
{
    size_t low = 0, high = all->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (all->range[middle].begin < begin)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(ranges *all, size_t at, range r)
{
    memmove(&all->range[at + 1], &all->range[at], (all->count - at) * sizeof(range));
    all->range[at] = r;
    all->count++;
}

static void drop(ranges *all, size_t at)
{
    all->count--;
    memmove(&all->range[at], &all->range[at + 1], (all->count - at) * sizeof(range));
}

/* The first that is large enough; the file gets its memory now, so that touching it is no signal. */
static char *lend(dist_shm_wire *wire, uint64_t bytes)
{
    struct dist_shm_heap *heap = wire->heap;
    size_t at = 0;
    if (!dist_grow(&heap->lent.range, &heap->lent.room, heap->lent.count + 1, sizeof(range)) ||
        !dist_grow(&heap->free.range, &heap->free.room, heap->free.count + heap->lent.count + 2,
                   sizeof(range)))
        return NULL;
    while (at < heap->free.count && heap->free.range[at].bytes < bytes)
        at++;
    if (at == heap->free.count)
        return NULL;
    range *found = &heap->free.range[at];
    const range lent = {found->begin, bytes};
    if (posix_fallocate(wire->file, (off_t)lent.begin, (off_t)bytes) != 0) {
        fallocate(wire->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)lent.begin, (off_t)bytes);
        return NULL;
    }
    found->begin += bytes;
    found->bytes -= bytes;
    if (found->bytes == 0)
        drop(&heap->free, at);
    insert(&heap->lent, place_of(&heap->lent, lent.begin), lent);
    return wire->mate[wire->me].segment + lent.begin;
}

void *dist_shm_alloc(dist_wire *base, size_t bytes)
{
    dist_shm_wire *wire = (dist_shm_wire *)base;
    if (bytes > SIZE_MAX / 2)
        return NULL;
    pthread_mutex_lock(&wire->heap->lock);
    char *const memory = lend(wire, ((bytes ? bytes : 1) + PAGE - 1) / PAGE * PAGE);
    pthread_mutex_unlock(&wire->heap->lock);
    return memory;
}

/* There is room in `free` for all that is lent. */
static void take_back(dist_shm_wire *wire, size_t lent)
{
    struct dist_shm_heap *heap = wire->heap;
    range back = heap->lent.range[lent];
    drop(&heap->lent, lent);
    /* its pages go back to the system, and come again as zeros */
    fallocate(wire->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)back.begin, (off_t)back.bytes);
    size_t at = place_of(&heap->free, back.begin);
    if (at < heap->free.count && heap->free.range[at].begin == back.begin + back.bytes) {
        back.bytes += heap->free.range[at].bytes;
        drop(&heap->free, at);
    }
    if (at > 0 && heap->free.range[at - 1].begin + heap->free.range[at - 1].bytes == back.begin)
        heap->free.range[at - 1].bytes += back.bytes;
    else
        insert(&heap->free, at, back);
}

bool dist_shm_free(dist_wire *base, void *memory)
{
    dist_shm_wire *wire = (dist_shm_wire *)base;
    const uint64_t begin = (uint64_t)((uintptr_t)memory - (uintptr_t)wire->mate[wire->me].segment);
    pthread_mutex_lock(&wire->heap->lock);
    const ranges *lent = &wire->heap->lent;
    const size_t at = place_of(lent, begin);
    const bool found = at < lent->count && lent->range[at].begin == begin;
    if (found)
        take_back(wire, at);
    pthread_mutex_unlock(&wire->heap->lock);
    return found;
}
