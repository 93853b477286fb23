/* All-reduces of device memory: proven with the device wire inside sites and without, before and after they are staged, on 1
 * to 4 sites of 1 to 4 ranks; and what crosses between sites is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "collective/collective.h"
#include "plan/predict.h"
#include "plan/stage.h"

enum { MOST = 16, SITES = 4 };

static const char *const clusters[] = {"1",   "2",   "3",   "4",   "1,1",   "2x2",   "2x3",     "2x4",
                                       "3x1", "3x2", "3x3", "3x4", "4x1",   "4x2",   "4x3",     "4x4",
                                       "2,1", "1,3", "4,2", "2,3", "1,2,4", "3,1,1", "3,1,2,4", "2,4,2,3"};

typedef struct job {
    dist_topology *topology;
    dist_spec spec;
    dist_plan *plan[MOST];
    int ranks;
} job;

static void describe(const job *j, char *text, size_t size)
{
    snprintf(text, size, "%s, team %d", j->plan[0]->label, j->plan[0]->team != NULL);
}

/* A site of one rank has no team. */
static void make_plans(job *j, bool team)
{
    for (int r = 0; r < j->ranks; r++) {
        dist_spec spec = j->spec;
        spec.rank = r;
        spec.team = team && j->topology->site[j->topology->place[r].site].count > 1;
        assert_int_equal(dist_collective_plan(&j->plan[r], &spec), DIST_OK);
        assert_true(!j->plan[r]->team || spec.team);
    }
}

static void end_plans(job *j)
{
    for (int r = 0; r < j->ranks; r++)
        dist_plan_destroy(j->plan[r]);
}

static uint64_t most_scratch(const job *j)
{
    uint64_t most = 0;
    for (int r = 0; r < j->ranks; r++) {
        const uint64_t bytes = dist_plan_bytes(j->plan[r], DIST_BUFFER_SCRATCH);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void verify(const job *j, uint64_t scratch_limit)
{
    char text[256];
    dist_contract contract;
    assert_int_equal(dist_contract_begin(&contract, &j->spec), DIST_OK);
    contract.scratch_limit = scratch_limit;
    const dist_status status = dist_verify((const dist_plan *const *)j->plan, j->ranks, &contract);
    dist_contract_end(&contract);
    describe(j, text, sizeof text);
    if (status != DIST_OK)
        fail_msg("%d ranks on %d sites, %s: %s", j->ranks, j->topology->sites, text, dist_last_error());
}

/* Messages leave device memory as they are, or by pinned memory. */
static void verify_staged(job *j, bool direct)
{
    static const dist_memory user[] = {DIST_MEMORY_CUDA, DIST_MEMORY_CUDA};
    for (int r = 0; r < j->ranks; r++)
        assert_int_equal(dist_plan_stage(&j->plan[r], user, direct), DIST_OK);
    verify(j, 0);
}

/* Bytes from site to site, and inside, as predicted. */
static void predict(const job *j, uint64_t across[SITES * SITES], uint64_t *inside)
{
    const int ranks = j->ranks, pairs = j->topology->sites * j->topology->sites;
    dist_cluster *cluster;
    dist_prediction prediction;
    const dist_cluster_link near = {1e-5, 1e10}, far = {1e-2, 1e7};
    assert_int_equal(dist_cluster_create(&cluster, j->topology, near, far), DIST_OK);
    if (dist_predict((const dist_plan *const *)j->plan, cluster, false, &prediction) != DIST_OK)
        fail_msg("%s: %s", j->plan[0]->label, dist_last_error());
    *inside = 0;
    for (int r = 0; r < ranks; r++)
        *inside += prediction.link[r].bytes;
    for (int p = 0; p < pairs; p++)
        across[p] = prediction.link[ranks + p].bytes;
    dist_prediction_end(&prediction, ranks);
    dist_cluster_destroy(cluster);
}

static void prove(job *j)
{
    uint64_t with[SITES * SITES] = {0}, without[SITES * SITES] = {0}, inside[2];
    make_plans(j, false);
    const uint64_t scratch = most_scratch(j);
    verify(j, scratch);
    predict(j, without, &inside[0]);
    verify_staged(j, false);
    end_plans(j);
    make_plans(j, true);
    verify(j, scratch); /* needs no slots inside the site */
    predict(j, with, &inside[1]);
    assert_memory_equal(with, without, sizeof with);
    verify_staged(j, false);
    predict(j, with, &inside[1]);
    assert_memory_equal(with, without, sizeof with);
    end_plans(j);
    make_plans(j, true);
    verify_staged(j, true);
    end_plans(j);
    const int sites = j->topology->sites;
    for (int p = 0; p < sites * sites; p++) /* every site sends to every other, and none to itself */
        assert_true(j->spec.count < 1000 || (with[p] > 0) == (p / sites != p % sites));
    assert_true(j->spec.count == 0 || (inside[1] > 0) == (sites < j->ranks));
}

static void complete_spec(dist_spec *spec, const char *codec)
{
    assert_int_equal(dist_codec_parse(codec, DIST_SIMD_SCALAR, &spec->codec), DIST_OK);
    spec->kind = DIST_ALL_REDUCE;
    spec->feedback = spec->codec.feedback;
    spec->device = true;
    spec->algo.kind = DIST_ALGO_HIER;
}

static void each_cluster(dist_spec spec, const char *codec, uint64_t window)
{
    complete_spec(&spec, codec);
    spec.window_bytes = window;
    for (size_t c = 0; c < sizeof clusters / sizeof *clusters; c++) {
        job j = {.spec = spec};
        assert_int_equal(dist_topology_describe(&j.topology, clusters[c]), DIST_OK);
        j.spec.topology = j.topology;
        j.ranks = j.topology->ranks;
        prove(&j);
        dist_topology_destroy(j.topology);
    }
}

static const uint64_t counts[] = {0, 1, 3, 1009, 4096, 65536, 200003};

static void test_sums(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const dist_spec spec = {.type = DIST_FLOAT32, .count = counts[c], .in_place = c % 2 == 0};
        each_cluster(spec, "none", 64 << 10);
        each_cluster(spec, "int8", 64 << 10);
        each_cluster(spec, "topk:density=0.01", 64 << 10);
    }
}

static void test_averages(void **state)
{
    (void)state;
    for (size_t c = 1; c < sizeof counts / sizeof *counts; c++) {
        const dist_spec spec = {
            .type = DIST_BFLOAT16, .reduction = DIST_AVERAGE, .count = counts[c], .in_place = c % 2 == 1};
        each_cluster(spec, "none", 64 << 10);
        each_cluster(spec, "int8", 64 << 10);
        each_cluster(spec, "topk:density=0.01", 64 << 10);
    }
}

static void test_minima(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        each_cluster((dist_spec){.type = DIST_INT32,
                                 .reduction = DIST_MIN,
                                 .count = counts[c],
                                 .in_place = true,
                                 .algo = {.shots = 1 + (int)c % 2}},
                     "none", 64 << 10);
}

/* With the pieces, and windows, that it has in use. */
static void test_large(void **state)
{
    (void)state;
    const dist_spec spec = {
        .type = DIST_FLOAT32, .reduction = DIST_AVERAGE, .count = 8 << 20, .in_place = true};
    each_cluster(spec, "none", 0);
    each_cluster(spec, "int8", 0);
}

/* Whole chunks go round a ring, which has as many bytes as pieces sent to their owners and back; of others every rank has
 * more than its own. */
static void test_bytes_inside(void **state)
{
    (void)state;
    enum { SHARD = 12 * 1024 * 40 }; /* twelve pieces of a rail */
    static const struct {
        const char *cluster;
        uint64_t count;
        bool even;
    } cases[] = {{"2x2", 2 * SHARD, true}, {"2x4", 4 * SHARD, true},       {"4x2", 2 * SHARD, true},
                 {"3x3", 3 * SHARD, true}, {"2x4", 4 * SHARD + 64, false}, {"4,2", 2 * SHARD, false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        uint64_t across[SITES * SITES], inside[2];
        job j = {.spec = {.type = DIST_FLOAT32, .count = cases[c].count, .in_place = true}};
        complete_spec(&j.spec, "none");
        assert_int_equal(dist_topology_describe(&j.topology, cases[c].cluster), DIST_OK);
        j.spec.topology = j.topology;
        j.ranks = j.topology->ranks;
        for (int team = 0; team < 2; team++) {
            make_plans(&j, team);
            predict(&j, across, &inside[team]);
            end_plans(&j);
        }
        const uint64_t bytes = 4 * cases[c].count, each = (uint64_t)j.topology->site[0].count - 1;
        if (cases[c].even)
            assert_int_equal(inside[1], 2 * (uint64_t)j.topology->sites * each * bytes);
        assert_true(cases[c].even ? inside[1] == inside[0] : inside[1] > inside[0]);
        dist_topology_destroy(j.topology);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),  cmocka_unit_test(test_averages),     cmocka_unit_test(test_minima),
        cmocka_unit_test(test_large), cmocka_unit_test(test_bytes_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
