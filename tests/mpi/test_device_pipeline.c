/* Pipelines whose stages queue their work on a stream and hand each other device memory. */
/* ranks: 1 2 4 */
/* sites: 1 2 */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "device.h"

static int rank, ranks;
static const dist_cuda *cuda;

enum { MICROBATCHES = 8, ROOM = 300, STEPS = 2, STAGES_MOST = 16 };

/* A stage adds its constants to what passes, in both directions; its gradient is the sum of all that it has seen. All values are
 * small integers, so that sums are exact. */
typedef struct job {
    dist_pipeline *pipeline;
    dist_pipeline_shape shape;
    void *stream;
    float *constant[STAGES_MOST];                     /* device */
    float *source[MICROBATCHES], *loss[MICROBATCHES]; /* device */
    float *stash[STAGES_MOST][MICROBATCHES][2];       /* device: input, gradient of the output */
    int live;
} job;

static size_t size_of(int microbatch)
{
    return (size_t)(ROOM - 37 * (microbatch % 5));
}

static float constant_at(int stage, size_t i)
{
    return (float)((stage * 3 + (int)i) % 7 - 3);
}

static float source_at(int replica, int microbatch, size_t i)
{
    return (float)((int)(i * 7 + (size_t)microbatch * 3 + (size_t)replica * 5) % 11 - 5);
}

static float loss_at(int microbatch, size_t i)
{
    return (float)((int)(i + (size_t)microbatch) % 3 - 1);
}

static size_t bytes_of(int microbatch)
{
    return size_of(microbatch) * sizeof(float);
}

/* to = from + constants */
static void queue_sum(const job *j, int stage, int microbatch, void *to, const void *from)
{
    assert_cuda(cuda->copy(to, from, bytes_of(microbatch), j->stream));
    assert_cuda(
        cuda->reduce(DIST_FLOAT32, DIST_CUDA_SUM, to, j->constant[stage], size_of(microbatch), j->stream));
}

static dist_status forward(void *user, dist_pipeline_call *c)
{
    job *j = user;
    float **kept = j->stash[c->stage][c->microbatch];
    const void *input = c->stage == 0 ? j->source[c->microbatch] : c->input;
    assert_true(c->stage == 0 || c->input_bytes >= bytes_of(c->microbatch));
    assert_cuda(cuda->copy(kept[0], input, bytes_of(c->microbatch), j->stream));
    if (c->output) {
        queue_sum(j, c->stage, c->microbatch, c->output, input);
        c->output_bytes = bytes_of(c->microbatch);
    }
    j->live++;
    *c->stash = kept;
    return DIST_OK;
}

static dist_status backward_input(void *user, dist_pipeline_call *c)
{
    job *j = user;
    float **kept = *c->stash;
    const void *gradient = c->output_gradient ? c->output_gradient : j->loss[c->microbatch];
    assert_cuda(cuda->copy(kept[1], gradient, bytes_of(c->microbatch), j->stream));
    if (c->input_gradient)
        queue_sum(j, c->stage, c->microbatch, c->input_gradient, gradient);
    return DIST_OK;
}

static dist_status backward_weight(void *user, dist_pipeline_call *c)
{
    job *j = user;
    float **kept = *c->stash, *to = dist_pipeline_gradient(j->pipeline, c->stage, 0);
    if (c->first)
        assert_cuda(cuda->zero(to, ROOM * sizeof(float), j->stream));
    for (int k = 0; k < 2; k++)
        assert_cuda(
            cuda->reduce(DIST_FLOAT32, DIST_CUDA_SUM, to, kept[k], size_of(c->microbatch), j->stream));
    return DIST_OK;
}

static dist_status backward(void *user, dist_pipeline_call *c)
{
    const dist_status status = backward_input(user, c);
    return status < 0 ? status : backward_weight(user, c);
}

static dist_status release(void *user, dist_pipeline_call *c)
{
    (void)c;
    ((job *)user)->live--;
    return DIST_OK;
}

static float expected(const job *j, int stage, size_t i)
{
    float sum = 0;
    for (int r = 0; r < j->shape.replicas; r++)
        for (int m = 0; m < MICROBATCHES; m++) {
            if (i >= size_of(m))
                continue;
            sum += source_at(r, m, i) + loss_at(m, i);
            for (int s = 0; s < j->shape.stages; s++)
                sum += s == stage ? 0 : constant_at(s, i);
        }
    return sum;
}

static float *device_vector(float (*at)(int, size_t), int number)
{
    float value[ROOM];
    for (size_t i = 0; i < ROOM; i++)
        value[i] = at(number, i);
    return device_new(cuda, value, sizeof value);
}

static void open_job(dist_context *context, job *j, dist_pipeline_options options)
{
    const dist_parameter parameter = {"w", NULL, ROOM, DIST_FLOAT32, 0};
    dist_data_parallel_options sums = DIST_DATA_PARALLEL_OPTIONS_INIT;
    float source[ROOM];
    sums.reduction = DIST_SUM;
    sums.memory = DIST_MEMORY_CUDA;
    assert_cuda(cuda->stream_create(&j->stream, 0));
    options.user = j;
    options.stream = j->stream;
    if (dist_pipeline_create(context, &options, &j->pipeline) < 0)
        fail_msg("%s %s: %s", options.mesh, options.schedule, dist_last_error());
    assert_dist(dist_pipeline_shape_get(j->pipeline, &j->shape));
    assert_true(j->shape.stages <= STAGES_MOST);
    for (int m = 0; m < MICROBATCHES; m++) {
        for (size_t i = 0; i < ROOM; i++)
            source[i] = source_at(j->shape.replica, m, i);
        j->source[m] = device_new(cuda, source, sizeof source);
        j->loss[m] = device_vector(loss_at, m);
    }
    for (int l = 0; l < j->shape.local; l++) {
        const int stage = dist_pipeline_stage(j->pipeline, l);
        assert_dist(dist_pipeline_register(j->pipeline, stage, &parameter, 1, &sums));
        j->constant[stage] = device_vector(constant_at, stage);
        for (int m = 0; m < MICROBATCHES; m++)
            for (int k = 0; k < 2; k++)
                j->stash[stage][m][k] = device_new(cuda, NULL, ROOM * sizeof(float));
    }
}

static void close_job(job *j)
{
    for (int m = 0; m < MICROBATCHES; m++) {
        cuda->release(j->source[m]);
        cuda->release(j->loss[m]);
    }
    for (int l = 0; l < j->shape.local; l++) {
        const int stage = dist_pipeline_stage(j->pipeline, l);
        cuda->release(j->constant[stage]);
        for (int m = 0; m < MICROBATCHES; m++)
            for (int k = 0; k < 2; k++)
                cuda->release(j->stash[stage][m][k]);
    }
    assert_dist(dist_pipeline_destroy(j->pipeline));
    cuda->stream_destroy(j->stream);
}

/* How many gradients are wrong. */
static size_t check(const job *j)
{
    size_t wrong = 0;
    for (int l = 0; l < j->shape.local; l++) {
        const int stage = dist_pipeline_stage(j->pipeline, l);
        float *const found = device_pin(cuda, ROOM * sizeof(float));
        assert_cuda(cuda->copy(found, dist_pipeline_gradient(j->pipeline, stage, 0), ROOM * sizeof(float),
                               j->stream));
        assert_cuda(cuda->synchronize(j->stream));
        for (size_t i = 0; i < ROOM; i++)
            wrong += found[i] != expected(j, stage, i);
        cuda->unpin(found);
    }
    return wrong;
}

static size_t run(dist_context *context, const char *mesh, const char *schedule, const char *codec,
                  bool split)
{
    job j = {0};
    size_t wrong = 0;
    dist_pipeline_options options = DIST_PIPELINE_OPTIONS_INIT;
    options.mesh = mesh;
    options.schedule = schedule;
    options.codec = codec;
    options.microbatches = MICROBATCHES;
    options.boundary_count = ROOM;
    options.memory = DIST_MEMORY_CUDA;
    options.forward = forward;
    options.backward_input = split ? backward_input : backward;
    options.backward_weight = split ? backward_weight : NULL;
    options.release = release;
    open_job(context, &j, options);
    for (int step = 0; step < STEPS; step++) {
        if (dist_pipeline_step(j.pipeline) < 0)
            fail_msg("%s %s: %s", mesh, schedule, dist_last_error());
        wrong += check(&j);
        assert_int_equal(j.live, 0);
    }
    if (wrong)
        print_error("rank %d: %s %s: %zu gradients are wrong\n", rank, mesh ? mesh : "", schedule, wrong);
    close_job(&j);
    return wrong;
}

typedef struct kind_of_schedule {
    const char *name;
    bool split;
} kind_of_schedule;

static dist_context *open_context(void)
{
    dist_context *context = NULL;
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT; /* the launcher names the sites */
    options.timeout = 20;
    assert_dist(dist_init_mpi(&context, MPI_COMM_WORLD, &options));
    return context;
}

static void test_schedules(void **state)
{
    static const kind_of_schedule schedules[] = {
        {"gpipe", false},    {"1f1b", false}, {"interleaved:v=2", false},
        {"wan-1f1b", false}, {"zb-h1", true}, {"zb-v", true}};
    char mesh[2][32];
    (void)state;
    snprintf(mesh[0], sizeof mesh[0], "pp:%d", ranks);
    snprintf(mesh[1], sizeof mesh[1], "dp:%d,pp:%d", ranks > 1 ? 2 : 1, ranks > 1 ? ranks / 2 : 1);
    for (int kind = DEVICE_SHARED; kind <= DEVICE_NCCL; kind++) {
        if (!device_set((device_kind)kind))
            continue;
        dist_context *context = open_context();
        for (int m = 0; m < (ranks > 1 ? 2 : 1); m++)
            for (size_t s = 0; s < sizeof schedules / sizeof *schedules; s++)
                assert_int_equal(run(context, mesh[m], schedules[s].name, NULL, schedules[s].split), 0);
        assert_dist(dist_finalize(context));
    }
}

/* Small integers come through bf16 as they are. */
static void test_codecs(void **state)
{
    (void)state;
    for (int kind = DEVICE_SHARED; kind <= DEVICE_NCCL; kind++) {
        if (!device_set((device_kind)kind))
            continue;
        dist_context *context = open_context();
        assert_int_equal(run(context, NULL, "1f1b", "bf16", false), 0);
        assert_int_equal(run(context, NULL, "zb-v", "bf16", true), 0);
        assert_dist(dist_finalize(context));
    }
}

/* Each op has a range for a profiler, the program's functions too, and each range its end. */
static void test_ranges(void **state)
{
    void (*count)(uint64_t *, uint64_t *);
    uint64_t begun, ended, before;
    (void)state;
    if (device_is_real())
        skip();
    void *const symbol = dlsym(dlopen(FAKE_CUDA_PLUGIN, RTLD_NOW), "fake_cuda_ranges");
    memcpy(&count, &symbol, sizeof count);
    device_set(DEVICE_SHARED);
    setenv("FAKE_CUDA_RANGES", "1", 1);
    dist_context *context = open_context();
    count(&before, &ended);
    assert_int_equal(run(context, NULL, "1f1b", NULL, false), 0);
    assert_dist(dist_finalize(context));
    unsetenv("FAKE_CUDA_RANGES");
    count(&begun, &ended);
    assert_int_equal(begun, ended);
    assert_true(begun - before >= (uint64_t)2 * STEPS * MICROBATCHES); /* forward and backward */
}

/* A test of these tests. */
static void test_missing_events_are_found(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__ /* which finds them at once */
    skip();
#endif
    if (device_is_real() || ranks == 1)
        skip();
    device_set(DEVICE_SHARED);
    dist_context *context = open_context();
    setenv("FAKE_CUDA_DROP_WAIT", "all", 1);
    setenv("FAKE_CUDA_DELAY_US", "3000", 1);
    double wrong = (double)run(context, NULL, "1f1b", NULL, false);
    unsetenv("FAKE_CUDA_DROP_WAIT");
    unsetenv("FAKE_CUDA_DELAY_US");
    assert_dist(dist_reduce_scalars(context, &wrong, 1, DIST_SUM));
    assert_true(wrong > 0);
    assert_dist(dist_finalize(context));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_schedules), cmocka_unit_test(test_codecs),
                                       cmocka_unit_test(test_ranges),
                                       cmocka_unit_test(test_missing_events_are_found)};
    device_set(DEVICE_SHARED);
    if (!(cuda = device_table()))
        return 1;
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
