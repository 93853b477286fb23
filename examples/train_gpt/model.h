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
    /* The blocks that are held, [first, end): the first has the embeddings in front of it, the last the last
     * norm and the head behind it. end == 0: all. */
    size_t first, end;
    bool untied; /* the head has weights of its own; else it uses the token embedding */
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
    size_t count;    /* 0: of a block that is not held */
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

/* Gradients of what a block's layers put out, kept where those of the weights are computed later. */
typedef struct gpt_block_gradients {
    float *out, *wide, *norm2, *middle, *qkv, *norm1;
} gpt_block_gradients;

/* What a forward pass leaves for the backward pass of the same sequences. */
typedef struct gpt_activations {
    float *arena; /* holds everything below */
    float *embedded;
    gpt_block_activations *blocks; /* [layers], of which those held are used */
    float *last_norm, *last_mean, *last_inverse;
    float *logits; /* probabilities once the loss is known, then their gradient */
    /* Only where input and weight gradients are computed apart: */
    gpt_block_gradients *gradients;
    float *embedded_gradient, *last_gradient;
} gpt_activations;

typedef struct gpt_model {
    gpt_config config;
    size_t parameters_count;
    gpt_parameter *parameters;
    float *weights; /* all of them, in the parameters' order and without gaps */
    size_t weights_count;
    gpt_activations own;
    gpt_activations *active; /* of the sequences at hand: own, or another one of the caller's */
    float *arena;            /* holds what follows, which means nothing between passes */
    float *stream_gradient, *narrow_gradient, *wide_gradient, *score_gradient;
} gpt_model;

/* Allocates the model and everything that its passes need, weights zero. False when memory runs out; then
 * nothing is left allocated. */
bool gpt_model_create(gpt_model *model, const gpt_config *config);
void gpt_model_destroy(gpt_model *model);
/* The parameters and weights alone, for a model whose passes run elsewhere. */
bool gpt_weights_create(gpt_model *model, const gpt_config *config);
/* More activations for the same model, for when several passes are under way; `split`: with gradients that
 * are kept. False when memory runs out; then nothing is left allocated. */
bool gpt_activations_create(gpt_activations *activations, const gpt_config *config, bool split);
void gpt_activations_destroy(gpt_activations *activations);
/* Where activations lie from `base` on; NULL: nowhere yet. Returns how many floats they take. */
size_t gpt_activations_place(const gpt_config *config, gpt_activations *activations, float *base);
/* Random first weights, the same for the same seed. */
void gpt_model_initialize(gpt_model *model, uint64_t seed);

/* The number of a block's tensor, of the last layer norm's gain (its shift is the next), of the head. */
size_t gpt_block_parameter(size_t layer, gpt_block_tensor tensor);
size_t gpt_last_norm(const gpt_config *config);
size_t gpt_head(const gpt_config *config);

/* The mean loss over batch sequences (batch <= config.batch), in nats a token. inputs and targets: batch x
 * context tokens. */
double gpt_forward(gpt_model *model, size_t batch, const unsigned char *inputs, const unsigned char *targets);

static inline bool gpt_is_first(const gpt_config *config)
{
    return config->first == 0;
}

static inline bool gpt_is_last(const gpt_config *config)
{
    return config->end == config->layers;
}

/* The blocks that are held. `in`: the residual stream, batch x context x width, or NULL at the first, which
 * takes `inputs`; `out` gets it, or is NULL at the last, which returns the mean loss by `targets` (others
 * 0). `in` must stay until backward. */
double gpt_stage_forward(gpt_model *model, size_t batch, const float *in, const unsigned char *inputs,
                         float *out, const unsigned char *targets);

/* Called as soon as a parameter's gradient is complete, while backward goes on. */
typedef void gpt_gradient_ready(void *user, size_t parameter);

/* After gpt_forward on the same sequences: the gradient of scale * (sum of losses over tokens), written to
 * the parameters' gradients or, with `add`, added to them. Gradients become ready last layer first. */
void gpt_backward(gpt_model *model, size_t batch, const unsigned char *inputs, const unsigned char *targets,
                  float scale, bool add, gpt_gradient_ready *ready, void *user);

/* Which gradients a backward pass computes. INPUTS keeps what WEIGHTS then needs, in activations that were
 * made for it. */
typedef enum gpt_part { GPT_INPUTS = 1, GPT_WEIGHTS = 2, GPT_BOTH = 3 } gpt_part;

/* As gpt_backward for the blocks that are held: from `out_gradient` (NULL at the last) to `in_gradient`
 * (NULL at the first), with `in` as forward had it. */
void gpt_stage_backward(gpt_model *model, gpt_part part, size_t batch, const float *in,
                        const unsigned char *inputs, const float *out_gradient, float *in_gradient,
                        const unsigned char *targets, float scale, bool add, gpt_gradient_ready *ready,
                        void *user);

#endif
