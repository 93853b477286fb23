#include "layers.h"

#include <cblas.h>
#include <string.h>

/* Weak: other CBLAS libraries do not have it, and have no threads of their own either. */
void openblas_set_num_threads(int threads) __attribute__((weak));

void gpt_blas_single_thread(void)
{
    if (openblas_set_num_threads)
        openblas_set_num_threads(1);
}

void gpt_matmul(float *out, size_t out_stride, gpt_matrix a, gpt_matrix b, size_t m, size_t n, size_t k,
                float scale, float keep)
{
    cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
                b.transposed ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, scale, a.data,
                (int)a.stride, b.data, (int)b.stride, keep, out, (int)out_stride);
}

void gpt_linear_forward(gpt_linear shape, float *out, const float *in, const float *weight, const float *bias)
{
    for (size_t row = 0; bias && row < shape.rows; row++)
        memcpy(out + row * shape.outputs, bias, shape.outputs * sizeof *bias);
    gpt_matmul(out, shape.outputs, (gpt_matrix){in, shape.inputs, false},
               (gpt_matrix){weight, shape.inputs, true}, shape.rows, shape.outputs, shape.inputs, 1.0f,
               bias ? 1.0f : 0.0f);
}

void gpt_linear_backward(gpt_linear shape, float *in_gradient, const float *out_gradient, const float *weight)
{
    gpt_matmul(in_gradient, shape.inputs, (gpt_matrix){out_gradient, shape.outputs, false},
               (gpt_matrix){weight, shape.inputs, false}, shape.rows, shape.inputs, shape.outputs, 1.0f,
               0.0f);
}

void gpt_linear_gradients(gpt_linear shape, float *weight_gradient, float *bias_gradient,
                          const float *out_gradient, const float *in, bool add)
{
    gpt_matmul(weight_gradient, shape.inputs, (gpt_matrix){out_gradient, shape.outputs, true},
               (gpt_matrix){in, shape.inputs, false}, shape.outputs, shape.inputs, shape.rows, 1.0f,
               add ? 1.0f : 0.0f);
    if (!bias_gradient)
        return;
    if (!add)
        memset(bias_gradient, 0, shape.outputs * sizeof *bias_gradient);
    for (size_t row = 0; row < shape.rows; row++)
        for (size_t i = 0; i < shape.outputs; i++)
            bias_gradient[i] += out_gradient[row * shape.outputs + i];
}
