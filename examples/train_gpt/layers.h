/* The layers of the transformer. Matrices are row-major; `rows` is batch * context. A backward function with
 * `add` adds to parameter gradients, without it writes them: gradients need no clearing. */
#ifndef TRAIN_GPT_LAYERS_H
#define TRAIN_GPT_LAYERS_H

#include <stdbool.h>
#include <stddef.h>

/* OpenBLAS on one thread: ranks share the machine's cores, and one thread always sums in the same order. */
void gpt_blas_single_thread(void);

/* A matrix as an operand of gpt_matmul: `stride` elements from one row to the next. */
typedef struct gpt_matrix {
    const float *data;
    size_t stride;
    bool transposed;
} gpt_matrix;

/* out (m x n) = scale * a (m x k) b (k x n) + keep * out */
void gpt_matmul(float *out, size_t out_stride, gpt_matrix a, gpt_matrix b, size_t m, size_t n, size_t k,
                float scale, float keep);

/* out (rows x outputs) = in (rows x inputs) weight' + bias; weight is outputs x inputs; bias may be NULL. */
typedef struct gpt_linear {
    size_t rows, inputs, outputs;
} gpt_linear;

void gpt_linear_forward(gpt_linear shape, float *out, const float *in, const float *weight,
                        const float *bias);
void gpt_linear_backward(gpt_linear shape, float *in_gradient, const float *out_gradient,
                         const float *weight);
void gpt_linear_gradients(gpt_linear shape, float *weight_gradient, float *bias_gradient,
                          const float *out_gradient, const float *in, bool add);

/* out = (in - mean) * inverse * gain + shift, by row; mean and inverse deviation are kept for backward. */
void gpt_layernorm_forward(size_t rows, size_t width, float *out, float *mean, float *inverse,
                           const float *in, const float *gain, const float *shift);
/* Adds to in_gradient: the residual stream goes around the layer. */
void gpt_layernorm_backward(size_t rows, size_t width, float *in_gradient, const float *out_gradient,
                            const float *in, const float *mean, const float *inverse, const float *gain);
void gpt_layernorm_gradients(size_t rows, size_t width, float *gain_gradient, float *shift_gradient,
                             const float *out_gradient, const float *in, const float *mean,
                             const float *inverse, bool add);

/* GELU in its tanh form. */
void gpt_gelu_forward(size_t count, float *out, const float *in);
/* gradient becomes that of `in`. */
void gpt_gelu_backward(size_t count, float *gradient, const float *in);

/* Causal self-attention. qkv: rows of 3 * width (queries, keys, values, each head by head); weights: batch x
 * heads x context x context probabilities, kept for backward. */
typedef struct gpt_attention {
    size_t batch, heads, context, width;
} gpt_attention;

void gpt_attention_forward(gpt_attention shape, float *out, float *weights, const float *qkv);
/* scratch: context x context. */
void gpt_attention_backward(gpt_attention shape, float *qkv_gradient, const float *out_gradient,
                            const float *weights, const float *qkv, float *scratch);

/* out[row] = token[inputs[row]] + position[row % context] */
void gpt_embedding_forward(size_t batch, size_t context, size_t width, float *out,
                           const unsigned char *inputs, const float *token, const float *position);
/* Always adds to token_gradient. */
void gpt_embedding_token_gradient(size_t rows, size_t width, float *token_gradient,
                                  const unsigned char *inputs, const float *out_gradient);
void gpt_embedding_position_gradient(size_t batch, size_t context, size_t width, float *position_gradient,
                                     const float *out_gradient, bool add);

/* Turns logits into probabilities and returns the sum over rows of -log p(target). */
double gpt_loss_forward(size_t rows, size_t vocabulary, float *logits, const unsigned char *targets);
/* Turns probabilities into scale * the gradient of that sum with respect to the logits. */
void gpt_loss_backward(size_t rows, size_t vocabulary, float *probabilities, const unsigned char *targets,
                       float scale);

#endif
