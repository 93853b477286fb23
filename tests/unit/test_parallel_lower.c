/* Schedules as plans: proven under rendezvous, with every microbatch where it belongs; as fast as the dry run says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "parallel/lower.h"
#include "plan/predict.h"

enum { MOST = 16 };

static const char *const names[] = {
    "gpipe", "1f1b",   "eager1f1b", "eager1f1b:cap=3", "interleaved:v=2", "interleaved:v=3", "zb-h1", "zb-h2",
    "zb-v",  "v-half", "v-min",     "dualpipev",       "wan-1f1b",        "wan-zb",          "auto",  NULL};

typedef struct made {
    dist_schedule *schedule;
    dist_topology *topology;
    dist_lowering lowering;
    dist_codec codec;
    dist_plan *plan[MOST];
    int ranks;
} made;

static const dist_stage_times even[MOST] = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1},
                                            {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1},
                                            {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}};

static made lower(const char *name, int ranks, int microbatches, const char *cluster, const char *codec)
{
    made m = {.ranks = ranks};
    const dist_schedule_request request = {
        .name = name, .ranks = ranks, .microbatches = microbatches, .times = even};
    if (dist_schedule_create(&m.schedule, &request) < 0)
        fail_msg("%s", dist_last_error());
    assert_int_equal(dist_topology_describe(&m.topology, cluster), DIST_OK);
    assert_int_equal(dist_codec_parse(codec, DIST_SIMD_AUTO, &m.codec), DIST_OK);
    m.lowering = (dist_lowering){.schedule = m.schedule,
                                 .topology = m.topology,
                                 .ranks = ranks,
                                 .boundary_bytes = 1000,
                                 .boundary_type = DIST_FLOAT32,
                                 .codec = &m.codec,
                                 .times = even,
                                 .stash_bytes = 1200};
    for (int i = 0; i < ranks; i++)
        if (dist_lower(&m.plan[i], &m.lowering, i) < 0)
            fail_msg("%s: %s", name, dist_last_error());
    return m;
}

static void drop(made *m)
{
    for (int i = 0; i < m->ranks; i++)
        dist_plan_destroy(m->plan[i]);
    dist_schedule_destroy(m->schedule);
    dist_topology_destroy(m->topology);
}

static dist_status verify(const made *m, uint64_t limit)
{
    return dist_lower_verify((const dist_plan *const *)m->plan, &m->lowering, limit);
}

static void expect_time(const made *m)
{
    const double none[MOST] = {0};
    dist_cluster *cluster;
    dist_prediction predicted;
    dist_schedule_time dry;
    assert_int_equal(dist_cluster_line(&cluster, m->ranks, none, 0), DIST_OK);
    if (dist_predict((const dist_plan *const *)m->plan, cluster, false, &predicted) < 0)
        fail_msg("%s: %s", m->schedule->name, dist_last_error());
    assert_int_equal(dist_schedule_run(m->schedule, even, none, &dry), DIST_OK);
    if (fabs(predicted.makespan - dry.makespan) > 1e-9)
        fail_msg("%s, %d ranks, %d microbatches: the plans take %g, the schedule %g", m->schedule->name,
                 m->ranks, m->schedule->microbatches, predicted.makespan, dry.makespan);
    for (int r = 0; r < m->ranks; r++) {
        const uint64_t scratch = dist_plan_bytes(m->plan[r], DIST_BUFFER_SCRATCH);
        assert_int_equal(predicted.rank[r].peak - scratch, (uint64_t)lround(dry.peak[r] * 1200));
    }
    dist_prediction_end(&predicted, m->ranks);
    dist_schedule_time_end(&dry, m->ranks);
    dist_cluster_destroy(cluster);
}

static void every_schedule_is_sound(void **unused)
{
    static const char *const clusters[] = {"1", "2", "1,2", "2x2", "2,3", "3x2"};
    static const int microbatches[] = {1, 2, 5, 12};
    int made_plans = 0;
    (void)unused;
    for (int ranks = 1; ranks <= 6; ranks++)
        for (size_t m = 0; m < sizeof microbatches / sizeof *microbatches; m++)
            for (const char *const *name = names; *name; name++) {
                dist_schedule *schedule;
                const dist_schedule_request request = {*name, ranks, microbatches[m], even, NULL, 0, false};
                if (dist_schedule_create(&schedule, &request) < 0)
                    continue;
                dist_schedule_destroy(schedule);
                for (int codec = 0; codec < 2; codec++) {
                    made one =
                        lower(*name, ranks, microbatches[m], clusters[ranks - 1], codec ? "int8" : "none");
                    if (verify(&one, 0) < 0)
                        fail_msg("%s, %d ranks, %d microbatches: %s", *name, ranks, microbatches[m],
                                 dist_last_error());
                    if (!codec)
                        expect_time(&one);
                    made_plans++;
                    drop(&one);
                }
            }
    assert_true(made_plans > 300);
}

static uint64_t state = 7;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

/* Any schedule for any shape, times and latencies is proven as plans, or refused with a sentence. */
static void random_cases_are_proven_or_refused(void **unused)
{
    enum { CASES = 10000 };
    static const char *const clusters[] = {"1", "1,1", "1,2", "2x2", "2,3", "3x2"};
    int proven = 0, refused = 0;
    (void)unused;
    for (int c = 0; c < CASES; c++) {
        dist_stage_times times[6];
        double latency[5];
        made m = {.ranks = 1 + (int)draw(6)};
        for (int i = 0; i < 6; i++)
            times[i] = (dist_stage_times){draw(5), draw(5), draw(5)};
        for (int i = 0; i < 5; i++)
            latency[i] = draw(3) ? 0 : draw(40);
        const dist_schedule_request request = {.name = names[draw(sizeof names / sizeof *names - 1)],
                                               .ranks = m.ranks,
                                               .microbatches = 1 + (int)draw(10),
                                               .times = times,
                                               .latency = latency,
                                               .memory = draw(4) ? 0 : 1 + draw(4)};
        if (dist_schedule_create(&m.schedule, &request) < 0) {
            assert_true(strlen(dist_last_error()) > 20);
            refused++;
            continue;
        }
        assert_int_equal(dist_topology_describe(&m.topology, clusters[m.ranks - 1]), DIST_OK);
        assert_int_equal(dist_codec_parse(draw(2) ? "int8" : "none", DIST_SIMD_AUTO, &m.codec), DIST_OK);
        m.lowering = (dist_lowering){.schedule = m.schedule,
                                     .topology = m.topology,
                                     .ranks = m.ranks,
                                     .boundary_bytes = 4 + 4 * draw(30),
                                     .codec = &m.codec,
                                     .times = times,
                                     .stash_bytes = draw(100),
                                     .ahead = (int)draw(3)};
        for (int i = 0; i < m.ranks; i++)
            if (dist_lower(&m.plan[i], &m.lowering, i) < 0)
                fail_msg("%s: %s", request.name, dist_last_error());
        if (verify(&m, 0) < 0)
            fail_msg("case %d, %s, %d ranks, %d microbatches: %s", c, request.name, m.ranks,
                     request.microbatches, dist_last_error());
        drop(&m);
        proven++;
    }
    assert_true(proven > CASES / 2 && refused > CASES / 20);
}

static dist_op *find(made *m, int rank, dist_op_kind kind, int number)
{
    for (size_t i = 0; i < m->plan[rank]->ops; i++)
        if (m->plan[rank]->op[i].kind == kind && number-- == 0)
            return &m->plan[rank]->op[i];
    fail();
    return NULL;
}

static void expect_fault(made *m, const char *words)
{
    assert_int_equal(verify(m, 0), DIST_ERR_PLAN);
    if (!strstr(dist_last_error(), words))
        fail_msg("'%s' does not say '%s'", dist_last_error(), words);
    drop(m);
}

static void planted_faults_are_found(void **unused)
{
    (void)unused;
    made m = lower("1f1b", 3, 5, "3", "none");
    find(&m, 1, DIST_OP_CALL, 1)->src = find(&m, 1, DIST_OP_CALL, 0)->src; /* another microbatch's input */
    expect_fault(&m, "it needs the output of the forward of 0, 1");

    m = lower("1f1b", 3, 5, "3", "none");
    find(&m, 2, DIST_OP_CALL, 3)->microbatch = 0;
    expect_fault(&m, "was called before");

    m = lower("zb-h1", 3, 5, "3", "none");
    find(&m, 0, DIST_OP_CALL, 14)->held = 0; /* the last weight gradient keeps its stash */
    expect_fault(&m, "gives back 0 bytes; 1200 were taken");

    m = lower("zb-h1", 3, 5, "3", "none");
    m.plan[0]->op[m.plan[0]->ops - 1].held = -2400;
    expect_fault(&m, "gives back 2400 bytes");

    m = lower("gpipe", 2, 3, "2", "none");
    find(&m, 1, DIST_OP_CALL, 5)->call = DIST_CALL_WEIGHT;
    expect_fault(&m, "the backwards are not split");

    m = lower("1f1b", 2, 4, "2", "none");
    m.schedule->microbatches = 5; /* one more than the plans run */
    expect_fault(&m, "stage 0, microbatch 4: its forward is missing");

    m = lower("1f1b", 2, 4, "1,1", "bf16");
    find(&m, 1, DIST_OP_DECODE, 0)->src = find(&m, 1, DIST_OP_DECODE, 1)->src;
    expect_fault(&m, "ha"); /* races first, or the frame of another microbatch */
}

static void a_limit_is_kept(void **unused)
{
    (void)unused;
    made m = lower("gpipe", 2, 8, "2", "none");
    uint64_t most = 0;
    for (int r = 0; r < 2; r++) {
        const uint64_t all = dist_plan_bytes(m.plan[r], DIST_BUFFER_SCRATCH) + 8 * 1200;
        most = all > most ? all : most;
    }
    assert_int_equal(verify(&m, most), DIST_OK);
    assert_int_equal(verify(&m, most - 1), DIST_ERR_PLAN);
    assert_non_null(strstr(dist_last_error(), "above the limit"));
    drop(&m);
}

/* Fewer slots than messages under way: slower perhaps, never stuck. */
static void one_slot_ahead_is_enough(void **unused)
{
    (void)unused;
    for (const char *const *name = names; *name; name++) {
        made m = {.ranks = 4};
        const dist_schedule_request request = {*name, 4, 12, even, (const double[]){0, 5, 0}, 0, false};
        if (dist_schedule_create(&m.schedule, &request) < 0)
            fail_msg("%s", dist_last_error());
        m.lowering = (dist_lowering){.schedule = m.schedule, .ranks = 4, .boundary_bytes = 64, .ahead = 1};
        for (int i = 0; i < 4; i++)
            assert_int_equal(dist_lower(&m.plan[i], &m.lowering, i), DIST_OK);
        if (verify(&m, 0) < 0)
            fail_msg("%s: %s", *name, dist_last_error());
        drop(&m);
    }
}

static void disorder_is_refused(void **unused)
{
    static const char text[] = "schedule crossed ranks 2 chunks 1 microbatches 2 fused\nstages 0 1\n"
                               "0: F0.0 F0.1 B0.0 B0.1\n1: F1.1 F1.0 B1.0 B1.1\n";
    dist_schedule *schedule;
    dist_plan *plan;
    (void)unused;
    FILE *file = tmpfile();
    fputs(text, file);
    rewind(file);
    assert_int_equal(dist_schedule_read(&schedule, file, "crossed.txt"), DIST_OK);
    fclose(file);
    const dist_lowering l = {.schedule = schedule, .ranks = 2, .boundary_bytes = 8};
    assert_int_equal(dist_lower(&plan, &l, 1), DIST_ERR_UNSUPPORTED);
    assert_non_null(strstr(dist_last_error(), "in the same order"));
    dist_schedule_destroy(schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_schedule_is_sound),  cmocka_unit_test(random_cases_are_proven_or_refused),
        cmocka_unit_test(planted_faults_are_found), cmocka_unit_test(a_limit_is_kept),
        cmocka_unit_test(one_slot_ahead_is_enough), cmocka_unit_test(disorder_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
