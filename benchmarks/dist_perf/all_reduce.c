/* dist_perf all-reduce: algorithms and codecs side by side, size by size. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "perf.h"

#define VARIANTS (PERF_WORDS * PERF_WORDS)
enum { OUT_OF_PLACE, IN_PLACE };

/* Of a variant, in or out of place. */
typedef struct samples {
    double *time;     /* [iterations] of the slowest rank */
    double across;    /* bytes that this rank sent to other sites, all iterations */
    double cpu, wall; /* seconds of this rank in them */
} samples;

typedef struct bench {
    dist_context *context;
    const perf_options *options;
    perf_link link;
    size_t count;
    char *send, *receive;
    perf_variant variant[VARIANTS];
    int variants;
    samples sample[VARIANTS][2];
} bench;

static bool is_mpi(const perf_variant *variant)
{
    return strcmp(variant->algo, "mpi") == 0;
}

static MPI_Datatype mpi_type(dist_type type)
{
    return type == DIST_FLOAT32   ? MPI_FLOAT
           : type == DIST_FLOAT64 ? MPI_DOUBLE
           : type == DIST_INT32   ? MPI_INT32_T
           : type == DIST_INT64   ? MPI_INT64_T
                                  : MPI_DATATYPE_NULL;
}

/* Codecs go with algorithms that have an exchange between sites of their own. */
static void find_variants(bench *b)
{
    const perf_options *o = b->options;
    for (int a = 0; a < o->algo.words; a++)
        for (int c = 0; c < o->codec.words; c++) {
            const char *algo = o->algo.word[a], *codec = o->codec.word[c];
            const bool takes = strncmp(algo, "hier", 4) == 0 || strcmp(algo, "auto") == 0;
            if (takes || strcmp(codec, "none") == 0)
                b->variant[b->variants++] = (perf_variant){algo, codec};
            else if (c == 0 && o->codec.words == 1) /* uncompressed beside the codec */
                b->variant[b->variants++] = (perf_variant){algo, "none"};
        }
}

/* ---- one measurement ---- */

static bool run_mpi(const bench *b, int place)
{
    MPI_Op op = b->options->op == DIST_MIN ? MPI_MIN : b->options->op == DIST_MAX ? MPI_MAX : MPI_SUM;
    return MPI_Allreduce(place == IN_PLACE ? MPI_IN_PLACE : b->send, b->receive, (int)b->count,
                         mpi_type(b->options->type), op, MPI_COMM_WORLD) == MPI_SUCCESS;
}

static bool run_once(const bench *b, const perf_variant *variant, int place)
{
    dist_collective_options options = DIST_COLLECTIVE_OPTIONS_INIT;
    if (is_mpi(variant))
        return run_mpi(b, place);
    options.algo = variant->algo;
    options.codec = variant->codec;
    if (dist_all_reduce(b->context, place == IN_PLACE ? DIST_IN_PLACE : b->send, b->receive, b->count,
                        b->options->type, b->options->op, &options) < 0) {
        fprintf(stderr, "dist_perf: %s: %s\n", variant->algo, dist_last_error());
        return false;
    }
    return true;
}

static double processor_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* From the last rank's start to the last rank's end, as a program sees it. */
static bool sample_one(bench *b, int v, int place, int iteration)
{
    dist_counters before = {0}, after = {0};
    samples *s = &b->sample[v][place];
    MPI_Barrier(MPI_COMM_WORLD);
    dist_counters_get(b->context, &before);
    const double cpu = processor_time(), began = MPI_Wtime();
    for (int c = 0; c < b->options->calls; c++)
        if (!run_once(b, &b->variant[v], place))
            return false;
    const double took = MPI_Wtime() - began, used = processor_time() - cpu;
    dist_counters_get(b->context, &after);
    if (iteration < 0)
        return true;
    s->time[iteration] = took / b->options->calls;
    s->across += (double)(after.bytes_across - before.bytes_across) / b->options->calls;
    s->cpu += used;
    s->wall += took;
    return true;
}

/* Every variant in turn within each iteration, so that drift hits all alike. */
static bool iterate(bench *b, int iteration)
{
    for (int v = 0; v < b->variants; v++)
        for (int place = 0; place < 2; place++)
            if (b->options->placed[place] && !sample_one(b, v, place, iteration))
                return false;
    return true;
}

/* ---- what it was like ---- */

/* Bytes a direction on the busiest link: all that the ranks of one site send, for the site that sends most. */
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

static bool check(const bench *b, const perf_variant *variant, int place, perf_figures *figures)
{
    bool identical = true;
    uint64_t hash = 0, first;
    const size_t bytes = b->count * dist_type_bytes(b->options->type);
    const int rank = dist_rank(b->context), ranks = dist_ranks(b->context);
    const perf_expectation expectation = {.type = b->options->type,
                                          .op = b->options->op,
                                          .ranks = ranks,
                                          .sites = dist_sites(b->context),
                                          .codec = variant->codec};
    perf_fill(place == IN_PLACE ? b->receive : b->send, b->options->type, b->count, rank, ranks);
    if (!run_once(b, variant, place))
        return false;
    const bool averages = is_mpi(variant) && b->options->op == DIST_AVERAGE; /* MPI has no average */
    double wrong = averages ? 0 : (double)perf_count_wrong(b->receive, b->count, &expectation), diverge;
    dist_replicas_identical(b->context, b->receive, bytes, &identical, &hash);
    first = hash;
    MPI_Bcast(&first, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    diverge = hash != first;
    dist_reduce_scalars(b->context, &wrong, 1, DIST_SUM);
    dist_reduce_scalars(b->context, &diverge, 1, DIST_SUM);
    figures->wrong = (long long)wrong;
    figures->diverge = (int)diverge;
    return true;
}

static bool figures_of(bench *b, int v, int place, perf_figures *figures)
{
    const int n = b->options->iterations, at = n * 95 / 100;
    samples *s = &b->sample[v][place];
    *figures = (perf_figures){.measured = true, .wrong = -1, .wan = -1};
    MPI_Allreduce(MPI_IN_PLACE, s->time, n, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    for (int i = 0; i < n; i++)
        figures->mean += s->time[i] / n;
    figures->p50 = perf_median(s->time, n);
    figures->p95 = s->time[at < n ? at : n - 1];
    const double across = busiest(b->context, s->across) / n;
    if (!is_mpi(&b->variant[v]))
        figures->wan = across;
    figures->cpu = s->wall > 0 ? s->cpu / s->wall : 0;
    MPI_Allreduce(MPI_IN_PLACE, &figures->cpu, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return !b->options->check || check(b, &b->variant[v], place, figures);
}

/* ---- sizes ---- */

static bool measure(bench *b, size_t bytes, perf_row *row)
{
    const perf_options *o = b->options;
    for (int v = 0; v < b->variants; v++)
        for (int place = 0; place < 2; place++) {
            samples *s = &b->sample[v][place];
            s->across = s->cpu = s->wall = 0;
        }
    perf_fill(b->send, o->type, b->count, dist_rank(b->context), dist_ranks(b->context));
    memset(b->receive, 0, bytes);
    for (int i = -o->warmup; i < o->iterations; i++)
        if (!iterate(b, i))
            return false;
    for (int v = 0; v < b->variants; v++) {
        row[v] = (perf_row){.bytes = bytes, .count = b->count, .variant = b->variant[v]};
        row[v].bound = perf_bound(b->context, &b->link, &b->variant[v], bytes);
        for (int place = 0; place < 2; place++)
            if (o->placed[place] && !figures_of(b, v, place, &row[v].at[place]))
                return false;
        if (dist_rank(b->context) == 0)
            perf_print(o, &row[v], dist_ranks(b->context));
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

static bool is_wrong(const perf_row *row)
{
    return row->at[0].wrong > 0 || row->at[0].diverge > 0 || row->at[1].wrong > 0 || row->at[1].diverge > 0;
}

static int run_sizes(bench *b, perf_row *rows)
{
    const perf_options *o = b->options;
    size_t done = 0;
    int status = PERF_FINE;
    perf_link_find(b->context, o, &b->link);
    if (dist_rank(b->context) == 0)
        perf_header(b->context, o, &b->link);
    for (size_t bytes = o->begin; bytes <= o->end; bytes = perf_next_size(bytes, o->step, o->factor)) {
        b->count = bytes / dist_type_bytes(o->type);
        if (!measure(b, bytes, &rows[done]))
            return PERF_FAILED;
        for (int v = 0; v < b->variants; v++, done++)
            if (is_wrong(&rows[done]))
                status = PERF_WRONG;
    }
    if (dist_rank(b->context) == 0 && o->json && perf_write_json(b->context, o, &b->link, rows, done) != 0)
        return PERF_USAGE;
    return status;
}

/* ---- memory ---- */

static bool allocate(bench *b, size_t bytes)
{
    const size_t whole = bytes / 64 * 64 + 64;
    void *memory[2] = {NULL, NULL};
    bool good = true;
    for (int v = 0; v < b->variants; v++)
        for (int place = 0; place < 2; place++)
            good &=
                (b->sample[v][place].time = calloc((size_t)b->options->iterations, sizeof(double))) != NULL;
    for (int i = 0; i < 2 && good; i++)
        if (b->options->any_memory)
            good = (memory[i] = aligned_alloc(64, whole)) != NULL;
        else
            good = dist_alloc(b->context, whole, &memory[i]) == DIST_OK;
    b->send = memory[0];
    b->receive = memory[1];
    return good;
}

static void free_all(bench *b)
{
    for (int v = 0; v < b->variants; v++)
        for (int place = 0; place < 2; place++)
            free(b->sample[v][place].time);
    if (b->options->any_memory) {
        free(b->send);
        free(b->receive);
    } else {
        dist_free(b->context, b->send);
        dist_free(b->context, b->receive);
    }
    free(b);
}

/* The linked MPI has no type for halves. */
static bool mpi_can(const bench *b)
{
    for (int v = 0; v < b->variants; v++)
        if (is_mpi(&b->variant[v]) && mpi_type(b->options->type) == MPI_DATATYPE_NULL) {
            if (dist_rank(b->context) == 0)
                fprintf(stderr, "dist_perf: MPI_Allreduce knows no %s; leave 'mpi' out of --algo\n",
                        dist_type_name(b->options->type));
            return false;
        }
    return true;
}

int perf_all_reduce(dist_context *context, const perf_options *options)
{
    bench *b = calloc(1, sizeof *b);
    int status = PERF_FAILED;
    if (!b)
        return status;
    b->context = context;
    b->options = options;
    find_variants(b);
    perf_row *rows = calloc(count_sizes(options) * (size_t)b->variants, sizeof *rows);
    if (!mpi_can(b))
        status = PERF_USAGE;
    else if (rows && allocate(b, options->end))
        status = run_sizes(b, rows);
    else
        fprintf(stderr, "dist_perf: no memory for two buffers of %zu bytes\n", options->end);
    free(rows);
    free_all(b);
    return status;
}
