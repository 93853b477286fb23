/* Collectives of device memory: the bits of host memory, whatever the sites, the algorithm, the codec and the way in. */
/* ranks: 1 2 4 */
#define _DEFAULT_SOURCE /* setenv, usleep, MAP_ANONYMOUS */

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"

static int rank, ranks;
static const dist_cuda *cuda;

typedef struct trial {
    dist_context *context;
    const char *algo, *codec;
    bool exact; /* the order of sums makes no difference */
} trial;

static void all_reduce(const trial *t, size_t count, bool in_place)
{
    const size_t bytes = count * sizeof(float);
    float *own = malloc(bytes + 4), *host = malloc(bytes + 4), *found = malloc(bytes + 4);
    dist_collective_options options = DIST_COLLECTIVE_OPTIONS_INIT;
    options.algo = t->algo;
    options.codec = t->codec;
    device_values(own, count, rank, t->exact);
    assert_dist(dist_all_reduce(t->context, own, host, count, DIST_FLOAT32, DIST_AVERAGE, &options));
    float *const send = device_new(cuda, own, bytes), *const receive =
                                                          in_place ? send : device_new(cuda, NULL, bytes);
    const dist_status status = dist_all_reduce(t->context, in_place ? DIST_IN_PLACE : send, receive, count,
                                               DIST_FLOAT32, DIST_AVERAGE, &options);
    if (status != DIST_OK)
        print_error("%s, %s, %zu elements: %s\n", t->algo, t->codec, count, dist_last_error());
    assert_int_equal(status, DIST_OK);
    device_get(cuda, found, receive, bytes);
    for (size_t i = 0; i < count; i++)
        if (memcmp(&found[i], &host[i], sizeof *host) != 0) {
            print_error("%s, %s, %zu elements: [%zu] is %.9g on the device, %.9g on the host\n", t->algo,
                        t->codec, count, i, (double)found[i], (double)host[i]);
            fail();
        }
    cuda->release(send);
    if (!in_place)
        cuda->release(receive);
    free(own);
    free(host);
    free(found);
}

static void all_algorithms(device_kind kind, int sites, int uneven)
{
    static const char *const algorithms[] = {"hier", "ring", "halving", "auto", "mpi"};
    if (!device_set(kind))
        return;
    trial t = {.context = harness_context(sites, uneven, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT),
               .codec = "none",
               .exact = kind == DEVICE_NCCL};
    assert_non_null(t.context);
    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++) {
        t.algo = algorithms[a];
        t.exact = kind == DEVICE_NCCL || strcmp(t.algo, "mpi") == 0;
        all_reduce(&t, 0, false);
        all_reduce(&t, 1, true);
        all_reduce(&t, 4099, false);
        all_reduce(&t, 300001, a % 2);
    }
    assert_dist(dist_finalize(t.context));
}

static void test_algorithms(void **state)
{
    (void)state;
    for (int kind = DEVICE_SHARED; kind <= DEVICE_NCCL; kind++) {
        all_algorithms((device_kind)kind, 1, 0);
        if (ranks > 1)
            all_algorithms((device_kind)kind, 2, 0);
        if (ranks > 3)
            all_algorithms((device_kind)kind, 2, 1);
    }
}

static void test_codecs(void **state)
{
    static const char *const codecs[] = {"bf16",  "int8",  "int8:sr",           "int4",      "int4:hadamard",
                                         "mxfp8", "nvfp4", "topk:density=0.02", "sparseloco"};
    (void)state;
    for (int kind = DEVICE_SHARED; kind <= DEVICE_NCCL && ranks > 1; kind++) {
        if (!device_set((device_kind)kind))
            continue;
        trial t = {.context = harness_context(2, 0, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT),
                   .algo = "hier",
                   .exact = kind == DEVICE_NCCL};
        assert_non_null(t.context);
        for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++) {
            t.codec = codecs[c];
            all_reduce(&t, 5000, false);
            all_reduce(&t, 300001, true);
        }
        assert_dist(dist_finalize(t.context));
    }
}

/* The other collectives, and other types. */
static void others(dist_context *context)
{
    enum { COUNT = 20011 };
    int64_t *own = malloc(sizeof *own * COUNT * (size_t)ranks),
            *found = malloc(sizeof *own * COUNT * (size_t)ranks);
    const size_t all = COUNT * (size_t)ranks;
    for (size_t i = 0; i < all; i++)
        own[i] = harness_value(rank, i);
    int64_t *const device = device_new(cuda, own, all * sizeof *own), *const part = device_new(
                                                                          cuda, NULL, COUNT * sizeof *own);
    assert_dist(dist_reduce_scatter(context, device, part, COUNT, DIST_INT64, DIST_MAX, NULL));
    assert_dist(dist_all_gather(context, part, device, COUNT, DIST_INT64, NULL));
    device_get(cuda, found, device, all * sizeof *own);
    for (size_t i = 0; i < all; i++) {
        int64_t most = harness_value(0, i);
        for (int r = 1; r < ranks; r++)
            most = harness_value(r, i) > most ? harness_value(r, i) : most;
        assert_int_equal(found[i], most);
    }
    assert_cuda(cuda->copy(device, own, all * sizeof *own, NULL));
    assert_cuda(cuda->synchronize(NULL));
    assert_dist(dist_broadcast(context, device, all, DIST_INT64, ranks - 1, NULL));
    device_get(cuda, found, device, all * sizeof *own);
    for (size_t i = 0; i < all; i++)
        assert_int_equal(found[i], harness_value(ranks - 1, i));
    cuda->release(device);
    cuda->release(part);
    free(own);
    free(found);
}

/* What only passes from rank to rank, in place and not, by each algorithm; send-recv also from the device's memory to the host's. */
static void exchanges(dist_context *context, const char *algo, size_t count)
{
    const size_t all = count * (size_t)ranks, bytes = all * sizeof(int32_t);
    const int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
    int32_t *own = malloc(bytes), *found = malloc(bytes);
    dist_collective_options options = DIST_COLLECTIVE_OPTIONS_INIT;
    options.algo = algo;
    for (size_t i = 0; i < all; i++)
        own[i] = (int32_t)((size_t)rank * 1000000 + i);
    int32_t *const send = device_new(cuda, own, bytes), *const receive = device_new(cuda, NULL, bytes);
    for (int in_place = 0; in_place < 2; in_place++) {
        int32_t *const out = in_place ? send : receive;
        assert_dist(
            dist_all_to_all(context, in_place ? DIST_IN_PLACE : send, out, count, DIST_INT32, &options));
        device_get(cuda, found, out, bytes);
        for (size_t i = 0; i < all; i++)
            assert_int_equal(found[i], i / count * 1000000 + (size_t)rank * count + i % count);
    }
    assert_cuda(cuda->copy(send, own, bytes, NULL));
    assert_cuda(cuda->synchronize(NULL));
    assert_dist(dist_send_recv(context, send, next, receive, before, all, DIST_INT32, NULL));
    device_get(cuda, found, receive, bytes);
    for (size_t i = 0; i < all; i++)
        assert_int_equal(found[i], (size_t)before * 1000000 + i);
    if (ranks > 1) { /* from the device of rank 0 to the host of rank 1; all others have nobody */
        memset(found, 0, bytes);
        assert_dist(dist_send_recv(context, rank == 0 ? send : NULL, rank == 0 ? 1 : -1,
                                   rank == 1 ? found : NULL, rank == 1 ? 0 : -1, all, DIST_INT32, NULL));
        for (size_t i = 0; rank == 1 && i < all; i++)
            assert_int_equal(found[i], i);
    }
    cuda->release(send);
    cuda->release(receive);
    free(own);
    free(found);
}

static void test_exchanges(void **state)
{
    static const char *const algorithms[] = {"ring", "hier", "mpi"};
    (void)state;
    for (int kind = DEVICE_SHARED; kind <= DEVICE_NCCL; kind++)
        for (int sites = 1; sites <= 2 && sites <= ranks; sites++) {
            if (!device_set((device_kind)kind))
                continue;
            dist_context *context =
                harness_context(sites, 0, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT);
            assert_non_null(context);
            for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++) {
                exchanges(context, algorithms[a], 1);
                exchanges(context, algorithms[a], 40009 + a);
            }
            assert_dist(dist_finalize(context));
        }
}

static void test_other_collectives(void **state)
{
    (void)state;
    for (int kind = DEVICE_SHARED; kind <= DEVICE_NCCL; kind++)
        for (int sites = 1; sites <= 2 && sites <= ranks; sites++) {
            if (!device_set((device_kind)kind))
                continue;
            dist_context *context =
                harness_context(sites, 0, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT);
            assert_non_null(context);
            others(context);
            assert_dist(dist_finalize(context));
        }
}

/* A NaN wins, on the device too. */
static void test_nan(void **state)
{
    float own[3] = {rank == ranks - 1 ? (float)NAN : 1.0f, (float)rank, -0.0f}, found[3];
    (void)state;
    for (int kind = DEVICE_SHARED; kind <= DEVICE_NCCL; kind++) {
        if (!device_set((device_kind)kind))
            continue;
        dist_context *context = harness_context(1, 0, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT);
        float *const device = device_new(cuda, own, sizeof own);
        assert_dist(dist_all_reduce(context, DIST_IN_PLACE, device, 3, DIST_FLOAT32, DIST_MAX, NULL));
        device_get(cuda, found, device, sizeof found);
        assert_true(isnan(found[0]));
        assert_true(found[1] == (float)(ranks - 1) && found[2] == 0.0f);
        cuda->release(device);
        assert_dist(dist_finalize(context));
    }
}

/* A call is not known again by its address alone: device memory may have been freed, and host memory come to lie there. */
static void test_memory_that_changes(void **state)
{
    enum { COUNT = 4096 };
    (void)state;
    if (device_is_real())
        skip();
    device_set(DEVICE_SHARED);
    dist_context *context = harness_context(1, 0, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT);
    assert_non_null(context);
    for (int again = 0; again < 2; again++) {
        float *const device = device_new(cuda, NULL, COUNT * sizeof(float));
        assert_cuda(cuda->zero(device, COUNT * sizeof(float), NULL));
        assert_dist(dist_all_reduce(context, DIST_IN_PLACE, device, COUNT, DIST_FLOAT32, DIST_SUM, NULL));
        cuda->release(device);
        float *const host =
            mmap(device, COUNT * sizeof(float), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < COUNT; i++)
            host[i] = (float)harness_value(rank, i);
        assert_ptr_equal(host,
                         device); /* what was freed is free: Linux keeps to the address that is wished */
        assert_dist(dist_all_reduce(context, DIST_IN_PLACE, host, COUNT, DIST_FLOAT32, DIST_SUM, NULL));
        for (size_t i = 0; i < COUNT; i++) {
            float sum = 0;
            for (int r = 0; r < ranks; r++)
                sum += (float)harness_value(r, i);
            assert_true(host[i] == sum);
        }
        munmap(host, COUNT * sizeof(float));
    }
    assert_dist(dist_finalize(context));
}

/* What a file says counts where the environment says nothing. */
static void test_switched_off_in_a_file(void **state)
{
    char path[] = "/tmp/dist_config.XXXXXX";
    const int file = mkstemp(path);
    const dist_parameter parameter = {.name = "p", .count = 100, .type = DIST_FLOAT32};
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    dist_data_parallel *dp = NULL;
    (void)state;
    device_set(DEVICE_SHARED);
    assert_true(file >= 0 && dprintf(file, "DIST_CUDA = off\n") > 0);
    setenv("DIST_CONFIG", path, 1);
    dist_context *context = harness_context(1, 0, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT);
    unsetenv("DIST_CONFIG");
    close(file);
    unlink(path);
    assert_non_null(context);
    options.memory = DIST_MEMORY_CUDA;
    assert_int_equal(dist_data_parallel_create(context, &parameter, 1, &options, &dp), DIST_ERR_UNSUPPORTED);
    assert_non_null(strstr(dist_last_error(), "DIST_CUDA=off"));
    assert_dist(dist_devices_print(context, stdout));
    assert_non_null(strstr(dist_last_error(), "DIST_CUDA=off"));
    assert_dist(dist_finalize(context));
}

static uint64_t selected(int device)
{
    void *const symbol = dlsym(dlopen(FAKE_CUDA_PLUGIN, RTLD_NOW), "fake_cuda_selected");
    uint64_t (*call)(int);
    memcpy(&call, &symbol, sizeof call);
    return call(device);
}

/* A rank that has the second device: nobody makes a context on the first, and a thread finds its own as it was. */
static void test_second_device(void **state)
{
    int current = -1;
    (void)state;
    if (device_is_real())
        skip();
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    for (int kind = DEVICE_SHARED; kind <= DEVICE_NCCL; kind++) {
        device_set((device_kind)kind);
        assert_cuda(cuda->select(1));
        const uint64_t before = selected(0);
        trial t = {.context = harness_context(1, 0, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT),
                   .algo = "hier",
                   .codec = "none",
                   .exact = true};
        assert_non_null(t.context);
        all_reduce(&t, 300001, true);
        float *const device = device_new(cuda, NULL, 4000);
        assert_cuda(cuda->zero(device, 4000, NULL));
        dist_request *request = NULL;
        assert_dist(dist_all_reduce_init(t.context, DIST_IN_PLACE, device, 1000, DIST_FLOAT32, DIST_SUM, NULL,
                                         &request));
        for (int again = 0; again < 5; again++) {
            dist_status status = dist_request_post(request);
            while (status >= 0 && (status = dist_request_test(request)) == DIST_IN_PROGRESS)
                usleep(100); /* the progress thread does all */
            assert_int_equal(status, DIST_OK);
        }
        assert_true(selected(0) == before);
        assert_cuda(cuda->select(0));
        assert_dist(dist_request_post(request));
        assert_dist(dist_request_wait(request, 0));
        assert_dist(dist_request_destroy(request));
        assert_cuda(cuda->current(&current));
        assert_int_equal(current, 0);
        assert_dist(dist_finalize(t.context));
        assert_cuda(cuda->current(&current));
        assert_int_equal(current, 0);
        cuda->release(device);
    }
    unsetenv("FAKE_CUDA_DEVICES");
}

/* Memory of each kind, for programs that are not linked with CUDA. */
static void test_memory_of_the_library(void **state)
{
    enum { BYTES = 3000 };
    static const dist_memory kinds[] = {DIST_MEMORY_HOST, DIST_MEMORY_PINNED, DIST_MEMORY_CUDA};
    unsigned char out[BYTES], back[BYTES];
    void *memory[3], *none = &memory;
    (void)state;
    device_set(DEVICE_SHARED);
    dist_context *context = harness_context(1, 0, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT);
    assert_non_null(context);
    for (int i = 0; i < BYTES; i++)
        out[i] = (unsigned char)(i * 7 + rank);
    for (int k = 0; k < 3; k++) {
        assert_dist(dist_alloc_in(context, kinds[k], BYTES, &memory[k]));
        assert_int_equal(dist_memory_of(memory[k]), kinds[k]);
        assert_dist(dist_copy(context, back, memory[k], BYTES));
        for (int i = 0; i < BYTES; i++)
            assert_int_equal(back[i], 0);
        assert_dist(dist_copy(context, memory[k], k == 0 ? out : memory[k - 1], BYTES)); /* from kind to kind */
    }
    assert_dist(dist_copy(context, back, memory[2], BYTES));
    assert_memory_equal(back, out, BYTES);
    for (int k = 0; k < 3; k++)
        assert_dist(dist_free(context, memory[k]));
    assert_int_equal(dist_alloc_in(context, (dist_memory)9, 1, &none), DIST_ERR_ARGUMENT);
    assert_null(none);
    assert_int_equal(dist_alloc_in(context, DIST_MEMORY_CUDA, 1, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_alloc_in(context, DIST_MEMORY_CUDA, (size_t)1 << 60, &none), DIST_ERR_MEMORY);
    assert_int_equal(dist_copy(context, NULL, out, 1), DIST_ERR_ARGUMENT);
    assert_dist(dist_copy(context, NULL, NULL, 0));
    assert_dist(dist_finalize(context));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_algorithms),
                                       cmocka_unit_test(test_codecs),
                                       cmocka_unit_test(test_other_collectives),
                                       cmocka_unit_test(test_nan),
                                       cmocka_unit_test(test_exchanges),
                                       cmocka_unit_test(test_memory_that_changes),
                                       cmocka_unit_test(test_memory_of_the_library),
                                       cmocka_unit_test(test_switched_off_in_a_file),
                                       cmocka_unit_test(test_second_device)};
    setenv("DIST_SHM", "off", 1); /* what is compared adds up in the same order, by the same plans */
    device_set(DEVICE_SHARED);
    if (!(cuda = device_table()))
        return 1;
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
