#include "layers.h"

#include <math.h>
#include <string.h>

#include "numeric.h"

/* Where one head of one sequence starts, and what its matrices look like. */
typedef struct head {
    size_t qkv;     /* its queries; keys are `width` and values 2 * `width` further */
    size_t out;     /* its output */
    size_t weights; /* its probabilities */
} head;

static head head_of(gpt_attention shape, size_t sequence, size_t index)
{
    const size_t first = sequence * shape.context, start = index * (shape.width / shape.heads);
    return (head){.qkv = first * 3 * shape.width + start,
                  .out = first * shape.width + start,
                  .weights = (sequence * shape.heads + index) * shape.context * shape.context};
}

static float score_scale(gpt_attention shape)
{
    return 1.0f / sqrtf((float)(shape.width / shape.heads));
}

static gpt_matrix plain(const float *data, size_t stride)
{
    return (gpt_matrix){data, stride, false};
}

static gpt_matrix transposed(const float *data, size_t stride)
{
    return (gpt_matrix){data, stride, true};
}

/* Rows of scores become probabilities over the positions up to their own. */
static void causal_softmax(size_t context, float *scores)
{
    for (size_t row = 0; row < context; row++) {
        float *x = scores + row * context;
        float largest, sum;
        gpt_softmax(x, row + 1, &largest, &sum);
        memset(x + row + 1, 0, (context - row - 1) * sizeof *x);
    }
}

/* d score = p * (d p - sum(d p * p)); later positions have p = 0. */
static void causal_softmax_backward(size_t context, float *gradient, const float *weights)
{
    for (size_t row = 0; row < context; row++) {
        float *g = gradient + row * context;
        const float *p = weights + row * context;
        const float mean = gpt_dot(g, p, row + 1);
        for (size_t i = 0; i <= row; i++)
            g[i] = p[i] * (g[i] - mean);
        memset(g + row + 1, 0, (context - row - 1) * sizeof *g);
    }
}

void gpt_attention_forward(gpt_attention shape, float *out, float *weights, const float *qkv)
{
    const size_t context = shape.context, width = shape.width, stride = 3 * width;
    const size_t size = width / shape.heads;
    for (size_t i = 0; i < shape.batch * shape.heads; i++) {
        const head h = head_of(shape, i / shape.heads, i % shape.heads);
        const float *queries = qkv + h.qkv, *keys = queries + width, *values = keys + width;
        float *p = weights + h.weights;
        gpt_matmul(p, context, plain(queries, stride), transposed(keys, stride), context, context, size,
                   score_scale(shape), 0.0f);
        causal_softmax(context, p);
        gpt_matmul(out + h.out, width, plain(p, context), plain(values, stride), context, size, context, 1.0f,
                   0.0f);
    }
}

void gpt_attention_backward(gpt_attention shape, float *qkv_gradient, const float *out_gradient,
                            const float *weights, const float *qkv, float *scratch)
{
    const size_t context = shape.context, width = shape.width, stride = 3 * width;
    const size_t size = width / shape.heads;
    const float scale = score_scale(shape);
    for (size_t i = 0; i < shape.batch * shape.heads; i++) {
        const head h = head_of(shape, i / shape.heads, i % shape.heads);
        const float *queries = qkv + h.qkv, *keys = queries + width, *values = keys + width;
        const float *p = weights + h.weights, *g = out_gradient + h.out;
        float *d_queries = qkv_gradient + h.qkv, *d_keys = d_queries + width, *d_values = d_keys + width;
        gpt_matmul(d_values, stride, transposed(p, context), plain(g, width), context, size, context, 1.0f,
                   0.0f);
        gpt_matmul(scratch, context, plain(g, width), transposed(values, stride), context, context, size,
                   1.0f, 0.0f);
        causal_softmax_backward(context, scratch, p);
        gpt_matmul(d_queries, stride, plain(scratch, context), plain(keys, stride), context, size, context,
                   scale, 0.0f);
        gpt_matmul(d_keys, stride, transposed(scratch, context), plain(queries, stride), context, size,
                   context, scale, 0.0f);
    }
}
