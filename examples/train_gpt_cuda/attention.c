#include "device_layers.h"

#include <math.h>

/* What the heads of one number in all sequences have in common. Theirs lie at equal distances, so one call of
 * cuBLAS takes all sequences. */
typedef struct heads {
    size_t size;                             /* channels of a head */
    size_t stride;                           /* from one row of queries, keys or values to the next */
    size_t qkv_step, out_step, weights_step; /* from one sequence to the next */
    float scale;
} heads;

static heads heads_of(gpt_attention shape)
{
    const size_t size = shape.width / shape.heads;
    return (heads){.size = size,
                   .stride = 3 * shape.width,
                   .qkv_step = shape.context * 3 * shape.width,
                   .out_step = shape.context * shape.width,
                   .weights_step = shape.heads * shape.context * shape.context,
                   .scale = 1.0f / sqrtf((float)size)};
}

static gpt_matrix plain(const float *data, size_t stride)
{
    return (gpt_matrix){data, stride, false};
}

static gpt_matrix transposed(const float *data, size_t stride)
{
    return (gpt_matrix){data, stride, true};
}

void gpt_device_attention_forward(gpt_device *device, gpt_attention shape, float *out, float *weights,
                                  const float *qkv)
{
    const heads h = heads_of(shape);
    const size_t context = shape.context, width = shape.width;
    for (size_t head = 0; head < shape.heads; head++) {
        const float *queries = qkv + head * h.size, *keys = queries + width;
        const gpt_device_batch batch = {shape.batch, h.weights_step, h.qkv_step, h.qkv_step};
        gpt_device_matmuls(device, batch, weights + head * context * context, context,
                           plain(queries, h.stride), transposed(keys, h.stride), context, context, h.size,
                           h.scale, 0.0f);
    }
    gpt_device_softmax_forward(device, shape.batch * shape.heads * context, context, weights);
    for (size_t head = 0; head < shape.heads; head++) {
        const float *values = qkv + head * h.size + 2 * width;
        const gpt_device_batch batch = {shape.batch, h.out_step, h.weights_step, h.qkv_step};
        gpt_device_matmuls(device, batch, out + head * h.size, width,
                           plain(weights + head * context * context, context), plain(values, h.stride),
                           context, h.size, context, 1.0f, 0.0f);
    }
}

/* From the gradient of what heads of number `head` put out to those of their values and probabilities. */
static void output_backward(gpt_device *device, gpt_attention shape, size_t head, float *qkv_gradient,
                            const float *out_gradient, const float *weights, const float *qkv, float *scratch)
{
    const heads h = heads_of(shape);
    const size_t context = shape.context, width = shape.width, start = head * h.size;
    const float *p = weights + head * context * context, *g = out_gradient + start;
    gpt_device_matmuls(device, (gpt_device_batch){shape.batch, h.qkv_step, h.weights_step, h.out_step},
                       qkv_gradient + start + 2 * width, h.stride, transposed(p, context), plain(g, width),
                       context, h.size, context, 1.0f, 0.0f);
    gpt_device_matmuls(device, (gpt_device_batch){shape.batch, h.weights_step, h.out_step, h.qkv_step},
                       scratch + head * context * context, context, plain(g, width),
                       transposed(qkv + start + 2 * width, h.stride), context, context, h.size, 1.0f, 0.0f);
}

/* From the gradient of the scores to those of queries and keys. */
static void scores_backward(gpt_device *device, gpt_attention shape, size_t head, float *qkv_gradient,
                            const float *qkv, const float *scratch)
{
    const heads h = heads_of(shape);
    const size_t context = shape.context, width = shape.width, start = head * h.size;
    const gpt_device_batch batch = {shape.batch, h.qkv_step, h.weights_step, h.qkv_step};
    const float *g = scratch + head * context * context;
    gpt_device_matmuls(device, batch, qkv_gradient + start, h.stride, plain(g, context),
                       plain(qkv + start + width, h.stride), context, h.size, context, h.scale, 0.0f);
    gpt_device_matmuls(device, batch, qkv_gradient + start + width, h.stride, transposed(g, context),
                       plain(qkv + start, h.stride), context, h.size, context, h.scale, 0.0f);
}

void gpt_device_attention_backward(gpt_device *device, gpt_attention shape, float *qkv_gradient,
                                   const float *out_gradient, const float *weights, const float *qkv,
                                   float *scratch)
{
    for (size_t head = 0; head < shape.heads; head++)
        output_backward(device, shape, head, qkv_gradient, out_gradient, weights, qkv, scratch);
    gpt_device_softmax_backward(device, shape.batch * shape.heads * shape.context, shape.context, scratch,
                                weights);
    for (size_t head = 0; head < shape.heads; head++)
        scores_backward(device, shape, head, qkv_gradient, qkv, scratch);
}
