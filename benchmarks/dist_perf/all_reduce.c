/* dist_perf all-reduce: algorithms side by side, size by size. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "perf.h"

typedef struct bench {
    dist_context *context;
    const perf_options *options;
    size_t count;
    char *send, *receive;
    double *time[PERF_ALGOS];  /* [iterations] of the slowest rank */
    double across[PERF_ALGOS]; /* bytes that this rank sent to other sites, all iterations */
} bench;

static bool is_mpi(const char *algo)
{
    return strcmp(algo, "mpi") == 0;
}

static void fail(const char *what)
{
    fprintf(stderr, "dist_perf: %s: %s\n", what, dist_last_error());
}

/* Small whole numbers: their sums over a few ranks are exact in every type. */
static int value_at(int rank, size_t i)
{
    return (int)((i * 7 + (size_t)rank * 3) % 15) - 7;
}

static void fill(const bench *b)
{
    int rank = dist_rank(b->context);
    for (size_t i = 0; i < b->count; i++) {
        int value = value_at(rank, i);
        float single = (float)value;
        uint32_t bits;
        memcpy(&bits, &single, sizeof bits);
        switch (b->options->type) {
        case DIST_FLOAT32:
            ((float *)(void *)b->send)[i] = single;
            break;
        case DIST_FLOAT64:
            ((double *)(void *)b->send)[i] = value;
            break;
        case DIST_INT32:
            ((int32_t *)(void *)b->send)[i] = value;
            break;
        case DIST_INT64:
            ((int64_t *)(void *)b->send)[i] = value;
            break;
        case DIST_BFLOAT16:
            ((uint16_t *)(void *)b->send)[i] = (uint16_t)(bits >> 16);
            break;
        default: /* float16: no exact check, any bits will do */
            ((uint16_t *)(void *)b->send)[i] = (uint16_t)(0x3c00 + i % 64);
        }
    }
}

static MPI_Datatype mpi_type(dist_type type)
{
    return type == DIST_FLOAT32   ? MPI_FLOAT
           : type == DIST_FLOAT64 ? MPI_DOUBLE
           : type == DIST_INT32   ? MPI_INT32_T
           : type == DIST_INT64   ? MPI_INT64_T
                                  : MPI_DATATYPE_NULL;
}

static bool run_mpi(const bench *b)
{
    MPI_Op op = b->options->op == DIST_MIN ? MPI_MIN : b->options->op == DIST_MAX ? MPI_MAX : MPI_SUM;
    return MPI_Allreduce(b->send, b->receive, (int)b->count, mpi_type(b->options->type), op,
                         MPI_COMM_WORLD) == MPI_SUCCESS;
}

static bool run_once(const bench *b, int a)
{
    dist_collective_options options = DIST_COLLECTIVE_OPTIONS_INIT;
    const char *algo = b->options->algo[a];
    if (is_mpi(algo))
        return run_mpi(b);
    options.algo = algo;
    options.codec = b->options->codec;
    if (dist_all_reduce(b->context, b->send, b->receive, b->count, b->options->type, b->options->op,
                        &options) < 0) {
        fail(algo);
        return false;
    }
    return true;
}

/* An iteration of every algorithm in turn; t is from the last rank's start to the last rank's end, as a
 * program sees it. */
static bool iterate(bench *b, int iteration)
{
    for (int a = 0; a < b->options->algos; a++) {
        dist_counters before = {0}, after = {0};
        MPI_Barrier(MPI_COMM_WORLD);
        dist_counters_get(b->context, &before);
        double began = MPI_Wtime();
        if (!run_once(b, a))
            return false;
        double took = MPI_Wtime() - began;
        dist_counters_get(b->context, &after);
        if (iteration < 0)
            continue;
        b->time[a][iteration] = took;
        b->across[a] += (double)(after.bytes_across - before.bytes_across);
    }
    return true;
}

/* Bytes a direction on the busiest link: all that the ranks of one site send, for the site that sends most.
 */
static double busiest(dist_context *context, double mine)
{
    double most = 0;
    for (int site = 0; site < dist_sites(context); site++) {
        double sent = dist_site(context) == site ? mine : 0;
        MPI_Allreduce(MPI_IN_PLACE, &sent, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        most = sent > most ? sent : most;
    }
    return most;
}

/* What must cross: N a direction for two sites, 2(k-1)/k N for more, times what the codec makes of it. */
static double bound_of(const bench *b, const char *algo, size_t bytes)
{
    double k = dist_sites(b->context), ratio = 1;
    dist_codec *codec = NULL;
    if (k < 2 || b->options->link_rate <= 0)
        return 0;
    if (!is_mpi(algo) && dist_codec_create(&codec, b->options->codec) == DIST_OK)
        ratio = (double)dist_codec_encoded_bytes(codec, 1 << 20) / (4.0 * (1 << 20));
    dist_codec_destroy(codec);
    return 2 * (k - 1) / k * (double)bytes * ratio / b->options->link_rate;
}

static double element(const bench *b, size_t i)
{
    switch (b->options->type) {
    case DIST_FLOAT32:
        return ((float *)(void *)b->receive)[i];
    case DIST_FLOAT64:
        return ((double *)(void *)b->receive)[i];
    case DIST_INT32:
        return ((int32_t *)(void *)b->receive)[i];
    default:
        return (double)((int64_t *)(void *)b->receive)[i];
    }
}

static double wanted(const bench *b, size_t i)
{
    int ranks = dist_ranks(b->context), sum = 0, least = 9, most = -9;
    for (int r = 0; r < ranks; r++) {
        int value = value_at(r, i);
        sum += value;
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    bool whole = b->options->type == DIST_INT32 || b->options->type == DIST_INT64;
    if (b->options->op == DIST_AVERAGE)
        return whole ? sum / ranks : (double)sum / ranks;
    return b->options->op == DIST_MIN ? least : b->options->op == DIST_MAX ? most : sum;
}

/* The bound of a frame of elements as large as any sum of this pattern, which no smaller ones exceed. */
static double bound_of_frame(const char *name, float largest)
{
    enum { COUNT = 4096 };
    float values[COUNT];
    double bound = 0;
    dist_codec *codec;
    if (dist_codec_create(&codec, name) < 0)
        return 0;
    const uint64_t bytes = dist_codec_encoded_bytes(codec, COUNT);
    void *frame = bytes ? calloc(1, bytes) : NULL;
    for (int i = 0; i < COUNT; i++)
        values[i] = largest;
    if (frame && dist_codec_encode(codec, DIST_FLOAT32, values, NULL, COUNT, NULL, frame, NULL) == DIST_OK)
        dist_codec_error_bound(codec, frame, bytes, COUNT, &bound);
    free(frame);
    dist_codec_destroy(codec);
    return bound;
}

/* The largest error that an element may have: the codec's for the sum of each site, and for the sum of all where
 * that is encoded again. */
static double slack(const bench *b, const char *algo)
{
    const int sites = dist_sites(b->context), ranks = dist_ranks(b->context);
    const double rounding = 1e-6;
    if (is_mpi(algo) || sites == 1 || b->options->type != DIST_FLOAT32)
        return rounding;
    const double error = (sites + 1) * bound_of_frame(b->options->codec, (float)(7 * ranks));
    return (b->options->op == DIST_AVERAGE ? error / ranks : error) + rounding;
}

static void check(const bench *b, int a, perf_row *row)
{
    bool identical = true;
    uint64_t hash = 0, first;
    size_t bytes = b->count * dist_type_bytes(b->options->type);
    double wrong = 0, diverge;
    bool exact_type = b->options->type != DIST_FLOAT16 && b->options->type != DIST_BFLOAT16;
    bool averages = is_mpi(b->options->algo[a]) && b->options->op == DIST_AVERAGE; /* MPI has no average */
    const double allowed = slack(b, b->options->algo[a]);
    for (size_t i = 0; exact_type && !averages && i < b->count; i++)
        wrong += !(fabs(element(b, i) - wanted(b, i)) <= allowed);
    dist_replicas_identical(b->context, b->receive, bytes, &identical, &hash);
    first = hash;
    MPI_Bcast(&first, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    diverge = hash != first;
    dist_reduce_scalars(b->context, &wrong, 1, DIST_SUM);
    dist_reduce_scalars(b->context, &diverge, 1, DIST_SUM);
    row->wrong = exact_type ? (long long)wrong : -1;
    row->diverge = (int)diverge;
}

static bool measure(bench *b, size_t bytes, perf_row *rows)
{
    const perf_options *o = b->options;
    fill(b);
    memset(b->across, 0, sizeof b->across);
    for (int i = -o->warmup; i < o->iterations; i++)
        if (!iterate(b, i))
            return false;
    for (int a = 0; a < o->algos; a++) {
        MPI_Allreduce(MPI_IN_PLACE, b->time[a], o->iterations, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        const double median = perf_median(b->time[a], o->iterations);
        rows[a] = (perf_row){
            .bytes = bytes,
            .count = b->count,
            .algo = o->algo[a],
            .time = median,
            .p95 = b->time[a][(o->iterations * 95) / 100 < o->iterations ? (o->iterations * 95) / 100
                                                                         : o->iterations - 1],
            .bound = bound_of(b, o->algo[a], bytes),
            .wrong = -1};
        double across = busiest(b->context, b->across[a]) / o->iterations;
        rows[a].wan = is_mpi(o->algo[a]) ? -1 : across;
        if (o->check && (!run_once(b, a)))
            return false;
        if (o->check)
            check(b, a, &rows[a]);
        if (dist_rank(b->context) == 0)
            perf_print(o, &rows[a], dist_ranks(b->context));
    }
    return true;
}

static size_t count_sizes(const perf_options *o)
{
    size_t sizes = 0;
    for (size_t bytes = o->begin; bytes <= o->end; bytes = perf_next_size(bytes, o->step, o->factor))
        sizes++;
    return sizes;
}

static int run_sizes(bench *b, perf_row *rows)
{
    const perf_options *o = b->options;
    size_t done = 0;
    int status = PERF_FINE;
    if (dist_rank(b->context) == 0)
        perf_header(b->context, o);
    for (size_t bytes = o->begin; bytes <= o->end; bytes = perf_next_size(bytes, o->step, o->factor)) {
        b->count = bytes / dist_type_bytes(o->type);
        if (!measure(b, bytes, &rows[done]))
            return PERF_FAILED;
        for (int a = 0; a < o->algos; a++, done++)
            if (rows[done].wrong > 0 || rows[done].diverge > 0)
                status = PERF_WRONG;
    }
    if (dist_rank(b->context) == 0 && o->json && perf_write_json(b->context, o, rows, done) != 0)
        return PERF_USAGE;
    return status;
}

int perf_all_reduce(dist_context *context, const perf_options *options)
{
    bench b = {.context = context, .options = options};
    size_t most = options->end + 64;
    bool good = true;
    for (int a = 0; a < options->algos; a++) {
        if (is_mpi(options->algo[a]) && mpi_type(options->type) == MPI_DATATYPE_NULL) {
            if (dist_rank(context) == 0)
                fprintf(stderr, "dist_perf: MPI_Allreduce knows no %s; leave 'mpi' out of --algo\n",
                        dist_type_name(options->type));
            return PERF_USAGE;
        }
        good &= (b.time[a] = calloc((size_t)options->iterations, sizeof(double))) != NULL;
    }
    if (options->own_memory) {
        b.send = aligned_alloc(64, most / 64 * 64 + 64);
        b.receive = aligned_alloc(64, most / 64 * 64 + 64);
    } else {
        void *memory[2] = {NULL, NULL};
        good &= dist_alloc(context, most, &memory[0]) >= 0 && dist_alloc(context, most, &memory[1]) >= 0;
        b.send = memory[0];
        b.receive = memory[1];
    }
    perf_row *rows = calloc(count_sizes(options) * (size_t)options->algos, sizeof *rows);
    int status = PERF_FAILED;
    if (good && b.send && b.receive && rows) {
        memset(b.receive, 0, most);
        status = run_sizes(&b, rows);
    } else {
        fprintf(stderr, "dist_perf: no memory for two buffers of %zu bytes\n", options->end);
    }
    for (int a = 0; a < options->algos; a++)
        free(b.time[a]);
    if (options->own_memory) {
        free(b.send);
        free(b.receive);
    } else {
        dist_free(context, b.send);
        dist_free(context, b.receive);
    }
    free(rows);
    return status;
}
