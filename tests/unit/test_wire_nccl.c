/* The NCCL wire over fakes, threads as ranks: what its collectives compute, and that no order of starts makes it wait.
 */
#define _POSIX_C_SOURCE 200809L /* pthread_barrier */

#include <pthread.h>

#include "nccl_many.h"
#include "nccl_ranks.h"

#include "kernels/half.h"

enum { LONGEST = 700 };

/* ---- every collective ---- */

static void put(dist_type type, void *array, size_t i, double value)
{
    switch (type) {
    case DIST_FLOAT16:
        ((uint16_t *)array)[i] = dist_half_from_float((float)value);
        break;
    case DIST_BFLOAT16:
        ((uint16_t *)array)[i] = dist_bfloat_from_float((float)value);
        break;
    case DIST_FLOAT32:
        ((float *)array)[i] = (float)value;
        break;
    case DIST_FLOAT64:
        ((double *)array)[i] = value;
        break;
    case DIST_INT32:
        ((int32_t *)array)[i] = (int32_t)value;
        break;
    default:
        ((int64_t *)array)[i] = (int64_t)value;
    }
}

static double get(dist_type type, const void *array, size_t i)
{
    switch (type) {
    case DIST_FLOAT16:
        return dist_half_to_float(((const uint16_t *)array)[i]);
    case DIST_BFLOAT16:
        return dist_bfloat_to_float(((const uint16_t *)array)[i]);
    case DIST_FLOAT32:
        return ((const float *)array)[i];
    case DIST_FLOAT64:
        return ((const double *)array)[i];
    case DIST_INT32:
        return ((const int32_t *)array)[i];
    default:
        return (double)((const int64_t *)array)[i];
    }
}

/* Whole numbers whose sums are exact in every type. */
static double value_of(int rank, size_t i)
{
    return (double)((rank * 7 + (int)i * 5 + rank * (int)i) % 17) - 8;
}

static double reduced(dist_reduction reduction, int ranks, size_t i)
{
    double result = value_of(0, i);
    for (int r = 1; r < ranks; r++) {
        const double x = value_of(r, i);
        result = reduction == DIST_SUM ? result + x : (reduction == DIST_MIN) == (x < result) ? x : result;
    }
    return result;
}

/* Element i of what a rank must get. */
static double expected(const dist_wire_collective *call, int ranks, int rank, size_t i)
{
    const size_t count = (size_t)call->count;
    switch (call->kind) {
    case DIST_NATIVE_ALL_REDUCE:
        return reduced(call->reduction, ranks, i);
    case DIST_NATIVE_REDUCE_SCATTER:
        return reduced(call->reduction, ranks, (size_t)rank * count + i);
    case DIST_NATIVE_ALL_GATHER:
        return value_of((int)(i / count), i % count);
    default:
        return value_of(call->root, i);
    }
}

static void run_one(nccl_rank *s, dist_wire_collective call, bool in_place)
{
    const int ranks = s->ranks;
    const size_t size = dist_type_bytes(call.type), count = (size_t)call.count;
    const bool scatter = call.kind == DIST_NATIVE_REDUCE_SCATTER,
               gather = call.kind == DIST_NATIVE_ALL_GATHER;
    const size_t in = scatter ? count * (size_t)ranks : count, out = gather ? count * (size_t)ranks : count;
    const size_t part = count * (size_t)s->rank * size;
    char host[NCCL_RANKS * LONGEST * sizeof(double)];
    char *send = nccl_memory(s, in * size), *receive = nccl_memory(s, out * size);
    dist_wire_request *request = NULL;
    int finished = 0;
    for (size_t i = 0; i < in; i++)
        put(call.type, host, i, value_of(s->rank, i));
    nccl_copy(s, send, host, in * size);
    call.send = send;
    call.receive = receive;
    if (call.kind == DIST_NATIVE_BROADCAST)
        nccl_copy(s, receive, host, in * size);
    if (in_place && scatter)
        call.receive = send + part;
    else if (in_place) {
        nccl_copy(s, receive + (gather ? part : 0), host, in * size);
        call.send = DIST_IN_PLACE;
    }
    EXPECT(s, s->wire->ops->collective(s->wire, &call, &request) == DIST_OK);
    request->owner = &finished;
    for (int run = 0; run < 2 && !in_place; run++)
        EXPECT(s, s->wire->ops->start(request) == DIST_OK && nccl_finish(s, 1, 10) == 1);
    if (in_place)
        EXPECT(s, s->wire->ops->start(request) == DIST_OK && nccl_finish(s, 1, 10) == 1);
    nccl_copy(s, host, call.receive, out * size);
    for (size_t i = 0; i < out; i++)
        if (get(call.type, host, i) != expected(&call, ranks, s->rank, i)) {
            EXPECT(s, !"an element");
            fprintf(stderr, "kind %d type %d element %zu: %g, not %g\n", (int)call.kind, (int)call.type, i,
                    get(call.type, host, i), expected(&call, ranks, s->rank, i));
            break;
        }
    s->wire->ops->release(request);
    s->cuda->release(send);
    s->cuda->release(receive);
}

static void run_collectives(nccl_rank *s)
{
    static const dist_reduction reductions[] = {DIST_SUM, DIST_MIN, DIST_MAX};
    static const uint64_t counts[] = {1, 3, LONGEST, 0};
    EXPECT(s, nccl_open_all(s) == DIST_OK);
    uint32_t ticket = 0;
    for (int type = 0; s->wire && type < DIST_TYPES; type++)
        for (int kind = DIST_NATIVE_ALL_REDUCE; kind <= DIST_NATIVE_BROADCAST; kind++)
            for (int c = 0; c < 4; c++)
                for (int r = 0; r < (kind <= DIST_NATIVE_REDUCE_SCATTER ? 3 : 1); r++)
                    for (int in_place = 0; in_place < (kind == DIST_NATIVE_BROADCAST ? 1 : 2); in_place++)
                        run_one(s,
                                (dist_wire_collective){.kind = (dist_native)kind,
                                                       .type = (dist_type)type,
                                                       .reduction = reductions[r],
                                                       .root = (int)ticket % s->ranks,
                                                       .ticket = ticket++,
                                                       .count = counts[c]},
                                in_place);
    if (s->wire)
        s->wire->ops->close(s->wire, false);
}

static void test_collectives(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= 4; ranks++)
        assert_int_equal(on_nccl_ranks(ranks, run_collectives, 10, false, NULL), 0);
}

/* ---- some of the ranks ---- */

static void run_some(nccl_rank *s)
{
    static const int member[] = {1, 3};
    if (s->rank % 2 == 0)
        return;
    EXPECT(s, nccl_open(s, member, 2) == DIST_OK);
    if (!s->wire)
        return;
    const dist_nccl_edge edge[] = {{3, 1}};
    const dist_patience patience = {.deadline = dist_deadline(10)};
    EXPECT(s, dist_wire_nccl_edges(s->wire, edge, 1, &patience) == DIST_OK);
    EXPECT(s, dist_wire_nccl_edges(s->wire, edge, 1, &patience) == DIST_OK); /* it is there already */
    EXPECT(s, ((dist_nccl_wire *)s->wire)->comms == 2);
    int finished = 0;
    int32_t host[2] = {0, 100 + s->rank};
    int32_t *data = nccl_memory(s, sizeof host);
    nccl_copy(s, data, host, sizeof host);
    dist_wire_request *request[2] = {NULL, NULL};
    const dist_wire_collective broadcast = {
        .kind = DIST_NATIVE_BROADCAST, .type = DIST_INT32, .root = 3, .count = 1, .receive = &data[1]};
    EXPECT(s, s->wire->ops->collective(s->wire, &broadcast, &request[0]) == DIST_OK);
    const dist_wire_message message = {
        .send = s->rank == 3, .peer = s->rank == 3 ? 1 : 3, .tag = 9, .buffer = data, .bytes = 4};
    host[0] = s->rank;
    nccl_copy(s, data, host, 4);
    EXPECT(s, s->wire->ops->message(s->wire, &message, &request[1]) == DIST_OK);
    for (int r = 0; r < 2; r++) {
        request[r]->owner = &finished;
        EXPECT(s, s->wire->ops->start(request[r]) == DIST_OK);
    }
    EXPECT(s, nccl_finish(s, 2, 10) == 2);
    nccl_copy(s, host, data, sizeof host);
    EXPECT(s, host[0] == 3 && host[1] == 103);
    for (int r = 0; r < 2; r++)
        s->wire->ops->release(request[r]);
    s->cuda->release(data);
    s->wire->ops->close(s->wire, false);
}

static void test_some_of_the_ranks(void **state)
{
    (void)state;
    assert_int_equal(on_nccl_ranks(4, run_some, 10, false, NULL), 0);
}

/* ---- any order of starts ---- */

static void run_any_order(nccl_rank *s)
{
    run_many(s, 10);
}

static void test_any_order_of_starts(void **state)
{
    (void)state;
    for (int ranks = 2; ranks <= 4; ranks++)
        assert_int_equal(on_nccl_ranks(ranks, run_any_order, 10, false, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collectives),
        cmocka_unit_test(test_some_of_the_ranks),
        cmocka_unit_test(test_any_order_of_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
