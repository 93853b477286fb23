#include "device_train.h"

#include <stdio.h>

#include "agree.h"
#include "dump.h"
#include "job.h"
#include "progress.h"

/* Whether libdist and the device have done what they were asked; a rank that has not says why. */
static bool well(gpt_device_trainer *t, dist_status status)
{
    const bool device = gpt_device_well(&t->device);
    if (status < 0 || !device)
        fprintf(stderr, GPT_PROGRAM ": rank %d: %s\n", dist_rank(t->context),
                device ? dist_last_error() : t->device.sentence);
    return status >= 0 && device;
}

/* Gradients are device pointers: libdist finds out by itself. */
/* Gradients lie where libdist places them, in its buckets: they are averaged without a copy. */
static dist_status register_parameters(gpt_device_trainer *t)
{
    const gpt_model *model = &t->model.host;
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
    options.memory = GPT_GRADIENT_MEMORY;
    const dist_status status =
        dist_data_parallel_create(t->context, t->list, model->parameters_count, &options, &t->averages);
    for (size_t i = 0; status == DIST_OK && i < model->parameters_count; i++)
        t->model.gradients[i] = dist_data_parallel_gradient(t->averages, i);
    return status;
}

bool gpt_device_trainer_start(gpt_device_trainer *t)
{
    gpt_model *model = &t->model.host;
    dist_status status = register_parameters(t);
    /* libm may differ from machine to machine: only one rank's first weights count */
    if (status == DIST_OK)
        status = dist_broadcast(t->context, model->weights, model->weights_count, DIST_FLOAT32, 0, NULL);
    gpt_device_model_upload(&t->model);
    return well(t, status);
}

/* The one step whose gradients are dumped waits for each of them. */
static void dump_gradient(gpt_device_trainer *t, size_t parameter)
{
    const gpt_parameter *p = &t->model.host.parameters[parameter];
    gpt_device_copy(&t->device, p->gradient, t->model.gradients[parameter], p->count * sizeof *p->gradient);
    if (!gpt_device_wait(&t->device) || !gpt_dump_gradient(t->dump, &t->model.host, parameter))
        t->dump_failed = true;
}

static void gradient_ready(void *user, size_t parameter)
{
    gpt_device_trainer *t = user;
    if (t->dump_now) /* once it is ready it may be averaged */
        dump_gradient(t, parameter);
    const dist_status status = dist_data_parallel_ready(t->averages, parameter, t->device.stream);
    if (status < 0 && t->ready_status == DIST_OK)
        t->ready_status = status;
}

/* Sends the tokens of a pass, inputs and then targets, to the device. */
static gpt_device_sequences send_tokens(gpt_device_trainer *t, const unsigned char *tokens)
{
    const size_t batch = t->model.host.config.batch, bytes = batch * t->options->context;
    gpt_device_copy(&t->device, t->tokens, tokens, 2 * bytes);
    return (gpt_device_sequences){batch, t->tokens, t->tokens + bytes};
}

static gpt_job_part part_of(const gpt_device_trainer *t, size_t part)
{
    return (gpt_job_part){.text = &t->text,
                          .options = t->options,
                          .rank = dist_rank(t->context),
                          .part = part,
                          .batch = t->model.host.config.batch};
}

/* Queues forward and backward of all parts, and makes the stream wait for the averages. */
static dist_status queue_gradients(gpt_device_trainer *t, size_t step)
{
    const size_t parts = t->options->accumulate, bytes = t->model.host.config.batch * t->options->context;
    const float scale = 1.0f / (float)(parts * bytes);
    dist_status status = DIST_OK;
    for (size_t part = 0; status == DIST_OK && part < parts; part++) {
        const gpt_job_part mine = part_of(t, part);
        unsigned char *tokens = gpt_window_tokens(&t->window) + part * 2 * bytes;
        gpt_job_sequences(&mine, step, tokens, tokens + bytes);
        const gpt_device_sequences sequences = send_tokens(t, tokens);
        gpt_device_forward(&t->model, sequences, gpt_window_loss(&t->window), 1.0 / (double)parts, part > 0);
        t->dump_now = t->dump && step + 1 == t->options->dump_step && part + 1 == parts;
        gpt_device_backward(&t->model, sequences, scale, part > 0, gradient_ready, t);
        if (t->ready_status < 0)
            return t->ready_status;
        gpt_window_mark(&t->window, &t->device, GPT_MARK_WAITS);
        status = dist_data_parallel_wait(t->averages, t->device.stream);
        gpt_window_mark(&t->window, &t->device, GPT_MARK_WAITED);
    }
    return status;
}

static dist_status queue_step(gpt_device_trainer *t, size_t step)
{
    gpt_window_mark(&t->window, &t->device, GPT_MARK_BEGIN);
    const dist_status status = queue_gradients(t, step);
    if (status < 0)
        return status;
    gpt_device_adamw_step(&t->optimizer, &t->model, gpt_job_learning_rate(t->options, step));
    gpt_window_mark(&t->window, &t->device, GPT_MARK_END);
    return DIST_OK;
}

/* The figures of one step of the window, over all ranks. What libdist counts it counts for all steps of the window. */
static dist_status record_step(gpt_device_trainer *t, size_t slot, const dist_data_parallel_stats *before,
                               const dist_data_parallel_stats *after, double *figures)
{
    const double steps = (double)t->window.filled;
    gpt_window_figures(&t->window, &t->device, slot, figures);
    figures[GPT_COMMUNICATION] = (after->communication_total - before->communication_total) / steps;
    figures[GPT_CODEC] = (after->codec_total - before->codec_total) / steps;
    figures[GPT_ACROSS] = (double)(after->bytes_across_total - before->bytes_across_total) / steps;
    double least = figures[GPT_EXPOSED];
    dist_status status = dist_reduce_scalars(t->context, figures, GPT_FIGURES, DIST_AVERAGE);
    if (status == DIST_OK)
        status = dist_reduce_scalars(t->context, &least, 1, DIST_MIN);
    figures[GPT_EXPOSED_LAST] = least;
    return status;
}

/* Waits for the steps of the window, records them, and compares the replicas. */
static dist_status read_window(gpt_device_trainer *t, dist_data_parallel_stats *known, gpt_report *report)
{
    dist_data_parallel_stats now;
    dist_status status = DIST_OK;
    if (!gpt_window_wait(&t->window, &t->device) || !gpt_device_model_download(&t->model))
        return status; /* the device has the sentence */
    status = dist_data_parallel_stats_get(t->averages, &now);
    for (size_t slot = 0; status == DIST_OK && slot < t->window.filled; slot++)
        status = record_step(t, slot, known, &now, gpt_history_next(&report->history));
    t->window.filled = 0;
    *known = now;
    if (status == DIST_OK)
        status = dist_replicas_identical(t->context, t->model.host.weights,
                                         t->model.host.weights_count * sizeof *t->model.host.weights,
                                         &report->identical, &report->hash);
    return status;
}

/* The loss of as many held-out sequences as a step trains on. The window is empty. */
static dist_status validate(gpt_device_trainer *t, double *loss)
{
    const size_t parts = t->options->accumulate, bytes = t->model.host.config.batch * t->options->context;
    for (size_t part = 0; part < parts; part++) {
        const gpt_job_part mine = part_of(t, part);
        unsigned char *tokens = t->window.tokens + part * 2 * bytes;
        gpt_job_held_sequences(&mine, tokens, tokens + bytes);
        gpt_device_forward(&t->model, send_tokens(t, tokens), t->window.losses, 1.0 / (double)parts,
                           part > 0);
    }
    gpt_device_copy(&t->device, t->window.known, t->window.losses, sizeof *t->window.known);
    if (!gpt_device_wait(&t->device))
        return DIST_OK; /* the device has the sentence */
    *loss = t->window.known[0];
    return dist_reduce_scalars(t->context, loss, 1, DIST_AVERAGE);
}

/* Whether figures are read after this step: often enough to be shown, and seldom enough to keep the device busy. */
static bool is_read(const gpt_device_trainer *t, const gpt_progress *progress, size_t step)
{
    const size_t least = 10, period = (least + progress->every - 1) / progress->every * progress->every;
    const size_t count = step + 1, validated = t->options->validate;
    return count == t->options->steps || count % period == 0 || t->window.filled == t->window.steps ||
           (validated > 0 && count % validated == 0);
}

static bool read_and_tell(gpt_device_trainer *t, const gpt_progress *progress, size_t step,
                          dist_data_parallel_stats *known, gpt_report *report)
{
    if (!well(t, read_window(t, known, report)))
        return false;
    const double *figures = report->history.values + (report->history.steps - 1) * GPT_FIGURES;
    gpt_progress_step(progress, step, figures, report->ranks, report->hash, report->identical);
    if (t->options->validate == 0 || (step + 1) % t->options->validate != 0)
        return true;
    if (!well(t, validate(t, &report->validation)))
        return false;
    gpt_progress_validation(progress, step, report->validation);
    return true;
}

bool gpt_device_train(gpt_device_trainer *t, gpt_report *report)
{
    const gpt_progress progress = gpt_progress_start(t->options, dist_rank(t->context));
    dist_data_parallel_stats known;
    if (!well(t, dist_data_parallel_stats_get(t->averages, &known)))
        return false;
    report->buckets = known.buckets;
    gpt_progress_job(&progress, t->options, report, &t->text, 0);
    for (size_t step = t->done; step < t->options->steps && report->identical; step++) {
        if (!well(t, queue_step(t, step)))
            return false;
        if (is_read(t, &progress, step) && !read_and_tell(t, &progress, step, &known, report))
            return false;
    }
    return true;
}
