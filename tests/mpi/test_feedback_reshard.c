/* What averages keep, by looking inside parts: between any two layouts each element is owed as much as before. What has
 * no place is told, and what is not kept at all does not stay by accident. */
/* ranks: 1 2 4 */
#define _POSIX_C_SOURCE 200809L /* fileno */

#include <math.h>
#include <unistd.h>

#include "harness.h"
#include "parallel/feedback_part.h"

static int rank, ranks;

enum { PARAMETERS = 8, RANKS_MOST = 4, LINE = 16 };
static const struct {
    size_t count, rows;
} shapes[PARAMETERS] = {{1000, 0}, {1, 0}, {0, 0}, {4099, 0}, {60 * 100, 60}, {17, 0}, {48 * 31, 48}, {5, 1}};

/* Elements up to the end of a cache line, as parts count them. */
static size_t span(int i)
{
    return (shapes[i].count + LINE - 1) / LINE * LINE;
}

enum { TOTAL = 1008 + 16 + 4112 + 6000 + 32 + 1488 + 16 };

/* One way to run the model; a job has the first `ranks` ranks of the test. */
typedef struct layout {
    int ranks, sites, uneven;
    const char *codec, *algo;
    size_t bucket;
} layout;

typedef struct job {
    layout layout;
    dist_context *context; /* NULL on ranks that are not of it */
    MPI_Comm comm;
    dist_data_parallel *dp;
    float *own; /* a gradient of the program's */
} job;

static dist_context *context_of(const layout *l, MPI_Comm comm, const char *log)
{
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context = NULL;
    char site[16];
    snprintf(site, sizeof site, "s%d", harness_site(rank, l->ranks, l->sites, l->uneven));
    options.site = site;
    options.timeout = 20;
    options.log = log;
    assert_dist(dist_init_mpi(&context, comm, &options));
    return context;
}

static job open_job(layout l, dist_reduction reduction, const char *log)
{
    job j = {.layout = l};
    dist_parameter parameter[PARAMETERS];
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    harness_meet();
    MPI_Comm_split(MPI_COMM_WORLD, rank < l.ranks, rank, &j.comm);
    if (rank >= l.ranks)
        return j;
    j.context = context_of(&l, j.comm, log);
    options.codec = l.codec;
    options.algo = l.algo;
    options.bucket_bytes = l.bucket;
    options.reduction = reduction;
    j.own = calloc(shapes[6].count, sizeof *j.own);
    for (int i = 0; i < PARAMETERS; i++)
        parameter[i] = (dist_parameter){.name = i % 2 ? "odd" : "even",
                                        .gradient = i == 6 ? j.own : NULL,
                                        .count = shapes[i].count,
                                        .type = DIST_FLOAT32,
                                        .rows = shapes[i].rows};
    assert_dist(dist_data_parallel_create(j.context, parameter, PARAMETERS, &options, &j.dp));
    return j;
}

static void close_job(job *j)
{
    if (j->context) {
        assert_dist(dist_data_parallel_destroy(j->dp));
        assert_dist(dist_finalize(j->context));
    }
    MPI_Comm_free(&j->comm);
    free(j->own);
}

static float *gradient_of(const job *j, int i)
{
    return dist_data_parallel_gradient(j->dp, (size_t)i);
}

static float value(int step, int i, size_t k)
{
    uint64_t x = ((uint64_t)(rank * 100 + step) << 32) + (uint64_t)i * 1000003 + k + 1;
    x *= 0x9e3779b97f4a7c15u;
    x ^= x >> 31;
    x *= 0xbf58476d1ce4e5b9u;
    return (float)(int32_t)(x >> 32) * 0x1p-31f;
}

static void average(const job *j)
{
    for (int i = PARAMETERS - 1; i >= 0; i--)
        assert_dist(dist_data_parallel_ready(j->dp, (size_t)i, NULL));
    assert_dist(dist_data_parallel_wait(j->dp, NULL));
}

static void take_step(const job *j, int step)
{
    for (int i = 0; j->context && i < PARAMETERS; i++)
        for (size_t k = 0; k < shapes[i].count; k++)
            gradient_of(j, i)[k] = value(step, i, k);
    if (j->context)
        average(j);
}

/* The parts of all ranks, on all ranks of the test. */
typedef struct saved {
    int parts;
    uint64_t bytes[RANKS_MOST];
    char *part[RANKS_MOST];
} saved;

static saved save(const job *j)
{
    saved s = {.parts = j->layout.ranks};
    const uint64_t bytes = j->context ? dist_data_parallel_state_bytes(j->dp) : 0;
    char *mine = malloc(bytes + 1);
    if (j->context)
        assert_dist(dist_data_parallel_state_save(j->dp, mine + 1, bytes)); /* at an odd address */
    for (int r = 0; r < s.parts; r++) {
        s.bytes[r] = bytes;
        harness_broadcast(&s.bytes[r], 1, MPI_UINT64_T, r);
        s.part[r] = malloc(s.bytes[r] + 1);
        if (r == rank)
            memcpy(s.part[r], mine + 1, bytes);
        harness_broadcast(s.part[r], s.bytes[r], MPI_BYTE, r);
    }
    free(mine);
    return s;
}

static void forget(saved *s)
{
    for (int r = 0; r < s->parts; r++)
        free(s->part[r]);
}

/* Rank (p + turn) mod ranks hands in part p. */
static dist_status load(const job *j, const saved *s, int turn)
{
    const void *part[RANKS_MOST];
    uint64_t bytes[RANKS_MOST];
    int parts = 0;
    if (!j->context)
        return DIST_OK;
    for (int p = 0; p < s->parts; p++)
        if ((p + turn) % j->layout.ranks == rank) {
            part[parts] = s->part[p];
            bytes[parts++] = s->bytes[p];
        }
    return dist_data_parallel_state_load(j->dp, parts ? part : NULL, parts ? bytes : NULL, parts);
}

/* What is owed to each element of the result. */
static void pending(const saved *s, double *owed)
{
    dist_segment segment;
    dist_part part;
    memset(owed, 0, TOTAL * sizeof *owed);
    for (int p = 0; p < s->parts; p++) {
        uint64_t at = DIST_PART_HEADER;
        assert_dist(dist_part_check(s->part[p], s->bytes[p], &part));
        for (const char *values; (values = dist_part_next(s->part[p], &part, &at, &segment)) != NULL;)
            for (uint64_t i = 0; segment.kind != DIST_KEPT_FACTOR && i < segment.count; i++) {
                float v;
                memcpy(&v, values + 4 * i, 4);
                const bool divided = segment.kind == DIST_KEPT_SUM || part.reduction == DIST_SUM;
                owed[segment.first + i] += divided ? (double)v : (double)v / part.ranks;
            }
    }
}

static double largest(const double *v)
{
    double most = 0;
    for (int i = 0; i < TOTAL; i++)
        most = fabs(v[i]) > most ? fabs(v[i]) : most;
    return most;
}

static const layout layouts[] = {
    {4, 2, 0, "int4", "auto", 20000},
    {2, 2, 0, "int4", "auto", 0},
    {4, 2, 1, "int4", "auto", 6000},
    {4, 3, 0, "mxfp4", "auto", 20000},
    {4, 4, 0, "int4", "hier:shots=2", 20000},
    {2, 2, 0, "int4:ef=bf16", "hier:shots=2", 9000},
    {4, 4, 0, "int8:ef=int8", "auto", 9000},
    {2, 2, 0, "powersgd:rank=2:dense=0", "auto", 20000},
    {4, 3, 0, "powersgd:rank=3:dense=2", "auto", 9000},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

/* How much of what is stored a form of feedback loses, of the largest sum: sites may owe more, of different signs. */
static double precision(const char *codec)
{
    return strstr(codec, "ef=int8") ? 1 / 100.0 : strstr(codec, "ef=bf16") ? 1 / 150.0 : 1e-6;
}

/* Gaps are owed nothing. powersgd keeps nothing for what it sends whole: vectors, and matrices that are too small. */
static void forget_some(const char *codec, double *owed)
{
    for (int i = 0; i < PARAMETERS; owed += span(i++)) {
        memset(owed + shapes[i].count, 0, (span(i) - shapes[i].count) * sizeof *owed);
        if (strstr(codec, "powersgd") && shapes[i].rows <= 1)
            memset(owed, 0, shapes[i].count * sizeof *owed);
    }
}

static void assert_owed(const saved *s, const saved *t, int from, int to)
{
    static double owed[TOTAL], now[TOTAL], apart[TOTAL];
    pending(s, owed);
    pending(t, now);
    assert_true(largest(owed) > 0.001);
    forget_some(layouts[to].codec, owed);
    forget_some(layouts[to].codec, now);
    for (int i = 0; i < TOTAL; i++)
        apart[i] = owed[i] - now[i];
    const double bound = largest(owed) * precision(layouts[to].codec);
    if (largest(apart) > bound) {
        print_error("layout %d to %d: %g is lost, more than %g\n", from, to, largest(apart), bound);
        fail();
    }
}

static void test_nothing_is_lost(void **state)
{
    (void)state;
    size_t all = 0;
    for (int i = 0; i < PARAMETERS; i++)
        all += span(i);
    assert_int_equal(all, TOTAL);
    for (int from = 0; from < LAYOUTS; from++) {
        const dist_reduction reduction = from % 2 ? DIST_SUM : DIST_AVERAGE;
        if (layouts[from].ranks > ranks)
            continue;
        job j = open_job(layouts[from], reduction, NULL);
        for (int step = 0; step < 4; step++)
            take_step(&j, step);
        saved s = save(&j);
        close_job(&j);
        for (int to = 0; to < LAYOUTS; to++) {
            if (layouts[to].ranks > ranks)
                continue;
            j = open_job(layouts[to], reduction, NULL);
            take_step(&j, 9); /* what was kept before is replaced */
            assert_dist(load(&j, &s, from + to));
            saved t = save(&j);
            assert_owed(&s, &t, from, to);
            forget(&t);
            take_step(&j, 5);
            close_job(&j);
        }
        forget(&s);
    }
}

/* Whether level info said that something was dropped. */
static bool told(FILE *file)
{
    char line[512];
    bool found = false;
    rewind(file);
    while (fgets(line, sizeof line, file))
        found = found || strstr(line, "elements is dropped: codec 'int4:ef=none' on 2 sites");
    return found;
}

static void test_dropped(void **state)
{
    (void)state;
    static const char *const codecs[] = {"int4:ef=none", "int4"};
    if (ranks == 1)
        skip();
    job j = open_job(layouts[1], DIST_AVERAGE, NULL);
    take_step(&j, 0);
    saved s = save(&j);
    close_job(&j);
    for (int c = 0; c < 2; c++) {
        FILE *file = tmpfile();
        const int kept = dup(STDERR_FILENO);
        assert_non_null(file);
        dup2(fileno(file), STDERR_FILENO);
        j = open_job((layout){2, 2, 0, codecs[c], "auto", 0}, DIST_AVERAGE, "info");
        const dist_status status = load(&j, &s, c);
        dup2(kept, STDERR_FILENO);
        close(kept);
        assert_int_equal(status, DIST_OK);
        assert_true(told(file) == (c == 0 && rank == 0));
        fclose(file);
        take_step(&j, 1);
        close_job(&j);
    }
    forget(&s);
}

/* Between two gradients of a bucket lie a few bytes. A NaN of their block must not come back as a gradient. */
static void test_gaps_are_sent_as_zeros(void **state)
{
    (void)state;
    job j = open_job((layout){ranks, ranks > 1 ? 2 : 1, 0, "int8", "auto", 0}, DIST_AVERAGE, NULL);
    dist_data_parallel_stats stats;
    for (int i = 0; i < PARAMETERS; i++)
        for (size_t k = 0; k < shapes[i].count; k++)
            gradient_of(&j, i)[k] = NAN;
    average(&j);
    assert_true(isnan(gradient_of(&j, 5)[0]));
    take_step(&j, 0);
    for (int i = 0; i < PARAMETERS; i++)
        for (size_t k = 0; k < shapes[i].count; k++)
            assert_true(isfinite(gradient_of(&j, i)[k]));
    assert_dist(dist_data_parallel_stats_get(j.dp, &stats));
    assert_int_equal(stats.nonfinite, 0);
    close_job(&j);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_gaps_are_sent_as_zeros),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
