/* Jobs of some of the processes, for tests of what their averages keep: with float32 vectors and matrices and with
 * something that no codec takes, in gradients of the library's and of the program's. */
#ifndef DIST_TESTS_MPI_FEEDBACK_JOB_H
#define DIST_TESTS_MPI_FEEDBACK_JOB_H

#include <math.h>

#include "harness.h"

static int rank, ranks; /* of all processes */

enum { PARAMETERS = 7, DOUBLES = 2, OWN = 4, PARTS = 4, BEFORE = 5 /* steps before a state is saved */ };
static const struct {
    size_t count, rows;
} shapes[PARAMETERS] = {{60 * 40, 60}, {1, 0}, {9, 0}, {0, 0}, {48 * 131, 48}, {20011, 0}, {17, 0}};

/* A job of the first `ranks` processes; the others are no member and do nothing. */
typedef struct job {
    bool member;
    int rank, ranks;
    MPI_Comm comm;
    dist_reduction reduction;
    dist_context *context;
    dist_data_parallel *dp;
    float own[48 * 131];
} job;

typedef struct layout {
    int ranks, sites;
    const char *algo, *codec;
    size_t bucket;
    dist_reduction reduction;
} layout;

static inline job *open_job(layout l)
{
    dist_context_options context = DIST_CONTEXT_OPTIONS_INIT;
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    dist_parameter parameter[PARAMETERS];
    char site[16];
    job *j = calloc(1, sizeof *j);
    *j = (job){.member = rank < l.ranks, .rank = rank, .ranks = l.ranks, .reduction = l.reduction};
    harness_meet();
    MPI_Comm_split(MPI_COMM_WORLD, j->member ? 0 : MPI_UNDEFINED, rank, &j->comm);
    if (!j->member)
        return j;
    snprintf(site, sizeof site, "s%d", harness_site(rank, l.ranks, l.sites, 0));
    context.site = site;
    context.timeout = 20;
    assert_dist(dist_init_mpi(&j->context, j->comm, &context));
    for (int i = 0; i < PARAMETERS; i++)
        parameter[i] = (dist_parameter){.name = i == 5 ? "long" : "p",
                                        .gradient = i == OWN ? j->own : NULL,
                                        .count = shapes[i].count,
                                        .type = i == DOUBLES ? DIST_FLOAT64 : DIST_FLOAT32,
                                        .rows = shapes[i].rows};
    options.algo = l.algo;
    options.codec = l.codec;
    options.bucket_bytes = l.bucket;
    options.reduction = l.reduction;
    assert_dist(dist_data_parallel_create(j->context, parameter, PARAMETERS, &options, &j->dp));
    return j;
}

static inline void close_job(job *j)
{
    if (j->member) {
        assert_dist(dist_data_parallel_destroy(j->dp));
        assert_dist(dist_finalize(j->context));
        MPI_Comm_free(&j->comm);
    }
    free(j);
    harness_meet();
}

static inline float value(int r, int step, int i, size_t k)
{
    return 0.37f * (float)harness_value(r, k + (size_t)(i * 100000 + step * 31)) / (float)(1 + k % 13);
}

static inline bool is_float(int i)
{
    return i != DOUBLES;
}

/* One step; of zeros where `step` is negative. */
static inline void average(job *j, int step)
{
    for (int i = PARAMETERS - 1; i >= 0; i--) {
        float *gradient = dist_data_parallel_gradient(j->dp, (size_t)i);
        for (size_t k = 0; is_float(i) && k < shapes[i].count; k++)
            gradient[k] = step < 0 ? 0 : value(j->rank, step, i, k);
        assert_dist(dist_data_parallel_ready(j->dp, (size_t)i, NULL));
    }
    assert_dist(dist_data_parallel_wait(j->dp, NULL));
}

/* All float32 elements in one vector. */
static inline size_t elements(void)
{
    size_t n = 0;
    for (int i = 0; i < PARAMETERS; i++)
        n += is_float(i) ? shapes[i].count : 0;
    return n;
}

static inline void add_results(const job *j, double *sum)
{
    for (int i = 0; i < PARAMETERS; i++) {
        const float *gradient = dist_data_parallel_gradient(j->dp, (size_t)i);
        for (size_t k = 0; is_float(i) && k < shapes[i].count; k++)
            *sum++ += (double)gradient[k];
    }
}

static inline void add_wanted(const job *j, int step, double *sum)
{
    for (int i = 0; i < PARAMETERS; i++)
        for (size_t k = 0; is_float(i) && k < shapes[i].count; k++, sum++)
            for (int r = 0; r < j->ranks; r++)
                *sum += (double)value(r, step, i, k) / (j->reduction == DIST_AVERAGE ? j->ranks : 1);
}

/* Parts as every process has them, members or not. */
typedef struct parts {
    int n;
    void *data[PARTS];
    uint64_t bytes[PARTS];
} parts;

static inline parts save(const job *j)
{
    parts p = {.n = j->ranks};
    for (int r = 0; r < p.n; r++) {
        p.bytes[r] = r == rank ? dist_data_parallel_state_bytes(j->dp) : 0;
        harness_broadcast(&p.bytes[r], 1, MPI_UINT64_T, r);
        p.data[r] = malloc(p.bytes[r] + 1);
        if (r == rank)
            assert_dist(dist_data_parallel_state_save(j->dp, p.data[r], p.bytes[r]));
        harness_broadcast(p.data[r], p.bytes[r], MPI_BYTE, r);
    }
    return p;
}

static inline void free_parts(parts *p)
{
    for (int r = 0; r < p->n; r++)
        free(p->data[r]);
}

/* How parts are handed in: each by the rank of its number, all by the last rank, or rank by rank from behind. */
typedef enum hands { BY_NUMBER, BY_LAST, BY_TURNS } hands;

static inline dist_status load(job *j, const parts *p, hands how)
{
    const void *mine[PARTS];
    uint64_t bytes[PARTS];
    int n = 0;
    for (int r = 0; r < p->n; r++) {
        const int from_behind = p->n - 1 - r;
        const int who = how == BY_NUMBER ? r % j->ranks
                        : how == BY_LAST ? j->ranks - 1
                                         : from_behind % j->ranks;
        if (who != j->rank)
            continue;
        mine[n] = p->data[r];
        bytes[n++] = p->bytes[r];
    }
    return dist_data_parallel_state_load(j->dp, n ? mine : NULL, n ? bytes : NULL, n);
}

static inline bool same_parts(const parts *a, const parts *b)
{
    bool same = a->n == b->n;
    for (int r = 0; same && r < a->n; r++)
        same = a->bytes[r] == b->bytes[r] && memcmp(a->data[r], b->data[r], a->bytes[r]) == 0;
    return same;
}

/* On so many sites, where there are as many ranks. */
static inline int most_sites(int n)
{
    return ranks < n ? ranks : n;
}

/* Steps of job `from`; then *owed is what they should have given less what they did. */
static inline parts run_from(layout from, double *owed)
{
    const size_t n = elements();
    double *given = calloc(n, sizeof *given);
    job *j = open_job(from);
    memset(owed, 0, n * sizeof *owed);
    for (int step = 0; j->member && step < BEFORE; step++) {
        average(j, step);
        add_results(j, given);
        add_wanted(j, step, owed);
    }
    for (size_t k = 0; k < n; k++)
        owed[k] -= given[k];
    harness_broadcast(owed, n, MPI_DOUBLE, 0);
    parts saved = save(j);
    free(given);
    close_job(j);
    return saved;
}

#endif
