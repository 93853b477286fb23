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

/* What a step multiplies by. */
typedef struct gpt_adamw_factors {
    float keep1, keep2, new1, new2;
    float step;       /* learning rate over the first moment's correction */
    float correction; /* of the second moment */
    float epsilon;
    float shrink; /* 1 - learning rate * weight decay, for matrices */
} gpt_adamw_factors;

/* False when memory runs out. */
bool gpt_adamw_create(gpt_adamw *optimizer, const gpt_model *model, double weight_decay);
void gpt_adamw_destroy(gpt_adamw *optimizer);

/* One step of all parameters by their gradients. */
void gpt_adamw_step(gpt_adamw *optimizer, gpt_model *model, double learning_rate);

/* For moments that are elsewhere: an optimizer without them, and the factors of its next step, which it counts. */
gpt_adamw gpt_adamw_start(double weight_decay);
gpt_adamw_factors gpt_adamw_advance(gpt_adamw *optimizer, double learning_rate);

#endif
