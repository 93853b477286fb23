/* dist_perf: what its files share. */
#ifndef DIST_PERF_H
#define DIST_PERF_H

#include <libdist/dist.h>
#include <libdist/mpi.h>

#define PERF_ALGOS 8

typedef struct perf_options {
    size_t begin, end, step; /* bytes; step 0: multiply by factor */
    double factor;
    int iterations, warmup;
    bool check;
    bool own_memory; /* malloc's, not dist_alloc's */
    dist_type type;
    dist_reduction op;
    char list[256]; /* backs algo[] */
    const char *algo[PERF_ALGOS];
    int algos;
    const char *codec;
    double link_rate; /* bytes a second one way between sites; 0: unknown */
    const char *json;
    double timeout;
} perf_options;

/* One line of the table. */
typedef struct perf_row {
    size_t bytes, count;
    const char *algo;
    double time, p95; /* seconds: median of the slowest rank, 95th percentile */
    double wan;       /* bytes a direction on the busiest link between sites; < 0: not counted */
    double bound;     /* seconds; 0: none */
    long long wrong;  /* elements outside what they must be, all ranks; < 0: not checked */
    int diverge;      /* ranks whose bits differ from rank 0's */
} perf_row;

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

/* Runs the command on all ranks; rank 0 prints. */
int perf_all_reduce(dist_context *context, const perf_options *options);

void perf_header(const dist_context *context, const perf_options *options);
void perf_print(const perf_options *options, const perf_row *row, int ranks);
int perf_write_json(const dist_context *context, const perf_options *options, const perf_row *row,
                    size_t rows);

#endif
