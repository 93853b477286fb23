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

/* Hands out slices of one allocation; counts them as long as there is none. */
struct arena {
    float *base;
    size_t used;
};

static float *take(struct arena *arena, size_t count)
{
    const size_t line = 16; /* floats of a cache line */
    float *slice = arena->base ? arena->base + arena->used : NULL;
    arena->used += (count + line - 1) / line * line;
    return slice;
}

static void place_block(const gpt_config *config, gpt_block_activations *block, struct arena *arena)
{
    const size_t rows = config->batch * config->context, width = config->width;
    block->norm1 = take(arena, rows * width);
    block->norm1_mean = take(arena, rows);
    block->norm1_inverse = take(arena, rows);
    block->qkv = take(arena, rows * 3 * width);
    block->attention_weights = take(arena, rows * config->heads * config->context);
    block->attended = take(arena, rows * width);
    block->middle = take(arena, rows * width);
    block->norm2 = take(arena, rows * width);
    block->norm2_mean = take(arena, rows);
    block->norm2_inverse = take(arena, rows);
    block->wide = take(arena, rows * 4 * width);
    block->active = take(arena, rows * 4 * width);
    block->out = take(arena, rows * width);
}

static void place_gradients(const gpt_config *config, gpt_block_gradients *gradients, struct arena *arena)
{
    const size_t rows = config->batch * config->context, width = config->width;
    gradients->out = take(arena, rows * width);
    gradients->wide = take(arena, rows * 4 * width);
    gradients->norm2 = take(arena, rows * width);
    gradients->middle = take(arena, rows * width);
    gradients->qkv = take(arena, rows * 3 * width);
    gradients->norm1 = take(arena, rows * width);
}

static size_t place_activations(const gpt_config *config, gpt_activations *a, float *base)
{
    const size_t rows = config->batch * config->context, width = config->width;
    struct arena arena = {.base = base};
    if (gpt_is_first(config))
        a->embedded = take(&arena, rows * width);
    for (size_t layer = config->first; layer < config->end; layer++) {
        place_block(config, &a->blocks[layer], &arena);
        if (a->gradients)
            place_gradients(config, &a->gradients[layer], &arena);
    }
    if (gpt_is_last(config)) {
        a->last_norm = take(&arena, rows * width);
        a->last_mean = take(&arena, rows);
        a->last_inverse = take(&arena, rows);
        a->logits = take(&arena, rows * config->vocabulary);
    }
    if (a->gradients) {
        a->embedded_gradient = take(&arena, rows * width);
        a->last_gradient = take(&arena, rows * width);
    }
    return arena.used;
}

bool gpt_activations_create(gpt_activations *activations, const gpt_config *config, bool split)
{
    *activations = (gpt_activations){.blocks = calloc(config->layers, sizeof *activations->blocks)};
    if (split)
        activations->gradients = calloc(config->layers, sizeof *activations->gradients);
    if (activations->blocks && (activations->gradients || !split))
        activations->arena = calloc(place_activations(config, activations, NULL), sizeof *activations->arena);
    if (!activations->arena) {
        gpt_activations_destroy(activations);
        return false;
    }
    place_activations(config, activations, activations->arena);
    return true;
}

void gpt_activations_destroy(gpt_activations *activations)
{
    free(activations->blocks);
    free(activations->gradients);
    free(activations->arena);
    *activations = (gpt_activations){0};
}

static size_t place(gpt_model *model, float *base)
{
    const gpt_config *config = &model->config;
    const size_t rows = config->batch * config->context, width = config->width;
    struct arena arena = {.base = base};
    model->stream_gradient = take(&arena, rows * width);
    model->narrow_gradient = take(&arena, rows * width);
    model->wide_gradient = take(&arena, rows * 4 * width);
    model->score_gradient = take(&arena, config->context * config->context);
    return arena.used;
}

bool gpt_model_create(gpt_model *model, const gpt_config *config)
{
    *model = (gpt_model){.config = *config};
    if (model->config.end == 0)
        model->config.end = config->layers;
    config = &model->config;
    model->parameters_count = gpt_last_norm(config) + 2 + (config->untied ? 1 : 0);
    model->parameters = calloc(model->parameters_count, sizeof *model->parameters);
    if (!model->parameters) {
        gpt_model_destroy(model);
        return false;
    }
    list_parameters(model);
    model->arena = calloc(place(model, NULL), sizeof *model->arena);
    if (!model->arena || !gpt_activations_create(&model->own, config, false) || !allocate_weights(model)) {
        gpt_model_destroy(model);
        return false;
    }
    place(model, model->arena);
    model->active = &model->own;
    return true;
}

void gpt_model_destroy(gpt_model *model)
{
    gpt_activations_destroy(&model->own);
    free(model->parameters);
    free(model->weights);
    free(model->arena);
    *model = (gpt_model){0};
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
