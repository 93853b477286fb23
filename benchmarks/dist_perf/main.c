/* dist_perf: measures collectives with the flags and columns of nccl-tests, and what crosses between sites;
 * pipelines beside their prediction; and codecs against memcpy. */
#include <stdlib.h>
#include <string.h>

#include "perf.h"

static int run(int argc, char **argv)
{
    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context;
    perf_options options;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    int status = perf_options_read(&options, argc - 2, argv + 2, rank == 0);
    if (status >= 0)
        return status;
    start.timeout = options.timeout;
    if (dist_init_mpi(&context, MPI_COMM_WORLD, &start) < 0) {
        fprintf(stderr, "dist_perf: %s\n", dist_last_error());
        return PERF_FAILED;
    }
    status = perf_all_reduce(context, &options);
    if (dist_finalize(context) < 0 && status == PERF_FINE)
        status = PERF_FAILED;
    return status;
}

int main(int argc, char **argv)
{
    int granted;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(perf_help, stdout);
        return PERF_FINE;
    }
    if (argc > 1 && strcmp(argv[1], "codec") == 0)
        return perf_codec(argc - 2, argv + 2);
    const bool pipeline = argc > 1 && strcmp(argv[1], "pipeline") == 0;
    const bool step = argc > 1 && strcmp(argv[1], "step") == 0;
    if (!pipeline && !step && (argc < 2 || strcmp(argv[1], "all-reduce") != 0)) {
        fputs(perf_help, stderr);
        return PERF_USAGE;
    }
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &granted);
    int status = pipeline ? perf_pipeline(argc - 2, argv + 2)
                 : step   ? perf_step(argc - 2, argv + 2)
                          : run(argc, argv);
    if (status == PERF_FAILED)
        exit(status); /* a failed context may leave MPI unable to end */
    MPI_Finalize();
    return status;
}
