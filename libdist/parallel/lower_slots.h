/* Slots of a buffer, handed out while a plan is written: first how many are needed is counted, then they are given out,
 * the longest unused one first, so that what fills a slot can begin long before it is wanted. */
#ifndef DIST_PARALLEL_LOWER_SLOTS_H
#define DIST_PARALLEL_LOWER_SLOTS_H

#include <stdbool.h>

#include "plan/plan.h"

typedef struct dist_slot_pool {
    uint64_t stride, bytes; /* from slot to slot; of a slice, without its dist_parcel */
    uint32_t buffer;
    uint32_t live, most; /* slots in use now and at most */
    uint32_t *ring;      /* [size] of free slots, NULL while they are counted; the next is at head */
    uint32_t size, head;
} dist_slot_pool;

/* From one slot to the next: a parcel and `bytes` more, at cache lines. */
static inline uint64_t dist_slot_stride(uint64_t bytes)
{
    return sizeof(dist_parcel) + (bytes + 63) / 64 * 64;
}

/* Takes and gives back while `ring` is NULL only count. take returns 0 then. */
uint32_t dist_slot_take(dist_slot_pool *pool);
void dist_slot_give(dist_slot_pool *pool, uint32_t slot);
dist_slice dist_slot_slice(const dist_slot_pool *pool, uint32_t slot);

/* While counting: there will be `slots` slots at least. */
static inline void dist_slot_room(dist_slot_pool *pool, uint32_t slots)
{
    pool->most = slots > pool->most ? slots : pool->most;
}

/* After counting: adds a scratch buffer `name` of as many slots, of `bytes` bytes behind their parcel, as were in use at once and
 * `ahead` more, but not more than `limit` for that (none when none was in use); all of them are free then. */
dist_status dist_slot_pool_open(dist_slot_pool *pool, dist_plan *plan, const char *name, uint64_t bytes,
                                uint32_t ahead, uint32_t limit);
void dist_slot_pool_close(dist_slot_pool *pool);

#endif
