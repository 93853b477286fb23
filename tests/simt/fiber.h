/* Fibers: functions with stacks of their own that one scheduler enters and that leave to it.
 *
 * The address sanitizer is told of each switch, so it runs clean and sees overflows of a fiber's stack.
 */
#ifndef SIMT_FIBER_H
#define SIMT_FIBER_H

namespace simt
{

struct fiber;

/* A fiber that calls body(argument) when it is first entered; body must never return. Lives to the end of the
 * process. */
fiber *fiber_create(void (*body)(void *), void *argument);

/* Runs the fiber until it leaves. Called by the scheduler alone, from outside all fibers. */
void fiber_enter(fiber *entered);

/* Back to the scheduler; returns when the fiber is entered again. Called by the fiber that runs. */
void fiber_leave(fiber *left);

} // namespace simt

#endif
