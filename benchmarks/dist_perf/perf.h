/* dist_perf: what its files share. */
#ifndef DIST_PERF_H
#define DIST_PERF_H

#include <libdist/dist.h>
#include <libdist/mpi.h>

#define PERF_WORDS 16 /* algorithms, or codecs, side by side */

/* Words separated by commas. */
typedef struct perf_list {
    char text[512]; /* backs word[] */
    const char *word[PERF_WORDS];
    int words;
} perf_list;

typedef struct perf_options {
    size_t begin, end, step; /* bytes; step 0: multiply by factor */
    double factor;
    int iterations, warmup, calls; /* calls in one iteration */
    bool check;
    bool placed[2];  /* measure out of place, in place */
    bool any_memory; /* malloc's, not dist_alloc's */
    dist_type type;
    dist_reduction op;
    perf_list algo, codec;
    double link_rate; /* bytes a second one way between sites; 0: measured */
    bool no_bound;
    const char *json;
    double timeout;
} perf_options;

/* An algorithm with a codec: one line for each size. */
typedef struct perf_variant {
    const char *algo, *codec;
} perf_variant;

/* Of one variant, in place or out of place. */
typedef struct perf_figures {
    bool measured;
    double mean, p50, p95; /* seconds of the slowest rank */
    long long wrong;       /* elements outside what they must be, all ranks; < 0: not checked */
    int diverge;           /* ranks whose bits differ from rank 0's */
    double cpu;            /* processor time / time of the rank that uses most */
    double wan;            /* bytes a direction on the busiest link between sites; < 0: not counted */
} perf_figures;

typedef struct perf_row {
    size_t bytes, count;
    perf_variant variant;
    perf_figures at[2]; /* out of place, in place */
    double bound;       /* seconds; 0: none */
} perf_row;

/* What the bound is made of. */
typedef struct perf_link {
    double rate;        /* bytes a second: of plain TCP a direction, or of copying; 0: unknown */
    int groups;         /* sites, or nodes of one site, that it connects; 1: copying inside a node */
    int streams;        /* with which TCP did best; 0: the rate was given */
    char sentence[256]; /* what was measured, or why there is none */
} perf_link;

/* Exit statuses that scripts rely on. */
enum { PERF_FINE = 0, PERF_WRONG = 1, PERF_USAGE = 2, PERF_FAILED = 4 };

/* Fills options from the words after the command. PERF_USAGE with a sentence on stderr (where `speak`), or -1
 * to go on. */
int perf_options_read(perf_options *options, int argc, char **argv, bool speak);
extern const char perf_help[];

/* A number with K, M or G for powers of `kilo`; a size; a whole number from `least`; a type. False when `text` is
 * none. */
bool perf_read_number(const char *text, double kilo, double *value);
bool perf_read_bytes(const char *text, size_t *bytes);
bool perf_read_count(const char *text, int least, int *count);
bool perf_read_type(const char *text, dist_type *type);

/* The size after `bytes`: step more, or factor times as much where step is 0. */
size_t perf_next_size(size_t bytes, size_t step, double factor);
/* Sorts them too. */
double perf_median(double *value, int count);

/* Measures codecs on this core, without MPI. The words after the command. */
int perf_codec(int argc, char **argv);

/* Measures pipeline schedules on all ranks; MPI has been initialized. The words after the command. */
int perf_pipeline(int argc, char **argv);

/* Predicts a training step and replays it; MPI has been initialized. The words after the command. */
int perf_step(int argc, char **argv);

/* Runs the command on all ranks; rank 0 prints. */
int perf_all_reduce(dist_context *context, const perf_options *options);

/* check.c: small whole numbers whose sums are exact in the type, and how many of `got` are not what they must be. */
void perf_fill(void *data, dist_type type, size_t count, int rank, int ranks);
typedef struct perf_expectation {
    dist_type type;
    dist_reduction op;
    int ranks, sites;
    const char *codec; /* "none" */
} perf_expectation;
long long perf_count_wrong(const void *got, size_t count, const perf_expectation *expectation);

/* bound.c: collective. */
void perf_link_find(dist_context *context, const perf_options *options, perf_link *link);
/* Seconds that an all-reduce of `bytes` cannot be faster than; 0: unknown. Inside a node it measures copying. Collective. */
double perf_bound(dist_context *context, const perf_link *link, const perf_variant *variant, size_t bytes);

/* goodput.c: bytes a second that plain TCP brings from each of the `agents` ranks to the next one, all at once: the slowest. Fills
 * link->rate, streams and sentence. Collective; blocks for some seconds. */
void perf_goodput(const int *agent, int agents, perf_link *link);

void perf_header(const dist_context *context, const perf_options *options, const perf_link *link);
void perf_print(const perf_options *options, const perf_row *row, int ranks);
int perf_write_json(const dist_context *context, const perf_options *options, const perf_link *link,
                    const perf_row *row, size_t rows);

#endif
