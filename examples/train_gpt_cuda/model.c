#include "device_model.h"

#include <stdio.h>
#include <stdlib.h>

/* Where everything but weights and gradients lies from `base` on; NULL: how many floats that takes. */
static size_t place(gpt_device_model *model, float *base)
{
    const gpt_config *config = &model->host.config;
    const size_t rows = config->batch * config->context, width = config->width;
    size_t used = gpt_activations_place(config, &model->active, base);
    const struct {
        float **slice;
        size_t count;
    } slices[] = {{&model->stream_gradient, rows * width},
                  {&model->narrow_gradient, rows * width},
                  {&model->wide_gradient, rows * 4 * width},
                  {&model->score_gradient, rows * config->heads * config->context}};
    const size_t line = 64; /* floats: 256 bytes, as cudaMalloc aligns */
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
        used = (used + line - 1) / line * line;
        *slices[i].slice = base ? base + used : NULL;
        used += slices[i].count;
    }
    return used;
}

bool gpt_device_model_create(gpt_device_model *model, gpt_device *device, const gpt_config *config)
{
    *model = (gpt_device_model){.device = device};
    bool well = gpt_weights_create(&model->host, config);
    if (well) {
        model->gradients = calloc(model->host.parameters_count, sizeof *model->gradients);
        model->active.blocks = calloc(config->layers, sizeof *model->active.blocks);
    }
    if (!well || !model->gradients || !model->active.blocks) {
        snprintf(device->sentence, sizeof device->sentence, "not enough memory on the host for the weights");
        return false;
    }
    model->weights = gpt_device_allocate(device, model->host.weights_count * sizeof *model->weights);
    model->arena = gpt_device_allocate(device, place(model, NULL) * sizeof *model->arena);
    model->row_losses =
        gpt_device_allocate(device, config->batch * config->context * sizeof *model->row_losses);
    place(model, model->arena);
    return gpt_device_wait(device);
}

void gpt_device_model_destroy(gpt_device_model *model)
{
    gpt_device_free(model->weights);
    gpt_device_free(model->arena);
    gpt_device_free(model->row_losses);
    free(model->active.blocks);
    free(model->gradients);
    gpt_model_destroy(&model->host);
    *model = (gpt_device_model){0};
}

bool gpt_device_model_upload(gpt_device_model *model)
{
    gpt_device_copy(model->device, model->weights, model->host.weights,
                    model->host.weights_count * sizeof *model->weights);
    return gpt_device_wait(model->device);
}

bool gpt_device_model_download(gpt_device_model *model)
{
    gpt_device_copy(model->device, model->host.weights, model->weights,
                    model->host.weights_count * sizeof *model->weights);
    return gpt_device_wait(model->device);
}

float *gpt_device_weight(const gpt_device_model *model, size_t parameter)
{
    return model->weights + (model->host.parameters[parameter].weight - model->host.weights);
}
