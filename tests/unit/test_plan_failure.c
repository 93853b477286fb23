/* When a wire breaks, a message is late or a start meets a failure: every call ends, and says why. */
#define _POSIX_C_SOURCE 200809L

#include "engine_ranks.h"
#include "collective/collective.h"
#include "plan/engine_internal.h"

/* Rank 0 sends `bytes` to rank 1; the others do nothing. Buffers stay: after a failure the wire may still touch them. */
static char sent[FAKE_RANKS][64];

static dist_task *one_message(rank_state *s, const char *name)
{
    dist_task *task = NULL;
    dist_plan *plan = dist_plan_create(s->rank, s->net->ranks, "%s", name);
    uint32_t buffer = dist_plan_add_buffer(plan, DIST_BUFFER_USER, sizeof sent[0], "data");
    dist_slice all = dist_slice_of(buffer, 0, sizeof sent[0]);
    if (s->rank == 0)
        dist_plan_send(plan, DIST_CHANNEL_INSIDE, 1, all);
    if (s->rank == 1)
        dist_plan_recv(plan, DIST_CHANNEL_INSIDE, 0, all);
    EXPECT(s, dist_plan_finish(plan) == DIST_OK);
    EXPECT(s, dist_task_create(&task, s->engine, plan, (void *[]){sent[s->rank]}) == DIST_OK);
    return task;
}

static void keep_sentence(rank_state *s)
{
    snprintf(s->sentence, sizeof s->sentence, "%s", dist_last_error());
}

static void run_late(rank_state *s)
{
    dist_task *task = one_message(s, "a late message");
    dist_task *never = one_message(s, "another");
    EXPECT(s, dist_task_start(task) == DIST_OK);
    EXPECT(s, dist_task_wait(task, 0) == (s->rank < 2 ? DIST_ERR_TIMEOUT : DIST_OK));
    keep_sentence(s);
    pthread_barrier_wait(&s->net->all);
    if (s->rank == 0)
        fake_deliver(s->net);
    pthread_barrier_wait(&s->net->all);
    if (s->rank >= 2)
        return;
    pthread_mutex_lock(&s->engine->drive);
    EXPECT(s, !dist_engine_pass(s->engine)); /* the message that arrived is nobody's */
    pthread_mutex_unlock(&s->engine->drive);
    EXPECT(s, dist_task_test(task) == DIST_ERR_TIMEOUT);
    /* what is refused is not done: whoever overlooks it learns of it when waiting */
    EXPECT(s, dist_task_wait(never, 0) == DIST_OK);
    EXPECT(s, dist_task_start(never) == DIST_ERR_TIMEOUT);
    EXPECT(s, dist_task_wait(never, 0) == DIST_ERR_TIMEOUT);
    EXPECT(s, dist_task_test(never) == DIST_ERR_TIMEOUT);
}

static void test_message_after_the_deadline(void **state)
{
    (void)state;
    for (int threaded = 0; threaded < 2; threaded++) {
        rank_state ranks[FAKE_RANKS];
        fake_net *net = fake_net_create(FAKE_RANKS);
        net->late = 0;
        on_net(net, run_late, threaded, 0.2, ranks);
        assert_non_null(strstr(ranks[1].sentence, "rank 1 (site0)"));
        assert_non_null(strstr(ranks[1].sentence, "RECV data[0+64] from rank 0"));
    }
}

static void run_broken(rank_state *s)
{
    dist_task *task = one_message(s, "a message");
    pthread_barrier_wait(&s->net->all); /* nobody is still preparing */
    dist_status status = dist_task_start(task);
    status = status < 0 ? status : dist_task_wait(task, 0);
    keep_sentence(s);
    if (s->rank == 0)
        EXPECT(s, status == DIST_ERR_MPI);
    if (s->rank == 1) /* long before the deadline: it has heard */
        EXPECT(s, status == DIST_ERR_TIMEOUT);
}

static void test_start_that_fails(void **state)
{
    (void)state;
    for (int threaded = 0; threaded < 2; threaded++) {
        rank_state ranks[FAKE_RANKS];
        fake_net *net = fake_net_create(FAKE_RANKS);
        net->breaks = 0;
        int64_t deadline = dist_deadline(60);
        on_net(net, run_broken, threaded, 100, ranks);
        assert_true(dist_now() < deadline);
        assert_non_null(
            strstr(ranks[0].sentence, "rank 0 (site0): a message: op 0 SEND data[0+64] to rank 1"));
        assert_non_null(strstr(ranks[0].sentence, "the fake is broken"));
        assert_non_null(strstr(ranks[1].sentence, "given up because rank 0 says: a message: op 0 SEND"));
    }
}

/* Its only message never comes, while the program starts and looks at something else again and again. */
static void run_racing(rank_state *s)
{
    dist_task *stuck = NULL, *other = NULL;
    dist_plan *plan = dist_plan_create(0, 1, "stuck"), *empty = dist_plan_create(0, 1, "empty");
    uint32_t buffer = dist_plan_add_buffer(plan, DIST_BUFFER_USER, sizeof sent[0], "data");
    dist_plan_recv(plan, DIST_CHANNEL_INSIDE, 0, dist_slice_of(buffer, 0, sizeof sent[0]));
    dist_plan_send(plan, DIST_CHANNEL_INSIDE, 0, dist_slice_of(buffer, 0, sizeof sent[0]));
    EXPECT(s, dist_plan_finish(plan) == DIST_OK && dist_plan_finish(empty) == DIST_OK);
    EXPECT(s, dist_task_create(&other, s->engine, empty, NULL) == DIST_OK);
    EXPECT(s, dist_task_create(&stuck, s->engine, plan, (void *[]){sent[0]}) == DIST_OK);
    EXPECT(s, dist_task_start(stuck) == DIST_OK);
    int64_t deadline = dist_deadline(20);
    dist_status status = DIST_OK;
    while (status == DIST_OK && dist_now() < deadline) {
        status = dist_task_start(other);
        while ((status = status < 0 ? status : dist_task_test(other)) == DIST_IN_PROGRESS &&
               dist_now() < deadline)
            sched_yield();
    }
    EXPECT(s, status == DIST_ERR_TIMEOUT);
    EXPECT(s, dist_task_test(stuck) == DIST_ERR_TIMEOUT);
}

static void test_start_while_it_fails(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        rank_state alone;
        on_net(fake_net_create(1), run_racing, true, 0.02, &alone);
    }
}

static float summed[FAKE_RANKS][4096];

/* One piece: ranks 0 and 2 exchange it. */
static void run_spoiled(rank_state *s)
{
    dist_plan *plan;
    dist_task *task = NULL;
    dist_spec spec = {.kind = DIST_ALL_REDUCE,
                      .algo = {.kind = DIST_ALGO_HIER},
                      .type = DIST_FLOAT32,
                      .count = 4096,
                      .in_place = true,
                      .topology = s->topology,
                      .rank = s->rank};
    for (int i = 0; i < 4096; i++)
        summed[s->rank][i] = (float)i;
    EXPECT(s, dist_codec_parse("int8", DIST_SIMD_AUTO, &spec.codec) == DIST_OK);
    EXPECT(s, dist_collective_plan(&plan, &spec) == DIST_OK);
    EXPECT(s, dist_task_create(&task, s->engine, plan, (void *[]){summed[s->rank]}) == DIST_OK);
    EXPECT(s, dist_task_start(task) == DIST_OK);
    const dist_status status = dist_task_wait(task, 0);
    keep_sentence(s);
    if (s->rank >= 2) /* the other site got what it needed, and may be done */
        EXPECT(s, s->rank == 2 ? status == DIST_ERR_FRAME : status < 0);
}

static void test_bytes_that_change_on_the_way(void **state)
{
    (void)state;
    for (int threaded = 0; threaded < 2; threaded++) {
        rank_state ranks[FAKE_RANKS];
        fake_net *net = fake_net_create(FAKE_RANKS);
        net->spoils = 0;
        on_net(net, run_spoiled, threaded, 100, ranks);
        assert_non_null(strstr(ranks[2].sentence, "rank 2 (site1)"));
        assert_non_null(strstr(ranks[2].sentence, "frame 0 of 2: the frame's checksum is"));
        assert_non_null(strstr(ranks[3].sentence, "given up because rank 2 says")); /* it has heard */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_after_the_deadline),
        cmocka_unit_test(test_start_that_fails),
        cmocka_unit_test(test_start_while_it_fails),
        cmocka_unit_test(test_bytes_that_change_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
