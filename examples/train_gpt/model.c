#include "model.h"

#include <stdlib.h>

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

size_t gpt_activations_place(const gpt_config *config, gpt_activations *a, float *base)
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
        activations->arena = calloc(gpt_activations_place(config, activations, NULL), sizeof *activations->arena);
    if (!activations->arena) {
        gpt_activations_destroy(activations);
        return false;
    }
    gpt_activations_place(config, activations, activations->arena);
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
    if (!gpt_weights_create(model, config))
        return false;
    model->arena = calloc(place(model, NULL), sizeof *model->arena);
    if (!model->arena || !gpt_activations_create(&model->own, &model->config, false)) {
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
