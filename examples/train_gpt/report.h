/* What each step cost, and the JSON report made of it. */
#ifndef TRAIN_GPT_REPORT_H
#define TRAIN_GPT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The figures of one step, averaged over ranks but for one. Times in seconds. */
typedef enum gpt_figure {
    GPT_LOSS,
    GPT_STEP,         /* from the first forward to the end of the optimizer */
    GPT_COMPUTE,      /* of that: not waiting for gradients */
    GPT_EXPOSED,      /* of that: waiting */
    GPT_EXPOSED_LAST, /* the same on the rank that waits least: the others wait for that rank's compute too */
    GPT_COMMUNICATION, /* with at least one bucket in flight */
    GPT_CODEC,         /* encoding and decoding */
    GPT_ACROSS,        /* bytes that a rank sent to other sites */
    GPT_SPAN,      /* of that, with --mesh: from the start to the end of the last call, on the last rank */
    GPT_PREDICTED, /* what the library expected of it */
    GPT_BUBBLE,    /* the share of GPT_SPAN that ranks do not compute, and the one that was expected */
    GPT_BUBBLE_PREDICTED,
    GPT_FIGURES /* how many there are */
} gpt_figure;

typedef struct gpt_history {
    double *values; /* steps x GPT_FIGURES */
    double *sorted; /* room to find a median in */
    size_t steps;   /* recorded so far */
} gpt_history;

bool gpt_history_create(gpt_history *history, size_t steps);
void gpt_history_destroy(gpt_history *history);
/* Where the next step's figures go. */
double *gpt_history_next(gpt_history *history);
double gpt_history_median(const gpt_history *history, gpt_figure figure);
double gpt_history_total(const gpt_history *history, gpt_figure figure);

typedef struct gpt_report {
    const char *algo, *codec;
    const char *mesh, *schedule; /* NULL: data parallel alone */
    size_t microbatches;
    int ranks, sites;
    size_t batch, context, accumulate, parameters, buckets;
    uint64_t seed, hash;
    bool identical;    /* all replicas, after each step */
    double validation; /* the last validation loss; negative: none */
    gpt_history history;
} gpt_report;

/* False when writing fails. */
bool gpt_report_write(const gpt_report *report, FILE *file);

#endif
