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

/* The same between sites alone, quickly: within two seconds for round trips of 30 ms, by up to two others for each site, and zero
 * for the pairs left out. link[sites * sites]. Collective; blocking. */
dist_status dist_measure_sites(dist_engine *engine, const dist_topology *topology, int rank,
                               bool latency_only, dist_link *link);

/* Values that one rank each has, and that are zero on all others, to all ranks. Collective; blocking. */
dist_status dist_measure_share(dist_engine *engine, const dist_topology *topology, int rank, double *values,
                               uint64_t count);

#endif
