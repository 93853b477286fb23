/* Gradients in a file, to try codecs on: dist_perf codec --data FILE. */
#ifndef TRAIN_GPT_DUMP_H
#define TRAIN_GPT_DUMP_H

#include <stdio.h>

#include "model.h"

/* Writes the gradient of one parameter to its place in the file: little-endian float32, all parameters in their
 * order and without gaps. False when that fails. */
bool gpt_dump_gradient(FILE *file, const gpt_model *model, size_t parameter);

#endif
