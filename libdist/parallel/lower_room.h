/* How many slots a receiver needs so that no sender ever waits for it in a circle.
 *
 * A schedule is sound when messages wait in buffers without end. Where a send ends with its receive only, a sender that
 * runs far ahead stops until the receiver has room, and the receiver may need what the sender does next. That cannot
 * happen if there is room for all that the sender sends before it needs anything from the receiver that is not done. */
#ifndef DIST_PARALLEL_LOWER_ROOM_H
#define DIST_PARALLEL_LOWER_ROOM_H

#include "parallel/schedule.h"

/* For what stage - 1 sends to `stage`, each kept until the last backward slot of its microbatch. */
uint32_t dist_room_for_inputs(const dist_schedule *schedule, int stage);
/* For what stage + 1 sends to `stage`, each kept until the backward of its microbatch. */
uint32_t dist_room_for_gradients(const dist_schedule *schedule, int stage);

#endif
