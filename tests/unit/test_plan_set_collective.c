/* What sets of plans of collectives are predicted to cost, and their bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include <libdist/codec.h>
#include <libdist/plan.h>

static dist_plan_request request_of(const char *cluster, const char *algo, uint64_t count)
{
    dist_plan_request request = DIST_PLAN_REQUEST_INIT;
    request.cluster = cluster;
    request.algo = algo;
    request.count = count;
    return request;
}

static dist_plan_set *predict(const dist_plan_request *request, dist_plan_prediction *predicted)
{
    dist_plan_set *set;
    if (dist_plan_set_create(&set, request) < 0 || dist_plan_set_predict(set, predicted) < 0)
        fail_msg("%s on %s: %s", request->algo, request->cluster, dist_last_error());
    return set;
}

static void near(const char *what, double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-9 * fabs(wanted)))
        fail_msg("%s is %.17g instead of %.17g", what, found, wanted);
}

/* A ring of four: six rounds, each of a quarter of the vector and one latency. */
static void test_ring(void **state)
{
    (void)state;
    dist_plan_request request = request_of("4", "ring", 100);
    dist_plan_prediction predicted;
    request.inside = (dist_link){.latency = 2, .bandwidth = 10};
    dist_plan_set *set = predict(&request, &predicted);
    near("bound", predicted.bound, 2 * 0.75 * 400 / 10);
    near("makespan", predicted.makespan, 6 * (2 + 10));
    near("ratio", predicted.ratio, predicted.makespan / predicted.bound);
    assert_int_equal(predicted.links, 4);
    for (int r = 0; r < 4; r++) {
        assert_int_equal(predicted.link[r].bytes, 600);
        assert_string_equal(predicted.link[r].to, "site0");
        near("peak", predicted.rank[r].peak, 0);
        assert_true(predicted.rank[r].peak_bytes >= dist_plan_set_scratch(set, r));
    }
    assert_string_equal(predicted.link[3].from, "rank 3");
    dist_plan_set_destroy(set);
    request.reduce_rate = 50; /* three more times 100 bytes in the rounds that add */
    set = predict(&request, &predicted);
    near("makespan", predicted.makespan, 6 * (2 + 10) + 3 * 2);
    near("busy", predicted.rank[0].busy, 6);
    dist_plan_set_destroy(set);
}

/* Between two sites the whole vector crosses each way, encoded where there is a codec. */
static void test_bound_across(void **state)
{
    (void)state;
    dist_plan_request request = request_of("2x2", "hier", 1 << 20);
    dist_plan_prediction predicted;
    dist_codec *codec;
    request.across = (dist_link){.latency = 15e-3, .bandwidth = 25e6};
    dist_plan_set *set = predict(&request, &predicted);
    near("bound", predicted.bound, 4.0 * (1 << 20) / 25e6);
    assert_true(predicted.ratio >= 1 && predicted.ratio < 1.3);
    bool crossed = false;
    for (int l = 0; l < predicted.links; l++)
        if (strcmp(predicted.link[l].from, "site0") == 0) {
            assert_string_equal(predicted.link[l].to, "site1");
            assert_int_equal(predicted.link[l].bytes, dist_plan_set_bytes(set, 0, 1));
            near("busy", predicted.link[l].busy, (double)predicted.link[l].bytes / 25e6);
            crossed = true;
        }
    assert_true(crossed);
    dist_plan_set_destroy(set);

    request.codec = "int8";
    set = predict(&request, &predicted);
    assert_int_equal(dist_codec_create(&codec, "int8"), DIST_OK);
    near("bound", predicted.bound, (double)dist_codec_encoded_bytes(codec, 1 << 20) / 25e6);
    dist_codec_destroy(codec);
    dist_plan_set_destroy(set);

    request = request_of("4x1", "hier:shots=2", 1 << 20);
    set = predict(&request, &predicted);
    near("bound", predicted.bound, 0.5 * 4 * (1 << 20) / 125e6);
    dist_plan_set_destroy(set);
}

/* No algorithm is predicted to beat the bound, and all go to their end. */
static void test_no_faster_than_the_bound(void **state)
{
    (void)state;
    static const char *const clusters[] = {"1", "2", "5", "2x1", "2x3", "3,1", "3x2", "5x2"};
    static const char *const algorithms[] = {"auto", "mpi", "ring", "halving", "doubling", "hier"};
    for (size_t c = 0; c < sizeof clusters / sizeof *clusters; c++)
        for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++) {
            const dist_plan_request request = request_of(clusters[c], algorithms[a], 300000);
            dist_plan_prediction predicted;
            dist_plan_set *set = predict(&request, &predicted);
            if (predicted.makespan < predicted.bound)
                fail_msg("%s on %s: %g s are below the bound %g s", algorithms[a], clusters[c],
                         predicted.makespan, predicted.bound);
            assert_true((predicted.bound > 0) == (c > 0));
            for (int r = 0; r < predicted.ranks; r++)
                for (size_t i = 0; i < dist_plan_set_ops(set, r); i++) {
                    dist_plan_op op;
                    assert_int_equal(dist_plan_set_op(set, r, i, &op), DIST_OK);
                    assert_true(op.start <= op.end && op.end <= predicted.makespan);
                    assert_int_equal(op.stage, -1);
                    assert_true(strcmp(dist_plan_op_name(op.kind), "unknown") != 0);
                }
            dist_plan_set_destroy(set);
        }
}

/* What two sites exchange crosses once; a shift crosses by the ranks at their ends. */
static void test_bounds_of_exchanges(void **state)
{
    (void)state;
    dist_plan_prediction predicted;
    static const struct {
        const char *collective, *cluster, *algo;
        double bound; /* in blocks at 25 MB/s */
    } cases[] = {{"all-to-all", "2x2", "hier", 4}, {"all-to-all", "2x2", "ring", 4},
                 {"all-to-all", "3,1", "hier", 3}, {"all-to-all", "3x2", "hier", 4},
                 {"send-recv", "2x2", NULL, 1},    {"send-recv", "4x1", NULL, 1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        dist_plan_request request = request_of(cases[c].cluster, cases[c].algo, 1 << 20);
        request.collective = cases[c].collective;
        request.across = (dist_link){.latency = 15e-3, .bandwidth = 25e6};
        dist_plan_set *set = predict(&request, &predicted);
        near("bound", predicted.bound, cases[c].bound * 4 * (1 << 20) / 25e6);
        if (predicted.ratio < 1 || predicted.ratio > 1.2)
            fail_msg("%s %s on %s takes %g of its bound", cases[c].collective, cases[c].algo,
                     cases[c].cluster, predicted.ratio);
        dist_plan_set_destroy(set);
    }
    dist_plan_request request = request_of("5", "ring", 1000);
    request.collective = "all-to-all";
    request.inside = (dist_link){.latency = 2, .bandwidth = 10};
    dist_plan_set *set = predict(&request, &predicted);
    near("bound", predicted.bound, 4 * 400);
    assert_true(predicted.ratio >= 1);
    dist_plan_set_destroy(set);
}

/* auto goes by the links that the request describes: of few bytes, a narrow link between sites makes it take
 * hier. */
static void test_auto_knows_the_links(void **state)
{
    (void)state;
    static const double bandwidth[] = {1e6, 1e12};
    static const char *const taken[] = {"hier", "doubling"};
    for (int i = 0; i < 2; i++) {
        dist_plan_request request = request_of("2x4", "auto", 16), same = request_of("2x4", taken[i], 16);
        dist_plan_prediction predicted;
        request.across.bandwidth = same.across.bandwidth = bandwidth[i];
        dist_plan_set *set = predict(&request, &predicted), *wanted = predict(&same, &predicted);
        assert_int_equal(dist_plan_set_ops(set, 0), dist_plan_set_ops(wanted, 0));
        assert_int_equal(dist_plan_set_bytes(set, 0, 1), dist_plan_set_bytes(wanted, 0, 1));
        dist_plan_set_destroy(set);
        dist_plan_set_destroy(wanted);
    }
}

static void test_refused(void **state)
{
    (void)state;
    dist_plan_request request = request_of("2x2", "ring", 8);
    dist_plan_prediction predicted;
    dist_plan_pipeline shape;
    dist_plan_set *set;
    request.across.bandwidth = -1;
    assert_int_equal(dist_plan_set_create(&set, &request), DIST_ERR_ARGUMENT);
    assert_non_null(strstr(dist_last_error(), "across.bandwidth is -1"));
    request.across.bandwidth = 1;
    request.inside.latency = NAN;
    assert_int_equal(dist_plan_set_create(&set, &request), DIST_ERR_ARGUMENT);
    assert_non_null(strstr(dist_last_error(), "inside.latency is nan"));
    request.inside.latency = 0;
    assert_int_equal(dist_plan_set_create(&set, &request), DIST_OK);
    assert_int_equal(dist_plan_set_pipeline(set, &shape), DIST_ERR_STATE);
    assert_int_equal(dist_plan_set_write_schedule(set, stdout), DIST_ERR_STATE);
    assert_int_equal(dist_plan_set_predict(set, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_plan_set_predict(NULL, &predicted), DIST_ERR_ARGUMENT);
    dist_plan_set_destroy(set);
    assert_string_equal(dist_plan_op_name(DIST_PLAN_OP_KINDS), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_bound_across),
        cmocka_unit_test(test_bounds_of_exchanges),
        cmocka_unit_test(test_no_faster_than_the_bound),
        cmocka_unit_test(test_auto_knows_the_links),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
