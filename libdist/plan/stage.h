/* Plans of device memory, from plans that know nothing of it.
 *
 * A generator writes a plan as if all memory were alike. Where USER buffers are in device memory, staging puts the plan's
 * scratch and state there too and adds what a wire of host memory needs: a COPY down into pinned memory before a SEND, one
 * up after a RECV. Each buffer that messages touch has a pinned one of the same shape beside it, so the order of messages,
 * and with it freedom from deadlock, is that of the plan given. Frames are copied whole, once whoever sends them, and are
 * checked on the host before they are copied up. The heads of parcels stay on the host, in the pinned copies. What the device has no kernel for (PROJECT, EXPAND, collectives of
 * the wire) runs on the pinned memory.
 */
#ifndef DIST_PLAN_STAGE_H
#define DIST_PLAN_STAGE_H

#include "plan/plan.h"

typedef struct dist_staging {
    const dist_memory *user; /* where the USER buffers are, in their order */
    bool direct; /* the wire takes device memory: messages are left alone, but for frames and parcels */
    bool calls;  /* the program's functions work on device memory */
} dist_staging;

/* Replaces *plan, which is finished, by its staged form. Without a USER buffer in device memory, and without functions that work on it,
 * nothing changes. On failure *plan stays as it was. */
dist_status dist_plan_stage(dist_plan **plan, const dist_staging *how);

#endif
