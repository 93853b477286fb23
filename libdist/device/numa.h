/* NUMA nodes: which ones this process may run on, and memory that is to be near it. Through hwloc; a stub where libdist is built
 * without it. */
#ifndef DIST_DEVICE_NUMA_H
#define DIST_DEVICE_NUMA_H

#include <stdbool.h>
#include <stddef.h>

#include <libdist/status.h>

#include "base/log.h"

typedef struct dist_numa {
    int nodes;  /* of this machine */
    int usable; /* of these, near a processor that this process may run on */
    int node;   /* the system's number of the one that it is bound to; -1: it may run near several */
    bool real;  /* this machine, and not one that HWLOC_SYNTHETIC or HWLOC_XMLFILE describes */
} dist_numa;

/* DIST_ERR_UNSUPPORTED without hwloc, DIST_ERR_SYSTEM where it cannot tell. Some milliseconds. */
dist_status dist_numa_find(dist_numa *numa);

/* Asks for the pages of [memory, memory + bytes), which begins at a page and is not touched yet, on the node that this process is bound
 * to, whichever process touches them first; where that has none left, on another. True where the system took it. Otherwise pages are
 * where they are first touched, and the log says why at level debug:
 * - there is one node, or no hwloc;
 * - the process is not bound to a node: nobody knows where it will run, and the kernel, which may move pages after the process that
 *   uses them, lets those alone that somebody has bound;
 * - it was started with a memory policy (numactl, Slurm's --mem-bind), which stands;
 * - the kernel refuses, as it does in many containers. */
bool dist_numa_place(void *memory, size_t bytes, const dist_log *log);

#endif
