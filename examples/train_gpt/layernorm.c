#include "layers.h"

#include <math.h>
#include <string.h>

#include "numeric.h"

static const float smallest_variance = 1e-5f;

void gpt_layernorm_forward(size_t rows, size_t width, float *out, float *mean, float *inverse,
                           const float *in, const float *gain, const float *shift)
{
    for (size_t row = 0; row < rows; row++) {
        const float *x = in + row * width;
        float *y = out + row * width;
        const float average = gpt_sum(x, width) / (float)width;
        for (size_t i = 0; i < width; i++)
            y[i] = x[i] - average;
        const float variance = gpt_dot(y, y, width) / (float)width;
        const float factor = 1.0f / sqrtf(variance + smallest_variance);
        for (size_t i = 0; i < width; i++)
            y[i] = y[i] * factor * gain[i] + shift[i];
        mean[row] = average;
        inverse[row] = factor;
    }
}

/* With n the normalized input and g = gradient * gain: (g - mean(g) - n * mean(g * n)) * inverse. */
static void backward_row(size_t width, float *in_gradient, const float *out_gradient, const float *in,
                         float mean, float inverse, const float *gain)
{
    float plain[GPT_LANES] = {0}, weighted[GPT_LANES] = {0};
    for (size_t i = 0; i < width; i += GPT_LANES) {
        const size_t lanes = width - i < GPT_LANES ? width - i : GPT_LANES;
        for (size_t lane = 0; lane < lanes; lane++) {
            const float g = out_gradient[i + lane] * gain[i + lane];
            plain[lane] += g;
            weighted[lane] += g * ((in[i + lane] - mean) * inverse);
        }
    }
    const float plain_mean = gpt_add_lanes(plain) / (float)width;
    const float weighted_mean = gpt_add_lanes(weighted) / (float)width;
    for (size_t i = 0; i < width; i++) {
        const float normalized = (in[i] - mean) * inverse;
        in_gradient[i] += (out_gradient[i] * gain[i] - plain_mean - normalized * weighted_mean) * inverse;
    }
}

void gpt_layernorm_backward(size_t rows, size_t width, float *in_gradient, const float *out_gradient,
                            const float *in, const float *mean, const float *inverse, const float *gain)
{
    for (size_t row = 0; row < rows; row++)
        backward_row(width, in_gradient + row * width, out_gradient + row * width, in + row * width,
                     mean[row], inverse[row], gain);
}

void gpt_layernorm_gradients(size_t rows, size_t width, float *gain_gradient, float *shift_gradient,
                             const float *out_gradient, const float *in, const float *mean,
                             const float *inverse, bool add)
{
    if (!add) {
        memset(gain_gradient, 0, width * sizeof *gain_gradient);
        memset(shift_gradient, 0, width * sizeof *shift_gradient);
    }
    for (size_t row = 0; row < rows; row++) {
        const float *g = out_gradient + row * width, *x = in + row * width;
        const float average = mean[row], factor = inverse[row];
        for (size_t i = 0; i < width; i++) {
            gain_gradient[i] += g[i] * ((x[i] - average) * factor);
            shift_gradient[i] += g[i];
        }
    }
}
