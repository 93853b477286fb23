#include "device_layers.h"

#include <cublas_v2.h>

static cublasOperation_t operation(gpt_matrix matrix)
{
    return matrix.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
}

/* cuBLAS takes matrices column by column, that is, ours transposed: out' = b' a'. */
void gpt_device_matmul(gpt_device *device, float *out, size_t out_stride, gpt_matrix a, gpt_matrix b,
                       size_t m, size_t n, size_t k, float scale, float keep)
{
    const cublasStatus_t status =
        cublasSgemm(device->blas, operation(b), operation(a), (int)n, (int)m, (int)k, &scale, b.data,
                    (int)b.stride, a.data, (int)a.stride, &keep, out, (int)out_stride);
    gpt_device_keep_blas(device, (int)status, "cublasSgemm");
}

void gpt_device_matmuls(gpt_device *device, gpt_device_batch batch, float *out, size_t out_stride,
                        gpt_matrix a, gpt_matrix b, size_t m, size_t n, size_t k, float scale, float keep)
{
    const cublasStatus_t status = cublasSgemmStridedBatched(
        device->blas, operation(b), operation(a), (int)n, (int)m, (int)k, &scale, b.data, (int)b.stride,
        (long long)batch.b, a.data, (int)a.stride, (long long)batch.a, &keep, out, (int)out_stride,
        (long long)batch.out, (int)batch.count);
    gpt_device_keep_blas(device, (int)status, "cublasSgemmStridedBatched");
}

void gpt_device_linear_forward(gpt_device *device, gpt_linear shape, float *out, const float *in,
                               const float *weight, const float *bias, const float *residual)
{
    gpt_device_matmul(device, out, shape.outputs, (gpt_matrix){in, shape.inputs, false},
                      (gpt_matrix){weight, shape.inputs, true}, shape.rows, shape.outputs, shape.inputs, 1.0f,
                      0.0f);
    if (bias)
        gpt_device_bias_forward(device, shape.rows, shape.outputs, out, bias, residual);
}

void gpt_device_linear_backward(gpt_device *device, gpt_linear shape, float *in_gradient,
                                const float *out_gradient, const float *weight)
{
    gpt_device_matmul(device, in_gradient, shape.inputs, (gpt_matrix){out_gradient, shape.outputs, false},
                      (gpt_matrix){weight, shape.inputs, false}, shape.rows, shape.inputs, shape.outputs,
                      1.0f, 0.0f);
}

void gpt_device_linear_gradients(gpt_device *device, gpt_linear shape, float *weight_gradient,
                                 float *bias_gradient, const float *out_gradient, const float *in, bool add)
{
    gpt_device_matmul(device, weight_gradient, shape.inputs, (gpt_matrix){out_gradient, shape.outputs, true},
                      (gpt_matrix){in, shape.inputs, false}, shape.outputs, shape.inputs, shape.rows, 1.0f,
                      add ? 1.0f : 0.0f);
    if (bias_gradient)
        gpt_device_bias_gradient(device, shape.rows, shape.outputs, bias_gradient, out_gradient, add);
}
