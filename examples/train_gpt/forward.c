#include "model.h"

#include <string.h>

#include "layers.h"

/* in: the residual stream that enters the block. */
static void block_forward(gpt_model *model, size_t layer, size_t batch, const float *in)
{
    const gpt_config *config = &model->config;
    const gpt_parameter *p = &model->parameters[gpt_block_parameter(layer, GPT_NORM1_GAIN)];
    const gpt_block_activations *a = &model->active->blocks[layer];
    const size_t width = config->width, rows = batch * config->context;
    const gpt_attention attention = {batch, config->heads, config->context, width};

    gpt_layernorm_forward(rows, width, a->norm1, a->norm1_mean, a->norm1_inverse, in,
                          p[GPT_NORM1_GAIN].weight, p[GPT_NORM1_SHIFT].weight);
    gpt_linear_forward((gpt_linear){rows, width, 3 * width}, a->qkv, a->norm1, p[GPT_QKV_WEIGHT].weight,
                       p[GPT_QKV_BIAS].weight);
    gpt_attention_forward(attention, a->attended, a->attention_weights, a->qkv);
    gpt_linear_forward((gpt_linear){rows, width, width}, a->middle, a->attended,
                       p[GPT_ATTENTION_WEIGHT].weight, p[GPT_ATTENTION_BIAS].weight);
    for (size_t i = 0; i < rows * width; i++)
        a->middle[i] += in[i];

    gpt_layernorm_forward(rows, width, a->norm2, a->norm2_mean, a->norm2_inverse, a->middle,
                          p[GPT_NORM2_GAIN].weight, p[GPT_NORM2_SHIFT].weight);
    gpt_linear_forward((gpt_linear){rows, width, 4 * width}, a->wide, a->norm2, p[GPT_WIDE_WEIGHT].weight,
                       p[GPT_WIDE_BIAS].weight);
    gpt_gelu_forward(rows * 4 * width, a->active, a->wide);
    gpt_linear_forward((gpt_linear){rows, 4 * width, width}, a->out, a->active, p[GPT_NARROW_WEIGHT].weight,
                       p[GPT_NARROW_BIAS].weight);
    for (size_t i = 0; i < rows * width; i++)
        a->out[i] += a->middle[i];
}

double gpt_stage_forward(gpt_model *model, size_t batch, const float *in, const unsigned char *inputs,
                         float *out, const unsigned char *targets)
{
    const gpt_config *config = &model->config;
    const gpt_parameter *p = model->parameters;
    const gpt_activations *a = model->active;
    const size_t width = config->width, rows = batch * config->context;
    const float *stream = in;
    if (gpt_is_first(config)) {
        gpt_embedding_forward(batch, config->context, width, a->embedded, inputs, p[GPT_TOKEN].weight,
                              p[GPT_POSITION].weight);
        stream = a->embedded;
    }
    for (size_t layer = config->first; layer < config->end; layer++) {
        block_forward(model, layer, batch, stream);
        stream = a->blocks[layer].out;
    }
    if (!gpt_is_last(config)) {
        memcpy(out, stream, rows * width * sizeof *out);
        return 0;
    }
    const gpt_parameter *norm = &p[gpt_last_norm(config)];
    gpt_layernorm_forward(rows, width, a->last_norm, a->last_mean, a->last_inverse, stream, norm[0].weight,
                          norm[1].weight);
    gpt_linear_forward((gpt_linear){rows, width, config->vocabulary}, a->logits, a->last_norm,
                       p[gpt_head(config)].weight, NULL);
    return gpt_loss_forward(rows, config->vocabulary, a->logits, targets) / (double)rows;
}

double gpt_forward(gpt_model *model, size_t batch, const unsigned char *inputs, const unsigned char *targets)
{
    return gpt_stage_forward(model, batch, NULL, inputs, NULL, targets);
}
