#include "parallel/lower_slots.h"

#include <stdlib.h>

#include "base/error.h"

uint32_t dist_slot_take(dist_slot_pool *pool)
{
    pool->live++;
    pool->most = pool->live > pool->most ? pool->live : pool->most;
    if (!pool->ring)
        return 0;
    const uint32_t slot = pool->ring[pool->head];
    pool->head = (pool->head + 1) % pool->size;
    return slot;
}

void dist_slot_give(dist_slot_pool *pool, uint32_t slot)
{
    pool->live--;
    if (pool->ring) /* behind the free ones, which begin at head */
        pool->ring[(pool->head + pool->size - pool->live - 1) % pool->size] = slot;
}

dist_slice dist_slot_slice(const dist_slot_pool *pool, uint32_t slot)
{
    return dist_slice_of(pool->buffer, slot * pool->stride, sizeof(dist_parcel) + pool->bytes);
}

dist_status dist_slot_pool_open(dist_slot_pool *pool, dist_plan *plan, const char *name, uint64_t bytes,
                                uint32_t ahead, uint32_t limit)
{
    const uint32_t most = pool->most < limit ? limit : pool->most;
    *pool = (dist_slot_pool){
        .stride = dist_slot_stride(bytes), .bytes = bytes, .size = pool->most, .buffer = DIST_NO_BUFFER};
    if (pool->size == 0)
        return DIST_OK;
    pool->size = pool->size + ahead < most ? pool->size + ahead : most;
    pool->ring = malloc(pool->size * sizeof *pool->ring);
    if (!pool->ring)
        return dist_fail(DIST_ERR_MEMORY, "no memory for %u slots", pool->size);
    for (uint32_t i = 0; i < pool->size; i++)
        pool->ring[i] = i;
    pool->buffer = dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, pool->size * pool->stride, name);
    return DIST_OK;
}

void dist_slot_pool_close(dist_slot_pool *pool)
{
    free(pool->ring);
}
