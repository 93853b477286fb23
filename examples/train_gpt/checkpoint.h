/* Training that goes on in another job, of as many ranks and sites or of others.
 *
 * FILE holds what is the same on all ranks: weights, AdamW's moments, how many steps were done. What a rank has not
 * sent yet because a codec rounded it away is in FILE.0, FILE.1, ..., one for each rank of the job that wrote them;
 * a rank of the next job hands in those that it can read, and libdist puts them where they belong. */
#ifndef TRAIN_GPT_CHECKPOINT_H
#define TRAIN_GPT_CHECKPOINT_H

#include <libdist/dist.h>

#include "adamw.h"
#include "options.h"

/* What is saved and loaded. */
typedef struct gpt_checkpoint {
    const gpt_options *options;
    dist_context *context;
    dist_data_parallel *averages;
    gpt_model *model;     /* its weights */
    gpt_adamw *optimizer; /* moments and powers */
    size_t *done;         /* steps */
} gpt_checkpoint;

/* Both are collective. When something fails on a rank, one sentence is printed and all ranks get false. */

/* After `steps` steps. What was saved under this name before stays until all of this is written. */
bool gpt_checkpoint_save(const gpt_checkpoint *checkpoint, const char *name, size_t steps);

/* Before the first step; training goes on with the step after those done. */
bool gpt_checkpoint_load(const gpt_checkpoint *checkpoint, const char *name);

#endif
