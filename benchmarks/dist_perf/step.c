/* dist_perf step: what a training step will cost, predicted from a measurement of the links and then tried. */
#include <stdlib.h>

#include "step.h"

/* A codec, schedule or algorithm that cannot be is the caller's doing, and all ranks find the same. */
static int failed(dist_context *context, dist_status status)
{
    const bool usage = status == DIST_ERR_ARGUMENT || status == DIST_ERR_UNSUPPORTED;
    if (!usage || dist_rank(context) == 0)
        fprintf(stderr, "dist_perf: step: %s\n",
                status == DIST_ERR_MEMORY ? dist_status_text(status) : dist_last_error());
    return usage ? PERF_USAGE : PERF_FAILED;
}

static int run(dist_context *context, const step_options *o, perf_sheet *sheet)
{
    const bool speak = dist_rank(context) == 0;
    step_result r = {.sharing = 1, .timeline = speak && o->svg ? step_timeline_open() : NULL};
    dist_status status = dist_links_measure(context);
    if (status == DIST_OK)
        status = o->positions > 1 ? step_pipeline(context, o, &r) : step_data_parallel(context, o, &r);
    int exit_status = status < 0 ? failed(context, status) : PERF_FINE;
    if (status >= 0 && speak) {
        step_print(context, o, &r);
        step_note(sheet, context, o, &r);
        exit_status = step_draw(o, &r);
    }
    step_timeline_close(r.timeline);
    return exit_status;
}

int perf_step(int argc, char **argv)
{
    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context;
    perf_sheet *sheet = NULL;
    step_options o;
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    int status = step_options_read(&o, argc, argv, ranks, rank == 0);
    if (status >= 0)
        return status;
    status = step_memory_fits(&o) ? perf_output_open(&sheet, o.json, o.csv, o.svg, NULL) : PERF_USAGE;
    if (status != PERF_FINE) {
        perf_sheet_close(sheet);
        return status;
    }
    start.timeout = o.timeout;
    if (dist_init_mpi(&context, MPI_COMM_WORLD, &start) < 0) {
        fprintf(stderr, "dist_perf: %s\n", dist_last_error());
        perf_sheet_close(sheet);
        return PERF_FAILED;
    }
    perf_output_describe(sheet, context, "step");
    status = perf_output_close(sheet, run(context, &o, sheet));
    if (dist_finalize(context) < 0 && status == PERF_FINE)
        status = PERF_FAILED;
    return status;
}
