#include "plan/stage_regions.h"

#include <stdlib.h>

#include "base/memory.h"

static bool meet(dist_slice a, dist_slice b)
{
    return a.buffer == b.buffer && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

static bool holds(dist_slice outer, dist_slice inner)
{
    return outer.buffer == inner.buffer && outer.offset <= inner.offset &&
           inner.offset + inner.bytes <= outer.offset + outer.bytes;
}

static bool append(dist_regions *regions, dist_slice slice)
{
    if (slice.bytes == 0)
        return true;
    if (!dist_grow(&regions->item, &regions->capacity, regions->count + 1, sizeof *regions->item))
        return false;
    regions->item[regions->count++] = slice;
    return true;
}

bool dist_regions_add(dist_regions *regions, dist_slice slice)
{
    return dist_regions_remove(regions, slice) && append(regions, slice);
}

bool dist_regions_remove(dist_regions *regions, dist_slice slice)
{
    bool room = true;
    for (size_t i = regions->count; i-- > 0;) {
        const dist_slice old = regions->item[i];
        const uint64_t end = slice.offset + slice.bytes, old_end = old.offset + old.bytes;
        if (!meet(old, slice))
            continue;
        regions->item[i] = regions->item[--regions->count];
        if (old.offset < slice.offset) /* what is left of it on both sides */
            room &= append(regions, dist_slice_of(old.buffer, old.offset, slice.offset - old.offset));
        if (end < old_end)
            room &= append(regions, dist_slice_of(old.buffer, end, old_end - end));
    }
    return room;
}

bool dist_regions_cover(const dist_regions *regions, dist_slice slice)
{
    for (size_t i = 0; i < regions->count; i++)
        if (holds(regions->item[i], slice))
            return true;
    return false;
}

bool dist_regions_touch(const dist_regions *regions, dist_slice slice)
{
    for (size_t i = 0; i < regions->count; i++)
        if (meet(regions->item[i], slice))
            return true;
    return false;
}

void dist_regions_end(dist_regions *regions)
{
    free(regions->item);
    *regions = (dist_regions){0};
}
