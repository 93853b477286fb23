#include "layers.h"

#include <string.h>

void gpt_embedding_forward(size_t batch, size_t context, size_t width, float *out,
                           const unsigned char *inputs, const float *token, const float *position)
{
    for (size_t row = 0; row < batch * context; row++) {
        const float *t = token + inputs[row] * width, *p = position + row % context * width;
        for (size_t i = 0; i < width; i++)
            out[row * width + i] = t[i] + p[i];
    }
}

void gpt_embedding_token_gradient(size_t rows, size_t width, float *token_gradient,
                                  const unsigned char *inputs, const float *out_gradient)
{
    for (size_t row = 0; row < rows; row++) {
        float *t = token_gradient + inputs[row] * width;
        for (size_t i = 0; i < width; i++)
            t[i] += out_gradient[row * width + i];
    }
}

void gpt_embedding_position_gradient(size_t batch, size_t context, size_t width, float *position_gradient,
                                     const float *out_gradient, bool add)
{
    const size_t count = context * width;
    if (!add)
        memset(position_gradient, 0, count * sizeof *position_gradient);
    for (size_t sequence = 0; sequence < batch; sequence++)
        for (size_t i = 0; i < count; i++)
            position_gradient[i] += out_gradient[sequence * count + i];
}
