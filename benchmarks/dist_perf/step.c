/* dist_perf step: what a training step will cost, predicted from a measurement of the links and then tried. */
#define _POSIX_C_SOURCE 200809L /* access */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "step.h"

/* So that nobody waits for figures that cannot be kept. */
static bool is_writable(const char *path)
{
    const bool existed = path && access(path, F_OK) == 0;
    FILE *file = path ? fopen(path, "a") : NULL;
    if (path && !file)
        fprintf(stderr, "dist_perf: step: '%s' cannot be written\n", path);
    if (file)
        fclose(file);
    if (file && !existed)
        remove(path);
    return !path || file;
}

/* A codec, schedule or algorithm that cannot be is the caller's doing, and all ranks find the same. */
static int failed(dist_context *context, dist_status status)
{
    const bool usage = status == DIST_ERR_ARGUMENT || status == DIST_ERR_UNSUPPORTED;
    if (!usage || dist_rank(context) == 0)
        fprintf(stderr, "dist_perf: step: %s\n",
                status == DIST_ERR_MEMORY ? dist_status_text(status) : dist_last_error());
    return usage ? PERF_USAGE : PERF_FAILED;
}

static int report(const dist_context *context, const step_options *o, const step_result *r)
{
    step_print(context, o, r);
    const int wrote[] = {step_write_json(context, o, r), step_write_csv(context, o, r), step_draw(o, r)};
    for (int i = 0; i < 3; i++)
        if (wrote[i] != PERF_FINE)
            return wrote[i];
    return PERF_FINE;
}

static int run(dist_context *context, const step_options *o)
{
    const bool speak = dist_rank(context) == 0;
    step_result r = {.sharing = 1, .timeline = speak && o->svg ? step_timeline_open() : NULL};
    dist_status status = dist_links_measure(context);
    if (status == DIST_OK)
        status = o->positions > 1 ? step_pipeline(context, o, &r) : step_data_parallel(context, o, &r);
    int exit_status = status < 0 ? failed(context, status) : PERF_FINE;
    if (status >= 0 && speak)
        exit_status = report(context, o, &r);
    step_timeline_close(r.timeline);
    return exit_status;
}

int perf_step(int argc, char **argv)
{
    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context;
    step_options o;
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    int status = step_options_read(&o, argc, argv, ranks, rank == 0);
    if (status >= 0)
        return status;
    int good = rank > 0 || (is_writable(o.json) && is_writable(o.csv) && is_writable(o.svg));
    MPI_Bcast(&good, 1, MPI_INT, 0, MPI_COMM_WORLD);
    if (!good || !step_memory_fits(&o))
        return PERF_USAGE;
    start.timeout = o.timeout;
    if (dist_init_mpi(&context, MPI_COMM_WORLD, &start) < 0) {
        fprintf(stderr, "dist_perf: %s\n", dist_last_error());
        return PERF_FAILED;
    }
    status = run(context, &o);
    if (dist_finalize(context) < 0 && status == PERF_FINE)
        status = PERF_FAILED;
    return status;
}
