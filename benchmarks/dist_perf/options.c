#define _POSIX_C_SOURCE 200809L /* setenv */

#include "perf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char perf_help[] =
    "usage: mpirun ... dist_perf all-reduce [flags]; dist_perf codec --help and dist_perf pipeline "
    "--help have the flags of the other commands\n"
    "  -b BYTES       smallest size (8); K, M, G are binary      -e BYTES   largest size (16M)\n"
    "  -f FACTOR      multiply sizes by this (2)                 -i BYTES   or add this\n"
    "  -n N           iterations (20)                            -w N       warm-up iterations (3)\n"
    "  -m N           calls in each iteration (1)                -c 0|1     check results (1)\n"
    "  -d, --type T   float32, float16, bfloat16, float64, int32, int64\n"
    "  -o, --op OP    sum, average, min, max                     -J FILE    write JSON too\n"
    "  --algo LIST    auto, ring, halving, doubling, hier, ...: libdist's; mpi: MPI_Allreduce itself. "
    "Several, separated by\n"
    "                 commas, take turns within each iteration, so that drift hits all alike (auto,mpi)\n"
    "  --codec LIST   between sites, for hier and auto (none)\n"
    "  --wire NAME    between sites: auto, mpi or tcp            --streams N  of tcp, or auto\n"
    "  --place WHICH  out, in or both: of place (both)\n"
    "  --memory KIND  dist_alloc, or malloc (dist_alloc)\n"
    "  --link-rate R  goodput of the link between sites in bit/s, K, M, G decimal; off: no bound "
    "(measured with plain TCP)\n"
    "  -T SECONDS     deadline of every wait (60)\n"
    "Columns: those of nccl-tests, with the mean time of the slowest rank, algbw = size/time and busbw = "
    "algbw*2(n-1)/n; then the\n"
    "median and 95th percentile; wan: payload bytes a direction on the busiest link between sites; bound: "
    "between "
    "k sites\n"
    "2(k-1)/k*size, as the codec makes it, at the goodput of plain TCP; inside a node a copy of the size by "
    "all ranks "
    "at once;\n"
    "time/bound: p50/bound; cpu: processor time/time of the rank that uses most.\n"
    "Exit status: 0 fine, 1 wrong results, 2 usage, 4 a call failed.\n";

bool perf_read_number(const char *text, double kilo, double *value)
{
    static const char suffixes[] = "KMG";
    char *end;
    *value = strtod(text, &end);
    if (end == text || !isfinite(*value) || *value < 0)
        return false;
    const char *suffix = *end ? strchr(suffixes, *end & ~0x20) : NULL;
    for (int i = 0; suffix && i <= suffix - suffixes; i++)
        *value *= kilo;
    return *end == '\0' || (suffix && end[1] == '\0');
}

bool perf_read_bytes(const char *text, size_t *bytes)
{
    double value;
    if (!perf_read_number(text, 1024, &value) || value > 1e15)
        return false;
    *bytes = (size_t)value;
    return true;
}

bool perf_read_count(const char *text, int least, int *count)
{
    char *end;
    long value = strtol(text, &end, 10);
    *count = (int)value;
    return end != text && *end == '\0' && value >= least && value <= 10000000;
}

bool perf_read_type(const char *text, dist_type *type)
{
    for (int t = 0; t < DIST_TYPES; t++)
        if (strcmp(text, dist_type_name((dist_type)t)) == 0) {
            *type = (dist_type)t;
            return true;
        }
    return false;
}

static bool read_op(const char *text, dist_reduction *op)
{
    for (int r = 0; r < DIST_REDUCTIONS; r++)
        if (strcmp(text, dist_reduction_name((dist_reduction)r)) == 0) {
            *op = (dist_reduction)r;
            return true;
        }
    return false;
}

static bool read_list(perf_list *list, const char *text)
{
    if (strlen(text) >= sizeof list->text)
        return false;
    strcpy(list->text, text);
    list->words = 0;
    for (char *word = strtok(list->text, ","); word; word = strtok(NULL, ",")) {
        if (list->words == PERF_WORDS)
            return false;
        list->word[list->words++] = word;
    }
    return list->words > 0;
}

static bool read_place(perf_options *o, const char *value)
{
    const bool both = strcmp(value, "both") == 0;
    o->placed[0] = both || strcmp(value, "out") == 0;
    o->placed[1] = both || strcmp(value, "in") == 0;
    return o->placed[0] || o->placed[1];
}

static bool read_link_rate(perf_options *o, const char *value)
{
    o->no_bound = strcmp(value, "off") == 0;
    if (o->no_bound)
        return true;
    if (!perf_read_number(value, 1000, &o->link_rate) || !(o->link_rate > 0))
        return false;
    o->link_rate /= 8;
    return true;
}

/* The library reads it when the context is opened, and says what is allowed. */
static bool set_option(const char *name, const char *value)
{
    return setenv(name, value, 1) == 0;
}

static bool read_switch(const char *value, bool *on)
{
    int number = 0;
    const bool good = perf_read_count(value, 0, &number);
    *on = number != 0;
    return good;
}

/* Flags of more than a letter. False: not one, or not understood. */
static bool read_word_flag(perf_options *o, const char *flag, const char *value)
{
    if (strcmp(flag, "--algo") == 0)
        return read_list(&o->algo, value);
    if (strcmp(flag, "--codec") == 0)
        return read_list(&o->codec, value);
    if (strcmp(flag, "--type") == 0)
        return perf_read_type(value, &o->type);
    if (strcmp(flag, "--op") == 0)
        return read_op(value, &o->op);
    if (strcmp(flag, "--wire") == 0)
        return set_option("DIST_WIRE", value);
    if (strcmp(flag, "--streams") == 0)
        return set_option("DIST_STREAMS", value);
    if (strcmp(flag, "--place") == 0)
        return read_place(o, value);
    if (strcmp(flag, "--link-rate") == 0)
        return read_link_rate(o, value);
    if (strcmp(flag, "--memory") != 0)
        return false;
    o->any_memory = strcmp(value, "malloc") == 0;
    return o->any_memory || strcmp(value, "dist_alloc") == 0;
}

static bool read_flag(perf_options *o, const char *flag, const char *value)
{
    if (strcmp(flag, "-b") == 0)
        return perf_read_bytes(value, &o->begin);
    if (strcmp(flag, "-e") == 0)
        return perf_read_bytes(value, &o->end);
    if (strcmp(flag, "-i") == 0)
        return perf_read_bytes(value, &o->step) && o->step > 0;
    if (strcmp(flag, "-f") == 0)
        return perf_read_number(value, 1, &o->factor) && o->factor > 1;
    if (strcmp(flag, "-n") == 0)
        return perf_read_count(value, 1, &o->iterations);
    if (strcmp(flag, "-w") == 0)
        return perf_read_count(value, 0, &o->warmup);
    if (strcmp(flag, "-m") == 0)
        return perf_read_count(value, 1, &o->calls);
    if (strcmp(flag, "-c") == 0)
        return read_switch(value, &o->check);
    if (strcmp(flag, "-d") == 0)
        return perf_read_type(value, &o->type);
    if (strcmp(flag, "-o") == 0)
        return read_op(value, &o->op);
    if (strcmp(flag, "-J") == 0)
        return (o->json = value) != NULL;
    if (strcmp(flag, "-T") == 0)
        return perf_read_number(value, 1, &o->timeout) && o->timeout > 0;
    return read_word_flag(o, flag, value);
}

int perf_options_read(perf_options *options, int argc, char **argv, bool speak)
{
    *options = (perf_options){.begin = 8,
                              .end = 16 << 20,
                              .factor = 2,
                              .iterations = 20,
                              .warmup = 3,
                              .calls = 1,
                              .check = true,
                              .placed = {true, true},
                              .type = DIST_FLOAT32,
                              .op = DIST_SUM,
                              .timeout = 60};
    read_list(&options->algo, "auto,mpi");
    read_list(&options->codec, "none");
    for (int i = 0; i < argc; i += 2)
        if (i + 1 == argc || !read_flag(options, argv[i], argv[i + 1])) {
            if (speak)
                fprintf(stderr, "dist_perf: '%s %s' is not understood; dist_perf --help lists the flags\n",
                        argv[i], i + 1 < argc ? argv[i + 1] : "");
            return PERF_USAGE;
        }
    if (options->begin > options->end) {
        if (speak)
            fprintf(stderr, "dist_perf: the smallest size (-b) is larger than the largest (-e)\n");
        return PERF_USAGE;
    }
    return -1;
}

size_t perf_next_size(size_t bytes, size_t step, double factor)
{
    const size_t next = step ? bytes + step : (size_t)((double)bytes * factor);
    return next > bytes ? next : bytes + 1;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double perf_median(double *value, int count)
{
    qsort(value, (size_t)count, sizeof *value, ascending);
    return value[count / 2];
}
