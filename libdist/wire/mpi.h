/* The MPI wire: persistent requests on communicators of our own, one a channel. */
#ifndef DIST_WIRE_MPI_H
#define DIST_WIRE_MPI_H

#include <mpi.h>

#include "wire/wire.h"

/* Opens a wire over the ranks of `parent` (duplicated) with `channels` channels. MPI must be initialized;
 * `threaded` is false where MPI grants less than MPI_THREAD_MULTIPLE. Collective; blocking. */
dist_status dist_wire_mpi_open(dist_wire **wire, MPI_Comm parent, int channels);

/* The lowest rank of `wire` on this rank's node (ranks that can share memory). Collective; blocking. */
dist_status dist_wire_mpi_node(dist_wire *wire, int *lowest);

/* Starts MPI with MPI_THREAD_MULTIPLE when the program has not (*started: we did). dist_mpi_end ends it if
 * so. */
dist_status dist_mpi_begin(bool *started);
void dist_mpi_end(void);

#endif
