/* Whether the gradients fit the machine, before they are asked for. */
#include <stdlib.h>

#include "step.h"

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

/* Of one rank: gradients and what their averages take on the way, what a codec keeps, and boundaries. */
static double needed(const step_options *o)
{
    const double mine = o->params / o->positions, gradients = mine * (double)dist_type_bytes(o->type);
    const double feedback = o->codec ? mine * sizeof(float) : 0;
    const double boundaries = o->positions > 1 ? 3.0 * o->microbatches * (double)o->boundary : 0;
    return 2 * gradients + feedback + boundaries;
}

bool step_memory_fits(const step_options *o)
{
    MPI_Comm node;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    /* emulated sites are hosts of their own to MPI, and yet one machine */
    if (getenv("DIST_WAN_EMULATED"))
        MPI_Comm_dup(MPI_COMM_WORLD, &node);
    else
        MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node);
    double here = available();
    double all = needed(o);
    here = here < 0 ? 1e300 : here;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_DOUBLE, MPI_SUM, node);
    MPI_Allreduce(MPI_IN_PLACE, &here, 1, MPI_DOUBLE, MPI_MIN, node);
    MPI_Comm_free(&node);
    struct {
        double excess;
        int rank;
    } worst = {all - here, rank};
    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE_INT, MPI_MAXLOC, MPI_COMM_WORLD);
    if (worst.excess > 0 && rank == worst.rank)
        fprintf(
            stderr,
            "dist_perf: step: --params %g takes about %.1f GB on the machine of rank %d, which has %.1f GB "
            "left; try fewer parameters, fewer ranks on a machine, or a --mesh with pp\n",
            o->params, all * 1e-9, rank, here * 1e-9);
    return worst.excess <= 0;
}
