#include "device_layers.h"
#include "reduce.h"

#define SMALLEST_VARIANCE 1e-5f

/* A block a row. */
static __global__ void normalize(size_t width, float *out, float *mean, float *inverse, const float *in,
                                 const float *gain, const float *shift)
{
    const size_t row = blockIdx.x;
    const float *x = in + row * width;
    float sum = 0, squares = 0;
    for (size_t i = threadIdx.x; i < width; i += blockDim.x)
        sum += x[i];
    const float average = block_sum(sum) / static_cast<float>(width);
    for (size_t i = threadIdx.x; i < width; i += blockDim.x)
        squares += (x[i] - average) * (x[i] - average);
    const float variance = block_sum(squares) / static_cast<float>(width);
    const float factor = 1.0f / sqrtf(variance + SMALLEST_VARIANCE);
    for (size_t i = threadIdx.x; i < width; i += blockDim.x)
        out[row * width + i] = (x[i] - average) * factor * gain[i] + shift[i];
    if (threadIdx.x == 0) {
        mean[row] = average;
        inverse[row] = factor;
    }
}

/* With n the normalized input and g = gradient * gain: (g - mean(g) - n * mean(g * n)) * inverse. */
static __global__ void normalize_backward(size_t width, float *in_gradient, const float *out_gradient,
                                          const float *in, const float *mean, const float *inverse,
                                          const float *gain)
{
    const size_t row = blockIdx.x;
    const float *x = in + row * width, *gradient = out_gradient + row * width;
    const float average = mean[row], factor = inverse[row];
    float plain = 0, weighted = 0;
    for (size_t i = threadIdx.x; i < width; i += blockDim.x) {
        const float g = gradient[i] * gain[i];
        plain += g;
        weighted += g * ((x[i] - average) * factor);
    }
    plain = block_sum(plain) / static_cast<float>(width);
    weighted = block_sum(weighted) / static_cast<float>(width);
    for (size_t i = threadIdx.x; i < width; i += blockDim.x) {
        const float normalized = (x[i] - average) * factor;
        in_gradient[row * width + i] += (gradient[i] * gain[i] - plain - normalized * weighted) * factor;
    }
}

/* A block for LANES columns. */
static __global__ void sum_gradients(size_t rows, size_t width, float *gain_gradient, float *shift_gradient,
                                     const float *out_gradient, const float *in, const float *mean,
                                     const float *inverse, bool add)
{
    const size_t i = static_cast<size_t>(blockIdx.x) * LANES + threadIdx.x;
    float gain = 0, shift = 0;
    for (size_t row = threadIdx.y; i < width && row < rows; row += COLUMN_ROWS) {
        const float g = out_gradient[row * width + i];
        gain += g * ((in[row * width + i] - mean[row]) * inverse[row]);
        shift += g;
    }
    gain = column_sum(gain);
    shift = column_sum(shift);
    if (threadIdx.y != 0 || i >= width)
        return;
    gain_gradient[i] = add ? gain_gradient[i] + gain : gain;
    shift_gradient[i] = add ? shift_gradient[i] + shift : shift;
}

void gpt_device_layernorm_forward(gpt_device *device, size_t rows, size_t width, float *out, float *mean,
                                  float *inverse, const float *in, const float *gain, const float *shift)
{
    DIST_LAUNCH(normalize, static_cast<unsigned>(rows), row_threads(width), 0, device->stream, width, out,
                mean, inverse, in, gain, shift);
}

void gpt_device_layernorm_backward(gpt_device *device, size_t rows, size_t width, float *in_gradient,
                                   const float *out_gradient, const float *in, const float *mean,
                                   const float *inverse, const float *gain)
{
    DIST_LAUNCH(normalize_backward, static_cast<unsigned>(rows), row_threads(width), 0, device->stream, width,
                in_gradient, out_gradient, in, mean, inverse, gain);
}

void gpt_device_layernorm_gradients(gpt_device *device, size_t rows, size_t width, float *gain_gradient,
                                    float *shift_gradient, const float *out_gradient, const float *in,
                                    const float *mean, const float *inverse, bool add)
{
    DIST_LAUNCH(sum_gradients, column_blocks(width), dim3(LANES, COLUMN_ROWS), 0, device->stream, rows, width,
                gain_gradient, shift_gradient, out_gradient, in, mean, inverse, add);
}
