/* A set of bytes of a plan's buffers. */
#ifndef DIST_PLAN_STAGE_REGIONS_H
#define DIST_PLAN_STAGE_REGIONS_H

#include "plan/plan.h"

typedef struct dist_regions {
    dist_slice *item; /* disjoint, in no order */
    size_t count, capacity;
} dist_regions;

/* False when there is no memory. */
bool dist_regions_add(dist_regions *regions, dist_slice slice);
bool dist_regions_remove(dist_regions *regions, dist_slice slice);
/* Whether one slice that was added holds all of it; whether any holds some of it. */
bool dist_regions_cover(const dist_regions *regions, dist_slice slice);
bool dist_regions_touch(const dist_regions *regions, dist_slice slice);
void dist_regions_end(dist_regions *regions);

#endif
