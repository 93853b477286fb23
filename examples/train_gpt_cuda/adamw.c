#include "device_layers.h"
#include "device_model.h"

bool gpt_device_adamw_create(gpt_device_adamw *optimizer, gpt_device_model *model, double weight_decay)
{
    const size_t bytes = model->host.weights_count * sizeof(float);
    *optimizer = (gpt_device_adamw){.host = gpt_adamw_start(weight_decay)};
    optimizer->first = gpt_device_allocate(model->device, bytes);
    optimizer->second = gpt_device_allocate(model->device, bytes);
    return gpt_device_wait(model->device);
}

void gpt_device_adamw_destroy(gpt_device_adamw *optimizer)
{
    gpt_device_free(optimizer->first);
    gpt_device_free(optimizer->second);
    *optimizer = (gpt_device_adamw){0};
}

void gpt_device_adamw_step(gpt_device_adamw *optimizer, gpt_device_model *model, double learning_rate)
{
    const gpt_adamw_factors matrix = gpt_adamw_advance(&optimizer->host, learning_rate);
    gpt_adamw_factors vector = matrix;
    vector.shrink = 1.0f;
    for (size_t i = 0; i < model->host.parameters_count; i++) {
        const gpt_parameter *p = &model->host.parameters[i];
        const size_t offset = (size_t)(p->weight - model->host.weights);
        gpt_device_adamw_update(model->device, p->count, model->weights + offset, model->gradients[i],
                                optimizer->first + offset, optimizer->second + offset,
                                p->rows ? matrix : vector);
    }
}
