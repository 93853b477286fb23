/* What ranks do together beside what is measured. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, nanosleep */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "perf.h"

/* MPI spins while it waits, on processors that others of this machine may need. */
static void nap_until(MPI_Request *request)
{
    long nap = 2000;
    for (int done = 0, looks = 0; !done; MPI_Test(request, &done, MPI_STATUS_IGNORE)) {
        if (looks++ < 16)
            continue;
        nanosleep(&(struct timespec){.tv_nsec = nap}, NULL);
        nap = nap < 500000 ? nap * 2 : nap;
    }
}

void perf_reduce(double *values, int count, MPI_Op op)
{
    MPI_Request request;
    MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, op, MPI_COMM_WORLD, &request);
    nap_until(&request);
}

bool perf_all(bool good)
{
    double least = good;
    perf_reduce(&least, 1, MPI_MIN);
    return least > 0;
}

void perf_barrier(void)
{
    MPI_Request request;
    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    nap_until(&request);
}

static double read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double perf_seconds(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double perf_processor_time(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

int perf_agents(const dist_context *context, bool sites, int *agent)
{
    const int groups = sites ? dist_sites(context) : dist_nodes(context);
    for (int g = 0; g < groups; g++) {
        agent[g] = -1;
        for (int r = 0; r < dist_ranks(context) && agent[g] < 0; r++)
            if ((sites ? dist_site_of(context, r) : dist_node_of(context, r)) == g)
                agent[g] = r;
    }
    return groups;
}

void perf_node_names(const dist_context *context, char (*name)[64])
{
    const int nodes = dist_nodes(context);
    char mine[64] = "";
    int *agent = calloc((size_t)dist_ranks(context), sizeof *agent);
    if (gethostname(mine, sizeof mine - 1) != 0)
        strcpy(mine, "unknown");
    if (agent)
        perf_agents(context, false, agent);
    for (int n = 0; agent && n < nodes; n++) {
        memcpy(name[n], mine, sizeof mine);
        MPI_Bcast(name[n], (int)sizeof mine, MPI_CHAR, agent[n], MPI_COMM_WORLD);
    }
    free(agent);
}

bool perf_emulated(void)
{
    return getenv("WAN_EMULATED") != NULL;
}

void perf_progress(const dist_context *context, const char *format, ...)
{
    va_list arguments;
    if (dist_rank(context) != 0 || !isatty(STDERR_FILENO))
        return;
    fputs("\r\033[K", stderr);
    if (format) {
        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
    }
    fflush(stderr);
}

void perf_print_job(const dist_context *context, const char *what)
{
    printf("# libdist %s, %s\n# %s\n# ranks: %d, nodes: %d, sites: %d%s\n", dist_version(), dist_build_info(),
           what, dist_ranks(context), dist_nodes(context), dist_sites(context),
           perf_emulated() ? "; the links are emulated" : "");
}
