/* Plans with CALLs: the program's functions run in order, in the calling thread, while messages move. */
#define _POSIX_C_SOURCE 200809L /* pthread_barrier_t */

#include "engine_ranks.h"

enum { ROUNDS = 40, ROOM = 256 };

typedef struct work {
    rank_state *s;
    pthread_t caller;
    int calls, fails_at;
    const dist_task *task;
} work;

static char *slot(const dist_task *task, dist_slice slice)
{
    return (char *)dist_task_buffer(task, slice.buffer) + slice.offset;
}

/* Rank 0 makes values of a size of their own, rank 1 doubles them, rank 0 looks at them. */
static dist_status called(void *user, const dist_task *task, const dist_op *op)
{
    work *w = user;
    EXPECT(w->s, pthread_equal(pthread_self(), w->caller));
    EXPECT(w->s, op->kind == DIST_OP_CALL);
    if (w->fails_at == w->calls++)
        return dist_fail(DIST_ERR_STATE, "the program has run out of patience");
    if (w->s->rank == 0 && op->call == DIST_CALL_FORWARD) {
        dist_parcel *parcel = (dist_parcel *)(void *)slot(task, op->dst);
        parcel->bytes = 1 + op->microbatch;
        memset(parcel + 1, (int)op->microbatch, parcel->bytes);
    } else if (w->s->rank == 1) {
        const dist_parcel *in = (const dist_parcel *)(const void *)slot(task, op->src);
        dist_parcel *out = (dist_parcel *)(void *)slot(task, op->dst);
        out->bytes = in->bytes;
        for (uint64_t i = 0; i < in->bytes; i++)
            ((char *)(out + 1))[i] = (char)(2 * ((const char *)(in + 1))[i]);
    } else {
        const dist_parcel *in = (const dist_parcel *)(const void *)slot(task, op->src);
        EXPECT(w->s, in->bytes == 1 + op->microbatch);
        for (uint64_t i = 0; i < in->bytes; i++)
            EXPECT(w->s, ((const char *)(in + 1))[i] == (char)(2 * op->microbatch));
    }
    return DIST_OK;
}

static void add_call(dist_plan *plan, dist_call_kind kind, uint32_t microbatch, dist_slice dst,
                     dist_slice src)
{
    const dist_stage_call call = {.kind = kind,
                                  .stage = (uint32_t)plan->rank,
                                  .microbatch = microbatch,
                                  .dst = dst,
                                  .src = src,
                                  .state = dist_slice_of(DIST_NO_BUFFER, 0, 0)};
    dist_plan_call(plan, &call);
}

static dist_plan *make_plan(int rank)
{
    enum { THERE = DIST_CHANNELS, BACK, ALL };
    dist_plan *plan = dist_plan_create(rank, 2, "there and back");
    const dist_slice nothing = dist_slice_of(DIST_NO_BUFFER, 0, 0);
    const uint32_t in = dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, 2 * ROOM, "in");
    const uint32_t out = dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, 2 * ROOM, "out");
    dist_plan_set_channels(plan, ALL);
    for (uint32_t m = 0; m < ROUNDS; m++) {
        const dist_slice to = dist_slice_of(out, m % 2 * ROOM, ROOM),
                         from = dist_slice_of(in, m % 2 * ROOM, ROOM);
        if (rank == 0) {
            add_call(plan, DIST_CALL_FORWARD, m, to, nothing);
            dist_plan_send(plan, THERE, 1, to);
            dist_plan_label(plan, DIST_CALL_FORWARD, 0, m, true);
            dist_plan_recv(plan, BACK, 1, from);
            dist_plan_label(plan, DIST_CALL_BACKWARD, 0, m, true);
            add_call(plan, DIST_CALL_BACKWARD, m, nothing, from);
        } else {
            dist_plan_recv(plan, THERE, 0, from);
            dist_plan_label(plan, DIST_CALL_FORWARD, 1, m, true);
            add_call(plan, DIST_CALL_FULL, m, to, from);
            dist_plan_send(plan, BACK, 0, to);
            dist_plan_label(plan, DIST_CALL_FULL, 1, m, true);
        }
    }
    return plan;
}

static void serve(rank_state *s)
{
    dist_task *task;
    dist_plan *plan = make_plan(s->rank);
    work w = {.s = s, .caller = pthread_self(), .fails_at = s->fails && s->rank == 1 ? 7 : -1};
    EXPECT(s, dist_plan_finish(plan) == DIST_OK);
    EXPECT(s, dist_task_create(&task, s->engine, plan, NULL) == DIST_OK);
    for (int step = 0; step < (s->fails ? 1 : 3); step++) {
        w.calls = 0;
        const dist_status status = dist_task_serve(task, called, &w);
        snprintf(s->sentence, sizeof s->sentence, "%s", status < 0 ? dist_last_error() : "");
        EXPECT(s, status == (s->fails ? s->rank == 1 ? DIST_ERR_STATE : DIST_ERR_TIMEOUT : DIST_OK));
        EXPECT(s, s->fails || w.calls == (s->rank == 0 ? 2 * ROUNDS : ROUNDS));
    }
    dist_task_destroy(task);
}

static void calls_run_in_order(void **unused)
{
    rank_state ranks[2];
    (void)unused;
    for (int threaded = 0; threaded < 2; threaded++)
        on_net(fake_net_create(2), serve, threaded, 20, ranks);
}

/* What the program says of its failure reaches its own rank, and the other one learns where it happened. */
static void failing_call_ends_all(void **unused)
{
    rank_state ranks[2];
    (void)unused;
    for (int threaded = 0; threaded < 2; threaded++) {
        on_net(fake_net_create(2), serve, threaded, 0.5, ranks);
        assert_non_null(strstr(ranks[1].sentence, "CALL D1.7"));
        assert_non_null(strstr(ranks[1].sentence, "out of patience"));
        assert_non_null(strstr(ranks[0].sentence, "rank 1 says"));
        assert_non_null(strstr(ranks[0].sentence, "RECV B0.7"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_run_in_order),
        cmocka_unit_test(failing_call_ends_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
