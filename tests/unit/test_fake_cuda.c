/* What tests with the fake CUDA rest upon: it orders what CUDA orders, and nothing else, and says what is wrong. */
#define _DEFAULT_SOURCE /* setenv, usleep */

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <libdist/codec.h>

#include "device/cuda.h"
#include "device/gpu.h"

enum { BYTES = 1 << 18 };

static const dist_cuda *cuda;

typedef struct scene {
    void *first, *second, *event;
    unsigned char *a, *b; /* device */
    unsigned char *host;  /* pinned */
} scene;

static int set_up(void **state)
{
    scene *s = calloc(1, sizeof *s);
    void *host = NULL;
    assert_int_equal(cuda->stream_create(&s->first, 0), 0);
    assert_int_equal(cuda->stream_create(&s->second, 1), 0);
    assert_int_equal(cuda->event_create(&s->event), 0);
    assert_int_equal(cuda->allocate((void **)&s->a, BYTES), 0);
    assert_int_equal(cuda->allocate((void **)&s->b, BYTES), 0);
    assert_int_equal(cuda->pin(&host, BYTES), 0);
    s->host = host;
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    scene *s = *state;
    cuda->synchronize(s->first);
    cuda->synchronize(s->second);
    cuda->stream_destroy(s->first);
    cuda->stream_destroy(s->second);
    cuda->event_destroy(s->event);
    cuda->release(s->a);
    cuda->release(s->b);
    cuda->unpin(s->host);
    free(s);
    return 0;
}

static size_t count_of(const unsigned char *data, unsigned char value)
{
    size_t count = 0;
    for (size_t i = 0; i < BYTES; i++)
        count += data[i] == value;
    return count;
}

/* A value goes host -> a on one stream, a -> b -> host on the other; how many bytes arrive. */
static size_t relay(scene *s, unsigned char value, bool ordered)
{
    memset(s->host, value, BYTES);
    cuda->copy(s->a, s->host, BYTES, s->first);
    cuda->event_record(s->event, s->first);
    if (ordered)
        cuda->stream_wait_event(s->second, s->event);
    cuda->copy(s->b, s->a, BYTES, s->second);
    cuda->synchronize(s->first); /* before its source is used again */
    cuda->copy(s->host, s->b, BYTES, s->second);
    cuda->synchronize(s->second);
    return count_of(s->host, value);
}

static void test_events_order_streams(void **state)
{
    for (int i = 0; i < 50; i++)
        assert_int_equal(relay(*state, (unsigned char)i, true), BYTES);
}

static void test_a_missing_event_shows(void **state)
{
    int wrong = 0;
    for (int i = 0; i < 20; i++)
        wrong += relay(*state, (unsigned char)i, false) < BYTES;
    print_message("without the event %d of 20 relays are wrong\n", wrong);
    assert_true(wrong > 0);
}
static void test_queries_and_values(void **state)
{
    scene *s = *state;
    uint32_t *word = (uint32_t *)(void *)s->host;
    *word = UINT32_MAX - 1;
    assert_int_equal(cuda->event_query(s->event), 0); /* never recorded */
    cuda->stream_wait_value(s->first, word, 2);       /* in the cyclic order it is still to come */
    cuda->event_record(s->event, s->first);
    usleep(20000);
    assert_int_equal(cuda->event_query(s->event), DIST_CUDA_NOT_READY);
    cuda->stream_write_value(s->second, word, 2);
    while (cuda->event_query(s->event) == DIST_CUDA_NOT_READY)
        usleep(100);
    assert_int_equal(cuda->event_query(s->event), 0);
}

static void test_places(void **state)
{
    scene *s = *state;
    int where = -1, device = -2, local = 0;
    cuda->locate(s->a + 7, &where, &device);
    assert_int_equal(where, DIST_CUDA_AT_DEVICE);
    assert_int_equal(device, 0);
    cuda->locate(s->host, &where, &device);
    assert_int_equal(where, DIST_CUDA_AT_PINNED);
    cuda->locate(&local, &where, &device);
    assert_int_equal(where, DIST_CUDA_AT_HOST);
    assert_int_equal(device, -1);
}

static void test_counts(void **state)
{
    scene *s = *state;
    dist_cuda_counts before, after;
    unsigned char pageable[16];
    cuda->counts(&before);
    relay(s, 1, true);
    cuda->copy(s->a, pageable, sizeof pageable, s->first); /* the host waits */
    cuda->counts(&after);
    assert_int_equal(after.copies - before.copies, 4);
    assert_int_equal(after.waits - before.waits, 1);
    assert_int_equal(after.records - before.records, 1);
    assert_int_equal(after.synchronizations - before.synchronizations, 3);
}

/* Frames from the device are those of the host, for each codec. */
static void test_codecs(void **state)
{
    static const char *const names[] = {"bf16:ef=fp32", "int8:ef=fp32",       "int8:block=64:sr",
                                        "int4",         "int4:hadamard",      "mxfp8",
                                        "nvfp4",        "topk:density=0.013", "sparseloco"};
    enum { COUNT = 9000 };
    scene *s = *state;
    float *values = (float *)(void *)s->host;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        dist_codec *made = NULL;
        void *frame = NULL, *work = NULL, *feedback = NULL;
        assert_int_equal(dist_codec_create(&made, names[n]), DIST_OK);
        const uint64_t bytes = dist_codec_encoded_bytes(made, COUNT);
        unsigned char *host = malloc(bytes), *device = s->host + COUNT * 4;
        float *kept = calloc(COUNT, 4);
        for (int i = 0; i < COUNT; i++)
            values[i] = (float)(i % 97 - 40) * 0.37f;
        const dist_codec_position position = {.step = 3, .stream = 5, .first = 0};
        assert_int_equal(dist_codec_encode(made, DIST_FLOAT32, values, kept, COUNT, &position, host, NULL),
                         DIST_OK);
        cuda->allocate(&frame, bytes);
        cuda->allocate(&feedback, COUNT * 4);
        cuda->allocate(&work, dist_codec_cuda_workspace_bytes(made, COUNT));
        cuda->zero(feedback, COUNT * 4, s->first);
        cuda->copy(s->a, values, COUNT * 4, s->first);
        assert_int_equal(dist_codec_cuda_encode(made, DIST_FLOAT32, s->a, feedback, COUNT, &position, frame,
                                                NULL, work, s->first),
                         DIST_OK);
        cuda->copy(device, frame, bytes, s->first);
        cuda->synchronize(s->first);
        assert_memory_equal(device, host, bytes);
        cuda->release(frame);
        cuda->release(work);
        cuda->release(feedback);
        free(host);
        free(kept);
        dist_codec_destroy(made);
    }
}

/* ---- what ends the process, or breaks the device ---- */

static void in_child(void (*run)(scene *), scene *s, int signal_expected)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        run(s);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (signal_expected)
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) > 2); /* a sanitizer exits */
    else
        assert_int_equal(WEXITSTATUS(status), 1);
}

static void touch(scene *s)
{
    s->a[0] = 1;
}

static void free_twice(scene *s)
{
    cuda->release(s->b);
    cuda->release(s->b);
}

static void use_destroyed_event(scene *s)
{
    cuda->event_destroy(s->event);
    cuda->event_query(s->event);
}

static void test_bugs_end_the_process(void **state)
{
    in_child(touch, *state, SIGSEGV);
    in_child(free_twice, *state, SIGABRT);
    in_child(use_destroyed_event, *state, SIGABRT);
}

/* A kernel that leaves its memory breaks the device: each later call says so. */
static void out_of_bounds(scene *s)
{
    if (cuda->reduce(DIST_FLOAT32, DIST_CUDA_SUM, s->a, s->b + 4, BYTES / 4, s->first) == 0 &&
        cuda->event_record(s->event, s->first) == 700 && cuda->event_query(s->event) == 700)
        _exit(1);
}

static void host_memory(scene *s)
{
    float local[4] = {0};
    if (cuda->reduce(DIST_FLOAT32, DIST_CUDA_SUM, s->a, local, 4, s->first) == 0 &&
        cuda->synchronize(s->first) == 700)
        _exit(1);
}

static void planned(scene *s)
{
    setenv("FAKE_CUDA_FAIL", "copy:2:719", 1);
    if (cuda->copy(s->a, s->b, 4, s->first) == 0 && cuda->zero(s->a, 4, s->first) == 0 &&
        cuda->copy(s->a, s->b, 4, s->first) == 719 && cuda->zero(s->a, 4, s->first) == 719)
        _exit(1);
}

static void test_errors_stay(void **state)
{
    in_child(out_of_bounds, *state, 0);
    in_child(host_memory, *state, 0);
    in_child(planned, *state, 0);
}

int main(void)
{
    dist_cuda_plugin plugin;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events_order_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_queries_and_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_codecs, set_up, tear_down),
    };
    const struct CMUnitTest of_bugs[] = {
        cmocka_unit_test_setup_teardown(test_a_missing_event_shows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bugs_end_the_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors_stay, set_up, tear_down),
    };
#ifdef __SANITIZE_THREAD__ /* it would say so itself, and end the process */
    const bool bugs = false;
#else
    const bool bugs = true;
#endif
    setenv("DIST_CUDA_PLUGIN", FAKE_CUDA_PLUGIN, 1);
    if (dist_cuda_plugin_find(&plugin) < 0)
        return 1;
    cuda = plugin.device;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return bugs ? failed + cmocka_run_group_tests(of_bugs, NULL, NULL) : failed;
}
