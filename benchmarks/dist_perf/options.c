#define _POSIX_C_SOURCE 200809L /* setenv */

#include "options.h"

#include <stdlib.h>
#include <string.h>

static bool read_begin(perf_options *o, const char *v)
{
    return perf_read_bytes(v, &o->begin);
}

static bool read_end(perf_options *o, const char *v)
{
    return perf_read_bytes(v, &o->end);
}

static bool read_factor(perf_options *o, const char *v)
{
    return perf_read_number(v, 1, &o->factor) && o->factor > 1;
}

static bool read_step(perf_options *o, const char *v)
{
    return perf_read_bytes(v, &o->step) && o->step > 0;
}

static bool read_iterations(perf_options *o, const char *v)
{
    return perf_read_count(v, 1, &o->iterations);
}

static bool read_warmup(perf_options *o, const char *v)
{
    return perf_read_count(v, 0, &o->warmup);
}

static bool read_calls(perf_options *o, const char *v)
{
    return perf_read_count(v, 1, &o->calls);
}

static bool read_switch(const char *v, bool *on)
{
    int number = 0;
    const bool good = perf_read_count(v, 0, &number) && number <= 1;
    *on = number != 0;
    return good;
}

static bool read_check(perf_options *o, const char *v)
{
    return read_switch(v, &o->check);
}

static bool read_blocking(perf_options *o, const char *v)
{
    bool blocking = true;
    const bool good = read_switch(v, &blocking);
    o->requests = !blocking;
    return good;
}

static bool read_over(perf_options *o, const char *v)
{
    int number = 0;
    const bool good = perf_read_count(v, 0, &number) && number <= PERF_SLOWEST;
    o->over = (perf_over)number;
    return good;
}

static bool read_root(perf_options *o, const char *v)
{
    return strcmp(v, "-1") == 0 ? (o->root = -1) : perf_read_count(v, 0, &o->root);
}

static bool read_type(perf_options *o, const char *v)
{
    return perf_read_type(v, &o->type);
}

static bool read_op(perf_options *o, const char *v)
{
    for (int r = 0; r < DIST_REDUCTIONS; r++)
        if (strcmp(v, dist_reduction_name((dist_reduction)r)) == 0) {
            o->op = (dist_reduction)r;
            return true;
        }
    return false;
}

static bool read_algo(perf_options *o, const char *v)
{
    return perf_read_list(&o->algo, v);
}

static bool read_codec(perf_options *o, const char *v)
{
    return perf_read_list(&o->codec, v);
}

static bool read_place(perf_options *o, const char *v)
{
    const bool both = strcmp(v, "both") == 0;
    o->placed[0] = both || strcmp(v, "out") == 0;
    o->placed[1] = both || strcmp(v, "in") == 0;
    return o->placed[0] || o->placed[1];
}

const char *const perf_buffers_names[PERF_BUFFERS] = {"dist_alloc", "malloc", "pinned", "cuda"};

static bool read_memory(perf_options *o, const char *v)
{
    for (int b = 0; b < PERF_BUFFERS; b++)
        if (strcmp(v, perf_buffers_names[b]) == 0) {
            o->buffers = (perf_buffers)b;
            return true;
        }
    return false;
}

static bool read_link_rate(perf_options *o, const char *v)
{
    o->no_bound = strcmp(v, "off") == 0;
    if (o->no_bound)
        return true;
    if (!perf_read_number(v, 1000, &o->link_rate) || !(o->link_rate > 0))
        return false;
    o->link_rate /= 8;
    return true;
}

/* The library reads them when the context is opened, and says what is allowed. */
static bool read_wire(perf_options *o, const char *v)
{
    (void)o;
    return setenv("DIST_WIRE", v, 1) == 0;
}

static bool read_use_streams(perf_options *o, const char *v)
{
    (void)o;
    return setenv("DIST_STREAMS", v, 1) == 0;
}

static bool read_pair(perf_options *o, const char *v)
{
    if (!perf_read_list(&o->pair, v))
        return false;
    for (int i = 0; i < o->pair.words; i++) {
        char *end;
        const char *second = strchr(o->pair.word[i], '-');
        const long a = strtol(o->pair.word[i], &end, 10);
        if (!second || end != second || a < 0 || !second[1])
            return false;
        const long b = strtol(second + 1, &end, 10);
        if (*end || b < 0 || a == b)
            return false;
    }
    return true;
}

static bool all_of(const perf_list *list, const char *const *known, int count)
{
    for (int i = 0; i < list->words; i++) {
        bool found = false;
        for (int k = 0; k < count; k++)
            found |= strcmp(list->word[i], known[k]) == 0;
        if (!found)
            return false;
    }
    return true;
}

static bool read_via(perf_options *o, const char *v)
{
    static const char *const known[] = {"libdist", "mpi"};
    return perf_read_list(&o->via, v) && o->via.words <= 2 && all_of(&o->via, known, 2);
}

static bool read_level(perf_options *o, const char *v)
{
    static const char *const known[] = {"rank", "node", "site"};
    return perf_read_list(&o->level, v) && all_of(&o->level, known, 3);
}

static bool read_window(perf_options *o, const char *v)
{
    return perf_read_count(v, 1, &o->window) && o->window <= 4096;
}

static bool read_seconds(perf_options *o, const char *v)
{
    return perf_read_number(v, 1, &o->seconds) && o->seconds > 0 && o->seconds <= 3600;
}

static bool read_slow(perf_options *o, const char *v)
{
    return perf_read_number(v, 1, &o->slow) && o->slow > 1;
}

static bool read_skew(perf_options *o, const char *v)
{
    return perf_read_number(v, 1, &o->skew) && o->skew > 1;
}

static bool read_most(perf_options *o, const char *v)
{
    return perf_read_count(v, 1, &o->streams) && o->streams <= PERF_STREAMS_MOST;
}

static bool read_tuning(perf_options *o, const char *v)
{
    return *(o->tuning = v) != '\0';
}

static bool read_json(perf_options *o, const char *v)
{
    return *(o->json = v) != '\0';
}

static bool read_csv(perf_options *o, const char *v)
{
    return *(o->csv = v) != '\0';
}

static bool read_svg(perf_options *o, const char *v)
{
    return *(o->svg = v) != '\0';
}

static bool read_least(perf_options *o, const char *v)
{
    return perf_read_number(v, 1000, &o->least) && o->least > 0;
}

static bool read_timeout(perf_options *o, const char *v)
{
    return perf_read_number(v, 1, &o->timeout) && o->timeout > 0;
}

/* Every flag; `takes` is what its value is called, and what is in brackets its default. */
static const struct {
    const char *letter, *word, *takes, *help;
    unsigned group;
    bool (*read)(perf_options *o, const char *v);
} flags[] = {
    {"-b", "--min-bytes", "BYTES", "smallest size (%s); K, M, G are binary", PERF_FLAGS_SIZES, read_begin},
    {"-e", "--max-bytes", "BYTES", "largest size (%s)", PERF_FLAGS_SIZES, read_end},
    {"-f", "--step-factor", "FACTOR", "multiply sizes by this (2)", PERF_FLAGS_SIZES, read_factor},
    {"-i", "--step-bytes", "BYTES", "or add this", PERF_FLAGS_SIZES, read_step},
    {"-n", "--iters", "N", "iterations (%s)", PERF_FLAGS_RUN, read_iterations},
    {"-w", "--warmup-iters", "N", "warm-up iterations (3)", PERF_FLAGS_RUN, read_warmup},
    {"-m", "--agg-iters", "N", "calls in each iteration (1)", PERF_FLAGS_COLLECTIVE, read_calls},
    {"-c", "--check", "0|1", "check results (1)", PERF_FLAGS_COLLECTIVE, read_check},
    {"-z", "--blocking", "0|1", "calls that block (1), or requests that are posted and waited for",
     PERF_FLAGS_COLLECTIVE, read_blocking},
    {"-a", "--average", "0-3", "time of an iteration: of rank 0, mean, fastest, slowest rank (3)",
     PERF_FLAGS_COLLECTIVE, read_over},
    {"-d", "--type", "TYPE", "float32, float16, bfloat16, float64, int32, int64 (float32)",
     PERF_FLAGS_COLLECTIVE, read_type},
    {"-o", "--op", "OP", "sum, average, min, max (sum)", PERF_FLAGS_COLLECTIVE, read_op},
    {"-r", "--root", "RANK", "of broadcast (0); -1: each rank in turn", PERF_FLAGS_COLLECTIVE, read_root},
    {NULL, "--algo", "LIST",
     "auto, ring, halving, doubling, hier, ...: libdist's; mpi: MPI's own call. Several, separated by "
     "commas, take turns within each iteration, so that drift hits all alike (%s)",
     PERF_FLAGS_COLLECTIVE, read_algo},
    {NULL, "--codec", "LIST", "between sites, of an all-reduce by hier or auto (%s)", PERF_FLAGS_COLLECTIVE,
     read_codec},
    {NULL, "--place", "WHICH", "out, in or both: of place (both)", PERF_FLAGS_COLLECTIVE, read_place},
    {NULL, "--memory", "KIND", "of vectors: dist_alloc, malloc, pinned or cuda (dist_alloc)",
     PERF_FLAGS_COLLECTIVE, read_memory},
    {NULL, "--link-rate", "RATE",
     "goodput of the link between sites in bit/s, K, M, G decimal; off: no bound (measured with plain TCP)",
     PERF_FLAGS_BOUND, read_link_rate},
    {NULL, "--pair", "A-B,...", "ranks; libdist takes the first of every two sites, or nodes, or 0-1",
     PERF_FLAGS_PAIR, read_pair},
    {NULL, "--window", "N", "messages under way (64, but 16 MiB at most)", PERF_FLAGS_PAIR, read_window},
    {NULL, "--via", "LIST", "libdist, mpi, or both in turn (libdist,mpi)", PERF_FLAGS_PAIR, read_via},
    {NULL, "--seconds", "S", "for one figure (%s)", PERF_FLAGS_TIME, read_seconds},
    {NULL, "--level", "LIST", "rank, node, site (all; rank up to 16 ranks)", PERF_FLAGS_MATRIX, read_level},
    {NULL, "--slow", "X", "name pairs that are so many times worse than the median of their kind (2)",
     PERF_FLAGS_MATRIX, read_slow},
    {NULL, "--skew", "X", "name pairs of which one way has so many times the bandwidth of the other (1.5)",
     PERF_FLAGS_MATRIX, read_skew},
    {NULL, "--max-streams", "N", "up to this many (64)", PERF_FLAGS_MOST, read_most},
    {NULL, "--wire", "NAME", "between sites: auto, mpi or tcp (auto)", PERF_FLAGS_LINK, read_wire},
    {NULL, "--streams", "N", "of tcp, 1 to 64, or auto (auto)", PERF_FLAGS_LINK, read_use_streams},
    {NULL, "--tuning", "FILE", "write what was found, for DIST_TUNING", PERF_FLAGS_TUNING, read_tuning},
    {"-J", "--json", "FILE", "write JSON too", PERF_FLAGS_FILES, read_json},
    {NULL, "--csv", "FILE", "write CSV too: a row for each figure's variables", PERF_FLAGS_FILES, read_csv},
    {NULL, "--svg", "FILE", "draw it", PERF_FLAGS_FILES, read_svg},
    {NULL, "--min-bw", "GB/s", "exit with 3 below this: %s", PERF_FLAGS_THRESHOLD, read_least},
    {"-T", "--timeout", "S", "deadline of every wait, in seconds (60)", ~0u, read_timeout},
};
enum { FLAGS = sizeof flags / sizeof *flags };

/* ---- defaults ---- */

static void set_defaults(perf_options *o, const perf_command *command)
{
    const perf_command_defaults *d = &command->defaults;
    *o = (perf_options){.command = command->name,
                        .begin = d->begin ? d->begin : 8,
                        .end = d->end ? d->end : 16 << 20,
                        .factor = 2,
                        .iterations = d->iterations ? d->iterations : 20,
                        .warmup = 3,
                        .calls = 1,
                        .check = true,
                        .placed = {true, true},
                        .over = PERF_SLOWEST,
                        .type = DIST_FLOAT32,
                        .op = DIST_SUM,
                        .seconds = d->seconds ? d->seconds : 1,
                        .slow = 2,
                        .skew = 1.5,
                        .streams = PERF_STREAMS_MOST,
                        .timeout = 60};
    perf_read_list(&o->algo, d->algo ? d->algo : "auto,mpi");
    perf_read_list(&o->codec, d->codec ? d->codec : "none");
    perf_read_list(&o->via, "libdist,mpi");
}

static void print_default(const perf_command *command, int flag, const char *help, FILE *file)
{
    perf_options o;
    char text[64] = "", size[16];
    set_defaults(&o, command);
    if (flags[flag].read == read_begin)
        snprintf(text, sizeof text, "%s", perf_bytes_text((double)o.begin, size));
    else if (flags[flag].read == read_end)
        snprintf(text, sizeof text, "%s", perf_bytes_text((double)o.end, size));
    else if (flags[flag].read == read_iterations)
        snprintf(text, sizeof text, "%d", o.iterations);
    else if (flags[flag].read == read_seconds)
        snprintf(text, sizeof text, "%g", o.seconds);
    else if (flags[flag].read == read_algo)
        snprintf(text, sizeof text, "%s", command->defaults.algo ? command->defaults.algo : "auto,mpi");
    else if (flags[flag].read == read_codec)
        snprintf(text, sizeof text, "%s", command->defaults.codec ? command->defaults.codec : "none");
    else if (flags[flag].read == read_least)
        snprintf(text, sizeof text, "%s", command->defaults.threshold ? command->defaults.threshold : "");
    const char *hole = strstr(help, "%s");
    if (hole)
        fprintf(file, "%.*s%s%s", (int)(hole - help), help, text, hole + 2);
    else
        fputs(help, file);
}

/* ---- reading ---- */

static int find_flag(const perf_command *command, const char *word)
{
    for (int i = 0; i < FLAGS; i++)
        if ((flags[i].group & command->flags) &&
            ((flags[i].letter && strcmp(word, flags[i].letter) == 0) || strcmp(word, flags[i].word) == 0))
            return i;
    return -1;
}

static bool read_all(perf_options *o, const perf_command *command, int argc, char **argv, char *trouble,
                     size_t room)
{
    for (int i = 0; i < argc; i += 2) {
        const int flag = find_flag(command, argv[i]);
        if (flag < 0)
            snprintf(trouble, room, "there is no flag '%s'", argv[i]);
        else if (i + 1 == argc)
            snprintf(trouble, room, "%s wants a value: %s", argv[i], flags[flag].takes);
        else if (!flags[flag].read(o, argv[i + 1]))
            snprintf(trouble, room, "%s takes %s, not '%s'", argv[i], flags[flag].takes, argv[i + 1]);
        else
            continue;
        return false;
    }
    return true;
}

int perf_options_read(perf_options *options, const perf_command *command, int argc, char **argv, bool speak)
{
    char trouble[256];
    set_defaults(options, command);
    if (argc > 0 && (strcmp(argv[0], "-h") == 0 || strcmp(argv[0], "--help") == 0)) {
        if (speak)
            perf_print_help(command, stdout);
        return PERF_FINE;
    }
    bool good = read_all(options, command, argc, argv, trouble, sizeof trouble);
    if (good && options->begin > options->end) {
        snprintf(trouble, sizeof trouble, "the smallest size (-b) is larger than the largest (-e)");
        good = false;
    }
    if (good && options->end > (size_t)1 << 40) {
        snprintf(trouble, sizeof trouble, "sizes above 1T are not measured");
        good = false;
    }
    if (good)
        return -1;
    if (speak)
        fprintf(stderr, "dist_perf %s: %s; 'dist_perf %s --help' lists the flags\n", command->name, trouble,
                command->name);
    return PERF_USAGE;
}

/* ---- help ---- */

static void print_flag(const perf_command *command, int i, FILE *file)
{
    char left[64];
    snprintf(left, sizeof left, "%s%s%s %s", flags[i].letter ? flags[i].letter : "",
             flags[i].letter ? ", " : "", flags[i].word, flags[i].takes);
    fprintf(file, "  %-28s ", left);
    print_default(command, i, flags[i].help, file);
    fputc('\n', file);
}

void perf_print_help(const perf_command *command, FILE *file)
{
    fprintf(file, "usage: mpirun ... dist_perf %s [flags]\n%s.\n", command->name, command->summary);
    for (int i = 0; i < FLAGS; i++)
        if (flags[i].group & command->flags)
            print_flag(command, i, file);
    if (command->columns)
        fprintf(file, "%s\n", command->columns);
    fprintf(file, "Exit status: 0 fine, 1 wrong results, 2 usage, 3 below --min-bw, 4 a call failed.\n");
}
