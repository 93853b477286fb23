#include <cublas_v2.h>

#include <cblas.h>

#include "stand_in.h"

int stand_in_products, stand_in_short_product = -1;

struct cublasContext {
    int unused;
};

static struct cublasContext only;

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    *handle = &only;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    return handle == &only ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    return handle == &only && !stream ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    return handle == &only && mode == CUBLAS_PEDANTIC_MATH ? CUBLAS_STATUS_SUCCESS
                                                           : CUBLAS_STATUS_INVALID_VALUE;
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "CUBLAS_STATUS_INVALID_VALUE";
}

static enum CBLAS_TRANSPOSE transposed(cublasOperation_t operation)
{
    return operation == CUBLAS_OP_T ? CblasTrans : CblasNoTrans;
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m,
                           int n, int k, const float *alpha, const float *a, int lda, const float *b, int ldb,
                           const float *beta, float *c, int ldc)
{
    return cublasSgemmStridedBatched(handle, transa, transb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c,
                                     ldc, 0, 1);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t transa,
                                         cublasOperation_t transb, int m, int n, int k, const float *alpha,
                                         const float *a, int lda, long long stride_a, const float *b, int ldb,
                                         long long stride_b, const float *beta, float *c, int ldc,
                                         long long stride_c, int count)
{
    if (handle != &only || lda < (transa == CUBLAS_OP_T ? k : m) || ldb < (transb == CUBLAS_OP_T ? n : k) ||
        ldc < m)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (stand_in_products++ == stand_in_short_product)
        k--;
    for (int i = 0; i < count; i++)
        cblas_sgemm(CblasColMajor, transposed(transa), transposed(transb), m, n, k, *alpha, a + i * stride_a,
                    lda, b + i * stride_b, ldb, *beta, c + i * stride_c, ldc);
    return CUBLAS_STATUS_SUCCESS;
}
