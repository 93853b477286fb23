/* Pipelines on real processes: every schedule and mesh computes what one process computes, with microbatches of different
 * sizes; what cannot be is refused. */
/* ranks: 1 2 4 */
/* sites: 1 2 */
#include "harness.h"

#include <stdlib.h>

static int rank, ranks;

enum { MICROBATCHES = 8, ROOM = 300, PARAMETERS = 3 };

/* A stage multiplies by a weight that depends on its number; all values are small integers, so that sums are exact. */
typedef struct job {
    dist_pipeline *pipeline;
    dist_pipeline_shape shape;
    dist_pipeline_options options;
    int live; /* stashes */
    int calls, recomputed;
    double outputs; /* the sum of what the last stage made */
} job;

static size_t size_of(int microbatch)
{
    return (size_t)(ROOM - 37 * (microbatch % 5));
}

static float factor(int stage)
{
    return (float)(1 + stage % 2);
}

static float input_at(int replica, int microbatch, size_t i)
{
    return (float)((int)(i * 7 + (size_t)microbatch * 3 + (size_t)replica * 5) % 11 - 5);
}

/* What the last stage hands back. */
static float gradient_at(int microbatch, size_t i)
{
    return (float)((int)(i + (size_t)microbatch) % 3 - 1);
}

typedef struct stash {
    int stage, microbatch;
    float *input, *gradient;
} stash;

static dist_status forward(void *user, dist_pipeline_call *c)
{
    job *j = user;
    const size_t n = size_of(c->microbatch);
    stash *s = calloc(1, sizeof *s);
    j->calls++;
    assert_null(*c->stash);
    assert_int_equal(c->input == NULL, c->stage == 0);
    assert_int_equal(c->output == NULL, c->stage + 1 == j->shape.stages);
    *s = (stash){.stage = c->stage, .microbatch = c->microbatch, .input = malloc(n * sizeof(float))};
    if (c->input)
        assert_int_equal(c->input_bytes, n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        s->input[i] = c->input ? ((const float *)c->input)[i] : input_at(j->shape.replica, c->microbatch, i);
    for (size_t i = 0; i < n; i++)
        if (c->output)
            ((float *)c->output)[i] = s->input[i] * factor(c->stage);
        else
            j->outputs += (double)(s->input[i] * factor(c->stage));
    if (c->output) {
        assert_int_equal(c->output_bytes, ROOM * sizeof(float));
        memset((float *)c->output + n, 0xff, (ROOM - n) * sizeof(float)); /* NaNs, which no one shall see */
        c->output_bytes = n * sizeof(float);
    }
    j->live++;
    *c->stash = s;
    return DIST_OK;
}

static dist_status backward_input(void *user, dist_pipeline_call *c)
{
    (void)user;
    stash *s = *c->stash;
    const size_t n = size_of(c->microbatch);
    assert_non_null(s);
    assert_true(s->stage == c->stage && s->microbatch == c->microbatch && !s->gradient);
    if (c->input)
        assert_memory_equal(c->input, s->input, n * sizeof(float)); /* still in place */
    s->gradient = malloc(n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        s->gradient[i] =
            c->output_gradient ? ((const float *)c->output_gradient)[i] : gradient_at(c->microbatch, i);
    for (size_t i = 0; c->input_gradient && i < n; i++)
        ((float *)c->input_gradient)[i] = s->gradient[i] * factor(c->stage);
    return DIST_OK;
}

static dist_status backward_weight(void *user, dist_pipeline_call *c)
{
    job *j = user;
    const stash *s = *c->stash;
    for (size_t p = 0; p < PARAMETERS; p++) {
        double *to = dist_pipeline_gradient(j->pipeline, c->stage, p);
        double sum = 0;
        for (size_t i = p; i < size_of(c->microbatch); i += PARAMETERS)
            sum += (double)(s->input[i] * s->gradient[i]);
        *to = c->first ? sum : *to + sum;
    }
    return DIST_OK;
}

static dist_status backward(void *user, dist_pipeline_call *c)
{
    const dist_status status = backward_input(user, c);
    return status < 0 ? status : backward_weight(user, c);
}

static dist_status recompute(void *user, dist_pipeline_call *c)
{
    job *j = user;
    assert_non_null(*c->stash);
    j->recomputed++;
    return DIST_OK;
}

static dist_status release(void *user, dist_pipeline_call *c)
{
    job *j = user;
    stash *s = *c->stash;
    free(s->input);
    free(s->gradient);
    free(s);
    j->live--;
    return DIST_OK;
}

/* The same by one process. */
static double expected(const job *j, int stage, size_t p)
{
    double sum = 0, scale = 1;
    for (int s = 0; s < j->shape.stages; s++)
        if (s < stage || s > stage)
            scale *= (double)factor(s);
    for (int r = 0; r < j->shape.replicas; r++)
        for (int m = 0; m < j->options.microbatches; m++)
            for (size_t i = p; i < size_of(m); i += PARAMETERS)
                sum += (double)input_at(r, m, i) * (double)gradient_at(m, i) * scale;
    return sum;
}

static job begin(dist_context *context, const char *mesh, const char *schedule, const char *codec, bool split)
{
    job j = {.options = DIST_PIPELINE_OPTIONS_INIT};
    j.options.mesh = mesh;
    j.options.schedule = schedule;
    j.options.codec = codec;
    j.options.microbatches = MICROBATCHES;
    j.options.boundary_count = ROOM;
    j.options.forward = forward;
    j.options.backward_input = split ? backward_input : backward;
    j.options.backward_weight = split ? backward_weight : NULL;
    j.options.release = release;
    (void)context;
    return j;
}

static dist_status open_pipeline(dist_context *context, job *j)
{
    static const dist_parameter parameter[PARAMETERS] = {
        {"a", NULL, 1, DIST_FLOAT64, 0}, {"b", NULL, 1, DIST_FLOAT64, 0}, {"c", NULL, 1, DIST_FLOAT64, 0}};
    dist_data_parallel_options sums = DIST_DATA_PARALLEL_OPTIONS_INIT;
    sums.reduction = DIST_SUM;
    j->options.user = j;
    const dist_status status = dist_pipeline_create(context, &j->options, &j->pipeline);
    if (status < 0)
        return status;
    assert_dist(dist_pipeline_shape_get(j->pipeline, &j->shape));
    for (int i = 0; i < j->shape.local; i++)
        assert_dist(dist_pipeline_register(j->pipeline, dist_pipeline_stage(j->pipeline, i), parameter,
                                           PARAMETERS, &sums));
    assert_int_equal(dist_pipeline_stage(j->pipeline, j->shape.local), -1);
    return DIST_OK;
}

static void check_gradients(const job *j)
{
    for (int i = 0; i < j->shape.local; i++)
        for (size_t p = 0; p < PARAMETERS; p++) {
            const int stage = dist_pipeline_stage(j->pipeline, i);
            const double got = *(const double *)dist_pipeline_gradient(j->pipeline, stage, p);
            if (got != expected(j, stage, p))
                fail_msg("%s %s stage %d parameter %zu: %.17g, not %.17g", j->options.mesh,
                         j->options.schedule, stage, p, got, expected(j, stage, p));
        }
}

static void check_buckets(const job *j)
{
    dist_bucket_info info;
    for (int i = 0; i < j->shape.local; i++) {
        const int stage = dist_pipeline_stage(j->pipeline, i);
        assert_dist(dist_pipeline_bucket_get(j->pipeline, stage, 0, &info));
        assert_int_equal(info.last, PARAMETERS - 1);
        assert_true(info.began > 0 && info.ended >= info.began);
        assert_int_equal(dist_pipeline_bucket_get(j->pipeline, stage, PARAMETERS, &info), DIST_ERR_ARGUMENT);
    }
    assert_int_equal(dist_pipeline_bucket_get(j->pipeline, -1, 0, &info), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_pipeline_bucket_get(j->pipeline, j->shape.stages, 0, &info), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_pipeline_bucket_get(NULL, 0, 0, &info), DIST_ERR_ARGUMENT);
}

static void run(dist_context *context, const char *mesh, const char *schedule, const char *codec, bool split)
{
    job j = begin(context, mesh, schedule, codec, split);
    dist_pipeline_stats stats;
    if (split)
        j.options.recompute = recompute;
    if (open_pipeline(context, &j) < 0)
        fail_msg("%s %s: %s", mesh, schedule, dist_last_error());
    for (int step = 0; step < 3; step++) {
        if (dist_pipeline_step(j.pipeline) < 0)
            fail_msg("%s %s: %s", mesh, schedule, dist_last_error());
        check_gradients(&j);
        assert_int_equal(j.live, 0);
    }
    check_buckets(&j);
    assert_int_equal(j.calls, 3 * MICROBATCHES * j.shape.local);
    assert_int_equal(j.recomputed, split ? j.calls : 0);
    assert_dist(dist_pipeline_stats_get(j.pipeline, &stats));
    assert_int_equal(stats.steps, 3);
    assert_true(stats.busy > 0 && stats.busy <= stats.span);
    assert_dist(dist_pipeline_destroy(j.pipeline));
}

static const char *const fused[] = {"gpipe",           "1f1b",     "eager1f1b", "eager1f1b:cap=2",
                                    "interleaved:v=2", "wan-1f1b", "auto"};
static const char *const split[] = {"zb-h1", "zb-h2",     "zb-v",   "v-half",
                                    "v-min", "dualpipev", "wan-zb", "auto"};

static void every_schedule_and_mesh(void **state)
{
    dist_context *context = *state;
    char mesh[3][32];
    snprintf(mesh[0], sizeof mesh[0], "pp:%d", ranks);
    snprintf(mesh[1], sizeof mesh[1], "pp:%d,dp:%d", ranks > 1 ? ranks / 2 : 1, ranks > 1 ? 2 : 1);
    snprintf(mesh[2], sizeof mesh[2], "dp:%d,pp:%d", ranks > 1 ? 2 : 1, ranks > 1 ? ranks / 2 : 1);
    for (int m = 0; m < 3; m++) {
        for (size_t s = 0; s < sizeof fused / sizeof *fused; s++)
            run(context, mesh[m], fused[s], NULL, false);
        for (size_t s = 0; s < sizeof split / sizeof *split; s++)
            run(context, mesh[m], split[s], NULL, true);
    }
}

/* Small integers come through bf16 as they are. */
static void codecs_between_sites(void **state)
{
    run(*state, NULL, "1f1b", "bf16", false);
    run(*state, NULL, "zb-v", "bf16", true);
    run(*state, NULL, "interleaved:v=2", "fp16", false);
}

static void expect_refusal(dist_context *context, job *j, const char *words)
{
    const dist_status status = open_pipeline(context, j);
    assert_true(status == DIST_ERR_ARGUMENT || status == DIST_ERR_UNSUPPORTED || status == DIST_ERR_IO);
    if (!strstr(dist_last_error(), words))
        fail_msg("'%s' does not say '%s'", dist_last_error(), words);
    assert_null(j->pipeline);
}

static void what_cannot_be_is_refused(void **state)
{
    dist_context *context = *state;
    job j = begin(context, "pp:3,dp:5", "1f1b", NULL, false);
    expect_refusal(context, &j, "has 15 ranks, the job has");
    j = begin(context, "rows:2", "1f1b", NULL, false);
    expect_refusal(context, &j, "write pp:P,dp:D");
    j = begin(context, NULL, "zb-h1", NULL, false);
    expect_refusal(context, &j, "it needs backward_weight");
    j = begin(context, NULL, "2f2b", NULL, false);
    expect_refusal(context, &j, "2f2b");
    j = begin(context, NULL, "1f1b", "topk:density=0.1", false);
    expect_refusal(context, &j, "activations need all of it");
    j = begin(context, NULL, "file:/there/is/none", NULL, false);
    expect_refusal(context, &j, "cannot be opened");
    j = begin(context, NULL, "1f1b", NULL, false);
    j.options.microbatches = 0;
    expect_refusal(context, &j, "at least one");
    run(context, NULL, "1f1b", NULL, false); /* and all goes on */
}

static int set_up(void **state)
{
    dist_context *context = NULL;
    const dist_status status = dist_init_mpi(&context, MPI_COMM_WORLD, NULL);
    *state = context;
    return status < 0;
}

static int tear_down(void **state)
{
    return dist_finalize(*state) < 0;
}

#define IN_CONTEXT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_CONTEXT(every_schedule_and_mesh),
        IN_CONTEXT(codecs_between_sites),
        IN_CONTEXT(what_cannot_be_is_refused),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
