/* Training as a pipeline: the model's blocks on stages, one after the other (--mesh). */
#ifndef TRAIN_GPT_PIPELINE_H
#define TRAIN_GPT_PIPELINE_H

#include <libdist/dist.h>

#include "adamw.h"
#include "data.h"
#include "model.h"
#include "options.h"
#include "report.h"

/* One stage of this rank. */
typedef struct gpt_stage {
    int number;
    gpt_model model;
    gpt_adamw optimizer;
} gpt_stage;

/* What a microbatch leaves for its backward pass; as many as are ever under way at once. */
typedef struct gpt_stash {
    gpt_activations activations;
    struct gpt_stash *next; /* of those that are free */
} gpt_stash;

typedef struct gpt_pipeline {
    const gpt_options *options;
    const gpt_text *text;
    dist_context *context;
    dist_pipeline *pipeline;
    dist_pipeline_shape shape;
    gpt_config config;               /* of the whole model, with the sequences of one microbatch */
    int *first_block;                /* [stages + 1] */
    gpt_stage *stage;                /* [shape.local] */
    gpt_stash **free;                /* [shape.local] */
    unsigned char *inputs, *targets; /* sequences of one microbatch */
    dist_stage_times *times;
    size_t parameters;
    size_t step;
    double loss; /* at the last stage: the mean of this step's microbatches so far */
    int64_t *gathered;
} gpt_pipeline;

/* Makes the pipeline and this rank's stages. Collective. False, after saying why, on all ranks or none. */
bool gpt_pipeline_start(gpt_pipeline *pipeline, const gpt_options *options, const gpt_text *text,
                        dist_context *context, gpt_report *report);
/* One step with the optimizer: fills in figures. Collective. */
dist_status gpt_pipeline_step(gpt_pipeline *pipeline, size_t step, double learning_rate, double *figures);
/* Whether the replicas of each stage have the same weights; *hash: of all stages'. Collective. */
dist_status gpt_pipeline_compare(gpt_pipeline *pipeline, bool *identical, uint64_t *hash);
/* The loss of as many held-out sequences as a step trains on. All weights travel to all ranks for it. Collective. */
dist_status gpt_pipeline_validate(gpt_pipeline *pipeline, double *loss);
void gpt_pipeline_end(gpt_pipeline *pipeline);

#endif
