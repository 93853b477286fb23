/* dist_perf step: what its files share. */
#ifndef DIST_PERF_STEP_H
#define DIST_PERF_STEP_H

#include "perf.h"
#include "wait.h"

typedef struct step_options {
    double params;  /* of the model */
    double compute; /* seconds of a step on a rank */
    dist_type type;
    size_t bucket, boundary; /* bytes; bucket 0: the library's */
    const char *algo, *codec, *mesh, *schedule, *json, *csv, *svg;
    int tensors, accumulate, microbatches, steps, warmup;
    double timeout;
    int positions, replicas; /* of the mesh; 1 position: data parallel alone */
} step_options;

/* What grows with bytes: start + slope * bytes. */
typedef struct step_line {
    double start, slope;
} step_line;

typedef struct step_figures {
    double step, across; /* seconds; bytes sent to other sites by all ranks */
} step_figures;

typedef struct step_timeline step_timeline;

typedef struct step_result {
    step_line average;  /* seconds of one bucket alone */
    step_line boundary; /* seconds from stage to stage, of the slowest edge */
    double sharing;     /* how much longer averages of all positions take at the same time */
    double residual;    /* largest deviation of what was measured from `average`, as a part of it */
    size_t largest;     /* bytes: up to which was measured */
    size_t buckets;     /* of rank 0 */
    char schedule[64];
    step_figures predicted, replayed;
    step_timeline *timeline; /* NULL: nobody wants a picture, or not of this rank */
} step_result;

#define STEP_SIZES    4  /* of buckets that are measured */
#define STEP_ROUNDS   5  /* of measuring and replaying in turn, so that drift hits both alike */
#define STEP_SAMPLES  10 /* of each size, at most */
#define STEP_TOGETHER 16 /* buckets that are measured at once, at most */

/* ---- step_options.c ---- */

/* PERF_USAGE with a sentence on stderr (where `speak`), PERF_FINE after --help, or -1 to go on. */
int step_options_read(step_options *o, int argc, char **argv, int ranks, bool speak);

/* ---- step_memory.c: collective ---- */

/* False, with a sentence of rank 0's, when what all ranks of a machine need is more than it has. */
bool step_memory_fits(const step_options *o);

/* ---- step_model.c ---- */

/* The tensors of stage `stage` of `stages`: room for step_tensors(). */
int step_tensors(const step_options *o, int stages);
void step_tensors_fill(const step_options *o, int stage, int stages, dist_parameter *parameter);
dist_data_parallel_options step_averages(const step_options *o);
/* Values that stay what they are when they are averaged again and again. */
void step_gradient_fill(const dist_context *context, void *gradient, size_t bytes, dist_type type);

/* ---- step_fit.c ---- */

step_line step_line_through(const double *x, const double *y, int n);
double step_line_at(const step_line *line, double bytes);
/* The largest deviation of y from the line, as a part of it. */
double step_residual(const step_line *line, const double *x, const double *y, int n);
/* `sizes` descending from the largest, of whole elements; returns how many differ. */
int step_sizes(size_t largest, size_t element, size_t *size);
/* How many samples a round has: two, or one where the first one took long, as `passed` seconds are. Collective. */
dist_status step_samples(dist_context *context, double passed, int *samples);
/* Steps that are replayed before the end of `round`. */
int step_steps_until(const step_options *o, int round);
/* Of value[samples] on each rank: the median of the means over ranks. Ranks wait for each other in every step, so all need the
 * same time in the long run; a step that begins late on one rank ends late on another, and the slowest of each step would count
 * that in every step. Collective. */
dist_status step_median(dist_context *context, double *value, int samples, double *median);

/* ---- step_data.c, step_pipeline.c: collective ---- */

dist_status step_data_parallel(dist_context *context, const step_options *o, step_result *r);
dist_status step_pipeline(dist_context *context, const step_options *o, step_result *r);

/* ---- step_flow.c: a pipeline on paper ---- */

/* WHOLE: backward of input and weights in one, after which the gradient leaves. */
enum { STEP_FORWARD, STEP_BACKWARD, STEP_WEIGHT, STEP_WHOLE };

typedef struct step_call {
    int kind, stage, microbatch;
    double begin, end; /* seconds from the start of the step, where it was made */
} step_call;

typedef struct step_flow {
    int positions, stages, microbatches;
    const step_call *const *call; /* [positions][calls]: the order of each */
    const int *calls;
    const int *position_of; /* [stages] */
    double seconds;         /* of each call */
    const step_line *edge;  /* [positions * positions]: from the one to the other */
    const int *link;        /* [positions * positions]: number of what it occupies, below positions^2 */
    double bytes;           /* of a message */
    const double *work;     /* [stages]: seconds of its averages while no other stage's run */
    int watched;            /* a position whose spans go to `timeline` */
    step_timeline *timeline;
    double start, sharing; /* seconds until the last of them is there; step_result.sharing */
} step_flow;

/* Seconds from the first call to the last average; < 0: the order cannot be run. */
double step_flow_run(const step_flow *flow);

/* 12M, 1.5G; decimal. */
const char *step_count_text(double count, char text[16]);

/* ---- step_draw.c: rank 0 ---- */

enum { STEP_PREDICTED, STEP_PREDICTED_AVERAGES, STEP_REPLAYED, STEP_REPLAYED_AVERAGES, STEP_LANES };
enum { STEP_COMPUTES, STEP_COMMUNICATES, STEP_WAITS }; /* as chart_span.kind */

step_timeline *step_timeline_open(void);
void step_timeline_close(step_timeline *timeline);
/* Seconds from the start of the step. NULL is legal. */
void step_span(step_timeline *timeline, int lane, double begin, double end, int kind, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
int step_draw(const step_options *o, const step_result *r);

/* ---- step_report.c: rank 0 ---- */

void step_print(const dist_context *context, const step_options *o, const step_result *r);
void step_note(perf_sheet *sheet, const dist_context *context, const step_options *o, const step_result *r);

#endif
