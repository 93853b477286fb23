/* dist_perf: what links between sites are worth, and what collectives, pipelines and training steps cost on them. */
#define _POSIX_C_SOURCE 200809L /* access */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

#define COLLECTIVE_FLAGS                                                                                     \
    (PERF_FLAGS_SIZES | PERF_FLAGS_RUN | PERF_FLAGS_COLLECTIVE | PERF_FLAGS_LINK | PERF_FLAGS_BOUND |        \
     PERF_FLAGS_FILES | PERF_FLAGS_THRESHOLD)
#define PAIR_FLAGS                                                                                           \
    (PERF_FLAGS_SIZES | PERF_FLAGS_PAIR | PERF_FLAGS_TIME | PERF_FLAGS_LINK | PERF_FLAGS_FILES |             \
     PERF_FLAGS_THRESHOLD)
#define COLLECTIVE_COLUMNS                                                                                   \
    "Columns: those of nccl-tests first: size (of the larger side of a rank), count, type, redop, root, "    \
    "then time (mean), algbw\n"                                                                              \
    "(size/time), busbw and #wrong, out of place and in place. Then p50, p95, p99 and min of the time; "     \
    "wan: payload bytes a\n"                                                                                 \
    "direction on the busiest link between sites, counted (of MPI's calls by the interface, headers "        \
    "included, where the link is\n"                                                                          \
    "emulated), wanbw: these over p50; ratio: these over what has to cross without a codec; bound: what "    \
    "has to cross, as the\n"                                                                                 \
    "codec makes it, at the goodput of plain TCP; inside a node as many bytes as must be read and written, " \
    "copied by all ranks at\n"                                                                               \
    "once; time/bound: p50/bound; #diverge: ranks whose bits differ from rank 0's; cpu: processor "          \
    "time/time of the rank that\n"                                                                           \
    "uses most."
#define COLLECTIVE(name_, summary_)                                                                          \
    {                                                                                                        \
        .name = name_, .summary = summary_, .flags = COLLECTIVE_FLAGS, .columns = COLLECTIVE_COLUMNS,        \
        .defaults = {.threshold = "the mean bus bandwidth of all rows"}, .run = perf_collective              \
    }

static const perf_command commands[] = {
    {.name = "matrix",
     .summary = "Latency and bandwidth between all ranks, nodes and sites, both ways, and which are bad",
     .flags = PERF_FLAGS_MATRIX | PERF_FLAGS_TIME | PERF_FLAGS_LINK | PERF_FLAGS_FILES | PERF_FLAGS_THRESHOLD,
     .defaults = {.seconds = 0.3, .threshold = "the least bandwidth of any pair"},
     .run = perf_matrix},
    {.name = "streams",
     .summary = "How many parallel TCP streams the links between sites are worth",
     .flags = PERF_FLAGS_MOST | PERF_FLAGS_FILES | PERF_FLAGS_TUNING | PERF_FLAGS_THRESHOLD,
     .defaults = {.threshold = "the best sum"},
     .run = perf_streams},
    {.name = "compare",
     .summary = "All-reduces by algorithm and codec, taking turns; where which is best, as a tuning file",
     .flags = COLLECTIVE_FLAGS | PERF_FLAGS_TUNING,
     .defaults = {.begin = 1 << 10,
                  .end = 64 << 20,
                  .iterations = 7,
                  .algo = "mpi,ring,hier",
                  .codec = "none,int8,int4",
                  .threshold = "the mean bus bandwidth of all rows"},
     .columns = COLLECTIVE_COLUMNS,
     .run = perf_compare},
    {.name = "step",
     .summary = "A training step: predicted from a quick measurement, then replayed",
     .whole = perf_step},
    COLLECTIVE("all-reduce", "Sums over all ranks, on all ranks"),
    COLLECTIVE("reduce-scatter", "Sums over all ranks, a part on each"),
    COLLECTIVE("all-gather", "A part of each rank, to all"),
    COLLECTIVE("broadcast", "A vector of one rank, to all"),
    COLLECTIVE("all-to-all", "A part of each rank to each other"),
    COLLECTIVE("send-recv", "Each rank to the next one, all at once"),
    {.name = "latency",
     .summary = "One way between two ranks: half of a ping-pong",
     .flags = PAIR_FLAGS,
     .defaults = {.begin = 1, .end = 1 << 20, .threshold = "the bandwidth of the largest size"},
     .columns = "Columns: time: mean of half a round trip; then its p50, p95, p99 and the least.",
     .run = perf_latency},
    {.name = "bandwidth",
     .summary = "Between two ranks, a window of messages under way: one way, the other way, both at once",
     .flags = PAIR_FLAGS,
     .defaults = {.begin = 64 << 10, .end = 4 << 20, .threshold = "the best of any row"},
     .columns = "Columns: forth, back, and both: the slower direction of both at once, in MB/s (10^6 bytes).",
     .run = perf_bandwidth},
    {.name = "pipeline", .summary = "Pipeline schedules beside their prediction", .whole = perf_pipeline},
    {.name = "codec",
     .summary = "Codecs beside a copy, on one core, without mpirun",
     .whole = perf_codec,
     .alone = true},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_overview(FILE *file)
{
    fputs("dist_perf: what is the link between my sites worth, and what does training cost on it?\n\n"
          "  1. What are my links?          mpirun -n 8 -x DIST_SITE=east dist_perf matrix : -n 8 -x "
          "DIST_SITE=west dist_perf matrix\n"
          "  2. What suits them?            ... dist_perf compare --tuning my.tuning\n"
          "  3. What will a step cost?      DIST_TUNING=my.tuning ... dist_perf step --params 1.5G --type "
          "bfloat16 --compute-ms 420\n\n"
          "Without sites of your own, benchmarks/wan.sh emulates them on this machine:\n"
          "  wan.sh run --sites 2 --ranks 2 --rate 200mbit --delay 15ms -- dist_perf matrix\n\n"
          "Commands, each with --help:\n",
          file);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(file, "  %-15s %s\n", commands[i].name, commands[i].summary);
    fputs("Exit status: 0 fine, 1 wrong results, 2 usage, 3 below a threshold, 4 a call failed.\n", file);
}

static int run_in(dist_context *context, const perf_command *command, const perf_options *options,
                  perf_sheet *sheet)
{
    perf_output_describe(sheet, context, command->name);
    const int status = command->run(context, options, sheet);
    return perf_output_close(sheet, status);
}

/* A tuning file that is there already is added to: it must be of this cluster. */
static bool adds_to_file(const perf_options *options)
{
    int there = options->tuning && access(options->tuning, F_OK) == 0;
    MPI_Bcast(&there, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return there;
}

static int run(const perf_command *command, int argc, char **argv)
{
    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context;
    perf_options options;
    perf_sheet *sheet;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    int status = perf_options_read(&options, command, argc, argv, rank == 0);
    if (status >= 0)
        return status;
    status = perf_output_open(&sheet, options.json, options.csv, options.svg, options.tuning);
    if (status != PERF_FINE) {
        perf_sheet_close(sheet);
        return status;
    }
    start.timeout = options.timeout;
    if (adds_to_file(&options))
        start.tuning = options.tuning;
    const dist_status opened = dist_init_mpi(&context, MPI_COMM_WORLD, &start);
    if (opened < 0) {
        fprintf(stderr, "dist_perf: %s\n", dist_last_error());
        perf_sheet_close(sheet);
        return opened == DIST_ERR_CONFIG ? PERF_USAGE : PERF_FAILED;
    }
    status = run_in(context, command, &options, sheet);
    if (dist_finalize(context) < 0 && status == PERF_FINE)
        status = PERF_FAILED;
    return status;
}

static const perf_command *find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static bool asks_for_help(int argc, char **argv)
{
    return argc > 0 && (strcmp(argv[0], "-h") == 0 || strcmp(argv[0], "--help") == 0);
}

int main(int argc, char **argv)
{
    int granted;
    if (argc > 1 && (asks_for_help(1, argv + 1) || strcmp(argv[1], "help") == 0)) {
        print_overview(stdout);
        return PERF_FINE;
    }
    if (argc < 2) {
        print_overview(stdout);
        return PERF_USAGE;
    }
    const perf_command *command = find(argv[1]);
    if (!command) {
        fprintf(stderr, "dist_perf: there is no command '%s'\n", argv[1]);
        print_overview(stderr);
        return PERF_USAGE;
    }
    if (command->alone)
        return command->whole(argc - 2, argv + 2);
    if (command->run && asks_for_help(argc - 2, argv + 2)) { /* also without mpirun */
        perf_print_help(command, stdout);
        return PERF_FINE;
    }
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &granted);
    int status = command->whole ? command->whole(argc - 2, argv + 2) : run(command, argc - 2, argv + 2);
    if (status == PERF_FAILED)
        exit(status); /* a failed context may leave MPI unable to end */
    MPI_Finalize();
    return status;
}
