/* Plans of device memory on the engine: staged through pinned memory, and over a wire that takes device memory itself. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include <dlfcn.h>
#include <pthread.h>

#include "collective/collective.h"
#include "device/cuda.h"
#include "device/gpu.h"
#include "engine_ranks.h"
#include "plan/stage.h"

enum { COUNT = 70001, RUNS = 3 };

static dist_cuda_plugin plugin;
static const char *codec_name; /* of the test at hand */
static bool direct;

static float value(int rank, int run, size_t i)
{
    return (float)((int)(i * 7 + (size_t)rank * 5 + (size_t)run) % 15 - 7);
}

static dist_task *make_task(rank_state *s, void *data)
{
    const dist_memory memory = DIST_MEMORY_CUDA;
    dist_spec spec = {.kind = DIST_ALL_REDUCE,
                      .algo = {.kind = DIST_ALGO_HIER},
                      .type = DIST_FLOAT32,
                      .reduction = DIST_SUM,
                      .count = COUNT,
                      .in_place = true,
                      .device = true,
                      .topology = s->topology,
                      .rank = s->rank};
    dist_plan *plan = NULL;
    dist_task *task = NULL;
    EXPECT(s, dist_codec_parse(codec_name, DIST_SIMD_AUTO, &spec.codec) == DIST_OK);
    EXPECT(s, dist_choose(&spec) == DIST_OK && dist_collective_plan(&plan, &spec) == DIST_OK);
    EXPECT(s, dist_plan_stage(&plan, &(dist_staging){.user = &memory, .direct = direct}) == DIST_OK);
    EXPECT(s, dist_task_create(&task, s->engine, plan, &data) == DIST_OK);
    return task;
}

/* Values go up on a stream of the program's, the sums come down on it; nothing else orders them. */
static dist_status one_run(rank_state *s, dist_task *task, void *stream, void *data, float *host, int run)
{
    const dist_cuda *cuda = plugin.device;
    for (size_t i = 0; i < COUNT; i++)
        host[i] = value(s->rank, run, i);
    EXPECT(s, cuda->copy(data, host, COUNT * sizeof *host, stream) == 0);
    EXPECT(s, dist_task_follow(task, stream) == DIST_OK && dist_task_start(task) == DIST_OK);
    EXPECT(s, dist_task_lead(task, stream) == DIST_OK);
    EXPECT(s, cuda->copy(host, data, COUNT * sizeof *host, stream) == 0);
    EXPECT(s, cuda->synchronize(stream) == 0);
    return dist_task_wait(task, 0);
}

typedef struct place {
    dist_gpu *gpu;
    void *stream, *data, *host;
} place;

static place open_place(rank_state *s)
{
    place p = {0};
    plugin.device->select(s->rank);
    EXPECT(s, dist_gpu_open(&p.gpu, plugin.device, plugin.codec, s->rank) == DIST_OK);
    EXPECT(s, dist_engine_use_device(s->engine, p.gpu, NULL) == DIST_OK);
    EXPECT(s, plugin.device->stream_create(&p.stream, 0) == 0);
    EXPECT(s, plugin.device->allocate(&p.data, COUNT * sizeof(float)) == 0);
    EXPECT(s, plugin.device->pin(&p.host, COUNT * sizeof(float)) == 0);
    return p;
}

static void close_place(const place *p)
{
    plugin.device->stream_destroy(p->stream);
    plugin.device->release(p->data);
    plugin.device->unpin(p->host);
}

static void run_sums(rank_state *s)
{
    place p = open_place(s);
    dist_task *task = make_task(s, p.data);
    float *const host = p.host;
    for (int run = 0; run < RUNS && !s->wrong; run++) {
        size_t wrong = 0;
        EXPECT(s, one_run(s, task, p.stream, p.data, host, run) == DIST_OK);
        for (size_t i = 0; i < COUNT; i++) {
            float sum = 0;
            for (int r = 0; r < FAKE_RANKS; r++)
                sum += value(r, run, i);
            wrong += host[i] != sum;
        }
        EXPECT(s, wrong == 0);
    }
    EXPECT(s, dist_task_destroy(task) == DIST_OK);
    close_place(&p);
    pthread_barrier_wait(&s->net->all);
    dist_gpu_close(p.gpu);
}

static void *place_of(const void *buffer)
{
    void *(*bytes)(const void *);
    void *const symbol = dlsym(dlopen(FAKE_CUDA_PLUGIN, RTLD_NOW), "fake_cuda_bytes");
    memcpy(&bytes, &symbol, sizeof bytes);
    return bytes(buffer);
}

static void test_sums(void **state)
{
    static const char *const codecs[] = {"none", "bf16"};
    rank_state ranks[FAKE_RANKS];
    (void)state;
    for (int d = 0; d < 2; d++)
        for (int c = 0; c < 2; c++)
            for (int threaded = 0; threaded < 2; threaded++) {
                fake_net *net = fake_net_create(FAKE_RANKS);
                net->place = place_of;
                direct = d != 0;
                codec_name = codecs[c];
                on_net(net, run_sums, threaded != 0, 10, ranks);
            }
}

/* What arrives is checked before the device sees it. */
static void run_spoiled(rank_state *s)
{
    place p = open_place(s);
    dist_task *task = make_task(s, p.data);
    const dist_status status = one_run(s, task, p.stream, p.data, p.host, 0);
    EXPECT(s, status < 0);
    if (status == DIST_ERR_FRAME)
        snprintf(s->sentence, sizeof s->sentence, "%s", dist_last_error());
}

static void test_spoiled_frames(void **state)
{
    rank_state ranks[FAKE_RANKS];
    int found = 0;
    (void)state;
    fake_net *net = fake_net_create(FAKE_RANKS);
    net->place = place_of;
    net->spoils = 1;
    direct = false;
    codec_name = "int8";
    on_net(net, run_spoiled, true, 10, ranks);
    for (int r = 0; r < FAKE_RANKS; r++)
        found += strstr(ranks[r].sentence, "checksum") != NULL;
    assert_true(found > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums), cmocka_unit_test(test_spoiled_frames)};
    setenv("DIST_CUDA_PLUGIN", FAKE_CUDA_PLUGIN, 1);
    setenv("FAKE_CUDA_DEVICES", "4", 1);
    if (dist_cuda_plugin_find(&plugin) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
