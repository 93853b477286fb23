/* The layers of train_gpt's layers.h on a device: all pointers are device pointers, and a function returns as soon
 * as its work is queued on the device's stream. What fails is kept in the device (device.h). */
#ifndef TRAIN_GPT_DEVICE_LAYERS_H
#define TRAIN_GPT_DEVICE_LAYERS_H

#include <stdbool.h>
#include <stddef.h>

#include "adamw.h"
#include "device.h"
#include "layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- cuBLAS: linear.c, attention.c ---- */

/* out (m x n) = scale * a (m x k) b (k x n) + keep * out */
void gpt_device_matmul(gpt_device *device, float *out, size_t out_stride, gpt_matrix a, gpt_matrix b,
                       size_t m, size_t n, size_t k, float scale, float keep);

/* The same of `count` matrices, each so many elements behind the one before. */
typedef struct gpt_device_batch {
    size_t count, out, a, b;
} gpt_device_batch;

void gpt_device_matmuls(gpt_device *device, gpt_device_batch batch, float *out, size_t out_stride,
                        gpt_matrix a, gpt_matrix b, size_t m, size_t n, size_t k, float scale, float keep);

/* bias may be NULL; residual, added to what comes out, too. */
void gpt_device_linear_forward(gpt_device *device, gpt_linear shape, float *out, const float *in,
                               const float *weight, const float *bias, const float *residual);
void gpt_device_linear_backward(gpt_device *device, gpt_linear shape, float *in_gradient,
                                const float *out_gradient, const float *weight);
void gpt_device_linear_gradients(gpt_device *device, gpt_linear shape, float *weight_gradient,
                                 float *bias_gradient, const float *out_gradient, const float *in, bool add);

void gpt_device_attention_forward(gpt_device *device, gpt_attention shape, float *out, float *weights,
                                  const float *qkv);
/* scratch: as large as weights. */
void gpt_device_attention_backward(gpt_device *device, gpt_attention shape, float *qkv_gradient,
                                   const float *out_gradient, const float *weights, const float *qkv,
                                   float *scratch);

/* ---- Kernels: *.cu ---- */

/* out[row] += bias + residual[row] */
void gpt_device_bias_forward(gpt_device *device, size_t rows, size_t outputs, float *out, const float *bias,
                             const float *residual);
void gpt_device_bias_gradient(gpt_device *device, size_t rows, size_t outputs, float *bias_gradient,
                              const float *out_gradient, bool add);

void gpt_device_layernorm_forward(gpt_device *device, size_t rows, size_t width, float *out, float *mean,
                                  float *inverse, const float *in, const float *gain, const float *shift);
void gpt_device_layernorm_backward(gpt_device *device, size_t rows, size_t width, float *in_gradient,
                                   const float *out_gradient, const float *in, const float *mean,
                                   const float *inverse, const float *gain);
void gpt_device_layernorm_gradients(gpt_device *device, size_t rows, size_t width, float *gain_gradient,
                                    float *shift_gradient, const float *out_gradient, const float *in,
                                    const float *mean, const float *inverse, bool add);

void gpt_device_gelu_forward(gpt_device *device, size_t count, float *out, const float *in);
void gpt_device_gelu_backward(gpt_device *device, size_t count, float *gradient, const float *in);

/* rows x context scores become probabilities over the positions up to row % context. */
void gpt_device_softmax_forward(gpt_device *device, size_t rows, size_t context, float *scores);
/* gradient: of the probabilities, becomes that of the scores. */
void gpt_device_softmax_backward(gpt_device *device, size_t rows, size_t context, float *gradient,
                                 const float *weights);

void gpt_device_embedding_forward(gpt_device *device, size_t batch, size_t context, size_t width, float *out,
                                  const unsigned char *inputs, const float *token, const float *position);
void gpt_device_token_gradient(gpt_device *device, size_t rows, size_t vocabulary, size_t width,
                               float *token_gradient, const unsigned char *inputs, const float *out_gradient,
                               bool add);
void gpt_device_position_gradient(gpt_device *device, size_t batch, size_t context, size_t width,
                                  float *position_gradient, const float *out_gradient, bool add);

/* Turns logits into probabilities, and *loss into the mean over rows of -log p(target), times `share`; or, with
 * `add`, adds to it. row_losses: room for one of each row. */
void gpt_device_loss_forward(gpt_device *device, size_t rows, size_t vocabulary, float *logits,
                             const unsigned char *targets, double *row_losses, double *loss, double share,
                             bool add);
void gpt_device_loss_backward(gpt_device *device, size_t rows, size_t vocabulary, float *probabilities,
                              const unsigned char *targets, float scale);

void gpt_device_adamw_update(gpt_device *device, size_t count, float *weight, const float *gradient,
                             float *first, float *second, gpt_adamw_factors factors);

#ifdef __cplusplus
}
#endif
#endif
