/* What `auto` takes, and what goes together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "collective/collective.h"

static dist_algo_kind chosen(const dist_topology *topology, uint64_t bytes, const char *codec)
{
    dist_spec spec = {
        .kind = DIST_ALL_REDUCE, .type = DIST_FLOAT32, .count = bytes / 4, .topology = topology};
    assert_int_equal(dist_codec_parse(codec, DIST_SIMD_AUTO, &spec.codec), DIST_OK);
    assert_int_equal(dist_choose(&spec), DIST_OK);
    return spec.algo.kind;
}

static void test_auto(void **state)
{
    (void)state;
    dist_topology *one, *two, *wide;
    assert_int_equal(dist_topology_describe(&one, "8"), DIST_OK);
    assert_int_equal(dist_topology_describe(&two, "2x4"), DIST_OK);
    assert_int_equal(dist_topology_describe(&wide, "6,1,3"), DIST_OK);
    assert_int_equal(chosen(one, 8, "none"), DIST_ALGO_DOUBLING);
    assert_int_equal(chosen(two, 8, "none"), DIST_ALGO_DOUBLING);
    assert_int_not_equal(chosen(one, 64 << 20, "none"), DIST_ALGO_DOUBLING);
    assert_int_equal(chosen(two, 64 << 20, "none"), DIST_ALGO_HIER);
    assert_int_equal(chosen(wide, 64 << 20, "none"), DIST_ALGO_HIER);
    assert_int_equal(chosen(two, 8, "int8"), DIST_ALGO_HIER); /* only hier compresses */
    dist_topology_destroy(one);
    dist_topology_destroy(two);
    dist_topology_destroy(wide);
}

/* Where the links between sites are as good as those inside, there is no reason to go by sites. */
static void test_measured_links_count(void **state)
{
    (void)state;
    dist_topology *two;
    assert_int_equal(dist_topology_describe(&two, "2x4"), DIST_OK);
    dist_spec spec = {.kind = DIST_ALL_REDUCE, .type = DIST_FLOAT32, .count = 4096, .topology = two};
    double slow = dist_predicted(&spec, DIST_ALGO_RING);
    two->link = calloc(4, sizeof *two->link);
    for (int i = 0; i < 4; i++)
        two->link[i] = (dist_link){.latency = 1e-6, .bandwidth = 10e9};
    assert_true(dist_predicted(&spec, DIST_ALGO_RING) < slow / 10);
    two->link[1] = two->link[2] = (dist_link){.latency = 0.5, .bandwidth = 1e6};
    assert_true(dist_predicted(&spec, DIST_ALGO_RING) > 1);
    dist_topology_destroy(two);
}

/* A site of one rank has no link inside to measure: that must not make every algorithm look endless. */
static void test_sites_of_one_rank(void **state)
{
    (void)state;
    static const char *const shape[] = {"1,1", "1,4", "4,1"};
    for (int i = 0; i < 3; i++) {
        dist_topology *two;
        assert_int_equal(dist_topology_describe(&two, shape[i]), DIST_OK);
        dist_spec spec = {.kind = DIST_ALL_REDUCE, .type = DIST_FLOAT32, .count = 16 << 20, .topology = two};
        two->link = calloc(4, sizeof *two->link);
        for (int l = 0; l < 4; l++)
            two->link[l] = (dist_link){.latency = 10e-3, .bandwidth = 100e6};
        for (int site = 0; site < 2; site++)
            two->link[site * 3] = two->site[site].count > 1 ? (dist_link){1e-6, 10e9} : (dist_link){0, 0};
        for (int k = DIST_ALGO_MPI; k < DIST_ALGOS; k++)
            assert_true(dist_predicted(&spec, (dist_algo_kind)k) < 1000);
        assert_true(dist_predicted(&spec, DIST_ALGO_HIER) < 2);
        assert_int_not_equal(chosen(two, 64 << 20, "none"), DIST_ALGO_DOUBLING);
        dist_topology_destroy(two);
    }
}

static void refuse(dist_spec spec, const char *word)
{
    assert_int_equal(dist_choose(&spec), DIST_ERR_UNSUPPORTED);
    assert_non_null(strstr(dist_last_error(), word));
}

static void test_what_goes_together(void **state)
{
    (void)state;
    dist_topology *two;
    assert_int_equal(dist_topology_describe(&two, "2x2"), DIST_OK);
    dist_spec good = {.kind = DIST_ALL_REDUCE, .type = DIST_FLOAT32, .count = 100, .topology = two}, bad;
    assert_int_equal(dist_codec_parse("int8", DIST_SIMD_AUTO, &good.codec), DIST_OK);
    assert_int_equal(dist_choose(&good), DIST_OK);
    bad = good, bad.algo.kind = DIST_ALGO_RING;
    refuse(bad, "ring");
    bad = good, bad.type = DIST_BFLOAT16;
    assert_int_equal(dist_choose(&bad), DIST_OK);
    bad = good, bad.type = DIST_FLOAT64;
    refuse(bad, "float64");
    bad = good, bad.reduction = DIST_MIN;
    refuse(bad, "sums or averages");
    bad = good, bad.kind = DIST_ALL_GATHER;
    refuse(bad, "all-reduce");
    dist_topology_destroy(two);
}

static void test_names(void **state)
{
    (void)state;
    dist_algo algo;
    dist_collective_kind kind;
    for (int k = 0; k < DIST_ALGOS; k++) {
        assert_int_equal(dist_algo_parse(dist_algo_name((dist_algo_kind)k), &algo), DIST_OK);
        assert_int_equal(algo.kind, k);
    }
    for (int k = 0; k < DIST_COLLECTIVES; k++) {
        assert_int_equal(dist_collective_parse(dist_collective_name((dist_collective_kind)k), &kind),
                         DIST_OK);
        assert_int_equal(kind, k);
    }
    assert_int_equal(dist_algo_parse("hier:shots=2", &algo), DIST_OK);
    assert_int_equal(algo.shots, 2);
    assert_int_equal(dist_algo_parse("hier:shots=3", &algo), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_algo_parse("", &algo), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_collective_parse(NULL, &kind), DIST_ERR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_measured_links_count),
        cmocka_unit_test(test_sites_of_one_rank),
        cmocka_unit_test(test_what_goes_together),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
