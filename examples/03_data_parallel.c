/* Data-parallel training in about 25 lines of libdist: all ranks fit y = weight . x + bias, each on its own
 * examples. train_gpt is the same with a real model.
 *
 *     mpirun -n 2 -x DIST_SITE=east 03_data_parallel : -n 2 -x DIST_SITE=west 03_data_parallel
 */
#include <libdist/dist.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 64, BATCH = 32, STEPS = 200 };

static float model[WIDTH + 1]; /* the weights, then the bias */
static unsigned long long state;

static float noise(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) / 8388608.0f - 1.0f;
}

/* One example: x random, y from the line that is to be found. */
static float draw(float *x)
{
    float y = 0.5f;
    for (int i = 0; i < WIDTH; i++) {
        x[i] = noise();
        y += x[i] * (float)(i % 5 - 2);
    }
    return y;
}

/* The mean squared error over a batch, and its gradient. */
static double loss_and_gradient(float *weight_gradient, float *bias_gradient)
{
    double loss = 0;
    memset(weight_gradient, 0, WIDTH * sizeof *weight_gradient);
    *bias_gradient = 0;
    for (int n = 0; n < BATCH; n++) {
        float x[WIDTH], error = model[WIDTH] - draw(x);
        for (int i = 0; i < WIDTH; i++)
            error += model[i] * x[i];
        loss += (double)(error * error) / BATCH;
        for (int i = 0; i < WIDTH; i++)
            weight_gradient[i] += 2 * error * x[i] / BATCH;
        *bias_gradient += 2 * error / BATCH;
    }
    return loss;
}

static int fail(dist_context *context)
{
    fprintf(stderr, "%s\n", dist_last_error());
    dist_finalize(context);
    return EXIT_FAILURE;
}

int main(void)
{
    dist_context *context;
    dist_data_parallel *dp;
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    options.codec = "int8"; /* between sites only */

    /* gradient = NULL: the library places it where it is sent from */
    const dist_parameter parameters[] = {{.name = "weight", .count = WIDTH, .type = DIST_FLOAT32},
                                         {.name = "bias", .count = 1, .type = DIST_FLOAT32}};

    if (dist_init(&context, NULL) < 0)
        return fail(NULL);
    if (dist_data_parallel_create(context, parameters, 2, &options, &dp) < 0)
        return fail(context);
    float *weight_gradient = dist_data_parallel_gradient(dp, 0);
    float *bias_gradient = dist_data_parallel_gradient(dp, 1);
    state = (unsigned long long)dist_rank(context); /* other examples on each rank */

    double loss = 0;
    for (int step = 0; step < STEPS; step++) {
        loss = loss_and_gradient(weight_gradient, bias_gradient);
        if (dist_data_parallel_ready(dp, 1, NULL) < 0 || dist_data_parallel_ready(dp, 0, NULL) < 0 ||
            dist_data_parallel_wait(dp, NULL) < 0)
            return fail(context);
        for (int i = 0; i < WIDTH; i++)
            model[i] -= 0.1f * weight_gradient[i];
        model[WIDTH] -= 0.1f * *bias_gradient;
    }

    bool identical;
    if (dist_reduce_scalars(context, &loss, 1, DIST_AVERAGE) < 0 ||
        dist_replicas_identical(context, model, sizeof model, &identical, NULL) < 0)
        return fail(context);
    if (dist_rank(context) == 0)
        printf("loss %g after %d steps on %d ranks, models %s\n", loss, STEPS, dist_ranks(context),
               identical ? "identical" : "different");
    dist_data_parallel_destroy(dp);
    if (dist_finalize(context) < 0)
        return fail(NULL);
    return identical && loss < 1e-3 ? EXIT_SUCCESS : EXIT_FAILURE;
}
