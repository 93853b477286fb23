/* What tests with the fake NCCL rest upon: it computes what NCCL does, waits where NCCL waits, and orders no more than that. */
#define _DEFAULT_SOURCE /* setenv, usleep */

#include <math.h>
#include <pthread.h>

#include "nccl_scene.h"

#include "kernels/half.h"

/* ---- what it computes ---- */

typedef struct type_case {
    int type;
    size_t bytes;
} type_case;

static const type_case types[] = {{INT32, 4}, {INT64, 8}, {HALF, 2}, {FLOAT, 4}, {DOUBLE, 8}, {BFLOAT, 2}};

/* Values whose sums round, differently in each order; a NaN among them. */
static void write_value(int type, char *array, size_t i, int rank)
{
    const uint64_t mix = ((uint64_t)rank * 1000003u + i + 1) * 0x9e3779b97f4a7c15u;
    const double real = i % 97 == 5 && rank == 1 ? (double)NAN : ((double)(mix >> 40) / 65536 - 128) * 1.37;
    const int32_t small = (int32_t)(mix >> 32);
    switch (type) {
    case INT32:
        memcpy(array + 4 * i, &small, 4);
        break;
    case INT64:
        memcpy(array + 8 * i, &mix, 8);
        break;
    case HALF:
        ((uint16_t *)(void *)array)[i] = dist_half_from_float((float)real);
        break;
    case BFLOAT:
        ((uint16_t *)(void *)array)[i] = dist_bfloat_from_float((float)real);
        break;
    case FLOAT:
        ((float *)(void *)array)[i] = (float)real;
        break;
    default:
        ((double *)(void *)array)[i] = real;
    }
}

static double real_reduced(int reduction, double a, double b, bool single)
{
    if (reduction == SUM)
        return single ? (double)((float)a + (float)b) : a + b;
    return a != a ? b : b != b ? a : (reduction == MIN) == (b < a) ? b : a;
}

static double real_at(int type, const char *array, size_t i)
{
    const uint16_t *half = (const uint16_t *)(const void *)array;
    return type == HALF     ? (double)dist_half_to_float(half[i])
           : type == BFLOAT ? (double)dist_bfloat_to_float(half[i])
           : type == FLOAT  ? (double)((const float *)(const void *)array)[i]
                            : ((const double *)(const void *)array)[i];
}

/* A whole number, which wraps. */
static uint64_t whole_at(int type, const char *array, size_t i)
{
    int32_t small;
    uint64_t large;
    memcpy(&small, array + 4 * i, 4);
    memcpy(&large, array + (type == INT32 ? 0 : 8 * i), 8);
    return type == INT32 ? (uint64_t)(int64_t)small : large;
}

static uint64_t whole_reduced(int reduction, uint64_t a, uint64_t b)
{
    return reduction == SUM ? a + b : (reduction == MIN) == ((int64_t)b < (int64_t)a) ? b : a;
}

/* Element i, in the order of ranks. */
static bool is_reduced(int type, int reduction, int ranks, char *const in[], size_t i, const char *out,
                       size_t at)
{
    if (type == INT32 || type == INT64) {
        uint64_t whole = whole_at(type, in[0], i);
        for (int r = 1; r < ranks; r++)
            whole = whole_reduced(reduction, whole, whole_at(type, in[r], i));
        const uint64_t got = whole_at(type, out, at);
        return type == INT32 ? (uint32_t)got == (uint32_t)whole : got == whole;
    }
    char one[8] = {0};
    double real = real_at(type, in[0], i);
    for (int r = 1; r < ranks; r++)
        real = real_reduced(reduction, real, real_at(type, in[r], i), type != DOUBLE);
    const size_t bytes = type == DOUBLE ? 8 : type == FLOAT ? 4 : 2;
    const float single = (float)real;
    const uint16_t half = type == HALF ? dist_half_from_float(single) : dist_bfloat_from_float(single);
    memcpy(one, type == DOUBLE ? (const void *)&real : type == FLOAT ? (const void *)&single : &half, bytes);
    return memcmp(one, out + bytes * at, bytes) == 0 ||
           (real != real && real_at(type, out, at) != real_at(type, out, at));
}

typedef struct inputs {
    char *of[RANKS];
} inputs;

static inputs give_all(scene *s, const type_case *t, size_t count)
{
    inputs in;
    for (int r = 0; r < s->ranks; r++) {
        in.of[r] = malloc(count * t->bytes + 8); /* 8: whole_at reads so much */
        for (size_t i = 0; i < count; i++)
            write_value(t->type, in.of[r], i, r);
        give(s, r, s->send[r], in.of[r], count * t->bytes);
    }
    return in;
}

static void forget(scene *s, inputs *in)
{
    for (int r = 0; r < s->ranks; r++)
        free(in->of[r]);
}

static void reduce_one(scene *s, const type_case *t, int reduction, size_t count, bool in_place)
{
    inputs in = give_all(s, t, count);
    for (int r = 0; r < s->ranks; r++)
        launched(s->comm[r], nccl.all_reduce(s->send[r], in_place ? s->send[r] : s->receive[r], count,
                                             t->type, reduction, s->comm[r], s->stream[r]));
    all_end(s);
    for (int r = 0; r < s->ranks; r++) {
        const char *out = take(s, r, in_place ? s->send[r] : s->receive[r], count * t->bytes);
        for (size_t i = 0; i < count; i++)
            assert_true(is_reduced(t->type, reduction, s->ranks, in.of, i, out, i));
    }
    forget(s, &in);
}

/* `count` for each rank. */
static void scatter_one(scene *s, const type_case *t, int reduction, size_t count, bool in_place)
{
    inputs in = give_all(s, t, count * (size_t)s->ranks);
    const size_t bytes = count * t->bytes;
    for (int r = 0; r < s->ranks; r++)
        launched(s->comm[r],
                 nccl.reduce_scatter(s->send[r], in_place ? s->send[r] + bytes * (size_t)r : s->receive[r],
                                     count, t->type, reduction, s->comm[r], s->stream[r]));
    all_end(s);
    for (int r = 0; r < s->ranks; r++) {
        const char *out = take(s, r, in_place ? s->send[r] + bytes * (size_t)r : s->receive[r], bytes);
        for (size_t i = 0; i < count; i++)
            assert_true(is_reduced(t->type, reduction, s->ranks, in.of, (size_t)r * count + i, out, i));
    }
    forget(s, &in);
}

static void test_reductions(void **state)
{
    static const size_t counts[] = {1, 701, 9001}; /* within a chunk, and several */
    static const int reductions[] = {SUM, MIN, MAX};
    (void)state;
    for (int ranks = 1; ranks <= RANKS; ranks += ranks == 1 ? 2 : 1) {
        scene *s = create(ranks);
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            for (int c = 0; c < 3; c++) {
                reduce_one(s, &types[t], reductions[(c + (int)t) % 3], counts[c], c == 1);
                scatter_one(s, &types[t], reductions[(c + (int)t + ranks) % 3], c == 2 ? 5003 : counts[c],
                            c == 2);
            }
        destroy(s);
    }
}

static void fill(scene *s, int rank, char *to, size_t bytes, int value)
{
    char *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (char)(value * 31 + (int)i * 7);
    give(s, rank, to, data, bytes);
    free(data);
}

static void assert_filled(scene *s, int rank, const char *from, size_t bytes, int value)
{
    const char *got = take(s, rank, from, bytes);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(got[i], (char)(value * 31 + (int)i * 7));
}

static void test_gather_and_broadcast(void **state)
{
    static const size_t counts[] = {1, 40001};
    scene *s = create(3);
    (void)state;
    for (int c = 0; c < 4; c++) {
        const size_t bytes = counts[c % 2];
        const bool in_place = c >= 2;
        for (int r = 0; r < 3; r++) {
            char *const send = in_place ? s->receive[r] + bytes * (size_t)r : s->send[r];
            fill(s, r, send, bytes, r + c);
            launched(s->comm[r], nccl.all_gather(send, s->receive[r], bytes, INT8, s->comm[r], s->stream[r]));
        }
        all_end(s);
        for (int r = 0; r < 3; r++)
            for (int from = 0; from < 3; from++)
                assert_filled(s, r, s->receive[r] + bytes * (size_t)from, bytes, from + c);
        for (int r = 0; r < 3; r++) {
            fill(s, r, s->send[r], bytes, r + 5);
            launched(s->comm[r], nccl.broadcast(s->send[r], in_place ? s->send[r] : s->receive[r], bytes,
                                                INT8, c % 3, s->comm[r], s->stream[r]));
        }
        all_end(s);
        for (int r = 0; r < 3; r++)
            assert_filled(s, r, in_place ? s->send[r] : s->receive[r], bytes, c % 3 + 5);
    }
    destroy(s);
}

/* Round a ring, which only a group can do, and two that follow each other. */
static void test_messages(void **state)
{
    const size_t bytes = 70001;
    scene *s = create(3);
    (void)state;
    for (int r = 0; r < 3; r++) {
        fill(s, r, s->send[r], bytes, r);
        nccl.group_start();
        for (int part = 0; part < 2; part++) {
            const size_t at = part ? bytes - 10 : 0, count = part ? 10 : bytes - 10;
            assert_int_equal(nccl.send(s->send[r] + at, count, INT8, (r + 1) % 3, s->comm[r], s->stream[r]),
                             0);
            assert_int_equal(
                nccl.receive(s->receive[r] + at, count, INT8, (r + 2) % 3, s->comm[r], s->stream[r]), 0);
        }
        launched(s->comm[r], nccl.group_end());
    }
    all_end(s);
    for (int r = 0; r < 3; r++)
        assert_filled(s, r, s->receive[r], bytes, (r + 2) % 3);
    launched(s->comm[2], nccl.send(s->send[2], 4, INT8, 0, s->comm[2], s->stream[2]));
    assert_false(ends(s, 2, s->stream[2], 0.02)); /* until it is received */
    launched(s->comm[0], nccl.receive(s->receive[0], 4, INT8, 2, s->comm[0], s->stream[0]));
    all_end(s);
    assert_filled(s, 0, s->receive[0], 4, 2);
    destroy(s);
}

/* ---- when it runs ---- */

static void test_a_kernel_waits_for_its_peers(void **state)
{
    scene *s = create(3);
    (void)state;
    for (int r = 0; r < 2; r++)
        add_one(s, r, s->comm[r], s->stream[r], 0);
    assert_false(ends(s, 0, s->stream[0], 0.02));
    assert_int_equal(fake_nccl_get(FAKE_NCCL_RUNNING), 2);
    add_one(s, 2, s->comm[2], s->stream[2], 0);
    all_end(s);
    assert_int_equal(fake_nccl_get(FAKE_NCCL_RUNNING), 0);
    destroy(s);
}

/* Kernels of one communicator follow each other also on two streams. */
static void test_two_streams_of_one_communicator(void **state)
{
    scene *s = create(2);
    (void)state;
    fake_nccl_set(FAKE_NCCL_RESIDENT, 2);
    for (size_t i = 0; i < 30; i++)
        for (int r = 0; r < 2; r++)
            launched(s->comm[r],
                     nccl.all_reduce(s->send[r] + 256 * i, s->receive[r] + 256 * i, 1 + i, FLOAT, SUM,
                                     s->comm[r],
                                     i % 2 ? s->other[r] : s->stream[r])); /* other counts would disagree */
    all_end(s);
    for (int r = 0; r < 2; r++)
        assert_true(ends(s, r, s->other[r], 10));
    fake_nccl_set(FAKE_NCCL_RESIDENT, 1);
    destroy(s);
}

/* What is in progress is not yet on the stream, and nothing else may be called. */
static void test_operations_in_progress(void **state)
{
    scene *s = create(1);
    int delayed = 0;
    (void)state;
    for (int i = 0; i < 40; i++) {
        const int result =
            nccl.all_reduce(s->send[0], s->receive[0], 4, FLOAT, SUM, s->comm[0], s->stream[0]);
        if (result == DIST_NCCL_IN_PROGRESS) {
            delayed++;
            assert_int_equal(
                nccl.all_reduce(s->send[0], s->receive[0], 4, FLOAT, SUM, s->comm[0], s->stream[0]),
                INVALID_ARGUMENT);
        }
        launched(s->comm[0], result);
    }
    assert_in_range(delayed, 1, 39);
    all_end(s);
    destroy(s);
}

static void await_running(int kernels)
{
    const int64_t deadline = dist_deadline(10);
    while (fake_nccl_get(FAKE_NCCL_RUNNING) != kernels && dist_now() < deadline)
        usleep(50);
    assert_int_equal(fake_nccl_get(FAKE_NCCL_RUNNING), kernels);
}

/* Each rank has begun what the other begins second. */
static void launch_crosswise(scene *s, void *second[])
{
    for (int r = 0; r < 2; r++)
        add_one(s, r, r == 0 ? s->comm[r] : second[r], s->stream[r], 0);
    await_running(2);
    for (int r = 0; r < 2; r++)
        add_one(s, r, r == 0 ? second[r] : s->comm[r], s->other[r], 64);
}

static void test_one_kernel_on_a_device(void **state)
{
    void *second[RANKS];
    scene *s = create(2);
    (void)state;
    connect_ranks(s, second);
    assert_int_equal(fake_nccl_set(FAKE_NCCL_RESIDENT, 2), 1);
    launch_crosswise(s, second);
    all_end(s);
    assert_int_equal(fake_nccl_set(FAKE_NCCL_RESIDENT, 1), 2);
    launch_crosswise(s, second);
    for (int r = 0; r < 2; r++) {
        assert_false(ends(s, r, s->stream[r], 0.05));
        assert_false(ends(s, r, s->other[r], 0.05));
    }
    abort_ranks(s, s->comm);
    abort_ranks(s, second);
    all_end(s);
    for (int r = 0; r < 2; r++)
        assert_true(ends(s, r, s->other[r], 10));
    release(s);
}

/* Copies the input on another stream, often late; how many outputs are wrong. */
static int wrong_sums(bool ordered)
{
    setenv("FAKE_CUDA_DELAY_US", "2000", 1);
    scene *s = create(2);
    int wrong = 0;
    for (int i = 1; i <= 20; i++) {
        for (int r = 0; r < 2; r++)
            memset(s->host + r * 65536, i, 65536);
        for (int r = 0; r < 2; r++) {
            cuda->copy(s->send[r], s->host + r * 65536, 65536, s->other[r]);
            cuda->event_record(s->event[r], s->other[r]);
            if (ordered)
                cuda->stream_wait_event(s->stream[r], s->event[r]);
            launched(s->comm[r],
                     nccl.all_reduce(s->send[r], s->receive[r], 16384, INT32, MIN, s->comm[r], s->stream[r]));
        }
        all_end(s);
        for (int r = 0; r < 2; r++)
            cuda->synchronize(s->other[r]);
        const char *out = take(s, 0, s->receive[0], 65536);
        size_t right = 0;
        while (right < 65536 && out[right] == i)
            right++;
        wrong += right < 65536;
    }
    destroy(s);
    unsetenv("FAKE_CUDA_DELAY_US");
    return wrong;
}

static void test_events_order_inputs(void **state)
{
    (void)state;
    assert_int_equal(wrong_sums(true), 0);
}

static void test_a_missing_event_shows(void **state)
{
    (void)state;
    const int wrong = wrong_sums(false);
    print_message("without the event %d of 20 sums are wrong\n", wrong);
    assert_true(wrong > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_gather_and_broadcast),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_a_kernel_waits_for_its_peers),
        cmocka_unit_test(test_two_streams_of_one_communicator),
        cmocka_unit_test(test_operations_in_progress),
        cmocka_unit_test(test_one_kernel_on_a_device),
        cmocka_unit_test(test_events_order_inputs),
    };
    const struct CMUnitTest of_bugs[] = {cmocka_unit_test(test_a_missing_event_shows)};
#ifdef __SANITIZE_THREAD__ /* it would say so itself, and end the process */
    const bool bugs = false;
#else
    const bool bugs = true;
#endif
    load();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return bugs ? failed + cmocka_run_group_tests(of_bugs, NULL, NULL) : failed;
}
