/* Predictions against figures derived by hand. All times are sums of halves and wholes, so they are compared
 * exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <libdist/status.h>

#include "plan/predict.h"

enum { RANKS = 8 };
enum { USER, SCRATCH, STATE }; /* the buffers of each plan */

static const dist_slice none = {.buffer = DIST_NO_BUFFER};

static dist_slice at(uint64_t offset, uint64_t bytes)
{
    return dist_slice_of(USER, offset, bytes);
}

typedef struct set {
    int ranks;
    dist_plan *plan[RANKS];
    dist_cluster *cluster;
    dist_prediction prediction;
} set;

/* Empty plans on a line with these latencies. */
static void begin(set *s, int ranks, const double *latency, double bandwidth)
{
    memset(s, 0, sizeof *s);
    s->ranks = ranks;
    for (int r = 0; r < ranks; r++) {
        s->plan[r] = dist_plan_create(r, ranks, "test");
        assert_non_null(s->plan[r]);
        dist_plan_add_buffer(s->plan[r], DIST_BUFFER_USER, 1 << 20, "data");
        dist_plan_add_buffer(s->plan[r], DIST_BUFFER_SCRATCH, 1000, "scratch");
        dist_plan_add_buffer(s->plan[r], DIST_BUFFER_STATE, 80, "state");
    }
    assert_int_equal(dist_cluster_line(&s->cluster, ranks, latency, bandwidth), DIST_OK);
}

static dist_status predict(set *s)
{
    const dist_plan *plan[RANKS];
    for (int r = 0; r < s->ranks; r++) {
        assert_int_equal(dist_plan_finish(s->plan[r]), DIST_OK);
        plan[r] = s->plan[r];
    }
    return dist_predict(plan, s->cluster, true, &s->prediction);
}

static void expect_done(set *s)
{
    dist_status status = predict(s);
    if (status < 0)
        print_error("%s\n", dist_last_error());
    assert_int_equal(status, DIST_OK);
}

static void end(set *s)
{
    dist_prediction_end(&s->prediction, s->ranks);
    dist_cluster_destroy(s->cluster);
    for (int r = 0; r < s->ranks; r++)
        dist_plan_destroy(s->plan[r]);
}

static void equal(double found, double wanted)
{
    if (!(found <= wanted && found >= wanted))
        fail_msg("%.17g instead of %.17g", found, wanted);
}

static void expect_op(const set *s, int rank, int op, double start, double finish)
{
    equal(s->prediction.start[rank][op], start);
    equal(s->prediction.end[rank][op], finish);
}

static void call(set *s, int rank, double cost, int64_t held, dist_slice dst, dist_slice src)
{
    dist_plan_call(s->plan[rank],
                   &(dist_stage_call){.cost = cost, .held = held, .dst = dst, .src = src, .state = none});
}

static void test_one_message(void **state)
{
    (void)state;
    set s;
    begin(&s, 2, (double[]){3}, 2);
    dist_plan_send(s.plan[0], 0, 1, at(0, 8));
    dist_plan_recv(s.plan[1], 0, 0, at(0, 8));
    expect_done(&s);
    expect_op(&s, 0, 0, 0, 4);
    expect_op(&s, 1, 0, 0, 7);
    equal(s.prediction.makespan, 7);
    equal(s.prediction.span, 7);
    equal(s.prediction.rank[0].end, 4);
    equal(s.prediction.rank[1].bubble, 7);
    assert_int_equal(s.prediction.rank[0].peak, 1080);
    assert_int_equal(s.prediction.link[0].bytes, 8);
    assert_int_equal(s.prediction.link[0].messages, 1);
    equal(s.prediction.link[0].busy, 4);
    assert_int_equal(s.prediction.link[1].messages, 0);
    end(&s);
}

static void test_infinite_bandwidth_and_late_receiver(void **state)
{
    (void)state;
    set s;
    begin(&s, 2, (double[]){3}, 0);
    dist_plan_send(s.plan[0], 0, 1, at(0, 8));
    call(&s, 1, 5, 0, at(0, 8), none);
    dist_plan_recv(s.plan[1], 0, 0, at(0, 8)); /* overwrites what the call writes */
    expect_done(&s);
    expect_op(&s, 0, 0, 5, 5); /* the sender waits: nothing is buffered */
    expect_op(&s, 1, 1, 5, 8);
    equal(s.prediction.rank[0].begin, 5);
    equal(s.prediction.rank[1].end, 5); /* of its CALLs */
    equal(s.prediction.rank[1].busy, 5);
    equal(s.prediction.rank[1].bubble, 3);
    equal(s.prediction.makespan, 8);
    equal(s.prediction.span, 5);
    end(&s);
}

/* Message a of 8 bytes whose receiver is ready at `late`, and b, added later, whose receiver is ready at once. */
static void share_link(set *s, double late)
{
    begin(s, 2, (double[]){3}, 2);
    dist_plan_send(s->plan[0], 0, 1, at(0, 8));
    dist_plan_send(s->plan[0], 1, 1, at(8, 8));
    if (late > 0)
        call(s, 1, late, 0, at(0, 8), none);
    dist_plan_recv(s->plan[1], 0, 0, at(0, 8));
    dist_plan_recv(s->plan[1], 1, 0, at(8, 8));
    expect_done(s);
}

static void test_two_messages_share_a_link(void **state)
{
    (void)state;
    set s;
    share_link(&s, 0); /* both ready at once: the one of the lower op number first */
    expect_op(&s, 0, 0, 0, 4);
    expect_op(&s, 0, 1, 4, 8);
    expect_op(&s, 1, 1, 4, 11);
    equal(s.prediction.link[0].busy, 8);
    assert_int_equal(s.prediction.link[0].bytes, 16);
    end(&s);
    share_link(&s, 2); /* b was ready first */
    expect_op(&s, 0, 1, 0, 4);
    expect_op(&s, 0, 0, 4, 8);
    expect_op(&s, 1, 1, 4, 11);
    end(&s);
    share_link(&s, 5); /* the link is free again */
    expect_op(&s, 0, 0, 5, 9);
    expect_op(&s, 1, 1, 5, 12);
    end(&s);
}

static void test_messages_of_a_line_pass_the_senders_link(void **state)
{
    (void)state;
    set s;
    begin(&s, 4, (double[]){1, 2, 4}, 8);
    dist_plan_send(s.plan[0], 0, 3, at(0, 8));
    dist_plan_recv(s.plan[3], 0, 0, at(0, 8));
    dist_plan_send(s.plan[3], 0, 1, at(8, 8));
    dist_plan_recv(s.plan[1], 0, 3, at(8, 8));
    expect_done(&s);
    expect_op(&s, 3, 0, 0, 8);
    expect_op(&s, 1, 0, 0, 7);
    assert_int_equal(s.prediction.link[0].bytes, 8); /* 0 -> 1 */
    assert_int_equal(s.prediction.link[5].bytes, 8); /* 3 -> 2 */
    end(&s);
}

static void test_calls_are_one_at_a_time_and_local_ops_beside_them(void **state)
{
    (void)state;
    set s;
    begin(&s, 1, NULL, 0);
    s.cluster->copy_rate = 4;
    s.cluster->reduce_rate = 8;
    call(&s, 0, 2, 0, none, none);
    s.plan[0]->last_call = DIST_NO_OP; /* no wait, so that only the resource keeps them apart */
    call(&s, 0, 3, 0, none, none);
    dist_plan_copy(s.plan[0], at(0, 8), at(8, 8));
    dist_plan_reduce(s.plan[0], DIST_FLOAT32, DIST_SUM, at(16, 8), at(24, 8));
    dist_plan_divide(s.plan[0], DIST_FLOAT32, at(0, 8), 2); /* after the copy */
    call(&s, 0, 1, 0, at(0, 8), none);                      /* after the division */
    expect_done(&s);
    expect_op(&s, 0, 0, 0, 2);
    expect_op(&s, 0, 1, 2, 5);
    expect_op(&s, 0, 2, 0, 2);
    expect_op(&s, 0, 3, 2, 3);
    expect_op(&s, 0, 4, 3, 4);
    expect_op(&s, 0, 5, 5, 6);
    equal(s.prediction.rank[0].busy, 6); /* CALLs only */
    equal(s.prediction.rank[0].bubble, 0);
    end(&s);
}

static void test_codec_ops_take_the_time_of_their_values(void **state)
{
    (void)state;
    set s;
    begin(&s, 1, NULL, 0);
    s.cluster->codec_rate = 40;
    dist_plan *plan = s.plan[0];
    assert_int_equal(dist_codec_parse("int8:block=16", DIST_SIMD_SCALAR, &plan->codec), DIST_OK);
    uint64_t frame = dist_codec_bytes(&plan->codec, 20), stride = dist_frame_stride(frame);
    for (uint64_t i = 0; i < 2; i++)
        dist_plan_encode(plan, DIST_FLOAT32, dist_slice_of(SCRATCH, i * stride, frame), at(0, 80), none, 0,
                         0);
    dist_plan_decode(plan, DIST_FLOAT32, at(80, 80), dist_slice_of(SCRATCH, 0, stride + frame), 2, 1, false);
    expect_done(&s);
    expect_op(&s, 0, 0, 0, 2);
    expect_op(&s, 0, 1, 2, 4);
    expect_op(&s, 0, 2, 4, 8); /* two frames of 80 bytes of values */
    equal(s.prediction.rank[0].busy, 8);
    end(&s);
}

static void test_peak_of_what_calls_hold(void **state)
{
    (void)state;
    set s;
    begin(&s, 1, NULL, 0);
    call(&s, 0, 1, 100, none, none);
    call(&s, 0, 1, 50, none, none);
    call(&s, 0, 1, -100, none, none); /* gives back at its end */
    call(&s, 0, 1, 70, none, none);
    call(&s, 0, 1, -70, none, none);
    call(&s, 0, 0, -50, none, none);
    expect_done(&s);
    assert_int_equal(s.prediction.rank[0].peak, 1080 + 150);
    equal(s.prediction.makespan, 5);
    end(&s);
}

static void native(set *s, int rank, dist_native kind, uint64_t count)
{
    dist_plan_native(s->plan[rank], kind, DIST_FLOAT32, DIST_SUM, 0, count, at(0, 4 * count),
                     at(0, 4 * count));
}

static void test_native_waits_for_all_and_takes_the_slowest_link(void **state)
{
    (void)state;
    set s;
    begin(&s, 3, (double[]){1, 1}, 8);
    s.cluster->link[2].bandwidth = 2;
    call(&s, 2, 3, 0, at(0, 8), none);
    for (int r = 0; r < 3; r++)
        native(&s, r, DIST_NATIVE_ALL_REDUCE, 2);
    expect_done(&s);
    for (int r = 0; r < 3; r++)
        expect_op(&s, r, r == 2, 3, 12); /* 16 bytes at 2 bytes/s and a latency of 1 */
    assert_int_equal(s.prediction.link[2].bytes, 16);
    assert_int_equal(s.prediction.link[2].messages, 1);
    equal(s.prediction.link[2].busy, 8);
    equal(s.prediction.makespan, 12);
    end(&s);

    begin(&s, 2, (double[]){1}, 2);
    for (int r = 0; r < 2; r++) {
        native(&s, r, DIST_NATIVE_BROADCAST, 2);
        native(&s, r, DIST_NATIVE_BARRIER, 0);
    }
    expect_done(&s);
    expect_op(&s, 1, 0, 0, 5);
    expect_op(&s, 1, 1, 4, 5); /* shares no bytes with the broadcast, so only the link keeps it back */
    end(&s);

    begin(&s, 1, NULL, 0); /* alone, without links */
    native(&s, 0, DIST_NATIVE_ALL_REDUCE, 2);
    call(&s, 0, 1, 0, at(0, 8), none);
    expect_done(&s);
    expect_op(&s, 0, 0, 0, 0);
    equal(s.prediction.makespan, 1);
    end(&s);
}

static void team_native(set *s, int rank, dist_native kind, uint64_t dst, uint64_t src)
{
    const int *team = s->plan[rank]->team;
    dist_plan_native_team(s->plan[rank], kind, DIST_FLOAT32, DIST_SUM, team[0], (dst < src ? dst : src) / 4,
                          at(0, dst), src ? at(100, src) : none);
}

/* Four ranks on a line, in teams {0, 1} and {3, 2}; the way back from 1 to 0 is slow. */
static void begin_teams(set *s)
{
    begin(s, 4, (double[]){1, 2, 1}, 2);
    s->cluster->link[1].bandwidth = 1;
    for (int r = 0; r < 4; r++)
        dist_plan_set_team(s->plan[r], r < 2 ? (int[]){0, 1} : (int[]){3, 2}, 2);
}

static void test_a_teams_native_takes_the_slowest_link_of_its_ring(void **state)
{
    (void)state;
    set s;
    begin_teams(&s);
    call(&s, 1, 3, 0, at(0, 8), none);
    for (int r = 0; r < 4; r++)
        team_native(&s, r, DIST_NATIVE_ALL_REDUCE, 8, 8);
    native(&s, 0, DIST_NATIVE_BARRIER, 0);
    for (int r = 1; r < 4; r++)
        native(&s, r, DIST_NATIVE_BARRIER, 0);
    expect_done(&s);
    expect_op(&s, 0, 0, 3, 12); /* 8 bytes at 1 byte/s, and a latency of 1 */
    expect_op(&s, 1, 1, 3, 12);
    expect_op(&s, 2, 0, 0, 5); /* at 2 bytes/s, and without waiting for the other team */
    expect_op(&s, 3, 0, 0, 5);
    for (int l = 0; l < 6; l++)
        assert_int_equal(s.prediction.link[l].bytes, l / 2 == 1 ? 0 : 8);
    equal(s.prediction.link[0].busy, 4);
    equal(s.prediction.link[1].busy, 8);
    end(&s);
}

/* The half that a member has, or that goes to the other: of an all-reduce twice. */
static void test_the_bytes_of_a_teams_natives(void **state)
{
    (void)state;
    static const struct {
        dist_native kind;
        uint64_t dst, src, bytes;
    } cases[] = {{DIST_NATIVE_ALL_REDUCE, 16, 16, 16}, {DIST_NATIVE_REDUCE_SCATTER, 8, 16, 8},
                 {DIST_NATIVE_ALL_GATHER, 16, 8, 8},   {DIST_NATIVE_BROADCAST, 16, 0, 8},
                 {DIST_NATIVE_ALL_TO_ALL, 16, 16, 8},  {DIST_NATIVE_BARRIER, 0, 0, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        set s;
        begin_teams(&s);
        for (int r = 2; r < 4; r++)
            team_native(&s, r, cases[c].kind, cases[c].dst, cases[c].src);
        expect_done(&s);
        expect_op(&s, 2, 0, 0, (double)cases[c].bytes / 2 + 1);
        expect_op(&s, 3, 0, 0, (double)cases[c].bytes / 2 + 1);
        assert_int_equal(s.prediction.link[4].bytes, cases[c].bytes);
        assert_int_equal(s.prediction.link[5].bytes, cases[c].bytes);
        assert_int_equal(s.prediction.link[0].messages + s.prediction.link[2].messages, 0);
        end(&s);
    }
}

static void test_a_team_of_one_takes_no_time(void **state)
{
    (void)state;
    set s;
    begin(&s, 2, (double[]){1}, 2);
    dist_plan_set_team(s.plan[1], (int[]){1}, 1);
    call(&s, 1, 1, 0, at(0, 8), none);
    team_native(&s, 1, DIST_NATIVE_ALL_REDUCE, 8, 8);
    expect_done(&s);
    expect_op(&s, 1, 1, 1, 1);
    assert_int_equal(s.prediction.link[0].messages + s.prediction.link[1].messages, 0);
    end(&s);
}

static void test_plans_without_ops(void **state)
{
    (void)state;
    set s;
    begin(&s, 2, (double[]){1}, 2);
    call(&s, 1, 4, 0, none, none);
    expect_done(&s);
    equal(s.prediction.rank[0].begin, 0);
    equal(s.prediction.rank[0].end, 0);
    equal(s.prediction.rank[0].bubble, 4);
    end(&s);
}

static void expect_error(set *s, dist_status wanted, const char *part)
{
    assert_int_equal(predict(s), wanted);
    if (!strstr(dist_last_error(), part))
        fail_msg("'%s' is not in '%s'", part, dist_last_error());
    assert_null(s->prediction.rank);
    assert_null(s->prediction.start);
    end(s);
}

static void test_deadlocks_name_who_waits_for_whom(void **state)
{
    (void)state;
    set s;
    begin(&s, 2, (double[]){1}, 2);
    for (int r = 0; r < 2; r++) { /* both send first what they then overwrite */
        dist_plan_send(s.plan[r], 0, 1 - r, at(0, 8));
        dist_plan_recv(s.plan[r], 0, 1 - r, at(0, 8));
    }
    expect_error(
        &s, DIST_ERR_PLAN,
        "deadlock with 4 ops left: rank 0 waits at op 0 SEND data[0+8] to rank 1 #0 channel 0 for "
        "rank 1, whose op 1 RECV data[0+8] from rank 0 #0 channel 0 is not reached: it waits for op 0 "
        "SEND data[0+8] to rank 0 #0 channel 0");

    begin(&s, 2, (double[]){1}, 2);
    call(&s, 0, 1, 0, none, none);
    native(&s, 0, DIST_NATIVE_ALL_REDUCE, 2);
    dist_plan_recv(s.plan[0], 0, 1, at(0, 8));
    dist_plan_send(s.plan[1], 0, 0, at(0, 8));
    native(&s, 1, DIST_NATIVE_ALL_REDUCE, 2);
    expect_error(&s, DIST_ERR_PLAN,
                 "deadlock with 4 ops left: rank 0 waits at op 1 NATIVE all-reduce of 2 float32 data[0+8] = "
                 "data[0+8] for rank 1, whose op 1 NATIVE");
}

static void test_teams_that_do_not_fit_together(void **state)
{
    (void)state;
    set s;
    begin_teams(&s);
    team_native(&s, 3, DIST_NATIVE_ALL_REDUCE, 8, 8);
    expect_error(&s, DIST_ERR_PLAN, "is collective number 1 of its team; rank 2 has only 0");
    begin_teams(&s);
    for (int r = 2; r < 4; r++)
        team_native(&s, r, DIST_NATIVE_ALL_REDUCE, 4 * (uint64_t)r, 4 * (uint64_t)r);
    expect_error(&s, DIST_ERR_PLAN, "differs from the collective that it meets, rank 2 op 0 NATIVE team");
    begin_teams(&s);
    dist_plan_set_team(s.plan[3], (int[]){2, 3}, 2);
    expect_error(&s, DIST_ERR_PLAN,
                 "member 0 of a team is rank 3 in the plan of rank 2, but rank 2 in that of");
    begin_teams(&s);
    team_native(&s, 3, DIST_NATIVE_ALL_REDUCE, 8, 8);
    dist_plan_set_team(s.plan[2], (int[]){2}, 1);
    expect_error(&s, DIST_ERR_PLAN, "the team of rank 3 has rank 2, whose plan is of another team or none");
    begin(&s, 1, NULL, 0);
    native(&s, 0, DIST_NATIVE_ALL_REDUCE, 2);
    s.plan[0]->op[0].device = true;
    expect_error(&s, DIST_ERR_PLAN, "is of the team, but the plan has none");
    begin_teams(&s);
    native(&s, 0, DIST_NATIVE_BROADCAST, 2);
    team_native(&s, 0, DIST_NATIVE_ALL_REDUCE, 8, 8);
    team_native(&s, 1, DIST_NATIVE_ALL_REDUCE, 8, 8);
    for (int r = 1; r < 4; r++)
        native(&s, r, DIST_NATIVE_BROADCAST, 2);
    expect_error(
        &s, DIST_ERR_PLAN,
        "deadlock with 6 ops left: rank 0 waits at op 0 NATIVE broadcast of 2 float32 data[0+8] = data[0+8] "
        "for rank 1, whose op 1 NATIVE broadcast");
}

static void test_plans_that_do_not_fit_together(void **state)
{
    (void)state;
    set s;
    begin(&s, 2, (double[]){1}, 2);
    dist_plan_send(s.plan[0], 0, 1, at(0, 8));
    expect_error(&s, DIST_ERR_PLAN, "meets no RECV: rank 1 receives 0 messages from rank 0 on channel 0");
    begin(&s, 2, (double[]){1}, 2);
    dist_plan_send(s.plan[0], 0, 1, at(0, 8));
    dist_plan_recv(s.plan[1], 0, 0, at(0, 8));
    dist_plan_recv(s.plan[1], 0, 0, at(0, 8));
    expect_error(&s, DIST_ERR_PLAN, "meets no SEND: rank 0 sends 1 messages to rank 1 on channel 0");
    begin(&s, 2, (double[]){1}, 2);
    native(&s, 0, DIST_NATIVE_ALL_REDUCE, 2);
    expect_error(&s, DIST_ERR_PLAN, "is collective number 1 of its rank; rank 1 has only 0");
    begin(&s, 1, NULL, 2);
    call(&s, 0, (double)NAN, 0, none, none);
    expect_error(&s, DIST_ERR_PLAN, "has a cost of");
    begin(&s, 1, NULL, 2);
    call(&s, 0, 1, 0, none, none);
    call(&s, 0, 1, 0, none, none);
    s.plan[0]->wait[0] = 1;
    expect_error(&s, DIST_ERR_PLAN, "waits for op 1, which is not before it");
    begin(&s, 2, (double[]){1}, 2);
    s.plan[1]->rank = 0;
    expect_error(&s, DIST_ERR_ARGUMENT, "the plan of rank 1 of 2 is made for rank 0 of 2");
    begin(&s, 2, (double[]){-1}, 2);
    expect_error(&s, DIST_ERR_ARGUMENT, "link 0 of the cluster has a latency of -1 s");
    begin(&s, 2, (double[]){1}, 2);
    s.cluster->links = 1;
    dist_plan_send(s.plan[1], 0, 0, at(0, 8));
    dist_plan_recv(s.plan[0], 0, 1, at(0, 8));
    expect_error(&s, DIST_ERR_ARGUMENT, "the cluster has link 1 from rank 1 to rank 0; it has 1 links");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_message),
        cmocka_unit_test(test_infinite_bandwidth_and_late_receiver),
        cmocka_unit_test(test_two_messages_share_a_link),
        cmocka_unit_test(test_messages_of_a_line_pass_the_senders_link),
        cmocka_unit_test(test_calls_are_one_at_a_time_and_local_ops_beside_them),
        cmocka_unit_test(test_codec_ops_take_the_time_of_their_values),
        cmocka_unit_test(test_peak_of_what_calls_hold),
        cmocka_unit_test(test_native_waits_for_all_and_takes_the_slowest_link),
        cmocka_unit_test(test_a_teams_native_takes_the_slowest_link_of_its_ring),
        cmocka_unit_test(test_the_bytes_of_a_teams_natives),
        cmocka_unit_test(test_a_team_of_one_takes_no_time),
        cmocka_unit_test(test_teams_that_do_not_fit_together),
        cmocka_unit_test(test_plans_without_ops),
        cmocka_unit_test(test_deadlocks_name_who_waits_for_whom),
        cmocka_unit_test(test_plans_that_do_not_fit_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
