#include "adamw.h"

#include <math.h>
#include <stdlib.h>

gpt_adamw gpt_adamw_start(double weight_decay)
{
    return (gpt_adamw){.decay1 = 0.9,
                       .decay2 = 0.95,
                       .power1 = 1.0,
                       .power2 = 1.0,
                       .epsilon = 1e-8,
                       .weight_decay = weight_decay};
}

bool gpt_adamw_create(gpt_adamw *optimizer, const gpt_model *model, double weight_decay)
{
    *optimizer = gpt_adamw_start(weight_decay);
    optimizer->first = calloc(model->weights_count, sizeof *optimizer->first);
    optimizer->second = calloc(model->weights_count, sizeof *optimizer->second);
    if (optimizer->first && optimizer->second)
        return true;
    gpt_adamw_destroy(optimizer);
    return false;
}

void gpt_adamw_destroy(gpt_adamw *optimizer)
{
    free(optimizer->first);
    free(optimizer->second);
    *optimizer = (gpt_adamw){0};
}

static void update(size_t count, float *restrict weight, const float *restrict gradient,
                   float *restrict first, float *restrict second, const gpt_adamw_factors f)
{
    for (size_t i = 0; i < count; i++) {
        const float g = gradient[i];
        const float m = f.keep1 * first[i] + f.new1 * g;
        const float v = f.keep2 * second[i] + f.new2 * g * g;
        first[i] = m;
        second[i] = v;
        weight[i] = weight[i] * f.shrink - f.step * m / (sqrtf(v * f.correction) + f.epsilon);
    }
}

gpt_adamw_factors gpt_adamw_advance(gpt_adamw *optimizer, double learning_rate)
{
    optimizer->power1 *= optimizer->decay1;
    optimizer->power2 *= optimizer->decay2;
    return (gpt_adamw_factors){.keep1 = (float)optimizer->decay1,
                               .keep2 = (float)optimizer->decay2,
                               .new1 = (float)(1.0 - optimizer->decay1),
                               .new2 = (float)(1.0 - optimizer->decay2),
                               .step = (float)(learning_rate / (1.0 - optimizer->power1)),
                               .correction = (float)(1.0 / (1.0 - optimizer->power2)),
                               .epsilon = (float)optimizer->epsilon,
                               .shrink = (float)(1.0 - learning_rate * optimizer->weight_decay)};
}

void gpt_adamw_step(gpt_adamw *optimizer, gpt_model *model, double learning_rate)
{
    const gpt_adamw_factors matrix = gpt_adamw_advance(optimizer, learning_rate);
    gpt_adamw_factors vector = matrix;
    vector.shrink = 1.0f;
    for (size_t i = 0; i < model->parameters_count; i++) {
        const gpt_parameter *p = &model->parameters[i];
        const size_t offset = (size_t)(p->weight - model->weights);
        update(p->count, p->weight, p->gradient, optimizer->first + offset, optimizer->second + offset,
               p->rows ? matrix : vector);
    }
}
