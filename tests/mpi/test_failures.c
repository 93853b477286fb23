/* What goes wrong between ranks: every rank gets a status and a sentence that names it, within the deadline.
 * Each case runs in a process of its own, named by the argument, because a failed context ends the job. */
/* ranks: 2 3 4 */
#define _DEFAULT_SOURCE /* usleep */

#include "failing.h"

static int rank, ranks;

static dist_context *open_context(void)
{
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    options.timeout = DEADLINE;
    return harness_context(2, 0, options);
}

/* All ranks hear of it, in a sentence with both calls, and the context goes on. */
static void expect_mismatch(dist_context *context, dist_status status, const char *first, const char *second)
{
    float data[8] = {0};
    if (status != DIST_ERR_MISMATCH || !strstr(dist_last_error(), first) ||
        !strstr(dist_last_error(), second))
        print_error("%s: '%s' should name '%s' and '%s'\n", dist_status_name(status), dist_last_error(),
                    first, second);
    assert_int_equal(status, DIST_ERR_MISMATCH);
    assert_non_null(strstr(dist_last_error(), first));
    assert_non_null(strstr(dist_last_error(), second));
    assert_dist(dist_all_reduce(context, DIST_IN_PLACE, data, 8, DIST_FLOAT32, DIST_SUM, NULL));
}

static void test_other_arguments(void **state)
{
    (void)state;
    static float data[2000];
    dist_collective_options options = DIST_COLLECTIVE_OPTIONS_INIT;
    dist_context *context = open_context();
    bool last = rank == ranks - 1;
    assert_non_null(context);
    options.algo = "doubling"; /* it sends messages, of which the first that differs is named */
    dist_status status =
        dist_all_reduce(context, DIST_IN_PLACE, data, last ? 101 : 100, DIST_FLOAT32, DIST_SUM, &options);
    expect_mismatch(context, status, "of 100 float32", "of 101 float32");
    assert_non_null(strstr(dist_last_error(), "first op that differs: op "));
    status =
        dist_all_reduce(context, DIST_IN_PLACE, data, 100, last ? DIST_INT32 : DIST_FLOAT32, DIST_SUM, NULL);
    expect_mismatch(context, status, "float32", "int32");
    status =
        dist_all_reduce(context, DIST_IN_PLACE, data, 300, DIST_FLOAT32, last ? DIST_MAX : DIST_SUM, NULL);
    expect_mismatch(context, status, "sum", "max");
    options.algo = last ? "ring" : "halving";
    status = dist_all_reduce(context, DIST_IN_PLACE, data, 400, DIST_FLOAT32, DIST_SUM, &options);
    expect_mismatch(context, status, "ring", "halving");
    status = last ? dist_broadcast(context, data, 500, DIST_FLOAT32, 0, NULL)
                  : dist_all_reduce(context, DIST_IN_PLACE, data, 500, DIST_FLOAT32, DIST_SUM, NULL);
    expect_mismatch(context, status, "broadcast", "all-reduce");
    status = dist_broadcast(context, data, 600, DIST_FLOAT32, last ? 1 : 0, NULL);
    expect_mismatch(context, status, "rank 0,", "rank 1,");
    assert_dist(dist_finalize(context));
}

static void test_other_gradients(void **state)
{
    (void)state;
    dist_context *context = open_context();
    dist_data_parallel *dp;
    dist_parameter parameter[2] = {{"w", NULL, 1000, DIST_FLOAT32, 0},
                                   {"b", NULL, rank ? 20 : 10, DIST_FLOAT32, 0}};
    assert_non_null(context);
    dist_status status = dist_data_parallel_create(context, parameter, 2, NULL, &dp);
    expect_mismatch(context, status, "bucket 0", "float32");
    assert_null(dp);
    assert_dist(dist_finalize(context));
}

static int expect_timeout(dist_status status, double began, const char *word)
{
    return failing_expect(rank, status, DIST_ERR_TIMEOUT, began, word);
}

/* The last rank stops in a later call of a collective that all know: nothing was compared, only the deadline
 * helps. */
static int rank_that_stays_away(void)
{
    dist_context *context = open_context();
    static float data[100000];
    dist_status status = DIST_OK;
    double began = MPI_Wtime();
    if (!context)
        return 1;
    for (int i = 0; i < 3 && status == DIST_OK; i++) {
        if (i == 2 && rank == ranks - 1)
            failing_leave(rank, ranks, 0);
        began = MPI_Wtime();
        status = dist_all_reduce(context, DIST_IN_PLACE, data, 100000, DIST_FLOAT32, DIST_SUM, NULL);
    }
    int failed = expect_timeout(status, began, "RECV");
    /* from now on every call says so at once */
    failed |= dist_all_reduce(context, DIST_IN_PLACE, data, 100000, DIST_FLOAT32, DIST_SUM, NULL) >= 0;
    dist_finalize(context);
    return failed;
}

static int rank_that_never_prepares(void)
{
    dist_context *context = open_context();
    float data[4] = {0};
    double began = MPI_Wtime();
    if (!context)
        return 1;
    if (rank == ranks - 1)
        failing_leave(rank, ranks, 0);
    int failed =
        expect_timeout(dist_all_reduce(context, DIST_IN_PLACE, data, 4, DIST_FLOAT32, DIST_SUM, NULL), began,
                       "all-reduce of 4 float32");
    dist_finalize(context);
    return failed;
}

/* One rank repeats an old call while the others go on: both sides end, and each names the other's. */
static int rank_that_is_elsewhere(void)
{
    dist_context *context = open_context();
    static float data[30000];
    double began;
    if (!context)
        return 1;
    if (dist_all_reduce(context, DIST_IN_PLACE, data, 30000, DIST_FLOAT32, DIST_SUM, NULL) < 0)
        return 1;
    began = MPI_Wtime();
    dist_status status =
        rank == 0 ? dist_all_reduce(context, DIST_IN_PLACE, data, 30000, DIST_FLOAT32, DIST_SUM, NULL)
                  : dist_all_reduce(context, DIST_IN_PLACE, data, 20000, DIST_FLOAT32, DIST_SUM, NULL);
    int failed = expect_timeout(status, began, rank == 0 ? "30000" : "20000");
    failed |= strstr(dist_last_error(), rank == 0 ? "20000" : "30000") == NULL;
    if (failed)
        fprintf(stderr, "rank %d: %s\n", rank, dist_last_error());
    dist_finalize(context);
    return failed;
}

static dist_status fill(void *user, dist_pipeline_call *call)
{
    const int *fails = user;
    if (*fails && call->stage == ranks - 1 && call->microbatch == 2)
        return DIST_ERR_IO;
    if (call->output)
        memset(call->output, 0, call->output_bytes);
    if (call->input_gradient)
        memset(call->input_gradient, 0, call->input_gradient_bytes);
    return DIST_OK;
}

static dist_pipeline *open_pipeline(dist_context *context, int *fails)
{
    dist_pipeline_options options = DIST_PIPELINE_OPTIONS_INIT;
    dist_pipeline *pipeline = NULL;
    options.schedule = "1f1b";
    options.microbatches = 6;
    options.boundary_count = 100;
    options.forward = options.backward_input = fill;
    options.user = fails;
    if (dist_pipeline_create(context, &options, &pipeline) < 0)
        fprintf(stderr, "%s\n", dist_last_error());
    return pipeline;
}

/* Partners of a send-recv whose count is known are not asked about: one that does not come is waited for, and named. */
static int partner_that_does_not_come(void)
{
    float data[2] = {1, 2};
    dist_context *context = open_context();
    if (!context || dist_send_recv(context, data, (rank + 1) % ranks, data + 1, (rank + ranks - 1) % ranks, 1,
                                   DIST_FLOAT32, NULL) != DIST_OK)
        return 1;
    if (rank != 1)
        return 0; /* rank 2 does not send */
    const double began = MPI_Wtime();
    const int failed = expect_timeout(dist_send_recv(context, NULL, -1, data, 2, 1, DIST_FLOAT32, NULL),
                                      began, "RECV receive[0+4] from rank 2");
    dist_finalize(context);
    return failed;
}

/* Each rank says at which op of the schedule it waits, and for whom. */
static int rank_that_leaves_a_pipeline(void)
{
    dist_context *context = open_context();
    int fails = 0;
    dist_pipeline *pipeline = open_pipeline(context, &fails);
    if (!pipeline || dist_pipeline_step(pipeline) < 0)
        return 1;
    if (rank == ranks - 1)
        failing_leave(rank, ranks, 0);
    const double began = MPI_Wtime();
    int failed =
        expect_timeout(dist_pipeline_step(pipeline), began, rank == ranks - 2 ? "RECV B2.0" : "RECV B");
    if (!strstr(dist_last_error(), "from rank 3")) /* whoever waits for it, and all who heard that */
        failed = fprintf(stderr, "rank %d: %s\n", rank, dist_last_error()) > 0;
    dist_finalize(context);
    return failed;
}

static int stage_that_fails(void)
{
    dist_context *context = open_context();
    int fails = 1;
    dist_pipeline *pipeline = open_pipeline(context, &fails);
    if (!pipeline)
        return 1;
    const dist_status status = dist_pipeline_step(pipeline);
    const int failed = status != (rank == ranks - 1 ? DIST_ERR_IO : DIST_ERR_TIMEOUT) ||
                       !strstr(dist_last_error(), "forward of stage 3, microbatch 2, returned DIST_ERR_IO");
    if (failed)
        fprintf(stderr, "rank %d: %s: %s\n", rank, dist_status_name(status), dist_last_error());
    dist_finalize(context);
    return failed;
}

/* mpirun ends the job; what must not happen is that it stays. */
static int rank_that_dies(void)
{
    dist_context *context = open_context();
    static float data[100000];
    for (int i = 0; context && i < 1000; i++) {
        if (i == 20 && rank == ranks - 1)
            raise(SIGKILL);
        if (dist_all_reduce(context, DIST_IN_PLACE, data, 100000, DIST_FLOAT32, DIST_SUM, NULL) < 0)
            break;
    }
    sleep(60);
    return 0;
}

static const failing_case cases[] = {
    {"stays-away", rank_that_stays_away},
    {"never-prepares", rank_that_never_prepares},
    {"absent-partner", partner_that_does_not_come},
    {"elsewhere", rank_that_is_elsewhere},
    {"leaves-a-pipeline", rank_that_leaves_a_pipeline},
    {"failing-stage", stage_that_fails},
    {"dies", rank_that_dies},
};

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_arguments),
        cmocka_unit_test(test_other_gradients),
    };
    if (argc > 1)
        return failing_main(argc, argv, cases, sizeof cases / sizeof *cases, &rank, &ranks);
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
