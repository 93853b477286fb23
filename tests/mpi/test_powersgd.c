/* Data parallel with codec powersgd: dense steps, factors, replicas, error feedback, NaN, and learning. */
/* ranks: 1 2 4 */
#include <math.h>

#include "harness.h"

static int rank, ranks;

enum { PARAMETERS = 5, MATRIX = 0, OWN_MATRIX = 3 };
static const struct {
    size_t count, rows;
} shapes[PARAMETERS] = {{60 * 40, 60}, {60, 0}, {30 * 2, 30}, {48 * 131, 48}, {131, 1}};

typedef struct model {
    dist_context *context;
    dist_data_parallel *dp;
    float *own[PARAMETERS]; /* gradients of the program's */
} model;

static dist_data_parallel_options options_of(const char *codec)
{
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    options.codec = codec;
    options.bucket_bytes = 20000; /* two buckets, each with a matrix */
    return options;
}

static model open_model(int sites, int uneven, const char *progress, dist_data_parallel_options options)
{
    dist_context_options context = DIST_CONTEXT_OPTIONS_INIT;
    dist_parameter parameter[PARAMETERS];
    model m = {0};
    context.progress = progress;
    m.context = harness_context(sites, uneven, context);
    assert_non_null(m.context);
    m.own[OWN_MATRIX] = calloc(shapes[OWN_MATRIX].count, sizeof(float));
    for (int i = 0; i < PARAMETERS; i++)
        parameter[i] = (dist_parameter){.name = "p",
                                        .gradient = m.own[i],
                                        .count = shapes[i].count,
                                        .type = DIST_FLOAT32,
                                        .rows = shapes[i].rows};
    assert_dist(dist_data_parallel_create(m.context, parameter, PARAMETERS, &options, &m.dp));
    return m;
}

static void close_model(model *m)
{
    assert_dist(dist_data_parallel_destroy(m->dp));
    assert_dist(dist_finalize(m->context));
    free(m->own[OWN_MATRIX]);
}

static float *gradient_of(const model *m, int i)
{
    return dist_data_parallel_gradient(m->dp, (size_t)i);
}

static float value(int r, int step, int i, size_t k)
{
    return (float)harness_value(r, k + (size_t)(i * 10000 + step * 31));
}

static float average(int step, int i, size_t k)
{
    float sum = 0;
    for (int r = 0; r < ranks; r++)
        sum += value(r, step, i, k);
    return ranks > 1 ? sum / (float)ranks : sum;
}

static void average_all(model *m)
{
    for (int i = PARAMETERS - 1; i >= 0; i--)
        assert_dist(dist_data_parallel_ready(m->dp, (size_t)i, NULL));
    assert_dist(dist_data_parallel_wait(m->dp, NULL));
}

static void take_step(model *m, int step)
{
    for (int i = 0; i < PARAMETERS; i++)
        for (size_t k = 0; k < shapes[i].count; k++)
            gradient_of(m, i)[k] = value(rank, step, i, k);
    average_all(m);
}

/* How many elements of gradient i are not the average itself. */
static size_t inexact(const model *m, int step, int i)
{
    size_t found = 0;
    for (size_t k = 0; k < shapes[i].count; k++)
        found += gradient_of(m, i)[k] != average(step, i, k);
    return found;
}

static void assert_identical(const model *m)
{
    for (int i = 0; i < PARAMETERS; i++) {
        bool identical = false;
        assert_dist(dist_replicas_identical(m->context, gradient_of(m, i), shapes[i].count * sizeof(float),
                                            &identical, NULL));
        assert_true(identical);
    }
}

static double across(const model *m)
{
    dist_data_parallel_stats stats;
    assert_dist(dist_data_parallel_stats_get(m->dp, &stats));
    double bytes = (double)stats.bytes_across;
    assert_dist(dist_reduce_scalars(m->context, &bytes, 1, DIST_SUM));
    return bytes;
}

static void test_dense_steps_then_factors(void **state)
{
    (void)state;
    double dense_bytes = 0;
    model m = open_model(ranks > 1 ? 2 : 1, 0, "thread", options_of("powersgd:rank=2:dense=3"));
    for (int step = 0; step < 8; step++) {
        take_step(&m, step);
        assert_identical(&m);
        for (int i = 0; i < PARAMETERS; i++) {
            const bool factored = ranks > 1 && step >= 3 && (i == MATRIX || i == OWN_MATRIX);
            assert_true((inexact(&m, step, i) > 0) == factored);
        }
        if (step == 0)
            dense_bytes = across(&m);
        if (ranks > 1 &&
            step >= 3) /* 2 * (60 + 131) and 251 elements instead of 8939; 16 bytes are a cache line */
            assert_true(across(&m) < dense_bytes * (2 * 191 + 251 + 5 * 16) / 8939);
    }
    close_model(&m);
}

/* On one site nothing is compressed. */
static void test_one_site(void **state)
{
    (void)state;
    model m = open_model(1, 0, "inline", options_of("powersgd:dense=0"));
    for (int step = 0; step < 3; step++) {
        take_step(&m, step);
        for (int i = 0; i < PARAMETERS; i++)
            assert_int_equal(inexact(&m, step, i), 0);
    }
    close_model(&m);
}

/* The same on all replicas, on all layouts, and as near to the sum of all steps as one step's error is. */
static void run_long(int sites, int uneven, const char *codec, dist_reduction reduction)
{
    enum { STEPS = 120 };
    dist_data_parallel_options options = options_of(codec);
    options.reduction = reduction;
    model m = open_model(sites, uneven, "thread", options);
    const double scale = reduction == DIST_SUM ? ranks : 1;
    double *rest = calloc(shapes[OWN_MATRIX].count, sizeof *rest), error[2] = {0}, norm = 0;
    for (int step = 0; step < STEPS; step++) {
        take_step(&m, 1);
        assert_identical(&m);
        for (size_t k = 0; k < shapes[OWN_MATRIX].count; k++) {
            rest[k] += (double)average(1, OWN_MATRIX, k) - (double)gradient_of(&m, OWN_MATRIX)[k] / scale;
            error[0] += step == STEPS / 4 - 1 ? rest[k] * rest[k] : 0;
            error[1] += step == STEPS - 1 ? rest[k] * rest[k] : 0;
        }
    }
    for (size_t k = 0; k < shapes[OWN_MATRIX].count; k++)
        norm += (double)average(1, OWN_MATRIX, k) * (double)average(1, OWN_MATRIX, k);
    /* what is still kept does not grow: 48 rows of rank 4 take some 12 steps to send */
    assert_true(error[1] < 12 * 12 * norm && error[1] < 2 * error[0] + 1e-6 * norm);
    free(rest);
    close_model(&m);
}

static void test_feedback(void **state)
{
    (void)state;
    run_long(ranks > 1 ? 2 : 1, 0, "powersgd:dense=0", DIST_AVERAGE);
    run_long(ranks, 0, "powersgd:dense=0", DIST_AVERAGE);
    run_long(ranks > 1 ? 2 : 1, 1, "powersgd:rank=5:dense=1", DIST_SUM);
}

static void test_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY};
    model m = open_model(ranks > 1 ? 2 : 1, 0, "thread", options_of("powersgd:dense=1"));
    for (int step = 0; step < 7; step++) {
        dist_data_parallel_stats stats;
        const bool poisoned = step == 2 || step == 5; /* a step of each side */
        for (int i = 0; i < PARAMETERS; i++)
            for (size_t k = 0; k < shapes[i].count; k++)
                gradient_of(&m, i)[k] = value(rank, step, i, k);
        if (poisoned && rank == ranks - 1)
            gradient_of(&m, MATRIX)[77] = bad[step == 5];
        average_all(&m);
        assert_dist(dist_data_parallel_stats_get(m.dp, &stats));
        double nonfinite = (double)stats.nonfinite;
        assert_dist(dist_reduce_scalars(m.context, &nonfinite, 1, DIST_SUM));
        assert_true(ranks == 1 || nonfinite == (poisoned ? 1 : 0));
        for (int i = 0; i < PARAMETERS; i++) {
            size_t nans = 0, wanted = 0;
            if (poisoned && i == MATRIX) /* all of it; a rank that is alone sends nothing */
                wanted = ranks > 1 ? shapes[i].count : 1;
            for (size_t k = 0; k < shapes[i].count; k++)
                nans += isfinite(gradient_of(&m, i)[k]) ? 0 : 1;
            assert_int_equal(nans, wanted);
        }
        assert_identical(&m);
    }
    close_model(&m);
}

/* Each rank pulls weights to a target of its own; together they reach the mean of the targets. */
static void test_learning(void **state)
{
    (void)state;
    enum { STEPS = 400 };
    static float weight[PARAMETERS][48 * 131];
    model m = open_model(ranks > 1 ? 2 : 1, 0, "thread", options_of("powersgd:rank=4:dense=10"));
    memset(weight, 0, sizeof weight);
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < PARAMETERS; i++)
            for (size_t k = 0; k < shapes[i].count; k++)
                gradient_of(&m, i)[k] = weight[i][k] - value(rank, 0, i, k);
        average_all(&m);
        for (int i = 0; i < PARAMETERS; i++)
            for (size_t k = 0; k < shapes[i].count; k++)
                weight[i][k] -= 0.05f * gradient_of(&m, i)[k];
    }
    for (int i = 0; i < PARAMETERS; i++) {
        double distance = 0, norm = 0;
        for (size_t k = 0; k < shapes[i].count; k++) {
            const double wanted = (double)average(0, i, k), off = (double)weight[i][k] - wanted;
            distance += off * off;
            norm += wanted * wanted;
        }
        if (distance > 1e-4 * norm)
            print_error("parameter %d is off by %g\n", i, sqrt(distance / norm));
        assert_true(distance <= 1e-4 * norm);
    }
    bool identical = false;
    assert_dist(dist_replicas_identical(m.context, weight, sizeof weight, &identical, NULL));
    assert_true(identical);
    close_model(&m);
}

static void test_accumulation_and_dense_count(void **state)
{
    (void)state;
    dist_data_parallel_options options = options_of("powersgd:dense=2");
    options.accumulate = 2;
    model m = open_model(ranks > 1 ? 2 : 1, 0, "inline", options);
    for (int step = 0; step < 4; step++) {
        take_step(&m, step); /* the first of two rounds: nothing happens */
        take_step(&m, step);
        assert_true((inexact(&m, step, MATRIX) > 0) == (ranks > 1 && step >= 2)); /* steps, not rounds */
    }
    close_model(&m);
}

static void test_misuse(void **state)
{
    (void)state;
    dist_context_options none = DIST_CONTEXT_OPTIONS_INIT;
    dist_collective_options collective = DIST_COLLECTIVE_OPTIONS_INIT;
    dist_data_parallel_options options = options_of("powersgd");
    dist_context *c = harness_context(ranks > 1 ? 2 : 1, 0, none);
    dist_data_parallel *dp;
    dist_parameter wrong = {.name = "odd", .count = 100, .type = DIST_FLOAT32, .rows = 7};
    float x[16] = {0};
    assert_non_null(c);
    assert_int_equal(dist_data_parallel_create(c, &wrong, 1, &options, &dp), DIST_ERR_ARGUMENT);
    assert_non_null(strstr(dist_last_error(), "'odd': 100 elements are not a matrix of 7 rows"));
    collective.codec = "powersgd:rank=2";
    assert_int_equal(dist_all_reduce(c, DIST_IN_PLACE, x, 16, DIST_FLOAT32, DIST_SUM, &collective),
                     DIST_ERR_UNSUPPORTED);
    assert_non_null(strstr(dist_last_error(), "dist_data_parallel_create"));
    wrong.rows = rank == 0 ? 10 : 20; /* both divide 100 */
    assert_int_equal(dist_data_parallel_create(c, &wrong, 1, &options, &dp),
                     ranks > 1 ? DIST_ERR_MISMATCH : DIST_OK);
    if (ranks == 1)
        assert_dist(dist_data_parallel_destroy(dp));
    assert_dist(dist_finalize(c));
}

/* The context's codec is for data parallel; collectives go on without one. */
static void test_codec_of_the_context(void **state)
{
    (void)state;
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    options.codec = "powersgd:dense=0";
    dist_context *c = harness_context(ranks > 1 ? 2 : 1, 0, options);
    double one = 1;
    dist_data_parallel *dp;
    const dist_parameter parameters[] = {{.name = "m", .count = 3000, .type = DIST_FLOAT32, .rows = 50},
                                         {.name = "d", .count = 3000, .type = DIST_FLOAT64, .rows = 50},
                                         {.name = "h", .count = 3000, .type = DIST_BFLOAT16, .rows = 50}};
    assert_non_null(c);
    assert_dist(dist_reduce_scalars(c, &one, 1, DIST_SUM));
    assert_true(one == ranks);
    assert_dist(dist_data_parallel_create(c, parameters, 3, NULL, &dp));
    for (int step = 0; step < 3; step++) {
        double *d = dist_data_parallel_gradient(dp, 1);
        for (int k = 0; k < 3000; k++)
            d[k] = rank + k;
        for (size_t i = 0; i < 3; i++)
            assert_dist(dist_data_parallel_ready(dp, i, NULL));
        assert_dist(dist_data_parallel_wait(dp, NULL));
        for (int k = 0; k < 3000; k++)
            assert_true(d[k] == k + (ranks - 1) / 2.0);
    }
    assert_dist(dist_data_parallel_destroy(dp));
    assert_dist(dist_finalize(c));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense_steps_then_factors),
        cmocka_unit_test(test_one_site),
        cmocka_unit_test(test_feedback),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_learning),
        cmocka_unit_test(test_accumulation_and_dense_count),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_codec_of_the_context),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
