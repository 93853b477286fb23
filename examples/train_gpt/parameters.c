#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "random.h"

static const char *const block_tensor_names[GPT_BLOCK_TENSORS] = {
    [GPT_NORM1_GAIN] = "norm1.gain",
    [GPT_NORM1_SHIFT] = "norm1.shift",
    [GPT_QKV_WEIGHT] = "qkv.weight",
    [GPT_QKV_BIAS] = "qkv.bias",
    [GPT_ATTENTION_WEIGHT] = "attention.weight",
    [GPT_ATTENTION_BIAS] = "attention.bias",
    [GPT_NORM2_GAIN] = "norm2.gain",
    [GPT_NORM2_SHIFT] = "norm2.shift",
    [GPT_WIDE_WEIGHT] = "wide.weight",
    [GPT_WIDE_BIAS] = "wide.bias",
    [GPT_NARROW_WEIGHT] = "narrow.weight",
    [GPT_NARROW_BIAS] = "narrow.bias",
};

size_t gpt_block_parameter(size_t layer, gpt_block_tensor tensor)
{
    return GPT_FIRST_BLOCK + layer * GPT_BLOCK_TENSORS + (size_t)tensor;
}

size_t gpt_last_norm(const gpt_config *config)
{
    return gpt_block_parameter(config->layers, GPT_NORM1_GAIN);
}

size_t gpt_head(const gpt_config *config)
{
    return config->untied ? gpt_last_norm(config) + 2 : GPT_TOKEN;
}

static gpt_parameter matrix(size_t rows, size_t columns, float deviation)
{
    return (gpt_parameter){.count = rows * columns, .deviation = deviation, .rows = rows};
}

/* What a layer puts out has the size of what it takes in, so that few steps of warm-up are enough. */
static gpt_parameter linear(size_t outputs, size_t inputs, float gain)
{
    return matrix(outputs, inputs, gain / sqrtf((float)inputs));
}

static gpt_parameter vector(size_t count, float constant)
{
    return (gpt_parameter){.count = count, .constant = constant};
}

static gpt_parameter block_parameter(const gpt_config *config, gpt_block_tensor tensor)
{
    const size_t width = config->width;
    /* each block adds twice to the residual stream, which should keep its size too */
    const float residual = 1.0f / sqrtf(2.0f * (float)config->layers);
    switch (tensor) {
    case GPT_NORM1_GAIN:
    case GPT_NORM2_GAIN:
        return vector(width, 1.0f);
    case GPT_QKV_WEIGHT:
        return linear(3 * width, width, 1.0f);
    case GPT_QKV_BIAS:
        return vector(3 * width, 0.0f);
    case GPT_ATTENTION_WEIGHT:
        return linear(width, width, residual);
    case GPT_WIDE_WEIGHT:
        return linear(4 * width, width, 1.0f);
    case GPT_WIDE_BIAS:
        return vector(4 * width, 0.0f);
    case GPT_NARROW_WEIGHT:
        return linear(width, 4 * width, residual);
    default: /* the remaining shifts and biases */
        return vector(width, 0.0f);
    }
}

static void name_parameter(gpt_parameter *parameter, const char *name)
{
    snprintf(parameter->name, sizeof parameter->name, "%s", name);
}

static void list_parameters(gpt_model *model)
{
    const gpt_config *config = &model->config;
    gpt_parameter *list = model->parameters;
    list[GPT_TOKEN] = matrix(config->vocabulary, config->width, 0.05f);
    name_parameter(&list[GPT_TOKEN], "token");
    list[GPT_POSITION] = matrix(config->context, config->width, 0.02f);
    name_parameter(&list[GPT_POSITION], "position");
    for (size_t layer = 0; layer < config->layers; layer++)
        for (int tensor = 0; tensor < GPT_BLOCK_TENSORS; tensor++) {
            gpt_parameter *parameter = &list[gpt_block_parameter(layer, (gpt_block_tensor)tensor)];
            *parameter = block_parameter(config, (gpt_block_tensor)tensor);
            snprintf(parameter->name, sizeof parameter->name, "block%u.%s", (unsigned)layer,
                     block_tensor_names[tensor]);
        }
    const size_t last = gpt_last_norm(config);
    list[last] = vector(config->width, 1.0f);
    name_parameter(&list[last], "last_norm.gain");
    list[last + 1] = vector(config->width, 0.0f);
    name_parameter(&list[last + 1], "last_norm.shift");
    if (config->untied) {
        list[last + 2] = matrix(config->vocabulary, config->width, 0.05f);
        name_parameter(&list[last + 2], "head");
    }
}

/* Whether parameter number i is of a block that is held, or of what stands before the first or behind the last. */
static bool is_held(const gpt_config *config, size_t i)
{
    if (i < GPT_FIRST_BLOCK)
        return gpt_is_first(config) || (i == GPT_TOKEN && !config->untied && gpt_is_last(config));
    if (i >= gpt_last_norm(config))
        return gpt_is_last(config);
    return i >= gpt_block_parameter(config->first, GPT_NORM1_GAIN) &&
           i < gpt_block_parameter(config->end, GPT_NORM1_GAIN);
}

static bool allocate_weights(gpt_model *model)
{
    model->weights_count = 0;
    for (size_t i = 0; i < model->parameters_count; i++) {
        if (!is_held(&model->config, i))
            model->parameters[i].count = 0;
        model->weights_count += model->parameters[i].count;
    }
    model->weights = calloc(model->weights_count, sizeof *model->weights);
    if (!model->weights)
        return false;
    float *next = model->weights;
    for (size_t i = 0; i < model->parameters_count; i++) {
        model->parameters[i].weight = next;
        next += model->parameters[i].count;
    }
    return true;
}

bool gpt_weights_create(gpt_model *model, const gpt_config *config)
{
    *model = (gpt_model){.config = *config};
    if (model->config.end == 0)
        model->config.end = config->layers;
    config = &model->config;
    model->parameters_count = gpt_last_norm(config) + 2 + (config->untied ? 1 : 0);
    model->parameters = calloc(model->parameters_count, sizeof *model->parameters);
    if (model->parameters) {
        list_parameters(model);
        if (allocate_weights(model))
            return true;
    }
    gpt_model_destroy(model);
    return false;
}

void gpt_model_initialize(gpt_model *model, uint64_t seed)
{
    const double full_turn = 6.283185307179586;
    for (size_t p = 0; p < model->parameters_count; p++) {
        const gpt_parameter *parameter = &model->parameters[p];
        for (size_t i = 0; i < parameter->count; i++) {
            const double radius = sqrt(-2.0 * log(gpt_random_unit(gpt_random(seed, p, 2 * i))));
            const double angle = full_turn * gpt_random_unit(gpt_random(seed, p, 2 * i + 1));
            parameter->weight[i] = parameter->constant + parameter->deviation * (float)(radius * cos(angle));
        }
    }
}
