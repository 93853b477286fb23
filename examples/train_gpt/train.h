/* The training loop: where the model meets libdist. */
#ifndef TRAIN_GPT_TRAIN_H
#define TRAIN_GPT_TRAIN_H

#include <libdist/dist.h>

#include "adamw.h"
#include "data.h"
#include "model.h"
#include "options.h"
#include "pipeline.h"
#include "report.h"

typedef struct gpt_trainer {
    const gpt_options *options;
    gpt_text text;
    gpt_model model;
    gpt_adamw optimizer;
    unsigned char *inputs, *targets; /* sequences of one pass */
    dist_parameter *list;            /* the model's parameters as libdist is told of them */
    dist_context *context;
    dist_data_parallel *averages;
    gpt_pipeline pipeline; /* instead of model, optimizer and averages, with --mesh */
    size_t done;           /* steps, by jobs before this one */
    FILE *dump;            /* gets the gradients of options->dump_step; NULL: none are wanted here */
    bool dump_now;         /* the pass that goes on completes them */
    bool dump_failed;
    dist_status ready_status; /* of the first dist_data_parallel_ready that failed */
} gpt_trainer;

/* Loads the text and allocates all that one of `ranks` ranks needs. Not collective: on failure false, and a
 * sentence, which the ranks must agree on before they go on. */
bool gpt_trainer_create(gpt_trainer *trainer, const gpt_options *options, int ranks, char *sentence,
                        size_t sentence_size);
void gpt_trainer_destroy(gpt_trainer *trainer);

/* Registers the parameters and takes rank 0's first weights. Collective. False, after saying why. */
bool gpt_trainer_start(gpt_trainer *trainer, dist_context *context, gpt_report *report);

/* Trains to the last step and fills in the report, once started. Collective. Replicas that differ end the
 * training: report->identical says so. */
dist_status gpt_train(gpt_trainer *trainer, gpt_report *report);

#endif
