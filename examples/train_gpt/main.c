/* Trains a small GPT data-parallel on all ranks of a job:
 *
 *     mpirun -n 4 train_gpt --steps 100 --report report.json
 *     mpirun -n 4 train_gpt --untied --mesh pp:2,dp:2
 *
 * train.c is what a training program adds for libdist; model.c and the layers know nothing of it. */
#include <libdist/dist.h>

#include <stdio.h>
#include <stdlib.h>

#include "agree.h"
#include "checkpoint.h"
#include "layers.h"
#include "train.h"

enum { EXIT_TRAINING = 1, EXIT_USAGE = 2 };

/* Ranks that disagree on how long or on what to train would wait for each other at different places. */
static bool same_on_all(dist_context *context, const void *data, size_t bytes, const char *what)
{
    bool identical;
    if (dist_replicas_identical(context, data, bytes, &identical, NULL) < 0)
        fprintf(stderr, "train_gpt: rank %d: %s\n", dist_rank(context), dist_last_error());
    else if (identical)
        return true;
    else if (dist_rank(context) == 0)
        fprintf(stderr, "train_gpt: the ranks were given different %s\n", what);
    return false;
}

static bool same_job(dist_context *context, const gpt_options *options, const gpt_trainer *trainer)
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
                              (double)trainer->text.count,
                              (double)(options->save != NULL),
                              (double)(options->load != NULL),
                              (double)options->microbatches,
                              (double)options->positions};
    return same_on_all(context, numbers, sizeof numbers, "options, or texts of different lengths") &&
           same_on_all(context, trainer->text.bytes, trainer->text.count + trainer->text.held, "texts");
}

static const char *first_of(const char *option, const char *variable, const char *otherwise)
{
    const char *value = option ? option : getenv(variable);
    return value ? value : otherwise;
}

static gpt_report describe(const dist_context *context, const gpt_options *options,
                           const gpt_trainer *trainer)
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
                        .parameters = trainer->model.weights_count,
                        .seed = options->seed,
                        .identical = true,
                        .validation = -1};
}

/* Trains, and writes what was asked for; the report to `file`, which is NULL on all ranks but the first. */
static int train_and_report(dist_context *context, gpt_trainer *trainer, gpt_report *report, FILE *file)
{
    const int rank = dist_rank(context);
    const gpt_options *options = trainer->options;
    if (!gpt_trainer_start(trainer, context, report))
        return options->mesh ? EXIT_USAGE : EXIT_TRAINING;
    if (options->load && !gpt_checkpoint_load(trainer, options->load))
        return EXIT_USAGE;
    if (gpt_train(trainer, report) < 0) {
        fprintf(stderr, "train_gpt: rank %d: %s\n", rank, dist_last_error());
        return EXIT_TRAINING;
    }
    bool well = report->identical;
    if (!well && rank == 0)
        fprintf(stderr, "train_gpt: after step %zu the ranks have different weights\n",
                trainer->done + report->history.steps);
    if (well && options->save)
        well = gpt_checkpoint_save(trainer, options->save, options->steps);
    if (file && !gpt_report_write(report, file)) {
        perror("train_gpt: cannot write the report");
        well = false;
    }
    return well ? EXIT_SUCCESS : EXIT_TRAINING;
}

/* Opens, on the first rank, the file that an option names. False, and a sentence, when it cannot be written. */
static bool open_on_first(dist_context *context, const char *option, const char *name, const char *mode,
                          FILE **file, char *sentence, size_t sentence_size)
{
    if (!name || dist_rank(context) != 0)
        return true;
    *file = fopen(name, mode);
    snprintf(sentence, sentence_size, "cannot write --%s %s", option, name);
    return *file;
}

/* What can fail on one rank alone happens between two agreements. */
static int run(dist_context *context, const gpt_options *options)
{
    char sentence[512] = "not enough memory";
    gpt_trainer trainer;
    FILE *file = NULL;
    int code = EXIT_USAGE;
    bool well = gpt_trainer_create(&trainer, options, dist_ranks(context), sentence, sizeof sentence);
    gpt_report report = describe(context, options, &trainer);
    well = well && gpt_history_create(&report.history, options->steps);
    well = well && open_on_first(context, "report", options->report, "w", &file, sentence, sizeof sentence) &&
           open_on_first(context, "dump-gradients", options->dump_gradients, "wb", &trainer.dump, sentence,
                         sizeof sentence);
    if (gpt_all_agree(context, well, sentence) && same_job(context, options, &trainer))
        code = train_and_report(context, &trainer, &report, file);
    if (file)
        fclose(file);
    if (trainer.dump && (trainer.dump_failed | (fclose(trainer.dump) != 0))) {
        fprintf(stderr, "train_gpt: cannot write all of --dump-gradients %s\n", options->dump_gradients);
        code = code == EXIT_SUCCESS ? EXIT_TRAINING : code;
    }
    gpt_history_destroy(&report.history);
    gpt_trainer_destroy(&trainer);
    return code;
}

int main(int argc, char **argv)
{
    gpt_options options;
    char sentence[512];
    const bool parsed = gpt_options_parse(&options, argc, argv, sentence, sizeof sentence);
    if (parsed && options.help) {
        gpt_options_help(stdout);
        return EXIT_SUCCESS;
    }
    gpt_blas_single_thread();

    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    if (parsed)
        start.trace = options.trace;
    dist_context *context;
    if (dist_init(&context, &start) < 0) {
        fprintf(stderr, "train_gpt: %s\n", dist_last_error());
        return EXIT_TRAINING;
    }
    int code = EXIT_USAGE;
    if (gpt_all_agree(context, parsed, sentence))
        code = run(context, &options);
    if (dist_finalize(context) < 0) {
        fprintf(stderr, "train_gpt: %s\n", dist_last_error());
        return code == EXIT_SUCCESS ? EXIT_TRAINING : code;
    }
    return code;
}
