/* The verifier against answers found in other, slower ways: every single change to good plans, and random
 * plans whose races and values are computed op by op and element by element. */
#include "plan_sets.h"

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static uint32_t below(uint64_t *seed, uint32_t limit)
{
    return next_random(seed) % limit;
}

typedef void build_function(plan_set *set);

static void ring(plan_set *set)
{
    set_ring(set, 4, 11);
}

static void coded(plan_set *set)
{
    set_coded(set, 3);
}

static build_function *const builds[] = {ring, coded, set_exchange};
enum { BUILDS = sizeof builds / sizeof *builds };

/* ---- every op counts ---- */

static void no_op_can_be_left_out(void **state)
{
    (void)state;
    plan_set set;
    for (int b = 0; b < BUILDS; b++) {
        builds[b](&set);
        size_t ops = set.plan[0]->ops;
        set_end(&set);
        for (size_t i = 0; i < ops; i++) {
            builds[b](&set);
            delete_op(set.plan[1], i);
            expect_fault(&set, NULL);
        }
    }
}

/* False when the op has no such slice. */
static bool change_slice(dist_op *op, int change)
{
    dist_slice *slice = change % 2 ? &op->dst : &op->src;
    if (slice->buffer == DIST_NO_BUFFER)
        return false;
    if (change < 2)
        slice->offset += 4;
    else if (change < 4)
        slice->offset -= 4;
    else
        slice->bytes -= 4;
    return true;
}

static void no_slice_can_be_moved_or_cut(void **state)
{
    (void)state;
    plan_set set;
    for (int b = 0; b < BUILDS; b++) {
        builds[b](&set);
        size_t ops = set.plan[1]->ops;
        set_end(&set);
        for (size_t i = 0; i < ops; i++)
            for (int change = 0; change < 6; change++) {
                builds[b](&set);
                if (change_slice(&set.plan[1]->op[i], change))
                    expect_fault(&set, NULL);
                else
                    set_end(&set);
            }
    }
}

/* ---- races: all pairs of ops, by the transitive closure of their waits ---- */

enum { MOST_OPS = 40 };

static bool clash(dist_slice a, dist_slice b)
{
    for (uint64_t byte = a.offset; byte < a.offset + a.bytes; byte++)
        if (a.buffer != DIST_NO_BUFFER && a.buffer == b.buffer && byte >= b.offset &&
            byte < b.offset + b.bytes)
            return true;
    return false;
}

static bool pair_clashes(const dist_op *a, const dist_op *b)
{
    return clash(a->dst, b->dst) || clash(a->dst, b->src) || clash(a->src, b->dst) ||
           clash(a->state, b->state);
}

static bool has_race(const dist_plan *plan)
{
    bool before[MOST_OPS][MOST_OPS] = {{false}};
    assert_true(plan->ops <= MOST_OPS);
    for (size_t b = 0; b < plan->ops; b++)
        for (uint32_t w = 0; w < plan->op[b].waits; w++) {
            uint32_t wait = plan->wait[plan->op[b].first_wait + w];
            before[wait][b] = true;
            for (size_t a = 0; a < plan->ops; a++)
                before[a][b] |= before[a][wait];
        }
    for (size_t b = 0; b < plan->ops; b++)
        for (size_t a = 0; a < b; a++)
            if (!before[a][b] && pair_clashes(&plan->op[a], &plan->op[b]))
                return true;
    return false;
}

static void a_wait_can_be_left_out_only_when_others_imply_it(void **state)
{
    (void)state;
    plan_set set;
    size_t races = 0;
    for (int b = 0; b < BUILDS; b++)
        for (size_t op = 0, wait = 0;;) {
            builds[b](&set);
            while (op < set.plan[1]->ops && wait == set.plan[1]->op[op].waits)
                op++, wait = 0;
            if (op == set.plan[1]->ops) {
                set_end(&set);
                break;
            }
            delete_wait(set.plan[1], op, (uint32_t)wait++);
            if (has_race(set.plan[1])) {
                expect_fault(&set, "rank 1", "without waiting for it", NULL);
                races++;
            } else {
                expect_good(&set);
            }
        }
    assert_true(races > 10);
}

/* Copies between random slices of a small buffer, each op waiting for each earlier one with some chance. */
static void random_copies(plan_set *set, uint64_t *seed)
{
    enum { OPS = 14, BYTES = 64 };
    uint32_t chance = below(seed, 100);
    set_begin(set, 1, BYTES / 4, BYTES);
    set->contract.inputs = set->contract.outputs = 0;
    dist_plan *plan = set->plan[0];
    for (int i = 0; i < OPS; i++) {
        uint32_t bytes = 1 + below(seed, 16), buffer = below(seed, 2);
        dist_plan_copy(plan, dist_slice_of(buffer, below(seed, BYTES - 16), bytes),
                       dist_slice_of(1 - buffer, below(seed, BYTES - 16), bytes));
    }
    set_finish(set);
    plan->waits = 0;
    for (uint32_t i = 0; i < OPS; i++) {
        plan->op[i].first_wait = (uint32_t)plan->waits;
        for (uint32_t w = 0; w < i; w++)
            if (below(seed, 100) < chance) {
                assert_true(dist_grow(&plan->wait, &plan->wait_capacity, plan->waits + 1, sizeof(uint32_t)));
                plan->wait[plan->waits++] = w;
            }
        plan->op[i].waits = (uint32_t)plan->waits - plan->op[i].first_wait;
    }
}

static void races_of_random_plans(void **state)
{
    (void)state;
    uint64_t seed = 1;
    int found[2] = {0};
    plan_set set;
    for (int round = 0; round < 3000; round++) {
        random_copies(&set, &seed);
        bool race = has_race(set.plan[0]);
        found[race]++;
        if (race)
            expect_fault(&set, "without waiting for it", NULL);
        else
            expect_good(&set);
    }
    assert_true(found[0] > 100 && found[1] > 100);
}

/* ---- values: each element followed by itself ---- */

enum { RANKS = 3, COUNT = 12, FRAME_BYTES = 32 + 4 * COUNT };

typedef struct cell {
    int element; /* -1: undefined */
    unsigned ranks;
    int divisor;
} cell;

typedef struct model {
    plan_set set;
    cell cell[RANKS][2][COUNT]; /* DATA, SCRATCH */
    uint64_t seed;
    dist_slice frame; /* where encoded bytes go, behind the cells of SCRATCH */
} model;

static void begin_model(model *m)
{
    set_begin(&m->set, RANKS, COUNT, 4 * COUNT + FRAME_BYTES);
    m->frame = dist_slice_of(SCRATCH, 4 * COUNT, FRAME_BYTES);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(dist_codec_parse("none", DIST_SIMD_SCALAR, &m->set.plan[r]->codec), DIST_OK);
        for (int i = 0; i < COUNT; i++) {
            m->cell[r][DATA][i] = (cell){i, 1u << r, 1};
            m->cell[r][SCRATCH][i] = (cell){-1, 0, 1};
        }
    }
}

static bool can_add(const cell *to, const cell *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (to[i].element >= 0 && from[i].element >= 0 &&
            (to[i].element != from[i].element || (to[i].ranks & from[i].ranks) || to[i].divisor != 1 ||
             from[i].divisor != 1))
            return false;
    return true;
}

static void add_cells(cell *to, const cell *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        to[i].ranks |= from[i].ranks;
        if (from[i].element < 0)
            to[i].element = -1;
    }
}

static void random_divide(model *m, int rank, uint32_t buffer, uint32_t first, uint32_t count)
{
    cell *at = &m->cell[rank][buffer][first];
    for (uint32_t i = 0; i < count; i++)
        if (at[i].element >= 0 && at[i].divisor != 1)
            return;
    for (uint32_t i = 0; i < count; i++)
        at[i].divisor = RANKS;
    dist_plan_divide(m->set.plan[rank], DIST_FLOAT32, elements(buffer, first, count), RANKS);
}

/* Encoded on one rank, decoded on it or on another. */
static void random_frame(model *m, int from, int to, dist_slice src, dist_slice dst, bool add)
{
    dist_slice frame = m->frame;
    frame.bytes = dist_codec_bytes(&m->set.plan[from]->codec, src.bytes / 4);
    uint32_t count = (uint32_t)(src.bytes / 4);
    cell sent[COUNT], *at = &m->cell[to][dst.buffer][dst.offset / 4];
    memcpy(sent, &m->cell[from][src.buffer][src.offset / 4], count * sizeof(cell));
    for (uint32_t i = 0; i < count; i++)
        if (sent[i].element < 0)
            for (uint32_t j = 0; j < count; j++)
                sent[j].element = -1; /* one undefined element spoils all */
    if (add && !can_add(at, sent, count))
        return;
    dist_plan_encode(m->set.plan[from], DIST_FLOAT32, frame, src, dist_slice_of(DIST_NO_BUFFER, 0, 0), 0, 0);
    if (from != to) {
        dist_plan_send(m->set.plan[from], DIST_CHANNEL_ACROSS, to, frame);
        dist_plan_recv(m->set.plan[to], DIST_CHANNEL_ACROSS, from, frame);
    }
    dist_plan_decode(m->set.plan[to], DIST_FLOAT32, dst, frame, 1, 1, add);
    if (add)
        add_cells(at, sent, count);
    else
        memcpy(at, sent, count * sizeof(cell));
}

static void random_step(model *m)
{
    /* mostly what leads to sums: data to scratch of others, scratch to data of the same rank */
    uint32_t kind = below(&m->seed, 12), buffer = (kind < 8) == (below(&m->seed, 8) > 0) ? DATA : SCRATCH;
    bool block = below(&m->seed, 8) > 0; /* most keep to the same borders, or hardly any could be added */
    uint32_t count = block ? COUNT / 3 : 1 + below(&m->seed, COUNT / 2);
    uint32_t here = block ? COUNT / 3 * below(&m->seed, 3) : below(&m->seed, COUNT - count + 1);
    uint32_t there = below(&m->seed, 12) ? here : below(&m->seed, COUNT - count + 1);
    int from = (int)below(&m->seed, RANKS), to = (int)below(&m->seed, RANKS);
    dist_slice src = elements(buffer, here, count), dst = elements(1 - buffer, there, count);
    cell *read = &m->cell[from][buffer][here], *written = &m->cell[to][1 - buffer][there];
    switch (kind) {
    case 0:
        random_divide(m, from, buffer, here, count);
        break;
    case 1:
    case 2:
        random_frame(m, from, to, src, dst, below(&m->seed, 2));
        break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
        if (from == to)
            dist_plan_copy(m->set.plan[to], dst, src);
        else {
            dist_plan_send(m->set.plan[from], DIST_CHANNEL_INSIDE, to, src);
            dist_plan_recv(m->set.plan[to], DIST_CHANNEL_INSIDE, from, dst);
        }
        memcpy(written, read, count * sizeof(cell));
        break;
    default:
        written = &m->cell[from][1 - buffer][there];
        if (!can_add(written, read, count) || (read->element < 0 && below(&m->seed, 8)))
            return;
        dist_plan_reduce(m->set.plan[from], DIST_FLOAT32, DIST_SUM, dst, src);
        add_cells(written, read, count);
    }
}

/* Claims what the model says, element by element; returns how many. */
static size_t claim_all(model *m)
{
    size_t claims = 0;
    m->set.contract.divisor = below(&m->seed, 2) ? 1 : RANKS;
    for (int r = 0; r < RANKS; r++)
        for (uint32_t b = 0; b < 2; b++)
            for (uint64_t i = 0; i < COUNT; i++) {
                const cell *c = &m->cell[r][b][i];
                bool all = c->ranks == (1u << RANKS) - 1, one = (c->ranks & (c->ranks - 1)) == 0;
                if (c->element < 0 || c->divisor != m->set.contract.divisor || !(all || one))
                    continue;
                m->set.output[claims++] = (dist_claim){.rank = r,
                                                       .buffer = b,
                                                       .offset = 4 * i,
                                                       .count = 1,
                                                       .first = (uint64_t)c->element,
                                                       .from = all ? -1 : __builtin_ctz(c->ranks)};
            }
    m->set.contract.outputs = claims;
    return claims;
}

static void make_wrong(model *m, dist_claim *claim)
{
    switch (below(&m->seed, 3)) {
    case 0:
        claim->first ^= 1;
        break;
    case 1:
        claim->from = claim->from < 0 ? (int)below(&m->seed, RANKS) : (claim->from + 1) % RANKS;
        break;
    default:
        m->set.contract.divisor = m->set.contract.divisor == 1 ? RANKS : 1;
    }
}

static void values_of_random_plans(void **state)
{
    (void)state;
    static model m;
    size_t sums = 0;
    m.seed = 7;
    for (int round = 0; round < 2000; round++) {
        begin_model(&m);
        for (int step = 0; step < 60; step++)
            random_step(&m);
        set_finish(&m.set);
        size_t claims = claim_all(&m);
        assert_int_equal(set_verify(&m.set), DIST_OK);
        for (size_t i = 0; i < claims; i++)
            sums += m.set.output[i].from < 0;
        if (claims == 0) {
            set_end(&m.set);
            continue;
        }
        make_wrong(&m, &m.set.output[below(&m.seed, (uint32_t)claims)]);
        expect_fault(&m.set, "output element", NULL);
    }
    assert_true(sums > 300);
}

#define TEST(function) cmocka_unit_test(function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_op_can_be_left_out),
        TEST(no_slice_can_be_moved_or_cut),
        TEST(a_wait_can_be_left_out_only_when_others_imply_it),
        TEST(races_of_random_plans),
        TEST(values_of_random_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
