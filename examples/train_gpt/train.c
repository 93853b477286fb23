#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "train.h"

#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "agree.h"
#include "dump.h"
#include "job.h"
#include "progress.h"

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* As gpt_job_batch for a mesh: whether replicas and microbatches share the batch evenly. */
static bool mesh_fits(const gpt_options *options, int ranks, char *sentence, size_t sentence_size)
{
    const size_t positions = options->positions;
    if ((size_t)ranks % positions != 0) {
        snprintf(sentence, sentence_size, "--mesh %s: %d ranks are no multiple of %zu", options->mesh, ranks,
                 positions);
        return false;
    }
    const size_t replicas = (size_t)ranks / positions, parts = replicas * options->microbatches;
    const size_t batch = options->batch / parts;
    if (options->batch % parts != 0)
        snprintf(sentence, sentence_size,
                 "--batch %zu cannot be split evenly over %zu replicas times --microbatches %zu; use a "
                 "multiple of %zu",
                 options->batch, replicas, options->microbatches, parts);
    else if (batch * options->context > INT_MAX / 8)
        snprintf(sentence, sentence_size,
                 "%zu sequences of %zu bytes are too many for one microbatch; raise --microbatches", batch,
                 options->context);
    else
        return true;
    return false;
}

static bool allocate(gpt_trainer *t, size_t batch)
{
    const gpt_options *options = t->options;
    const gpt_config config = gpt_job_config(options, batch);
    if (!gpt_model_create(&t->model, &config))
        return false;
    t->inputs = malloc(batch * config.context);
    t->targets = malloc(batch * config.context);
    t->list = calloc(t->model.parameters_count, sizeof *t->list);
    return gpt_adamw_create(&t->optimizer, &t->model, options->weight_decay) && t->inputs && t->targets &&
           t->list;
}

bool gpt_trainer_create(gpt_trainer *trainer, const gpt_options *options, int ranks, char *sentence,
                        size_t sentence_size)
{
    *trainer = (gpt_trainer){.options = options};
    const size_t batch = options->mesh ? 1 : gpt_job_batch(options, ranks, sentence, sentence_size);
    if (batch == 0 || (options->mesh && !mesh_fits(options, ranks, sentence, sentence_size)))
        return false;
    if (!gpt_text_load(&trainer->text, options->data, options->context, options->validate > 0, sentence,
                       sentence_size))
        return false;
    if (options->mesh)
        return true; /* gpt_pipeline_start makes the model */
    if (!allocate(trainer, batch)) {
        snprintf(sentence, sentence_size, "not enough memory for this model and batch; make them smaller");
        gpt_trainer_destroy(trainer);
        return false;
    }
    gpt_model_initialize(&trainer->model, options->seed);
    return true;
}

void gpt_trainer_destroy(gpt_trainer *trainer)
{
    gpt_pipeline_end(&trainer->pipeline);
    dist_data_parallel_destroy(trainer->averages);
    gpt_text_destroy(&trainer->text);
    gpt_model_destroy(&trainer->model);
    gpt_adamw_destroy(&trainer->optimizer);
    free(trainer->inputs);
    free(trainer->targets);
    free(trainer->list);
    *trainer = (gpt_trainer){0};
}

/* Gradients go straight into the buckets from which they are sent. */
static dist_status register_parameters(gpt_trainer *t)
{
    gpt_model *model = &t->model;
    for (size_t i = 0; i < model->parameters_count; i++)
        t->list[i] = (dist_parameter){.name = model->parameters[i].name,
                                      .count = model->parameters[i].count,
                                      .type = DIST_FLOAT32,
                                      .rows = model->parameters[i].rows};
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    options.algo = t->options->algo;
    options.codec = t->options->codec;
    options.bucket_bytes = t->options->bucket;
    options.accumulate = (int)t->options->accumulate;
    const dist_status status =
        dist_data_parallel_create(t->context, t->list, model->parameters_count, &options, &t->averages);
    for (size_t i = 0; status == DIST_OK && i < model->parameters_count; i++)
        model->parameters[i].gradient = dist_data_parallel_gradient(t->averages, i);
    return status;
}

static void gradient_ready(void *user, size_t parameter)
{
    gpt_trainer *t = user;
    /* once it is ready it may be averaged */
    if (t->dump_now && !gpt_dump_gradient(t->dump, &t->model, parameter))
        t->dump_failed = true;
    const dist_status status = dist_data_parallel_ready(t->averages, parameter, NULL);
    if (status < 0 && t->ready_status == DIST_OK)
        t->ready_status = status;
}

/* This rank's part number `part` of a global batch. */
static gpt_job_part part_of(const gpt_trainer *t, size_t part)
{
    return (gpt_job_part){.text = &t->text,
                          .options = t->options,
                          .rank = dist_rank(t->context),
                          .part = part,
                          .batch = t->model.config.batch};
}

/* Forward and backward of all parts; the averages are in place afterwards. */
static dist_status average_gradients(gpt_trainer *t, size_t step, double *loss, double *waited)
{
    const gpt_config *config = &t->model.config;
    const size_t parts = t->options->accumulate;
    const float scale = 1.0f / (float)(parts * config->batch * config->context);
    *loss = *waited = 0;
    for (size_t part = 0; part < parts; part++) {
        const gpt_job_part mine = part_of(t, part);
        gpt_job_sequences(&mine, step, t->inputs, t->targets);
        int64_t span = dist_trace_begin(t->context); /* nothing without --trace */
        *loss += gpt_forward(&t->model, config->batch, t->inputs, t->targets) / (double)parts;
        dist_trace_end(t->context, "forward", span);
        t->dump_now = t->dump && step + 1 == t->options->dump_step && part + 1 == parts;
        span = dist_trace_begin(t->context);
        gpt_backward(&t->model, config->batch, t->inputs, t->targets, scale, part > 0, gradient_ready, t);
        dist_trace_end(t->context, "backward", span);
        if (t->ready_status < 0)
            return t->ready_status;
        span = dist_trace_begin(t->context);
        const double begin = seconds();
        const dist_status status = dist_data_parallel_wait(t->averages, NULL);
        *waited += seconds() - begin;
        dist_trace_end(t->context, "wait", span);
        if (status < 0)
            return status;
    }
    return DIST_OK;
}

static dist_status data_parallel_step(gpt_trainer *t, size_t step, double *figures)
{
    dist_data_parallel_stats stats;
    double loss, waited;
    const double begin = seconds();
    dist_status status = average_gradients(t, step, &loss, &waited);
    if (status < 0)
        return status;
    const int64_t span = dist_trace_begin(t->context);
    gpt_adamw_step(&t->optimizer, &t->model, gpt_job_learning_rate(t->options, step));
    dist_trace_end(t->context, "optimizer", span);
    const double total = seconds() - begin;
    status = dist_data_parallel_stats_get(t->averages, &stats);
    if (status < 0)
        return status;
    figures[GPT_LOSS] = loss;
    figures[GPT_STEP] = total;
    figures[GPT_COMPUTE] = total - waited;
    figures[GPT_EXPOSED] = stats.exposed;
    figures[GPT_COMMUNICATION] = stats.communication;
    figures[GPT_CODEC] = stats.codec;
    figures[GPT_ACROSS] = (double)stats.bytes_across;
    double least = stats.exposed;
    status = dist_reduce_scalars(t->context, figures, GPT_FIGURES, DIST_AVERAGE);
    if (status == DIST_OK)
        status = dist_reduce_scalars(t->context, &least, 1, DIST_MIN);
    figures[GPT_EXPOSED_LAST] = least;
    return status;
}

static dist_status train_step(gpt_trainer *t, size_t step, double *figures)
{
    if (!t->options->mesh)
        return data_parallel_step(t, step, figures);
    return gpt_pipeline_step(&t->pipeline, step, gpt_job_learning_rate(t->options, step), figures);
}

static dist_status compare(gpt_trainer *t, gpt_report *report)
{
    if (t->options->mesh)
        return gpt_pipeline_compare(&t->pipeline, &report->identical, &report->hash);
    return dist_replicas_identical(t->context, t->model.weights,
                                   t->model.weights_count * sizeof *t->model.weights, &report->identical,
                                   &report->hash);
}

/* The loss of as many held-out sequences as a step trains on. */
static dist_status validate(gpt_trainer *t, double *loss)
{
    const size_t parts = t->options->accumulate;
    if (t->options->mesh)
        return gpt_pipeline_validate(&t->pipeline, loss);
    *loss = 0;
    for (size_t part = 0; part < parts; part++) {
        const gpt_job_part mine = part_of(t, part);
        gpt_job_held_sequences(&mine, t->inputs, t->targets);
        *loss += gpt_forward(&t->model, mine.batch, t->inputs, t->targets) / (double)parts;
    }
    return dist_reduce_scalars(t->context, loss, 1, DIST_AVERAGE);
}

static dist_status train(gpt_trainer *t, const gpt_progress *progress, gpt_report *report)
{
    const gpt_options *options = t->options;
    for (size_t step = t->done; step < options->steps && report->identical; step++) {
        double *figures = gpt_history_next(&report->history);
        dist_status status = train_step(t, step, figures);
        if (status == DIST_OK)
            status = compare(t, report);
        if (status < 0)
            return status;
        gpt_progress_step(progress, step, figures, report->ranks, report->hash, report->identical);
        if (options->validate == 0 || (step + 1) % options->validate != 0)
            continue;
        status = validate(t, &report->validation);
        if (status < 0)
            return status;
        gpt_progress_validation(progress, step, report->validation);
    }
    return DIST_OK;
}

static void print_pipeline(const gpt_history *history)
{
    printf(
        "pipeline: %.1f ms a step (predicted %.1f), of which ranks idle %.0f%% (predicted %.0f%%); medians\n",
        gpt_history_median(history, GPT_SPAN) * 1e3, gpt_history_median(history, GPT_PREDICTED) * 1e3,
        gpt_history_median(history, GPT_BUBBLE) * 1e2,
        gpt_history_median(history, GPT_BUBBLE_PREDICTED) * 1e2);
}

bool gpt_trainer_start(gpt_trainer *trainer, dist_context *context, gpt_report *report)
{
    const gpt_model *model = &trainer->model;
    trainer->context = context;
    if (trainer->options->mesh)
        return gpt_pipeline_start(&trainer->pipeline, trainer->options, &trainer->text, context, report);
    /* libm may differ from machine to machine: only one rank's first weights count */
    if (register_parameters(trainer) == DIST_OK &&
        dist_broadcast(context, model->weights, model->weights_count, DIST_FLOAT32, 0, NULL) == DIST_OK)
        return true;
    fprintf(stderr, GPT_PROGRAM ": rank %d: %s\n", dist_rank(context), dist_last_error());
    return false;
}

dist_status gpt_train(gpt_trainer *trainer, gpt_report *report)
{
    const gpt_progress progress = gpt_progress_start(trainer->options, dist_rank(trainer->context));
    dist_data_parallel_stats stats;
    const dist_status status =
        trainer->averages ? dist_data_parallel_stats_get(trainer->averages, &stats) : DIST_OK;
    if (status < 0)
        return status;
    report->buckets = trainer->averages ? stats.buckets : 0;
    gpt_progress_job(&progress, trainer->options, report, &trainer->text, trainer->pipeline.shape.stages);
    const dist_status trained = train(trainer, &progress, report);
    if (trained == DIST_OK && progress.shown && trainer->options->mesh)
        print_pipeline(&report->history);
    return trained;
}
