#include "device_layers.h"
#include "device_model.h"

/* What the parts of a backward pass share. */
typedef struct pass {
    gpt_device_model *model;
    gpt_device *device;
    size_t batch, rows;
    bool add;
    gpt_gradient_ready *ready;
    void *user;
} pass;

static void ready(const pass *p, size_t parameter)
{
    if (p->ready)
        p->ready(p->user, parameter);
}

/* Parameter gradients first: they travel while the gradient of the input is computed. The bias follows the
 * weight in the table. */
static void linear_backward(const pass *p, size_t weight, gpt_linear shape, float *in_gradient,
                            const float *out_gradient, const float *in)
{
    float *const *gradients = p->model->gradients + weight;
    gpt_device_linear_gradients(p->device, shape, gradients[0], gradients[1], out_gradient, in, p->add);
    ready(p, weight + 1);
    ready(p, weight);
    gpt_device_linear_backward(p->device, shape, in_gradient, out_gradient,
                               gpt_device_weight(p->model, weight));
}

/* The residual stream's gradient gets what came through the norm. */
static void norm_backward(const pass *p, size_t gain, const float *out_gradient, const float *in,
                          const float *mean, const float *inverse)
{
    float *const *gradients = p->model->gradients + gain;
    const size_t width = p->model->host.config.width;
    gpt_device_layernorm_gradients(p->device, p->rows, width, gradients[0], gradients[1], out_gradient, in,
                                   mean, inverse, p->add);
    ready(p, gain + 1);
    ready(p, gain);
    gpt_device_layernorm_backward(p->device, p->rows, width, p->model->stream_gradient, out_gradient, in,
                                  mean, inverse, gpt_device_weight(p->model, gain));
}

/* in: the residual stream that entered the block. */
static void block_backward(const pass *p, size_t layer, const float *in)
{
    gpt_device_model *model = p->model;
    const gpt_config *config = &model->host.config;
    const gpt_block_activations *a = &model->active.blocks[layer];
    const size_t width = config->width, rows = p->rows;
    const gpt_attention attention = {p->batch, config->heads, config->context, width};
    float *stream = model->stream_gradient, *narrow = model->narrow_gradient, *wide = model->wide_gradient;

    linear_backward(p, gpt_block_parameter(layer, GPT_NARROW_WEIGHT), (gpt_linear){rows, 4 * width, width},
                    wide, stream, a->active);
    gpt_device_gelu_backward(p->device, rows * 4 * width, wide, a->wide);
    linear_backward(p, gpt_block_parameter(layer, GPT_WIDE_WEIGHT), (gpt_linear){rows, width, 4 * width},
                    narrow, wide, a->norm2);
    norm_backward(p, gpt_block_parameter(layer, GPT_NORM2_GAIN), narrow, a->middle, a->norm2_mean,
                  a->norm2_inverse);

    linear_backward(p, gpt_block_parameter(layer, GPT_ATTENTION_WEIGHT), (gpt_linear){rows, width, width},
                    narrow, stream, a->attended);
    gpt_device_attention_backward(p->device, attention, wide, narrow, a->attention_weights, a->qkv,
                                  model->score_gradient);
    linear_backward(p, gpt_block_parameter(layer, GPT_QKV_WEIGHT), (gpt_linear){rows, width, 3 * width},
                    narrow, wide, a->norm1);
    norm_backward(p, gpt_block_parameter(layer, GPT_NORM1_GAIN), narrow, in, a->norm1_mean, a->norm1_inverse);
}

/* The head and the norm before it. A tied head's part of the token embedding's gradient is written here, and
 * the embedding adds its own. */
static void head_backward(const pass *p, const unsigned char *targets, float scale)
{
    gpt_device_model *model = p->model;
    const gpt_config *config = &model->host.config;
    const gpt_activations *a = &model->active;
    const size_t head = gpt_head(config);
    const gpt_linear shape = {p->rows, config->width, config->vocabulary};
    gpt_device_loss_backward(p->device, p->rows, config->vocabulary, a->logits, targets, scale);
    gpt_device_linear_gradients(p->device, shape, model->gradients[head], NULL, a->logits, a->last_norm,
                                p->add);
    if (config->untied)
        ready(p, head);
    gpt_device_linear_backward(p->device, shape, model->narrow_gradient, a->logits,
                               gpt_device_weight(model, head));
    norm_backward(p, gpt_last_norm(config), model->narrow_gradient, a->blocks[config->layers - 1].out,
                  a->last_mean, a->last_inverse);
}

static void embedding_backward(const pass *p, const unsigned char *inputs)
{
    const gpt_device_model *model = p->model;
    const gpt_config *config = &model->host.config;
    gpt_device_position_gradient(p->device, p->batch, config->context, config->width,
                                 model->gradients[GPT_POSITION], model->stream_gradient, p->add);
    ready(p, GPT_POSITION);
    gpt_device_token_gradient(p->device, p->rows, config->vocabulary, config->width,
                              model->gradients[GPT_TOKEN], inputs, model->stream_gradient,
                              p->add || !config->untied);
    ready(p, GPT_TOKEN);
}

void gpt_device_backward(gpt_device_model *model, gpt_device_sequences sequences, float scale, bool add,
                         gpt_gradient_ready *callback, void *user)
{
    const gpt_config *config = &model->host.config;
    const size_t rows = sequences.count * config->context;
    const pass p = {model, model->device, sequences.count, rows, add, callback, user};
    gpt_device_zero(model->device, model->stream_gradient,
                    rows * config->width * sizeof *model->stream_gradient); /* norms add to it */
    head_backward(&p, sequences.targets, scale);
    for (size_t layer = config->layers; layer-- > 0;)
        block_backward(&p, layer, layer > 0 ? model->active.blocks[layer - 1].out : model->active.embedded);
    embedding_backward(&p, sequences.inputs);
}
