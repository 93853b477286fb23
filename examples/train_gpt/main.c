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
#include "job.h"
#include "layers.h"
#include "train.h"

enum { EXIT_TRAINING = 1, EXIT_USAGE = 2 };

/* Trains, and writes what was asked for; the report to `file`, which is NULL on all ranks but the first. */
static int train_and_report(dist_context *context, gpt_trainer *trainer, gpt_report *report, FILE *file)
{
    const int rank = dist_rank(context);
    const gpt_options *options = trainer->options;
    if (!gpt_trainer_start(trainer, context, report))
        return options->mesh ? EXIT_USAGE : EXIT_TRAINING;
    const gpt_checkpoint checkpoint = {.options = options,
                                       .context = context,
                                       .averages = trainer->averages,
                                       .model = &trainer->model,
                                       .optimizer = &trainer->optimizer,
                                       .done = &trainer->done};
    if (options->load && !gpt_checkpoint_load(&checkpoint, options->load))
        return EXIT_USAGE;
    if (gpt_train(trainer, report) < 0) {
        fprintf(stderr, GPT_PROGRAM ": rank %d: %s\n", rank, dist_last_error());
        return EXIT_TRAINING;
    }
    bool well = report->identical;
    if (!well && rank == 0)
        fprintf(stderr, GPT_PROGRAM ": after step %zu the ranks have different weights\n",
                trainer->done + report->history.steps);
    if (well && options->save)
        well = gpt_checkpoint_save(&checkpoint, options->save, options->steps);
    if (file && !gpt_report_write(report, file)) {
        perror(GPT_PROGRAM ": cannot write the report");
        well = false;
    }
    return well ? EXIT_SUCCESS : EXIT_TRAINING;
}

/* What can fail on one rank alone happens between two agreements. */
static int run(dist_context *context, const gpt_options *options)
{
    char sentence[512] = "not enough memory";
    gpt_trainer trainer;
    FILE *file = NULL;
    int code = EXIT_USAGE;
    bool well = gpt_trainer_create(&trainer, options, dist_ranks(context), sentence, sizeof sentence);
    gpt_report report = gpt_job_report(context, options, trainer.model.weights_count);
    well = well && gpt_history_create(&report.history, options->steps);
    well = well && gpt_job_open(context, "report", options->report, "w", &file, sentence, sizeof sentence) &&
           gpt_job_open(context, "dump-gradients", options->dump_gradients, "wb", &trainer.dump, sentence,
                        sizeof sentence);
    if (gpt_all_agree(context, well, sentence) && gpt_job_same(context, options, &trainer.text))
        code = train_and_report(context, &trainer, &report, file);
    if (file)
        fclose(file);
    if (trainer.dump && (trainer.dump_failed | (fclose(trainer.dump) != 0))) {
        fprintf(stderr, GPT_PROGRAM ": cannot write all of --dump-gradients %s\n", options->dump_gradients);
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
        fprintf(stderr, GPT_PROGRAM ": %s\n", dist_last_error());
        return EXIT_TRAINING;
    }
    int code = EXIT_USAGE;
    if (gpt_all_agree(context, parsed, sentence))
        code = run(context, &options);
    if (dist_finalize(context) < 0) {
        fprintf(stderr, GPT_PROGRAM ": %s\n", dist_last_error());
        return code == EXIT_SUCCESS ? EXIT_TRAINING : code;
    }
    return code;
}
