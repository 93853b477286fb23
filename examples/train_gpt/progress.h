/* What a person sees: rank 0 alone prints. */
#ifndef TRAIN_GPT_PROGRESS_H
#define TRAIN_GPT_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data.h"
#include "options.h"
#include "report.h"

typedef struct gpt_progress {
    bool shown;
    bool rewritten; /* one line, rewritten */
    size_t steps;
    size_t every; /* steps from one line to the next */
} gpt_progress;

gpt_progress gpt_progress_start(const gpt_options *options, int rank);
/* What is going to be trained, on how much text; stages: of a pipeline, 0 where there is none. */
void gpt_progress_job(const gpt_progress *progress, const gpt_options *options, const gpt_report *report,
                      const gpt_text *text, int stages);
void gpt_progress_step(const gpt_progress *progress, size_t step, const double *figures, int ranks,
                       uint64_t hash, bool identical);
void gpt_progress_validation(const gpt_progress *progress, size_t step, double loss);

#endif
