/* What the ranks must agree on before they go on. */
#ifndef TRAIN_GPT_AGREE_H
#define TRAIN_GPT_AGREE_H

#include <stdbool.h>

#include <libdist/dist.h>

/* The name in messages; the build of another program that shares these sources gives its own. */
#ifndef GPT_PROGRAM
#define GPT_PROGRAM "train_gpt"
#endif

/* All ranks go on, or none: the lowest rank that is not well prints its sentence. Collective. */
bool gpt_all_agree(dist_context *context, bool well, const char *sentence);

#endif
