#include <math.h>

#include "device_layers.h"
#include "reduce.h"

/* A block a row; row r of a head's matrix knows the positions up to its own. */
static __global__ void causal_softmax(size_t context, float *scores)
{
    float *x = scores + blockIdx.x * context;
    const size_t known = blockIdx.x % context + 1;
    float largest = x[0], sum = 0;
    for (size_t i = threadIdx.x; i < known; i += blockDim.x)
        largest = fmaxf(largest, x[i]);
    largest = block_max(largest);
    for (size_t i = threadIdx.x; i < known; i += blockDim.x) {
        x[i] = expf(x[i] - largest);
        sum += x[i];
    }
    const float factor = 1.0f / block_sum(sum);
    for (size_t i = threadIdx.x; i < context; i += blockDim.x)
        x[i] = i < known ? x[i] * factor : 0.0f;
}

/* d score = p * (d p - sum(d p * p)); later positions have p = 0. */
static __global__ void causal_softmax_backward(size_t context, float *gradient, const float *weights)
{
    float *g = gradient + blockIdx.x * context;
    const float *p = weights + blockIdx.x * context;
    const size_t known = blockIdx.x % context + 1;
    float sum = 0;
    for (size_t i = threadIdx.x; i < known; i += blockDim.x)
        sum += g[i] * p[i];
    sum = block_sum(sum);
    for (size_t i = threadIdx.x; i < context; i += blockDim.x)
        g[i] = i < known ? p[i] * (g[i] - sum) : 0.0f;
}

void gpt_device_softmax_forward(gpt_device *device, size_t rows, size_t context, float *scores)
{
    DIST_LAUNCH(causal_softmax, static_cast<unsigned>(rows), row_threads(context), 0, device->stream, context,
                scores);
}

void gpt_device_softmax_backward(gpt_device *device, size_t rows, size_t context, float *gradient,
                                 const float *weights)
{
    DIST_LAUNCH(causal_softmax_backward, static_cast<unsigned>(rows), row_threads(context), 0, device->stream,
                context, gradient, weights);
}
