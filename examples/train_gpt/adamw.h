/* AdamW: bias-corrected moments, weight decay apart from the gradient and on matrices only. */
#ifndef TRAIN_GPT_ADAMW_H
#define TRAIN_GPT_ADAMW_H

#include "model.h"

typedef struct gpt_adamw {
    float *first, *second; /* moments, in the order of the model's weights */
    double decay1, decay2; /* how much of each moment a step keeps */
    double power1, power2; /* decay to the power of the steps done: products, which no libm rounds */
    double epsilon, weight_decay;
} gpt_adamw;

/* False when memory runs out. */
bool gpt_adamw_create(gpt_adamw *optimizer, const gpt_model *model, double weight_decay);
void gpt_adamw_destroy(gpt_adamw *optimizer);

/* One step of all parameters by their gradients. */
void gpt_adamw_step(gpt_adamw *optimizer, gpt_model *model, double learning_rate);

#endif
