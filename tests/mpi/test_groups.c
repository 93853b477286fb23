/* Averages among groups of ranks: at the same time, with any number of buckets, across sites or not. */
/* ranks: 4 */
#include <math.h>

#include "harness.h"

#include "context_internal.h"
#include "parallel/data_parallel.h"
#include "topology/group.h"

static int rank, ranks;

enum { RANKS = 4, MOST = 7, STEPS = 6 };

/* Which group each rank is in, and what the two groups average. */
typedef struct mesh {
    int of[RANKS];
    const char *codec[2], *algo;
    int parameters[2];
} mesh;

static const size_t counts[MOST] = {5, 4099, 0, 20000, 1, 777, 65536};

/* One rank's view of its group. */
typedef struct member {
    dist_context *context;
    dist_topology *topology;
    MPI_Comm comm;
    dist_data_parallel *dp;
    int of, ranks, parameters;
    int rank[RANKS]; /* of the job */
    float *own[MOST];
} member;

static member join(const mesh *m, int sites)
{
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    member mine = {.context = harness_context(sites, 0, options), .of = m->of[rank]};
    assert_non_null(mine.context);
    for (int r = 0; r < RANKS; r++)
        if (m->of[r] == mine.of)
            mine.rank[mine.ranks++] = r;
    assert_dist(dist_topology_group(&mine.topology, mine.context->topology, mine.rank, mine.ranks));
    MPI_Comm_split(MPI_COMM_WORLD, mine.of, rank, &mine.comm);
    return mine;
}

static dist_status create(const mesh *m, member *mine)
{
    dist_data_parallel_setup setup = {.engine = mine->context->engine,
                                      .log = &mine->context->log,
                                      .bucket_bytes = 90000,
                                      .first_bucket_bytes = 5000,
                                      .accumulate = 1,
                                      .member = mine->rank};
    dist_parameter parameter[MOST];
    assert_dist(dist_context_spec(mine->context, m->algo, m->codec[mine->of], &setup.spec));
    setup.spec.reduction = DIST_AVERAGE;
    setup.spec.topology = mine->topology;
    MPI_Comm_rank(mine->comm, &setup.spec.rank);
    mine->parameters = m->parameters[mine->of];
    for (int i = 0; i < mine->parameters; i++) {
        if (i % 2 && !mine->own[i])
            mine->own[i] = calloc(counts[i] + 1, sizeof(float));
        parameter[i] = (dist_parameter){.name = "p",
                                        .gradient = mine->own[i],
                                        .count = counts[i],
                                        .type = DIST_FLOAT32,
                                        .rows = counts[i] % 256 == 0 ? 256 : 0};
    }
    return dist_dp_create(&mine->dp, &setup, parameter, (size_t)mine->parameters);
}

static void leave(member *mine)
{
    assert_dist(dist_dp_destroy(mine->dp));
    assert_dist(dist_finalize(mine->context));
    dist_topology_destroy(mine->topology);
    MPI_Comm_free(&mine->comm);
    for (int i = 0; i < MOST; i++)
        free(mine->own[i]);
}

static float value(int r, int step, int i, size_t k)
{
    return (float)harness_value(r, k + (size_t)(i * 1000 + step));
}

static float average(const member *mine, int step, int i, size_t k)
{
    float sum = 0;
    for (int m = 0; m < mine->ranks; m++)
        sum += value(mine->rank[m], step, i, k);
    return sum / (float)mine->ranks;
}

static void backward(const member *mine, int step)
{
    for (int n = 0; n < mine->parameters; n++) {
        const int i = (n + rank + step) % mine->parameters; /* another order on every rank */
        float *gradient = dist_dp_gradient(mine->dp, (size_t)i);
        for (size_t k = 0; k < counts[i]; k++)
            gradient[k] = value(rank, step, i, k);
        assert_dist(dist_dp_ready(mine->dp, (size_t)i, NULL));
    }
}

/* Largest difference from the average; members have the same bits. */
static double error_of(const member *mine, int step)
{
    static float first[65536];
    double error = 0;
    for (int i = 0; i < mine->parameters; i++) {
        const float *gradient = dist_dp_gradient(mine->dp, (size_t)i);
        memcpy(first, gradient, counts[i] * sizeof(float));
        MPI_Bcast(first, (int)counts[i], MPI_FLOAT, 0, mine->comm);
        assert_memory_equal(first, gradient, counts[i] * sizeof(float));
        for (size_t k = 0; k < counts[i]; k++) {
            const double off = fabs((double)gradient[k] - (double)average(mine, step, i, k));
            error = off > error ? off : error;
        }
    }
    return error;
}

static uint64_t bytes_across(const member *mine)
{
    dist_data_parallel_stats stats;
    dist_dp_stats(mine->dp, &stats);
    return stats.bytes_across_total;
}

/* Groups make as many steps as they like; `bound` of the error of group 0 and 1. */
static void train(member *mine, const double bound[2])
{
    for (int step = 0; step < STEPS + mine->of; step++) {
        backward(mine, step);
        assert_dist(dist_dp_wait(mine->dp, NULL));
        const double error = error_of(mine, step);
        if (error > bound[mine->of])
            print_error("rank %d step %d: off by %g of %g\n", rank, step, error, bound[mine->of]);
        assert_true(error <= bound[mine->of]);
    }
}

static void run(const mesh *m, int sites, double bound0, double bound1)
{
    member mine = join(m, sites);
    double all = 1;
    assert_dist(create(m, &mine));
    train(&mine, (double[]){bound0, bound1});
    assert_dist(dist_reduce_scalars(mine.context, &all, 1, DIST_SUM)); /* the job's own go on */
    assert_true(all == RANKS);
    bool crosses = mine.topology->sites > 1 && mine.parameters > 0;
    uint64_t sent = bytes_across(&mine);
    MPI_Allreduce(MPI_IN_PLACE, &sent, 1, MPI_UINT64_T, MPI_SUM, mine.comm);
    assert_true((sent > 0) == crosses);
    leave(&mine);
}

static const int pairings[][RANKS] = {{0, 0, 1, 1}, {0, 1, 0, 1}, {0, 1, 1, 0}};

static mesh mesh_of(const int *of, const char *algo, const char *codec0, const char *codec1, int parameters0,
                    int parameters1)
{
    mesh m = {.algo = algo, .codec = {codec0, codec1}, .parameters = {parameters0, parameters1}};
    memcpy(m.of, of, sizeof m.of);
    return m;
}

static void test_exact_averages(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"auto", "ring", "halving", "doubling", "hier"};
    for (size_t a = 0; a < 5; a++)
        for (size_t p = 0; p < 3; p++) {
            const mesh m = mesh_of(pairings[p], algorithms[a], "none", "none", MOST, 4);
            run(&m, 1 + (int)(a + p) % 2, 0, 0);
        }
}

static void test_unequal_groups(void **state)
{
    (void)state;
    static const int alone[RANKS] = {1, 0, 0, 0}, last[RANKS] = {0, 0, 0, 1}, one[RANKS] = {0};
    const mesh meshes[] = {mesh_of(alone, "auto", "none", "none", 3, MOST),
                           mesh_of(last, "hier", "none", "none", MOST, 0),
                           mesh_of(one, "auto", "none", "none", MOST, 0)};
    for (size_t i = 0; i < 3; i++)
        run(&meshes[i], 2, i < 2 ? 1e-6 : 0, 0); /* a third is not exact */
}

/* Sites a, a, b, b: groups {0, 1} and {2, 3} are each inside a site, and the others across. */
static void test_codecs(void **state)
{
    (void)state;
    const double int8 = 2 * 8.5 / 127; /* what one step rounds away, and what the step before left */
    for (size_t p = 0; p < 3; p++) {
        const double loss = p == 0 ? 0 : int8;
        mesh m = mesh_of(pairings[p], "hier", "int8:ef=fp32", "int8", MOST, 4);
        run(&m, 2, loss, loss);
        m = mesh_of(pairings[p], "auto", "int8", "none", 2, MOST);
        run(&m, 2, loss, 0);
        m = mesh_of(pairings[p], "auto", "none", "topk:density=0.05:dense=2", MOST,
                    MOST); /* twice the tasks in one group */
        run(&m, 2, 0, 100 * loss);
        m = mesh_of(pairings[p], "auto", "powersgd:rank=2", "int8", MOST, 5);
        run(&m, 2, p == 0 ? 0 : 100, loss);
    }
}

/* A group that cannot plan keeps nobody waiting, and all may try again. */
static void test_refusals(void **state)
{
    (void)state;
    mesh m = mesh_of(pairings[1], "auto", "none", "none", MOST, 3);
    member mine = join(&m, 2);
    m.algo = mine.of == 0 ? "mpi" : "auto";
    const dist_status status = create(&m, &mine);
    if (mine.of == 0) {
        assert_int_equal(status, DIST_ERR_UNSUPPORTED);
        assert_non_null(strstr(dist_last_error(), "cannot run among 2 of 4"));
    } else {
        assert_int_equal(status, DIST_ERR_MISMATCH);
        assert_non_null(strstr(dist_last_error(), "rank 0 could not plan its buckets"));
    }
    assert_null(mine.dp);
    m.algo = "auto";
    assert_dist(create(&m, &mine));
    train(&mine, (double[]){0, 0});
    leave(&mine);
}

static void test_states_are_refused(void **state)
{
    (void)state;
    const mesh m = mesh_of(pairings[1], "auto", "int8:ef=fp32", "none", 3, 3);
    member mine = join(&m, 2);
    char place[65536];
    assert_dist(create(&m, &mine));
    const uint64_t bytes = dist_dp_state_bytes(mine.dp);
    assert_true((bytes > 0) == (mine.of == 0) && bytes <= sizeof place);
    assert_int_equal(dist_dp_state_save(mine.dp, place, bytes), bytes ? DIST_ERR_UNSUPPORTED : DIST_OK);
    assert_int_equal(dist_dp_state_load(mine.dp, NULL, NULL, 0), DIST_ERR_UNSUPPORTED);
    leave(&mine);
}

/* Ranks of one group that differ are found, whatever the other group does. */
static void test_mismatch_inside_a_group(void **state)
{
    (void)state;
    mesh m = mesh_of(pairings[1], "auto", "none", "none", 3, MOST);
    member mine = join(&m, 1);
    if (rank == 3)
        m.parameters[1] = 4;
    assert_int_equal(create(&m, &mine), DIST_ERR_MISMATCH);
    assert_non_null(strstr(dist_last_error(), "rank 1 prepares"));
    assert_non_null(strstr(dist_last_error(), "rank 3 prepares"));
    m.parameters[1] = MOST;
    assert_dist(create(&m, &mine));
    train(&mine, (double[]){0, 0});
    leave(&mine);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_averages),
        cmocka_unit_test(test_unequal_groups),
        cmocka_unit_test(test_codecs),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_states_are_refused),
        cmocka_unit_test(test_mismatch_inside_a_group),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
