/* What goes wrong with devices: every rank gets a status and a sentence within the deadline, and no stream waits for ever. */
/* ranks: 2 4 */
#define _DEFAULT_SOURCE /* setenv, usleep */

#include "device.h"
#include "failing.h"

static int rank, ranks;
static const dist_cuda *cuda;

enum { COUNT = 200000 };

static dist_context *open_context(void)
{
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    options.timeout = DEADLINE;
    return harness_context(2, 0, options);
}

/* Some ranks hand in device memory, some host memory: all are told, and the context goes on. */
static void test_other_memory(void **state)
{
    float host[64] = {0};
    (void)state;
    device_set(DEVICE_SHARED);
    dist_context *context = harness_context(2, 0,
                                            (dist_context_options){.size = sizeof(dist_context_options),
                                                                   .version = DIST_CONTEXT_OPTIONS_VERSION});
    assert_non_null(context);
    float *const device = device_new(cuda, host, sizeof host);
    for (size_t count = 64; count > 16; count /= 2) { /* before devices are in use, and after */
        const dist_status status = dist_all_reduce(context, DIST_IN_PLACE, rank == ranks - 1 ? host : device,
                                                   count, DIST_FLOAT32, DIST_SUM, NULL);
        if (status != DIST_ERR_MISMATCH || !strstr(dist_last_error(), "device"))
            print_error("%s: %s\n", dist_status_name(status), dist_last_error());
        assert_int_equal(status, DIST_ERR_MISMATCH);
        assert_non_null(strstr(dist_last_error(), "device"));
        assert_dist(dist_all_reduce(context, DIST_IN_PLACE, device, count, DIST_FLOAT32, DIST_SUM, NULL));
        assert_dist(dist_all_reduce(context, DIST_IN_PLACE, host, count, DIST_FLOAT32, DIST_SUM, NULL));
    }
    cuda->release(device);
    assert_dist(dist_finalize(context));
}

/* A model that takes steps on the device until a call fails. */
typedef struct model {
    dist_context *context;
    dist_data_parallel *dp;
    void *stream;
} model;

static int open_model(model *m, device_kind kind)
{
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    const dist_parameter parameter = {.name = "p", .count = COUNT, .type = DIST_FLOAT32};
    options.memory = DIST_MEMORY_CUDA;
    options.codec = "int8";
    device_set(kind);
    m->context = open_context();
    if (!m->context || cuda->stream_create(&m->stream, 0) != 0)
        return 1;
    return dist_data_parallel_create(m->context, &parameter, 1, &options, &m->dp) < 0;
}

static dist_status step(model *m)
{
    const dist_status status = dist_data_parallel_ready(m->dp, 0, m->stream);
    return status < 0 ? status : dist_data_parallel_wait(m->dp, m->stream);
}

/* Steps until one fails; *began is when the last one that did not had been queued. */
static dist_status steps(model *m, int most, double *began)
{
    dist_status status = DIST_OK;
    for (int i = 0; i < most && status >= 0; i++) {
        *began = MPI_Wtime();
        status = step(m);
    }
    return status;
}

/* The last rank's own library says what is wrong, and all others hear of it. */
static int expect_error(model *m, dist_status wanted, const char *word)
{
    double began;
    const dist_status status = steps(m, 1000, &began);
    if (rank == ranks - 1)
        return failing_expect(rank, status, wanted, began, word);
    if (status == DIST_ERR_TIMEOUT && strstr(dist_last_error(), word))
        return 0;
    fprintf(stderr, "rank %d: %s: '%s' should name '%s'\n", rank, dist_status_name(status), dist_last_error(),
            word);
    return 1;
}

static int copy_that_fails(void)
{
    model m;
    if (rank == ranks - 1)
        setenv("FAKE_CUDA_FAIL", "copy:100:719", 1);
    return open_model(&m, DEVICE_SHARED) || expect_error(&m, DIST_ERR_CUDA, "CUDA error 719");
}

/* A kernel of the program's leaves its memory. */
static int kernel_that_fails(void)
{
    model m;
    double began;
    if (open_model(&m, DEVICE_SHARED) || steps(&m, 5, &began) < 0)
        return 1;
    cuda->synchronize(m.stream);
    MPI_Barrier(MPI_COMM_WORLD); /* nobody is in the first steps still */
    if (rank == ranks - 1)
        cuda->reduce(DIST_FLOAT32, DIST_CUDA_SUM, m.dp, m.context, 8, m.stream);
    return expect_error(&m, DIST_ERR_CUDA, "CUDA error 700");
}

/* A stream of the program's that never comes to where the gradient is ready. */
static int stream_that_stands(void)
{
    model m;
    double began = MPI_Wtime();
    uint32_t *const word = device_pin(cuda, sizeof *word);
    if (open_model(&m, DEVICE_SHARED) || steps(&m, 3, &began) < 0)
        return 1;
    *word = 0;
    if (rank == ranks - 1)
        cuda->stream_wait_value(m.stream, word, 1);
    const dist_status status = steps(&m, 10, &began);
    return failing_expect(rank, status, DIST_ERR_TIMEOUT, began, "waits for the program's streams");
}

static dist_status never_called(void *user, dist_pipeline_call *call)
{
    (void)user;
    (void)call;
    return DIST_ERR_STATE;
}

/* The streams of the others go on, with gradients that mean nothing. */
static int rank_that_stays_away(void)
{
    model m;
    double began;
    if (open_model(&m, DEVICE_SHARED) || steps(&m, 3, &began) < 0)
        return 1;
    if (rank == ranks - 1)
        failing_leave(rank, ranks, 0);
    const dist_status status = steps(&m, 10, &began);
    int failed = failing_expect(rank, status, DIST_ERR_TIMEOUT, began, "waits at op");
    failed |= cuda->synchronize(m.stream) != 0;
    failed |= dist_data_parallel_ready(m.dp, 0, m.stream) >= 0; /* every call says so from now on */
    dist_data_parallel_destroy(m.dp);
    dist_finalize(m.context);
    return failed;
}

/* One rank has no device: all are told at once, and the context goes on. */
static int rank_without_device(void)
{
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    dist_pipeline_options pipeline = DIST_PIPELINE_OPTIONS_INIT;
    const dist_parameter parameter = {.name = "p", .count = COUNT, .type = DIST_FLOAT32};
    dist_data_parallel *dp = NULL;
    dist_pipeline *pp = NULL;
    double sum = 1, began;
    char word[64];
    options.memory = pipeline.memory = DIST_MEMORY_CUDA;
    pipeline.microbatches = 1;
    pipeline.boundary_count = 1;
    pipeline.forward = pipeline.backward_input = never_called;
    snprintf(word, sizeof word, "rank %d cannot use its device: CUDA is switched off", ranks - 1);
    if (rank == ranks - 1)
        setenv("DIST_CUDA", "off", 1);
    dist_context *context = open_context();
    if (!context)
        return 1;
    began = MPI_Wtime();
    int failed = failing_expect(rank, dist_data_parallel_create(context, &parameter, 1, &options, &dp),
                                DIST_ERR_UNSUPPORTED, began, word);
    failed |= failing_expect(rank, dist_pipeline_create(context, &pipeline, &pp), DIST_ERR_UNSUPPORTED, began,
                             word);
    failed |= dist_reduce_scalars(context, &sum, 1, DIST_SUM) != DIST_OK || sum != ranks;
    return failed;
}

/* A communicator that goes wrong on one rank. */
static int nccl_that_breaks(void)
{
    model m;
    if (rank == ranks - 1)
        setenv("FAKE_NCCL_BREAK", "12", 1);
    return open_model(&m, DEVICE_NCCL) ||
           expect_error(&m, DIST_ERR_NCCL, "connection closed by remote peer") ||
           cuda->synchronize(m.stream) != 0;
}

/* One whose kernels never end, and that says nothing: only the deadline helps. After it nothing is left on the device that the
 * program would wait for when it frees its memory. */
static int nccl_that_stands(void)
{
    model m;
    double began = MPI_Wtime();
    void *const memory = device_new(cuda, NULL, COUNT);
    setenv("FAKE_NCCL_LOSE", "1", 1);
    if (open_model(&m, DEVICE_NCCL))
        return 1;
    const dist_status status = steps(&m, 10, &began);
    if (failing_expect(rank, status, DIST_ERR_TIMEOUT, began, "NATIVE team") ||
        cuda->synchronize(m.stream) != 0)
        return 1;
    setenv("FAKE_CUDA_FREE_WAITS", "1", 1);
    return cuda->release(memory) != 0;
}

static const failing_case cases[] = {
    {"copy-fails", copy_that_fails},       {"kernel-fails", kernel_that_fails},
    {"stream-stands", stream_that_stands}, {"stays-away", rank_that_stays_away},
    {"nccl-breaks", nccl_that_breaks},     {"nccl-stands", nccl_that_stands},
    {"no-device", rank_without_device},
};

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_other_memory)};
    device_set(DEVICE_SHARED);
    if (!(cuda = device_table()))
        return 1;
    if (argc > 1)
        return failing_main(argc, argv, cases, sizeof cases / sizeof *cases, &rank, &ranks);
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
