/* dist_plan: what its files share. */
#ifndef DIST_PLAN_PROGRAM_H
#define DIST_PLAN_PROGRAM_H

#include <libdist/dist.h>

/* Exit statuses that scripts rely on; those of dist_perf. */
enum { PLAN_FINE = 0, PLAN_WRONG = 1, PLAN_USAGE = 2, PLAN_FAILED = 4 };

typedef struct plan_times {
    dist_stage_times *value;
    int count;
} plan_times;

typedef struct plan_numbers {
    double *value;
    int count;
} plan_numbers;

typedef struct plan_options {
    /* pipeline */
    const char *schedule, *layers, *write;
    int stages, microbatches;
    plan_times times;
    double memory, layer_memory;
    uint64_t boundary, stash, memory_bytes;
    /* collectives */
    const char *command; /* "all-reduce", ... */
    const char *ranks, *algo, *codec;
    int sites;
    uint64_t bytes;
    dist_type type;
    double inside_latency, inside_bandwidth, copy_rate, reduce_rate, codec_rate;
    /* both */
    plan_numbers latency;
    double bandwidth; /* < 0: not given */
    bool cuda, nccl;
    bool verify, predict, print, ops;
    const char *svg, *json;
} plan_options;

/* What has been found out; of a collective, `pipeline` is empty. */
typedef struct plan_case {
    const plan_options *options;
    bool is_pipeline;
    dist_plan_set *set;
    dist_plan_pipeline pipeline;
    int *first;      /* [stages + 1]: layers of the stages, NULL without --layers */
    char title[160]; /* "1f1b, 8 ranks, 128 microbatches" */
    int *site_of;    /* [ranks]; collectives */
    bool verified;
    dist_plan_prediction predicted;
} plan_case;

extern const char plan_help[];

/* Fills options from the words after the command. PLAN_FINE, or PLAN_USAGE with a sentence on stderr. */
int plan_options_read(plan_options *options, const char *command, int argc, char **argv);
void plan_options_end(plan_options *options);

/* A sentence on stderr, after the program's name; returns `code`. */
int plan_complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with the library's last error: PLAN_FAILED for want of memory, else PLAN_USAGE. */
int plan_refused(dist_status status);

/* Numbers: "3", "1e-3"; from 0, finite. With K, M, G where `kilo` is not 0. */
bool plan_read_number(const char *text, double kilo, double *value);
/* Stage times: "F,B,W;F,B,W", or the name of a file with one a line. */
bool plan_read_times(const char *text, plan_times *times);
/* Numbers separated by commas. */
bool plan_read_numbers(const char *text, plan_numbers *numbers);
/* A file of layers, one a line: F,B,W and the memory that it takes (0 where it is left out). `memory` has as
 * many. */
bool plan_read_layers(const char *path, plan_times *times, plan_numbers *memory);

/* The set, its shape and title. PLAN_FINE, PLAN_USAGE or PLAN_FAILED with a sentence on stderr. */
int plan_make_pipeline(plan_case *c);
int plan_make_collective(plan_case *c);

void plan_print_table(const plan_case *c);
/* False with a sentence on stderr when the file cannot be written. */
bool plan_write_json(const plan_case *c, const char *path);
bool plan_write_svg(const plan_case *c, const char *path);

/* Opens a file, lets `write` fill it and closes it. */
bool plan_write_file(const plan_case *c, const char *path, bool (*write)(const plan_case *c, FILE *file));

#endif
