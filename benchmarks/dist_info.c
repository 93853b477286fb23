/* dist_info: what this libdist is, and what it finds here. Runs alone or under mpirun. */
#include <stdlib.h>
#include <string.h>

#include <libdist/dist.h>

static const char help[] = "usage: dist_info [-c] [-t] [-a] [-l] [-d]\n"
                           "  -c  the option table: every setting, its value and where that came from\n"
                           "  -t  the topology: ranks, nodes and sites, and how they were found\n"
                           "  -l  the same, after measuring latency and bandwidth between all sites\n"
                           "  -a  the algorithm table: predicted times, and what `auto` takes\n"
                           "  -d  CUDA devices, NCCL, and whether MPI takes device memory\n"
                           "Without a flag: all but -l. Under mpirun rank 0 prints for all.\n"
                           "Exit status: 0 fine, 1 an error, 2 usage.\n";

typedef struct wishes {
    bool options, topology, links, algorithms, devices;
} wishes;

static bool read_flags(int argc, char **argv, wishes *want)
{
    if (argc == 1)
        *want = (wishes){true, true, false, true, true};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0)
            want->options = true;
        else if (strcmp(argv[i], "-t") == 0)
            want->topology = true;
        else if (strcmp(argv[i], "-l") == 0)
            want->links = want->topology = true;
        else if (strcmp(argv[i], "-a") == 0)
            want->algorithms = true;
        else if (strcmp(argv[i], "-d") == 0)
            want->devices = true;
        else
            return false;
    }
    return true;
}

static dist_status print(dist_context *context, const wishes *want)
{
    bool speaks = dist_rank(context) == 0;
    dist_status status = DIST_OK;
    if (want->links)
        status = dist_links_measure(context);
    if (speaks && status >= 0)
        printf("libdist %s, %s\n", dist_version(), dist_build_info());
    if (speaks && status >= 0 && want->options)
        status = dist_options_print(context, stdout);
    if (speaks && status >= 0 && want->topology)
        status = dist_topology_print(context, stdout);
    if (speaks && status >= 0 && want->devices)
        status = dist_devices_print(context, stdout);
    if (speaks && status >= 0 && want->algorithms)
        status = dist_algorithms_print(context, stdout);
    return status;
}

int main(int argc, char **argv)
{
    dist_context *context;
    wishes want = {0};
    if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(help, stdout);
        return 0;
    }
    if (!read_flags(argc, argv, &want)) {
        fputs(help, stderr);
        return 2;
    }
    if (dist_init(&context, NULL) < 0) {
        fprintf(stderr, "dist_info: %s\n", dist_last_error());
        return 1;
    }
    dist_status status = print(context, &want);
    if (status < 0)
        fprintf(stderr, "dist_info: %s\n", dist_last_error());
    dist_status ended = dist_finalize(context);
    return status < 0 || ended < 0;
}
