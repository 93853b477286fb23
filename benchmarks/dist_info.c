/* dist_info: what this libdist is, and what it finds here. Runs alone or under mpirun. */
#include <stdlib.h>
#include <string.h>

#include <libdist/dist.h>

static const char help[] =
    "usage: dist_info [-m] [-c] [-t] [-l] [-d] [-a]\n"
    "       dist_info -V | -h\n"
    "  -m, --machine, --cpu  the MPI library, vector instructions and NUMA nodes that are used here\n"
    "  -c, --options         the option table: every setting, its value and where that came from\n"
    "  -t, --topology        ranks, nodes, sites and rails, and how they were found\n"
    "  -l, --links           the same, after measuring latency and bandwidth between all sites\n"
    "  -d, --devices         CUDA devices, NCCL, and whether MPI takes device memory\n"
    "  -a, --algorithms      the algorithm table: predicted times, and what `auto` takes\n"
    "  -V, --version         version and build, in one line\n"
    "  -h, --help            this text\n"
    "Without a flag: all but -l. Under mpirun rank 0 prints for all.\n"
    "Exit status: 0 fine, 1 an error, 2 usage.\n";

typedef enum part { MACHINE, OPTIONS, TOPOLOGY, LINKS, DEVICES, ALGORITHMS, VERSION, HELP, PARTS } part;

static const struct {
    const char *text;
    part part;
} flags[] = {{"-m", MACHINE},
             {"--machine", MACHINE},
             {"--cpu", MACHINE},
             {"-c", OPTIONS},
             {"--options", OPTIONS},
             {"-t", TOPOLOGY},
             {"--topology", TOPOLOGY},
             {"-l", LINKS},
             {"--links", LINKS},
             {"-d", DEVICES},
             {"--devices", DEVICES},
             {"-a", ALGORITHMS},
             {"--algorithms", ALGORITHMS},
             {"-V", VERSION},
             {"--version", VERSION},
             {"-h", HELP},
             {"--help", HELP}};

static bool read_flags(int argc, char **argv, bool want[PARTS])
{
    for (part p = 0; argc == 1 && p < VERSION; p++)
        want[p] = p != LINKS;
    for (int i = 1; i < argc; i++) {
        size_t f = 0;
        while (f < sizeof flags / sizeof *flags && strcmp(argv[i], flags[f].text) != 0)
            f++;
        if (f == sizeof flags / sizeof *flags) {
            fprintf(stderr, "dist_info: there is no flag \"%s\"\n", argv[i]);
            return false;
        }
        want[flags[f].part] = true;
    }
    want[TOPOLOGY] |= want[LINKS];
    return true;
}

static void print_version(void)
{
    printf("libdist %s, %s\n", dist_version(), dist_build_info());
}

static dist_status print(dist_context *context, const bool want[PARTS])
{
    dist_status (*const writers[PARTS])(const dist_context *,
                                        FILE *) = {[MACHINE] = dist_machine_print,
                                                   [OPTIONS] = dist_options_print,
                                                   [TOPOLOGY] = dist_topology_print,
                                                   [DEVICES] = dist_devices_print,
                                                   [ALGORITHMS] = dist_algorithms_print};
    dist_status status = want[LINKS] ? dist_links_measure(context) : DIST_OK;
    if (dist_rank(context) != 0 || status < 0)
        return status;
    print_version();
    for (part p = 0; p < PARTS && status >= 0; p++)
        if (want[p] && writers[p])
            status = writers[p](context, stdout);
    return status;
}

int main(int argc, char **argv)
{
    dist_context *context;
    bool want[PARTS] = {false};
    if (!read_flags(argc, argv, want)) {
        fputs(help, stderr);
        return 2;
    }
    if (want[HELP] || want[VERSION]) {
        want[HELP] ? (void)fputs(help, stdout) : print_version();
        return 0;
    }
    if (dist_init(&context, NULL) < 0) {
        fprintf(stderr, "dist_info: %s\n", dist_last_error());
        return 1;
    }
    dist_status status = print(context, want);
    if (status < 0)
        fprintf(stderr, "dist_info: %s\n", dist_last_error());
    dist_status ended = dist_finalize(context);
    return status < 0 || ended < 0;
}
