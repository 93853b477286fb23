/* The files that a command writes: opened before anything is measured, on rank 0. */
#define _POSIX_C_SOURCE 200809L /* access */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "perf.h"

static void complain(const char *path)
{
    fprintf(stderr, "dist_perf: '%s' cannot be written: %s\n", path, strerror(errno));
}

/* What is there is kept, should the run fail. */
static bool can_write(const char *path)
{
    const bool existed = access(path, F_OK) == 0;
    FILE *file = fopen(path, "a");
    if (!file)
        return false;
    fclose(file);
    if (!existed)
        remove(path);
    return true;
}

int perf_output_open(perf_sheet **sheet, const char *json, const char *csv, const char *svg,
                     const char *tuning)
{
    const char *failed = NULL, *others[] = {svg, tuning};
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    *sheet = NULL;
    if (rank == 0 && !(*sheet = perf_sheet_open(json, csv, &failed)))
        complain(failed);
    for (int i = 0; i < 2 && *sheet; i++)
        if (others[i] && !can_write(others[i])) {
            complain(others[i]);
            perf_sheet_close(*sheet);
            *sheet = NULL;
        }
    return perf_all(rank != 0 || *sheet) ? PERF_FINE : PERF_USAGE;
}

int perf_output_close(perf_sheet *sheet, int status)
{
    if (perf_sheet_close(sheet))
        return status;
    perror("dist_perf: not all of the output could be written");
    return PERF_USAGE;
}

void perf_output_describe(perf_sheet *sheet, const dist_context *context, const char *command)
{
    perf_sheet_head_text(sheet, "version", dist_version());
    perf_sheet_head_text(sheet, "build", dist_build_info());
    perf_sheet_head_text(sheet, "command", command);
    perf_sheet_head_number(sheet, "ranks", dist_ranks(context), true);
    perf_sheet_head_number(sheet, "nodes", dist_nodes(context), true);
    perf_sheet_head_number(sheet, "sites", dist_sites(context), true);
    perf_sheet_head_flag(sheet, "emulated", perf_emulated());
}
