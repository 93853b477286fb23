/* What links are worth: short probes, run as plans. */
#ifndef DIST_COLLECTIVE_MEASURE_H
#define DIST_COLLECTIVE_MEASURE_H

#include "plan/engine.h"

/* One-way latency in seconds between the first ranks of all nodes: latency[a * nodes + b]. Collective;
 * blocking. */
dist_status dist_measure_nodes(dist_engine *engine, const dist_topology *topology, int rank, double *latency);

/* Latency and bandwidth between the first ranks of all sites (inside a site: between its first two) into
 * topology->link, which it allocates. Collective; blocking. */
dist_status dist_measure_links(dist_engine *engine, dist_topology *topology, int rank);

#endif
