/* One public call of a collective: from its arguments to a task, and the tasks of calls made before. */
#ifndef DIST_CALL_H
#define DIST_CALL_H

#include "context_internal.h"

/* What one public call asks for. */
typedef struct dist_call {
    const char *name;
    dist_collective_kind kind;
    const void *send;
    void *receive;
    size_t count;
    dist_type type;
    dist_reduction reduction;
    int root;
    const dist_collective_options *options;
    int to, from; /* of a send-recv; -1 */
} dist_call;

/* Whether this rank's send or receive buffer is used; in place the input is in receive. */
bool dist_call_sends(const dist_call *c);
bool dist_call_receives(const dist_call *c);

/* Checks the arguments and says what is asked for. Collective where it takes a device into use. */
dist_status dist_call_spec(dist_context *context, const dist_call *c, dist_spec *spec);
/* Addresses of the plan's USER buffers, in their order. */
void dist_call_users(const dist_call *c, const dist_spec *spec, void *user[2]);
/* `beside`: a task whose tags it takes, without asking any rank; NULL: all ranks compare what they prepare. */
dist_status dist_call_task(dist_context *context, const dist_spec *spec, void *user[2],
                           const dist_task *beside, dist_task **task);

/* Checks the arguments and makes a task for them. Collective. */
dist_status dist_call_prepare(dist_context *context, const dist_call *c, dist_task **task);

/* call_cache.c. Runs the call to its end: the task of the same call made before, if there was one. Collective; blocking. */
dist_status dist_call_run(dist_context *context, const dist_call *c);

#endif
