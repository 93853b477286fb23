/* The shared-memory wire: collectives among the ranks of a site that are all on one node, by arithmetic on each other's memory.
 *
 * Each rank has a segment that the others of its team map: what it has to say of a collective (come, reduced, done), and short
 * vectors. Long vectors are read where they are (process_vm_readv): a rank reads its part from all others, adds it up, and the
 * others read the sum; so each byte is read once. Messages are none of its business.
 */
#ifndef DIST_WIRE_SHM_H
#define DIST_WIRE_SHM_H

#include "base/log.h"
#include "topology/topology.h"
#include "wire/wire.h"

/* What a rank wants; the least of all ranks counts. */
typedef enum dist_shm_wish {
    DIST_SHM_NONE,
    DIST_SHM_STAGED, /* long vectors that are not in memory of the wire's are copied through it */
    DIST_SHM_REACHED /* they are read and written where they are, if the system permits it */
} dist_shm_wish;

/* *wire is NULL, with DIST_OK, where there can be none: several sites, nodes or one rank alone, a rank that does not want it, or the
 * system forbids what it needs; the log says which. `control` connects all ranks; it is used here alone. Collective; blocks. */
dist_status dist_wire_shm_open(dist_wire **wire, dist_shm_wish wish, dist_wire *control,
                               const dist_topology *topology, const dist_log *log);

/* Whether vectors that are not in its memory are read and written where they are. */
bool dist_wire_shm_reaches(const dist_wire *wire);

#endif
