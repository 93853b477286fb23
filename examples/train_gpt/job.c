#include "job.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "agree.h"

size_t gpt_job_batch(const gpt_options *options, int ranks, char *sentence, size_t sentence_size)
{
    const size_t parts = (size_t)ranks * options->accumulate, batch = options->batch / parts;
    if (options->batch % parts != 0)
        snprintf(sentence, sentence_size,
                 "--batch %zu cannot be split evenly over %d ranks times --accumulate %zu; use a multiple of "
                 "%zu",
                 options->batch, ranks, options->accumulate, parts);
    else if (batch * options->context > INT_MAX / 8)
        snprintf(sentence, sentence_size,
                 "%zu sequences of %zu bytes are too many for one pass; raise --accumulate", batch,
                 options->context);
    else
        return batch;
    return 0;
}

gpt_config gpt_job_config(const gpt_options *options, size_t batch)
{
    return (gpt_config){.layers = options->layers,
                        .heads = options->heads,
                        .width = options->width,
                        .context = options->context,
                        .vocabulary = 256,
                        .batch = batch,
                        .untied = options->untied};
}

double gpt_job_learning_rate(const gpt_options *options, size_t step)
{
    const double rate = options->learning_rate;
    if (step < options->warmup)
        return rate * (double)(step + 1) / (double)options->warmup;
    const double done = (double)(step - options->warmup) / (double)(options->steps - options->warmup);
    return rate * (options->decay + (1 - options->decay) * 0.5 * (1 + cos(acos(-1.0) * done)));
}

/* The number of a part's first sequence in the global batch. */
static size_t first_of_part(const gpt_job_part *p)
{
    return ((size_t)p->rank * p->options->accumulate + p->part) * p->batch;
}

void gpt_job_sequences(const gpt_job_part *p, size_t step, unsigned char *inputs, unsigned char *targets)
{
    const size_t context = p->options->context, first = first_of_part(p);
    for (size_t i = 0; i < p->batch; i++)
        gpt_text_sequence(p->text, p->options->seed, step, first + i, context, inputs + i * context,
                          targets + i * context);
}

void gpt_job_held_sequences(const gpt_job_part *p, unsigned char *inputs, unsigned char *targets)
{
    const size_t context = p->options->context, first = first_of_part(p);
    for (size_t i = 0; i < p->batch; i++)
        gpt_text_held_sequence(p->text, first + i, p->options->batch, context, inputs + i * context,
                               targets + i * context);
}

/* Ranks that disagree on how long or on what to train would wait for each other at different places. */
static bool same_on_all(dist_context *context, const void *data, size_t bytes, const char *what)
{
    bool identical;
    if (dist_replicas_identical(context, data, bytes, &identical, NULL) < 0)
        fprintf(stderr, GPT_PROGRAM ": rank %d: %s\n", dist_rank(context), dist_last_error());
    else if (identical)
        return true;
    else if (dist_rank(context) == 0)
        fprintf(stderr, GPT_PROGRAM ": the ranks were given different %s\n", what);
    return false;
}

bool gpt_job_same(dist_context *context, const gpt_options *options, const gpt_text *text)
{
    const double numbers[] = {(double)options->layers,
                              (double)options->heads,
                              (double)options->width,
                              (double)options->context,
                              (double)options->batch,
                              (double)options->accumulate,
                              (double)options->steps,
                              (double)options->seed,
                              options->learning_rate,
                              (double)options->warmup,
                              options->decay,
                              options->weight_decay,
                              (double)options->untied,
                              (double)options->bucket,
                              (double)options->validate,
                              (double)text->count,
                              (double)(options->save != NULL),
                              (double)(options->load != NULL),
                              (double)options->microbatches,
                              (double)options->positions};
    return same_on_all(context, numbers, sizeof numbers, "options, or texts of different lengths") &&
           same_on_all(context, text->bytes, text->count + text->held, "texts");
}

static const char *first_of(const char *option, const char *variable, const char *otherwise)
{
    const char *value = option ? option : getenv(variable);
    return value ? value : otherwise;
}

gpt_report gpt_job_report(const dist_context *context, const gpt_options *options, size_t parameters)
{
    return (gpt_report){.algo = first_of(options->algo, "DIST_ALGO", "auto"),
                        .codec = first_of(options->codec, "DIST_CODEC", "none"),
                        .mesh = options->mesh,
                        .schedule = first_of(options->schedule, "DIST_SCHEDULE", "auto"),
                        .microbatches = options->microbatches,
                        .ranks = dist_ranks(context),
                        .sites = dist_sites(context),
                        .batch = options->batch,
                        .context = options->context,
                        .accumulate = options->accumulate,
                        .parameters = parameters,
                        .seed = options->seed,
                        .identical = true,
                        .validation = -1};
}

bool gpt_job_open(dist_context *context, const char *option, const char *name, const char *mode, FILE **file,
                  char *sentence, size_t sentence_size)
{
    if (!name || dist_rank(context) != 0)
        return true;
    *file = fopen(name, mode);
    snprintf(sentence, sentence_size, "cannot write --%s %s", option, name);
    return *file;
}
