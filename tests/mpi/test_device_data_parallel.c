/* Data parallel with gradients in device memory: the bits of host memory, in the order of streams, and a host that never waits. */
/* ranks: 1 2 4 */
#define _DEFAULT_SOURCE /* setenv, usleep */

#include <pthread.h>
#include <unistd.h>

#include "device.h"

static int rank, ranks;
static const dist_cuda *cuda;

enum { PARAMETERS = 6, STEPS = 5 };
static const size_t counts[PARAMETERS] = {1000, 1, 0, 40990, 131072, 17};

/* A model on the device, its twin on the host, and what each step writes and finds. */
typedef struct twins {
    dist_context *context;
    dist_data_parallel *device, *host;
    float *own[PARAMETERS];            /* gradients on the device that are the program's */
    float *written[STEPS][PARAMETERS]; /* pinned */
    float *found[STEPS][PARAMETERS];   /* pinned */
    float *wanted[STEPS][PARAMETERS];  /* by the twin */
    void *stream[2], *event;
    int steps;
} twins;

static dist_data_parallel *create(twins *t, bool on_device, bool own, dist_data_parallel_options options)
{
    dist_data_parallel *made = NULL;
    dist_parameter parameter[PARAMETERS];
    for (int i = 0; i < PARAMETERS; i++) {
        const bool given = on_device && own;
        if (given)
            t->own[i] = device_new(cuda, NULL, counts[i] * sizeof(float));
        parameter[i] = (dist_parameter){.name = "p",
                                        .gradient = given ? t->own[i] : NULL,
                                        .count = counts[i],
                                        .type = DIST_FLOAT32,
                                        .rows = i == 4 ? 256 : 0};
    }
    options.memory = on_device && !own ? DIST_MEMORY_CUDA : DIST_MEMORY_AUTO;
    assert_dist(dist_data_parallel_create(t->context, parameter, PARAMETERS, &options, &made));
    return made;
}

static dist_data_parallel_options options_of(const char *codec)
{
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    options.algo = "hier";
    options.codec = codec;
    options.bucket_bytes = 300000;
    options.first_bucket_bytes = 5000;
    return options;
}

static void open_twins(twins *t, int sites, const char *codec, bool own, bool exact)
{
    dist_context_options context = DIST_CONTEXT_OPTIONS_INIT;
    *t = (twins){.context = harness_context(sites, 0, context), .steps = STEPS};
    assert_non_null(t->context);
    t->device = create(t, true, own, options_of(codec));
    t->host = create(t, false, false, options_of(codec));
    for (int k = 0; k < 2; k++)
        assert_cuda(cuda->stream_create(&t->stream[k], 0));
    assert_cuda(cuda->event_create(&t->event));
    for (int s = 0; s < STEPS; s++)
        for (int i = 0; i < PARAMETERS; i++) {
            t->written[s][i] = device_pin(cuda, counts[i] * sizeof(float));
            t->found[s][i] = device_pin(cuda, counts[i] * sizeof(float));
            t->wanted[s][i] = malloc(counts[i] * sizeof(float) + 1);
            device_values(t->written[s][i], counts[i], rank + 10 * s + 100 * i, exact);
        }
}

static void close_twins(twins *t)
{
    assert_dist(dist_data_parallel_destroy(t->device));
    assert_dist(dist_data_parallel_destroy(t->host));
    assert_dist(dist_finalize(t->context));
    for (int k = 0; k < 2; k++)
        cuda->stream_destroy(t->stream[k]);
    cuda->event_destroy(t->event);
    for (int i = 0; i < PARAMETERS; i++)
        if (t->own[i])
            cuda->release(t->own[i]);
    for (int s = 0; s < STEPS; s++)
        for (int i = 0; i < PARAMETERS; i++) {
            cuda->unpin(t->written[s][i]);
            cuda->unpin(t->found[s][i]);
            free(t->wanted[s][i]);
        }
}

/* A step as a program queues it: gradients come on two streams, averages are read on one. Nothing waits here. */
static dist_status queue_step(twins *t, int step)
{
    assert_cuda(cuda->stream_wait_event(t->stream[1],
                                        t->event)); /* the step before has read what is written over now */
    for (int n = 0; n < PARAMETERS; n++) {
        const int i = (n * 5 + rank + step) % PARAMETERS;
        void *const stream = t->stream[i % 2];
        assert_cuda(cuda->copy(dist_data_parallel_gradient(t->device, (size_t)i), t->written[step][i],
                               counts[i] * sizeof(float), stream));
        const dist_status status = dist_data_parallel_ready(t->device, (size_t)i, stream);
        if (status != DIST_OK)
            return status;
    }
    const dist_status status = dist_data_parallel_wait(t->device, t->stream[0]);
    for (int i = 0; i < PARAMETERS && status == DIST_OK; i++)
        assert_cuda(cuda->copy(t->found[step][i], dist_data_parallel_gradient(t->device, (size_t)i),
                               counts[i] * sizeof(float), t->stream[0]));
    assert_cuda(cuda->event_record(t->event, t->stream[0]));
    return status;
}

static void step_on_host(twins *t, int step)
{
    for (int i = 0; i < PARAMETERS; i++) {
        memcpy(dist_data_parallel_gradient(t->host, (size_t)i), t->written[step][i],
               counts[i] * sizeof(float));
        assert_dist(dist_data_parallel_ready(t->host, (size_t)i, NULL));
    }
    assert_dist(dist_data_parallel_wait(t->host, NULL));
    for (int i = 0; i < PARAMETERS; i++)
        memcpy(t->wanted[step][i], dist_data_parallel_gradient(t->host, (size_t)i),
               counts[i] * sizeof(float));
}

static size_t differences(const twins *t, int steps)
{
    size_t different = 0;
    for (int s = 0; s < steps; s++)
        for (int i = 0; i < PARAMETERS; i++)
            for (size_t k = 0; k < counts[i]; k++)
                different += memcmp(&t->found[s][i][k], &t->wanted[s][i][k], sizeof(float)) != 0;
    return different;
}

static size_t run(twins *t)
{
    for (int step = 0; step < STEPS; step++)
        assert_dist(queue_step(t, step));
    assert_cuda(cuda->synchronize(t->stream[0]));
    for (int step = 0; step < STEPS; step++)
        step_on_host(t, step);
    return differences(t, STEPS);
}

static void test_averages(void **state)
{
    static const char *const codecs[] = {"none", "int8:ef=fp32", "int4", "mxfp4", "powersgd:rank=2:dense=2"};
    (void)state;
    for (int kind = DEVICE_SHARED; kind <= DEVICE_NCCL; kind++)
        for (int sites = 1; sites <= 2 && sites <= ranks; sites++)
            for (size_t c = 0; c < (sites == 1 ? 1 : sizeof codecs / sizeof *codecs); c++) {
                twins t;
                if (!device_set((device_kind)kind))
                    continue;
                open_twins(&t, sites, codecs[c], c % 2, kind == DEVICE_NCCL);
                const size_t different = run(&t);
                if (different)
                    print_error("%s on %d sites: %zu gradients differ\n", codecs[c], sites, different);
                assert_int_equal(different, 0);
                close_twins(&t);
            }
}

/* After the first steps nothing is allocated and the host never waits for the device. */
static void test_the_host_never_waits(void **state)
{
    dist_cuda_counts before, after;
    twins t;
    (void)state;
    for (int kind = DEVICE_SHARED; kind <= DEVICE_NCCL; kind++) {
        if (!device_set((device_kind)kind))
            continue;
        open_twins(&t, ranks > 1 ? 2 : 1, "int8:ef=fp32", true, true);
        assert_dist(queue_step(&t, 0));
        cuda->counts(&before);
        for (int again = 0; again < 4; again++)
            for (int step = 0; step < STEPS; step++)
                assert_dist(queue_step(&t, step));
        cuda->counts(&after);
        assert_cuda(cuda->synchronize(t.stream[0]));
        assert_int_equal(after.synchronizations - before.synchronizations, 0);
        assert_int_equal(after.allocations - before.allocations, 0);
        assert_true(after.records > before.records && after.copies > before.copies);
        close_twins(&t);
    }
}

/* Figures that are asked for in mid-step are those of the step before, whatever of the new one has ended. */
static void test_figures_in_mid_step(void **state)
{
    twins t;
    dist_data_parallel_stats first, second;
    (void)state;
    device_set(DEVICE_SHARED);
    open_twins(&t, ranks > 1 ? 2 : 1, "int8", true, false);
    assert_dist(queue_step(&t, 0));
    assert_cuda(cuda->synchronize(t.stream[0]));
    assert_dist(dist_data_parallel_stats_get(t.device, &first));
    assert_true(first.buckets > 1);
    assert_dist(queue_step(&t, 1));
    assert_cuda(cuda->synchronize(t.stream[0]));
    assert_dist(dist_data_parallel_ready(t.device, PARAMETERS - 1, t.stream[0])); /* a bucket of its own */
    usleep(20000);
    assert_dist(dist_data_parallel_stats_get(t.device, &second));
    assert_int_equal(first.steps, 1);
    assert_int_equal(second.steps, 2);
    assert_int_equal(first.bytes_inside, second.bytes_inside);
    assert_int_equal(first.bytes_across, second.bytes_across);
    for (size_t i = 0; i + 1 < PARAMETERS; i++)
        assert_dist(dist_data_parallel_ready(t.device, i, t.stream[0]));
    assert_dist(dist_data_parallel_wait(t.device, t.stream[0]));
    assert_cuda(cuda->synchronize(t.stream[0]));
    close_twins(&t);
}

/* Feedback goes on from a checkpoint as if nothing had been. */
static void test_state(void **state)
{
    twins t;
    (void)state;
    device_set(DEVICE_SHARED);
    open_twins(&t, ranks > 1 ? 2 : 1, "int4", false, false);
    for (int step = 0; step < 2; step++) {
        assert_dist(queue_step(&t, step));
        step_on_host(&t, step);
    }
    assert_cuda(cuda->synchronize(t.stream[0]));
    const uint64_t bytes = dist_data_parallel_state_bytes(t.device);
    assert_int_equal(bytes, dist_data_parallel_state_bytes(t.host));
    void *saved = malloc(bytes + 1), *twin = malloc(bytes + 1);
    assert_dist(dist_data_parallel_state_save(t.device, saved, bytes));
    assert_dist(dist_data_parallel_state_save(t.host, twin, bytes));
    assert_memory_equal(saved, twin, bytes);
    assert_dist(queue_step(&t, 2)); /* and back */
    assert_cuda(cuda->synchronize(t.stream[0]));
    assert_dist(dist_data_parallel_state_load(t.device, (const void *const *)&saved, &bytes, 1));
    for (int step = 2; step < STEPS; step++) {
        assert_dist(queue_step(&t, step));
        step_on_host(&t, step);
    }
    assert_cuda(cuda->synchronize(t.stream[0]));
    assert_int_equal(differences(&t, STEPS), 0);
    close_twins(&t);
    free(saved);
    free(twin);
}

static void test_replicas(void **state)
{
    bool identical = false;
    uint64_t hash = 0, host = 0;
    float values[5000];
    (void)state;
    device_set(DEVICE_SHARED);
    dist_context *context = harness_context(1, 0, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT);
    device_values(values, 5000, 0, false);
    float *const device = device_new(cuda, values, sizeof values);
    assert_dist(dist_replicas_identical(context, device, sizeof values, &identical, &hash));
    assert_true(identical);
    assert_dist(dist_replicas_identical(context, values, sizeof values, &identical, &host));
    assert_true(hash == host);
    cuda->release(device);
    assert_dist(dist_finalize(context));
}

/* Gradients on the host that a device reaches. */
static void test_pinned(void **state)
{
    dist_data_parallel_options options = options_of("none");
    const dist_parameter parameter = {.name = "p", .count = 5000, .type = DIST_FLOAT32};
    dist_data_parallel *dp = NULL;
    (void)state;
    device_set(DEVICE_SHARED);
    dist_context *context = harness_context(1, 0, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT);
    options.memory = DIST_MEMORY_PINNED;
    assert_dist(dist_data_parallel_create(context, &parameter, 1, &options, &dp));
    float *const gradient = dist_data_parallel_gradient(dp, 0);
    assert_int_equal(dist_memory_of(gradient), DIST_MEMORY_PINNED);
    for (size_t i = 0; i < 5000; i++) {
        assert_true(gradient[i] == 0);
        gradient[i] = (float)rank;
    }
    assert_dist(dist_data_parallel_ready(dp, 0, NULL));
    assert_dist(dist_data_parallel_wait(dp, NULL));
    for (size_t i = 0; i < 5000; i++)
        assert_true(gradient[i] == (float)(ranks - 1) / 2);
    assert_dist(dist_data_parallel_destroy(dp));
    assert_dist(dist_finalize(context));
}

/* What a program may do wrong. */
static void test_mistakes(void **state)
{
    twins t;
    int other = 0;
    (void)state;
    device_set(DEVICE_SHARED);
    open_twins(&t, 1, "none", true, true);
    assert_int_equal(dist_data_parallel_ready(t.host, 0, &other), DIST_ERR_ARGUMENT);
    assert_dist(dist_data_parallel_ready(t.device, 0, t.stream[0]));
    assert_int_equal(dist_data_parallel_ready(t.device, 0, t.stream[0]), DIST_ERR_STATE);
    assert_int_equal(dist_data_parallel_wait(t.device, t.stream[0]), DIST_ERR_STATE);
    for (size_t i = 1; i < PARAMETERS; i++)
        assert_dist(dist_data_parallel_ready(t.device, i, t.stream[0]));
    assert_dist(dist_data_parallel_wait(t.device, t.stream[0]));
    assert_cuda(cuda->synchronize(t.stream[0]));
    dist_parameter mixed[2] = {{.name = "a", .gradient = t.own[0], .count = 10, .type = DIST_FLOAT32},
                               {.name = "b", .gradient = t.wanted[0][0], .count = 10, .type = DIST_FLOAT32}};
    dist_data_parallel *none = NULL;
    assert_int_equal(dist_data_parallel_create(t.context, mixed, 2, NULL, &none), DIST_ERR_ARGUMENT);
    assert_non_null(strstr(dist_last_error(), "memory"));
    close_twins(&t);
}

/* ---- with the fake only ---- */

static void *fake_function(const char *name)
{
    void *const symbol = dlsym(dlopen(FAKE_CUDA_PLUGIN, RTLD_NOW), name);
    assert_non_null(symbol);
    return symbol;
}

static void capture(void *stream, int capturing)
{
    void *const symbol = fake_function("fake_cuda_capture");
    void (*call)(void *, int);
    memcpy(&call, &symbol, sizeof call);
    call(stream, capturing);
}

/* Each op has a range for a profiler, and each range its end. */
static void test_ranges(void **state)
{
    uint64_t begun = 0, ended = 0, before = 0;
    void (*count)(uint64_t *, uint64_t *);
    twins t;
    (void)state;
    if (device_is_real())
        skip();
    void *const symbol = fake_function("fake_cuda_ranges");
    memcpy(&count, &symbol, sizeof count);
    device_set(DEVICE_SHARED);
    setenv("FAKE_CUDA_RANGES", "1", 1);
    count(&before, &ended);
    assert_int_equal(before, ended);
    open_twins(&t, ranks > 1 ? 2 : 1, "int8", true, false);
    assert_int_equal(run(&t), 0);
    close_twins(&t);
    unsetenv("FAKE_CUDA_RANGES");
    count(&begun, &ended);
    assert_int_equal(begun, ended);
    assert_true(ranks == 1 || begun > before);
}

static void test_capture_is_refused(void **state)
{
    twins t;
    (void)state;
    if (device_is_real())
        skip();
    device_set(DEVICE_SHARED);
    open_twins(&t, 1, "none", true, true);
    capture(t.stream[0], 1);
    assert_int_equal(dist_data_parallel_ready(t.device, 0, t.stream[0]), DIST_ERR_STATE);
    assert_non_null(strstr(dist_last_error(), "graph"));
    capture(t.stream[0], 0);
    for (size_t i = 0; i < PARAMETERS; i++)
        assert_dist(dist_data_parallel_ready(t.device, i, t.stream[0]));
    capture(t.stream[0], 1);
    assert_int_equal(dist_data_parallel_wait(t.device, t.stream[0]), DIST_ERR_STATE);
    capture(t.stream[0], 0);
    assert_dist(dist_data_parallel_wait(t.device, t.stream[0]));
    assert_cuda(cuda->synchronize(t.stream[0]));
    close_twins(&t);
}

/* A handle that means another stream in each thread: cudaStreamPerThread. */
static void *const per_thread = (void *)2;

typedef struct writing {
    twins *t;
    size_t i;
    uint32_t *word; /* the stream waits for it first */
    dist_status status;
} writing;

static void *write_in_a_thread(void *argument)
{
    writing *w = argument;
    int error = w->word ? cuda->stream_wait_value(per_thread, w->word, 1) : 0;
    error |= cuda->copy(dist_data_parallel_gradient(w->t->device, w->i), w->t->written[0][w->i],
                        counts[w->i] * sizeof(float), per_thread);
    w->status = error ? DIST_ERR_CUDA : dist_data_parallel_ready(w->t->device, w->i, per_thread);
    return NULL;
}

static void test_streams_of_threads(void **state)
{
    twins t;
    uint32_t *word;
    (void)state;
    device_set(DEVICE_SHARED);
    open_twins(&t, 1, "none", true, true);
    word = device_pin(cuda, sizeof *word);
    *word = 0;
    for (size_t i = 0; i < PARAMETERS; i++) {
        pthread_t thread;
        writing w = {.t = &t, .i = i, .word = i == 0 ? word : NULL};
        assert_int_equal(pthread_create(&thread, NULL, write_in_a_thread, &w), 0);
        pthread_join(thread, NULL);
        assert_int_equal(w.status, DIST_OK);
    }
    usleep(20000); /* all others would be averaged by now */
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    assert_dist(dist_data_parallel_wait(t.device, t.stream[0]));
    for (int i = 0; i < PARAMETERS; i++)
        assert_cuda(cuda->copy(t.found[0][i], dist_data_parallel_gradient(t.device, (size_t)i),
                               counts[i] * sizeof(float), t.stream[0]));
    assert_cuda(cuda->synchronize(t.stream[0]));
    step_on_host(&t, 0);
    assert_int_equal(differences(&t, 1), 0);
    cuda->unpin(word);
    close_twins(&t);
}

/* What a stream waits for may still be under way when memory is allocated and freed, where CUDA may wait for all streams. */
static void test_the_end_comes_at_once(void **state)
{
    twins t;
    (void)state;
    if (device_is_real())
        skip();
    device_set(DEVICE_SHARED);
    setenv("FAKE_CUDA_FREE_WAITS", "1", 1);
    setenv("FAKE_CUDA_DELAY_US", "3000", 1);
    for (int again = 0; again < 3; again++) {
        open_twins(&t, ranks > 1 ? 2 : 1, again ? "none" : "int8", again % 2, false);
        for (size_t i = PARAMETERS; i-- > 0;)
            assert_dist(dist_data_parallel_ready(t.device, i, t.stream[1]));
        for (int busy = 0; busy < 20; busy++)
            assert_cuda(cuda->copy(t.found[0][0], t.written[0][0], sizeof(float), t.stream[0]));
        assert_dist(dist_data_parallel_wait(t.device, t.stream[0])); /* the averages may come first */
        dist_data_parallel *const another = create(&t, true, false, options_of("int4"));
        assert_dist(dist_data_parallel_destroy(another));
        close_twins(&t);
    }
    unsetenv("FAKE_CUDA_DELAY_US");
    unsetenv("FAKE_CUDA_FREE_WAITS");
}

/* The host waits where streams cannot, and where it is asked to. */
static void test_the_host_waits(void **state)
{
    static const struct {
        const char *variable, *value;
    } reason[] = {{"FAKE_CUDA_NO_VALUES", "1"},
                  {"FAKE_CUDA_NO_VALUES", "2"},
                  {"DIST_CUDA_WAIT", "host"},
                  {"DIST_PROGRESS", "inline"}};
    twins t;
    (void)state;
    device_set(DEVICE_SHARED);
    for (size_t i = 0; i < sizeof reason / sizeof *reason; i++) {
        setenv(reason[i].variable, reason[i].value, 1);
        open_twins(&t, ranks > 1 ? 2 : 1, "int8", true, false);
        assert_int_equal(run(&t), 0);
        close_twins(&t);
        unsetenv(reason[i].variable);
    }
}

/* A test of these tests: when streams do not wait for events, averages are wrong. */
static void test_missing_events_are_found(void **state)
{
    twins t;
    double wrong = 0;
    (void)state;
#ifdef __SANITIZE_THREAD__ /* which finds them at once */
    skip();
#endif
    if (device_is_real())
        skip();
    device_set(DEVICE_SHARED);
    open_twins(&t, ranks > 1 ? 2 : 1, "none", true, false);
    setenv("FAKE_CUDA_DROP_WAIT", "all", 1);
    setenv("FAKE_CUDA_DELAY_US", "3000", 1);
    wrong = (double)run(&t);
    unsetenv("FAKE_CUDA_DROP_WAIT");
    unsetenv("FAKE_CUDA_DELAY_US");
    assert_dist(dist_reduce_scalars(t.context, &wrong, 1, DIST_SUM));
    print_message("without events %.0f gradients are wrong\n", wrong);
    assert_true(wrong > 0);
    close_twins(&t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_averages),
                                       cmocka_unit_test(test_the_host_never_waits),
                                       cmocka_unit_test(test_figures_in_mid_step),
                                       cmocka_unit_test(test_state),
                                       cmocka_unit_test(test_replicas),
                                       cmocka_unit_test(test_pinned),
                                       cmocka_unit_test(test_mistakes),
                                       cmocka_unit_test(test_ranges),
                                       cmocka_unit_test(test_capture_is_refused),
                                       cmocka_unit_test(test_the_host_waits),
                                       cmocka_unit_test(test_streams_of_threads),
                                       cmocka_unit_test(test_the_end_comes_at_once),
                                       cmocka_unit_test(test_missing_events_are_found)};
    setenv("DIST_SHM", "off", 1); /* what is compared adds up in the same order, by the same plans */
    device_set(DEVICE_SHARED);
    if (!(cuda = device_table()))
        return 1;
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
