/* Every collective, algorithm, type and reduction against exact results, on one site and on several. */
/* ranks: 1 2 3 4 5 8 */
#include "harness.h"
#include "kernels/half.h"

static int rank, ranks;

static void set(dist_type type, void *data, size_t i, double value)
{
    uint32_t bits;
    float single = (float)value;
    memcpy(&bits, &single, 4);
    switch (type) {
    case DIST_FLOAT32:
        ((float *)data)[i] = single;
        break;
    case DIST_FLOAT64:
        ((double *)data)[i] = value;
        break;
    case DIST_INT32:
        ((int32_t *)data)[i] = (int32_t)value;
        break;
    case DIST_INT64:
        ((int64_t *)data)[i] = (int64_t)value;
        break;
    case DIST_BFLOAT16:
        ((uint16_t *)data)[i] = (uint16_t)(bits >> 16); /* exact for the values used here */
        break;
    default:
        ((uint16_t *)data)[i] = dist_half_from_float(single);
    }
}

static double get(dist_type type, const void *data, size_t i)
{
    uint32_t bits;
    float single;
    switch (type) {
    case DIST_FLOAT32:
        return ((const float *)data)[i];
    case DIST_FLOAT64:
        return ((const double *)data)[i];
    case DIST_INT32:
        return ((const int32_t *)data)[i];
    case DIST_INT64:
        return (double)((const int64_t *)data)[i];
    case DIST_BFLOAT16:
        bits = (uint32_t)((const uint16_t *)data)[i] << 16;
        memcpy(&single, &bits, 4);
        return single;
    default:
        return dist_half_to_float(((const uint16_t *)data)[i]);
    }
}

/* The exact reduction of element i; an average is made whole by the callers' choice of values. */
static double expected(dist_type type, dist_reduction reduction, size_t i)
{
    double result = harness_value(0, i);
    for (int r = 1; r < ranks; r++) {
        double value = harness_value(r, i);
        if (reduction == DIST_MIN)
            result = value < result ? value : result;
        else if (reduction == DIST_MAX)
            result = value > result ? value : result;
        else
            result += value;
    }
    if (reduction != DIST_AVERAGE)
        return result;
    if (type == DIST_INT32 || type == DIST_INT64)
        return (double)((int)result / ranks);
    return type == DIST_FLOAT64 ? result / ranks : (double)((float)result / (float)ranks);
}

static void assert_value(dist_type type, dist_reduction reduction, double found, double wanted)
{
    double slack = 0;
    if (reduction == DIST_AVERAGE && (type == DIST_FLOAT16 || type == DIST_BFLOAT16))
        slack = 0.004 * (wanted < 0 ? -wanted : wanted); /* half an ulp of bfloat16 */
    if (!(found - wanted <= slack && wanted - found <= slack)) {
        print_error("%s %s: %.9g instead of %.9g\n", dist_type_name(type), dist_reduction_name(reduction),
                    found, wanted);
        fail();
    }
}

static dist_collective_options algorithm(const char *name)
{
    dist_collective_options options = DIST_COLLECTIVE_OPTIONS_INIT;
    options.algo = name;
    return options;
}

static const char *const algorithms[] = {"auto",     "mpi",  "ring",         "halving",
                                         "doubling", "hier", "hier:shots=1", "hier:shots=2"};

static void all_reduce(dist_context *context, const char *algo, dist_type type, dist_reduction reduction,
                       size_t count, bool in_place)
{
    dist_collective_options options = algorithm(algo);
    char *send = calloc(count + 1, 8), *receive = calloc(count + 1, 8);
    for (size_t i = 0; i < count; i++)
        set(type, in_place ? receive : send, i, harness_value(rank, i));
    set(type, receive, count, 77);
    assert_dist(
        dist_all_reduce(context, in_place ? DIST_IN_PLACE : send, receive, count, type, reduction, &options));
    for (size_t i = 0; i < count; i++)
        assert_value(type, reduction, get(type, receive, i), expected(type, reduction, i));
    assert_true(get(type, receive, count) == 77);
    for (size_t i = 0; i < count && !in_place; i++)
        assert_true(get(type, send, i) == harness_value(rank, i));
    free(send);
    free(receive);
}

static void reduce_scatter(dist_context *context, const char *algo, dist_type type, dist_reduction reduction,
                           size_t count, bool in_place)
{
    dist_collective_options options = algorithm(algo);
    size_t bytes = dist_type_bytes(type), all = count * (size_t)ranks;
    char *send = calloc(all + 1, 8), *out = calloc(count + 1, 8);
    for (size_t i = 0; i < all; i++)
        set(type, send, i, harness_value(rank, i));
    char *receive = in_place ? send + bytes * count * (size_t)rank : out;
    assert_dist(dist_reduce_scatter(context, in_place ? DIST_IN_PLACE : send, receive, count, type, reduction,
                                    &options));
    for (size_t i = 0; i < count; i++)
        assert_value(type, reduction, get(type, receive, i),
                     expected(type, reduction, count * (size_t)rank + i));
    free(send);
    free(out);
}

static void all_gather(dist_context *context, const char *algo, dist_type type, size_t count, bool in_place)
{
    dist_collective_options options = algorithm(algo);
    size_t bytes = dist_type_bytes(type), all = count * (size_t)ranks;
    char *send = calloc(count + 1, 8), *receive = calloc(all + 1, 8);
    for (size_t i = 0; i < count; i++)
        set(type, in_place ? receive + bytes * count * (size_t)rank : send, i, harness_value(rank, i));
    assert_dist(dist_all_gather(context, in_place ? DIST_IN_PLACE : send, receive, count, type, &options));
    for (int r = 0; r < ranks; r++)
        for (size_t i = 0; i < count; i++)
            assert_true(get(type, receive, (size_t)r * count + i) == harness_value(r, i));
    free(send);
    free(receive);
}

static void broadcast(dist_context *context, const char *algo, dist_type type, size_t count, int root)
{
    dist_collective_options options = algorithm(algo);
    char *buffer = calloc(count + 1, 8);
    for (size_t i = 0; i < count; i++)
        set(type, buffer, i, harness_value(rank, i));
    assert_dist(dist_broadcast(context, buffer, count, type, root, &options));
    for (size_t i = 0; i < count; i++)
        assert_true(get(type, buffer, i) == harness_value(root, i));
    free(buffer);
}

static void everything(dist_context *context)
{
    static const size_t counts[] = {0, 1, 7, 1009, 100003};
    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            dist_type type = (dist_type)((a + c) % DIST_TYPES);
            dist_reduction reduction = (dist_reduction)((a * 2 + c) % DIST_REDUCTIONS);
            bool in_place = (a + c) % 2;
            all_reduce(context, algorithms[a], type, reduction, counts[c], in_place);
            reduce_scatter(context, algorithms[a], type, reduction, counts[c] / 4, in_place);
            all_gather(context, algorithms[a], type, counts[c] / 4, in_place);
            broadcast(context, algorithms[a], type, counts[c], (int)((a + c) % (size_t)ranks));
        }
    assert_dist(dist_barrier(context));
}

static void on_sites(int sites, int uneven, const char *progress)
{
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    if (sites > ranks)
        return;
    options.progress = progress;
    dist_context *context = harness_context(sites, uneven, options);
    assert_non_null(context);
    assert_int_equal(dist_sites(context), sites);
    everything(context);
    assert_dist(dist_finalize(context));
}

static void test_one_site(void **state)
{
    (void)state;
    on_sites(1, 0, "thread");
}

static void test_two_sites(void **state)
{
    (void)state;
    on_sites(2, 0, "thread");
    on_sites(2, 1, "inline");
}

static void test_many_sites(void **state)
{
    (void)state;
    on_sites(3, 1, "inline");
    on_sites(5, 0, "thread");
    on_sites(ranks, 0, "inline");
}

static void test_types_and_reductions(void **state)
{
    (void)state;
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context = harness_context(ranks > 1 ? 2 : 1, 0, options);
    assert_non_null(context);
    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++)
        for (int type = 0; type < DIST_TYPES; type++)
            for (int reduction = 0; reduction < DIST_REDUCTIONS; reduction++)
                all_reduce(context, algorithms[a], (dist_type)type, (dist_reduction)reduction, 333, a % 2);
    assert_dist(dist_finalize(context));
}

static void test_scalars(void **state)
{
    (void)state;
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context = harness_context(ranks > 1 ? 2 : 1, 0, options);
    assert_non_null(context);
    for (int i = 0; i < 100; i++) {
        double values[2] = {rank + i, -rank};
        assert_dist(dist_reduce_scalars(context, values, 2, i % 2 ? DIST_MAX : DIST_SUM));
        if (i % 2) {
            assert_true(values[0] == ranks - 1 + i && values[1] == 0);
        } else {
            assert_true(values[0] == ranks * (ranks - 1) / 2.0 + ranks * i);
            assert_true(values[1] == -ranks * (ranks - 1) / 2.0);
        }
    }
    assert_dist(dist_finalize(context));
}

/* Several in flight at once, started in different orders on different ranks, waited for in another. */
static void test_requests(void **state)
{
    (void)state;
    enum { REQUESTS = 6, COUNT = 50000 };
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context = harness_context(ranks > 1 ? 2 : 1, 0, options);
    dist_request *request[REQUESTS];
    float *data[REQUESTS];
    assert_non_null(context);
    for (int q = 0; q < REQUESTS; q++) {
        dist_collective_options algo = algorithm(algorithms[q % 6]);
        data[q] = malloc(COUNT * sizeof(float));
        assert_dist(dist_all_reduce_init(context, DIST_IN_PLACE, data[q], COUNT, DIST_FLOAT32, DIST_SUM,
                                         &algo, &request[q]));
    }
    for (int round = 0; round < 3; round++) {
        for (int q = 0; q < REQUESTS; q++)
            for (size_t i = 0; i < COUNT; i++)
                data[q][i] = (float)harness_value(rank, i + (size_t)(q + round));
        for (int q = 0; q < REQUESTS; q++)
            assert_dist(dist_request_post(request[rank % 2 ? REQUESTS - 1 - q : q]));
        for (int q = REQUESTS - 1; q >= 0; q--)
            assert_dist(dist_request_wait(request[q], 0));
        for (int q = 0; q < REQUESTS; q++)
            for (size_t i = 0; i < COUNT; i += 97)
                assert_true(data[q][i] == expected(DIST_FLOAT32, DIST_SUM, i + (size_t)(q + round)));
    }
    for (int q = 0; q < REQUESTS; q++) {
        assert_dist(dist_request_destroy(request[q]));
        free(data[q]);
    }
    assert_dist(dist_finalize(context));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_site),   cmocka_unit_test(test_two_sites),
        cmocka_unit_test(test_many_sites), cmocka_unit_test(test_types_and_reductions),
        cmocka_unit_test(test_scalars),    cmocka_unit_test(test_requests),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
