#define _POSIX_C_SOURCE 200809L /* isatty */

#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

gpt_progress gpt_progress_start(const gpt_options *options, int rank)
{
    /* mpirun gives ranks a terminal of their own as stdout, wherever it writes itself, but a pipe as stderr
     */
    const bool terminal = isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);
    const bool automatic = strcmp(options->progress, "auto") == 0;
    return (gpt_progress){.shown = rank == 0 && !options->quiet,
                          .rewritten = automatic ? terminal : strcmp(options->progress, "line") == 0,
                          .steps = options->steps,
                          .every = options->steps < 20 ? 1 : options->steps / 20};
}

void gpt_progress_job(const gpt_progress *progress, const gpt_options *options, const gpt_report *report,
                      const gpt_text *text, int stages)
{
    if (!progress->shown)
        return;
    printf("%d rank%s on %d site%s, algo %s, codec %s: %.2f M parameters in ", report->ranks,
           report->ranks == 1 ? "" : "s", report->sites, report->sites == 1 ? "" : "s", report->algo,
           report->codec, (double)report->parameters * 1e-6);
    if (stages > 0)
        printf("%d stage%s\n", stages, stages == 1 ? "" : "s");
    else
        printf("%zu buckets\n", report->buckets);
    printf("%zu sequences of %zu bytes a step, from %zu kB of %s\n", options->batch, options->context,
           (text->count + 999) / 1000, options->data);
    fflush(stdout);
}

void gpt_progress_step(const gpt_progress *progress, size_t step, const double *figures, int ranks,
                       uint64_t hash, bool identical)
{
    const bool last = step + 1 == progress->steps || !identical;
    if (!progress->shown || !(progress->rewritten || last || (step + 1) % progress->every == 0))
        return;
    printf("%sstep %zu/%zu  loss %.4f  %.0f ms (compute %.0f, exposed %.0f)", progress->rewritten ? "\r" : "",
           step + 1, progress->steps, figures[GPT_LOSS], figures[GPT_STEP] * 1e3, figures[GPT_COMPUTE] * 1e3,
           figures[GPT_EXPOSED] * 1e3);
    if (figures[GPT_ACROSS] > 0)
        printf("  link %.2f MB", figures[GPT_ACROSS] * ranks * 1e-6);
    printf("  weights %016" PRIx64 "%s", hash, identical ? " on all" : " DIFFER");
    fputs(progress->rewritten ? "\033[K" : "\n", stdout);
    if (progress->rewritten && last)
        fputc('\n', stdout);
    fflush(stdout);
}

void gpt_progress_validation(const gpt_progress *progress, size_t step, double loss)
{
    if (!progress->shown)
        return;
    printf("%sstep %zu/%zu  validation loss %.4f%s\n", progress->rewritten ? "\r" : "", step + 1,
           progress->steps, loss, progress->rewritten ? "\033[K" : "");
    fflush(stdout);
}
