/* For programs that hold an MPI communicator of their own. Apart from dist.h, so that other programs need no
 * mpi.h. */
#ifndef LIBDIST_MPI_H
#define LIBDIST_MPI_H

#include <mpi.h>

#include <libdist/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As dist_init, over the ranks of `communicator`, which is duplicated: the library's messages never meet the
 * program's, and the program may free it afterwards. MPI must be initialized and stays so after
 * dist_finalize. With less than MPI_THREAD_MULTIPLE there is no progress thread (progress is made inside
 * calls). Collective over the communicator; blocking. */
DIST_API dist_status dist_init_mpi(dist_context **context, MPI_Comm communicator,
                                   const dist_context_options *options);

#ifdef __cplusplus
}
#endif
#endif
