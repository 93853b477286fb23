/* Sets of plans for the tests of the verifier: good ones to break, and ways to break them. */
#ifndef DIST_TESTS_PLAN_SETS_H
#define DIST_TESTS_PLAN_SETS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/memory.h"
#include "plan/verify.h"

enum { MOST_RANKS = 80, MOST_CLAIMS = 256 };
enum { DATA, SCRATCH, FEEDBACK }; /* the buffers of each plan */

typedef struct plan_set {
    dist_plan *plan[MOST_RANKS];
    int ranks;
    dist_claim input[MOST_CLAIMS], output[MOST_CLAIMS];
    dist_contract contract;
} plan_set;

static inline dist_slice elements(uint32_t buffer, uint64_t first, uint64_t count)
{
    return dist_slice_of(buffer, 4 * first, 4 * count);
}

/* Empty plans for an all-reduce in place of `count` float32, each with that much feedback. */
static inline void set_begin(plan_set *set, int ranks, uint64_t count, uint64_t scratch)
{
    memset(set, 0, sizeof *set);
    set->ranks = ranks;
    for (int r = 0; r < ranks; r++) {
        set->plan[r] = dist_plan_create(r, ranks, "test");
        assert_non_null(set->plan[r]);
        dist_plan_add_buffer(set->plan[r], DIST_BUFFER_USER, 4 * count, "data");
        dist_plan_add_buffer(set->plan[r], DIST_BUFFER_SCRATCH, scratch, "scratch");
        dist_plan_add_buffer(set->plan[r], DIST_BUFFER_STATE, 4 * count, "feedback");
        set->input[r] = (dist_claim){.rank = r, .buffer = DATA, .count = count};
        set->output[r] = (dist_claim){.rank = r, .buffer = DATA, .count = count, .from = -1};
    }
    set->contract = (dist_contract){.type = DIST_FLOAT32,
                                    .input = set->input,
                                    .inputs = (size_t)ranks,
                                    .output = set->output,
                                    .outputs = (size_t)ranks,
                                    .divisor = 1};
}

static inline void set_finish(plan_set *set)
{
    for (int r = 0; r < set->ranks; r++)
        assert_int_equal(dist_plan_finish(set->plan[r]), DIST_OK);
}

static inline void set_end(plan_set *set)
{
    for (int r = 0; r < set->ranks; r++)
        dist_plan_destroy(set->plan[r]);
}

static inline dist_status set_verify(const plan_set *set)
{
    const dist_plan *plan[MOST_RANKS];
    for (int r = 0; r < set->ranks; r++)
        plan[r] = set->plan[r];
    return dist_verify(plan, set->ranks, &set->contract);
}

static inline void expect_good(plan_set *set)
{
    dist_status status = set_verify(set);
    if (status != DIST_OK)
        print_error("%s\n", dist_last_error());
    assert_int_equal(status, DIST_OK);
    set_end(set);
}

/* The plans do not verify, and the sentence has all these parts (ended by NULL). */
static inline void expect_fault(plan_set *set, ...)
{
    va_list parts;
    assert_int_equal(set_verify(set), DIST_ERR_PLAN);
    va_start(parts, set);
    for (const char *part = va_arg(parts, const char *); part; part = va_arg(parts, const char *)) {
        if (!strstr(dist_last_error(), part))
            print_error("'%s' is not in '%s'\n", part, dist_last_error());
        assert_non_null(strstr(dist_last_error(), part));
    }
    va_end(parts);
    set_end(set);
}

/* Two ranks: 0 SEND data, 1 RECV scratch, 2 REDUCE data += scratch. */
static inline void set_exchange(plan_set *set)
{
    set_begin(set, 2, 4, 16);
    for (int r = 0; r < 2; r++) {
        dist_plan *plan = set->plan[r];
        dist_plan_send(plan, DIST_CHANNEL_INSIDE, 1 - r, elements(DATA, 0, 4));
        dist_plan_recv(plan, DIST_CHANNEL_INSIDE, 1 - r, elements(SCRATCH, 0, 4));
        dist_plan_reduce(plan, DIST_FLOAT32, DIST_SUM, elements(DATA, 0, 4), elements(SCRATCH, 0, 4));
    }
    set_finish(set);
}

/* The all-reduce ring, with two scratch slots that are used in turn. */
static inline void set_ring(plan_set *set, int ranks, uint64_t count)
{
    uint64_t n = (uint64_t)ranks, slot = count / n + 1;
    set_begin(set, ranks, count, 8 * slot);
    for (int r = 0; r < ranks; r++) {
        dist_plan *plan = set->plan[r];
        int next = (r + 1) % ranks, previous = (r + ranks - 1) % ranks;
        for (uint64_t step = 0; step < 2 * (n - 1); step++) {
            uint64_t out = ((uint64_t)r + 2 * n - step) % n, in = (out + n - 1) % n;
            uint64_t begin = in * count / n, size = (in + 1) * count / n - begin;
            dist_slice slice = elements(DATA, begin, size), spare = elements(SCRATCH, step % 2 * slot, size);
            dist_plan_send(plan, DIST_CHANNEL_INSIDE, next,
                           elements(DATA, out * count / n, (out + 1) * count / n - out * count / n));
            dist_plan_recv(plan, DIST_CHANNEL_INSIDE, previous, step < n - 1 ? spare : slice);
            if (step < n - 1)
                dist_plan_reduce(plan, DIST_FLOAT32, DIST_SUM, slice, spare);
        }
    }
    set_finish(set);
}

enum { CODED = 20, CODED_BYTES = 68 }; /* elements, and the size of their frame in int8:block=16 */

/* An average: everyone's encoded bytes to everyone, decoded and added in rank order. Rank r: 0 ENCODE, then
 * SEND and RECV for each peer, then DECODE of each rank, then DIVIDE. */
static inline void set_coded(plan_set *set, int ranks)
{
    set_begin(set, ranks, CODED, (uint64_t)(CODED_BYTES * ranks));
    for (int r = 0; r < ranks; r++) {
        dist_plan *plan = set->plan[r];
        dist_slice own = dist_slice_of(SCRATCH, (uint64_t)(r * CODED_BYTES), CODED_BYTES);
        assert_int_equal(dist_codec_parse("int8:block=16:ef=fp32", DIST_SIMD_SCALAR, &plan->codec), DIST_OK);
        dist_plan_encode(plan, DIST_FLOAT32, own, elements(DATA, 0, CODED), elements(FEEDBACK, 0, CODED), 0,
                         0);
        for (int p = 0; p < ranks; p++) {
            if (p == r)
                continue;
            dist_plan_send(plan, DIST_CHANNEL_ACROSS, p, own);
            dist_plan_recv(plan, DIST_CHANNEL_ACROSS, p,
                           dist_slice_of(SCRATCH, (uint64_t)(p * CODED_BYTES), CODED_BYTES));
        }
        for (int p = 0; p < ranks; p++)
            dist_plan_decode(plan, DIST_FLOAT32, elements(DATA, 0, CODED),
                             dist_slice_of(SCRATCH, (uint64_t)(p * CODED_BYTES), CODED_BYTES), 1, 1, p > 0);
        dist_plan_divide(plan, DIST_FLOAT32, elements(DATA, 0, CODED), ranks);
    }
    set->contract.divisor = ranks;
    set_finish(set);
}

/* Four ranks in two teams, {0, 2} and {3, 1} in this order, each of which sums in place. Rank r: 0 NATIVE reduce-scatter, 1
 * NATIVE all-gather, 2 NATIVE broadcast of element 1 of the sum by the first member, 3 NATIVE all-reduce of a word of
 * scratch. */
static inline void set_teams(plan_set *set)
{
    static const int team[2][2] = {{0, 2}, {3, 1}};
    set_begin(set, 4, 4, 16);
    for (int r = 0; r < 4; r++) {
        dist_plan *plan = set->plan[r];
        const int *mine = team[r % 2];
        const dist_slice data = elements(DATA, 0, 4), part = elements(DATA, r == mine[1] ? 2 : 0, 2),
                         none = dist_slice_of(DIST_NO_BUFFER, 0, 0), word = elements(SCRATCH, 0, 1);
        set->input[r].group = set->output[r].group = r % 2 + 1;
        dist_plan_set_team(plan, mine, 2);
        dist_plan_native_team(plan, DIST_NATIVE_REDUCE_SCATTER, DIST_FLOAT32, DIST_SUM, 0, 2, part, data);
        dist_plan_native_team(plan, DIST_NATIVE_ALL_GATHER, DIST_FLOAT32, DIST_SUM, 0, 2, data, part);
        dist_plan_native_team(plan, DIST_NATIVE_BROADCAST, DIST_FLOAT32, DIST_SUM, mine[0], 1,
                              elements(DATA, 1, 1), none);
        dist_plan_native_team(plan, DIST_NATIVE_ALL_REDUCE, DIST_FLOAT32, DIST_SUM, 0, 1, word, word);
    }
    set_finish(set);
}

/* Takes one wait out of a finished plan; `number` counts from the op's first. */
static inline void delete_wait(dist_plan *plan, size_t op, uint32_t number)
{
    uint32_t at = plan->op[op].first_wait + number;
    plan->op[op].waits--;
    plan->waits--;
    memmove(&plan->wait[at], &plan->wait[at + 1], (plan->waits - at) * sizeof *plan->wait);
    for (size_t i = op + 1; i < plan->ops; i++)
        plan->op[i].first_wait--;
}

static inline void append_wait(uint32_t **list, size_t *count, size_t *capacity, uint32_t op)
{
    assert_true(dist_grow(list, capacity, *count + 1, sizeof **list));
    (*list)[(*count)++] = op;
}

/* Takes an op out of a finished plan; who waited for it waits for what it waited for. Sequences and tags are
 * made right again, so that only what is missing is wrong. */
static inline void delete_op(dist_plan *plan, size_t victim)
{
    uint32_t *list = NULL, sequence[2 * DIST_CHANNELS][MOST_RANKS] = {{0}};
    size_t count = 0, capacity = 0;
    const dist_op gone = plan->op[victim];
    plan->sequences = 0;
    for (size_t i = 0; i < plan->ops; i++) {
        dist_op *op = &plan->op[i];
        uint32_t first = (uint32_t)count;
        if (i == victim)
            continue;
        for (uint32_t w = 0; w < op->waits; w++) {
            uint32_t wait = plan->wait[op->first_wait + w];
            if (wait != victim)
                append_wait(&list, &count, &capacity, wait - (wait > victim));
            for (uint32_t v = 0; wait == victim && v < gone.waits; v++)
                append_wait(&list, &count, &capacity, plan->wait[gone.first_wait + v]);
        }
        op->first_wait = first;
        op->waits = (uint32_t)count - first;
        if (op->kind == DIST_OP_NATIVE && op->device && plan->sequences == 0)
            plan->sequences = 1;
        if (op->kind == DIST_OP_SEND || op->kind == DIST_OP_RECV) {
            op->sequence = sequence[op->channel * 2 + op->kind][op->peer]++;
            plan->sequences = plan->sequences > op->sequence ? plan->sequences : op->sequence + 1;
        }
    }
    plan->ops--;
    memmove(&plan->op[victim], &plan->op[victim + 1], (plan->ops - victim) * sizeof(dist_op));
    free(plan->wait);
    plan->wait = list;
    plan->waits = count;
    plan->wait_capacity = capacity;
}

#endif
