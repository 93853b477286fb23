/* The verifier on plans that send factors: what is right passes, and every planted fault is found and named. */
#include "plan_sets.h"

#include "codec/lowrank.h"

/* Two matrices of 6 x 8 and a vector of 8, at these elements of the data; rank 1, so a factor is 8 elements. */
enum { ROWS = 6, MATRIX = 48, DENSE = 2 * MATRIX, COUNT = DENSE + 8, FACTOR = 8, VECTOR = 2 * FACTOR + 8 };
/* The ops of a rank of three. */
enum {
    PROJECT_A,
    PROJECT_B,
    COPY_IN,
    SEND_1,
    RECV_1,
    SEND_2,
    RECV_2,
    ADD_1,
    ADD_2,
    DIVIDE,
    EXPAND_A,
    EXPAND_B,
    COPY_OUT
};

static const dist_lowrank shape = {ROWS, MATRIX / ROWS, 1};

static dist_slice state_of(uint64_t matrix)
{
    const uint64_t bytes = dist_lowrank_state_bytes(&shape), stride = (bytes + 63) / 64 * 64;
    return dist_slice_of(FEEDBACK, matrix * stride, bytes);
}

/* The vector of a rank is the first thing in its scratch; what others send follows. */
static dist_slice part(uint64_t slot, uint64_t first, uint64_t count)
{
    return elements(SCRATCH, slot * VECTOR + first, count);
}

static void begin(plan_set *set)
{
    set_begin(set, 3, COUNT, 4 * 3 * VECTOR);
    set->contract.divisor = 3;
    for (int r = 0; r < 3; r++) {
        set->plan[r]->buffer[FEEDBACK].bytes = state_of(2).offset;
        assert_int_equal(dist_codec_parse("powersgd:rank=1", DIST_SIMD_SCALAR, &set->plan[r]->codec),
                         DIST_OK);
    }
}

/* What a generator may get wrong, with waits that are right for it. */
typedef enum mistake { NONE, MATRICES_SWAPPED, ONE_STATE, OTHER_STATE } mistake;

/* Everyone's factors to everyone; an average. */
static void add_ops(dist_plan *plan, int r, mistake wrong)
{
    uint64_t slot = 0;
    dist_plan_project(plan, ROWS, part(0, 0, FACTOR), elements(DATA, 0, MATRIX), state_of(0));
    dist_plan_project(plan, ROWS, part(0, FACTOR, FACTOR), elements(DATA, MATRIX, MATRIX),
                      state_of(wrong != ONE_STATE));
    dist_plan_copy(plan, part(0, 2 * FACTOR, 8), elements(DATA, DENSE, 8));
    for (int p = 0; p < 3; p++)
        if (p != r) {
            dist_plan_send(plan, DIST_CHANNEL_ACROSS, p, part(0, 0, VECTOR));
            dist_plan_recv(plan, DIST_CHANNEL_ACROSS, p, part(++slot, 0, VECTOR));
        }
    for (slot = 1; slot < 3; slot++)
        dist_plan_reduce(plan, DIST_FLOAT32, DIST_SUM, part(0, 0, VECTOR), part(slot, 0, VECTOR));
    dist_plan_divide(plan, DIST_FLOAT32, part(0, 0, VECTOR), 3);
    for (uint64_t m = 0; m < 2; m++)
        dist_plan_expand(plan, ROWS, elements(DATA, (wrong == MATRICES_SWAPPED ? 1 - m : m) * MATRIX, MATRIX),
                         part(0, m * FACTOR, FACTOR), state_of(wrong == OTHER_STATE ? 1 - m : m));
    dist_plan_copy(plan, elements(DATA, DENSE, 8), part(0, 2 * FACTOR, 8));
}

static void set_lowrank(plan_set *set)
{
    begin(set);
    for (int r = 0; r < 3; r++)
        add_ops(set->plan[r], r, NONE);
    set_finish(set);
    assert_int_equal(set->plan[0]->ops, COPY_OUT + 1);
}

static dist_op *op_of(plan_set *set, int rank, int op)
{
    return &set->plan[rank]->op[op];
}

/* `change` is done to op `number` of rank 1 of a good set (`set`), which then fails with this sentence. */
#define FAULT(number, change, sentence)                                                                      \
    do {                                                                                                     \
        set_lowrank(&set);                                                                                   \
        dist_op *op = op_of(&set, 1, number);                                                                \
        change;                                                                                              \
        expect_fault(&set, "rank 1 op", sentence, NULL);                                                     \
    } while (0)

static void good(void **state)
{
    (void)state;
    plan_set set;
    set_lowrank(&set);
    expect_good(&set);
}

static void sizes(void **state)
{
    (void)state;
    plan_set set;
    FAULT(PROJECT_A, op->dst.bytes -= 4, "its factor has 28 bytes; this matrix and rank need 32");
    FAULT(EXPAND_B, op->src.bytes += 4, "its factor has 36 bytes");
    FAULT(PROJECT_B, op->src.bytes -= 4, "src has 188 bytes");
    FAULT(EXPAND_A, op->dst.bytes += 4, "dst has 196 bytes");
    FAULT(PROJECT_A, op->state.bytes -= 4, "its state has 284 bytes; this matrix and rank need 288");
    FAULT(EXPAND_B, (op->state.offset -= 4), "its state begins at 316, which is not a multiple of 64");
    FAULT(PROJECT_A, op->dst.offset += 2, "its factor begins at 2, which is not a multiple of 4");
    FAULT(PROJECT_A, op->rows = 0, "48 elements are not a matrix of 0 rows");
    FAULT(EXPAND_A, op->rows = 7, "48 elements are not a matrix of 7 rows");
    FAULT(PROJECT_A, op->rows = 4, "its factor has 32 bytes; this matrix and rank need 48");
    FAULT(PROJECT_A, op->type = DIST_FLOAT64, "factors are float32");
    FAULT(PROJECT_A, op->state.buffer = DIST_NO_BUFFER, "has no state");
    FAULT(PROJECT_A, op->state = state_of(0); op->state.buffer = DATA, "state is in data");
    FAULT(PROJECT_A, op->dst = elements(DATA, 40, FACTOR), "dst and src overlap");
    FAULT(PROJECT_A, set.plan[1]->codec.kind = DIST_CODEC_NONE; (void)op, "the plan's codec has no factors");
    FAULT(PROJECT_A, set.plan[1]->codec.rank = 0; (void)op, "the plan's codec has no factors");
    FAULT(PROJECT_A, set.plan[1]->codec.rank = 2;
          (void)op, "its factor has 32 bytes; this matrix and rank need 64");
    FAULT(ADD_1, op->reduction = DIST_MAX, "its reduction is max, but earlier ops have sum");
}

static void contributions(void **state)
{
    (void)state;
    plan_set set;
    set_lowrank(&set);
    delete_op(set.plan[2], ADD_1);
    expect_fault(&set, "rank 2 op 9 EXPAND", "output element 0", "lacks the contribution of rank 0", NULL);
    FAULT(ADD_2, op->src = part(1, 0, VECTOR), "adds the contribution of rank 0 to element 0 twice");
    FAULT(ADD_2, op->dst = part(0, 0, 4); op->src = part(2, 0, 4);
          op->count = 4, "the factor's elements from byte 16 on have other contributions");
    FAULT(DIVIDE, op->dst = part(0, 4, VECTOR - 4);
          op->count = VECTOR - 4, "the factor's elements from byte 16 on");
    FAULT(DIVIDE, op->divisor = 2, "is divided by 2 instead of 3");
    set_lowrank(&set);
    delete_op(set.plan[0], PROJECT_A);
    expect_fault(&set, "stems from undefined bytes that rank 0", NULL);
}

static void matrices(void **state)
{
    (void)state;
    plan_set set;
    FAULT(EXPAND_A, op->src = part(0, FACTOR, FACTOR),
          "its state is not that of the matrix whose factor it takes");
    FAULT(ADD_1, op->src = part(1, FACTOR, FACTOR); op->dst.bytes = op->src.bytes;
          op->count = FACTOR, "adds the factor of one matrix to the factor of another");
    FAULT(ADD_1, op->src = part(1, 2 * FACTOR, 4); op->dst.bytes = op->src.bytes;
          op->count = 4, "adds elements of one matrix to the factor of another");
    FAULT(ADD_1, op->src = part(1, 1, 4); op->dst.bytes = op->src.bytes;
          op->count = 4, "adds element 1 to element 0");
    FAULT(PROJECT_A, op->rows = 8,
          "of one matrix to the factor of another"); /* 8 x 6 has factors of this size, too */
    FAULT(EXPAND_A, op->rows = 8,
          "its matrix has another shape or rank than that which rank 0 op 0 projected");
    FAULT(EXPAND_A, op->src = part(0, 2 * FACTOR, FACTOR), "takes elements for a factor");
    FAULT(EXPAND_A, op->src = part(0, 4, FACTOR), "src begins at byte 16 of a factor");
    FAULT(COPY_OUT, op->src = part(0, 4, 8), "holds a factor");
    set_lowrank(&set);
    for (int r = 0; r < 3; r++) /* of the wrong elements, but all agree */
        op_of(&set, r, PROJECT_B)->src = elements(DATA, MATRIX - 8, MATRIX);
    expect_fault(&set, "rank 0 op 11 EXPAND", "output element 48", "holds element 40", NULL);
}

static void mistaken(mistake wrong, const char *op, const char *sentence)
{
    plan_set set;
    begin(&set);
    for (int r = 0; r < 3; r++)
        add_ops(set.plan[r], r, r == 1 ? wrong : NONE);
    set_finish(&set);
    expect_fault(&set, op, sentence, NULL);
}

static void matrices_and_states(void **state)
{
    (void)state;
    mistaken(MATRICES_SWAPPED, "rank 1 op 11 EXPAND",
             "output element 0 (byte 0 of data), which holds element 48");
    mistaken(ONE_STATE, "rank 1 op 1 PROJECT", "its state is that of another matrix or sum");
    mistaken(OTHER_STATE, "rank 1 op 1", "its state is not that of the matrix whose factor it takes");
}

/* Half of the matrix is a sum of two ranks already. */
static void mixed_sums_are_not_projected(void **state)
{
    (void)state;
    plan_set set;
    begin(&set);
    dist_plan_send(set.plan[1], DIST_CHANNEL_INSIDE, 0, elements(DATA, 0, 20));
    dist_plan_recv(set.plan[0], DIST_CHANNEL_INSIDE, 1, part(1, 0, 20));
    dist_plan_reduce(set.plan[0], DIST_FLOAT32, DIST_SUM, elements(DATA, 0, 20), part(1, 0, 20));
    for (int r = 0; r < 3; r++)
        add_ops(set.plan[r], r, NONE);
    set_finish(&set);
    expect_fault(&set, "rank 0 op 2 PROJECT",
                 "element 20 of its matrix has other contributions than element 0", NULL);
}

static void factors_are_no_matrix(void **state)
{
    (void)state;
    plan_set set;
    begin(&set);
    for (int r = 0; r < 3; r++) {
        dist_plan_project(set.plan[r], ROWS, part(0, 0, FACTOR), elements(DATA, 0, MATRIX), state_of(0));
        dist_plan_copy(set.plan[r], elements(DATA, MATRIX, FACTOR), part(0, 0, FACTOR));
        dist_plan_project(set.plan[r], ROWS, part(1, 0, FACTOR), elements(DATA, MATRIX, MATRIX), state_of(1));
    }
    set_finish(&set);
    expect_fault(&set, "rank 0 op 2 PROJECT", "takes a factor for elements of a matrix", NULL);
}

static void order(void **state)
{
    (void)state;
    plan_set set;
    set_lowrank(&set);
    assert_int_equal(op_of(&set, 1, PROJECT_B)->waits, 0); /* matrices are independent */
    delete_wait(set.plan[1], EXPAND_A, 1);
    expect_fault(&set, "rank 1 op 10 EXPAND", "without waiting for it", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(sizes),
        cmocka_unit_test(contributions),
        cmocka_unit_test(matrices),
        cmocka_unit_test(matrices_and_states),
        cmocka_unit_test(mixed_sums_are_not_projected),
        cmocka_unit_test(factors_are_no_matrix),
        cmocka_unit_test(order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
