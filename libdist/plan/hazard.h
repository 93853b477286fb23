/* Derives which earlier ops an op must wait for, from the bytes that they read and write. */
#ifndef DIST_PLAN_HAZARD_H
#define DIST_PLAN_HAZARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/plan.h"

typedef struct dist_hazards dist_hazards;

dist_hazards *dist_hazards_create(void);
void dist_hazards_destroy(dist_hazards *hazards);

/* Records that op number `op` reads (or writes) `slice`, and appends the ops it must therefore wait for to
 * the list of the current op. False when there is no memory. */
bool dist_hazards_touch(dist_hazards *hazards, uint32_t op, dist_slice slice, bool write);

/* Appends `before` to the list of the current op, whatever bytes it touched; DIST_NO_OP: nothing. */
bool dist_hazards_note(dist_hazards *hazards, uint32_t before);

/* The list of the current op, sorted, each once; *count gets its length. Starts a new list. */
const uint32_t *dist_hazards_take(dist_hazards *hazards, size_t *count);

#endif
