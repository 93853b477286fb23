/* examples/train_gpt on GPUs: the same model, options and report, with a device for each rank.
 *
 *     mpirun -n 8 train_gpt_cuda --steps 100 --report report.json
 *
 * train.c is what a training program on GPUs adds for libdist; forward.c, backward.c and the kernels (*.cu) know
 * nothing of it. */
#include <libdist/dist.h>

#include <stdio.h>
#include <stdlib.h>

#include "agree.h"
#include "device_train.h"
#include "job.h"

enum { EXIT_TRAINING = 1, EXIT_USAGE = 2, EXIT_NO_DEVICE = 77 };

static bool check(const gpt_options *options, char *sentence, size_t sentence_size)
{
    const char *option = options->mesh               ? "--mesh"
                         : options->schedule         ? "--schedule"
                         : options->microbatches > 0 ? "--microbatches"
                         : options->boundary_codec   ? "--boundary-codec"
                                                     : NULL;
    if (option)
        snprintf(sentence, sentence_size, "%s: pipelines are not for GPUs yet; train_gpt has them", option);
    return !option;
}

/* The number of this rank among those of its node. */
static dist_status local_rank(dist_context *context, size_t *number)
{
    const size_t rank = (size_t)dist_rank(context), ranks = (size_t)dist_ranks(context);
    double *nodes = calloc(ranks, sizeof *nodes);
    if (!nodes)
        return DIST_ERR_MEMORY;
    nodes[rank] = dist_node(context);
    const dist_status status = dist_reduce_scalars(context, nodes, ranks, DIST_SUM);
    *number = 0;
    for (size_t i = 0; i < rank; i++)
        *number += (int)nodes[i] == dist_node(context);
    free(nodes);
    return status;
}

/* Ranks of a node take its devices in turn. False, after saying why, when a rank has none. */
static bool choose_device(dist_context *context, int *number)
{
    char sentence[256];
    size_t local = 0;
    const int devices = gpt_devices(sentence, sizeof sentence);
    if (!gpt_all_agree(context, devices > 0, sentence))
        return false;
    const dist_status status = local_rank(context, &local);
    *number = (int)(local % (size_t)devices);
    return gpt_all_agree(context, status == DIST_OK, "cannot tell which ranks share a node");
}

/* Trains, and writes what was asked for; the report to `file`, which is NULL on all ranks but the first. */
static int train_and_report(gpt_device_trainer *trainer, gpt_report *report, FILE *file)
{
    const gpt_options *options = trainer->options;
    if (!gpt_device_trainer_start(trainer))
        return EXIT_TRAINING;
    if (options->load && !gpt_device_train_load(trainer, options->load))
        return EXIT_USAGE;
    if (!gpt_device_train(trainer, report))
        return EXIT_TRAINING;
    bool well = report->identical;
    if (!well && dist_rank(trainer->context) == 0)
        fprintf(stderr, GPT_PROGRAM ": after step %zu the ranks have different weights\n",
                trainer->done + report->history.steps);
    if (well && options->save)
        well = gpt_device_train_save(trainer, options->save);
    if (file && !gpt_report_write(report, file)) {
        perror(GPT_PROGRAM ": cannot write the report");
        well = false;
    }
    return well ? EXIT_SUCCESS : EXIT_TRAINING;
}

/* With the text loaded on all ranks. What can fail on one rank alone happens between two agreements. */
static int run_on(int device, gpt_device_trainer *trainer)
{
    dist_context *context = trainer->context;
    const gpt_options *options = trainer->options;
    char sentence[512] = "not enough memory";
    FILE *file = NULL;
    int code = EXIT_USAGE;
    bool well = gpt_device_trainer_allocate(trainer, device, sentence, sizeof sentence);
    gpt_report report = gpt_job_report(context, options, trainer->model.host.weights_count);
    well = well && gpt_history_create(&report.history, options->steps);
    well = well && gpt_job_open(context, "report", options->report, "w", &file, sentence, sizeof sentence) &&
           gpt_job_open(context, "dump-gradients", options->dump_gradients, "wb", &trainer->dump, sentence,
                        sizeof sentence);
    if (gpt_all_agree(context, well, sentence))
        code = train_and_report(trainer, &report, file);
    if (file)
        fclose(file);
    if (trainer->dump && (trainer->dump_failed | (fclose(trainer->dump) != 0))) {
        fprintf(stderr, GPT_PROGRAM ": cannot write all of --dump-gradients %s\n", options->dump_gradients);
        code = code == EXIT_SUCCESS ? EXIT_TRAINING : code;
    }
    gpt_history_destroy(&report.history);
    return code;
}

static int run(dist_context *context, const gpt_options *options)
{
    char sentence[512];
    gpt_device_trainer trainer;
    int device, code = EXIT_USAGE;
    if (!choose_device(context, &device))
        return EXIT_NO_DEVICE;
    const bool well = gpt_device_trainer_create(&trainer, context, options, sentence, sizeof sentence);
    if (gpt_all_agree(context, well, sentence) && gpt_job_same(context, options, &trainer.text))
        code = run_on(device, &trainer);
    gpt_device_trainer_destroy(&trainer);
    return code;
}

static void help(void)
{
    gpt_options_help(stdout);
    puts("Here also 77: no CUDA device. --mesh, --schedule, --microbatches and --boundary-codec are for\n"
         "train_gpt alone.");
}

int main(int argc, char **argv)
{
    gpt_options options;
    char sentence[512];
    bool well = gpt_options_parse(&options, argc, argv, sentence, sizeof sentence);
    if (well && options.help) {
        help();
        return EXIT_SUCCESS;
    }
    well = well && check(&options, sentence, sizeof sentence);

    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    if (well)
        start.trace = options.trace;
    dist_context *context;
    if (dist_init(&context, &start) < 0) {
        fprintf(stderr, GPT_PROGRAM ": %s\n", dist_last_error());
        return EXIT_TRAINING;
    }
    int code = EXIT_USAGE;
    if (gpt_all_agree(context, well, sentence))
        code = run(context, &options);
    if (dist_finalize(context) < 0) {
        fprintf(stderr, GPT_PROGRAM ": %s\n", dist_last_error());
        return code == EXIT_SUCCESS ? EXIT_TRAINING : code;
    }
    return code;
}
