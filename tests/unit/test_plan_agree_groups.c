/* What ranks agree on when groups of them prepare plans of their own. */
#define _POSIX_C_SOURCE 200809L

#include "collective/collective.h"
#include "engine_ranks.h"
#include "plan/embed.h"
#include "plan/engine_internal.h"
#include "topology/group.h"

enum { COUNT = 100 };

/* The all-reduce of `count` in the group of every second rank. */
static dist_plan *plan_in_group(rank_state *s, const char *algo, uint64_t count)
{
    const int member[2] = {s->rank % 2, s->rank % 2 + 2};
    dist_topology *group = NULL;
    dist_plan *plan = NULL;
    EXPECT(s, dist_topology_group(&group, s->topology, member, 2) == DIST_OK);
    dist_spec spec = {.kind = DIST_ALL_REDUCE,
                      .type = DIST_INT32,
                      .count = count,
                      .in_place = true,
                      .codec = {.kind = DIST_CODEC_NONE, .text = "none"},
                      .topology = group,
                      .rank = s->rank / 2};
    EXPECT(s, dist_algo_parse(algo, &spec.algo) == DIST_OK);
    EXPECT(s, dist_collective_plan(&plan, &spec) == DIST_OK);
    EXPECT(s, dist_plan_embed(plan, member, s->net->ranks) == DIST_OK);
    dist_topology_destroy(group);
    return plan;
}

static dist_plan *plan_of_nothing(rank_state *s, const char *label)
{
    dist_plan *plan = dist_plan_create(0, 1, "%s", label);
    EXPECT(s, dist_plan_finish(plan) == DIST_OK);
    EXPECT(s, dist_plan_embed(plan, &s->rank, s->net->ranks) == DIST_OK);
    return plan;
}

static void run_task(rank_state *s, dist_task *task, int *data, int count)
{
    const int sum = 2 * (s->rank % 2) + 2; /* of ranks 0 and 2, or 1 and 3 */
    for (int round = 1; round < 4; round++) {
        for (int i = 0; i < count; i++)
            data[i] = round * s->rank + i;
        EXPECT(s, dist_task_run(task) == DIST_OK);
        for (int i = 0; i < count; i++)
            EXPECT(s, data[i] == round * sum + 2 * i);
    }
}

/* Other words, other counts and other algorithms in each group. */
static void run_different_groups(rank_state *s)
{
    static const char *const algo[2][3] = {{"ring", "halving", "hier"}, {"doubling", "ring", "halving"}};
    int data[2 * COUNT];
    for (int a = 0; a < 3; a++) {
        const int odd = s->rank % 2, count = COUNT + 50 * odd;
        dist_task *task = NULL;
        dist_plan *plan = plan_in_group(s, algo[odd][a], (uint64_t)count);
        EXPECT(s, dist_task_create(&task, s->engine, plan, (void *[]){data}) == DIST_OK && task);
        run_task(s, task, data, count);
        EXPECT(s, dist_task_destroy(task) == DIST_OK);
    }
}

/* One group has nothing to do. */
static void run_idle_group(rank_state *s)
{
    int data[COUNT];
    dist_task *task = NULL, *other = NULL;
    dist_plan *plan = s->rank % 2 ? plan_of_nothing(s, "nothing") : plan_in_group(s, "ring", COUNT);
    EXPECT(s, dist_task_create(&task, s->engine, plan, (void *[]){data}) == DIST_OK && task);
    if (s->rank % 2) {
        EXPECT(s, dist_task_destroy(task) == DIST_OK);
        task = NULL;
    }
    plan = plan_in_group(s, "ring", COUNT);
    EXPECT(s, dist_task_create(&other, s->engine, plan, (void *[]){data}) == DIST_OK && other);
    EXPECT(s, !task || task->tag + task->tags <= other->tag);
    run_task(s, other, data, COUNT);
    if (task)
        run_task(s, task, data, COUNT);
    EXPECT(s, dist_task_destroy(task) == DIST_OK);
    EXPECT(s, dist_task_destroy(other) == DIST_OK);
}

static bool says(const char *part)
{
    return strstr(dist_last_error(), part) != NULL;
}

static void run_same_group_differs(rank_state *s)
{
    dist_task *task = NULL;
    int data[2 * COUNT];
    dist_plan *plan = plan_in_group(s, "ring", s->rank == 3 ? COUNT + 1 : COUNT);
    EXPECT(s, dist_task_create(&task, s->engine, plan, (void *[]){data}) == DIST_ERR_MISMATCH && !task);
    EXPECT(s, says("rank 1 prepares 'all-reduce of 100") && says("rank 3 prepares 'all-reduce of 101"));
    plan = plan_in_group(s, "ring", COUNT); /* the engine goes on */
    EXPECT(s, dist_task_create(&task, s->engine, plan, (void *[]){data}) == DIST_OK);
    run_task(s, task, data, COUNT);
    EXPECT(s, dist_task_destroy(task) == DIST_OK);
}

/* The words fit in each group, the messages do not: rank 2 says that it is alone. */
static void run_messages_differ(rank_state *s)
{
    dist_task *task = NULL;
    int data[COUNT];
    dist_plan *plan = s->rank == 2 ? plan_of_nothing(s, "nothing") : plan_in_group(s, "ring", COUNT);
    EXPECT(s, dist_task_create(&task, s->engine, plan, (void *[]){data}) == DIST_ERR_MISMATCH && !task);
    EXPECT(s, says("their messages do not fit") && says("on rank 0 meets nothing on rank 2"));
}

/* A plan of all ranks meets one of a group. */
static void run_all_and_group(rank_state *s)
{
    dist_task *task = NULL;
    dist_plan *plan = plan_of_nothing(s, s->rank == 1 ? "of all" : "of one");
    if (s->rank == 1)
        plan->group = 0;
    EXPECT(s, dist_task_create(&task, s->engine, plan, NULL) == DIST_ERR_MISMATCH && !task);
    EXPECT(s, says("rank 0 prepares 'of one'") && says("rank 1 prepares 'of all'"));
}

static void run_most(rank_state *s)
{
    static const uint64_t value[FAKE_RANKS] = {3, 7, UINT64_MAX - 1, 7};
    uint64_t most = 0;
    int rank = -1;
    EXPECT(s, dist_engine_ranks(s->engine) == FAKE_RANKS);
    EXPECT(s, dist_engine_most(s->engine, "a number", value[s->rank], &most, &rank) == DIST_OK);
    EXPECT(s, most == UINT64_MAX - 1 && rank == 2);
    EXPECT(s, dist_engine_most(s->engine, "a number", value[s->rank] % 8, &most, &rank) == DIST_OK);
    EXPECT(s, most == 7 && rank == 1);
    EXPECT(s, dist_engine_most(s->engine, "a number", 0, &most, &rank) == DIST_OK && most == 0 && rank == 0);
}

/* A rank that makes a task where the others ask. */
static void run_most_and_task(rank_state *s)
{
    uint64_t most;
    int rank;
    dist_task *task;
    if (s->rank == 3)
        EXPECT(s,
               dist_task_create(&task, s->engine, plan_of_nothing(s, "a task"), NULL) == DIST_ERR_MISMATCH);
    else
        EXPECT(s, dist_engine_most(s->engine, "a number", 1, &most, &rank) == DIST_ERR_MISMATCH);
    EXPECT(s, says("rank 0 prepares 'a number'") && says("rank 3 prepares 'a task'"));
    EXPECT(s, dist_engine_most(s->engine, "a number", 1, &most, &rank) == DIST_OK && most == 1);
}

static void on_four(void (*run)(rank_state *))
{
    rank_state ranks[FAKE_RANKS];
    on_ranks(run, true, 20, -1, ranks);
}

static void test_groups_may_differ(void **state)
{
    (void)state;
    on_four(run_different_groups);
}

static void test_a_group_with_nothing_to_do(void **state)
{
    (void)state;
    on_four(run_idle_group);
}

static void test_ranks_of_a_group_may_not_differ(void **state)
{
    (void)state;
    on_four(run_same_group_differs);
}

static void test_messages_that_do_not_fit(void **state)
{
    (void)state;
    on_four(run_messages_differ);
}

static void test_a_plan_of_all_among_groups(void **state)
{
    (void)state;
    on_four(run_all_and_group);
}

static void test_the_largest_number(void **state)
{
    (void)state;
    on_four(run_most);
}

static void test_a_number_that_meets_a_task(void **state)
{
    (void)state;
    on_four(run_most_and_task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_may_differ),
        cmocka_unit_test(test_a_group_with_nothing_to_do),
        cmocka_unit_test(test_ranks_of_a_group_may_not_differ),
        cmocka_unit_test(test_messages_that_do_not_fit),
        cmocka_unit_test(test_a_plan_of_all_among_groups),
        cmocka_unit_test(test_the_largest_number),
        cmocka_unit_test(test_a_number_that_meets_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
