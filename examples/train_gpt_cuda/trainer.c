#include "device_train.h"

#include <stdlib.h>

#include "agree.h"
#include "checkpoint.h"
#include "job.h"

bool gpt_device_trainer_create(gpt_device_trainer *trainer, dist_context *context, const gpt_options *options,
                               char *sentence, size_t sentence_size)
{
    *trainer = (gpt_device_trainer){.options = options, .context = context};
    return gpt_job_batch(options, dist_ranks(context), sentence, sentence_size) > 0 &&
           gpt_text_load(&trainer->text, options->data, options->context, options->validate > 0, sentence,
                         sentence_size);
}

/* Room on the host for the gradients that rank 0 dumps. */
static bool allocate_dumped(gpt_device_trainer *t)
{
    gpt_model *model = &t->model.host;
    if (!t->options->dump_gradients || dist_rank(t->context) != 0)
        return true;
    t->dumped = malloc(model->weights_count * sizeof *t->dumped);
    for (size_t i = 0; t->dumped && i < model->parameters_count; i++)
        model->parameters[i].gradient = t->dumped + (model->parameters[i].weight - model->weights);
    return t->dumped;
}

static bool allocate(gpt_device_trainer *t)
{
    const gpt_options *options = t->options;
    const size_t parts = options->accumulate,
                 batch = options->batch / ((size_t)dist_ranks(t->context) * parts);
    const gpt_config config = gpt_job_config(options, batch);
    const size_t tokens = 2 * batch * options->context;
    if (!gpt_device_model_create(&t->model, &t->device, &config))
        return false;
    t->list = calloc(t->model.host.parameters_count, sizeof *t->list);
    t->tokens = gpt_device_allocate(&t->device, tokens);
    return gpt_device_adamw_create(&t->optimizer, &t->model, options->weight_decay) &&
           gpt_window_create(&t->window, &t->device, options->steps, parts * tokens) && allocate_dumped(t) &&
           t->list;
}

bool gpt_device_trainer_allocate(gpt_device_trainer *t, int number, char *sentence, size_t sentence_size)
{
    if (!gpt_device_open(&t->device, number) || !allocate(t)) {
        const bool device = t->device.sentence[0] != '\0';
        snprintf(sentence, sentence_size, "device %d: %s; a smaller model or --batch may fit", number,
                 device ? t->device.sentence : "not enough memory on the host");
        return false;
    }
    gpt_model_initialize(&t->model.host, t->options->seed);
    return true;
}

void gpt_device_trainer_destroy(gpt_device_trainer *t)
{
    dist_data_parallel_destroy(t->averages);
    gpt_window_destroy(&t->window);
    gpt_device_adamw_destroy(&t->optimizer);
    gpt_device_model_destroy(&t->model);
    gpt_device_free(t->tokens);
    free(t->dumped);
    free(t->list);
    gpt_device_close(&t->device);
    gpt_text_destroy(&t->text);
    *t = (gpt_device_trainer){0};
}

/* Moments from the device to the host, or back. */
static bool move_moments(gpt_device_trainer *t, gpt_adamw *host, bool down)
{
    gpt_device_adamw *optimizer = &t->optimizer;
    const size_t bytes = t->model.host.weights_count * sizeof(float);
    gpt_device_copy(&t->device, down ? host->first : optimizer->first, down ? optimizer->first : host->first,
                    bytes);
    gpt_device_copy(&t->device, down ? host->second : optimizer->second,
                    down ? optimizer->second : host->second, bytes);
    (down ? host : &optimizer->host)->power1 = (down ? &optimizer->host : host)->power1;
    (down ? host : &optimizer->host)->power2 = (down ? &optimizer->host : host)->power2;
    return gpt_device_wait(&t->device);
}

static gpt_checkpoint checkpoint_of(gpt_device_trainer *t, gpt_adamw *host)
{
    return (gpt_checkpoint){.options = t->options,
                            .context = t->context,
                            .averages = t->averages,
                            .model = &t->model.host,
                            .optimizer = host,
                            .done = &t->done};
}

bool gpt_device_train_save(gpt_device_trainer *t, const char *name)
{
    gpt_adamw host;
    const gpt_checkpoint checkpoint = checkpoint_of(t, &host);
    bool well = gpt_adamw_create(&host, &t->model.host, t->options->weight_decay) &&
                move_moments(t, &host, true) && gpt_device_model_download(&t->model);
    well = gpt_all_agree(t->context, well, "cannot fetch weights and moments to save them") &&
           gpt_checkpoint_save(&checkpoint, name, t->options->steps);
    gpt_adamw_destroy(&host);
    return well;
}

bool gpt_device_train_load(gpt_device_trainer *t, const char *name)
{
    gpt_adamw host;
    const gpt_checkpoint checkpoint = checkpoint_of(t, &host);
    bool well = gpt_adamw_create(&host, &t->model.host, t->options->weight_decay);
    well = gpt_all_agree(t->context, well, "not enough memory to load a checkpoint") &&
           gpt_checkpoint_load(&checkpoint, name);
    if (well) {
        well = move_moments(t, &host, false) && gpt_device_model_upload(&t->model);
        well = gpt_all_agree(t->context, well, "cannot put weights and moments on the device");
    }
    gpt_adamw_destroy(&host);
    return well;
}
