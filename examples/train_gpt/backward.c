#include "model.h"

#include <string.h>

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
    const gpt_block_activations *a = &model->active->blocks[layer];
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

/* The same in two passes. Here the gradients on the way down to the block's input, each kept for the other pass. */
static void block_inputs(const struct pass *pass, size_t layer, const float *in)
{
    const gpt_model *model = pass->model;
    const gpt_config *config = &model->config;
    const gpt_parameter *p = &model->parameters[gpt_block_parameter(layer, GPT_NORM1_GAIN)];
    const gpt_block_activations *a = &model->active->blocks[layer];
    const gpt_block_gradients *g = &model->active->gradients[layer];
    const size_t width = config->width, rows = pass->rows;
    const gpt_attention attention = {pass->batch, config->heads, config->context, width};
    float *stream = model->stream_gradient, *narrow = model->narrow_gradient;

    memcpy(g->out, stream, rows * width * sizeof *stream);
    gpt_linear_backward((gpt_linear){rows, 4 * width, width}, g->wide, stream, p[GPT_NARROW_WEIGHT].weight);
    gpt_gelu_backward(rows * 4 * width, g->wide, a->wide);
    gpt_linear_backward((gpt_linear){rows, width, 4 * width}, g->norm2, g->wide, p[GPT_WIDE_WEIGHT].weight);
    gpt_layernorm_backward(rows, width, stream, g->norm2, a->middle, a->norm2_mean, a->norm2_inverse,
                           p[GPT_NORM2_GAIN].weight);

    memcpy(g->middle, stream, rows * width * sizeof *stream);
    gpt_linear_backward((gpt_linear){rows, width, width}, narrow, stream, p[GPT_ATTENTION_WEIGHT].weight);
    gpt_attention_backward(attention, g->qkv, narrow, a->attention_weights, a->qkv, model->score_gradient);
    gpt_linear_backward((gpt_linear){rows, width, 3 * width}, g->norm1, g->qkv, p[GPT_QKV_WEIGHT].weight);
    gpt_layernorm_backward(rows, width, stream, g->norm1, in, a->norm1_mean, a->norm1_inverse,
                           p[GPT_NORM1_GAIN].weight);
}

static void block_weights(const struct pass *pass, size_t layer, const float *in)
{
    const gpt_model *model = pass->model;
    const gpt_parameter *p = &model->parameters[gpt_block_parameter(layer, GPT_NORM1_GAIN)];
    const gpt_block_activations *a = &model->active->blocks[layer];
    const gpt_block_gradients *g = &model->active->gradients[layer];
    const size_t width = model->config.width, rows = pass->rows;

    gpt_linear_gradients((gpt_linear){rows, 4 * width, width}, p[GPT_NARROW_WEIGHT].gradient,
                         p[GPT_NARROW_BIAS].gradient, g->out, a->active, pass->add);
    gpt_linear_gradients((gpt_linear){rows, width, 4 * width}, p[GPT_WIDE_WEIGHT].gradient,
                         p[GPT_WIDE_BIAS].gradient, g->wide, a->norm2, pass->add);
    gpt_layernorm_gradients(rows, width, p[GPT_NORM2_GAIN].gradient, p[GPT_NORM2_SHIFT].gradient, g->norm2,
                            a->middle, a->norm2_mean, a->norm2_inverse, pass->add);
    gpt_linear_gradients((gpt_linear){rows, width, width}, p[GPT_ATTENTION_WEIGHT].gradient,
                         p[GPT_ATTENTION_BIAS].gradient, g->middle, a->attended, pass->add);
    gpt_linear_gradients((gpt_linear){rows, width, 3 * width}, p[GPT_QKV_WEIGHT].gradient,
                         p[GPT_QKV_BIAS].gradient, g->qkv, a->norm1, pass->add);
    gpt_layernorm_gradients(rows, width, p[GPT_NORM1_GAIN].gradient, p[GPT_NORM1_SHIFT].gradient, g->norm1,
                            in, a->norm1_mean, a->norm1_inverse, pass->add);
}

/* The head and the norm before it. A tied head's part of the token embedding's gradient is written here, and
 * the embedding adds its own. */
static void head_inputs(const struct pass *pass, const unsigned char *targets, float scale, bool kept)
{
    gpt_model *model = pass->model;
    const gpt_config *config = &model->config;
    const gpt_activations *a = model->active;
    const gpt_linear shape = {pass->rows, config->width, config->vocabulary};
    gpt_loss_backward(pass->rows, config->vocabulary, a->logits, targets, scale);
    gpt_linear_backward(shape, kept ? a->last_gradient : model->narrow_gradient, a->logits,
                        model->parameters[gpt_head(config)].weight);
}

static void head_weights(const struct pass *pass)
{
    const gpt_model *model = pass->model;
    const gpt_config *config = &model->config;
    const gpt_linear shape = {pass->rows, config->width, config->vocabulary};
    gpt_linear_gradients(shape, model->parameters[gpt_head(config)].gradient, NULL, model->active->logits,
                         model->active->last_norm, pass->add);
    if (config->untied)
        ready(pass, gpt_head(config));
}

static void embedding_weights(const struct pass *pass, const unsigned char *inputs, const float *gradient)
{
    const gpt_model *model = pass->model;
    const gpt_config *config = &model->config;
    const gpt_parameter *token = &model->parameters[GPT_TOKEN];
    gpt_embedding_position_gradient(pass->batch, config->context, config->width,
                                    model->parameters[GPT_POSITION].gradient, gradient, pass->add);
    ready(pass, GPT_POSITION);
    if (config->untied && !pass->add)
        for (size_t i = 0; i < token->count; i++)
            token->gradient[i] = 0.0f;
    gpt_embedding_token_gradient(pass->rows, config->width, token->gradient, inputs, gradient);
    ready(pass, GPT_TOKEN);
}

/* The residual stream that entered a block. */
static const float *stream_into(const gpt_model *model, size_t layer, const float *in)
{
    if (layer > model->config.first)
        return model->active->blocks[layer - 1].out;
    return gpt_is_first(&model->config) ? model->active->embedded : in;
}

static void both(const struct pass *pass, const float *in, const unsigned char *inputs,
                 const unsigned char *targets, float scale)
{
    gpt_model *model = pass->model;
    const gpt_config *config = &model->config;
    const gpt_activations *a = model->active;
    if (gpt_is_last(config)) {
        head_inputs(pass, targets, scale, false);
        head_weights(pass);
        norm_backward(pass, gpt_last_norm(config), model->narrow_gradient, a->blocks[config->end - 1].out,
                      a->last_mean, a->last_inverse);
    }
    for (size_t layer = config->end; layer-- > config->first;)
        block_backward(pass, layer, stream_into(model, layer, in));
    if (gpt_is_first(config))
        embedding_weights(pass, inputs, model->stream_gradient);
}

static void only_inputs(const struct pass *pass, const float *in, const unsigned char *targets, float scale)
{
    gpt_model *model = pass->model;
    const gpt_config *config = &model->config;
    const gpt_activations *a = model->active;
    const size_t count = pass->rows * config->width;
    if (gpt_is_last(config)) {
        head_inputs(pass, targets, scale, true);
        gpt_layernorm_backward(pass->rows, config->width, model->stream_gradient, a->last_gradient,
                               a->blocks[config->end - 1].out, a->last_mean, a->last_inverse,
                               model->parameters[gpt_last_norm(config)].weight);
    }
    for (size_t layer = config->end; layer-- > config->first;)
        block_inputs(pass, layer, stream_into(model, layer, in));
    if (gpt_is_first(config))
        memcpy(a->embedded_gradient, model->stream_gradient, count * sizeof(float));
}

static void only_weights(const struct pass *pass, const float *in, const unsigned char *inputs)
{
    gpt_model *model = pass->model;
    const gpt_config *config = &model->config;
    const gpt_activations *a = model->active;
    if (gpt_is_last(config)) {
        const gpt_parameter *norm = &model->parameters[gpt_last_norm(config)];
        head_weights(pass);
        gpt_layernorm_gradients(pass->rows, config->width, norm[0].gradient, norm[1].gradient,
                                a->last_gradient, a->blocks[config->end - 1].out, a->last_mean,
                                a->last_inverse, pass->add);
    }
    for (size_t layer = config->end; layer-- > config->first;)
        block_weights(pass, layer, stream_into(model, layer, in));
    if (gpt_is_first(config))
        embedding_weights(pass, inputs, a->embedded_gradient);
}

void gpt_stage_backward(gpt_model *model, gpt_part part, size_t batch, const float *in,
                        const unsigned char *inputs, const float *out_gradient, float *in_gradient,
                        const unsigned char *targets, float scale, bool add, gpt_gradient_ready *callback,
                        void *user)
{
    const gpt_config *config = &model->config;
    const struct pass pass = {model, batch, batch * config->context, add, callback, user};
    const size_t count = pass.rows * config->width;
    if (part == GPT_WEIGHTS) {
        only_weights(&pass, in, inputs);
        return;
    }
    if (gpt_is_last(config))
        memset(model->stream_gradient, 0, count * sizeof(float)); /* norms add to it */
    else
        memcpy(model->stream_gradient, out_gradient, count * sizeof(float));
    if (part == GPT_BOTH)
        both(&pass, in, inputs, targets, scale);
    else
        only_inputs(&pass, in, targets, scale);
    if (in_gradient)
        memcpy(in_gradient, model->stream_gradient, count * sizeof(float));
}

void gpt_backward(gpt_model *model, size_t batch, const unsigned char *inputs, const unsigned char *targets,
                  float scale, bool add, gpt_gradient_ready *callback, void *user)
{
    gpt_stage_backward(model, GPT_BOTH, batch, NULL, inputs, NULL, NULL, targets, scale, add, callback, user);
}
