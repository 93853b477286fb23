/* Collectives of teams: good ones are proven, and each defect is found and named. Frames that are checked before they are
 * copied, too. */
#include "plan_sets.h"

enum { SCATTER, GATHER, BROADCAST, REDUCE }; /* the ops of set_teams */

static void teams_sum_among_themselves(void **state)
{
    (void)state;
    plan_set set;
    set_teams(&set);
    expect_good(&set);
    set_teams(&set);
    for (int r = 0; r < 4; r++) /* of all ranks: it is not */
        set.output[r].group = 0;
    expect_fault(&set, "which lacks the contribution of rank 1", NULL);
    set_teams(&set);
    for (int r = 0; r < 4; r++) /* each team on its own, so one may have more than the other */
        if (r % 2)
            for (size_t op = 4; op-- > REDUCE;)
                delete_op(set.plan[r], op);
    expect_good(&set);
}

/* ---- teams that do not agree ---- */

static void a_team_in_another_order(void **state)
{
    (void)state;
    plan_set set;
    set_teams(&set);
    set.plan[2]->team[0] = 2;
    set.plan[2]->team[1] = 0;
    for (size_t op = 0; op < 2; op++) { /* as its own order has it, so that nothing else is wrong */
        dist_op *o = &set.plan[2]->op[op];
        *(op ? &o->src.offset : &o->dst.offset) = 0;
    }
    expect_fault(&set, "member 0 of a team is rank 0 in the plan of rank 0, but rank 2 in that of rank 2",
                 NULL);
}

static void teams_of_different_sizes(void **state)
{
    (void)state;
    plan_set set;
    set_teams(&set);
    dist_plan_set_team(set.plan[3], (int[]){3, 1, 2}, 3);
    for (size_t op = 0; op < 2; op++)
        set.plan[3]->op[op].native = DIST_NATIVE_BARRIER;
    expect_fault(&set, "the team of rank 3 has 3 ranks; that of rank 1, which has it, 2", NULL);
    set_teams(&set);
    dist_plan_set_team(set.plan[0], (int[]){0, 1}, 2);
    expect_fault(&set, "member 0 of a team is rank 0 in the plan of rank 0, but rank 3 in that of rank 1",
                 NULL);
    set_teams(&set);
    dist_plan_set_team(set.plan[1], (int[]){2, 1}, 2);
    set.plan[1]->op[BROADCAST].peer = 1;
    expect_fault(&set, "the team of rank 1 has rank 2, whose plan is of another team", NULL);
}

static void teams_that_make_no_sense(void **state)
{
    (void)state;
    plan_set set;
    set_teams(&set);
    set.plan[0]->team[1] = 4;
    expect_fault(&set, "the team of rank 0 has rank 4; there are 4 ranks", NULL);
    set_teams(&set);
    set.plan[0]->team[1] = -1;
    expect_fault(&set, "the team of rank 0 has rank -1", NULL);
    set_teams(&set);
    set.plan[0]->team[1] = 0;
    expect_fault(&set, "the team of rank 0 has rank 0 twice", NULL);
    set_teams(&set);
    set.plan[0]->team[0] = 1;
    expect_fault(&set, "rank 0 op 0 NATIVE team", "is of a team that rank 0 is not in", NULL);
    set_teams(&set);
    set.plan[1]->ops = set.plan[1]->waits = set.plan[1]->sequences = 0;
    set.plan[1]->team[1] = 2;
    expect_fault(&set, "rank 1 is not in the team of its own plan", NULL);
}

static void empty_plan(dist_plan *plan)
{
    free(plan->team);
    plan->team = NULL;
    plan->teammates = 0;
    plan->ops = plan->waits = plan->sequences = 0;
}

static void a_plan_without_the_team(void **state)
{
    (void)state;
    plan_set set;
    set_teams(&set);
    free(set.plan[2]->team);
    set.plan[2]->team = NULL;
    expect_fault(&set, "rank 2 op 0 NATIVE team reduce-scatter", "is of a team that rank 2 is not in", NULL);
    set_teams(&set);
    empty_plan(set.plan[0]);
    expect_fault(&set, "the team of rank 2 has rank 0, whose plan is of another team or none", NULL);
    set_teams(&set);
    empty_plan(set.plan[2]);
    expect_fault(&set, "rank 2 is in the team of rank 0, but its plan has no team", NULL);
}

/* ---- collectives that do not meet ---- */

static void one_rank_leaves_a_collective_out(void **state)
{
    (void)state;
    plan_set set;
    for (int r = 0; r < 4; r++)
        for (size_t op = 0; op < 4; op++) {
            char first[64];
            const int founder = r % 2, fewer = r;
            set_teams(&set);
            delete_op(set.plan[r], op);
            if (op < REDUCE) { /* it meets the next one */
                snprintf(first, sizeof first, "rank %d op %zu NATIVE team", founder == r ? r + 2 : r, op);
                expect_fault(&set, first, "differs from the collective that it meets", NULL);
            } else if (founder == r) {
                snprintf(first, sizeof first, "rank %d op 3 NATIVE team all-reduce", r + 2);
                expect_fault(&set, first, "is collective number 4 of its team; rank", "has only 3", NULL);
            } else {
                snprintf(first, sizeof first, "number 4 of its team; rank %d has only 3", fewer);
                expect_fault(&set, "NATIVE team all-reduce", first, NULL);
            }
        }
}

static void collectives_that_differ(void **state)
{
    (void)state;
    plan_set set;
    set_teams(&set);
    set.plan[2]->op[BROADCAST].peer = 2; /* swaps the roots: each thinks that it is */
    expect_fault(&set, "rank 2 op 2 NATIVE team broadcast", "differs", "rank 0 op 2 NATIVE team broadcast",
                 NULL);
    set_teams(&set);
    set.plan[2]->op[BROADCAST].peer = 1;
    expect_fault(&set, "rank 2 op 2 NATIVE team broadcast", "root 1 is not in the team", NULL);
    set_teams(&set);
    set.plan[3]->op[REDUCE].reduction = DIST_MAX;
    expect_fault(&set, "rank 3 op 3 NATIVE team", "its reduction is max, but earlier ops have sum", NULL);
    set_teams(&set);
    set.plan[3]->op[REDUCE].type = DIST_INT32;
    expect_fault(&set, "rank 3 op 3 NATIVE team", "differs", "rank 1 op 3 NATIVE team all-reduce", NULL);
    set_teams(&set);
    set.plan[3]->op[REDUCE].count = 2;
    expect_fault(&set, "rank 3 op 3 NATIVE team", "dst has 4 bytes, not 1 times 2 float32", NULL);
    set_teams(&set);
    set.plan[3]->op[REDUCE].count = 2;
    set.plan[3]->op[REDUCE].dst.bytes = set.plan[3]->op[REDUCE].src.bytes = 8;
    expect_fault(&set, "rank 3 op 3 NATIVE team", "differs", "rank 1 op 3 NATIVE team all-reduce", NULL);
    set_teams(&set);
    set.plan[0]->op[SCATTER].device = false;
    expect_fault(&set, "rank 0 op 0 NATIVE reduce-scatter", "src has 16 bytes, not 4 times 2", NULL);
    set_teams(&set);
    set.plan[0]->op[REDUCE].device = false;
    expect_fault(&set, "rank 0 op 3 NATIVE all-reduce", "collective number 1 of its rank; rank 1 has only 0",
                 NULL);
}

/* ---- parts ---- */

static void a_part_in_the_wrong_place(void **state)
{
    (void)state;
    plan_set set;
    set_teams(&set);
    set.plan[2]->op[SCATTER].dst.offset = 0; /* in place, it is the second member's */
    expect_fault(&set, "rank 2 op 0 NATIVE team reduce-scatter", "dst and src overlap", NULL);
    set_teams(&set);
    set.plan[3]->op[GATHER].src.offset = 8; /* rank 3 is the first of its team */
    expect_fault(&set, "rank 3 op 1 NATIVE team all-gather", "dst and src overlap", NULL);
    set_teams(&set);
    set.plan[1]->op[BROADCAST].dst.offset = 0; /* elements 0 and 1 share their waits */
    expect_fault(&set, "rank 1 op 2 NATIVE team broadcast", "output element 0", "holds element 1", NULL);
}

/* Out of place nothing but the values can tell: parts go by the order of the team, not by rank. */
static void parts_are_in_the_order_of_the_team(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        plan_set set;
        set_begin(&set, 2, 4, 16);
        for (int r = 0; r < 2; r++) {
            const uint64_t first = (r == 1) != (wrong == 1) ? 0 : 2; /* rank 1 is the first of the team */
            const dist_slice data = elements(DATA, 0, 4), part = elements(SCRATCH, 0, 2);
            dist_plan_set_team(set.plan[r], (int[]){1, 0}, 2);
            dist_plan_native_team(set.plan[r], DIST_NATIVE_REDUCE_SCATTER, DIST_FLOAT32, DIST_SUM, 0, 2, part,
                                  data);
            dist_plan_copy(set.plan[r], elements(DATA, first, 2), part);
            for (int other = 0; other < 2; other++)
                dist_plan_native_team(set.plan[r], DIST_NATIVE_BROADCAST, DIST_FLOAT32, DIST_SUM, other, 2,
                                      elements(DATA, (other == 1) != (wrong == 1) ? 0 : 2, 2),
                                      dist_slice_of(DIST_NO_BUFFER, 0, 0));
        }
        set_finish(&set);
        if (wrong)
            expect_fault(&set, "output element 0", "holds element 2", NULL);
        else
            expect_good(&set);
    }
}

/* ---- order ---- */

/* The device wire waits until all have come; those of the job must start in the same order everywhere. */
static void a_teams_collectives_may_start_in_any_order(void **state)
{
    (void)state;
    for (int device = 0; device < 2; device++) {
        plan_set set;
        set_begin(&set, 2, 4, 16);
        for (int r = 0; r < 2; r++) {
            dist_plan_set_team(set.plan[r], (int[]){0, 1}, 2);
            dist_plan_copy(set.plan[r], elements(SCRATCH, 0, 2), elements(DATA, 0, 2));
            dist_plan_copy(set.plan[r], elements(SCRATCH, 2, 2), elements(DATA, 2, 2));
            for (uint64_t first = 0; first < 4; first += 2)
                (device ? dist_plan_native_team
                        : dist_plan_native)(set.plan[r], DIST_NATIVE_ALL_REDUCE, DIST_FLOAT32, DIST_SUM, 0, 2,
                                            elements(DATA, first, 2), elements(SCRATCH, first, 2));
        }
        set_finish(&set);
        if (device)
            expect_good(&set);
        else
            expect_fault(&set, "rank 0 op 3 NATIVE", "may start before op 2", NULL);
    }
}

/* A collective of all ranks between one of a team and its member's next: rank 1 waits for rank 0, which waits for all. */
static void teams_that_wait_for_each_other(void **state)
{
    (void)state;
    const dist_slice none = dist_slice_of(DIST_NO_BUFFER, 0, 0);
    plan_set set;
    set_begin(&set, 4, 4, 16);
    for (int r = 0; r < 4; r++) {
        dist_plan *plan = set.plan[r];
        const dist_slice a = elements(DATA, 0, 4);
        dist_plan_set_team(plan, r % 2 ? (int[]){1, 3} : (int[]){0, 2}, 2);
        if (r == 3)
            dist_plan_native(plan, DIST_NATIVE_BROADCAST, DIST_FLOAT32, DIST_SUM, 0, 4, a, none);
        dist_plan_native_team(plan, DIST_NATIVE_BROADCAST, DIST_FLOAT32, DIST_SUM, r % 2, 4, a, none);
        if (r != 3)
            dist_plan_native(plan, DIST_NATIVE_BROADCAST, DIST_FLOAT32, DIST_SUM, 0, 4, a, none);
    }
    set_finish(&set);
    expect_fault(&set, "deadlock with 6 ops left", "rank 0 waits at op 1 NATIVE broadcast",
                 "for rank 1, whose op 1 NATIVE broadcast", "waits for op 0 NATIVE team broadcast", NULL);
}

static void a_member_that_does_not_come(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 2, 4, 16);
    for (int r = 0; r < 2; r++) {
        const dist_slice data = elements(DATA, 0, 4);
        dist_plan_set_team(set.plan[r], (int[]){1, 0}, 2);
        if (r == 1)
            dist_plan_recv(set.plan[r], DIST_CHANNEL_INSIDE, 0, data);
        dist_plan_native_team(set.plan[r], DIST_NATIVE_ALL_REDUCE, DIST_FLOAT32, DIST_SUM, 0, 4, data, data);
        if (r == 0)
            dist_plan_send(set.plan[r], DIST_CHANNEL_INSIDE, 1, data);
    }
    set_finish(&set);
    expect_fault(&set, "deadlock with 4 ops left", "rank 0 waits at op 0 NATIVE team",
                 "for rank 1, whose op 1 NATIVE", "waits for op 0 RECV", NULL);
}

static void waits_of_a_teams_collective(void **state)
{
    (void)state;
    plan_set set;
    set_teams(&set);
    delete_wait(set.plan[1], GATHER, 0);
    expect_fault(&set, "rank 1 op 1 NATIVE team all-gather", "without waiting for it", NULL);
    set_teams(&set);
    set.plan[1]->sequences = 0; /* a tag keeps it apart from those of other tasks */
    expect_fault(&set, "rank 1 says that it needs 0 tags; it needs 1", NULL);
}

/* ---- messages over the device wire ---- */

static void set_device_messages(plan_set *set, const int *team, int teammates)
{
    set_exchange(set);
    for (int r = 0; r < 2; r++) {
        if (team)
            dist_plan_set_team(set->plan[r], team, teammates);
        set->plan[r]->op[0].device = set->plan[r]->op[1].device = true;
    }
}

static void messages_over_the_device_wire(void **state)
{
    (void)state;
    plan_set set;
    set_device_messages(&set, (int[]){0, 1}, 2);
    expect_good(&set);
    set_device_messages(&set, (int[]){0, 1}, 2);
    set.plan[1]->op[1].device = false;
    expect_fault(&set, "rank 0 op 0 SEND", "goes over the device wire, but rank 1 op 1 RECV", "does not",
                 NULL);
    set_device_messages(&set, (int[]){0, 1}, 2);
    set.plan[1]->op[0].device = false;
    expect_fault(&set, "rank 1 op 0 SEND", "does not go over the device wire, but rank 0 op 1 RECV", "does",
                 NULL);
    set_device_messages(&set, NULL, 0);
    expect_fault(&set, "rank 0 op 0 SEND", "goes over the device wire, but rank 1 is not in the team", NULL);
}

/* ---- frames ---- */

/* 0 ENCODE, 1 COPY of the frame elsewhere, after a check, 2 DECODE from there. */
static void set_checked_copy(plan_set *set)
{
    set_begin(set, 1, CODED, 1024);
    dist_plan *plan = set->plan[0];
    const dist_slice from = dist_slice_of(SCRATCH, 0, CODED_BYTES),
                     to = dist_slice_of(SCRATCH, 512, CODED_BYTES),
                     none = dist_slice_of(DIST_NO_BUFFER, 0, 0);
    assert_int_equal(dist_codec_parse("int8:block=16", DIST_SIMD_SCALAR, &plan->codec), DIST_OK);
    dist_plan_encode(plan, DIST_FLOAT32, from, elements(DATA, 0, CODED), none, 0, 0);
    dist_plan_append(plan,
                     &(dist_op){.kind = DIST_OP_COPY, .count = CODED, .dst = to, .src = from, .state = none});
    dist_plan_decode(plan, DIST_FLOAT32, elements(DATA, 0, CODED), to, 1, 1, false);
    set_finish(set);
}

static void frames_are_checked_whole(void **state)
{
    (void)state;
    plan_set set;
    set_checked_copy(&set);
    expect_good(&set);
    set_checked_copy(&set);
    set.plan[0]->op[1].count = 0;
    expect_good(&set); /* a plain copy of a frame */
    set_checked_copy(&set);
    set.plan[0]->op[1].count = 2 * CODED;
    expect_fault(&set, "rank 0 op 1 COPY", "68 encoded bytes, but 1 times 40 elements take", NULL);
    set_checked_copy(&set);
    set.plan[0]->op[1].count = CODED - 1; /* as many bytes: the last of them pads */
    set.plan[0]->op[1].dst.bytes = set.plan[0]->op[1].src.bytes =
        dist_codec_bytes(&set.plan[0]->codec, CODED - 1);
    expect_fault(&set, "rank 0 op 1 COPY", "checks a", NULL);
    set_checked_copy(&set);
    set.plan[0]->op[1].src.offset = 4;
    expect_fault(&set, "rank 0 op 1 COPY", "checks its src, which is no whole frame", NULL);
    set_checked_copy(&set);
    set.plan[0]->op[1].src.offset = 2;
    expect_fault(&set, "rank 0 op 1 COPY", "not a multiple of 4", NULL);
    set_checked_copy(&set);
    set.plan[0]->op[1].src = dist_slice_of(DATA, 0, CODED_BYTES); /* elements */
    expect_fault(&set, "rank 0 op 1 COPY", "no whole frame", NULL);
    set_checked_copy(&set);
    set.plan[0]->op[1].src.offset = 256; /* nothing defined */
    expect_fault(&set, "rank 0 op 1 COPY", "no whole frame", NULL);
}

static void frames_need_a_codec_that_has_them(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 1, CODED, 1024);
    dist_plan_append(set.plan[0], &(dist_op){.kind = DIST_OP_COPY,
                                             .count = CODED,
                                             .dst = elements(SCRATCH, 0, CODED),
                                             .src = elements(DATA, 0, CODED),
                                             .state = {.buffer = DIST_NO_BUFFER}});
    set_finish(&set);
    expect_fault(&set, "rank 0 op 0 COPY", "the plan's codec has no frames", NULL);
}

/* Two stages, one microbatch. Rank 0: 0 F, 1 ENCODE, 2 SEND, 3 RECV, 4 B. Rank 1: 0 RECV, 1 COPY, 2 DECODE, 3 F, 4 B, 5 SEND. */
static void set_pipeline(plan_set *set)
{
    const dist_slice none = dist_slice_of(DIST_NO_BUFFER, 0, 0), values = elements(DATA, 0, CODED),
                     gradient = elements(SCRATCH, 128, CODED), frame = dist_slice_of(SCRATCH, 0, CODED_BYTES),
                     copy = dist_slice_of(SCRATCH, 256, CODED_BYTES);
    set_begin(set, 2, CODED, 1024);
    dist_plan *a = set->plan[0], *b = set->plan[1];
    for (int r = 0; r < 2; r++)
        assert_int_equal(dist_codec_parse("int8:block=16", DIST_SIMD_SCALAR, &set->plan[r]->codec), DIST_OK);
    dist_plan_call(a,
                   &(dist_stage_call){.kind = DIST_CALL_FORWARD, .dst = values, .src = none, .state = none});
    dist_plan_encode(a, DIST_FLOAT32, frame, values, none, 0, 0);
    dist_plan_send(a, DIST_CHANNEL_ACROSS, 1, frame);
    dist_plan_recv(b, DIST_CHANNEL_ACROSS, 0, frame);
    dist_plan_append(
        b, &(dist_op){.kind = DIST_OP_COPY, .count = CODED, .dst = copy, .src = frame, .state = none});
    dist_plan_decode(b, DIST_FLOAT32, values, copy, 1, 1, false);
    dist_plan_call(b, &(dist_stage_call){
                          .kind = DIST_CALL_FORWARD, .stage = 1, .dst = none, .src = values, .state = none});
    dist_plan_call(
        b, &(dist_stage_call){
               .kind = DIST_CALL_BACKWARD, .stage = 1, .dst = gradient, .src = none, .state = values});
    dist_plan_send(b, DIST_CHANNEL_ACROSS, 0, gradient);
    dist_plan_recv(a, DIST_CHANNEL_ACROSS, 1, gradient);
    dist_plan_call(
        a, &(dist_stage_call){.kind = DIST_CALL_BACKWARD, .dst = none, .src = gradient, .state = none});
    set_finish(set);
}

static void verify_pipeline(plan_set *set, const char *fault)
{
    static const int rank_of[] = {0, 1};
    const dist_call_contract contract = {.stages = 2, .microbatches = 1, .rank_of = rank_of};
    const dist_status status = dist_verify_calls((const dist_plan *const *)set->plan, 2, &contract);
    assert_int_equal(status, fault ? DIST_ERR_PLAN : DIST_OK);
    if (fault && !strstr(dist_last_error(), fault))
        fail_msg("'%s' is not in '%s'", fault, dist_last_error());
    set_end(set);
}

static void frames_of_pipelines(void **state)
{
    (void)state;
    plan_set set;
    set_pipeline(&set);
    verify_pipeline(&set, NULL);
    set_pipeline(&set);
    set.plan[0]->op[2].src = dist_slice_of(DATA, 0, CODED_BYTES); /* sends what should be encoded */
    verify_pipeline(&set, "rank 1 op 1 COPY");
    set_pipeline(&set);
    set.plan[0]->op[2].src = dist_slice_of(DATA, 0, CODED_BYTES);
    set.plan[1]->op[1].count = 0; /* nobody checks it, so that only the values are wrong */
    verify_pipeline(&set, "rank 1 op 3 CALL");
    set_pipeline(&set);
    set.plan[0]->op[1].dst.offset = 4; /* sends a frame from its second word on */
    verify_pipeline(&set, "a frame of 20: checks its src, which is no whole frame");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(teams_sum_among_themselves),
        cmocka_unit_test(a_team_in_another_order),
        cmocka_unit_test(teams_of_different_sizes),
        cmocka_unit_test(teams_that_make_no_sense),
        cmocka_unit_test(a_plan_without_the_team),
        cmocka_unit_test(one_rank_leaves_a_collective_out),
        cmocka_unit_test(collectives_that_differ),
        cmocka_unit_test(a_part_in_the_wrong_place),
        cmocka_unit_test(parts_are_in_the_order_of_the_team),
        cmocka_unit_test(a_teams_collectives_may_start_in_any_order),
        cmocka_unit_test(teams_that_wait_for_each_other),
        cmocka_unit_test(a_member_that_does_not_come),
        cmocka_unit_test(waits_of_a_teams_collective),
        cmocka_unit_test(messages_over_the_device_wire),
        cmocka_unit_test(frames_are_checked_whole),
        cmocka_unit_test(frames_need_a_codec_that_has_them),
        cmocka_unit_test(frames_of_pipelines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
