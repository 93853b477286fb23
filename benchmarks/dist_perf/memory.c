/* Whether what all ranks ask for fits their machines, before it is asked for. */
#include <stdlib.h>

#include "perf.h"

/* One number of a file: behind `word`, or the first. < 0: it is not there. */
static double read_figure(const char *path, const char *word)
{
    char line[256], format[64];
    double found = -1;
    FILE *file = fopen(path, "r");
    snprintf(format, sizeof format, "%s %%lf", word);
    while (file && found < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, format, &found) != 1)
            found = -1;
    if (file)
        fclose(file);
    return found;
}

/* Bytes that this machine, or the group that this process is kept in, can still give. < 0: not known. */
static double available(void)
{
    const double machine = read_figure("/proc/meminfo", "MemAvailable:");
    const double limit = read_figure("/sys/fs/cgroup/memory.max", ""),
                 used = read_figure("/sys/fs/cgroup/memory.current", "");
    const double rest = limit >= 0 && used >= 0 ? (limit > used ? limit - used : 0) : -1;
    const double bytes = machine >= 0 ? machine * 1024 : -1;
    return bytes < 0 || (rest >= 0 && rest < bytes) ? rest : bytes;
}

bool perf_memory_fits(double mine, perf_memory *worst)
{
    MPI_Comm node;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    /* emulated sites are hosts of their own to MPI, and yet one machine */
    if (perf_emulated())
        MPI_Comm_dup(MPI_COMM_WORLD, &node);
    else
        MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node);
    double here = available(), all = mine;
    here = here < 0 ? 1e300 : here;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_DOUBLE, MPI_SUM, node);
    MPI_Allreduce(MPI_IN_PLACE, &here, 1, MPI_DOUBLE, MPI_MIN, node);
    MPI_Comm_free(&node);
    struct {
        double excess;
        int rank;
    } most = {all - here, rank};
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_DOUBLE_INT, MPI_MAXLOC, MPI_COMM_WORLD);
    *worst = (perf_memory){most.rank, all, here};
    return most.excess <= 0;
}
