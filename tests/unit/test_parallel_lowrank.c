/* Plans of buckets that send factors: what is compressed, and that every gradient is averaged on any cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "parallel/lowrank.h"
#include "plan/verify.h"

enum { PARAMETERS = 8, MOST_RANKS = 12 };

/* Addresses are never used: what has one has a buffer of its own. */
static float own[1];
static const dist_parameter model[PARAMETERS] = {
    {"qkv", NULL, 96 * 32, DIST_FLOAT32, 96},  {"bias", NULL, 97, DIST_FLOAT32, 0},
    {"out", own, 32 * 70, DIST_FLOAT32, 32},   {"none", NULL, 0, DIST_FLOAT32, 4},
    {"gain", own, 33, DIST_FLOAT32, 1},        {"flat", NULL, 2 * 500, DIST_FLOAT32, 2},
    {"twin", NULL, 96 * 32, DIST_FLOAT32, 96}, {"large", own, 130 * 257, DIST_FLOAT32, 130},
};

typedef struct bucket {
    dist_topology *topology;
    dist_spec spec;
    dist_placement place[PARAMETERS];
    dist_plan *plan[MOST_RANKS];
} bucket;

static bucket bucket_of(const char *cluster, const char *codec, dist_algo_kind algo, dist_reduction reduction)
{
    bucket b = {0};
    assert_int_equal(dist_topology_describe(&b.topology, cluster), DIST_OK);
    b.spec = (dist_spec){.kind = DIST_ALL_REDUCE,
                         .algo = {.kind = algo},
                         .type = DIST_FLOAT32,
                         .reduction = reduction,
                         .in_place = true,
                         .topology = b.topology};
    assert_int_equal(dist_codec_parse(codec, DIST_SIMD_AUTO, &b.spec.codec), DIST_OK);
    assert_int_equal(dist_buckets_place(model, PARAMETERS, (uint64_t)1 << 30, (uint64_t)1 << 30, b.place), 1);
    for (size_t i = 0; i < PARAMETERS; i++) {
        const uint64_t end = b.place[i].offset / 4 + model[i].count;
        b.spec.count = end > b.spec.count ? end : b.spec.count;
    }
    return b;
}

static void make_plans(bucket *b)
{
    for (b->spec.rank = 0; b->spec.rank < b->topology->ranks; b->spec.rank++)
        assert_int_equal(dist_lowrank_plan(&b->plan[b->spec.rank], &b->spec, 0, model, b->place, PARAMETERS),
                         DIST_OK);
}

static void bucket_end(bucket *b)
{
    for (int r = 0; r < MOST_RANKS; r++)
        dist_plan_destroy(b->plan[r]);
    dist_topology_destroy(b->topology);
}

/* Every gradient, where it is, holds the sum or average of all ranks. */
static dist_status verify(const bucket *b)
{
    static dist_claim claim[MOST_RANKS * PARAMETERS];
    const int ranks = b->topology->ranks;
    size_t claims = 0;
    for (int r = 0; r < ranks; r++) {
        uint32_t user = 1;
        for (size_t i = 0; i < PARAMETERS; i++)
            if (model[i].count > 0)
                claim[claims++] = (dist_claim){.rank = r,
                                               .buffer = model[i].gradient ? user++ : 0,
                                               .offset = model[i].gradient ? 0 : b->place[i].offset,
                                               .count = model[i].count,
                                               .first = i * 100000,
                                               .from = -1};
    }
    const dist_contract contract = {.type = DIST_FLOAT32,
                                    .input = claim,
                                    .inputs = claims,
                                    .output = claim,
                                    .outputs = claims,
                                    .divisor = b->spec.reduction == DIST_AVERAGE ? ranks : 1};
    return dist_verify((const dist_plan *const *)b->plan, ranks, &contract);
}

static void gradients_are_averaged(void **state)
{
    (void)state;
    static const char *const clusters[] = {"1,1", "2,1", "2x2", "3x2", "3,1,2", "5x2", "6x1"};
    static const dist_algo_kind algos[] = {DIST_ALGO_AUTO, DIST_ALGO_HIER, DIST_ALGO_RING, DIST_ALGO_HALVING};
    for (size_t c = 0; c < sizeof clusters / sizeof *clusters; c++)
        for (size_t a = 0; a < sizeof algos / sizeof *algos; a++) {
            bucket b = bucket_of(clusters[c], a % 2 ? "powersgd:rank=3" : "powersgd", algos[a],
                                 a % 2 ? DIST_SUM : DIST_AVERAGE);
            make_plans(&b);
            const dist_status status = verify(&b);
            if (status < 0)
                print_error("%s: %s\n", clusters[c], dist_last_error());
            assert_int_equal(status, DIST_OK);
            bucket_end(&b);
        }
}

static size_t ops_of(const dist_plan *plan, dist_op_kind kind)
{
    size_t found = 0;
    for (size_t i = 0; i < plan->ops; i++)
        found += plan->op[i].kind == kind;
    return found;
}

static void a_lost_op_is_found(void **state)
{
    (void)state;
    bucket b = bucket_of("1,1", "powersgd", DIST_ALGO_DOUBLING, DIST_AVERAGE);
    make_plans(&b);
    for (size_t i = b.plan[1]->ops; i-- > 0;)
        if (b.plan[1]->op[i].kind == DIST_OP_EXPAND) {
            b.plan[1]->op[i].src.offset += 64;
            break;
        }
    assert_int_equal(verify(&b), DIST_ERR_PLAN);
    bucket_end(&b);
}

static void what_is_compressed(void **state)
{
    (void)state;
    bucket b = bucket_of("1,1", "powersgd", DIST_ALGO_HIER, DIST_AVERAGE);
    assert_int_equal(dist_lowrank_matrices(&b.spec, 0, model, b.place, PARAMETERS), 4);
    assert_int_equal(dist_lowrank_matrices(&b.spec, 1, model, b.place, PARAMETERS), 0);
    make_plans(&b);
    const dist_plan *plan = b.plan[1];
    assert_int_equal(ops_of(plan, DIST_OP_PROJECT), 4);
    assert_int_equal(ops_of(plan, DIST_OP_EXPAND), 4);
    uint64_t sent = 0;
    for (size_t i = 0; i < plan->ops; i++)
        sent += plan->op[i].kind == DIST_OP_SEND ? plan->op[i].src.bytes : 0;
    const uint64_t factors = 4 * (96 + 70 + 96 + 257), vectors = 97 + 33 + 1000;
    assert_in_range(sent, 4 * (factors + vectors), 4 * (factors + vectors + 7 * 16));
    assert_in_range(dist_plan_bytes(plan, DIST_BUFFER_STATE),
                    4 * (2 * 96 * 32 + 32 * 70 + 130 * 257 + factors),
                    4 * (2 * 96 * 32 + 32 * 70 + 130 * 257 + factors) + 4 * 4 * 64);
    bucket_end(&b);
    b = bucket_of("1,1", "powersgd:rank=40", DIST_ALGO_HIER, DIST_AVERAGE);
    assert_int_equal(dist_lowrank_matrices(&b.spec, 0, model, b.place, PARAMETERS), 1); /* 130 x 257 */
    bucket_end(&b);
    b = bucket_of("4", "powersgd", DIST_ALGO_HIER, DIST_AVERAGE); /* one site */
    assert_int_equal(dist_lowrank_matrices(&b.spec, 0, model, b.place, PARAMETERS), 0);
    bucket_end(&b);
}

static void other_types_are_not(void **state)
{
    (void)state;
    bucket b = bucket_of("1,1", "powersgd", DIST_ALGO_HIER, DIST_AVERAGE);
    dist_parameter half = {"half", NULL, 96 * 32, DIST_BFLOAT16, 96};
    dist_placement place = {0, 0};
    assert_int_equal(dist_lowrank_matrices(&b.spec, 0, &half, &place, 1), 0);
    half.type = DIST_FLOAT32;
    assert_int_equal(dist_lowrank_matrices(&b.spec, 0, &half, &place, 1), 1);
    bucket_end(&b);
}

/* Ranks compare labels: shapes and the codec are in them. */
static void labels_tell_shapes_apart(void **state)
{
    (void)state;
    bucket b = bucket_of("1,1", "powersgd", DIST_ALGO_HIER, DIST_AVERAGE);
    bucket c = bucket_of("1,1", "powersgd:rank=3", DIST_ALGO_HIER, DIST_AVERAGE);
    dist_parameter other[PARAMETERS];
    make_plans(&b);
    make_plans(&c);
    assert_string_equal(b.plan[0]->label, b.plan[1]->label);
    assert_string_not_equal(b.plan[0]->label, c.plan[0]->label);
    memcpy(other, model, sizeof other);
    other[0].rows = 48;
    assert_int_not_equal(dist_bucket_shapes(0, other, b.place, PARAMETERS),
                         dist_bucket_shapes(0, model, b.place, PARAMETERS));
    other[0].rows = 96;
    other[4].rows = 0; /* 0 and 1 say the same */
    assert_int_equal(dist_bucket_shapes(0, other, b.place, PARAMETERS),
                     dist_bucket_shapes(0, model, b.place, PARAMETERS));
    bucket_end(&b);
    bucket_end(&c);
}

static void collectives_refuse_it(void **state)
{
    (void)state;
    bucket b = bucket_of("1,1", "powersgd", DIST_ALGO_AUTO, DIST_SUM);
    dist_plan *plan;
    assert_int_equal(dist_collective_plan(&plan, &b.spec), DIST_ERR_UNSUPPORTED);
    assert_non_null(strstr(dist_last_error(), "codec 'powersgd' needs the shapes of matrices"));
    bucket_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_averaged),   cmocka_unit_test(a_lost_op_is_found),
        cmocka_unit_test(what_is_compressed),       cmocka_unit_test(other_types_are_not),
        cmocka_unit_test(labels_tell_shapes_apart), cmocka_unit_test(collectives_refuse_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
