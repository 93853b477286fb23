/* A step of data parallel across sites with all ranks on one device, against what its staging copies alone take.
 *
 *   mpirun -n 4 bench_step [--elements N] [--codec C] [--rounds R] [--json FILE]      (64 Mi, int8:ef=fp32, 7)
 *
 * Ranks are two virtual sites. Rank 0 first times pinned copies down and up alone and both at once, while the others wait. A step
 * makes all gradients ready on a stream and waits on it; its time is the median of rounds, by the host's clock around a
 * synchronization of that stream, over the slowest rank. The copies of all ranks share the bus: their time is the bytes that all ranks
 * stage in a step, in the direction that has more, at the rate that both directions reach at once. Exit 1 when a step waits for the
 * device on the host or allocates.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libdist/dist.h>
#include <libdist/mpi.h>

#include "plugin.h"

enum { PARAMETERS = 32, COPY = 256 << 20, ROUNDS_MOST = 100 };

static const dist_cuda *cuda;
static int rank, ranks;

typedef struct wishes {
    size_t elements;
    const char *codec, *json;
    int rounds;
} wishes;

static void need(dist_status status, const char *what)
{
    if (status >= 0)
        return;
    fprintf(stderr, "rank %d: %s: %s\n", rank, what, dist_last_error());
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *sample, int count)
{
    qsort(sample, (size_t)count, sizeof *sample, by_value);
    return sample[count / 2];
}

/* Bytes a second of copies of `bytes` between pinned and device memory; down, up or both, then in each direction. */
static double copy_rate(bool down, bool up, size_t bytes)
{
    void *stream[2], *device[2], *pinned[2];
    double sample[7];
    for (int k = 0; k < 2; k++) {
        CUDA(stream_create(&stream[k], 1));
        CUDA(allocate(&device[k], bytes));
        CUDA(pin(&pinned[k], bytes));
    }
    for (int i = -1; i < 7; i++) { /* the first warms up */
        const double began = MPI_Wtime();
        if (down)
            CUDA(copy(pinned[0], device[0], bytes, stream[0]));
        if (up)
            CUDA(copy(device[1], pinned[1], bytes, stream[1]));
        for (int k = 0; k < 2; k++)
            CUDA(synchronize(stream[k]));
        if (i >= 0)
            sample[i] = MPI_Wtime() - began;
    }
    for (int k = 0; k < 2; k++) {
        CUDA(stream_destroy(stream[k]));
        CUDA(release(device[k]));
        CUDA(unpin(pinned[k]));
    }
    return (double)bytes / median(sample, 7);
}

typedef struct model {
    dist_context *context;
    dist_data_parallel *dp;
    void *stream;
} model;

static void open_model(model *m, const wishes *want)
{
    dist_context_options context = DIST_CONTEXT_OPTIONS_INIT;
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    dist_parameter parameter[PARAMETERS];
    context.site = rank < ranks / 2 ? "a" : "b";
    options.algo = "hier";
    options.codec = want->codec;
    options.memory = DIST_MEMORY_CUDA;
    for (int i = 0; i < PARAMETERS; i++)
        parameter[i] =
            (dist_parameter){.name = "p", .count = want->elements / PARAMETERS, .type = DIST_FLOAT32};
    need(dist_init_mpi(&m->context, MPI_COMM_WORLD, &context), "dist_init_mpi");
    need(dist_data_parallel_create(m->context, parameter, PARAMETERS, &options, &m->dp), "data parallel");
    CUDA(stream_create(&m->stream, 0));
}

static void queue_step(const model *m)
{
    for (size_t i = PARAMETERS; i-- > 0;)
        need(dist_data_parallel_ready(m->dp, i, m->stream), "ready");
    need(dist_data_parallel_wait(m->dp, m->stream), "wait");
}

/* Seconds of a step on the slowest rank. */
static double step_time(const model *m, int rounds)
{
    double sample[ROUNDS_MOST];
    for (int r = -2; r < rounds; r++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double took = MPI_Wtime();
        queue_step(m);
        CUDA(synchronize(m->stream));
        took = MPI_Wtime() - took;
        MPI_Allreduce(MPI_IN_PLACE, &took, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        if (r >= 0)
            sample[r] = took;
    }
    return median(sample, rounds);
}

typedef struct figures {
    double down, up, both, step, staged, seconds;
    double kernels, copies, waits, queries, synchronizations,
        allocations; /* a step on rank 0; the last two on all */
    double inside, across;
} figures;

/* What a step asks of CUDA, with nothing of this program's own between. */
static void count_calls(const model *m, figures *f)
{
    enum { STEPS = 4 };
    dist_device_counts before, after;
    need(dist_device_counts_get(&before), "counts");
    for (int s = 0; s < STEPS; s++)
        queue_step(m);
    need(dist_device_counts_get(&after), "counts");
    CUDA(synchronize(m->stream));
    f->kernels = (double)(after.kernels - before.kernels) / STEPS;
    f->copies = (double)(after.copies - before.copies) / STEPS;
    f->waits = (double)(after.waits - before.waits) / STEPS;
    f->queries = (double)(after.queries - before.queries) / STEPS;
    f->synchronizations = (double)(after.synchronizations - before.synchronizations);
    f->allocations = (double)(after.allocations - before.allocations);
    double sums[2] = {f->synchronizations, f->allocations};
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    f->synchronizations = sums[0];
    f->allocations = sums[1];
}

/* All that is sent comes down, and all that arrives goes up: over all ranks the same number of bytes. */
static void count_bytes(const model *m, figures *f)
{
    dist_data_parallel_stats stats;
    need(dist_data_parallel_stats_get(m->dp, &stats), "stats");
    double bytes[2] = {(double)stats.bytes_inside, (double)stats.bytes_across};
    MPI_Allreduce(MPI_IN_PLACE, bytes, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    f->inside = bytes[0];
    f->across = bytes[1];
    f->staged = bytes[0] + bytes[1];
    f->seconds = f->both > 0 ? f->staged / f->both : 0;
}

static void print(const figures *f, const wishes *want)
{
    printf("%d ranks on one device, 2 sites, %zu float32, %s\n", ranks, want->elements, want->codec);
    printf("pinned copies: down %.2f GB/s, up %.2f GB/s, both at once %.2f GB/s each\n", f->down * 1e-9,
           f->up * 1e-9, f->both * 1e-9);
    printf("step %.3f ms; staged %.1f MB each way (%.1f inside sites, %.1f between), which alone take %.3f "
           "ms: %.2f of the step\n",
           f->step * 1e3, f->staged * 1e-6, f->inside * 1e-6, f->across * 1e-6, f->seconds * 1e3,
           f->seconds / f->step);
    printf("a step of rank 0: %.0f kernels, %.0f copies, %.0f waits of streams, %.0f queries; of all ranks: "
           "%.0f "
           "synchronizations, %.0f allocations\n",
           f->kernels, f->copies, f->waits, f->queries, f->synchronizations, f->allocations);
}

static void write_json(const figures *f, const wishes *want)
{
    FILE *file = want->json ? fopen(want->json, "w") : NULL;
    if (!file)
        return;
    fprintf(file,
            "{\"ranks\": %d, \"sites\": 2, \"elements\": %zu, \"codec\": \"%s\", \"down_GBs\": %.3f, "
            "\"up_GBs\": %.3f, "
            "\"both_GBs\": %.3f, \"step_ms\": %.4f, \"staged_bytes\": %.0f, \"staged_ms\": %.4f, \"ratio\": "
            "%.4f, "
            "\"kernels\": %.1f, \"copies\": %.1f, \"waits\": %.1f, \"queries\": %.1f, \"synchronizations\": "
            "%.0f, "
            "\"allocations\": %.0f}\n",
            ranks, want->elements, want->codec, f->down * 1e-9, f->up * 1e-9, f->both * 1e-9, f->step * 1e3,
            f->staged, f->seconds * 1e3, f->seconds / f->step, f->kernels, f->copies, f->waits, f->queries,
            f->synchronizations, f->allocations);
    fclose(file);
}

static wishes read_flags(int argc, char **argv)
{
    wishes want = {.elements = (size_t)64 << 20, .codec = "int8:ef=fp32", .rounds = 7};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--elements") == 0)
            want.elements = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--codec") == 0)
            want.codec = argv[i + 1];
        else if (strcmp(argv[i], "--rounds") == 0)
            want.rounds = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--json") == 0)
            want.json = argv[i + 1];
    }
    want.rounds = want.rounds < 1 ? 1 : want.rounds > ROUNDS_MOST ? ROUNDS_MOST : want.rounds;
    return want;
}

int main(int argc, char **argv)
{
    const wishes want = read_flags(argc, argv);
    figures f = {0};
    model m;
    int granted;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &granted);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    cuda = plugin_table();
    CUDA(select(0));
    if (rank == 0) {
        const size_t bytes = want.elements * 4 < COPY ? want.elements * 4 : COPY;
        f.down = copy_rate(true, false, bytes);
        f.up = copy_rate(false, true, bytes);
        f.both = copy_rate(true, true, bytes);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    open_model(&m, &want);
    f.step = step_time(&m, want.rounds);
    count_calls(&m, &f);
    count_bytes(&m, &f);
    if (rank == 0) {
        print(&f, &want);
        write_json(&f, &want);
    }
    need(dist_data_parallel_destroy(m.dp), "destroy");
    need(dist_finalize(m.context), "dist_finalize");
    CUDA(stream_destroy(m.stream));
    MPI_Finalize();
    return f.synchronizations > 0 || f.allocations > 0;
}
