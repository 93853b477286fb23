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

/* Checks the arguments and makes a task for them. Collective. */
dist_status dist_call_prepare(dist_context *context, const dist_call *c, dist_task **task);

/* Runs the call to its end: the task of the same call made before, if there was one. Collective; blocking. */
dist_status dist_call_run(dist_context *context, const dist_call *c);

#endif
