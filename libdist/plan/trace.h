/* What ran when, in the Chrome trace format (chrome://tracing, Perfetto). */
#ifndef DIST_PLAN_TRACE_H
#define DIST_PLAN_TRACE_H

#include "plan/plan.h"
#include "topology/topology.h"

typedef struct dist_trace dist_trace;

dist_trace *dist_trace_create(void);
void dist_trace_destroy(dist_trace *trace);

/* One op that ran from `began` to `ended` (dist_now). Only the driver of the engine calls it. */
void dist_trace_op(dist_trace *trace, const dist_plan *plan, uint32_t op, int64_t began, int64_t ended);
/* A span of the program's own. Any thread. */
void dist_trace_span(dist_trace *trace, const char *name, int64_t began, int64_t ended);

/* Gathers all ranks' events on rank 0, in its time, and writes the file there. Collective; blocks until the
 * deadline. */
dist_status dist_trace_write(dist_trace *trace, dist_wire *wire, const dist_topology *topology,
                             const char *path, int64_t deadline);

#endif
