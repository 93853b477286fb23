#include "layers.h"

#include <math.h>

#include "numeric.h"

double gpt_loss_forward(size_t rows, size_t vocabulary, float *logits, const unsigned char *targets)
{
    double total = 0;
    for (size_t row = 0; row < rows; row++) {
        float *x = logits + row * vocabulary;
        const float target = x[targets[row]];
        float largest, sum;
        gpt_softmax(x, vocabulary, &largest, &sum);
        total += (double)largest + log((double)sum) - (double)target;
    }
    return total;
}

void gpt_loss_backward(size_t rows, size_t vocabulary, float *probabilities, const unsigned char *targets,
                       float scale)
{
    for (size_t row = 0; row < rows; row++) {
        float *p = probabilities + row * vocabulary;
        p[targets[row]] -= 1.0f;
        for (size_t i = 0; i < vocabulary; i++)
            p[i] *= scale;
    }
}
