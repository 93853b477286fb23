/* train_gpt's model (model.h) on a device: parameters of the same names, sizes and first weights, and passes that
 * are queued on the device's stream. */
#ifndef TRAIN_GPT_DEVICE_MODEL_H
#define TRAIN_GPT_DEVICE_MODEL_H

#include "adamw.h"
#include "device.h"
#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gpt_device_model {
    gpt_device *device;
    gpt_model host;         /* the parameters, and weights as of the last exchange with the device */
    float *weights;         /* on the device, in the order of host.weights */
    float **gradients;      /* of each parameter, on the device: the caller's */
    gpt_activations active; /* on the device */
    float *arena;           /* holds `active` and what follows, which means nothing between passes */
    float *stream_gradient, *narrow_gradient, *wide_gradient, *score_gradient;
    double *row_losses;
} gpt_device_model;

/* Sequences, context bytes each, on the device. */
typedef struct gpt_device_sequences {
    size_t count;
    const unsigned char *inputs, *targets;
} gpt_device_sequences;

/* Everything that passes of config->batch sequences need; weights zero. False when memory runs out on the host or on
 * the device, which has the sentence then. Destroy it all the same. */
bool gpt_device_model_create(gpt_device_model *model, gpt_device *device, const gpt_config *config);
void gpt_device_model_destroy(gpt_device_model *model);

/* Weights from the host to the device, or back. Returns when they are there; false after a failure. */
bool gpt_device_model_upload(gpt_device_model *model);
bool gpt_device_model_download(gpt_device_model *model);

/* Where the weights of a parameter are on the device. */
float *gpt_device_weight(const gpt_device_model *model, size_t parameter);

/* *loss, on the device, gets the mean loss in nats a token times `share`; with `add` that is added to it. */
void gpt_device_forward(gpt_device_model *model, gpt_device_sequences sequences, double *loss, double share,
                        bool add);

/* As gpt_backward: `ready` is called as soon as the work that completes a gradient is queued. */
void gpt_device_backward(gpt_device_model *model, gpt_device_sequences sequences, float scale, bool add,
                         gpt_gradient_ready *ready, void *user);

/* AdamW with its moments on the device. */
typedef struct gpt_device_adamw {
    gpt_adamw host; /* powers and factors; its moments are NULL */
    float *first, *second;
} gpt_device_adamw;

/* As for the model. */
bool gpt_device_adamw_create(gpt_device_adamw *optimizer, gpt_device_model *model, double weight_decay);
void gpt_device_adamw_destroy(gpt_device_adamw *optimizer);
void gpt_device_adamw_step(gpt_device_adamw *optimizer, gpt_device_model *model, double learning_rate);

#ifdef __cplusplus
}
#endif
#endif
