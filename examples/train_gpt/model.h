/* A GPT-2-style transformer over bytes: token and position embeddings, blocks of layer norm, causal attention
 * and a four times wider MLP around a residual stream, a last layer norm and a head. Knows nothing of ranks:
 * gradients go where the caller points them, and a callback says when each is complete. */
#ifndef TRAIN_GPT_MODEL_H
#define TRAIN_GPT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gpt_config {
    size_t layers, heads, width;
    size_t context;    /* tokens of a sequence */
    size_t vocabulary; /* at most 256: tokens are bytes */
    size_t batch;      /* sequences of a forward pass at most */
    bool untied;       /* the head has weights of its own; else it uses the token embedding */
} gpt_config;

/* Parameters are numbered in the order in which forward uses them: the embeddings, then for each block the
 * tensors below, then the last layer norm and an untied head. */
enum { GPT_TOKEN, GPT_POSITION, GPT_FIRST_BLOCK };

typedef enum gpt_block_tensor {
    GPT_NORM1_GAIN,
    GPT_NORM1_SHIFT,
    GPT_QKV_WEIGHT,
    GPT_QKV_BIAS,
    GPT_ATTENTION_WEIGHT,
    GPT_ATTENTION_BIAS,
    GPT_NORM2_GAIN,
    GPT_NORM2_SHIFT,
    GPT_WIDE_WEIGHT,
    GPT_WIDE_BIAS,
    GPT_NARROW_WEIGHT,
    GPT_NARROW_BIAS,
    GPT_BLOCK_TENSORS /* how many there are */
} gpt_block_tensor;

typedef struct gpt_parameter {
    char name[32];
    float *weight;
    float *gradient; /* the caller's; NULL for a model that is not trained */
    size_t count;
    float deviation; /* of the first random values; 0: a constant */
    float constant;
    size_t rows; /* of a matrix, which weight decay is for; 0: a vector */
} gpt_parameter;

typedef struct gpt_block_activations {
    float *norm1, *norm1_mean, *norm1_inverse;
    float *qkv, *attention_weights, *attended;
    float *middle; /* the residual stream after attention */
    float *norm2, *norm2_mean, *norm2_inverse;
    float *wide, *active;
    float *out; /* the residual stream after the MLP */
} gpt_block_activations;

typedef struct gpt_model {
    gpt_config config;
    size_t parameters_count;
    gpt_parameter *parameters;
    float *weights; /* all of them, in the parameters' order and without gaps */
    size_t weights_count;

    float *arena; /* holds everything below */
    float *embedded;
    gpt_block_activations *blocks;
    float *last_norm, *last_mean, *last_inverse;
    float *logits; /* probabilities once the loss is known, then their gradient */
    float *stream_gradient, *narrow_gradient, *wide_gradient, *score_gradient;
} gpt_model;

/* Allocates the model and everything that its passes need, weights zero. False when memory runs out; then
 * nothing is left allocated. */
bool gpt_model_create(gpt_model *model, const gpt_config *config);
void gpt_model_destroy(gpt_model *model);
/* Random first weights, the same for the same seed. */
void gpt_model_initialize(gpt_model *model, uint64_t seed);

/* The number of a block's tensor, of the last layer norm's gain (its shift is the next), of the head. */
size_t gpt_block_parameter(size_t layer, gpt_block_tensor tensor);
size_t gpt_last_norm(const gpt_config *config);
size_t gpt_head(const gpt_config *config);

/* The mean loss over batch sequences (batch <= config.batch), in nats a token. inputs and targets: batch x
 * context tokens. */
double gpt_forward(gpt_model *model, size_t batch, const unsigned char *inputs, const unsigned char *targets);

/* Called as soon as a parameter's gradient is complete, while backward goes on. */
typedef void gpt_gradient_ready(void *user, size_t parameter);

/* After gpt_forward on the same sequences: the gradient of scale * (sum of losses over tokens), written to
 * the parameters' gradients or, with `add`, added to them. Gradients become ready last layer first. */
void gpt_backward(gpt_model *model, size_t batch, const unsigned char *inputs, const unsigned char *targets,
                  float scale, bool add, gpt_gradient_ready *ready, void *user);

#endif
