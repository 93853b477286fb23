/* The two loops of the OSU micro-benchmarks, osu_latency and osu_bw, between ranks 0 and 1: what dist_perf's figures are held against.
 *
 *     mpirun -n 2 mpi_pattern latency|bandwidth BYTES SECONDS
 *
 * Prints one number: microseconds one way, or MB/s (10^6 bytes). */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 64 /* messages, which one short message answers */
#define SKIP   1  /* iterations that do not count */
#define PINGS  10 /* round trips of one iteration */

static void ping(int rank, char *buffer, int bytes)
{
    if (rank == 0) {
        MPI_Send(buffer, bytes, MPI_CHAR, 1, 1, MPI_COMM_WORLD);
        MPI_Recv(buffer, bytes, MPI_CHAR, 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
        MPI_Recv(buffer, bytes, MPI_CHAR, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Send(buffer, bytes, MPI_CHAR, 0, 1, MPI_COMM_WORLD);
    }
}

static void fill_window(int rank, char *buffer, int bytes)
{
    MPI_Request request[WINDOW];
    MPI_Status status[WINDOW];
    char answer[4] = {0};
    for (int i = 0; i < WINDOW; i++)
        if (rank == 0)
            MPI_Isend(buffer, bytes, MPI_CHAR, 1, 100, MPI_COMM_WORLD, &request[i]);
        else
            MPI_Irecv(buffer, bytes, MPI_CHAR, 0, 100, MPI_COMM_WORLD, &request[i]);
    MPI_Waitall(WINDOW, request, status);
    if (rank == 0)
        MPI_Recv(answer, 4, MPI_CHAR, 1, 101, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    else
        MPI_Send(answer, 4, MPI_CHAR, 0, 101, MPI_COMM_WORLD);
}

/* Rank 0 decides when it is enough. */
static int goes_on(double began, double seconds)
{
    int on = MPI_Wtime() - began < seconds;
    MPI_Bcast(&on, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return on;
}

int main(int argc, char **argv)
{
    int rank, ranks, times = 0;
    double took = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const int latency = argc == 4 && strcmp(argv[1], "latency") == 0;
    const int bytes = argc == 4 ? atoi(argv[2]) : 0;
    const double seconds = argc == 4 ? atof(argv[3]) : 0;
    char *buffer = bytes > 0 ? calloc(1, (size_t)bytes) : NULL;
    if (ranks != 2 || !buffer || seconds <= 0 || (!latency && strcmp(argv[1], "bandwidth") != 0)) {
        fprintf(stderr, "usage: mpirun -n 2 mpi_pattern latency|bandwidth BYTES SECONDS\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    const double start = MPI_Wtime();
    for (int i = 0; i <= SKIP || goes_on(start, seconds); i++) {
        const double began = MPI_Wtime();
        for (int k = 0; k < (latency ? PINGS : 1); k++)
            latency ? ping(rank, buffer, bytes) : fill_window(rank, buffer, bytes);
        if (i >= SKIP) {
            took += MPI_Wtime() - began;
            times += latency ? PINGS : 1;
        }
    }
    if (rank == 0 && times > 0)
        printf("%.3f\n", latency ? took / times / 2 * 1e6 : (double)bytes * WINDOW * times / took / 1e6);
    free(buffer);
    MPI_Finalize();
    return 0;
}
