/* Training that goes on in another job, of as many ranks and sites or of others.
 *
 * FILE holds what is the same on all ranks: weights, AdamW's moments, how many steps were done. What a rank has not
 * sent yet because a codec rounded it away is in FILE.0, FILE.1, ..., one for each rank of the job that wrote them;
 * a rank of the next job hands in those that it can read, and libdist puts them where they belong. */
#ifndef TRAIN_GPT_CHECKPOINT_H
#define TRAIN_GPT_CHECKPOINT_H

#include "train.h"

/* Both are collective. When something fails on a rank, one sentence is printed and all ranks get false. */

/* After `steps` steps. What was saved under this name before stays until all of this is written. */
bool gpt_checkpoint_save(const gpt_trainer *trainer, const char *name, size_t steps);

/* Into a trainer that was started; its training begins with the next step. */
bool gpt_checkpoint_load(gpt_trainer *trainer, const char *name);

#endif
