/* What ranks agree on before a plan runs: tags that no two live tasks share, and that are given back. */
#define _POSIX_C_SOURCE 200809L

#include "engine_ranks.h"
#include "plan/engine_internal.h"

enum { TAGS = 40, KEPT = 6 };

/* `messages` from rank 0 to every other rank, of which those below 3 get at most `fewer`; each as long as `bytes`. */
static dist_status make_uneven(rank_state *s, dist_task **task, int messages, int fewer, uint64_t bytes,
                               int *data)
{
    dist_plan *plan = dist_plan_create(s->rank, s->net->ranks, "%d messages", messages);
    uint32_t buffer = dist_plan_add_buffer(plan, DIST_BUFFER_USER, sizeof(int) * TAGS, "data");
    for (int m = 0; m < messages; m++)
        for (int r = 1; r < s->net->ranks; r++)
            if (r < 3 && m >= fewer)
                continue;
            else if (s->rank == 0)
                dist_plan_send(plan, DIST_CHANNEL_ACROSS, r, dist_slice_of(buffer, (uint64_t)m * 4, bytes));
            else if (s->rank == r)
                dist_plan_recv(plan, DIST_CHANNEL_ACROSS, 0, dist_slice_of(buffer, (uint64_t)m * 4, bytes));
    EXPECT(s, dist_plan_finish(plan) == DIST_OK);
    return dist_task_create(task, s->engine, plan, (void *[]){data});
}

static dist_status make(rank_state *s, dist_task **task, int messages, uint64_t bytes, int *data)
{
    return make_uneven(s, task, messages, messages, bytes, data);
}

static void no_tag_is_shared(rank_state *s, dist_task *const *task)
{
    for (int i = 0; i < KEPT; i++) {
        EXPECT(s, !task[i] || task[i]->tag + task[i]->tags <= TAGS);
        for (int j = 0; j < i; j++)
            EXPECT(s, !task[i] || !task[j] || task[i]->tag + task[i]->tags <= task[j]->tag ||
                          task[j]->tag + task[j]->tags <= task[i]->tag);
    }
}

/* All in flight at once: a message that meets the wrong receive brings the wrong number. */
static void run_kept(rank_state *s, dist_task *const *task, int (*data)[TAGS], int round)
{
    for (int i = 0; i < KEPT; i++) {
        int which = s->rank % 2 ? KEPT - 1 - i : i;
        for (int m = 0; m < TAGS; m++)
            data[which][m] = s->rank == 0 ? round * 1000 + which * 100 + m : -1;
        EXPECT(s, !task[which] || dist_task_start(task[which]) == DIST_OK);
    }
    for (int i = 0; i < KEPT; i++) {
        EXPECT(s, !task[i] || dist_task_wait(task[i], 0) == DIST_OK);
        for (uint32_t m = 0; task[i] && m < task[i]->tags; m++)
            EXPECT(s, data[i][m] == round * 1000 + i * 100 + (int)m);
    }
}

/* Much more often than there are tags a task goes and another comes; the oldest lives on at the lowest tags. */
static void run_turnover(rank_state *s)
{
    dist_task *task[KEPT] = {NULL}, *empty;
    int data[KEPT][TAGS];
    EXPECT(s, make(s, &empty, 0, 4, data[0]) == DIST_OK); /* needs no tag, and is in nobody's way */
    for (int round = 0; round < 60; round++) {
        int which = round < KEPT ? round : 1 + round % (KEPT - 1);
        EXPECT(s, dist_task_destroy(task[which]) == DIST_OK);
        EXPECT(s, make(s, &task[which], 1 + round % 5, 4, data[which]) == DIST_OK);
        no_tag_is_shared(s, task);
        run_kept(s, task, data, round);
    }
    for (int i = 0; i < KEPT; i++)
        EXPECT(s, dist_task_destroy(task[i]) == DIST_OK);
    EXPECT(s, dist_task_destroy(empty) == DIST_OK);
}

static void test_tags_come_back(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    fake_net *net = fake_net_create(FAKE_RANKS);
    net->tags = TAGS;
    on_net(net, run_turnover, true, 20, ranks);
}

/* Destroying is not collective: ranks that keep a task longer keep its tags for all. */
static void run_uneven(rank_state *s)
{
    dist_task *task[KEPT] = {NULL};
    int data[KEPT][TAGS];
    for (int i = 0; i < 3; i++)
        EXPECT(s, make(s, &task[i], 8, 4, data[i]) == DIST_OK);
    if (s->rank != 2) {
        EXPECT(s, dist_task_destroy(task[0]) == DIST_OK);
        task[0] = NULL;
    }
    if (s->rank % 2 == 0) {
        EXPECT(s, dist_task_destroy(task[1]) == DIST_OK);
        task[1] = NULL;
    }
    for (int i = 3; i < 5; i++)
        EXPECT(s, make(s, &task[i], 8, 4, data[i]) == DIST_OK);
    no_tag_is_shared(s, task);
    EXPECT(s, task[3]->tag == 24 && task[4]->tag == 32); /* past what any rank still has */
    EXPECT(s, make(s, &task[5], 8, 4, data[5]) == DIST_ERR_UNSUPPORTED);
    EXPECT(s, strstr(dist_last_error(), "8 messages"));
    EXPECT(s, dist_task_destroy(task[3]) == DIST_OK);
    EXPECT(s, make(s, &task[3], 8, 4, data[3]) == DIST_OK); /* the engine goes on */
    for (int i = 0; i < KEPT; i++)
        EXPECT(s, dist_task_destroy(task[i]) == DIST_OK);
}

static void test_ranks_that_keep_tasks_longer(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    fake_net *net = fake_net_create(FAKE_RANKS);
    net->tags = TAGS;
    on_net(net, run_uneven, true, 20, ranks);
}

/* Where the room that all propose is too small for what one rank needs. */
static void run_small_room(rank_state *s)
{
    dist_task *task[4] = {NULL};
    int data[4][TAGS];
    for (int i = 0; i < 3; i++)
        EXPECT(s, make(s, &task[i], i < 2 ? 4 : 8, 4, data[i]) == DIST_OK);
    EXPECT(s, dist_task_destroy(task[1]) == DIST_OK);
    task[1] = NULL;
    if (s->rank % 3 == 0) {
        EXPECT(s, dist_task_destroy(task[2]) == DIST_OK);
        task[2] = NULL;
    }
    EXPECT(s, make_uneven(s, &task[3], 12, 2, 4, data[3]) == DIST_OK);
    EXPECT(s, task[3]->tag == 16 && task[3]->tags == 12);
    for (int i = 0; i < 4; i++)
        EXPECT(s, dist_task_destroy(task[i]) == DIST_OK);
}

static void test_room_that_is_too_small(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    fake_net *net = fake_net_create(FAKE_RANKS);
    net->tags = TAGS;
    on_net(net, run_small_room, true, 20, ranks);
}

/* The words are the same, the bytes are not. */
static void run_same_words(rank_state *s)
{
    dist_task *task = NULL;
    int data[TAGS];
    EXPECT(s, make(s, &task, 3, s->rank == 3 ? 8 : 4, data) == DIST_ERR_MISMATCH && !task);
    EXPECT(s,
           strstr(dist_last_error(), "op 2 SEND of 4 bytes on rank 0 meets op 0 RECV of 8 bytes on rank 3"));
    EXPECT(s, strstr(dist_last_error(), "'3 messages'"));
    EXPECT(s, !strstr(dist_last_error(), "rank 0 prepares")); /* nobody to set it against */
}

static void test_plans_of_the_same_words(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    on_ranks(run_same_words, true, 20, -1, ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags_come_back),
        cmocka_unit_test(test_ranks_that_keep_tasks_longer),
        cmocka_unit_test(test_room_that_is_too_small),
        cmocka_unit_test(test_plans_of_the_same_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
