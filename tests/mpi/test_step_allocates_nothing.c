/* After the first step a step allocates no memory and makes no request: both are counted, by standing in for
 * malloc (calls from this program's own code, which the static library is part of) and for MPI's calls that
 * make requests. */
/* ranks: 1 2 4 */
#include <stdatomic.h>

#include "harness.h"

static int rank, ranks;
static atomic_long allocations, requests;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 0 /* sanitizers stand there themselves */
#else
#define COUNTS_ALLOCATIONS 1
extern char __executable_start, etext;
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static void count(const void *caller)
{
    if ((const char *)caller >= &__executable_start && (const char *)caller < &etext)
        atomic_fetch_add(&allocations, 1);
}

void *malloc(size_t bytes)
{
    count(__builtin_return_address(0));
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    count(__builtin_return_address(0));
    return __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t bytes)
{
    count(__builtin_return_address(0));
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, bytes);
}
#endif

/* The profiling interface of MPI: what the library calls comes here first. */
int MPI_Send_init(const void *b, int n, MPI_Datatype t, int p, int tag, MPI_Comm c, MPI_Request *r)
{
    atomic_fetch_add(&requests, 1);
    return PMPI_Send_init(b, n, t, p, tag, c, r);
}

int MPI_Recv_init(void *b, int n, MPI_Datatype t, int p, int tag, MPI_Comm c, MPI_Request *r)
{
    atomic_fetch_add(&requests, 1);
    return PMPI_Recv_init(b, n, t, p, tag, c, r);
}

int MPI_Isend(const void *b, int n, MPI_Datatype t, int p, int tag, MPI_Comm c, MPI_Request *r)
{
    atomic_fetch_add(&requests, 1);
    return PMPI_Isend(b, n, t, p, tag, c, r);
}

int MPI_Irecv(void *b, int n, MPI_Datatype t, int p, int tag, MPI_Comm c, MPI_Request *r)
{
    atomic_fetch_add(&requests, 1);
    return PMPI_Irecv(b, n, t, p, tag, c, r);
}

static void step(dist_data_parallel *dp, size_t n)
{
    for (size_t i = n; i-- > 0;)
        assert_dist(dist_data_parallel_ready(dp, i, NULL));
    assert_dist(dist_data_parallel_wait(dp, NULL));
}

static void steps_with(const char *algo, const char *codec, const char *progress)
{
    enum { N = 12 };
    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    dist_parameter parameter[N];
    dist_data_parallel *dp;
    static float own[100000];
    start.progress = progress;
    dist_context *context = harness_context(ranks > 1 ? 2 : 1, 0, start);
    assert_non_null(context);
    for (size_t i = 0; i < N; i++)
        parameter[i] =
            (dist_parameter){"p", i == 3 ? own : NULL, i == 3 ? 100000 : 5000 * (i + 1), DIST_FLOAT32, 50};
    options.algo = algo;
    options.codec = codec;
    options.bucket_bytes = 100000;
    assert_dist(dist_data_parallel_create(context, parameter, N, &options, &dp));
    step(dp, N);
    long allocated = atomic_load(&allocations), requested = atomic_load(&requests);
    for (int i = 0; i < 20; i++)
        step(dp, N);
    assert_int_equal(atomic_load(&allocations) - allocated, 0);
    assert_int_equal(atomic_load(&requests) - requested, 0);
    assert_dist(dist_data_parallel_destroy(dp));
    assert_dist(dist_finalize(context));
}

static void test_steps(void **state)
{
    (void)state;
    steps_with("hier", "none", "thread");
    steps_with("hier", "int8", "thread");
    steps_with("hier", "int4", "inline");
    steps_with("hier", "powersgd:dense=3", "thread");
    steps_with("ring", "none", "inline");
    steps_with("halving", "none", "thread");
}

/* The same call on the same memory again is the same task: nothing is made for it. */
static void test_same_collective_again(void **state)
{
    (void)state;
    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context = harness_context(1, 0, start);
    static float data[50000];
    assert_non_null(context);
    assert_dist(dist_all_reduce(context, DIST_IN_PLACE, data, 50000, DIST_FLOAT32, DIST_SUM, NULL));
    long allocated = atomic_load(&allocations), requested = atomic_load(&requests);
    for (int i = 0; i < 20; i++)
        assert_dist(dist_all_reduce(context, DIST_IN_PLACE, data, 50000, DIST_FLOAT32, DIST_SUM, NULL));
    assert_int_equal(atomic_load(&allocations) - allocated, 0);
    assert_int_equal(atomic_load(&requests) - requested, 0);
    assert_dist(dist_finalize(context));
}

/* So are exchanges, and messages back and forth: partners that a rank has had are known again. */
static void exchange(dist_context *context, float *data, size_t count)
{
    const size_t all = count * (size_t)ranks;
    const int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
    assert_dist(dist_all_to_all(context, data, data + all, count, DIST_FLOAT32, NULL));
    assert_dist(dist_all_to_all(context, DIST_IN_PLACE, data, count, DIST_FLOAT32, NULL));
    assert_dist(dist_send_recv(context, data, next, data + all, before, count, DIST_FLOAT32, NULL));
    assert_dist(dist_send_recv(context, data, before, data + all, next, count, DIST_FLOAT32, NULL));
    if (ranks < 2)
        return;
    assert_dist(dist_send_recv(context, data, rank == 0 ? 1 : -1, data, rank == 1 ? 0 : -1, count,
                               DIST_FLOAT32, NULL));
    assert_dist(dist_send_recv(context, data, rank == 1 ? 0 : -1, data, rank == 0 ? 1 : -1, count,
                               DIST_FLOAT32, NULL));
}

static void test_same_exchange_again(void **state)
{
    (void)state;
    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context = harness_context(ranks > 1 ? 2 : 1, 0, start);
    static float data[2 * 4 * 20000];
    assert_non_null(context);
    exchange(context, data, 20000);
    exchange(context, data, 3); /* short: another way, which asks MPI for each message */
    const long allocated = atomic_load(&allocations), requested = atomic_load(&requests);
    for (int i = 0; i < 20; i++)
        exchange(context, data, 20000);
    assert_int_equal(atomic_load(&requests) - requested, 0);
    for (int i = 0; i < 20; i++)
        exchange(context, data, 3);
    assert_int_equal(atomic_load(&allocations) - allocated, 0);
    assert_dist(dist_finalize(context));
}

/* The counters count: making something is seen. */
static void test_counters_see(void **state)
{
    (void)state;
    long allocated = atomic_load(&allocations), requested = atomic_load(&requests);
    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context = harness_context(1, 0, start);
    static float data[50000];
    assert_non_null(context);
    assert_dist(dist_all_reduce(context, DIST_IN_PLACE, data, 50000, DIST_FLOAT32, DIST_SUM, NULL));
    if (COUNTS_ALLOCATIONS)
        assert_true(atomic_load(&allocations) > allocated);
    assert_true(ranks == 1 || atomic_load(&requests) > requested);
    assert_dist(dist_finalize(context));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters_see),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_same_collective_again),
        cmocka_unit_test(test_same_exchange_again),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
