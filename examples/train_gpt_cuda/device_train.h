/* The training loop: where the model on the device meets libdist. */
#ifndef TRAIN_GPT_DEVICE_TRAIN_H
#define TRAIN_GPT_DEVICE_TRAIN_H

#include <stdio.h>

#include <libdist/dist.h>

#include "data.h"
#include "device_model.h"
#include "options.h"
#include "report.h"
#include "window.h"

#ifndef GPT_GRADIENT_MEMORY /* tests run the program without a device */
#define GPT_GRADIENT_MEMORY DIST_MEMORY_CUDA
#endif

typedef struct gpt_device_trainer {
    const gpt_options *options;
    dist_context *context;
    gpt_text text;
    gpt_device device;
    gpt_device_model model;
    gpt_device_adamw optimizer;
    gpt_window window;
    unsigned char *tokens; /* on the device: inputs, then targets, of the pass at hand */
    dist_parameter *list;  /* the model's parameters as libdist is told of them */
    dist_data_parallel *averages;
    size_t done; /* steps, by jobs before this one */

    FILE *dump;    /* gets the gradients of options->dump_step; NULL: none are wanted here */
    float *dumped; /* those, on the host */
    bool dump_now; /* the pass that is being queued completes them */
    bool dump_failed;
    dist_status ready_status; /* of the first dist_data_parallel_ready that failed */
} gpt_device_trainer;

/* Loads the text. Not collective: on failure false, and a sentence, which the ranks must agree on before they go on. */
bool gpt_device_trainer_create(gpt_device_trainer *trainer, dist_context *context, const gpt_options *options,
                               char *sentence, size_t sentence_size);
/* Allocates what a rank needs on device number `number`. As above. */
bool gpt_device_trainer_allocate(gpt_device_trainer *trainer, int number, char *sentence,
                                 size_t sentence_size);
void gpt_device_trainer_destroy(gpt_device_trainer *trainer);

/* Registers the parameters and takes rank 0's first weights. Collective. False, after saying why. */
bool gpt_device_trainer_start(gpt_device_trainer *trainer);

/* Trains to the last step and fills in the report. Collective. False, after saying why, when that fails; replicas that
 * differ end the training: report->identical says so. */
bool gpt_device_train(gpt_device_trainer *trainer, gpt_report *report);

/* Checkpoints of train_gpt (checkpoint.h): each program reads the other's. */
bool gpt_device_train_save(gpt_device_trainer *trainer, const char *name);
bool gpt_device_train_load(gpt_device_trainer *trainer, const char *name);

#endif
