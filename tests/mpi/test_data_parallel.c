/* Data parallel: averages, buckets, order, accumulation, codecs, and what a program may do wrong. */
/* ranks: 1 2 3 4 8 */
#include <math.h>

#include "harness.h"

static int rank, ranks;

enum { PARAMETERS = 9 };
static const size_t counts[PARAMETERS] = {1000, 1, 0, 4099, 262147, 17, 30000, 65536, 5};

typedef struct model {
    dist_context *context;
    dist_data_parallel *dp;
    dist_parameter parameter[PARAMETERS];
    float *own[PARAMETERS]; /* gradients of the program's */
} model;

static model open_model(int sites, int uneven, const char *progress, dist_data_parallel_options options,
                        bool mixed)
{
    dist_context_options context = DIST_CONTEXT_OPTIONS_INIT;
    model m = {0};
    context.progress = progress;
    m.context = harness_context(sites, uneven, context);
    assert_non_null(m.context);
    for (int i = 0; i < PARAMETERS; i++) {
        if (mixed && i % 2)
            m.own[i] = calloc(counts[i] + 1, sizeof(float));
        m.parameter[i] =
            (dist_parameter){.name = "p", .gradient = m.own[i], .count = counts[i], .type = DIST_FLOAT32};
    }
    assert_dist(dist_data_parallel_create(m.context, m.parameter, PARAMETERS, &options, &m.dp));
    return m;
}

static void close_model(model *m)
{
    assert_dist(dist_data_parallel_destroy(m->dp));
    assert_dist(dist_finalize(m->context));
    for (int i = 0; i < PARAMETERS; i++)
        free(m->own[i]);
}

static float value(int r, int step, int i, size_t k)
{
    return (float)harness_value(r, k + (size_t)(i * 1000 + step));
}

static float average(int step, int i, size_t k)
{
    float sum = 0;
    for (int r = 0; r < ranks; r++)
        sum += value(r, step, i, k);
    return ranks > 1 ? sum / (float)ranks : sum;
}

/* Writes all gradients of a step and makes them ready in an order that differs between ranks and steps. */
static void backward(model *m, int step)
{
    for (int n = 0; n < PARAMETERS; n++) {
        int i = (n * (step % 2 ? 2 : 4) + rank + step) % PARAMETERS; /* 2 and 4 are prime to 9 */
        float *gradient = dist_data_parallel_gradient(m->dp, (size_t)i);
        for (size_t k = 0; k < counts[i]; k++)
            gradient[k] = value(rank, step, i, k);
        assert_dist(dist_data_parallel_ready(m->dp, (size_t)i, NULL));
    }
}

static void assert_averages(model *m, int step)
{
    for (int i = 0; i < PARAMETERS; i++) {
        const float *gradient = dist_data_parallel_gradient(m->dp, (size_t)i);
        for (size_t k = 0; k < counts[i]; k++)
            if (gradient[k] != average(step, i, k)) {
                print_error("step %d gradient %d[%zu]: %g instead of %g\n", step, i, k, (double)gradient[k],
                            (double)average(step, i, k));
                fail();
            }
    }
}

static dist_data_parallel_options options_of(const char *algo, const char *codec)
{
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    options.algo = algo;
    options.codec = codec;
    options.bucket_bytes = 300000;
    options.first_bucket_bytes = 5000;
    return options;
}

static void test_averages(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"auto", "mpi", "ring", "halving", "hier"};
    for (size_t a = 0; a < 5; a++) {
        int sites = 1 + (int)a % 3 < ranks ? 1 + (int)a % 3 : 1;
        model m =
            open_model(sites, a == 4, a % 2 ? "inline" : "thread", options_of(algorithms[a], "none"), a != 1);
        for (int step = 0; step < 4; step++) {
            backward(&m, step);
            assert_dist(dist_data_parallel_wait(m.dp, NULL));
            assert_averages(&m, step);
        }
        close_model(&m);
    }
}

static void test_stats(void **state)
{
    (void)state;
    model m = open_model(ranks > 1 ? 2 : 1, 0, "thread", options_of("hier", "int8"), false);
    dist_data_parallel_stats stats;
    size_t all = 0;
    backward(&m, 0);
    assert_dist(dist_data_parallel_wait(m.dp, NULL));
    assert_dist(dist_data_parallel_stats_get(m.dp, &stats));
    for (int i = 0; i < PARAMETERS; i++)
        all += counts[i] * sizeof(float);
    assert_int_equal(stats.steps, 1);
    assert_int_equal(stats.gradient_bytes, all);
    assert_true(stats.buckets >= 4);
    assert_true(stats.exposed >= 0 && stats.communication >= 0 && stats.communication < 20);
    double across = (double)stats.bytes_across,
           codec = stats.codec; /* a rank that owns no rail sends nothing itself */
    assert_dist(dist_reduce_scalars(m.context, &across, 1, DIST_SUM));
    assert_dist(dist_reduce_scalars(m.context, &codec, 1, DIST_SUM));
    assert_true((across > 0) == (ranks > 1) && (codec > 0) == (ranks > 1));
    close_model(&m);
}

/* Each parameter is in one bucket, in reverse order; what a bucket took lies within the step. */
static void test_buckets(void **state)
{
    (void)state;
    model m = open_model(ranks > 1 ? 2 : 1, 0, "thread", options_of("hier", "none"), true);
    dist_data_parallel_stats stats;
    dist_bucket_info info;
    size_t next = PARAMETERS;
    assert_dist(dist_data_parallel_stats_get(m.dp, &stats));
    for (size_t b = 0; b < stats.buckets; b++) {
        size_t elements = 0;
        assert_dist(dist_data_parallel_bucket_get(m.dp, b, &info));
        assert_int_equal(info.last + 1, next);
        assert_true(info.first <= info.last);
        for (size_t i = info.first; i <= info.last; i++)
            elements += counts[i];
        assert_true(info.bytes >= elements * sizeof(float) &&
                    info.bytes < elements * sizeof(float) + 64 * PARAMETERS);
        assert_true(info.began == 0 && info.ended == 0);
        next = info.first;
    }
    assert_int_equal(next, 0);
    double before = 0;
    for (int step = 0; step < 2; step++) {
        backward(&m, step);
        assert_dist(dist_data_parallel_wait(m.dp, NULL));
        double end = 0;
        for (size_t b = 0; b < stats.buckets; b++) {
            assert_dist(dist_data_parallel_bucket_get(m.dp, b, &info));
            assert_true(info.began > 0 && info.began >= before && info.ended >= info.began &&
                        info.ended < info.began + 20);
            end = info.ended > end ? info.ended : end;
        }
        before = end;
    }
    assert_int_equal(dist_data_parallel_bucket_get(m.dp, stats.buckets, &info), DIST_ERR_ARGUMENT);
    assert_non_null(strstr(dist_last_error(), "bucket"));
    assert_int_equal(dist_data_parallel_bucket_get(m.dp, 0, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_data_parallel_bucket_get(NULL, 0, &info), DIST_ERR_ARGUMENT);
    close_model(&m);
}

/* Lossy, but the same on every rank, near the average, and what one step loses the next ones make up for. */
static void lossy(const char *codec, double bound)
{
    model m = open_model(ranks > 1 ? 2 : 1, 0, "thread", options_of("hier", codec), true);
    enum { STEPS = 30, WATCHED = 6 };
    double total[64] = {0}, wanted[64] = {0};
    for (int step = 0; step < STEPS; step++) {
        bool identical = false;
        backward(&m, step);
        assert_dist(dist_data_parallel_wait(m.dp, NULL));
        const float *gradient = dist_data_parallel_gradient(m.dp, WATCHED);
        assert_dist(
            dist_replicas_identical(m.context, gradient, counts[WATCHED] * sizeof(float), &identical, NULL));
        assert_true(identical);
        for (size_t k = 0; k < 64; k++) {
            total[k] += (double)gradient[k];
            wanted[k] += (double)average(step, WATCHED, k);
            assert_true(fabs((double)gradient[k] - (double)average(step, WATCHED, k)) <= 2 * bound);
        }
    }
    for (size_t k = 0; k < 64;
         k++) /* with feedback the errors of all steps together are no more than that of one */
        assert_true(fabs(total[k] - wanted[k]) <= 2 * bound);
    close_model(&m);
}

static void test_codecs_with_feedback(void **state)
{
    (void)state;
    double largest = 8 * ((double)ranks / 2 + 1) / ranks; /* a site's part of an average */
    lossy("int8", 2 * largest / 127);
    lossy("int4", 2 * largest / 7);
    lossy("bf16:ef=fp32", 2 * largest / 128);
}

static void test_accumulation(void **state)
{
    (void)state;
    dist_data_parallel_options options = options_of("hier", "none");
    options.accumulate = 3;
    model m = open_model(ranks > 1 ? 2 : 1, 0, "thread", options, true);
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < PARAMETERS; i++)
            memset(dist_data_parallel_gradient(m.dp, (size_t)i), 0, counts[i] * sizeof(float));
        for (int round = 0; round < 3; round++) {
            for (int i = PARAMETERS - 1; i >= 0; i--) {
                float *gradient = dist_data_parallel_gradient(m.dp, (size_t)i);
                for (size_t k = 0; k < counts[i]; k++)
                    gradient[k] += value(rank, step, i, k);
                assert_dist(dist_data_parallel_ready(m.dp, (size_t)i, NULL));
            }
            assert_dist(dist_data_parallel_wait(m.dp, NULL));
            dist_data_parallel_stats stats;
            assert_dist(dist_data_parallel_stats_get(m.dp, &stats));
            assert_int_equal(stats.steps, step + (round == 2));
        }
        for (int i = 0; i < PARAMETERS; i++) {
            const float *gradient = dist_data_parallel_gradient(m.dp, (size_t)i);
            for (size_t k = 0; k < counts[i]; k++)
                assert_true(fabsf(gradient[k] - 3 * average(step, i, k)) <= 1e-5f * 24);
        }
    }
    close_model(&m);
}

static void test_types_in_one_model(void **state)
{
    (void)state;
    dist_context_options context = DIST_CONTEXT_OPTIONS_INIT;
    dist_data_parallel_options options = options_of("hier", "int8");
    dist_context *c = harness_context(ranks > 1 ? 2 : 1, 0, context);
    dist_data_parallel *dp;
    double doubles[100];
    int64_t whole[50];
    dist_parameter parameter[] = {{"f64", doubles, 100, DIST_FLOAT64, 0},
                                  {"f32", NULL, 5000, DIST_FLOAT32, 0},
                                  {"i64", whole, 50, DIST_INT64, 0}};
    options.reduction = DIST_SUM;
    assert_non_null(c);
    assert_dist(dist_data_parallel_create(c, parameter, 3, &options, &dp));
    for (int i = 0; i < 100; i++)
        doubles[i] = rank + i;
    for (int i = 0; i < 50; i++)
        whole[i] = rank * i;
    memset(dist_data_parallel_gradient(dp, 1), 0, 5000 * sizeof(float));
    for (size_t i = 0; i < 3; i++)
        assert_dist(dist_data_parallel_ready(dp, i, NULL));
    assert_dist(dist_data_parallel_wait(dp, NULL));
    int all = ranks * (ranks - 1) / 2;
    for (int i = 0; i < 100; i++)
        assert_true(doubles[i] == all + ranks * i);
    for (int i = 0; i < 50; i++)
        assert_int_equal(whole[i], all * i);
    assert_dist(dist_data_parallel_destroy(dp));
    assert_dist(dist_finalize(c));
}

static void test_not_finite(void **state)
{
    (void)state;
    model m = open_model(ranks > 1 ? 2 : 1, 0, "thread", options_of("hier", "int8"), false);
    dist_data_parallel_stats stats;
    float *gradient = dist_data_parallel_gradient(m.dp, 4);
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < PARAMETERS; i++)
            memset(dist_data_parallel_gradient(m.dp, (size_t)i), 0, counts[i] * sizeof(float));
        if (step == 0 && rank == ranks - 1) {
            gradient[5] = NAN;
            gradient[2000] = INFINITY;
        }
        for (int i = 0; i < PARAMETERS; i++)
            assert_dist(dist_data_parallel_ready(m.dp, (size_t)i, NULL));
        assert_dist(dist_data_parallel_wait(m.dp, NULL));
        assert_dist(dist_data_parallel_stats_get(m.dp, &stats));
        double seen[2] = {isnan(gradient[5]), !isfinite(gradient[2000])}, nonfinite = (double)stats.nonfinite;
        assert_true(seen[0] == (step == 0) &&
                    seen[1] == (step == 0)); /* on every rank, and gone in the next step */
        assert_dist(dist_reduce_scalars(m.context, &nonfinite, 1, DIST_SUM));
        assert_true(ranks == 1 || (nonfinite > 0) == (step == 0));
    }
    close_model(&m);
}

static void test_misuse(void **state)
{
    (void)state;
    model m = open_model(ranks > 1 ? 2 : 1, 0, "thread", options_of("hier", "none"), true);
    dist_data_parallel_stats stats;
    assert_int_equal(dist_data_parallel_ready(m.dp, PARAMETERS, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_data_parallel_ready(NULL, 0, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_data_parallel_wait(NULL, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_data_parallel_stats_get(m.dp, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_data_parallel_ready(m.dp, 0, &stats), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_data_parallel_wait(m.dp, NULL), DIST_ERR_STATE);
    assert_non_null(strstr(dist_last_error(), "gradient 0 'p'"));
    assert_dist(dist_data_parallel_ready(m.dp, 3, NULL));
    assert_int_equal(dist_data_parallel_ready(m.dp, 3, NULL), DIST_ERR_STATE);
    assert_non_null(strstr(dist_last_error(), "gradient 3"));
    for (size_t i = 0; i < PARAMETERS; i++)
        if (i != 3)
            assert_dist(dist_data_parallel_ready(m.dp, i, NULL));
    assert_dist(dist_data_parallel_wait(m.dp, NULL)); /* nothing was lost */
    assert_null(dist_data_parallel_gradient(m.dp, PARAMETERS));
    assert_null(dist_data_parallel_gradient(NULL, 0));
    assert_dist(dist_data_parallel_destroy(NULL));
    close_model(&m);
}

static void test_bad_creation(void **state)
{
    (void)state;
    dist_context_options none = DIST_CONTEXT_OPTIONS_INIT;
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    dist_context *c = harness_context(1, 0, none);
    dist_data_parallel *dp;
    dist_parameter good = {"w", NULL, 10, DIST_FLOAT32, 0}, bad = good;
    assert_non_null(c);
    assert_int_equal(dist_data_parallel_create(c, NULL, 1, NULL, &dp), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_data_parallel_create(c, &good, 1, NULL, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_data_parallel_create(NULL, &good, 1, NULL, &dp), DIST_ERR_ARGUMENT);
    bad.type = (dist_type)99;
    assert_int_equal(dist_data_parallel_create(c, &bad, 1, NULL, &dp), DIST_ERR_ARGUMENT);
    bad = good, bad.count = SIZE_MAX / 2;
    assert_int_equal(dist_data_parallel_create(c, &bad, 1, NULL, &dp), DIST_ERR_ARGUMENT);
    options.codec = "int5";
    assert_int_equal(dist_data_parallel_create(c, &good, 1, &options, &dp), DIST_ERR_ARGUMENT);
    assert_non_null(strstr(dist_last_error(), "int5"));
    options.codec = NULL, options.algo = "star";
    assert_int_equal(dist_data_parallel_create(c, &good, 1, &options, &dp), DIST_ERR_ARGUMENT);
    options.algo = NULL, options.size = 3;
    assert_int_equal(dist_data_parallel_create(c, &good, 1, &options, &dp), DIST_ERR_ARGUMENT);
    assert_dist(dist_data_parallel_create(c, NULL, 0, NULL, &dp)); /* nothing to average is not an error */
    assert_dist(dist_data_parallel_wait(dp, NULL));
    assert_dist(dist_data_parallel_destroy(dp));
    assert_dist(dist_finalize(c));
}

static void test_destroy_in_flight(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        model m = open_model(ranks > 1 ? 2 : 1, 0, round % 2 ? "inline" : "thread",
                             options_of("hier", "int8"), true);
        backward(&m, round);
        close_model(&m); /* without wait */
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_averages),     cmocka_unit_test(test_stats),
        cmocka_unit_test(test_buckets),      cmocka_unit_test(test_codecs_with_feedback),
        cmocka_unit_test(test_accumulation), cmocka_unit_test(test_types_in_one_model),
        cmocka_unit_test(test_not_finite),   cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_bad_creation), cmocka_unit_test(test_destroy_in_flight),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
