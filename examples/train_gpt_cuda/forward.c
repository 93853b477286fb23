#include "device_layers.h"
#include "device_model.h"

/* in: the residual stream that enters the block. */
static void block_forward(gpt_device_model *model, size_t layer, size_t batch, const float *in)
{
    gpt_device *device = model->device;
    const gpt_config *config = &model->host.config;
    const gpt_block_activations *a = &model->active.blocks[layer];
    const size_t width = config->width, rows = batch * config->context;
    const gpt_attention attention = {batch, config->heads, config->context, width};
    const float *w[GPT_BLOCK_TENSORS];
    for (int tensor = 0; tensor < GPT_BLOCK_TENSORS; tensor++)
        w[tensor] = gpt_device_weight(model, gpt_block_parameter(layer, (gpt_block_tensor)tensor));

    gpt_device_layernorm_forward(device, rows, width, a->norm1, a->norm1_mean, a->norm1_inverse, in,
                                 w[GPT_NORM1_GAIN], w[GPT_NORM1_SHIFT]);
    gpt_device_linear_forward(device, (gpt_linear){rows, width, 3 * width}, a->qkv, a->norm1,
                              w[GPT_QKV_WEIGHT], w[GPT_QKV_BIAS], NULL);
    gpt_device_attention_forward(device, attention, a->attended, a->attention_weights, a->qkv);
    gpt_device_linear_forward(device, (gpt_linear){rows, width, width}, a->middle, a->attended,
                              w[GPT_ATTENTION_WEIGHT], w[GPT_ATTENTION_BIAS], in);

    gpt_device_layernorm_forward(device, rows, width, a->norm2, a->norm2_mean, a->norm2_inverse, a->middle,
                                 w[GPT_NORM2_GAIN], w[GPT_NORM2_SHIFT]);
    gpt_device_linear_forward(device, (gpt_linear){rows, width, 4 * width}, a->wide, a->norm2,
                              w[GPT_WIDE_WEIGHT], w[GPT_WIDE_BIAS], NULL);
    gpt_device_gelu_forward(device, rows * 4 * width, a->active, a->wide);
    gpt_device_linear_forward(device, (gpt_linear){rows, 4 * width, width}, a->out, a->active,
                              w[GPT_NARROW_WEIGHT], w[GPT_NARROW_BIAS], a->middle);
}

void gpt_device_forward(gpt_device_model *model, gpt_device_sequences sequences, double *loss, double share,
                        bool add)
{
    gpt_device *device = model->device;
    const gpt_config *config = &model->host.config;
    const gpt_activations *a = &model->active;
    const size_t width = config->width, rows = sequences.count * config->context;
    const size_t norm = gpt_last_norm(config);
    gpt_device_embedding_forward(device, sequences.count, config->context, width, a->embedded,
                                 sequences.inputs, gpt_device_weight(model, GPT_TOKEN),
                                 gpt_device_weight(model, GPT_POSITION));
    const float *stream = a->embedded;
    for (size_t layer = 0; layer < config->layers; layer++) {
        block_forward(model, layer, sequences.count, stream);
        stream = a->blocks[layer].out;
    }
    gpt_device_layernorm_forward(device, rows, width, a->last_norm, a->last_mean, a->last_inverse, stream,
                                 gpt_device_weight(model, norm), gpt_device_weight(model, norm + 1));
    gpt_device_linear_forward(device, (gpt_linear){rows, width, config->vocabulary}, a->logits, a->last_norm,
                              gpt_device_weight(model, gpt_head(config)), NULL, NULL);
    gpt_device_loss_forward(device, rows, config->vocabulary, a->logits, sequences.targets, model->row_losses,
                            loss, share, add);
}
