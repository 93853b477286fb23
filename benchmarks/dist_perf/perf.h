/* dist_perf: what its files share. */
#ifndef DIST_PERF_H
#define DIST_PERF_H

#include <libdist/dist.h>
#include <libdist/mpi.h>

#include "sheet.h"

#define PERF_WORDS 16 /* algorithms, or codecs, side by side */

/* Exit statuses that scripts rely on. */
enum { PERF_FINE = 0, PERF_WRONG = 1, PERF_USAGE = 2, PERF_BELOW = 3, PERF_FAILED = 4 };

/* Words separated by commas. */
typedef struct perf_list {
    char text[512]; /* backs word[] */
    const char *word[PERF_WORDS];
    int words;
} perf_list;

/* Where vectors are. */
typedef enum perf_buffers { PERF_DIST_ALLOC, PERF_MALLOC, PERF_PINNED, PERF_CUDA, PERF_BUFFERS } perf_buffers;
extern const char *const perf_buffers_names[PERF_BUFFERS];

/* Over which ranks times of one iteration are taken together: the values of -a. */
typedef enum perf_over { PERF_RANK_0, PERF_MEAN, PERF_FASTEST, PERF_SLOWEST } perf_over;

typedef struct perf_options {
    size_t begin, end, step; /* bytes; step 0: multiply by factor */
    double factor;
    int iterations, warmup, calls; /* calls in one iteration */
    bool check;
    bool requests;  /* posted and waited for, not called */
    bool placed[2]; /* measure out of place, in place */
    perf_buffers buffers;
    perf_over over;
    dist_type type;
    dist_reduction op;
    const char *command;
    int root; /* -1: each rank in turn, of operations that have one */
    perf_list algo, codec;
    double link_rate; /* bytes a second one way between sites; 0: measured */
    bool no_bound;
    const char *json, *csv, *svg, *tuning;
    double least; /* GB/s below which the exit status is PERF_BELOW; 0: none */
    double timeout;
    perf_list pair, via, level; /* "0-3"; libdist, mpi; rank, node, site */
    int window;                 /* messages under way to one peer; 0: by size */
    double seconds;             /* that one figure may take */
    double slow,
        skew; /* a pair is named when its figure is so many times worse than the median, or than its way back */
    int streams; /* most, of dist_perf streams */
} perf_options;

/* What differs from command to command; 0 and NULL: as elsewhere. */
typedef struct perf_command_defaults {
    size_t begin, end;
    int iterations;
    double seconds;
    const char *algo, *codec;
    const char *threshold; /* what --min-bw looks at */
} perf_command_defaults;

/* A command: how it reads its words, and what it runs. */
typedef struct perf_command {
    const char *name, *summary;
    unsigned flags; /* groups of flags that it knows (options.h) */
    perf_command_defaults defaults;
    const char *columns; /* what they mean, for --help */
    int (*run)(dist_context *context, const perf_options *options, perf_sheet *sheet);
    int (*whole)(int argc, char **argv); /* instead: reads its own words */
    bool alone;                          /* without MPI */
} perf_command;

/* ---- numbers.c ---- */

/* A number with K, M or G for powers of `kilo`; a size; a whole number from `least`; a type. False when `text` is none. */
bool perf_read_number(const char *text, double kilo, double *value);
bool perf_read_bytes(const char *text, size_t *bytes);
bool perf_read_count(const char *text, int least, int *count);
bool perf_read_type(const char *text, dist_type *type);
bool perf_read_list(perf_list *list, const char *text);
bool perf_list_has(const perf_list *list, const char *word);
/* "16M", "512"; binary. */
const char *perf_bytes_text(double bytes, char text[16]);

/* The size after `bytes`: step more, or factor times as much where step is 0. */
size_t perf_next_size(size_t bytes, size_t step, double factor);
size_t perf_count_sizes(const perf_options *options);
/* Sorts them too. */
double perf_median(double *value, int count);
/* Of sorted values; share from 0 to 1. */
double perf_quantile(const double *sorted, int count, double share);

/* ---- ranks.c: what ranks do together beside what is measured. Nothing here spins: others may be measuring ---- */

/* The result of all, by MPI_Iallreduce with naps. */
void perf_reduce(double *values, int count, MPI_Op op);
/* Whether `good` is true on all ranks. */
bool perf_all(bool good);
void perf_barrier(void);
/* Seconds of the monotonic clock; processor time of this process. */
double perf_seconds(void);
double perf_processor_time(void);
/* The lowest rank of each site (PERF_SITES), or of each node; `agent` has room for all ranks. Returns how many. Local. */
int perf_agents(const dist_context *context, bool sites, int *agent);
/* The name of node number `node`: its host, from its first rank. Collective. room: [nodes]. */
void perf_node_names(const dist_context *context, char (*name)[64]);
/* Whether wan.sh made the links. */
bool perf_emulated(void);
/* A line on stderr that is written over, on a terminal alone; NULL wipes it. */
void perf_progress(const dist_context *context, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first lines of every table: version, command, shape of the job. Rank 0. */
void perf_print_job(const dist_context *context, const char *what);

/* ---- output.c ---- */

/* Opens what is to be written (NULL: it is not) before anything is measured; ranks other than 0 have no sheet. PERF_USAGE on all ranks, and
 * said, when something cannot be written. Collective, with MPI alone. */
int perf_output_open(perf_sheet **sheet, const char *json, const char *csv, const char *svg,
                     const char *tuning);
/* What every sheet begins with. */
void perf_output_describe(perf_sheet *sheet, const dist_context *context, const char *command);
/* `status`, or PERF_USAGE when the files cannot be written. */
int perf_output_close(perf_sheet *sheet, int status);

/* ---- memory.c ---- */

/* The machine that lacks most: its rank, and on that rank what all of it ask for, and what it has left. */
typedef struct perf_memory {
    int rank;
    double asked, left; /* bytes */
} perf_memory;

/* Whether each machine has what its ranks ask for, `mine` bytes this one. Collective, with MPI alone. */
bool perf_memory_fits(double mine, perf_memory *worst);

/* ---- bound.c ---- */

/* What the bound is made of. */
typedef struct perf_link {
    double rate;  /* bytes a second: of plain TCP a direction, or of copying; 0: unknown */
    int groups;   /* sites, or nodes of one site, that it connects; 1: copying inside a node; 0: no bound */
    int streams;  /* with which TCP did best; 0: the rate was given */
    bool counted; /* what MPI sends is counted at the interfaces */
    char sentence[256]; /* what was measured, or why there is none */
} perf_link;

/* Collective. */
void perf_link_find(dist_context *context, const perf_options *options, perf_link *link);
/* Seconds to copy `bytes` by all ranks at once. Collective. */
double perf_copy_time(size_t bytes);
/* Encoded bytes over bytes of float32. */
double perf_codec_ratio(const char *codec);

/* ---- goodput.c ---- */

/* What plain TCP brings from each agent to the next one, all at once, with so many streams. Bytes a second. */
typedef struct perf_goodput {
    int streams;
    double sum;     /* of the agent that gets least */
    double slowest; /* stream of any agent */
    double fastest;
} perf_goodput;

/* Measures with 1, factor, factor^2, ... streams up to `most`; with `stops`, until that gains nothing. Returns how many figures are in
 * result[]; 0 with a sentence in `trouble` when it cannot be measured. Collective; blocks for some seconds. */
int perf_goodput_measure(const int *agent, int agents, int factor, int most, bool stops, perf_goodput *result,
                         char trouble[256]);
enum { PERF_STREAMS_MOST = 64, PERF_GOODPUTS = 16 };

/* ---- check.c ---- */

/* Small whole numbers, which differ from rank to rank and whose sums are exact in the type. */
void perf_fill(void *data, dist_type type, size_t count, int rank, int ranks);

/* ---- commands ---- */

int perf_collective(dist_context *context, const perf_options *options, perf_sheet *sheet);
int perf_compare(dist_context *context, const perf_options *options, perf_sheet *sheet);
int perf_latency(dist_context *context, const perf_options *options, perf_sheet *sheet);
int perf_bandwidth(dist_context *context, const perf_options *options, perf_sheet *sheet);
int perf_matrix(dist_context *context, const perf_options *options, perf_sheet *sheet);
int perf_streams(dist_context *context, const perf_options *options, perf_sheet *sheet);
int perf_codec(int argc, char **argv);
int perf_pipeline(int argc, char **argv);
int perf_step(int argc, char **argv);

#endif
