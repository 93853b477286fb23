/* Plans of device memory are proven as those of host memory are: staged through pinned memory, with and without NCCL inside the
 * sites; and what travels between sites is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include <libdist/plan.h>

static const char *const clusters[] = {"1",   "2",   "4",   "5",     "1x2", "2x1", "2x2",
                                       "3x2", "2x4", "3,1", "1,2,3", "5x1", "4x4"};
static const char *const algorithms[] = {"mpi",  "ring",         "halving",     "doubling",
                                         "hier", "hier:shots=1", "hier:shots=2"};
static const uint64_t counts[] = {0, 1, 1009, 70001};

static dist_plan_request request_of(const char *collective, const char *algo, const char *cluster,
                                    uint64_t count, bool nccl)
{
    dist_plan_request request = DIST_PLAN_REQUEST_INIT;
    request.collective = collective;
    request.algo = algo;
    request.cluster = cluster;
    request.count = count;
    request.chunk_bytes = 4 << 10;
    request.window_bytes = 64 << 10;
    request.reduction = count % 2 ? DIST_AVERAGE : DIST_SUM;
    request.memory = DIST_MEMORY_CUDA;
    request.nccl = nccl;
    return request;
}

static void prove(dist_plan_request request)
{
    dist_plan_set *set = NULL;
    dist_status status = dist_plan_set_create(&set, &request);
    if (status == DIST_OK)
        status = dist_plan_set_verify(set);
    if (status != DIST_OK) {
        print_error("%s %s codec %s cluster %s count %llu nccl %d: %s\n", request.collective, request.algo,
                    request.codec ? request.codec : "none", request.cluster,
                    (unsigned long long)request.count, request.nccl, dist_last_error());
        fail();
    }
    dist_plan_set_destroy(set);
}

static void prove_each(const char *collective, bool nccl)
{
    for (size_t c = 0; c < sizeof clusters / sizeof *clusters; c++)
        for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++)
            for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
                prove(request_of(collective, algorithms[a], clusters[c], counts[n], nccl));
}

static void test_collectives(void **state)
{
    (void)state;
    for (int nccl = 0; nccl < 2; nccl++) {
        prove_each("all-reduce", nccl);
        prove_each("reduce-scatter", nccl);
        prove_each("all-gather", nccl);
        prove_each("broadcast", nccl);
    }
}

static void test_codecs(void **state)
{
    static const char *const codecs[] = {"bf16", "int8:ef=fp32", "int4:hadamard:sr",
                                         "topk:density=0.01:ef=bf16", "sparseloco"};
    (void)state;
    for (size_t c = 0; c < sizeof clusters / sizeof *clusters; c++)
        for (size_t k = 0; k < sizeof codecs / sizeof *codecs; k++)
            for (int shots = 1; shots <= 2; shots++)
                for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
                    dist_plan_request request =
                        request_of("all-reduce", shots == 1 ? "hier:shots=1" : "hier:shots=2", clusters[c],
                                   counts[n], (c + k + n) % 2);
                    request.codec = codecs[k];
                    request.type = k % 2 ? DIST_BFLOAT16 : DIST_FLOAT32;
                    prove(request);
                }
}

static void test_bytes_between_sites(void **state)
{
    (void)state;
    for (int coded = 0; coded < 2; coded++) {
        dist_plan_set *host, *device;
        dist_plan_request request = request_of("all-reduce", "hier", "2x2", 1 << 22, true);
        request.chunk_bytes = request.window_bytes = 0;
        request.codec = coded ? "int8" : "none";
        assert_int_equal(dist_plan_set_create(&device, &request), DIST_OK);
        request.memory = DIST_MEMORY_HOST;
        assert_int_equal(dist_plan_set_create(&host, &request), DIST_OK);
        const uint64_t on_host = dist_plan_set_bytes(host, 0, 1),
                       on_device = dist_plan_set_bytes(device, 0, 1);
        assert_true(on_device <= on_host &&
                    on_host - on_device < on_host / 500); /* fewer headers of frames */
        dist_plan_set_destroy(host);
        dist_plan_set_destroy(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collectives),
        cmocka_unit_test(test_codecs),
        cmocka_unit_test(test_bytes_between_sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
