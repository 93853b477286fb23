#include <math.h>

#include "device_layers.h"
#include "reduce.h"

/* A block a row. */
static __global__ void cross_entropy(size_t vocabulary, float *logits, const unsigned char *targets,
                                     double *row_losses)
{
    float *x = logits + blockIdx.x * vocabulary;
    const float target = x[targets[blockIdx.x]];
    float largest = x[0], sum = 0;
    for (size_t i = threadIdx.x; i < vocabulary; i += blockDim.x)
        largest = fmaxf(largest, x[i]);
    largest = block_max(largest); /* nobody reads another's logit after it */
    for (size_t i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        x[i] = expf(x[i] - largest);
        sum += x[i];
    }
    sum = block_sum(sum);
    const float factor = 1.0f / sum;
    for (size_t i = threadIdx.x; i < vocabulary; i += blockDim.x)
        x[i] *= factor;
    if (threadIdx.x == 0)
        row_losses[blockIdx.x] =
            static_cast<double>(largest) + log(static_cast<double>(sum)) - static_cast<double>(target);
}

/* One block. */
static __global__ void mean_loss(size_t rows, const double *row_losses, double *loss, double share, bool add)
{
    double sum = 0;
    for (size_t row = threadIdx.x; row < rows; row += blockDim.x)
        sum += row_losses[row];
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        *loss = (add ? *loss : 0.0) + sum / static_cast<double>(rows) * share;
}

static __global__ void cross_entropy_backward(size_t vocabulary, float *probabilities,
                                              const unsigned char *targets, float scale)
{
    float *p = probabilities + blockIdx.x * vocabulary;
    const unsigned target = targets[blockIdx.x];
    for (size_t i = threadIdx.x; i < vocabulary; i += blockDim.x)
        p[i] = (i == target ? p[i] - 1.0f : p[i]) * scale;
}

void gpt_device_loss_forward(gpt_device *device, size_t rows, size_t vocabulary, float *logits,
                             const unsigned char *targets, double *row_losses, double *loss, double share,
                             bool add)
{
    DIST_LAUNCH(cross_entropy, static_cast<unsigned>(rows), row_threads(vocabulary), 0, device->stream,
                vocabulary, logits, targets, row_losses);
    DIST_LAUNCH(mean_loss, 1, MOST_THREADS, 0, device->stream, rows, row_losses, loss, share, add);
}

void gpt_device_loss_backward(gpt_device *device, size_t rows, size_t vocabulary, float *probabilities,
                              const unsigned char *targets, float scale)
{
    DIST_LAUNCH(cross_entropy_backward, static_cast<unsigned>(rows), row_threads(vocabulary), 0,
                device->stream, vocabulary, probabilities, targets, scale);
}
