/* The NCCL wire when something is wrong: a member that does not come, a peer that is lost, an NCCL that refuses, and an
 * order that is not kept. */
#define _POSIX_C_SOURCE 200809L /* pthread_barrier */

#include <pthread.h>

#include "nccl_ranks.h"

static dist_wire_request *all_reduce(nccl_rank *s, uint32_t ticket, int32_t *data, int *finished)
{
    dist_wire_request *request = NULL;
    const dist_wire_collective call = {
        .type = DIST_INT32, .ticket = ticket, .count = 4, .send = DIST_IN_PLACE, .receive = data};
    EXPECT(s, s->wire->ops->collective(s->wire, &call, &request) == DIST_OK);
    request->owner = finished;
    return request;
}

/* ---- opening ---- */

static void test_versions(void **state)
{
    int version = -1;
    (void)state;
    assert_int_equal(dist_nccl_available(FAKE_NCCL_LIBRARY, &version), DIST_OK);
    assert_int_equal(version, 22809);
    assert_int_equal(dist_nccl_available("libm.so.6", &version), DIST_ERR_UNSUPPORTED);
    assert_non_null(strstr(dist_last_error(), "ncclGetVersion"));
    assert_int_equal(version, 0);
    assert_int_equal(dist_nccl_available("/no/such/library", &version), DIST_ERR_UNSUPPORTED);
    fake_nccl_set(FAKE_NCCL_VERSION, 21704);
    assert_int_equal(dist_nccl_available(FAKE_NCCL_LIBRARY, &version), DIST_ERR_UNSUPPORTED);
    assert_non_null(strstr(dist_last_error(), "2.17.4"));
    fake_nccl_set(FAKE_NCCL_VERSION, 2708);
    assert_int_equal(dist_nccl_available(FAKE_NCCL_LIBRARY, &version), DIST_ERR_UNSUPPORTED);
    assert_non_null(strstr(dist_last_error(), "2.7.8"));
    fake_nccl_set(FAKE_NCCL_VERSION, 22809);
}

/* The one of this machine, if it has one. */
static void test_real_library(void **state)
{
    int version = 0;
    (void)state;
    const dist_status status = dist_nccl_available(NULL, &version);
    print_message("libnccl.so.2: %s, version %d\n", status == DIST_OK ? "opened" : dist_last_error(),
                  version);
    assert_true(status == DIST_OK ? version >= 21800 : status == DIST_ERR_UNSUPPORTED);
}

/* A library that lacks some symbols: what needs them is refused, all else works. */
static void run_old(nccl_rank *s)
{
    int32_t host[4] = {1, 2, 3, 4 * (1 + s->rank)}, *data = nccl_memory(s, sizeof host);
    int finished = 0;
    dist_wire_request *request = NULL;
    s->library = FAKE_NCCL_OLD_LIBRARY;
    nccl_copy(s, data, host, sizeof host);
    EXPECT(s, nccl_open_all(s) == DIST_OK);
    if (!s->wire)
        return;
    const dist_wire_collective broadcast = {.kind = DIST_NATIVE_BROADCAST, .count = 4, .receive = data};
    EXPECT(s, s->wire->ops->collective(s->wire, &broadcast, &request) == DIST_ERR_UNSUPPORTED);
    EXPECT(s, nccl_all_edges(s) == DIST_ERR_UNSUPPORTED);
    EXPECT(s, strstr(dist_last_error(), "no ncclSend"));
    request = all_reduce(s, 0, data, &finished);
    EXPECT(s, s->wire->ops->start(request) == DIST_OK && nccl_finish(s, 1, 10) == 1);
    nccl_copy(s, host, data, sizeof host);
    EXPECT(s, host[0] == 2 && host[3] == 12);
    s->wire->ops->release(request);
    s->wire->ops->close(s->wire, false);
    s->cuda->release(data);
}

static void test_missing_symbols(void **state)
{
    int version = 0;
    (void)state;
    assert_int_equal(dist_nccl_available(FAKE_NCCL_OLD_LIBRARY, &version), DIST_OK);
    assert_int_equal(on_nccl_ranks(2, run_old, 10, false, NULL), 0);
}

/* All of open with it: on a machine without a driver, or with one GPU for both ranks, it is refused on both. */
static void run_real(nccl_rank *s)
{
    s->library = NULL;
    const dist_status status = nccl_open_all(s);
    EXPECT(s, status == DIST_OK || status == DIST_ERR_NCCL || status == DIST_ERR_UNSUPPORTED);
    snprintf(s->sentence, sizeof s->sentence, "%s", status < 0 ? dist_last_error() : "opened");
    if (s->wire)
        s->wire->ops->close(s->wire, false);
}

static void test_open_the_real_library(void **state)
{
    char sentence[NCCL_RANKS][DIST_ERROR_MAX];
    (void)state;
    assert_int_equal(on_nccl_ranks(2, run_real, 20, false, sentence), 0);
    print_message("%s\n", sentence[1]);
    assert_int_equal(strcmp(sentence[0], "opened") == 0, strcmp(sentence[1], "opened") == 0);
}

static void run_absent(nccl_rank *s)
{
    if (s->rank == 2)
        return;
    const int64_t began = dist_now();
    EXPECT(s, nccl_open_all(s) == DIST_ERR_TIMEOUT);
    EXPECT(s, s->wire == NULL);
    EXPECT(s, dist_now() - began < 2000000000);
    snprintf(s->sentence, sizeof s->sentence, "%s", dist_last_error());
}

static void test_member_that_never_comes(void **state)
{
    char sentence[NCCL_RANKS][DIST_ERROR_MAX];
    (void)state;
    assert_int_equal(on_nccl_ranks(4, run_absent, 0.3, true, sentence), 0);
    assert_non_null(strstr(sentence[0], "rank 2 did not take part"));
    assert_non_null(strstr(sentence[1], "rank 0"));
}

/* All come, but NCCL does not get ready on one. */
static void run_stuck(nccl_rank *s)
{
    const int64_t began = dist_now();
    EXPECT(s, nccl_open_all(s) == DIST_ERR_TIMEOUT);
    EXPECT(s, s->wire == NULL);
    EXPECT(s, dist_now() - began < 4000000000);
    snprintf(s->sentence, sizeof s->sentence, "%s", dist_last_error());
}

static void test_nccl_that_is_never_ready(void **state)
{
    char sentence[NCCL_RANKS][DIST_ERROR_MAX];
    (void)state;
    fake_nccl_set(FAKE_NCCL_STICK, 1);
    assert_int_equal(on_nccl_ranks(3, run_stuck, 0.3, true, sentence), 0);
    fake_nccl_set(FAKE_NCCL_STICK, -1);
    assert_non_null(strstr(sentence[1], "not ready in time"));
}

/* NCCL's sentence reaches all ranks, and the control wire can be used again. */
static void run_refused(nccl_rank *s)
{
    EXPECT(s, nccl_open_all(s) == DIST_ERR_NCCL);
    EXPECT(s, s->wire == NULL);
    EXPECT(s, strstr(dist_last_error(), "DIST_NCCL=off"));
    nccl_meet(s);
    fake_nccl_set(FAKE_NCCL_REFUSE, -1);
    nccl_meet(s);
    EXPECT(s, nccl_open_all(s) == DIST_OK);
    if (s->wire)
        s->wire->ops->close(s->wire, false);
}

static void test_nccl_that_refuses(void **state)
{
    (void)state;
    for (int rank = 0; rank < 3; rank++) {
        fake_nccl_set(FAKE_NCCL_REFUSE, rank);
        assert_int_equal(on_nccl_ranks(3, run_refused, 10, false, NULL), 0);
    }
}

static void run_wrong_members(nccl_rank *s)
{
    static const int twice[] = {0, 0, 1}, others[] = {0, 3};
    EXPECT(s, nccl_open(s, twice, 3) == DIST_ERR_ARGUMENT);
    EXPECT(s, nccl_open(s, others, 2) == DIST_ERR_ARGUMENT);
    if (s->rank == 1) /* the leader is told who disagrees */
        EXPECT(s, nccl_open(s, (const int[]){0, 1}, 2) == DIST_ERR_MISMATCH);
    else if (s->rank == 0)
        EXPECT(s, nccl_open(s, (const int[]){0, 1, 2}, 3) == DIST_ERR_MISMATCH);
    else
        EXPECT(s, nccl_open(s, (const int[]){0, 1, 2}, 3) < 0);
}

static void test_members_that_disagree(void **state)
{
    (void)state;
    assert_int_equal(on_nccl_ranks(3, run_wrong_members, 0.5, true, NULL), 0);
}

/* ---- edges and requests ---- */

static dist_status edge_one(nccl_rank *s, int from, int to)
{
    const dist_nccl_edge edge = {from, to};
    const dist_patience patience = {.deadline = dist_deadline(s->timeout)};
    return dist_wire_nccl_edges(s->wire, &edge, 1, &patience);
}

static void run_arguments(nccl_rank *s)
{
    int32_t *data = nccl_memory(s, 64);
    dist_wire_request *request = NULL;
    EXPECT(s, nccl_open_all(s) == DIST_OK);
    const dist_wire_ops *ops = s->wire->ops;
    EXPECT(s, edge_one(s, 0, s->rank == 2 ? 2 : 1) == DIST_ERR_MISMATCH);
    EXPECT(s, edge_one(s, 1, 1) == DIST_ERR_ARGUMENT);
    EXPECT(s, edge_one(s, 1, 3) == DIST_ERR_ARGUMENT);
    EXPECT(s, edge_one(s, 0, 1) == DIST_OK);
    dist_wire_message message = {
        .send = s->rank == 1, .peer = s->rank == 1 ? 0 : 1, .buffer = data, .bytes = 64};
    EXPECT(s, ops->message(s->wire, &message, &request) == DIST_ERR_ARGUMENT); /* 1 to 0, or 2 and 1 */
    if (s->rank == 0) {
        message.send = message.variable = true;
        EXPECT(s, ops->message(s->wire, &message, &request) == DIST_ERR_UNSUPPORTED);
    }
    dist_wire_collective call = {
        .type = DIST_FLOAT32, .reduction = DIST_AVERAGE, .count = 4, .receive = data};
    EXPECT(s, ops->collective(s->wire, &call, &request) == DIST_ERR_ARGUMENT);
    call = (dist_wire_collective){.kind = DIST_NATIVE_BROADCAST, .root = 3, .receive = data};
    EXPECT(s, ops->collective(s->wire, &call, &request) == DIST_ERR_ARGUMENT);
    ((dist_nccl_wire *)s->wire)->library.broadcast = NULL; /* as where a library has not the symbol */
    call.root = 0;
    EXPECT(s, ops->collective(s->wire, &call, &request) == DIST_ERR_UNSUPPORTED);
    call =
        (dist_wire_collective){.kind = DIST_NATIVE_ALL_TO_ALL, .count = 1, .send = data, .receive = data + 8};
    EXPECT(s, ops->collective(s->wire, &call, &request) == DIST_ERR_UNSUPPORTED);
    EXPECT(s, strstr(dist_last_error(), "no all-to-all"));
    EXPECT(s, ops->open_space(s->wire, 3, NULL) == DIST_OK);
    ops->close(s->wire, false);
    s->cuda->release(data);
}

static void test_arguments(void **state)
{
    (void)state;
    assert_int_equal(on_nccl_ranks(3, run_arguments, 10, false, NULL), 0);
}

/* What one rank gives up still takes its turn, and what is behind it ends. */
static void run_released(nccl_rank *s)
{
    int finished[2] = {0, 0};
    int32_t *data = nccl_memory(s, 32);
    EXPECT(s, nccl_open_all(s) == DIST_OK);
    dist_wire_request *given_up = all_reduce(s, 0, data, &finished[0]);
    dist_wire_request *kept = all_reduce(s, 1, data + 4, &finished[1]);
    EXPECT(s, s->wire->ops->start(given_up) == DIST_OK);
    EXPECT(s, s->wire->ops->start(given_up) == DIST_ERR_STATE);
    EXPECT(s, s->wire->ops->start(kept) == DIST_OK);
    if (s->rank == 1)
        s->wire->ops->release(given_up);
    EXPECT(s, nccl_finish(s, s->rank == 1 ? 1 : 2, 10) > 0);
    EXPECT(s, finished[0] == (s->rank != 1) && finished[1] == 1);
    if (s->rank != 1)
        s->wire->ops->release(given_up);
    s->wire->ops->release(kept);
    s->wire->ops->release(NULL);
    s->wire->ops->close(s->wire, false);
    s->cuda->release(data);
}

static void test_release_while_it_runs(void **state)
{
    (void)state;
    assert_int_equal(on_nccl_ranks(3, run_released, 10, false, NULL), 0);
}

/* ---- failures under way ---- */

static void close_in_time(nccl_rank *s)
{
    const int64_t began = dist_now();
    s->wire->ops->close(s->wire, true);
    EXPECT(s, dist_now() - began < 6000000000);
}

/* Rank 1 tells that it has started and is not heard of again: the others launch and wait, and no error is made up. */
static void run_lost(nccl_rank *s)
{
    int finished = 0;
    int32_t *data = nccl_memory(s, 16);
    EXPECT(s, nccl_open_all(s) == DIST_OK);
    dist_wire_request *request = all_reduce(s, 0, data, &finished);
    EXPECT(s, s->wire->ops->start(request) == DIST_OK);
    if (s->rank == 1)
        EXPECT(s, dist_nccl_order_tell((dist_nccl_wire *)s->wire) == DIST_OK);
    else
        EXPECT(s, nccl_finish(s, 1, 0.2) == 0 && !s->sentence[0]);
    if (s->rank != 1)
        EXPECT(s, ((dist_nccl_wire *)s->wire)->launched.first != NULL);
    nccl_meet(s);
    close_in_time(s);
    s->wire->ops->release(request);
}

static void test_lost_peer(void **state)
{
    (void)state;
    assert_int_equal(on_nccl_ranks(3, run_lost, 10, true, NULL), 0);
}

static void run_asynchronous(nccl_rank *s)
{
    int finished = 0;
    int32_t *data = nccl_memory(s, 16);
    EXPECT(s, nccl_open_all(s) == DIST_OK);
    dist_wire_request *request = all_reduce(s, 0, data, &finished);
    nccl_meet(s);
    if (s->rank == 0)
        fake_nccl_set(FAKE_NCCL_BREAK, 0);
    nccl_meet(s);
    if (s->rank != 2)
        EXPECT(s, s->wire->ops->start(request) == DIST_OK);
    EXPECT(s, nccl_finish(s, 1, 2) == 0);
    EXPECT(s, strstr(s->sentence, "NCCL error 6"));
    nccl_meet(s);
    close_in_time(s);
    s->wire->ops->release(request);
}

static void test_asynchronous_error(void **state)
{
    char sentence[NCCL_RANKS][DIST_ERROR_MAX];
    (void)state;
    assert_int_equal(on_nccl_ranks(3, run_asynchronous, 10, true, sentence), 0);
    fake_nccl_set(FAKE_NCCL_BREAK, -1);
    print_message("%s\n", sentence[0]);
    assert_non_null(strstr(sentence[0], FAKE_NCCL_SENTENCE));
}

/* ---- the order matters ---- */

/* Launches an all-reduce and a message behind the back of the wire. True when both end soon. */
static bool launch_two(nccl_rank *s, bool reduce_first)
{
    dist_nccl_wire *wire = (dist_nccl_wire *)s->wire;
    int32_t *data = nccl_memory(s, 32);
    void *event = NULL;
    int error = DIST_CUDA_NOT_READY;
    EXPECT(s, s->cuda->event_create(&event) == 0);
    for (int i = 0; i < 2; i++) {
        const bool reduce = reduce_first == (i == 0);
        void *const comm = wire->comm[reduce ? 0 : 1].handle;
        int state = reduce         ? wire->library.all_reduce(data, data, 4, 2, 0, comm, wire->stream)
                    : s->rank == 0 ? wire->library.send(data + 4, 16, 0, 1, comm, wire->stream)
                                   : wire->library.receive(data + 4, 16, 0, 0, comm, wire->stream);
        while (state == DIST_NCCL_IN_PROGRESS)
            EXPECT(s, wire->library.async_error(comm, &state) == 0);
        EXPECT(s, state == 0);
    }
    EXPECT(s, s->cuda->event_record(event, wire->stream) == 0);
    const int64_t deadline = dist_deadline(0.5);
    while (error == DIST_CUDA_NOT_READY && dist_now() < deadline) {
        error = s->cuda->event_query(event);
        sched_yield();
    }
    return error == 0;
}

static void run_wrong_order(nccl_rank *s)
{
    EXPECT(s, nccl_open_all(s) == DIST_OK);
    EXPECT(s, edge_one(s, 0, 1) == DIST_OK);
    EXPECT(s, launch_two(s, true));
    nccl_meet(s);
    EXPECT(s, !launch_two(s, s->rank == 0));
    nccl_meet(s);
    close_in_time(s);
}

/* So a wire that did not keep the order would be found out by the tests here. */
static void test_wrong_order_hangs(void **state)
{
    (void)state;
    assert_int_equal(on_nccl_ranks(2, run_wrong_order, 10, true, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_missing_symbols),
        cmocka_unit_test(test_real_library),
        cmocka_unit_test(test_open_the_real_library),
        cmocka_unit_test(test_member_that_never_comes),
        cmocka_unit_test(test_nccl_that_is_never_ready),
        cmocka_unit_test(test_nccl_that_refuses),
        cmocka_unit_test(test_members_that_disagree),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_release_while_it_runs),
        cmocka_unit_test(test_lost_peer),
        cmocka_unit_test(test_asynchronous_error),
        cmocka_unit_test(test_wrong_order_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
