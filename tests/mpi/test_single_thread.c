/* Where MPI grants no threads, progress is made inside calls and everything still works. */
/* ranks: 1 2 4 */
#include "harness.h"

int main(int argc, char **argv)
{
    int rank, ranks, failed = 0, granted;
    dist_context *context;
    dist_data_parallel *dp;
    dist_request *request;
    static float data[100000];
    dist_parameter parameter = {"w", NULL, 50000, DIST_FLOAT32, 0};
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_SINGLE, &granted);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    context = harness_context(ranks > 1 ? 2 : 1, 0, options);
    if (!context)
        return 1;
    for (int i = 0; i < 100000; i++)
        data[i] = (float)rank;
    failed |= dist_all_reduce_init(context, DIST_IN_PLACE, data, 100000, DIST_FLOAT32, DIST_SUM, NULL,
                                   &request) < 0;
    failed |= dist_data_parallel_create(context, &parameter, 1, NULL, &dp) < 0;
    if (!failed) {
        float *gradient = dist_data_parallel_gradient(dp, 0);
        for (int i = 0; i < 50000; i++)
            gradient[i] = 2.0f * (float)rank;
        failed |= dist_request_post(request) < 0;
        failed |= dist_data_parallel_ready(dp, 0, NULL) < 0;
        while (dist_request_test(request) == DIST_IN_PROGRESS)
            continue;
        failed |= dist_data_parallel_wait(dp, NULL) < 0;
        failed |= data[99999] != (float)(ranks * (ranks - 1) / 2) || gradient[49999] != (float)(ranks - 1);
        failed |= dist_data_parallel_destroy(dp) < 0 || dist_request_destroy(request) < 0;
    }
    failed |= dist_finalize(context) < 0;
    if (failed)
        fprintf(stderr, "rank %d: thread level %d: %s\n", rank, granted, dist_last_error());
    MPI_Finalize();
    return failed;
}
