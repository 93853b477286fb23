/* The engine and its tasks, with threads as ranks: what it promises when all goes well, and when a rank does not come. */
#define _POSIX_C_SOURCE 200809L

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collective/collective.h"
#include "engine_ranks.h"
#include "plan/engine.h"

static dist_task *all_reduce(rank_state *s, dist_algo_kind algo, uint64_t count, float *data,
                             dist_status *status)
{
    dist_plan *plan;
    dist_task *task = NULL;
    dist_spec spec = {.kind = DIST_ALL_REDUCE,
                      .algo = {.kind = algo},
                      .type = DIST_FLOAT32,
                      .count = count,
                      .in_place = true,
                      .chunk_bytes = 4096,
                      .topology = s->topology,
                      .rank = s->rank};
    dist_codec_parse("none", DIST_SIMD_AUTO, &spec.codec);
    EXPECT(s, dist_collective_plan(&plan, &spec) == DIST_OK);
    *status = dist_task_create(&task, s->engine, plan, (void *[]){data});
    return task;
}

static void fill(rank_state *s, float *data, size_t count, int round)
{
    for (size_t i = 0; i < count; i++)
        data[i] = (float)(s->rank + (int)(i % 7) + round);
}

static bool summed(const float *data, size_t count, int round)
{
    for (size_t i = 0; i < count; i++)
        if (data[i] != (float)(6 + 4 * ((int)(i % 7) + round)))
            return false;
    return true;
}

enum { TASKS = 6, COUNT = 9000 };

static void run_many(rank_state *s)
{
    static const dist_algo_kind algo[] = {DIST_ALGO_HIER, DIST_ALGO_RING, DIST_ALGO_HALVING,
                                          DIST_ALGO_DOUBLING};
    dist_task *task[TASKS];
    dist_status status;
    float *data = malloc(sizeof(float) * TASKS * COUNT), small[4];
    for (int t = 0; t < TASKS; t++) {
        task[t] = all_reduce(s, algo[t % 4], COUNT, data + t * COUNT, &status);
        EXPECT(s, status == DIST_OK);
    }
    dist_task *quick = all_reduce(s, DIST_ALGO_DOUBLING, 4, small, &status);
    EXPECT(s, status == DIST_OK);
    for (int round = 0; round < 30; round++) {
        for (int t = 0; t < TASKS; t++) {
            int which = s->rank % 2 ? TASKS - 1 - t : t; /* in another order on every other rank */
            fill(s, data + which * COUNT, COUNT, round);
            EXPECT(s, dist_task_start(task[which]) == DIST_OK);
        }
        fill(s, small, 4, round); /* a short one among the others in flight, then one by itself */
        EXPECT(s, dist_task_run(quick) == DIST_OK);
        EXPECT(s, summed(small, 4, round));
        for (int t = 0; t < TASKS; t++) {
            EXPECT(s, dist_task_wait(task[t], 0) == DIST_OK);
            EXPECT(s, summed(data + t * COUNT, COUNT, round));
        }
        fill(s, small, 4, round);
        EXPECT(s, dist_task_run(quick) == DIST_OK);
        EXPECT(s, summed(small, 4, round));
    }
    for (int t = 0; t < TASKS; t++)
        EXPECT(s, dist_task_destroy(task[t]) == DIST_OK);
    EXPECT(s, dist_task_destroy(quick) == DIST_OK);
    free(data);
}

static void test_many_tasks(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    on_ranks(run_many, true, 20, -1, ranks);
    on_ranks(run_many, false, 20, -1, ranks);
}

/* Nothing but the progress thread moves these: the program looks on. */
static void run_hands_off(rank_state *s)
{
    dist_status status;
    float *data = malloc(sizeof(float) * COUNT);
    dist_task *task = all_reduce(s, DIST_ALGO_HIER, COUNT, data, &status);
    fill(s, data, COUNT, 0);
    EXPECT(s, dist_task_start(task) == DIST_OK);
    int64_t deadline = dist_deadline(20);
    while (dist_task_test(task) == DIST_IN_PROGRESS && dist_now() < deadline)
        sched_yield();
    EXPECT(s, dist_task_test(task) == DIST_OK);
    EXPECT(s, summed(data, COUNT, 0));
    EXPECT(s, dist_task_stats_of(task)->messages > 0);
    EXPECT(s, dist_task_destroy(task) == DIST_OK);
    free(data);
}

static void test_progress_thread_alone(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    on_ranks(run_hands_off, true, 20, -1, ranks);
}

/* The same short task by each of the ways to run it, on two places by turns: the results are the same bits. */
static void run_restarts(rank_state *s)
{
    dist_status status;
    float data[2][4];
    dist_task *task = all_reduce(s, DIST_ALGO_DOUBLING, 4, data[0], &status);
    EXPECT(s, status == DIST_OK && dist_task_wait(task, 0) == DIST_OK); /* never started */
    for (int round = 0; round < 1000; round++) {
        float *place = data[round % 2];
        EXPECT(s, dist_task_bind(task, (void *[]){place}) == DIST_OK);
        fill(s, place, 4, round);
        if ((round + s->rank) % 3 == 0) { /* ranks do not need to go the same way */
            EXPECT(s, dist_task_run(task) == DIST_OK);
        } else {
            EXPECT(s, dist_task_start(task) == DIST_OK);
            while (round % 5 == 0 && dist_task_test(task) == DIST_IN_PROGRESS)
                sched_yield();
            EXPECT(s, dist_task_wait(task, 20) == DIST_OK);
        }
        EXPECT(s, summed(place, 4, round));
    }
    EXPECT(s, dist_task_destroy(task) == DIST_OK);
}

static void test_restarts(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    on_ranks(run_restarts, true, 20, -1, ranks);
    on_ranks(run_restarts, false, 20, -1, ranks);
}

/* A task that runs is waited for before it goes; nobody can bind or start it meanwhile. */
static void run_destroy_early(rank_state *s)
{
    dist_status status;
    float *data = malloc(sizeof(float) * COUNT);
    for (int round = 0; round < 10; round++) {
        dist_task *task = all_reduce(s, DIST_ALGO_RING, COUNT, data, &status);
        fill(s, data, COUNT, round);
        EXPECT(s, status == DIST_OK && dist_task_start(task) == DIST_OK);
        if (s->rank == 0) { /* what rank 1 sends is late, so that nobody can be done */
            EXPECT(s, dist_task_bind(task, (void *[]){data}) == DIST_ERR_STATE);
            EXPECT(s, dist_task_start(task) == DIST_ERR_STATE);
            EXPECT(s, strstr(dist_last_error(), "all-reduce of 9000 float32"));
            fake_deliver(s->net);
        }
        EXPECT(s, dist_task_destroy(task) == DIST_OK);
        EXPECT(s, summed(data, COUNT, round));
        pthread_barrier_wait(&s->net->all);
        if (s->rank == 0)
            fake_hold(s->net, 1);
        pthread_barrier_wait(&s->net->all);
    }
    dist_counters counters;
    dist_engine_counters(s->engine, &counters);
    EXPECT(s, counters.ops > 0 && counters.messages > 0);
    free(data);
}

static void test_destroy_in_flight(void **state)
{
    (void)state;
    for (int threaded = 0; threaded < 2; threaded++) {
        rank_state ranks[FAKE_RANKS];
        fake_net *net = fake_net_create(FAKE_RANKS);
        net->late = 1;
        on_net(net, run_destroy_early, threaded, 20, ranks);
    }
}

static void run_mismatch(rank_state *s)
{
    dist_status status;
    float data[100];
    dist_task *task = all_reduce(s, DIST_ALGO_RING, s->rank == 3 ? 99 : 100, data, &status);
    EXPECT(s, status == DIST_ERR_MISMATCH && !task);
    EXPECT(s, strstr(dist_last_error(), "of 99 float32") && strstr(dist_last_error(), "of 100 float32"));
    EXPECT(s, strstr(dist_last_error(), "first op that differs: op "));
    task = all_reduce(s, DIST_ALGO_RING, 100, data, &status); /* the engine goes on */
    fill(s, data, 100, 1);
    EXPECT(s, status == DIST_OK && dist_task_run(task) == DIST_OK && summed(data, 100, 1));
    EXPECT(s, dist_task_destroy(task) == DIST_OK);
}

static void test_mismatch(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    on_ranks(run_mismatch, true, 20, -1, ranks);
}

/* What rank 2 sends is lost. The buffers stay: after a failure the wire may still touch them. */
static float lost[FAKE_RANKS][COUNT];

static void run_lossy(rank_state *s)
{
    dist_status status;
    dist_task *task = all_reduce(s, DIST_ALGO_RING, COUNT, lost[s->rank], &status);
    EXPECT(s, status == DIST_OK && dist_task_start(task) == DIST_OK);
    EXPECT(s, dist_task_start(task) == DIST_ERR_STATE);
    EXPECT(s, dist_task_wait(task, 0.05) == DIST_ERR_TIMEOUT); /* not yet over: it goes on */
    EXPECT(s, dist_task_test(task) == DIST_IN_PROGRESS);
    EXPECT(s, dist_task_wait(task, 0) == DIST_ERR_TIMEOUT);
    snprintf(s->sentence, sizeof s->sentence, "%s", dist_last_error());
    EXPECT(s, dist_task_start(task) == DIST_ERR_TIMEOUT); /* and so does every later call */
    EXPECT(s, dist_task_run(task) == DIST_ERR_TIMEOUT);
}

static void test_lost_messages(void **state)
{
    (void)state;
    for (int threaded = 0; threaded < 2; threaded++) {
        rank_state ranks[FAKE_RANKS];
        on_ranks(run_lossy, threaded, 0.5, 2, ranks);
        assert_non_null(strstr(ranks[3].sentence, "rank 3 (site1)"));
        assert_non_null(strstr(ranks[3].sentence, "from rank 2"));
        for (int r = 0; r < FAKE_RANKS; r++)
            assert_non_null(strstr(ranks[r].sentence, "all-reduce of 9000 float32"));
    }
}

static float quick_lost[FAKE_RANKS][4];

static void run_quick_lossy(rank_state *s)
{
    dist_status status;
    dist_task *task = all_reduce(s, DIST_ALGO_DOUBLING, 4, quick_lost[s->rank], &status);
    EXPECT(s, status == DIST_OK && dist_task_run(task) == DIST_ERR_TIMEOUT);
    EXPECT(s, strstr(dist_last_error(), "all-reduce of 4 float32"));
    EXPECT(s, dist_task_run(task) == DIST_ERR_TIMEOUT);
}

static void test_lost_short_messages(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    on_ranks(run_quick_lossy, true, 0.5, 1, ranks);
}

static void run_absent(rank_state *s)
{
    dist_status status = DIST_ERR_TIMEOUT;
    if (s->rank != 1)
        all_reduce(s, DIST_ALGO_RING, 10, lost[s->rank], &status);
    EXPECT(s, status == DIST_ERR_TIMEOUT);
}

static void test_a_rank_that_never_prepares(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    on_ranks(run_absent, true, 0.5, -1, ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_tasks),
        cmocka_unit_test(test_progress_thread_alone),
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_destroy_in_flight),
        cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_lost_messages),
        cmocka_unit_test(test_lost_short_messages),
        cmocka_unit_test(test_a_rank_that_never_prepares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
