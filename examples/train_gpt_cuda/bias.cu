#include "device_layers.h"
#include "reduce.h"

static __global__ void add_bias(size_t outputs, float *out, const float *bias, const float *residual)
{
    const size_t start = blockIdx.x * outputs;
    for (size_t i = threadIdx.x; i < outputs; i += blockDim.x) {
        const float sum = out[start + i] + bias[i];
        out[start + i] = residual ? sum + residual[start + i] : sum;
    }
}

static __global__ void sum_rows(size_t rows, size_t outputs, float *bias_gradient, const float *out_gradient,
                                bool add)
{
    const size_t i = static_cast<size_t>(blockIdx.x) * LANES + threadIdx.x;
    float sum = 0;
    for (size_t row = threadIdx.y; i < outputs && row < rows; row += COLUMN_ROWS)
        sum += out_gradient[row * outputs + i];
    sum = column_sum(sum);
    if (threadIdx.y == 0 && i < outputs)
        bias_gradient[i] = add ? bias_gradient[i] + sum : sum;
}

void gpt_device_bias_forward(gpt_device *device, size_t rows, size_t outputs, float *out, const float *bias,
                             const float *residual)
{
    DIST_LAUNCH(add_bias, static_cast<unsigned>(rows), row_threads(outputs), 0, device->stream, outputs, out,
                bias, residual);
}

void gpt_device_bias_gradient(gpt_device *device, size_t rows, size_t outputs, float *bias_gradient,
                              const float *out_gradient, bool add)
{
    DIST_LAUNCH(sum_rows, column_blocks(outputs), dim3(LANES, COLUMN_ROWS), 0, device->stream, rows, outputs,
                bias_gradient, out_gradient, add);
}
