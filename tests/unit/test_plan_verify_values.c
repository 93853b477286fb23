/* Defects that only what the bytes hold can show. */
#include "plan_sets.h"

static void a_reduction_that_is_missing(void **state)
{
    (void)state;
    plan_set set;
    set_exchange(&set);
    delete_op(set.plan[1], 2);
    expect_fault(&set, "rank 1: no op writes output element 0", "lacks the contribution of rank 0", NULL);
    set_coded(&set, 3);
    delete_op(set.plan[2], 7); /* the DECODE of rank 2's bytes */
    expect_fault(&set, "rank 2 op 7 DIVIDE", "is the last to write", "lacks the contribution of rank 2",
                 NULL);
}

static void a_reduction_that_is_done_twice(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 2, 4, 16);
    for (int r = 0; r < 2; r++) {
        dist_plan_send(set.plan[r], DIST_CHANNEL_INSIDE, 1 - r, elements(DATA, 0, 4));
        dist_plan_recv(set.plan[r], DIST_CHANNEL_INSIDE, 1 - r, elements(SCRATCH, 0, 4));
        for (uint64_t times = 0; times < (r == 0 ? 1 : 2); times++)
            dist_plan_reduce(set.plan[r], DIST_FLOAT32, DIST_SUM, elements(DATA, times, 3),
                             elements(SCRATCH, times, 3));
    }
    set_finish(&set);
    expect_fault(&set, "rank 1 op 3 REDUCE", "adds the contribution of rank 0 to element 1 twice", NULL);
}

static void an_offset_that_is_wrong(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 1, 4, 16);
    dist_plan_copy(set.plan[0], elements(SCRATCH, 0, 2), elements(DATA, 1, 2));
    dist_plan_copy(set.plan[0], elements(DATA, 0, 2), elements(SCRATCH, 0, 2));
    set_finish(&set);
    expect_fault(&set, "rank 0 op 1 COPY", "output element 0", "holds element 1", NULL);
    set_ring(&set, 2, 8);
    set.plan[1]->op[2].src.offset += 4;
    set.plan[1]->op[2].src.bytes = set.plan[1]->op[2].dst.bytes = 12;
    set.plan[1]->op[2].count = 3;
    expect_fault(&set, "rank 1 op 2 REDUCE", "adds element 1 to element 0", NULL);
}

static void a_division_that_is_wrong(void **state)
{
    (void)state;
    plan_set set;
    set_coded(&set, 2);
    set.plan[1]->op[5].divisor = 3;
    expect_fault(&set, "rank 1 op 5 DIVIDE", "divided by 3 instead of 2", NULL);
    set_coded(&set, 2);
    delete_op(set.plan[1], 5);
    expect_fault(&set, "rank 1 op 4 DECODE", "divided by 1 instead of 2", NULL);
    set_begin(&set, 1, 4, 16);
    dist_plan_divide(set.plan[0], DIST_FLOAT32, elements(DATA, 0, 2), 2);
    dist_plan_divide(set.plan[0], DIST_FLOAT32, elements(DATA, 1, 3), 2);
    set_finish(&set);
    set.contract.divisor = 2;
    expect_fault(&set, "rank 0 op 1 DIVIDE", "element 1 has already been divided by 2", NULL);
}

/* By one rank, by the other, by both. */
static void a_division_before_the_sum(void **state)
{
    (void)state;
    plan_set set;
    for (int who = 1; who <= 3; who++) {
        set_begin(&set, 2, 4, 16);
        for (int r = 0; r < 2; r++) {
            if (who & (1 << r))
                dist_plan_divide(set.plan[r], DIST_FLOAT32, elements(DATA, 0, 4), 2);
            dist_plan_send(set.plan[r], DIST_CHANNEL_INSIDE, 1 - r, elements(DATA, 0, 4));
            dist_plan_recv(set.plan[r], DIST_CHANNEL_INSIDE, 1 - r, elements(SCRATCH, 0, 4));
            dist_plan_reduce(set.plan[r], DIST_FLOAT32, DIST_SUM, elements(DATA, 0, 4),
                             elements(SCRATCH, 0, 4));
        }
        set_finish(&set);
        set.contract.divisor = 2;
        expect_fault(&set, "REDUCE", "adds to element 0, after a division by 2", NULL);
    }
}

/* Scratch holds 6 elements, of which the message fills 4. */
static void stale_scratch(plan_set *set, bool reaches_output)
{
    set_begin(set, 2, 4, 24);
    for (int r = 0; r < 2; r++) {
        bool wrong = reaches_output && r == 1;
        dist_plan_send(set->plan[r], DIST_CHANNEL_INSIDE, 1 - r, elements(DATA, 0, 4));
        dist_plan_recv(set->plan[r], DIST_CHANNEL_INSIDE, 1 - r, elements(SCRATCH, 0, 4));
        dist_plan_reduce(set->plan[r], DIST_FLOAT32, DIST_SUM, elements(DATA, 0, wrong ? 3 : 4),
                         elements(SCRATCH, 0, wrong ? 3 : 4));
        if (wrong)
            dist_plan_reduce(set->plan[r], DIST_FLOAT32, DIST_SUM, elements(DATA, 3, 1),
                             elements(SCRATCH, 4, 1));
        dist_plan_reduce(set->plan[r], DIST_FLOAT32, DIST_SUM, elements(SCRATCH, 0, 1),
                         elements(SCRATCH, 5, 1));
    }
    set_finish(set);
}

static void undefined_bytes_may_be_read_but_reach_no_output(void **state)
{
    (void)state;
    plan_set set;
    stale_scratch(&set, false);
    expect_good(&set);
    stale_scratch(&set, true);
    expect_fault(&set, "rank 1 op 3 REDUCE", "output element 3", "undefined bytes that rank 1 op 3 REDUCE",
                 NULL);
    set_exchange(&set);
    set.contract.inputs = 1; /* rank 1's data is never defined */
    expect_fault(&set, "rank 0 op 2 REDUCE", "undefined bytes that rank 1 op 0 SEND", NULL);
    set_begin(&set, 1, 4, 16);
    set_finish(&set);
    set.contract.inputs = 0;
    expect_fault(&set, "rank 0: no op writes output element 0", "holds nothing defined", NULL);
}

static void undefined_elements_spoil_what_is_encoded_with_them(void **state)
{
    (void)state;
    plan_set set;
    set_coded(&set, 2);
    set.input[1].count = CODED - 1;
    expect_fault(&set, "rank 0 op 5 DIVIDE", "output element 0", "undefined bytes that rank 1 op 0 ENCODE",
                 NULL);
}

static void encoded_bytes_are_decoded_whole(void **state)
{
    (void)state;
    plan_set set;
    set_coded(&set, 2);
    set.plan[1]->op[4].src.offset -= 4; /* half of either rank's bytes */
    expect_fault(&set, "rank 1 op 4 DECODE", "does not begin with the first byte", NULL);
    set_coded(&set, 2);
    set.plan[1]->op[3].dst = elements(DATA, 0, 10);
    set.plan[1]->op[3].count = 10;
    set.plan[1]->op[3].src.bytes = 58;
    expect_fault(&set, "rank 1 op 3 DECODE", "decodes 10 elements, but rank 0 op 0 encoded 20", NULL);
}

/* 16 elements take as many bytes in one block of 16 as in one of 32. */
static void encoded_bytes_are_decoded_by_the_same_codec(void **state)
{
    (void)state;
    plan_set set;
    for (unsigned block = 16; block <= 32; block *= 2) {
        dist_slice frame = dist_slice_of(SCRATCH, 0, 64), data = elements(DATA, 0, 16);
        set_begin(&set, 2, 16, 64);
        for (int r = 0; r < 2; r++)
            assert_int_equal(dist_codec_parse("int8:block=16", DIST_SIMD_SCALAR, &set.plan[r]->codec),
                             DIST_OK);
        set.plan[1]->codec.block = block;
        dist_plan_encode(set.plan[0], DIST_FLOAT32, frame, data, dist_slice_of(DIST_NO_BUFFER, 0, 0), 0, 0);
        dist_plan_send(set.plan[0], DIST_CHANNEL_ACROSS, 1, frame);
        dist_plan_recv(set.plan[1], DIST_CHANNEL_ACROSS, 0, frame);
        dist_plan_decode(set.plan[1], DIST_FLOAT32, data, frame, 1, 1, true);
        set_finish(&set);
        set.output[0] = set.output[1];
        set.contract.outputs = 1;
        if (block == 16)
            expect_good(&set);
        else
            expect_fault(&set, "rank 1 op 1 DECODE", "rank 0 op 0 encoded 16 or has another codec", NULL);
    }
}

static void encoded_bytes_that_fall_apart(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 1, CODED, 2 * CODED_BYTES);
    dist_plan *plan = set.plan[0];
    dist_slice one = dist_slice_of(SCRATCH, 0, CODED_BYTES), two = one;
    two.offset = CODED_BYTES;
    assert_int_equal(dist_codec_parse("int8:block=16", DIST_SIMD_SCALAR, &plan->codec), DIST_OK);
    dist_plan_encode(plan, DIST_FLOAT32, one, elements(DATA, 0, CODED), dist_slice_of(DIST_NO_BUFFER, 0, 0),
                     0, 0);
    dist_plan_copy(plan, dist_slice_of(SCRATCH, CODED_BYTES, 10), dist_slice_of(SCRATCH, 0, 10));
    dist_plan_copy(plan, dist_slice_of(SCRATCH, CODED_BYTES + 10, CODED_BYTES - 10),
                   dist_slice_of(SCRATCH, 10, CODED_BYTES - 10));
    dist_plan_decode(plan, DIST_FLOAT32, elements(DATA, 0, CODED), two, 1, 1, false);
    set_finish(&set);
    assert_int_equal(set_verify(&set), DIST_OK); /* in two parts, but whole in the end */
    plan->op[2].src.offset--;
    expect_fault(&set, "rank 0 op 3 DECODE", "only the first 10 bytes", NULL);
}

static void encoded_bytes_are_no_elements(void **state)
{
    (void)state;
    plan_set set;
    set_coded(&set, 2);
    dist_op *op = &set.plan[1]->op[5]; /* DIVIDE becomes a REDUCE of encoded bytes */
    *op = (dist_op){.kind = DIST_OP_REDUCE,
                    .count = 1,
                    .first_wait = (uint32_t)set.plan[1]->waits - 1,
                    .waits = 1,
                    .dst = elements(DATA, 0, 1),
                    .src = elements(SCRATCH, 0, 1),
                    .state = dist_slice_of(DIST_NO_BUFFER, 0, 0)};
    expect_fault(&set, "rank 1 op 5 REDUCE", "takes encoded bytes for elements at byte 0 of scratch", NULL);
    set_coded(&set, 2);
    set.output[0].buffer = SCRATCH;
    set.output[0].count = 14;
    set.contract.outputs = 1;
    expect_fault(&set, "rank 0 op 0 ENCODE", "output element 0", "holds encoded bytes", NULL);
}

/* Each rank's own frame beside the others': one DECODE adds them up and divides. */
static void set_summed(plan_set *set, int ranks, const char *codec, int divisor)
{
    const uint64_t stride = dist_frame_stride(CODED_BYTES);
    set_begin(set, ranks, CODED, stride * (uint64_t)ranks);
    for (int r = 0; r < ranks; r++) {
        dist_plan *plan = set->plan[r];
        const dist_slice own = dist_slice_of(SCRATCH, (uint64_t)r * stride, CODED_BYTES);
        assert_int_equal(dist_codec_parse(codec, DIST_SIMD_SCALAR, &plan->codec), DIST_OK);
        dist_plan_encode(plan, DIST_FLOAT32, own, elements(DATA, 0, CODED),
                         dist_slice_of(DIST_NO_BUFFER, 0, 0), 0, 0);
        for (int p = 0; p < ranks; p++) {
            if (p == r)
                continue;
            dist_plan_send(plan, DIST_CHANNEL_ACROSS, p, own);
            dist_plan_recv(plan, DIST_CHANNEL_ACROSS, p,
                           dist_slice_of(SCRATCH, (uint64_t)p * stride, CODED_BYTES));
        }
        dist_plan_decode(plan, DIST_FLOAT32, elements(DATA, 0, CODED),
                         dist_slice_of(SCRATCH, 0, (uint64_t)(ranks - 1) * stride + CODED_BYTES), ranks,
                         divisor, false);
    }
    set->contract.divisor = ranks;
    set_finish(set);
}

static void a_sum_of_frames(void **state)
{
    (void)state;
    plan_set set;
    for (int ranks = 1; ranks <= 5; ranks++) {
        set_summed(&set, ranks, "int8:block=16", ranks);
        expect_good(&set);
    }
    set_summed(&set, 3, "int8:block=16", 1);
    expect_fault(&set, "rank 0 op 5 DECODE", "divided by 1 instead of 3", NULL);
    set_summed(&set, 3, "int8:block=16", 3);
    set.plan[1]->op[5].add = true; /* its own contribution is in data already */
    expect_fault(&set, "rank 1 op 5 DECODE", "adds the contribution of rank 1 to element 0 twice", NULL);
    set_summed(&set, 3, "int8:block=16", 3);
    set.plan[2]->op[5].frames = 2;
    set.plan[2]->op[5].src.bytes -= dist_frame_stride(CODED_BYTES);
    expect_fault(&set, "rank 2 op 5 DECODE", "output element 0", NULL);
    set_summed(&set, 2, "int8:block=16", 2);
    set.plan[1]->op[3].src.offset += 4;
    set.plan[1]->op[3].src.bytes -= dist_frame_stride(CODED_BYTES);
    set.plan[1]->op[3].frames = 1;
    expect_fault(&set, "rank 1 op 3 DECODE", "does not begin with the first byte", NULL);
}

static void feedback_of_one_element_is_not_given_to_another(void **state)
{
    (void)state;
    plan_set set;
    set_coded(&set, 2);
    expect_good(&set);
    set_begin(&set, 1, CODED, 2 * CODED_BYTES);
    assert_int_equal(dist_codec_parse("int8:block=16:ef=fp32", DIST_SIMD_SCALAR, &set.plan[0]->codec),
                     DIST_OK);
    for (uint64_t i = 0; i < 2; i++)
        dist_plan_encode(set.plan[0], DIST_FLOAT32, dist_slice_of(SCRATCH, i * CODED_BYTES, 58),
                         elements(DATA, 10 * i, 10), elements(FEEDBACK, 9 * i, 10), 0, 0);
    set_finish(&set);
    expect_fault(&set, "rank 0 op 1 ENCODE", "feedback of element 9", "element 10", NULL);
    for (uint64_t shift = 0; shift < 2; shift++) { /* only the second half of the feedback has been used */
        set_begin(&set, 1, CODED, 2 * CODED_BYTES);
        assert_int_equal(dist_codec_parse("int8:block=16:ef=fp32", DIST_SIMD_SCALAR, &set.plan[0]->codec),
                         DIST_OK);
        dist_plan_encode(set.plan[0], DIST_FLOAT32, dist_slice_of(SCRATCH, 0, 53), elements(DATA, 5, 5),
                         elements(FEEDBACK, 5, 5), 0, 0);
        dist_plan_encode(set.plan[0], DIST_FLOAT32, dist_slice_of(SCRATCH, CODED_BYTES, 58),
                         elements(DATA, shift, 10), elements(FEEDBACK, 0, 10), 0, 0);
        set_finish(&set);
        if (shift == 0)
            expect_good(&set);
        else
            expect_fault(&set, "rank 0 op 1 ENCODE", "feedback of element 5", "element 6", NULL);
    }
}

static void elements_are_not_cut(void **state)
{
    (void)state;
    plan_set set;
    set_begin(&set, 1, 4, 16);
    dist_plan_copy(set.plan[0], dist_slice_of(SCRATCH, 0, 6), dist_slice_of(DATA, 0, 6));
    set_finish(&set);
    expect_fault(&set, "rank 0 op 0 COPY", "moves a part of element 1", NULL);
    set_begin(&set, 1, 4, 16);
    dist_plan_copy(set.plan[0], dist_slice_of(SCRATCH, 2, 8), dist_slice_of(DATA, 0, 8));
    set_finish(&set);
    expect_fault(&set, "rank 0 op 0 COPY", "puts an element at byte 2", NULL);
    set_begin(&set, 1, 4, 16);
    dist_plan_copy(set.plan[0], dist_slice_of(DATA, 0, 2), dist_slice_of(SCRATCH, 0, 2));
    dist_plan_divide(set.plan[0], DIST_FLOAT32, elements(DATA, 0, 4), 2);
    set_finish(&set);
    expect_fault(&set, "rank 0 op 1 DIVIDE", "the element before byte 2 of data is put together of parts",
                 NULL);
    set_exchange(&set);
    for (int r = 0; r < 2; r++) {
        set.plan[r]->op[2].type = DIST_BFLOAT16;
        set.plan[r]->op[2].count = 8;
    }
    expect_fault(&set, "op 2 REDUCE", "takes float32 for bfloat16", NULL);
}

static void what_a_gather_and_a_broadcast_promise(void **state)
{
    (void)state;
    plan_set set;
    for (int wrong = 0; wrong < 3; wrong++) { /* rank r's two elements to everyone, r's own in place */
        set_begin(&set, 2, 4, 16);
        for (int r = 0; r < 2; r++) {
            uint64_t mine = 2 * (uint64_t)r;
            set.input[r].count = 2;
            set.input[r].first = mine;
            set.input[r].offset = 4 * mine;
            for (int i = 0; i < 2; i++)
                set.output[2 * r + i] = (dist_claim){.rank = r,
                                                     .count = 2,
                                                     .first = 2 * (uint64_t)i,
                                                     .offset = 8 * (uint64_t)i,
                                                     .from = wrong == 1 ? 1 - i : i};
            dist_plan_native(set.plan[r], DIST_NATIVE_ALL_GATHER, DIST_FLOAT32, DIST_SUM, 0, 2,
                             elements(DATA, 0, 4), elements(DATA, wrong == 2 ? 0 : mine, 2));
        }
        set.contract.outputs = 4;
        set_finish(&set);
        if (wrong == 1)
            expect_fault(&set, "rank 0 op 0 NATIVE", "should hold the contribution of rank 1, but", NULL);
        else if (wrong == 2)
            expect_fault(&set, "rank 1 op 0 NATIVE", "overlap", NULL);
        else
            expect_good(&set);
    }
    for (int root = 0; root < 2; root++) {
        set_begin(&set, 2, 4, 16);
        for (int r = 0; r < 2; r++) {
            set.output[r].from = 1;
            dist_plan_native(set.plan[r], DIST_NATIVE_BROADCAST, DIST_FLOAT32, DIST_SUM, root, 4,
                             elements(DATA, 0, 4), dist_slice_of(DIST_NO_BUFFER, 0, 0));
        }
        set_finish(&set);
        if (root == 1)
            expect_good(&set);
        else
            expect_fault(&set, "rank 0 op 0 NATIVE", "should hold the contribution of rank 1, but does not",
                         NULL);
    }
    set_exchange(&set);
    set.output[0].from = 0;
    expect_fault(&set, "rank 0 op 2 REDUCE", "should hold the contribution of rank 0 alone", NULL);
}

static void native_reduce_scatter(plan_set *set, uint64_t second)
{
    set_begin(set, 2, 4, 16);
    for (int r = 0; r < 2; r++) {
        set->output[r].buffer = SCRATCH;
        set->output[r].count = 2;
        set->output[r].first = r == 0 ? 0 : second;
        dist_plan_native(set->plan[r], DIST_NATIVE_REDUCE_SCATTER, DIST_FLOAT32, DIST_SUM, 0, 2,
                         elements(SCRATCH, 0, 2), elements(DATA, 0, 4));
    }
    set_finish(set);
}

static void what_a_native_reduce_scatter_promises(void **state)
{
    (void)state;
    plan_set set;
    native_reduce_scatter(&set, 2);
    expect_good(&set);
    native_reduce_scatter(&set, 0);
    expect_fault(&set, "rank 1 op 0 NATIVE", "output element 0", "holds element 2", NULL);
}

/* Rank r's block i of two is element 2r + i; what comes out is element r, then 2 + r. */
static void native_all_to_all(plan_set *set, bool in_place)
{
    set_begin(set, 2, 4, 16);
    for (int r = 0; r < 2; r++) {
        set->input[r].count = 2;
        set->input[r].first = 2 * (uint64_t)r;
        for (int i = 0; i < 2; i++)
            set->output[2 * r + i] = (dist_claim){.rank = r,
                                                  .buffer = SCRATCH,
                                                  .count = 1,
                                                  .first = (uint64_t)(2 * i + r),
                                                  .offset = 4 * (uint64_t)i,
                                                  .from = i};
        dist_plan_native(set->plan[r], DIST_NATIVE_ALL_TO_ALL, DIST_FLOAT32, DIST_SUM, 0, 1,
                         elements(in_place ? DATA : SCRATCH, 0, 2), elements(DATA, 0, 2));
    }
    set->contract.outputs = 4;
    set_finish(set);
}

static void what_a_native_all_to_all_promises(void **state)
{
    (void)state;
    plan_set set;
    native_all_to_all(&set, false);
    expect_good(&set);
    native_all_to_all(&set, false);
    set.output[1].first = 1; /* rank 0's own second block, which goes to rank 1 */
    expect_fault(&set, "rank 0 op 0 NATIVE all-to-all", "output element 1", "holds element 2", NULL);
    native_all_to_all(&set, false);
    set.output[2].from = 1;
    expect_fault(&set, "rank 1 op 0 NATIVE all-to-all", "should hold the contribution of rank 1, but", NULL);
    native_all_to_all(&set, true);
    expect_fault(&set, "rank 0 op 0 NATIVE all-to-all", "overlap", NULL);
    native_all_to_all(&set, false);
    set.plan[1]->op[0].src = elements(DATA, 0, 1);
    expect_fault(&set, "rank 1 op 0 NATIVE all-to-all", "src has 4 bytes, not 2 times 1", NULL);
}

/* Sums pass from rank to rank and come back; `lost`: this rank passes on what came, without its own. */
static void chain(plan_set *set, int ranks, int lost)
{
    set_begin(set, ranks, 2, 8);
    for (int r = 0; r < ranks; r++) {
        dist_plan *plan = set->plan[r];
        dist_slice data = elements(DATA, 0, 2), spare = elements(SCRATCH, 0, 2);
        if (r > 0) {
            dist_plan_recv(plan, DIST_CHANNEL_INSIDE, r - 1, spare);
            dist_plan_reduce(plan, DIST_FLOAT32, DIST_SUM, data, spare);
        }
        if (r + 1 < ranks) {
            dist_plan_send(plan, DIST_CHANNEL_INSIDE, r + 1, r == lost ? spare : data);
            dist_plan_recv(plan, DIST_CHANNEL_INSIDE, r + 1, data);
        }
        if (r > 0)
            dist_plan_send(plan, DIST_CHANNEL_INSIDE, r - 1, data);
    }
    set_finish(set);
}

static void sets_of_more_ranks_than_a_word_has_bits(void **state)
{
    (void)state;
    plan_set set;
    chain(&set, 70, -1);
    expect_good(&set);
    chain(&set, 70, 66);
    expect_fault(&set, "rank 0 op 1 RECV", "lacks the contribution of rank 66", NULL);
    chain(&set, 70, 3);
    expect_fault(&set, "lacks the contribution of rank 3", NULL);
}

#define TEST(function) cmocka_unit_test(function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reduction_that_is_missing),
        TEST(a_reduction_that_is_done_twice),
        TEST(an_offset_that_is_wrong),
        TEST(a_division_that_is_wrong),
        TEST(a_division_before_the_sum),
        TEST(undefined_bytes_may_be_read_but_reach_no_output),
        TEST(undefined_elements_spoil_what_is_encoded_with_them),
        TEST(encoded_bytes_are_decoded_whole),
        TEST(encoded_bytes_are_decoded_by_the_same_codec),
        TEST(encoded_bytes_that_fall_apart),
        TEST(encoded_bytes_are_no_elements),
        TEST(a_sum_of_frames),
        TEST(feedback_of_one_element_is_not_given_to_another),
        TEST(elements_are_not_cut),
        TEST(what_a_gather_and_a_broadcast_promise),
        TEST(what_a_native_reduce_scatter_promises),
        TEST(what_a_native_all_to_all_promises),
        TEST(sets_of_more_ranks_than_a_word_has_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
