/* Each rank tells its host and site; rank 0 prints them in order, so that a test can compare. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char mine[256] = "", host[64] = "?";
    const char *site = getenv("DIST_SITE");
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    gethostname(host, sizeof host - 1);
    snprintf(mine, sizeof mine, "rank=%d host=%s site=%s", rank, host, site ? site : "-");
    char *all = malloc((size_t)size * sizeof mine);
    if (!all)
        MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Gather(mine, sizeof mine, MPI_CHAR, all, sizeof mine, MPI_CHAR, 0, MPI_COMM_WORLD);
    for (int i = 0; rank == 0 && i < size; i++)
        puts(all + (size_t)i * sizeof mine);
    free(all);
    MPI_Finalize();
    return argc > 1 ? atoi(argv[1]) : 0;
}
