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
#define STAY     13 /* seconds: longer than all deadlines and what they lead to */

typedef struct failing_case {
    const char *name;
    int (*run)(void); /* 0: as it should be */
} failing_case;

/* How many ranks have come to their end, by files in the folder that test_failures.sh made. */
static inline int failing_ended(const char *folder, int ranks)
{
    char path[4096];
    int ended = 0;
    for (int r = 0; r < ranks; r++) {
        snprintf(path, sizeof path, "%s/%d", folder, r);
        ended += access(path, F_OK) == 0;
    }
    return ended;
}

/* A context that failed cannot be ended cleanly: say how it went, for test_failures.sh to count, and leave. The first
 * to leave takes all others with it, so each waits until all have said it. */
static inline void failing_leave(int rank, int ranks, int failed)
{
    const char *folder = getenv("FAILING_FOLDER");
    const double until = MPI_Wtime() + STAY;
    char path[4096];
    fprintf(stderr, "rank %d %s\n", rank, failed ? "FAILED" : "is content");
    fflush(stdout);
    fflush(stderr);
    if (!folder)
        folder = "/";
    snprintf(path, sizeof path, "%s/%d", folder, rank);
    FILE *file = fopen(path, "w");
    if (file)
        fclose(file);
    while (failing_ended(folder, ranks) < ranks && MPI_Wtime() < until)
        usleep(20000);
    usleep(300000); /* mpirun has the words of all */
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
            failing_leave(*rank, *ranks, cases[i].run());
    return 2;
}

#endif
