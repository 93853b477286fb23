/* Pipeline-parallel training: each stage is one layer, h = tanh(W x); the layers lie on the ranks one after the other, and
 * learn to halve what goes in. train_gpt --mesh is the same with a real model.
 *
 *     mpirun -n 2 -x DIST_SITE=east 04_pipeline : -n 2 -x DIST_SITE=west 04_pipeline
 *     DIST_SCHEDULE=gpipe mpirun -n 4 04_pipeline
 */
#include <libdist/dist.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 8, BATCH = 4, MICROBATCHES = 8, STEPS = 300 };

typedef float rows[BATCH][WIDTH];

/* One layer of this rank, for each of its stages. */
typedef struct layer {
    float weight[WIDTH][WIDTH];
    float *gradient;
} layer;

typedef struct training {
    dist_pipeline *pipeline;
    dist_pipeline_shape shape;
    layer *layer; /* [stages]; those of other ranks are not used */
    int step;
    double loss; /* of the last stage, of this step */
} training;

/* What forward leaves for backward. */
typedef struct activations {
    rows x, h;
} activations;

static float noise(unsigned seed)
{
    unsigned long long z = (seed + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    return (float)(z >> 40) / 8388608.0f - 1.0f;
}

/* The first stage makes the examples, the last one knows what should come of them. */
static void examples(const training *t, int microbatch, rows x)
{
    const int number = (t->step * t->shape.replicas + t->shape.replica) * MICROBATCHES + microbatch;
    for (int n = 0; n < BATCH; n++)
        for (int i = 0; i < WIDTH; i++)
            x[n][i] = noise((unsigned)((number * BATCH + n) * WIDTH + i));
}

static dist_status forward(void *user, dist_pipeline_call *call)
{
    training *t = user;
    const layer *l = &t->layer[call->stage];
    activations *a = malloc(sizeof *a);
    if (!a)
        return DIST_ERR_MEMORY;
    if (call->input)
        memcpy(a->x, call->input, sizeof a->x);
    else
        examples(t, call->microbatch, a->x);
    for (int n = 0; n < BATCH; n++)
        for (int o = 0; o < WIDTH; o++) {
            float sum = 0;
            for (int i = 0; i < WIDTH; i++)
                sum += l->weight[o][i] * a->x[n][i];
            a->h[n][o] = tanhf(sum);
        }
    if (call->output)
        memcpy(call->output, a->h, sizeof a->h);
    *call->stash = a;
    return DIST_OK;
}

/* The gradient of the mean squared error over all microbatches. */
static void loss_gradient(training *t, int microbatch, const rows h, rows gradient)
{
    const float all = BATCH * WIDTH * MICROBATCHES;
    rows wanted;
    examples(t, microbatch, wanted);
    for (int n = 0; n < BATCH; n++)
        for (int i = 0; i < WIDTH; i++) {
            const float error = h[n][i] - 0.5f * wanted[n][i];
            t->loss += (double)(error * error / all);
            gradient[n][i] = 2 * error / all;
        }
}

static dist_status backward(void *user, dist_pipeline_call *call)
{
    training *t = user;
    const layer *l = &t->layer[call->stage];
    activations *a = *call->stash;
    float(*input_gradient)[WIDTH] = call->input_gradient;
    rows g;
    if (call->output_gradient)
        memcpy(g, call->output_gradient, sizeof g);
    else
        loss_gradient(t, call->microbatch, (const float(*)[WIDTH])a->h, g);
    if (call->first)
        memset(l->gradient, 0, sizeof l->weight);
    if (input_gradient)
        memset(input_gradient, 0, sizeof(rows));
    for (int n = 0; n < BATCH; n++)
        for (int o = 0; o < WIDTH; o++) {
            const float slope = g[n][o] * (1 - a->h[n][o] * a->h[n][o]);
            for (int i = 0; i < WIDTH; i++) {
                l->gradient[o * WIDTH + i] += slope * a->x[n][i];
                if (input_gradient)
                    input_gradient[n][i] += slope * l->weight[o][i];
            }
        }
    return DIST_OK;
}

static dist_status release(void *user, dist_pipeline_call *call)
{
    (void)user;
    free(*call->stash);
    return DIST_OK;
}

static dist_status begin(dist_context *context, training *t)
{
    dist_pipeline_options options = DIST_PIPELINE_OPTIONS_INIT;
    const dist_parameter weight = {.name = "weight", .count = WIDTH * WIDTH, .type = DIST_FLOAT32};
    options.microbatches = MICROBATCHES;
    options.boundary_count = BATCH * WIDTH;
    options.forward = forward;
    options.backward_input = backward; /* of the weights, too */
    options.release = release;
    options.user = t;
    dist_status status = dist_pipeline_create(context, &options, &t->pipeline);
    if (status == DIST_OK)
        status = dist_pipeline_shape_get(t->pipeline, &t->shape);
    t->layer = status == DIST_OK ? calloc((size_t)t->shape.stages, sizeof *t->layer) : NULL;
    for (int i = 0; t->layer && status == DIST_OK && i < t->shape.local; i++) {
        const int stage = dist_pipeline_stage(t->pipeline, i);
        status = dist_pipeline_register(t->pipeline, stage, &weight, 1, NULL);
        t->layer[stage].gradient = dist_pipeline_gradient(t->pipeline, stage, 0);
        for (int o = 0; o < WIDTH; o++)
            for (int k = 0; k < WIDTH; k++)
                t->layer[stage].weight[o][k] =
                    (o == k) + 0.1f * noise((unsigned)((stage * WIDTH + o) * WIDTH + k));
    }
    return status == DIST_OK && !t->layer ? DIST_ERR_MEMORY : status;
}

static dist_status train(training *t)
{
    for (t->step = 0; t->step < STEPS; t->step++) {
        t->loss = 0;
        const dist_status status = dist_pipeline_step(t->pipeline);
        if (status < 0)
            return status;
        for (int i = 0; i < t->shape.local; i++) {
            layer *l = &t->layer[dist_pipeline_stage(t->pipeline, i)];
            for (int w = 0; w < WIDTH * WIDTH; w++)
                l->weight[w / WIDTH][w % WIDTH] -= 0.3f * l->gradient[w];
        }
    }
    return DIST_OK;
}

int main(void)
{
    dist_context *context;
    training t = {0};
    if (dist_init(&context, NULL) < 0) {
        fprintf(stderr, "%s\n", dist_last_error());
        return EXIT_FAILURE;
    }
    dist_status status = begin(context, &t);
    if (status == DIST_OK && dist_rank(context) == 0)
        status = dist_pipeline_print(t.pipeline, stdout);
    if (status == DIST_OK)
        status = train(&t);
    if (status == DIST_OK) /* only the last stages know it */
        status = dist_reduce_scalars(context, &t.loss, 1, DIST_SUM);
    if (status < 0)
        fprintf(stderr, "%s\n", dist_last_error());
    else if (dist_rank(context) == 0)
        printf("loss %g after %d steps\n", t.loss / t.shape.replicas, STEPS);
    dist_pipeline_destroy(t.pipeline);
    free(t.layer);
    if (dist_finalize(context) < 0)
        status = DIST_ERR_STATE;
    return status == DIST_OK && t.loss / t.shape.replicas < 0.02 ? EXIT_SUCCESS : EXIT_FAILURE;
}
