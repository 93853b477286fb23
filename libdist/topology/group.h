/* The topology of some of the ranks. */
#ifndef DIST_TOPOLOGY_GROUP_H
#define DIST_TOPOLOGY_GROUP_H

#include "topology/topology.h"

/* The ranks member[0] < member[1] < ... of `all`, renumbered from 0 in this order. Nodes and sites that have none of them
 * are left out, the others numbered by their lowest member; sites keep their names, and links between them what was
 * measured. DIST_ERR_ARGUMENT when the members are not ascending ranks of `all`, or there is none. */
dist_status dist_topology_group(dist_topology **group, const dist_topology *all, const int *member,
                                int members);

/* Whether member[] ascends within ranks 0 .. ranks - 1 and has at least one: DIST_ERR_ARGUMENT that names the first that
 * does not. */
dist_status dist_group_check(const int *member, int members, int ranks);

#endif
