/* The command line. */
#ifndef TRAIN_GPT_OPTIONS_H
#define TRAIN_GPT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct gpt_options {
    const char *data;
    size_t layers, heads, width, context;
    size_t batch; /* of all ranks together */
    size_t accumulate;
    size_t steps;
    size_t seed;
    double learning_rate;
    size_t warmup;
    double decay;
    double weight_decay;
    bool untied;
    const char *codec, *algo;                     /* NULL: the library's choice */
    const char *mesh, *schedule, *boundary_codec; /* NULL: data parallel alone; the library's choice; none */
    size_t microbatches, positions; /* with --mesh; positions: ranks of a pipeline, as the mesh says */
    size_t bucket;                  /* 0: the library's choice */
    size_t validate;                /* 0: never */
    const char *report, *trace;
    const char *save, *load;    /* NULL: not */
    const char *dump_gradients; /* NULL: not */
    size_t dump_step;           /* counted from 1 */
    const char *progress;
    bool quiet;
    bool help;
} gpt_options;

/* Reads the command line over the defaults. On failure false, and a sentence. */
bool gpt_options_parse(gpt_options *options, int argc, char **argv, char *sentence, size_t sentence_size);

void gpt_options_help(FILE *file);

#endif
