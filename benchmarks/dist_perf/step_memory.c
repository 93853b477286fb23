/* Whether the gradients fit the machine, before they are asked for. */
#include <string.h>

#include "step.h"

/* Of one rank: gradients and what their averages take on the way, what a codec keeps, and boundaries. */
static double needed(const step_options *o)
{
    const double mine = o->params / o->positions, gradients = mine * (double)dist_type_bytes(o->type);
    const double feedback = strcmp(o->codec, "none") != 0 ? mine * sizeof(float) : 0;
    const double boundaries = o->positions > 1 ? 3.0 * o->microbatches * (double)o->boundary : 0;
    return 2 * gradients + feedback + boundaries;
}

bool step_memory_fits(const step_options *o)
{
    perf_memory worst;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (perf_memory_fits(needed(o), &worst))
        return true;
    if (rank == worst.rank)
        fprintf(
            stderr,
            "dist_perf: step: --params %g takes about %.1f GB on the machine of rank %d, which has %.1f GB "
            "left; try fewer parameters, fewer ranks on a machine, or a --mesh with pp\n",
            o->params, worst.asked * 1e-9, rank, worst.left * 1e-9);
    return false;
}
