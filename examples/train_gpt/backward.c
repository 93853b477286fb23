#include "model.h"

#include "layers.h"

/* What the parts of a backward pass share. */
struct pass {
    gpt_model *model;
    size_t batch, rows;
    bool add;
    gpt_gradient_ready *ready;
    void *user;
};

static void ready(const struct pass *pass, size_t parameter)
{
    if (pass->ready)
        pass->ready(pass->user, parameter);
}

/* Parameter gradients first: they travel while the gradient of the input is computed. The bias follows the
 * weight in the table. */
static void linear_backward(const struct pass *pass, size_t weight, gpt_linear shape, float *in_gradient,
                            const float *out_gradient, const float *in)
{
    const gpt_parameter *p = &pass->model->parameters[weight];
    gpt_linear_gradients(shape, p[0].gradient, p[1].gradient, out_gradient, in, pass->add);
    ready(pass, weight + 1);
    ready(pass, weight);
    gpt_linear_backward(shape, in_gradient, out_gradient, p[0].weight);
}

/* The residual stream's gradient gets what came through the norm. */
static void norm_backward(const struct pass *pass, size_t gain, const float *out_gradient, const float *in,
                          const float *mean, const float *inverse)
{
    const gpt_parameter *p = &pass->model->parameters[gain];
    const size_t width = pass->model->config.width;
    gpt_layernorm_gradients(pass->rows, width, p[0].gradient, p[1].gradient, out_gradient, in, mean, inverse,
                            pass->add);
    ready(pass, gain + 1);
    ready(pass, gain);
    gpt_layernorm_backward(pass->rows, width, pass->model->stream_gradient, out_gradient, in, mean, inverse,
                           p[0].weight);
}

/* in: the residual stream that entered the block. */
static void block_backward(const struct pass *pass, size_t layer, const float *in)
{
    const gpt_model *model = pass->model;
    const gpt_config *config = &model->config;
    const gpt_block_activations *a = &model->blocks[layer];
    const size_t width = config->width, rows = pass->rows;
    const gpt_attention attention = {pass->batch, config->heads, config->context, width};
    float *stream = model->stream_gradient, *narrow = model->narrow_gradient, *wide = model->wide_gradient;

    linear_backward(pass, gpt_block_parameter(layer, GPT_NARROW_WEIGHT), (gpt_linear){rows, 4 * width, width},
                    wide, stream, a->active);
    gpt_gelu_backward(rows * 4 * width, wide, a->wide);
    linear_backward(pass, gpt_block_parameter(layer, GPT_WIDE_WEIGHT), (gpt_linear){rows, width, 4 * width},
                    narrow, wide, a->norm2);
    norm_backward(pass, gpt_block_parameter(layer, GPT_NORM2_GAIN), narrow, a->middle, a->norm2_mean,
                  a->norm2_inverse);

    linear_backward(pass, gpt_block_parameter(layer, GPT_ATTENTION_WEIGHT), (gpt_linear){rows, width, width},
                    narrow, stream, a->attended);
    gpt_attention_backward(attention, wide, narrow, a->attention_weights, a->qkv, model->score_gradient);
    linear_backward(pass, gpt_block_parameter(layer, GPT_QKV_WEIGHT), (gpt_linear){rows, width, 3 * width},
                    narrow, wide, a->norm1);
    norm_backward(pass, gpt_block_parameter(layer, GPT_NORM1_GAIN), narrow, in, a->norm1_mean,
                  a->norm1_inverse);
}

/* A tied head's part of the token embedding's gradient is written here, and the embedding adds its own. */
static void head_backward(const struct pass *pass, const unsigned char *targets, float scale)
{
    gpt_model *model = pass->model;
    const gpt_config *config = &model->config;
    const gpt_parameter *head = &model->parameters[gpt_head(config)];
    const gpt_linear shape = {pass->rows, config->width, config->vocabulary};
    gpt_loss_backward(pass->rows, config->vocabulary, model->logits, targets, scale);
    gpt_linear_gradients(shape, head->gradient, NULL, model->logits, model->last_norm, pass->add);
    if (config->untied)
        ready(pass, gpt_head(config));
    gpt_linear_backward(shape, model->narrow_gradient, model->logits, head->weight);
}

static void embedding_backward(const struct pass *pass, const unsigned char *inputs)
{
    const gpt_model *model = pass->model;
    const gpt_config *config = &model->config;
    const gpt_parameter *token = &model->parameters[GPT_TOKEN];
    gpt_embedding_position_gradient(pass->batch, config->context, config->width,
                                    model->parameters[GPT_POSITION].gradient, model->stream_gradient,
                                    pass->add);
    ready(pass, GPT_POSITION);
    if (config->untied && !pass->add)
        for (size_t i = 0; i < token->count; i++)
            token->gradient[i] = 0.0f;
    gpt_embedding_token_gradient(pass->rows, config->width, token->gradient, inputs, model->stream_gradient);
    ready(pass, GPT_TOKEN);
}

void gpt_backward(gpt_model *model, size_t batch, const unsigned char *inputs, const unsigned char *targets,
                  float scale, bool add, gpt_gradient_ready *callback, void *user)
{
    const gpt_config *config = &model->config;
    const struct pass pass = {model, batch, batch * config->context, add, callback, user};
    head_backward(&pass, targets, scale);
    for (size_t i = 0; i < pass.rows * config->width; i++)
        model->stream_gradient[i] = 0.0f; /* norms add to it */
    norm_backward(&pass, gpt_last_norm(config), model->narrow_gradient, model->blocks[config->layers - 1].out,
                  model->last_mean, model->last_inverse);
    for (size_t layer = config->layers; layer-- > 0;)
        block_backward(&pass, layer, layer ? model->blocks[layer - 1].out : model->embedded);
    embedding_backward(&pass, inputs);
}
