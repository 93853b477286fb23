#include <math.h>

#include "device_layers.h"
#include "reduce.h"

static __global__ void adamw(size_t count, float *weight, const float *gradient, float *first, float *second,
                             gpt_adamw_factors f)
{
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count)
        return;
    const float g = gradient[i];
    const float m = f.keep1 * first[i] + f.new1 * g;
    const float v = f.keep2 * second[i] + f.new2 * g * g;
    first[i] = m;
    second[i] = v;
    weight[i] = weight[i] * f.shrink - f.step * m / (sqrtf(v * f.correction) + f.epsilon);
}

void gpt_device_adamw_update(gpt_device *device, size_t count, float *weight, const float *gradient,
                             float *first, float *second, gpt_adamw_factors factors)
{
    if (count > 0)
        DIST_LAUNCH(adamw, element_blocks(count), MOST_THREADS, 0, device->stream, count, weight, gradient,
                    first, second, factors);
}
