#include "layers.h"

#include "numeric.h"

/* 0.5 * (1 + tanh(u)) is 1 / (1 + exp(-2u)), with u = sqrt(2/pi) * (x + cubic * x^3): one exponential. */
static const float twice_root = 1.5957691216f; /* 2 * sqrt(2/pi) */
static const float cubic = 0.044715f;

void gpt_gelu_forward(size_t count, float *restrict out, const float *restrict in)
{
    for (size_t i = 0; i < count; i++) {
        const float x = in[i];
        out[i] = x / (1.0f + gpt_exp(-twice_root * (x + cubic * x * x * x)));
    }
}

void gpt_gelu_backward(size_t count, float *restrict gradient, const float *restrict in)
{
    for (size_t i = 0; i < count; i++) {
        const float x = in[i];
        const float s = 1.0f / (1.0f + gpt_exp(-twice_root * (x + cubic * x * x * x)));
        const float slope = twice_root * (1.0f + 3.0f * cubic * x * x);
        gradient[i] *= s + x * s * (1.0f - s) * slope;
    }
}
