/* All-to-all and send-recv are proven: on 1 to 9 ranks, equal and unequal sites, sizes 0, 1, prime and large; in place, on all ranks or
 * on some; with partners of any kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>

#include <libdist/plan.h>

#include "base/error.h"
#include "collective/collective.h"
#include "topology/topology.h"

enum { MOST_RANKS = 9 };

static const char *const algorithms[] = {"mpi", "ring", "hier", "auto", "halving"};
static const uint64_t counts[] = {0, 1, 509, 70001};

static void each_cluster(int most, void (*visit)(const char *cluster))
{
    char text[64];
    for (int n = 1; n <= most; n++) {
        snprintf(text, sizeof text, "%d", n);
        visit(text);
        for (int sites = 2; sites <= 4 && sites <= n; sites++)
            if (n % sites == 0) {
                snprintf(text, sizeof text, "%dx%d", sites, n / sites);
                visit(text);
            }
        if (n >= 3) {
            snprintf(text, sizeof text, "%d,%d", n - 1, 1);
            visit(text);
        }
        if (n >= 5) {
            snprintf(text, sizeof text, "%d,1,%d", n - 1 - n / 2, n / 2);
            visit(text);
        }
    }
}

static void complain(const char *what, const char *cluster, uint64_t count)
{
    print_error("%s on %s, count %llu: %s\n", what, cluster, (unsigned long long)count, dist_last_error());
    fail();
}

/* Windows so small that ops wait for each other. */
static dist_spec spec_of(const dist_topology *topology, dist_collective_kind kind, uint64_t count)
{
    return (dist_spec){.kind = kind,
                       .type = DIST_INT32,
                       .count = count,
                       .to = -1,
                       .from = -1,
                       .chunk_bytes = 12345,
                       .window_bytes = 32 << 10,
                       .topology = topology};
}

/* ---- all-to-all ---- */

/* Which ranks exchange in place: bit r. */
static dist_status prove_places(const dist_topology *topology, const char *algo, uint64_t count,
                                unsigned in_place)
{
    dist_plan *plan[MOST_RANKS] = {NULL};
    const dist_plan *const *plans = (const dist_plan *const *)plan;
    dist_contract contract = {0};
    dist_spec spec = spec_of(topology, DIST_ALL_TO_ALL, count);
    dist_status status = dist_algo_parse(algo, &spec.algo);
    for (int r = 0; r < topology->ranks && status == DIST_OK; r++) {
        spec.rank = r;
        spec.in_place = in_place >> r & 1;
        status = dist_collective_plan(&plan[r], &spec);
    }
    /* the claims of ranks that are in place and of others are in different buffers */
    for (int place = 0; place < 2 && status == DIST_OK; place++) {
        dist_contract all;
        spec.in_place = place;
        if ((status = dist_contract_begin(&all, &spec)) < 0)
            break;
        dist_claim *input = (dist_claim *)all.input, *output = (dist_claim *)all.output;
        size_t inputs = 0, outputs = 0;
        for (size_t i = 0; i < all.inputs; i++)
            if ((int)(in_place >> input[i].rank & 1) == place)
                input[inputs++] = input[i];
        for (size_t i = 0; i < all.outputs; i++)
            if ((int)(in_place >> output[i].rank & 1) == place)
                output[outputs++] = output[i];
        contract.input = realloc((void *)contract.input, (contract.inputs + inputs + 1) * sizeof *input);
        contract.output = realloc((void *)contract.output, (contract.outputs + outputs + 1) * sizeof *output);
        assert_true(contract.input && contract.output);
        memcpy((dist_claim *)contract.input + contract.inputs, input, inputs * sizeof *input);
        memcpy((dist_claim *)contract.output + contract.outputs, output, outputs * sizeof *output);
        contract.inputs += inputs;
        contract.outputs += outputs;
        contract.type = all.type;
        contract.divisor = all.divisor;
        dist_contract_end(&all);
    }
    if (status == DIST_OK)
        status = dist_verify(plans, topology->ranks, &contract);
    for (int r = 0; r < topology->ranks; r++)
        dist_plan_destroy(plan[r]);
    dist_contract_end(&contract);
    return status;
}

static void visit_all_to_all(const char *cluster)
{
    dist_topology *topology;
    assert_int_equal(dist_topology_describe(&topology, cluster), DIST_OK);
    const unsigned all = (1u << topology->ranks) - 1;
    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            const unsigned places[] = {0, all, 0x155 & all};
            for (size_t p = 0; p < sizeof places / sizeof *places; p++)
                if ((c < 3 || topology->ranks <= 6) &&
                    prove_places(topology, algorithms[a], counts[c], places[p]) != DIST_OK)
                    complain(algorithms[a], cluster, counts[c]);
        }
    dist_topology_destroy(topology);
}

static void test_all_to_all(void **state)
{
    (void)state;
    each_cluster(MOST_RANKS, visit_all_to_all);
}

/* A block that goes astray is found: the contract tells blocks apart. */
static void test_astray(void **state)
{
    (void)state;
    dist_plan *plan[3];
    dist_contract contract;
    dist_topology *topology;
    assert_int_equal(dist_topology_describe(&topology, "3"), DIST_OK);
    dist_spec spec = spec_of(topology, DIST_ALL_TO_ALL, 10);
    spec.algo.kind = DIST_ALGO_RING;
    for (int r = 0; r < 3; r++) {
        spec.rank = r;
        assert_int_equal(dist_collective_plan(&plan[r], &spec), DIST_OK);
    }
    assert_int_equal(dist_contract_begin(&contract, &spec), DIST_OK);
    assert_int_equal(plan[1]->op[0].kind, DIST_OP_SEND);
    plan[1]->op[0].src.offset = 40 - plan[1]->op[0].src.offset + 40; /* of another rank */
    assert_int_equal(dist_verify((const dist_plan *const *)plan, 3, &contract), DIST_ERR_PLAN);
    assert_non_null(strstr(dist_last_error(), "output element"));
    dist_contract_end(&contract);
    for (int r = 0; r < 3; r++)
        dist_plan_destroy(plan[r]);
    dist_topology_destroy(topology);
}

/* ---- send-recv ---- */

static dist_status prove_pairs(const dist_topology *topology, uint64_t count, const int *from)
{
    dist_plan *plan[MOST_RANKS] = {NULL};
    dist_contract contract;
    dist_spec spec = spec_of(topology, DIST_SEND_RECV, count);
    dist_status status = DIST_OK;
    for (int r = 0; r < topology->ranks && status == DIST_OK; r++) {
        spec.rank = r;
        spec.from = from[r];
        spec.to = -1;
        for (int q = 0; q < topology->ranks; q++)
            if (from[q] == r)
                spec.to = q;
        status = dist_collective_plan(&plan[r], &spec);
        if (status == DIST_OK && plan[r]->sequences > dist_send_recv_sequences(&spec))
            status = dist_fail(DIST_ERR_PLAN, "%u messages, %u tags", plan[r]->sequences,
                               dist_send_recv_sequences(&spec));
        if (status == DIST_OK && r > 0 && strcmp(plan[r]->label, plan[0]->label) != 0)
            status = dist_fail(DIST_ERR_PLAN, "'%s' is not '%s'", plan[r]->label, plan[0]->label);
    }
    if (status == DIST_OK && (status = dist_contract_begin_pairs(&contract, &spec, from)) == DIST_OK) {
        status = dist_verify((const dist_plan *const *)plan, topology->ranks, &contract);
        dist_contract_end(&contract);
    }
    for (int r = 0; r < topology->ranks; r++)
        dist_plan_destroy(plan[r]);
    return status;
}

/* Shifts by every distance, mirror images, one message alone, chains that end, all with themselves, nobody at all. */
static void visit_pairs(const char *cluster)
{
    dist_topology *topology;
    int from[MOST_RANKS];
    assert_int_equal(dist_topology_describe(&topology, cluster), DIST_OK);
    const int n = topology->ranks;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int pattern = 0; pattern < n + 4; pattern++) {
            for (int r = 0; r < n; r++)
                from[r] = pattern < n        ? (r + pattern) % n
                          : pattern == n     ? n - 1 - r
                          : pattern == n + 1 ? (r == n - 1 && n > 1 ? 0 : -1)
                          : pattern == n + 2 ? r - 1
                                             : -1;
            if (prove_pairs(topology, counts[c], from) != DIST_OK)
                complain("send-recv", cluster, counts[c]);
        }
    dist_topology_destroy(topology);
}

static void test_send_recv(void **state)
{
    (void)state;
    each_cluster(MOST_RANKS, visit_pairs);
}

static void test_unmatched(void **state)
{
    (void)state;
    dist_plan *plan[2];
    dist_contract contract;
    dist_topology *topology;
    assert_int_equal(dist_topology_describe(&topology, "1,1"), DIST_OK);
    dist_spec spec = spec_of(topology, DIST_SEND_RECV, 10);
    for (int r = 0; r < 2; r++) {
        spec.rank = r;
        spec.to = r == 0 ? 1 : -1; /* and nobody receives */
        assert_int_equal(dist_collective_plan(&plan[r], &spec), DIST_OK);
    }
    assert_int_equal(dist_contract_begin_pairs(&contract, &spec, (const int[]){-1, -1}), DIST_OK);
    assert_int_equal(dist_verify((const dist_plan *const *)plan, 2, &contract), DIST_ERR_PLAN);
    assert_non_null(strstr(dist_last_error(), "meets no RECV"));
    dist_contract_end(&contract);
    for (int r = 0; r < 2; r++)
        dist_plan_destroy(plan[r]);
    dist_topology_destroy(topology);
}

/* ---- how they go ---- */

static dist_plan *plan_of(const dist_topology *topology, dist_collective_kind kind, dist_algo_kind algo,
                          uint64_t count, int rank)
{
    dist_plan *plan;
    dist_spec spec = {.kind = kind, .type = DIST_INT32, .count = count, .topology = topology, .rank = rank};
    spec.algo.kind = algo;
    spec.to = (rank + 1) % topology->ranks;
    spec.from = (rank + topology->ranks - 1) % topology->ranks;
    assert_int_equal(dist_collective_plan(&plan, &spec), DIST_OK);
    return plan;
}

/* hier begins with what crosses, and nothing inside waits for it. */
static void test_crossing_first(void **state)
{
    (void)state;
    dist_topology *topology;
    assert_int_equal(dist_topology_describe(&topology, "2x3"), DIST_OK);
    dist_plan *plan = plan_of(topology, DIST_ALL_TO_ALL, DIST_ALGO_HIER, 16 << 20, 1);
    bool inside = false;
    for (size_t i = 0; i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        if (op->kind == DIST_OP_COPY)
            continue;
        inside |= op->channel == DIST_CHANNEL_INSIDE;
        assert_true(inside == (op->channel == DIST_CHANNEL_INSIDE));
        for (uint32_t w = 0; w < op->waits; w++)
            assert_int_equal(plan->op[plan->wait[op->first_wait + w]].channel, op->channel);
    }
    dist_plan_destroy(plan);
    dist_topology_destroy(topology);
}

/* However long, a rank has at most a window's bytes under way in one direction, and pieces have their sizes. */
static void test_bounded(void **state)
{
    (void)state;
    static const dist_collective_kind kinds[] = {DIST_ALL_TO_ALL, DIST_SEND_RECV};
    dist_topology *topology;
    assert_int_equal(dist_topology_describe(&topology, "2x2"), DIST_OK);
    for (size_t k = 0; k < 2; k++)
        for (int rank = 0; rank < 2; rank++) { /* in the shift rank 0 sends inside, rank 1 across */
            dist_plan *plan = plan_of(topology, kinds[k], DIST_ALGO_HIER, 16 << 20, rank);
            uint64_t free_bytes[2] = {0}, most[2] = {0};
            for (size_t i = 0; i < plan->ops; i++) {
                const dist_op *op = &plan->op[i];
                if (op->kind != DIST_OP_SEND)
                    continue;
                most[op->channel] = op->src.bytes > most[op->channel] ? op->src.bytes : most[op->channel];
                if (op->waits == 0)
                    free_bytes[op->channel] += op->src.bytes;
            }
            if (kinds[k] == DIST_ALL_TO_ALL || rank == 0) {
                assert_int_equal(most[DIST_CHANNEL_INSIDE], 512 << 10);
                assert_int_equal(free_bytes[DIST_CHANNEL_INSIDE], 4 << 20);
            }
            if (kinds[k] == DIST_ALL_TO_ALL || rank == 1) {
                assert_int_equal(most[DIST_CHANNEL_ACROSS], 48 << 10);
                assert_in_range(free_bytes[DIST_CHANNEL_ACROSS], (8 << 20) - (48 << 10), 8 << 20);
            }
            dist_plan_destroy(plan);
        }
    dist_topology_destroy(topology);
}

/* A ping-pong is not worth an engine: short plans run op after op. */
static void test_short(void **state)
{
    (void)state;
    dist_topology *topology;
    assert_int_equal(dist_topology_describe(&topology, "4"), DIST_OK);
    for (int rank = 0; rank < 4; rank++) {
        dist_plan *plan = plan_of(topology, DIST_SEND_RECV, DIST_ALGO_AUTO, 2, rank);
        assert_int_equal(plan->ops, 2);
        assert_true(dist_plan_is_short(plan));
        dist_plan_destroy(plan);
        plan = plan_of(topology, DIST_ALL_TO_ALL, DIST_ALGO_RING, 2, rank);
        assert_true(dist_plan_is_short(plan));
        for (size_t i = 0; i < 3; i++) /* all leave before one is waited for */
            assert_int_equal(plan->op[i].kind, DIST_OP_SEND);
        dist_plan_destroy(plan);
    }
    dist_topology_destroy(topology);
}

/* auto: by rounds on one site, crossing first on several; never MPI's. Whatever is asked for, a send-recv is the same. */
static void test_auto(void **state)
{
    (void)state;
    static const char *const clusters[] = {"1", "2", "8", "2x4", "3,1"};
    for (size_t c = 0; c < sizeof clusters / sizeof *clusters; c++)
        for (uint64_t count = 1; count < 100000000; count *= 10) {
            dist_topology *topology;
            assert_int_equal(dist_topology_describe(&topology, clusters[c]), DIST_OK);
            dist_spec spec = spec_of(topology, DIST_ALL_TO_ALL, count);
            assert_int_equal(dist_choose(&spec), DIST_OK);
            assert_int_equal(spec.algo.kind, topology->sites > 1 ? DIST_ALGO_HIER : DIST_ALGO_RING);
            assert_true(dist_predicted(&spec, DIST_ALGO_MPI) > dist_predicted(&spec, spec.algo.kind));
            for (int a = 0; a < DIST_ALGOS; a++) {
                dist_spec pair = spec_of(topology, DIST_SEND_RECV, count);
                pair.algo.kind = (dist_algo_kind)a;
                assert_int_equal(dist_choose(&pair), DIST_OK);
                assert_int_equal(pair.algo.kind, DIST_ALGO_RING);
            }
            dist_topology_destroy(topology);
        }
}

/* ---- sets ---- */

static void test_sets(void **state)
{
    (void)state;
    static const char *const kinds[] = {"all-to-all", "send-recv"};
    for (int k = 0; k < 2; k++) {
        dist_plan_set *set;
        dist_plan_prediction predicted;
        dist_plan_request request = DIST_PLAN_REQUEST_INIT;
        request.cluster = "2x2";
        request.collective = kinds[k];
        request.count = 1 << 20;
        assert_int_equal(dist_plan_set_create(&set, &request), DIST_OK);
        assert_int_equal(dist_plan_set_verify(set), DIST_OK);
        assert_int_equal(dist_plan_set_bytes(set, 0, 1), (k == 0 ? 4 : 1) * 4 << 20);
        assert_int_equal(dist_plan_set_predict(set, &predicted), DIST_OK);
        assert_true(predicted.bound > 0 && predicted.ratio >= 1 && predicted.ratio < 1.1);
        dist_plan_set_destroy(set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_to_all), cmocka_unit_test(test_astray),
        cmocka_unit_test(test_send_recv),  cmocka_unit_test(test_unmatched),
        cmocka_unit_test(test_bounded),    cmocka_unit_test(test_crossing_first),
        cmocka_unit_test(test_short),      cmocka_unit_test(test_auto),
        cmocka_unit_test(test_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
