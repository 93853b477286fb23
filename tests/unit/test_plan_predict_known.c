/* Predictions of collectives and pipelines whose time is known from a formula or from the literature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <libdist/status.h>

#include "collective/collective.h"
#include "plan/predict.h"

enum { MOST = 16 };

static void equal(double found, double wanted)
{
    if (!(found <= wanted && found >= wanted))
        fail_msg("%.17g instead of %.17g", found, wanted);
}

static const dist_cluster_link inside = {.latency = 0.5, .bandwidth = 64},
                               across = {.latency = 8, .bandwidth = 4};

/* ---- collectives ---- */

typedef struct collective {
    dist_topology *topology;
    dist_cluster *cluster;
    dist_plan *plan[MOST];
    dist_prediction prediction;
} collective;

static void all_reduce(collective *c, const char *where, const char *algo, uint64_t count)
{
    memset(c, 0, sizeof *c);
    dist_spec spec = {.kind = DIST_ALL_REDUCE, .count = count, .in_place = true};
    assert_int_equal(dist_topology_describe(&c->topology, where), DIST_OK);
    assert_int_equal(dist_algo_parse(algo, &spec.algo), DIST_OK);
    assert_int_equal(dist_codec_parse("none", DIST_SIMD_SCALAR, &spec.codec), DIST_OK);
    assert_int_equal(dist_cluster_create(&c->cluster, c->topology, inside, across), DIST_OK);
    c->cluster->reduce_rate = 32;
    spec.topology = c->topology;
    for (int r = 0; r < c->topology->ranks; r++) {
        spec.rank = r;
        assert_int_equal(dist_collective_plan(&c->plan[r], &spec), DIST_OK);
    }
    assert_int_equal(dist_predict((const dist_plan *const *)c->plan, c->cluster, true, &c->prediction),
                     DIST_OK);
}

static void finish(collective *c)
{
    for (int r = 0; r < c->topology->ranks; r++)
        dist_plan_destroy(c->plan[r]);
    dist_prediction_end(&c->prediction, c->topology->ranks);
    dist_cluster_destroy(c->cluster);
    dist_topology_destroy(c->topology);
}

/* What the SENDs of the plans put on a link. */
static dist_predicted_link sends_on(const collective *c, int link)
{
    const dist_topology *t = c->topology;
    dist_predicted_link sum = {0};
    for (int r = 0; r < t->ranks; r++)
        for (size_t i = 0; i < c->plan[r]->ops; i++) {
            const dist_op *op = &c->plan[r]->op[i];
            if (op->kind != DIST_OP_SEND)
                continue;
            int from = t->place[r].site, to = t->place[op->peer].site;
            if (link == (from == to ? r : t->ranks + from * t->sites + to)) {
                sum.bytes += op->src.bytes;
                sum.messages++;
                sum.busy += (double)op->src.bytes / (from == to ? inside : across).bandwidth;
            }
        }
    return sum;
}

static void test_links_carry_what_the_plans_send(void **state)
{
    (void)state;
    static const char *const algo[] = {"ring", "halving", "doubling", "hier"};
    static const char *const where[] = {"2x2", "3,1,2"};
    for (size_t i = 0; i < 4; i++)
        for (size_t w = 0; w < 2; w++) {
            collective c;
            uint64_t total = 0;
            all_reduce(&c, where[w], algo[i], 1000);
            for (int l = 0; l < c.cluster->links; l++) {
                dist_predicted_link wanted = sends_on(&c, l);
                assert_int_equal(c.prediction.link[l].bytes, wanted.bytes);
                assert_int_equal(c.prediction.link[l].messages, wanted.messages);
                equal(c.prediction.link[l].busy, wanted.busy);
                assert_true(wanted.busy <= c.prediction.makespan);
                total += wanted.bytes;
            }
            if (i == 0 && w == 0)
                assert_int_equal(total,
                                 4 * 2 * 3 * 1000); /* 2 (n - 1) / n of 4,000 bytes for each of n ranks */
            finish(&c);
        }
}

/* Two ranks exchange halves, add, and exchange the sums: 2 (N / 2W + L) + N / 2R. */
static void test_ring_of_two(void **state)
{
    (void)state;
    collective c;
    all_reduce(&c, "2", "ring", 1024);
    equal(c.prediction.makespan, 2 * (2048 / 64.0 + 0.5) + 2048 / 32.0);
    for (int r = 0; r < 2; r++) {
        equal(c.prediction.rank[r].busy, 64); /* in its REDUCE */
        equal(c.prediction.rank[r].bubble, c.prediction.makespan - 64);
        equal(c.prediction.link[r].busy, 64);
        assert_int_equal(c.prediction.rank[r].peak, dist_plan_bytes(c.plan[r], DIST_BUFFER_SCRATCH));
    }
    finish(&c);
    all_reduce(&c, "1x2", "ring", 1024); /* the same cluster */
    equal(c.prediction.makespan, 129);
    finish(&c);
    all_reduce(&c, "2x1", "ring", 1024); /* two sites */
    equal(c.prediction.makespan, 2 * (2048 / 4.0 + 8) + 64);
    assert_int_equal(c.prediction.link[2 + 1].bytes, 4096);
    assert_int_equal(c.prediction.link[2 + 2].bytes, 4096);
    finish(&c);
}

/* n ranks of one site are alike: 2 (n - 1) (N / nW + L) + (n - 1) N / nR, and each does the same at the same times. */
static void test_ring_is_symmetric(void **state)
{
    (void)state;
    collective c;
    all_reduce(&c, "8", "ring", 1024);
    equal(c.prediction.makespan, 14 * (512 / 64.0 + 0.5) + 7 * 512 / 32.0);
    for (int r = 1; r < 8; r++) {
        assert_memory_equal(&c.prediction.rank[0], &c.prediction.rank[r], sizeof c.prediction.rank[0]);
        assert_memory_equal(c.prediction.start[0], c.prediction.start[r], c.plan[0]->ops * sizeof(double));
        assert_memory_equal(c.prediction.end[0], c.prediction.end[r], c.plan[0]->ops * sizeof(double));
    }
    finish(&c);
}

/* Each of 16 ranks sends to all others on 16 channels, all receivers ready: its link is never idle. */
static void test_everyone_to_everyone(void **state)
{
    (void)state;
    collective c = {0};
    assert_int_equal(dist_topology_describe(&c.topology, "16"), DIST_OK);
    assert_int_equal(dist_cluster_create(&c.cluster, c.topology, inside, across), DIST_OK);
    for (int r = 0; r < 16; r++) {
        dist_plan *plan = c.plan[r] = dist_plan_create(r, 16, "everyone to everyone");
        dist_plan_add_buffer(plan, DIST_BUFFER_USER, 8192, "data");
        dist_plan_set_channels(plan, 16);
        for (int i = 0; i < 15 * 16; i++) {
            int peer = (r + 1 + i / 16) % 16, channel = (i + r) % 16;
            uint64_t bytes = channel % 2 ? 16 : 8, place = (uint64_t)(16 * peer + channel) * 16;
            dist_plan_send(plan, channel, peer, dist_slice_of(0, 0, bytes));
            dist_plan_recv(plan, channel, peer, dist_slice_of(0, 4096 + place, bytes));
        }
        assert_int_equal(dist_plan_finish(plan), DIST_OK);
    }
    assert_int_equal(dist_predict((const dist_plan *const *)c.plan, c.cluster, false, &c.prediction),
                     DIST_OK);
    for (int r = 0; r < 16; r++) {
        assert_int_equal(c.prediction.link[r].bytes, 15 * 192);
        assert_int_equal(c.prediction.link[r].messages, 240);
    }
    equal(c.prediction.makespan, 15 * 192 / 64.0 + 0.5);
    finish(&c);
}

static void test_measured_links_are_taken(void **state)
{
    (void)state;
    dist_topology *topology;
    dist_cluster *cluster;
    double latency = -1;
    assert_int_equal(dist_topology_describe(&topology, "2x1"), DIST_OK);
    topology->link = calloc(4, sizeof *topology->link);
    topology->link[1] = (dist_link){.latency = 5, .bandwidth = 7};
    assert_int_equal(dist_cluster_create(&cluster, topology, inside, across), DIST_OK);
    int link = cluster->route(cluster->user, 0, 1, &latency);
    assert_int_equal(link, 3);
    equal(latency, 5);
    equal(cluster->link[link].bandwidth, 7);
    dist_cluster_destroy(cluster);
    dist_cluster_destroy(NULL);
    dist_topology_destroy(topology);
}

/* ---- pipelines: the LAG family with its published figures ---- */

typedef struct lag {
    int ranks, microbatches;
    int before[MOST]; /* forwards before the first backward */
    int weight;       /* as before, of the weights' gradient; -1: with the backward */
    double latency[MOST];
} lag;

static dist_slice slot(uint32_t buffer, int microbatch)
{
    return dist_slice_of(buffer, (uint64_t)microbatch * 8, 8);
}

static const dist_slice none = {.buffer = DIST_NO_BUFFER};

/* Each microbatch has slots of its own, so that no message waits for room. */
static void emit(dist_plan *plan, const lag *l, dist_call_kind kind, int x)
{
    int r = plan->rank, step = kind == DIST_CALL_FORWARD ? 1 : -1;
    uint32_t in = kind == DIST_CALL_FORWARD ? 0 : 2;
    bool from = r - step >= 0 && r - step < l->ranks, to = r + step >= 0 && r + step < l->ranks;
    dist_stage_call call = {.kind = kind, .cost = 1, .dst = none, .src = none, .state = none};
    if (kind == DIST_CALL_WEIGHT) {
        dist_plan_call(plan, &call);
        return;
    }
    if (from)
        dist_plan_recv(plan, step > 0, r - step, slot(in, x));
    call.cost = kind == DIST_CALL_FULL ? 2 : 1;
    call.held = step * 100;
    call.src = from ? slot(in, x) : none;
    call.dst = to ? slot(in + 1, x) : none;
    dist_plan_call(plan, &call);
    if (to)
        dist_plan_send(plan, step > 0, r + step, slot(in + 1, x));
}

static dist_plan *lag_plan(const lag *l, int rank)
{
    static const char *const names[] = {"in", "out", "gradient-in", "gradient-out"};
    dist_plan *plan = dist_plan_create(rank, l->ranks, "lag");
    assert_non_null(plan);
    for (int b = 0; b < 4; b++)
        dist_plan_add_buffer(plan, DIST_BUFFER_USER, 8 * (uint64_t)l->microbatches, names[b]);
    int m = l->microbatches, a = l->before[rank], w = l->weight;
    for (int x = 0; x < m + (w > a ? w : a); x++) {
        if (x < m)
            emit(plan, l, DIST_CALL_FORWARD, x);
        if (x >= a && x - a < m)
            emit(plan, l, w < 0 ? DIST_CALL_FULL : DIST_CALL_BACKWARD, x - a);
        if (w >= 0 && x >= w && x - w < m)
            emit(plan, l, DIST_CALL_WEIGHT, x - w);
    }
    assert_int_equal(dist_plan_finish(plan), DIST_OK);
    return plan;
}

static void predict_lag(const lag *l, dist_prediction *prediction)
{
    dist_plan *plan[MOST];
    dist_cluster *cluster;
    for (int r = 0; r < l->ranks; r++)
        plan[r] = lag_plan(l, r);
    assert_int_equal(dist_cluster_line(&cluster, l->ranks, l->latency, 0), DIST_OK);
    assert_int_equal(dist_predict((const dist_plan *const *)plan, cluster, false, prediction), DIST_OK);
    assert_null(prediction->start);
    dist_cluster_destroy(cluster);
    for (int r = 0; r < l->ranks; r++)
        dist_plan_destroy(plan[r]);
}

/* F = B = W = 1, 8 stages, 128 microbatches, a latency in the middle: makespans that others found by a dry run. */
static void test_a_slow_edge_costs_what_is_known(void **state)
{
    (void)state;
    static const struct {
        int c;
        double one_f_one_b, eager, zb_h1, wan;
    } known[] = {{0, 405, 405, 391, 405}, {3, 783, 525, 709, 411}, {24, 3429, 2247, 3355, 453}};
    for (size_t k = 0; k < 3; k++) {
        lag one = {.ranks = 8, .microbatches = 128, .weight = -1}, eager, zb, wan;
        one.latency[3] = known[k].c;
        eager = zb = wan = one;
        zb.weight = 7;
        for (int i = 0; i < 8; i++) {
            one.before[i] = zb.before[i] = 7 - i;
            eager.before[i] = 2 * (7 - i);
            wan.before[i] = 7 - i + (i <= 3 ? (2 * known[k].c + 2) / 3 : 0);
        }
        const lag *all[] = {&one, &eager, &zb, &wan};
        const double wanted[] = {known[k].one_f_one_b, known[k].eager, known[k].zb_h1, known[k].wan};
        for (int i = 0; i < 4; i++) {
            dist_prediction p;
            predict_lag(all[i], &p);
            equal(p.makespan, wanted[i]);
            dist_prediction_end(&p, 8);
        }
    }
}

static void test_bubbles_and_peaks_of_1f1b_and_gpipe(void **state)
{
    (void)state;
    for (int p = 1; p <= MOST; p++)
        for (int m = 1; m <= 20; m += 6)
            for (int gpipe = 0; gpipe < 2; gpipe++) {
                lag l = {.ranks = p, .microbatches = m, .weight = -1};
                dist_prediction found;
                for (int i = 0; i < p; i++)
                    l.before[i] = gpipe || p - 1 - i > m - 1 ? m - 1 : p - 1 - i;
                predict_lag(&l, &found);
                equal(found.makespan, 3 * (m + p - 1));
                equal(found.span, 3 * (m + p - 1)); /* of rank 0, the first and the last to work */
                for (int i = 0; i < p; i++) {
                    int flight = gpipe || p - i > m ? m : p - i;
                    equal(found.rank[i].busy, 3 * m);
                    equal(found.rank[i].bubble, 3 * (p - 1));
                    equal(found.rank[i].begin, i);
                    equal(found.rank[i].end, 3 * (m + p - 1) - 2 * i);
                    assert_int_equal(found.rank[i].peak, 100 * flight);
                }
                dist_prediction_end(&found, p);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_carry_what_the_plans_send),
        cmocka_unit_test(test_ring_of_two),
        cmocka_unit_test(test_ring_is_symmetric),
        cmocka_unit_test(test_everyone_to_everyone),
        cmocka_unit_test(test_measured_links_are_taken),
        cmocka_unit_test(test_a_slow_edge_costs_what_is_known),
        cmocka_unit_test(test_bubbles_and_peaks_of_1f1b_and_gpipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
