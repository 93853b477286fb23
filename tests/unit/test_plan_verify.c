/* Each class of defect, by hand: it is found, and the sentence names rank, op and what is wrong. */
#include "plan_sets.h"

static void good_sets_verify(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    expect_good(&set);
    for (int ranks = 2; ranks <= 7; ranks++) {
        set_ring(&set, ranks, 23);
        expect_good(&set);
        set_coded(&set, ranks);
        expect_good(&set);
    }
}

/* ---- shape ---- */

static void a_slice_outside_its_buffer(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    set.plan[1]->op[1].dst.offset = 4;
    expect_fault(&set, "rank 1 op 1 RECV", "dst, 16 bytes at 4, lies outside scratch of 16 bytes", NULL);
    set_exchange(&set);
    set.plan[1]->op[0].src.offset = UINT64_MAX - 3; /* the end wraps around */
    expect_fault(&set, "rank 1 op 0 SEND", "lies outside data", NULL);
    set_exchange(&set);
    set.plan[0]->op[2].src.buffer = 3;
    expect_fault(&set, "rank 0 op 2 REDUCE", "buffer 3; the plan has 3", NULL);
    set_exchange(&set);
    set.plan[1]->op[2].dst.offset = 2;
    set.plan[1]->op[2].dst.bytes = set.plan[1]->op[2].src.bytes = 12;
    set.plan[1]->op[2].count = 3;
    expect_fault(&set, "rank 1 op 2 REDUCE", "dst begins inside an element", NULL);
}

static void a_slice_that_is_missing_empty_or_not_used(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    set.plan[0]->op[2].src.buffer = DIST_NO_BUFFER;
    expect_fault(&set, "rank 0 op 2 REDUCE", "has no src", NULL);
    set_exchange(&set);
    set.plan[0]->op[0].src.bytes = 0;
    expect_fault(&set, "rank 0 op 0 SEND", "src is empty", NULL);
    set_exchange(&set);
    set.plan[0]->op[0].dst = elements(SCRATCH, 0, 4);
    expect_fault(&set, "rank 0 op 0 SEND", "has a dst", NULL);
    set_exchange(&set);
    set.plan[0]->op[0].src.buffer = FEEDBACK;
    expect_fault(&set, "rank 0 op 0 SEND", "src is in feedback", NULL);
}

static void sizes_that_disagree(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    set.plan[0]->op[2].src.bytes = 12;
    expect_fault(&set, "rank 0 op 2 REDUCE", "src has 12 bytes, not 1 times 4 float32", NULL);
    set_exchange(&set);
    set.plan[0]->op[2].type = DIST_FLOAT64;
    expect_fault(&set, "rank 0 op 2 REDUCE", "not 1 times 4 float64", NULL);
    set_begin(&set, 1, 4, 16);
    dist_plan_copy(set.plan[0], elements(SCRATCH, 0, 4), elements(DATA, 0, 3));
    set_finish(&set);
    expect_fault(&set, "rank 0 op 0 COPY", "dst has 16 bytes, src 12", NULL);
    set_begin(&set, 1, 4, 16);
    dist_plan_copy(set.plan[0], elements(DATA, 1, 3), elements(DATA, 0, 3));
    set_finish(&set);
    expect_fault(&set, "rank 0 op 0 COPY", "overlap", NULL);
}

static void numbers_that_mean_nothing(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    set.plan[1]->op[0].kind = DIST_OP_KINDS;
    expect_fault(&set, "rank 1 op 0", "kind", NULL);
    set_exchange(&set);
    set.plan[1]->op[2].type = DIST_TYPES;
    expect_fault(&set, "rank 1 op 2 REDUCE", "type", NULL);
    set_exchange(&set);
    set.plan[1]->op[0].peer = 2;
    expect_fault(&set, "rank 1 op 0 SEND", "peer", NULL);
    set_exchange(&set);
    set.plan[1]->op[0].peer = 1;
    expect_fault(&set, "rank 1 op 0 SEND", "peer", NULL);
    set_exchange(&set);
    set.plan[1]->op[0].channel = DIST_CHANNELS;
    expect_fault(&set, "rank 1 op 0 SEND", "channel", NULL);
    set_coded(&set, 2);
    set.plan[1]->op[5].divisor = 0;
    expect_fault(&set, "rank 1 op 5 DIVIDE", "divides by 0", NULL);
}

static void reductions_that_differ(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    set.plan[1]->op[2].reduction = DIST_MAX;
    expect_fault(&set, "rank 1 op 2 REDUCE", "reduction is max, but earlier ops have sum", NULL);
    set_exchange(&set);
    set.plan[1]->op[2].reduction = DIST_AVERAGE;
    expect_fault(&set, "rank 1 op 2 REDUCE", "average", NULL);
    set_exchange(&set);
    set.plan[0]->op[2].reduction = set.plan[1]->op[2].reduction = DIST_AVERAGE;
    expect_fault(&set, "rank 0 op 2 REDUCE", "average; an op must be sum, min or max", NULL);
    set_coded(&set, 2); /* decode-and-add sums, whatever the field says */
    set.plan[0]->op[4].reduction = set.plan[0]->op[3].reduction = DIST_AVERAGE;
    expect_good(&set);
    set_exchange(&set);
    set.plan[0]->op[2].reduction = set.plan[1]->op[2].reduction = DIST_MIN;
    expect_good(&set);
}

static void waits_that_do_not_point_backwards(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    set.plan[1]->wait[1] = 2;
    expect_fault(&set, "rank 1 op 2 REDUCE", "waits for op 2", NULL);
    set_exchange(&set);
    set.plan[1]->op[2].first_wait++;
    expect_fault(&set, "rank 1 op 1", "waits", NULL);
    set_exchange(&set);
    set.plan[1]->op[2].waits--;
    expect_fault(&set, "rank 1 op 2 REDUCE", "has 1 waits", NULL);
    set_exchange(&set);
    set.plan[1]->waits++; /* an edge of no op */
    expect_fault(&set, "rank 1 op 2 REDUCE", "has 2 waits", NULL);
}

static void encoded_sizes(void **state)
{
    (void)state;
    plan_set set;
    set_coded(&set, 2);
    set.plan[1]->op[0].dst.bytes--;
    expect_fault(&set, "rank 1 op 0 ENCODE", "67 encoded bytes, but 1 times 20 elements take 68", NULL);
    set_coded(&set, 2);
    set.plan[1]->op[4].src.bytes--;
    expect_fault(&set, "rank 1 op 4 DECODE", "67 encoded bytes", NULL);
    set_coded(&set, 2);
    set.plan[0]->op[0].dst.offset = 2;
    expect_fault(&set, "rank 0 op 0 ENCODE", "not a multiple of 4", NULL);
    set_coded(&set, 2);
    set.plan[0]->codec.block = 0;
    expect_fault(&set, "rank 0 op 0 ENCODE", "no frames", NULL);
    set_coded(&set, 2);
    set.plan[0]->op[0].state.bytes -= 4;
    expect_fault(&set, "rank 0 op 0 ENCODE", "state has 76 bytes, but the feedback of 20 elements takes 80",
                 NULL);
    set_coded(&set, 2);
    set.plan[0]->op[0].state = elements(DATA, 0, CODED);
    expect_fault(&set, "rank 0 op 0 ENCODE", "state is in data", NULL);
    set_coded(&set, 2);
    set.plan[0]->codec.feedback = DIST_FEEDBACK_NONE;
    expect_fault(&set, "rank 0 op 0 ENCODE", "has state, but codec int8:block=16:ef=fp32 keeps none", NULL);
    set_coded(&set, 2);
    set.plan[0]->op[0].type = DIST_FLOAT64;
    expect_fault(&set, "rank 0 op 0 ENCODE", "codecs do not take", NULL);
    set_coded(&set, 2);
    set.plan[1]->op[4].frames = 0;
    expect_fault(&set, "rank 1 op 4 DECODE", "0 frames", NULL);
    set_coded(&set, 2);
    set.plan[1]->op[4].frames = 2;
    expect_fault(&set, "rank 1 op 4 DECODE", "68 encoded bytes, but 2 times 20 elements take 196", NULL);
    set_coded(&set, 2);
    set.plan[1]->op[4].divisor = 0;
    expect_fault(&set, "rank 1 op 4 DECODE", "divides by 0", NULL);
}

static void scratch_over_the_limit(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    set.contract.scratch_limit = 15;
    expect_fault(&set, "rank 0 needs 16 bytes of scratch, above the limit of 15", NULL);
    set_exchange(&set);
    set.contract.scratch_limit = 16;
    expect_good(&set);
}

static void plans_that_are_not_a_set(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    set.plan[1]->rank = 0;
    expect_fault(&set, "rank 1 of 2 is made for rank 0 of 2", NULL);
    set_exchange(&set);
    set.plan[0]->ranks = 3;
    expect_fault(&set, "rank 0 of 2 is made for rank 0 of 3", NULL);
    set_exchange(&set);
    dist_plan_destroy(set.plan[1]);
    set.plan[1] = NULL;
    expect_fault(&set, "rank 1 has no plan", NULL);
    set_exchange(&set);
    set.plan[1]->status = DIST_ERR_MEMORY;
    expect_fault(&set, "building the plan of rank 1 failed", NULL);
    set_exchange(&set);
    set.ranks = 0;
    assert_int_equal(set_verify(&set), DIST_ERR_PLAN);
    assert_non_null(strstr(dist_last_error(), "at least one"));
    set.ranks = 2;
    set_end(&set);
}

static void contracts_that_do_not_fit(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    set.output[1].offset = 4;
    expect_fault(&set, "output 1 of the contract", "does not fit data of rank 1", NULL);
    set_exchange(&set);
    set.input[1].count = UINT64_MAX;
    expect_fault(&set, "input 1 of the contract", NULL);
    set_exchange(&set);
    set.input[0].buffer = 3;
    expect_fault(&set, "input 0 of the contract", "buffer 3", NULL);
    set_exchange(&set);
    set.output[0].buffer = FEEDBACK;
    expect_fault(&set, "output 0 of the contract", "buffer 2", "state", NULL);
    set_exchange(&set);
    set.output[0].offset = 2;
    set.output[0].count = 3;
    expect_fault(&set, "output 0 of the contract", "does not fit", NULL);
    set_exchange(&set);
    set.input[0].rank = 2;
    expect_fault(&set, "input 0 of the contract", "2 ranks", NULL);
    set_exchange(&set);
    set.contract.type = DIST_TYPES;
    expect_fault(&set, "contract has type unknown", NULL);
    set_exchange(&set);
    set.contract.divisor = 0;
    expect_fault(&set, "divisor 0", NULL);
}

/* ---- messages ---- */

static void a_message_without_its_other_half(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    delete_op(set.plan[1], 1);
    expect_fault(&set, "rank 0 op 0 SEND", "meets no RECV: rank 1 receives 0 messages from rank 0", NULL);
    set_exchange(&set);
    delete_op(set.plan[1], 0);
    expect_fault(&set, "rank 0 op 1 RECV", "meets no SEND: rank 1 sends 0 messages to rank 0", NULL);
    set_exchange(&set);
    set.plan[1]->op[0].channel = DIST_CHANNEL_ACROSS;
    expect_fault(&set, "rank 0 op 1 RECV", "meets no SEND", NULL);
}

static void a_message_of_another_size(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    set.plan[1]->op[1].dst.bytes = 12;
    expect_fault(&set, "rank 0 op 0 SEND", "sends 16 bytes, but rank 1 op 1 RECV", "takes 12", NULL);
}

static void sequences_that_do_not_follow_op_order(void **state)
{
    (void)state;
    plan_set set;
    set_ring(&set, 3, 6);
    assert_int_equal(set.plan[2]->op[3].kind, DIST_OP_SEND);
    set.plan[2]->op[0].sequence = 1;
    set.plan[2]->op[3].sequence = 0;
    expect_fault(&set, "rank 2 op 0 SEND", "has sequence 1, but 0 messages went before", NULL);
    set_ring(&set, 3, 6);
    set.plan[2]->sequences++;
    expect_fault(&set, "rank 2 says that it needs 5 tags; it needs 4", NULL);
}

static void two_natives(plan_set *set, uint64_t count)
{
    set_begin(set, 2, 4, 16);
    for (int r = 0; r < 2; r++) {
        dist_plan_copy(set->plan[r], elements(SCRATCH, 0, 4), elements(DATA, 0, 4));
        for (uint64_t first = 0; first < 4; first += 2)
            dist_plan_native(set->plan[r], DIST_NATIVE_ALL_REDUCE, DIST_FLOAT32, DIST_SUM, 0,
                             r == 1 && first == 2 ? count : 2, elements(DATA, first, 2),
                             elements(DATA, first, 2));
    }
    set_finish(set);
}

static void collectives_that_differ(void **state)
{
    (void)state;
    plan_set set;
    two_natives(&set, 2);
    expect_good(&set);
    two_natives(&set, 2);
    set.plan[1]->op[2].count = 1;
    set.plan[1]->op[2].dst.bytes = set.plan[1]->op[2].src.bytes = 4;
    expect_fault(&set, "rank 1 op 2 NATIVE", "differs", "rank 0 op 2 NATIVE", NULL);
    two_natives(&set, 2);
    delete_op(set.plan[1], 2);
    expect_fault(&set, "rank 0 op 2 NATIVE", "number 2 of its rank; rank 1 has only 1", NULL);
    two_natives(&set, 2);
    delete_op(set.plan[0], 2);
    expect_fault(&set, "rank 1 op 2 NATIVE", "number 2 of its rank; rank 0 has only 1", NULL);
    two_natives(&set, 1);
    expect_fault(&set, "rank 1 op 2 NATIVE", "8 bytes, not 1 times 1", NULL);
    two_natives(&set, 2);
    set.plan[1]->op[1].native = DIST_NATIVE_BARRIER + 1;
    expect_fault(&set, "rank 1 op 1 NATIVE", "no collective", NULL);
}

/* Barriers and an empty all-reduce say nothing about bytes, but must meet too. */
static void empty_collectives(plan_set *set)
{
    dist_slice none = dist_slice_of(DIST_NO_BUFFER, 0, 0), empty = elements(DATA, 1, 0);
    set_begin(set, 2, 4, 16);
    set->contract.outputs = 0;
    for (int r = 0; r < 2; r++) {
        dist_plan_native(set->plan[r], DIST_NATIVE_BARRIER, DIST_FLOAT32, DIST_SUM, r, (uint64_t)r, none,
                         none);
        dist_plan_native(set->plan[r], DIST_NATIVE_ALL_REDUCE, DIST_FLOAT32, DIST_SUM, 0, 0, empty, empty);
        dist_plan_native(set->plan[r], DIST_NATIVE_BROADCAST, DIST_FLOAT32, DIST_SUM, 0, 4,
                         elements(DATA, 0, 4), none);
    }
    set_finish(set);
}

static void collectives_of_different_kinds(void **state)
{
    (void)state;
    plan_set set;
    empty_collectives(&set);
    expect_good(&set);
    empty_collectives(&set);
    set.plan[1]->op[2].peer = 1;
    expect_fault(&set, "rank 1 op 2 NATIVE", "differs", NULL);
    empty_collectives(&set);
    set.plan[1]->op[2].peer = 2;
    expect_fault(&set, "rank 1 op 2 NATIVE", "root 2 is not a rank", NULL);
    empty_collectives(&set);
    set.plan[1]->op[2].src = elements(SCRATCH, 0, 4);
    expect_fault(&set, "rank 1 op 2 NATIVE", "has a src", NULL);
    empty_collectives(&set);
    set.plan[1]->op[0].native = DIST_NATIVE_ALL_REDUCE;
    set.plan[1]->op[0].count = 0;
    set.plan[1]->op[0].dst = set.plan[1]->op[0].src = elements(DATA, 0, 0);
    expect_fault(&set, "rank 1 op 0 NATIVE", "differs", "rank 0 op 0 NATIVE barrier", NULL);
}

/* Which of two collectives starts first must not depend on which copy is done first. */
static void collectives_that_may_start_in_any_order(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 1, 4, 16);
    dist_plan_copy(set.plan[0], elements(SCRATCH, 0, 2), elements(DATA, 0, 2));
    dist_plan_copy(set.plan[0], elements(SCRATCH, 2, 2), elements(DATA, 2, 2));
    for (uint64_t first = 0; first < 4; first += 2)
        dist_plan_native(set.plan[0], DIST_NATIVE_ALL_REDUCE, DIST_FLOAT32, DIST_SUM, 0, 2,
                         elements(DATA, first, 2), elements(SCRATCH, first, 2));
    set_finish(&set);
    expect_fault(&set, "rank 0 op 3 NATIVE", "may start before op 2", "waits for op 0", NULL);
}

/* ---- deadlock ---- */

static void both_send_before_they_receive(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 2, 4, 16);
    for (int r = 0; r < 2; r++) {
        dist_plan_copy(set.plan[r], elements(SCRATCH, 0, 4), elements(DATA, 0, 4));
        dist_plan_send(set.plan[r], DIST_CHANNEL_INSIDE, 1 - r, elements(SCRATCH, 0, 4));
        dist_plan_recv(set.plan[r], DIST_CHANNEL_INSIDE, 1 - r, elements(SCRATCH, 0, 4));
        dist_plan_reduce(set.plan[r], DIST_FLOAT32, DIST_SUM, elements(DATA, 0, 4), elements(SCRATCH, 0, 4));
    }
    set_finish(&set);
    expect_fault(&set, "deadlock with 6 ops left", "rank 0 waits at op 1 SEND", "for rank 1, whose op 2 RECV",
                 "is not reached: it waits for op 1 SEND", NULL);
}

/* Rank 1's op 2 waits for a message, which is not done, and for a copy, which is: the sentence names the
 * first. */
static void the_wait_that_is_not_done_is_named(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 2, 4, 16);
    for (int r = 0; r < 2; r++) {
        dist_plan_send(set.plan[r], DIST_CHANNEL_INSIDE, 1 - r, elements(DATA, 0, 2));
        if (r == 1)
            dist_plan_copy(set.plan[r], elements(SCRATCH, 0, 2), elements(DATA, 2, 2));
        dist_plan_recv(set.plan[r], DIST_CHANNEL_INSIDE, 1 - r, elements(DATA, (uint64_t)r, 2));
    }
    set_finish(&set);
    expect_fault(&set, "rank 0 waits at op 0 SEND", "rank 1, whose op 2 RECV", "waits for op 0 SEND", NULL);
}

static void a_collective_that_one_rank_does_not_reach(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 2, 4, 16);
    for (int r = 0; r < 2; r++) {
        dist_slice data = elements(DATA, 0, 4), none = dist_slice_of(DIST_NO_BUFFER, 0, 0);
        if (r == 1)
            dist_plan_recv(set.plan[r], DIST_CHANNEL_INSIDE, 0, data);
        dist_plan_native(set.plan[r], DIST_NATIVE_BROADCAST, DIST_FLOAT32, DIST_SUM, 0, 4, data, none);
        if (r == 0)
            dist_plan_send(set.plan[r], DIST_CHANNEL_INSIDE, 1, data);
    }
    set_finish(&set);
    expect_fault(&set, "deadlock with 4 ops left", "rank 0 waits at op 0 NATIVE",
                 "for rank 1, whose op 1 NATIVE", "waits for op 0 RECV", NULL);
}

/* ---- races ---- */

static void a_wait_that_is_missing(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    delete_wait(set.plan[1], 2, 0);
    expect_fault(&set, "rank 1 op 2 REDUCE", "writes bytes 0 to 16 of data, which op 0 SEND", "reads", NULL);
    set_exchange(&set);
    delete_wait(set.plan[1], 2, 1);
    expect_fault(&set, "rank 1 op 2 REDUCE", "reads bytes 0 to 16 of scratch, which op 1 RECV", "writes",
                 NULL);
}

static void feedback_is_ordered_too(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 1, CODED, 2 * CODED_BYTES);
    assert_int_equal(dist_codec_parse("int8:block=16:ef=fp32", DIST_SIMD_SCALAR, &set.plan[0]->codec),
                     DIST_OK);
    for (uint64_t i = 0; i < 2; i++)
        dist_plan_encode(set.plan[0], DIST_FLOAT32, dist_slice_of(SCRATCH, i * CODED_BYTES, CODED_BYTES),
                         elements(DATA, 0, CODED), elements(FEEDBACK, 0, CODED), 0, 0);
    set_finish(&set);
    delete_wait(set.plan[0], 1, 0);
    expect_fault(&set, "rank 0 op 1 ENCODE", "of feedback, which op 0 ENCODE", "writes", NULL);
}

#define TEST(function) cmocka_unit_test(function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(good_sets_verify),
        TEST(a_slice_outside_its_buffer),
        TEST(a_slice_that_is_missing_empty_or_not_used),
        TEST(sizes_that_disagree),
        TEST(numbers_that_mean_nothing),
        TEST(reductions_that_differ),
        TEST(waits_that_do_not_point_backwards),
        TEST(encoded_sizes),
        TEST(scratch_over_the_limit),
        TEST(plans_that_are_not_a_set),
        TEST(contracts_that_do_not_fit),
        TEST(a_message_without_its_other_half),
        TEST(a_message_of_another_size),
        TEST(sequences_that_do_not_follow_op_order),
        TEST(collectives_that_differ),
        TEST(collectives_of_different_kinds),
        TEST(collectives_that_may_start_in_any_order),
        TEST(both_send_before_they_receive),
        TEST(the_wait_that_is_not_done_is_named),
        TEST(a_collective_that_one_rank_does_not_reach),
        TEST(a_wait_that_is_missing),
        TEST(feedback_is_ordered_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
