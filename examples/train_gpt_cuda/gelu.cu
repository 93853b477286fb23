#include <math.h>

#include "device_layers.h"
#include "reduce.h"

/* 0.5 * (1 + tanh(u)) is 1 / (1 + exp(-2u)), with u = sqrt(2/pi) * (x + cubic * x^3). */
#define TWICE_ROOT 1.5957691216f /* 2 * sqrt(2/pi) */
#define CUBIC      0.044715f

static __device__ inline float gate(float x)
{
    return 1.0f / (1.0f + expf(-TWICE_ROOT * (x + CUBIC * x * x * x)));
}

static __global__ void gelu(size_t count, float *out, const float *in)
{
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count)
        out[i] = in[i] * gate(in[i]);
}

static __global__ void gelu_backward(size_t count, float *gradient, const float *in)
{
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count)
        return;
    const float x = in[i], s = gate(x);
    const float slope = TWICE_ROOT * (1.0f + 3.0f * CUBIC * x * x);
    gradient[i] *= s + x * s * (1.0f - s) * slope;
}

void gpt_device_gelu_forward(gpt_device *device, size_t count, float *out, const float *in)
{
    DIST_LAUNCH(gelu, element_blocks(count), MOST_THREADS, 0, device->stream, count, out, in);
}

void gpt_device_gelu_backward(gpt_device *device, size_t count, float *gradient, const float *in)
{
    DIST_LAUNCH(gelu_backward, element_blocks(count), MOST_THREADS, 0, device->stream, count, gradient, in);
}
