#include "device_layers.h"
#include "reduce.h"

static __global__ void embed(size_t context, size_t width, float *out, const unsigned char *inputs,
                             const float *token, const float *position)
{
    const size_t row = blockIdx.x;
    const float *t = token + inputs[row] * width, *p = position + row % context * width;
    for (size_t i = threadIdx.x; i < width; i += blockDim.x)
        out[row * width + i] = t[i] + p[i];
}

/* Each block sums the rows of one token, so that no two add to the same place. */
static __global__ void sum_token(size_t rows, size_t width, float *token_gradient,
                                 const unsigned char *inputs, const float *out_gradient, bool add)
{
    const unsigned token = blockIdx.x;
    const size_t i = static_cast<size_t>(blockIdx.y) * LANES + threadIdx.x;
    float sum = 0;
    for (size_t row = threadIdx.y; row < rows; row += COLUMN_ROWS)
        if (inputs[row] == token && i < width)
            sum += out_gradient[row * width + i];
    sum = column_sum(sum);
    if (threadIdx.y != 0 || i >= width)
        return;
    float *const g = token_gradient + token * width + i;
    *g = add ? *g + sum : sum;
}

static __global__ void sum_position(size_t batch, size_t count, float *position_gradient,
                                    const float *out_gradient, bool add)
{
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count)
        return;
    float sum = add ? position_gradient[i] : 0.0f;
    for (size_t sequence = 0; sequence < batch; sequence++)
        sum += out_gradient[sequence * count + i];
    position_gradient[i] = sum;
}

void gpt_device_embedding_forward(gpt_device *device, size_t batch, size_t context, size_t width, float *out,
                                  const unsigned char *inputs, const float *token, const float *position)
{
    DIST_LAUNCH(embed, static_cast<unsigned>(batch * context), row_threads(width), 0, device->stream, context,
                width, out, inputs, token, position);
}

void gpt_device_token_gradient(gpt_device *device, size_t rows, size_t vocabulary, size_t width,
                               float *token_gradient, const unsigned char *inputs, const float *out_gradient,
                               bool add)
{
    const dim3 grid(static_cast<unsigned>(vocabulary), column_blocks(width)), block(LANES, COLUMN_ROWS);
    DIST_LAUNCH(sum_token, grid, block, 0, device->stream, rows, width, token_gradient, inputs, out_gradient,
                add);
}

void gpt_device_position_gradient(gpt_device *device, size_t batch, size_t context, size_t width,
                                  float *position_gradient, const float *out_gradient, bool add)
{
    DIST_LAUNCH(sum_position, element_blocks(context * width), MOST_THREADS, 0, device->stream, batch,
                context * width, position_gradient, out_gradient, add);
}
