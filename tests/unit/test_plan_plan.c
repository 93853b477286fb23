/* Building a plan: what is left out, what is numbered, what is waited for, how it prints and what its hash covers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "plan/plan.h"

static dist_slice at(uint32_t buffer, uint64_t offset, uint64_t bytes)
{
    return dist_slice_of(buffer, offset, bytes);
}

/* One of each kind of op over two buffers. */
static dist_plan *one_of_each(void)
{
    dist_plan *plan = dist_plan_create(1, 4, "%s of %d", "one", DIST_OP_KINDS);
    assert_non_null(plan);
    assert_int_equal(dist_codec_parse("int8", DIST_SIMD_AUTO, &plan->codec), DIST_OK);
    uint32_t data = dist_plan_add_buffer(plan, DIST_BUFFER_USER, 4096, "data");
    uint32_t wire = dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, 1000, "wire");
    uint32_t state = dist_plan_add_buffer(plan, DIST_BUFFER_STATE, 400, "a name that is too long");
    dist_plan_recv(plan, DIST_CHANNEL_INSIDE, 3, at(data, 0, 400));
    dist_plan_reduce(plan, DIST_FLOAT32, DIST_AVERAGE, at(data, 400, 400), at(data, 0, 400));
    dist_plan_copy(plan, at(data, 800, 400), at(data, 400, 400));
    dist_plan_divide(plan, DIST_FLOAT32, at(data, 800, 400), 3);
    dist_plan_encode(plan, DIST_FLOAT32, at(wire, 0, 500), at(data, 800, 400), at(state, 0, 400), 200, 6);
    dist_plan_send(plan, DIST_CHANNEL_ACROSS, 0, at(wire, 0, 500));
    dist_plan_decode(plan, DIST_FLOAT32, at(data, 0, 400), at(wire, 0, 500), 2, 4, true);
    dist_plan_native(plan, DIST_NATIVE_BROADCAST, DIST_FLOAT64, DIST_SUM, 2, 8, at(data, 1200, 64),
                     at(DIST_NO_BUFFER, 0, 0));
    dist_plan_project(plan, 4, at(wire, 600, 80), at(data, 1600, 80), at(state, 0, 400));
    dist_plan_expand(plan, 4, at(data, 1600, 80), at(wire, 600, 80), at(state, 0, 400));
    dist_plan_call(plan, &(dist_stage_call){.kind = DIST_CALL_WEIGHT,
                                            .stage = 5,
                                            .microbatch = 6,
                                            .held = -7,
                                            .dst = at(data, 2000, 8),
                                            .src = at(data, 1600, 80),
                                            .state = at(data, 400, 400)});
    return plan;
}

static void waits_for(const dist_plan *plan, size_t op, int count, ...)
{
    va_list numbers;
    va_start(numbers, count);
    assert_int_equal(plan->op[op].waits, count);
    for (int w = 0; w < count; w++)
        assert_int_equal(plan->wait[plan->op[op].first_wait + (uint32_t)w], va_arg(numbers, int));
    va_end(numbers);
}

static void test_ops_and_waits(void **state)
{
    (void)state;
    dist_plan *plan = one_of_each();
    assert_int_equal(dist_plan_finish(plan), DIST_OK);
    assert_int_equal(plan->ops, DIST_OP_KINDS);
    for (size_t i = 0; i < plan->ops; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(plan->op[i].kind, plan->op[j].kind);
    waits_for(plan, 0, 0);
    waits_for(plan, 1, 1, 0);
    waits_for(plan, 2, 1, 1);
    waits_for(plan, 3, 1, 2);
    waits_for(plan, 4, 1, 3);
    waits_for(plan, 5, 1, 4);
    waits_for(plan, 6, 3, 0, 1, 4); /* it adds to what 0 wrote and 1 read, with what 4 wrote; 5 only reads */
    waits_for(plan, 7, 0);
    waits_for(plan, 8, 1, 4);
    waits_for(plan, 9, 1, 8);
    waits_for(plan, 10, 2, 1, 9); /* its state is read, beside what 2 reads */
    assert_int_equal(plan->op[1].count, 100);
    assert_int_equal(plan->op[1].reduction,
                     DIST_SUM); /* an average is a sum; the division is an op of its own */
    assert_int_equal(plan->op[4].count, 100);
    assert_int_equal(plan->op[7].peer, 2);
    assert_int_equal(plan->op[8].count, 20);
    const dist_lowrank matrix = dist_op_matrix(plan, &plan->op[9]);
    assert_true(matrix.rows == 4 && matrix.columns == 5 && matrix.rank == 4);
    assert_int_equal(dist_plan_bytes(plan, DIST_BUFFER_USER), 4096);
    assert_int_equal(dist_plan_bytes(plan, DIST_BUFFER_SCRATCH), 1000);
    assert_int_equal(dist_plan_bytes(plan, DIST_BUFFER_STATE), 400);
    dist_plan_destroy(plan);
    dist_plan_destroy(NULL);
}

static void test_nothing_is_left_out_but_nothing(void **state)
{
    (void)state;
    dist_plan *plan = dist_plan_create(0, 2, "empty");
    uint32_t data = dist_plan_add_buffer(plan, DIST_BUFFER_USER, 64, "data");
    dist_slice none = at(data, 8, 0);
    dist_plan_send(plan, DIST_CHANNEL_INSIDE, 1, none);
    dist_plan_recv(plan, DIST_CHANNEL_INSIDE, 1, none);
    dist_plan_reduce(plan, DIST_INT32, DIST_MAX, none, none);
    dist_plan_copy(plan, none, none);
    dist_plan_divide(plan, DIST_INT32, none, 2);
    dist_plan_encode(plan, DIST_FLOAT32, none, none, none, 0, 0);
    dist_plan_decode(plan, DIST_FLOAT32, none, none, 1, 1, false);
    assert_int_equal(plan->ops, 0);
    assert_int_equal(plan->sequences, 0); /* a message that is not sent has no number */
    dist_plan_native(plan, DIST_NATIVE_BARRIER, DIST_INT32, DIST_SUM, 0, 0, none, none);
    assert_int_equal(plan->ops, 1); /* but a barrier has no bytes */
    assert_int_equal(dist_plan_finish(plan), DIST_OK);
    dist_plan_destroy(plan);
}

static void test_sequences(void **state)
{
    (void)state;
    dist_plan *plan = dist_plan_create(0, 3, "messages");
    uint32_t data = dist_plan_add_buffer(plan, DIST_BUFFER_USER, 64, "data");
    uint32_t wanted[40], n = 0, last[2][2][3] = {{{0}}};
    for (int i = 0; i < 40; i++) {
        int channel = i % 2, peer = 1 + i / 3 % 2, send = i % 5 < 3;
        wanted[n++] = last[channel][send][peer]++;
        (send ? dist_plan_send : dist_plan_recv)(plan, channel, peer, at(data, 0, 4));
    }
    assert_int_equal(plan->ops, 40);
    uint32_t most = 0;
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(plan->op[i].sequence, wanted[i]);
        most = wanted[i] > most ? wanted[i] : most;
    }
    assert_int_equal(plan->sequences, most + 1);
    assert_int_equal(dist_plan_finish(plan), DIST_OK);
    dist_plan_destroy(plan);
}

/* What is rounded away goes from one encoding to the next: they stay in order, though they share nothing else. */
static void test_feedback_orders_encodings(void **state)
{
    (void)state;
    dist_plan *plan = dist_plan_create(0, 1, "feedback");
    uint32_t data = dist_plan_add_buffer(plan, DIST_BUFFER_USER, 4096, "data");
    uint32_t kept = dist_plan_add_buffer(plan, DIST_BUFFER_STATE, 64, "kept");
    for (uint64_t i = 0; i < 3; i++)
        dist_plan_encode(plan, DIST_FLOAT32, at(data, i * 128, 64), at(data, 2048 + i * 64, 64),
                         i < 2 ? at(kept, 0, 64) : at(DIST_NO_BUFFER, 0, 0), 0, 0);
    waits_for(plan, 1, 1, 0);
    waits_for(plan, 2, 0);
    assert_int_equal(dist_plan_finish(plan), DIST_OK);
    dist_plan_destroy(plan);
}

static void test_text(void **state)
{
    (void)state;
    static const char *const wanted[DIST_OP_KINDS] = {
        "RECV data[0+400] from rank 3 #0 channel 0",
        "REDUCE data[400+400] += data[0+400]",
        "COPY data[800+400] = data[400+400]",
        "DIVIDE data[800+400] / 3",
        "ENCODE wire[0+500] = data[800+400] with a name that is [0+400]",
        "SEND wire[0+500] to rank 0 #0 channel 1",
        "DECODE data[0+400] += wire[0+500] of 2 frames / 4",
        "NATIVE broadcast of 8 float64 data[1200+64]",
        "PROJECT wire[600+80] = data[1600+80] of 4 rows, rank 4 with a name that is [0+400]",
        "EXPAND data[1600+80] = wire[600+80] of 4 rows, rank 4 with a name that is [0+400]",
        "CALL W5.6 data[2000+8] = data[1600+80] with data[400+400]",
    };
    dist_plan *plan = one_of_each();
    assert_int_equal(dist_plan_finish(plan), DIST_OK);
    char text[256], small[8];
    for (size_t i = 0; i < plan->ops; i++) {
        dist_op_format(plan, i, text, sizeof text);
        assert_string_equal(text, wanted[i]);
        dist_op_format(plan, i, small, sizeof small);
        assert_int_equal(strlen(small), 7);
        assert_memory_equal(small, text, 7);
    }
    char *written = NULL;
    size_t length = 0;
    FILE *file = tmpfile();
    dist_plan_write(plan, file);
    length = (size_t)ftell(file);
    written = calloc(1, length + 1);
    rewind(file);
    assert_int_equal(fread(written, 1, length, file), length);
    fclose(file);
    assert_non_null(strstr(written, "# rank 1 of 4: one of 11\n# 11 ops, 1000 scratch bytes, hash "));
    assert_non_null(strstr(written, "# buffer wire: scratch, 1000 bytes\n"));
    assert_non_null(strstr(written, "    0 RECV data[0+400] from rank 3 #0 channel 0\n"));
    assert_non_null(strstr(written, "    6 DECODE data[0+400] += wire[0+500] of 2 frames / 4 after 0,1,4\n"));
    free(written);
    dist_plan_destroy(plan);
}

/* Changes one byte-sized thing, demands another hash, and puts it back. */
#define COVERED(plan, field, value)                                                                          \
    do {                                                                                                     \
        uint64_t before = dist_plan_hash(plan);                                                              \
        __typeof__(field) kept = (field);                                                                    \
        assert_true(kept != (__typeof__(field))(value));                                                     \
        (field) = (__typeof__(field))(value);                                                                \
        assert_int_not_equal(dist_plan_hash(plan), before);                                                  \
        (field) = kept;                                                                                      \
        assert_int_equal(dist_plan_hash(plan), before);                                                      \
    } while (0)

#define FLAG_COVERED(plan, flag)                                                                             \
    do {                                                                                                     \
        uint64_t before = dist_plan_hash(plan);                                                              \
        (flag) = !(flag);                                                                                    \
        assert_int_not_equal(dist_plan_hash(plan), before);                                                  \
        (flag) = !(flag);                                                                                    \
    } while (0)

static void slice_is_covered(dist_plan *plan, dist_slice *slice)
{
    COVERED(plan, slice->offset, slice->offset + 4);
    COVERED(plan, slice->bytes, slice->bytes + 4);
    COVERED(plan, slice->buffer, slice->buffer + 1);
}

static void test_hash_covers_all(void **state)
{
    (void)state;
    dist_plan *plan = one_of_each(), *twin = one_of_each();
    assert_int_equal(dist_plan_finish(plan), DIST_OK);
    assert_int_equal(dist_plan_finish(twin), DIST_OK);
    assert_int_equal(dist_plan_hash(plan), dist_plan_hash(twin));
    dist_plan_destroy(twin);
    COVERED(plan, plan->rank, 2);
    COVERED(plan, plan->ranks, 5);
    COVERED(plan, plan->label[0], 'O');
    COVERED(plan, plan->ops, plan->ops - 1);
    for (size_t b = 0; b < plan->buffers; b++) {
        COVERED(plan, plan->buffer[b].kind, (plan->buffer[b].kind + 1) % 3);
        COVERED(plan, plan->buffer[b].bytes, plan->buffer[b].bytes + 1);
    }
    for (size_t i = 0; i < plan->ops; i++) {
        dist_op *op = &plan->op[i];
        COVERED(plan, op->kind, op->kind + 1);
        COVERED(plan, op->type, op->type + 1);
        COVERED(plan, op->reduction, op->reduction + 1);
        COVERED(plan, op->native, op->native + 1);
        FLAG_COVERED(plan, op->add);
        FLAG_COVERED(plan, op->variable);
        FLAG_COVERED(plan, op->staged);
        COVERED(plan, op->channel, op->channel + 256);
        COVERED(plan, op->peer, -1);
        COVERED(plan, op->sequence, op->sequence + 1);
        COVERED(plan, op->divisor, op->divisor + 1);
        COVERED(plan, op->frames, op->frames + 1);
        COVERED(plan, op->stream, op->stream + 1);
        COVERED(plan, op->first, op->first + 1);
        COVERED(plan, op->count, op->count + ((uint64_t)1 << 40));
        for (uint32_t w = 0; w < op->waits; w++)
            COVERED(plan, plan->wait[op->first_wait + w], 77);
        if (op->waits > 0)
            COVERED(plan, op->waits, op->waits - 1);
        dist_slice *slice[] = {&op->dst, &op->src, &op->state};
        for (int s = 0; s < 3; s++)
            if (slice[s]->buffer != DIST_NO_BUFFER)
                slice_is_covered(plan, slice[s]);
    }
    dist_plan_destroy(plan);
}

static void test_finish_tells_what_failed(void **state)
{
    (void)state;
    dist_plan *plan = dist_plan_create(0, 2, "failing");
    uint32_t data = dist_plan_add_buffer(plan, DIST_BUFFER_USER, 64, "data");
    dist_plan_send(plan, DIST_CHANNEL_INSIDE, 1, at(data, 0, 4));
    plan->status = dist_fail(DIST_ERR_UNSUPPORTED, "what a generator found");
    dist_plan_send(plan, DIST_CHANNEL_INSIDE, 1, at(data, 0, 4));
    assert_int_equal(plan->ops, 1); /* nothing is added after a failure */
    assert_int_equal(dist_plan_finish(plan), DIST_ERR_UNSUPPORTED);
    assert_string_equal(dist_last_error(), "what a generator found");
    dist_plan_destroy(plan);

    plan = dist_plan_create(0, 2, "too long");
    plan->ops = DIST_NO_OP;
    assert_int_equal(dist_plan_finish(plan), DIST_ERR_UNSUPPORTED);
    assert_non_null(strstr(dist_last_error(), "'too long' has 4294967295 ops"));
    plan->ops = 0;
    dist_plan_destroy(plan);
}

static void test_short_plans(void **state)
{
    (void)state;
    dist_plan *plan = dist_plan_create(0, 2, "short");
    uint32_t data = dist_plan_add_buffer(plan, DIST_BUFFER_USER, 4096, "data");
    assert_true(dist_plan_is_short(plan));
    for (int i = 0; i < 64; i++)
        dist_plan_send(plan, DIST_CHANNEL_INSIDE, 1, at(data, 0, DIST_WIRE_SHORT));
    assert_true(dist_plan_is_short(plan));
    dist_plan_copy(plan, at(data, 8, 8), at(data, 0, 8));
    assert_false(dist_plan_is_short(plan)); /* a bit for each op, and there are 64 */
    plan->ops = 1;
    plan->op[0].src.bytes++;
    assert_false(dist_plan_is_short(plan)); /* a wire need not send it at once */
    plan->op[0].src.bytes--;
    assert_true(dist_plan_is_short(plan));
    plan->op[0].kind = DIST_OP_NATIVE;
    assert_false(dist_plan_is_short(plan));
    assert_int_equal(dist_plan_finish(plan), DIST_OK);
    dist_plan_destroy(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ops_and_waits),
        cmocka_unit_test(test_nothing_is_left_out_but_nothing),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_feedback_orders_encodings),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_hash_covers_all),
        cmocka_unit_test(test_finish_tells_what_failed),
        cmocka_unit_test(test_short_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
