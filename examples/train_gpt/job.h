/* What train_gpt and train_gpt_cuda share: what a job trains on, and what all its ranks must have alike. */
#ifndef TRAIN_GPT_JOB_H
#define TRAIN_GPT_JOB_H

#include <libdist/dist.h>

#include "data.h"
#include "model.h"
#include "options.h"
#include "report.h"

/* The sequences that a rank passes through the model at once; 0 and a sentence when they cannot be split
 * evenly. */
size_t gpt_job_batch(const gpt_options *options, int ranks, char *sentence, size_t sentence_size);

/* The model that is asked for; its passes take `batch` sequences. */
gpt_config gpt_job_config(const gpt_options *options, size_t batch);

double gpt_job_learning_rate(const gpt_options *options, size_t step);

/* A rank's `batch` sequences of a global batch: part number `part` of options->accumulate. */
typedef struct gpt_job_part {
    const gpt_text *text;
    const gpt_options *options;
    int rank;
    size_t part, batch;
} gpt_job_part;

void gpt_job_sequences(const gpt_job_part *part, size_t step, unsigned char *inputs, unsigned char *targets);
/* The same of the text that is held out. */
void gpt_job_held_sequences(const gpt_job_part *part, unsigned char *inputs, unsigned char *targets);

/* False, after saying why, when ranks were given different options or texts. Collective. */
bool gpt_job_same(dist_context *context, const gpt_options *options, const gpt_text *text);

/* The report of a training that has not begun. */
gpt_report gpt_job_report(const dist_context *context, const gpt_options *options, size_t parameters);

/* Opens, on the first rank, the file that an option names. False, and a sentence, when it cannot be written. */
bool gpt_job_open(dist_context *context, const char *option, const char *name, const char *mode, FILE **file,
                  char *sentence, size_t sentence_size);

#endif
