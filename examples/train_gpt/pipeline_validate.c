/* The loss of held-out sequences: a pipeline runs forward and backward or not at all, so here the weights of
 * stages travel. Every rank takes its share of the sequences through one stage after the other. */
#include "pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "agree.h"

typedef struct validation {
    gpt_pipeline *pipeline;
    size_t parts;                    /* of the sequences, each as many as a microbatch has */
    size_t first, mine;              /* this rank's parts: first, first + ranks, ... */
    float *stream;                   /* [mine], what the stages so far made of a part */
    double *holder;                  /* [stages], a rank that holds the stage */
    unsigned char *inputs, *targets; /* those of the pipeline */
    double loss;
} validation;

/* Ranks with the same stage have the same weights, so any of them will do. */
static dist_status find_holders(const validation *v)
{
    const gpt_pipeline *p = v->pipeline;
    for (int s = 0; s < p->shape.stages; s++)
        v->holder[s] = -1;
    for (int i = 0; i < p->shape.local; i++)
        v->holder[p->stage[i].number] = dist_rank(p->context);
    return dist_reduce_scalars(p->context, v->holder, (size_t)p->shape.stages, DIST_MAX);
}

static dist_status fetch_weights(const validation *v, gpt_model *model, int stage)
{
    const gpt_pipeline *p = v->pipeline;
    for (int i = 0; i < p->shape.local; i++)
        if (p->stage[i].number == stage)
            memcpy(model->weights, p->stage[i].model.weights, model->weights_count * sizeof *model->weights);
    return dist_broadcast(p->context, model->weights, model->weights_count, DIST_FLOAT32,
                          (int)v->holder[stage], NULL);
}

static void pass_parts(validation *v, gpt_model *model)
{
    const gpt_pipeline *p = v->pipeline;
    const size_t batch = p->config.batch, context = p->config.context;
    for (size_t k = 0; k < v->mine; k++) {
        const size_t part = v->first + k * (size_t)dist_ranks(p->context);
        float *stream = v->stream + k * batch * context * p->config.width;
        for (size_t i = 0; i < batch; i++)
            gpt_text_held_sequence(p->text, part * batch + i, p->options->batch, context,
                                   v->inputs + i * context, v->targets + i * context);
        v->loss += gpt_stage_forward(model, batch, stream, v->inputs, stream, v->targets) / (double)v->parts;
    }
}

static dist_status pass_stage(validation *v, int stage)
{
    const gpt_pipeline *p = v->pipeline;
    gpt_config config = p->config;
    gpt_model model;
    config.first = (size_t)p->first_block[stage];
    config.end = (size_t)p->first_block[stage + 1];
    const bool created = gpt_model_create(&model, &config);
    dist_status status = DIST_ERR_MEMORY;
    if (gpt_all_agree(p->context, created, "not enough memory to validate"))
        status = fetch_weights(v, &model, stage);
    if (status == DIST_OK)
        pass_parts(v, &model);
    if (created)
        gpt_model_destroy(&model);
    return status;
}

dist_status gpt_pipeline_validate(gpt_pipeline *p, double *loss)
{
    const size_t ranks = (size_t)dist_ranks(p->context), rank = (size_t)dist_rank(p->context);
    validation v = {.pipeline = p,
                    .parts = (size_t)p->shape.replicas * p->options->microbatches,
                    .first = rank,
                    .inputs = p->inputs,
                    .targets = p->targets};
    const size_t count = p->config.batch * p->config.context * p->config.width;
    v.mine = v.parts > rank ? (v.parts - rank + ranks - 1) / ranks : 0;
    v.stream = malloc((v.mine ? v.mine : 1) * count * sizeof *v.stream);
    v.holder = malloc((size_t)p->shape.stages * sizeof *v.holder);
    dist_status status = DIST_ERR_MEMORY;
    if (gpt_all_agree(p->context, v.stream && v.holder, "not enough memory to validate"))
        status = find_holders(&v);
    for (int s = 0; status == DIST_OK && s < p->shape.stages; s++)
        status = pass_stage(&v, s);
    free(v.stream);
    free(v.holder);
    *loss = v.loss;
    return status == DIST_OK ? dist_reduce_scalars(p->context, loss, 1, DIST_SUM) : status;
}
