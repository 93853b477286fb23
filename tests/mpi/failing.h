/* Cases in which a context fails: each in a job of its own, named by the program's argument, because a failed context ends the
 * job. test_failures.sh runs them. */
#ifndef DIST_TESTS_MPI_FAILING_H
#define DIST_TESTS_MPI_FAILING_H

#include <signal.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define DEADLINE 1.0
#define LINGER   4  /* seconds until every rank has seen its own deadline */
#define STAY     13 /* longer than all that */

typedef struct failing_case {
    const char *name;
    int (*run)(void); /* 0: as it should be */
} failing_case;

/* A context that failed cannot be ended cleanly: say how it went, for test_failures.sh to count, and leave. The first
 * to leave takes all others with it, so each says it at once and leaves late. */
static inline void failing_leave(int rank, int failed, unsigned linger)
{
    fprintf(stderr, "rank %d %s\n", rank, failed ? "FAILED" : "is content");
    fflush(stdout);
    fflush(stderr);
    sleep(linger);
    _exit(failed);
}

/* 0 when the call that began then ended with `wanted` by the deadline, in a sentence with `word`. */
static inline int failing_expect(int rank, dist_status status, dist_status wanted, double began,
                                 const char *word)
{
    const double took = MPI_Wtime() - began;
    const bool in_time = took < DEADLINE + 8 && (wanted != DIST_ERR_TIMEOUT || took > 0.5 * DEADLINE);
    if (status == wanted && in_time && strstr(dist_last_error(), word))
        return 0;
    fprintf(stderr, "rank %d: %s after %.1f s, '%s' should name '%s'\n", rank, dist_status_name(status), took,
            dist_last_error(), word);
    return 1;
}

static inline int failing_main(int argc, char **argv, const failing_case *cases, size_t count, int *rank,
                               int *ranks)
{
    int granted;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &granted);
    MPI_Comm_rank(MPI_COMM_WORLD, rank);
    MPI_Comm_size(MPI_COMM_WORLD, ranks);
    for (size_t i = 0; i < count; i++)
        if (strcmp(argv[1], cases[i].name) == 0)
            failing_leave(*rank, cases[i].run(), LINGER);
    return 2;
}

#endif
