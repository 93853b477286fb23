/* Finding out who is where when a context starts. */
#ifndef DIST_DISCOVER_H
#define DIST_DISCOVER_H

#include "context_internal.h"

/* Gathers hosts, nodes and sites of all ranks into context->topology. `mine` is how this rank's start went so
 * far: when it or any other rank's is an error, all ranks return it, with the sentence of the first such
 * rank. *bytes gets what it is on rank 0. Collective; blocking. */
dist_status dist_discover(dist_context *context, dist_status mine, uint64_t *bytes);

/* DIST_SITES=auto: measures latencies between nodes and rebuilds the topology from them; else nothing.
 * Collective; blocking. */
dist_status dist_discover_sites(dist_context *context);

#endif
