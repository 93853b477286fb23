/* Every generator is proven: for 1 to 33 ranks, on equal and unequal sites, at sizes 0, 1, prime and large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include <libdist/plan.h>

static const char *const algorithms[] = {"mpi",  "ring",         "halving",     "doubling",
                                         "hier", "hier:shots=1", "hier:shots=2"};

static void prove(dist_plan_request request)
{
    dist_plan_set *set = NULL;
    dist_status status = dist_plan_set_create(&set, &request);
    if (status == DIST_OK)
        status = dist_plan_set_verify(set);
    if (status != DIST_OK) {
        print_error("%s %s codec %s cluster %s count %llu: %s\n", request.collective, request.algo,
                    request.codec ? request.codec : "none", request.cluster,
                    (unsigned long long)request.count, dist_last_error());
        fail();
    }
    dist_plan_set_destroy(set);
}

/* Chunks small enough that every size is cut into several, large enough that plans stay short. */
static dist_plan_request request_of(const char *collective, const char *algo, const char *cluster,
                                    uint64_t count)
{
    dist_plan_request request = DIST_PLAN_REQUEST_INIT;
    request.collective = collective;
    request.algo = algo;
    request.cluster = cluster;
    request.count = count;
    request.window_bytes = 64 << 10;
    request.reduction = count % 2 ? DIST_AVERAGE : DIST_SUM;
    return request;
}

static void prove_sizes(const char *collective, const char *cluster, const uint64_t *count, size_t counts)
{
    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++)
        for (size_t c = 0; c < counts; c++)
            prove(request_of(collective, algorithms[a], cluster, count[c]));
}

/* All ways to describe a cluster of n ranks that a user would try. */
static void each_cluster(int n, void (*visit)(const char *cluster, int n))
{
    char text[64];
    snprintf(text, sizeof text, "%d", n);
    visit(text, n);
    for (int sites = 2; sites <= 6 && sites <= n; sites++) {
        if (n % sites == 0)
            snprintf(text, sizeof text, "%dx%d", sites, n / sites);
        else if (sites == 2)
            snprintf(text, sizeof text, "%d,%d", n - n / 3, n / 3);
        else if (sites == 3)
            snprintf(text, sizeof text, "%d,1,%d", n - 1 - n / 2, n / 2);
        else
            continue;
        if (!strstr(text, ",0") && text[0] != '0')
            visit(text, n);
    }
}

static void visit_all_reduce(const char *cluster, int n)
{
    const uint64_t small[] = {0, 1, 1009}, large[] = {100003};
    prove_sizes("all-reduce", cluster, small, 3);
    if (n <= 9 || n % 8 == 1)
        prove_sizes("all-reduce", cluster, large, 1);
}

static void visit_others(const char *cluster, int n)
{
    const uint64_t count[] = {0, 1, 509};
    prove_sizes("reduce-scatter", cluster, count, 3);
    prove_sizes("all-gather", cluster, count, 3);
    prove_sizes("broadcast", cluster, count, 3);
    prove(request_of("send-recv", NULL, cluster, 509));
    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms && n % 4 == 1; a++)
        prove(request_of("all-to-all", algorithms[a], cluster, 509));
    if (n <= 5) {
        const uint64_t large[] = {70001};
        prove_sizes("reduce-scatter", cluster, large, 1);
        prove_sizes("all-gather", cluster, large, 1);
        prove_sizes("broadcast", cluster, large, 1);
    }
    dist_plan_request barrier = request_of("barrier", "doubling", cluster, 0);
    prove(barrier);
}

static void visit_codecs(const char *cluster, int n)
{
    static const char *const codecs[] = {
        "bf16", "int8:ef=fp32",     "int4",       "int8:block=64:ef=int8",
        "fp16", "int4:hadamard:sr", "sparseloco", "topk:density=0.01:ef=bf16"};
    if (n > 12 && n % 7 != 0)
        return;
    for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++)
        for (uint64_t count = 1; count < 200000; count = count * 97 + 3) {
            dist_plan_request request =
                request_of("all-reduce", c % 2 ? "hier" : "hier:shots=2", cluster, count);
            request.codec = codecs[c];
            request.type = c % 3 == 2 ? DIST_BFLOAT16 : DIST_FLOAT32;
            prove(request);
            request.algo = "hier:shots=1";
            prove(request);
        }
}

static void test_all_reduce(void **state)
{
    (void)state;
    for (int n = 1; n <= 33; n++)
        each_cluster(n, visit_all_reduce);
}

static void test_others(void **state)
{
    (void)state;
    for (int n = 1; n <= 33; n++)
        each_cluster(n, visit_others);
}

static void test_codecs(void **state)
{
    (void)state;
    for (int n = 1; n <= 33; n++)
        each_cluster(n, visit_codecs);
}

/* Sixteen MiB on two sites of two, as it runs in the demo, with its real chunks. */
static void test_large(void **state)
{
    (void)state;
    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++) {
        dist_plan_request request = request_of("all-reduce", algorithms[a], "2x2", 4 << 20);
        request.window_bytes = 0;
        prove(request);
    }
}

/* The bytes between sites are what the bound says: N a direction for two sites, N/ratio with a codec, 2(k-1)/k N for two shots. */
static void test_bytes_between_sites(void **state)
{
    (void)state;
    dist_plan_set *set;
    const uint64_t count = 1 << 20, bytes = 4 * count;
    dist_plan_request request = request_of("all-reduce", "hier", "2x4", count);
    assert_int_equal(dist_plan_set_create(&set, &request), DIST_OK);
    assert_int_equal(dist_plan_set_bytes(set, 0, 1), bytes);
    assert_int_equal(dist_plan_set_bytes(set, 1, 0), bytes);
    dist_plan_set_destroy(set);
    request.codec = "int8";
    assert_int_equal(dist_plan_set_create(&set, &request), DIST_OK);
    const uint64_t payload = count + count / 256 * 4, sent = dist_plan_set_bytes(set, 0, 1);
    assert_true(sent > payload && sent < payload + payload / 500); /* headers of frames */
    dist_plan_set_destroy(set);
    request.codec = NULL;
    request.cluster = "4x2";
    assert_int_equal(dist_plan_set_create(&set, &request), DIST_OK);
    assert_int_equal(dist_plan_set_bytes(set, 0, 1) + dist_plan_set_bytes(set, 0, 2) +
                         dist_plan_set_bytes(set, 0, 3),
                     2 * bytes * 3 / 4);
    dist_plan_set_destroy(set);
}

static void test_hash(void **state)
{
    (void)state;
    dist_plan_set *a, *b;
    dist_plan_request request = request_of("all-reduce", "hier", "2x2", 1000);
    assert_int_equal(dist_plan_set_create(&a, &request), DIST_OK);
    assert_int_equal(dist_plan_set_create(&b, &request), DIST_OK);
    assert_true(dist_plan_set_hash(a, 1) == dist_plan_set_hash(b, 1));
    assert_true(dist_plan_set_hash(a, 0) != dist_plan_set_hash(a, 1));
    dist_plan_set_destroy(b);
    request.count = 1001;
    assert_int_equal(dist_plan_set_create(&b, &request), DIST_OK);
    assert_true(dist_plan_set_hash(a, 1) != dist_plan_set_hash(b, 1));
    dist_plan_set_destroy(a);
    dist_plan_set_destroy(b);
}

static void refuse(dist_plan_request request, dist_status wanted, const char *word)
{
    dist_plan_set *set = (void *)1;
    assert_int_equal(dist_plan_set_create(&set, &request), wanted);
    assert_null(set);
    if (!strstr(dist_last_error(), word))
        print_error("'%s' does not say '%s'\n", dist_last_error(), word);
    assert_non_null(strstr(dist_last_error(), word));
}

static void test_refusals(void **state)
{
    (void)state;
    dist_plan_request good = request_of("all-reduce", "hier", "2x2", 100), bad = good;
    bad.cluster = "2x";
    refuse(bad, DIST_ERR_ARGUMENT, "2x");
    bad = good, bad.algo = "butterfly";
    refuse(bad, DIST_ERR_ARGUMENT, "butterfly");
    bad = good, bad.codec = "int3";
    refuse(bad, DIST_ERR_ARGUMENT, "int3");
    bad = good, bad.collective = "all-to-some";
    refuse(bad, DIST_ERR_ARGUMENT, "all-to-some");
    bad = good, bad.root = 4;
    refuse(bad, DIST_ERR_ARGUMENT, "root 4");
    bad = good, bad.codec = "int8", bad.algo = "ring";
    refuse(bad, DIST_ERR_UNSUPPORTED, "hier");
    bad = good, bad.codec = "int8", bad.type = DIST_INT32;
    refuse(bad, DIST_ERR_UNSUPPORTED, "float32");
    bad = good, bad.cluster = NULL;
    refuse(bad, DIST_ERR_ARGUMENT, "cluster");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_reduce),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_codecs),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bytes_between_sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
