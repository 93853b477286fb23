/* Shared by the tests under mpirun: contexts with virtual sites, and values whose sums are exact. */
#ifndef DIST_TESTS_MPI_HARNESS_H
#define DIST_TESTS_MPI_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

#include <libdist/dist.h>
#include <libdist/mpi.h>

/* Fails the test with the library's own sentence. */
#define assert_dist(call)                                                                                    \
    do {                                                                                                     \
        dist_status harness_status = (call);                                                                 \
        if (harness_status != DIST_OK) {                                                                     \
            print_error("%s: %s: %s\n", #call, dist_status_name(harness_status), dist_last_error());         \
            fail();                                                                                          \
        }                                                                                                    \
    } while (0)

/* How ranks fall into sites: as even as possible, in order; `uneven` puts all but one rank on the first site. */
static inline int harness_site(int rank, int ranks, int sites, int uneven)
{
    if (uneven)
        return rank < ranks - sites + 1 ? 0 : rank - (ranks - sites);
    return (int)((long)rank * sites / ranks);
}

static inline dist_context *harness_context(int sites, int uneven, dist_context_options options)
{
    int rank, ranks;
    char site[16];
    dist_context *context = NULL;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    snprintf(site, sizeof site, "s%d", harness_site(rank, ranks, sites, uneven));
    options.site = site;
    if (options.timeout == 0)
        options.timeout = 20;
    if (dist_init_mpi(&context, MPI_COMM_WORLD, &options) != DIST_OK)
        print_error("dist_init_mpi: %s\n", dist_last_error());
    return context;
}

/* A whole number in [-8, 8] that depends on rank and position: sums over a few ranks are exact in every type. */
static inline int harness_value(int rank, size_t i)
{
    uint64_t x = ((uint64_t)rank << 32) + i + 1;
    x *= 0x9e3779b97f4a7c15u;
    return (int)((x >> 40) % 17) - 8;
}

/* MPICH's blocking calls keep the core from the ranks that they wait for: where ranks may come long after each other, tests ask and
 * sleep. */
static inline void harness_await(MPI_Request request)
{
    for (int done = 0; !done;) {
        MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (!done)
            thrd_sleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

static inline void harness_meet(void)
{
    MPI_Request request;
    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    harness_await(request);
}

static inline void harness_broadcast(void *data, size_t count, MPI_Datatype type, int root)
{
    MPI_Request request;
    MPI_Ibcast(data, (int)count, type, root, MPI_COMM_WORLD, &request);
    harness_await(request);
}

/* Runs a test program: MPI around cmocka; rank 0 alone talks; the exit status is the worst of all ranks. */
static inline int harness_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count, int *rank,
                               int *ranks)
{
    int granted;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &granted);
    MPI_Comm_rank(MPI_COMM_WORLD, rank);
    MPI_Comm_size(MPI_COMM_WORLD, ranks);
    const char *wanted =
        getenv("TEST_RANKS"); /* under another MPI's mpirun each process would be alone, and content */
    if (wanted && atoi(wanted) != *ranks) {
        print_error("%d ranks, not %s: this mpirun is not that of the MPI that the test was built with\n",
                    *ranks, wanted);
        return 1;
    }
    if (*rank != 0 && !freopen("/dev/null", "w", stdout))
        return 1;
    int failed = _cmocka_run_group_tests("tests", tests, count, NULL, NULL);
    harness_meet();
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return failed != 0;
}

#endif
