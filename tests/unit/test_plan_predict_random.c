/* Random plans on random clusters: every start and end exactly as a simulator finds them that looks through all ops at
 * each step. */
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

enum { RANKS = 5, LINKS = 4, OPS = 64, STEPS = 40, CASES = 3000, GROUPS = 3 };

typedef struct test_case {
    int ranks;
    dist_plan *plan[RANKS];
    int member[GROUPS][RANKS], members[GROUPS]; /* of all ranks in order, and of teams in any */
    int team[RANKS];                            /* of each rank; 0: none */
    dist_cluster cluster;
    dist_cluster_link link[LINKS];
    int route[RANKS][RANKS];
    double latency[RANKS][RANKS];
} test_case;

static unsigned pick(unsigned below)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (unsigned)(x >> 33) % below;
}

static int find_route(const void *user, int from, int to, double *latency)
{
    const test_case *c = user;
    *latency = c->latency[from][to];
    return c->route[from][to];
}

/* ---- making cases ---- */

/* What happens in a step: a message, a local op, a call or a collective. */
typedef struct step {
    enum { MESSAGE, LOCAL, CALLED, COLLECTIVE } kind;
    int from, to, channel; /* from: also the rank of a local op or call */
    int group;             /* of a collective */
    dist_slice dst, src;
    double cost;
} step;

static dist_slice pick_slice(uint64_t bytes)
{
    return dist_slice_of(0, pick(60) / bytes * bytes, bytes);
}

/* Few different times, so that many things happen at once; or times that hardly ever agree. */
static double pick_time(bool coarse)
{
    return coarse ? pick(3) : pick(1000) / 997.0;
}

static step pick_step(int ranks, bool coarse)
{
    step s = {.kind = pick(10) < 5 ? MESSAGE : 1 + pick(pick(4) ? 2 : 3)};
    uint64_t bytes = 4 + 4 * pick(3);
    s.from = (int)pick((unsigned)ranks);
    s.to = (int)pick((unsigned)ranks);
    s.channel = (int)pick(DIST_CHANNELS);
    s.group = (int)pick(GROUPS);
    s.dst = pick_slice(bytes);
    s.src = pick_slice(bytes);
    s.cost = pick_time(coarse);
    if (s.kind == MESSAGE && s.from == s.to)
        s.kind = LOCAL;
    return s;
}

static void emit(const test_case *c, const step *s, dist_plan *plan)
{
    if (s->kind == MESSAGE && plan->rank == s->from)
        dist_plan_send(plan, s->channel, s->to, s->src);
    if (s->kind == MESSAGE && plan->rank == s->to)
        dist_plan_recv(plan, s->channel, s->from, s->dst);
    if (s->kind == LOCAL && plan->rank == s->from)
        s->channel ? dist_plan_copy(plan, s->dst, s->src)
                   : dist_plan_reduce(plan, DIST_FLOAT32, DIST_SUM, s->dst, s->src);
    if (s->kind == CALLED && plan->rank == s->from) {
        plan->last_call = DIST_NO_OP; /* let calls compete for the compute resource */
        dist_plan_call(
            plan, &(dist_stage_call){
                      .cost = s->cost, .dst = s->dst, .src = s->src, .state = {.buffer = DIST_NO_BUFFER}});
    }
    if (s->kind == COLLECTIVE && (s->group == 0 || c->team[plan->rank] == s->group))
        (s->group ? dist_plan_native_team : dist_plan_native)(
            plan, s->channel ? DIST_NATIVE_ALL_REDUCE : DIST_NATIVE_BROADCAST, DIST_FLOAT32, DIST_SUM,
            c->member[s->group][0], s->dst.bytes / 4, s->dst, s->dst);
}

static void make_cluster(test_case *c, bool coarse)
{
    static const double rates[] = {0, 2, 4, 4};
    for (int l = 0; l < LINKS; l++)
        c->link[l] = (dist_cluster_link){pick_time(coarse), coarse ? rates[pick(4)] : 7 + pick(9)};
    for (int i = 0; i < RANKS * RANKS; i++) {
        c->route[i / RANKS][i % RANKS] = (int)pick(LINKS);
        c->latency[i / RANKS][i % RANKS] = pick_time(coarse);
    }
    c->cluster = (dist_cluster){.ranks = c->ranks,
                                .links = LINKS,
                                .link = c->link,
                                .route = find_route,
                                .user = c,
                                .copy_rate = coarse ? rates[pick(4)] : 13,
                                .reduce_rate = coarse ? rates[pick(4)] : 11};
}

static void make_teams(test_case *c)
{
    for (int r = 0; r < c->ranks; r++) {
        c->member[0][c->members[0]++] = r;
        c->team[r] = (int)pick(GROUPS);
    }
    for (int g = 1; g < GROUPS; g++) {
        for (int r = 0; r < c->ranks; r++)
            if (c->team[r] == g) { /* at any place among those that there are */
                const int at = (int)pick((unsigned)++c->members[g]);
                c->member[g][c->members[g] - 1] = c->member[g][at];
                c->member[g][at] = r;
            }
        if (c->members[g] == 1)
            c->team[c->member[g][0]] = 0;
    }
}

/* The step of `list`; of a collective, the one whose turn it is: they keep their order. */
static const step *turn(const step *list, const step *original, size_t i)
{
    size_t before = 0;
    if (list[i].kind != COLLECTIVE)
        return &list[i];
    for (size_t k = 0; k < i; k++)
        before += list[k].kind == COLLECTIVE && list[k].group == list[i].group;
    for (;; original++)
        if (original->kind == COLLECTIVE && original->group == list[i].group && before-- == 0)
            return original;
}

/* All ranks take the same steps in the same order, which cannot deadlock; with `disorder`, each in
 * an order a little different from that of the rank before. */
static void make_case(test_case *c, bool coarse, bool disorder)
{
    step list[STEPS], original[STEPS];
    memset(c, 0, sizeof *c);
    c->ranks = 1 + (int)pick(RANKS);
    size_t steps = 1 + pick(STEPS);
    make_cluster(c, coarse);
    make_teams(c);
    for (size_t i = 0; i < steps; i++)
        original[i] = list[i] = pick_step(c->ranks, coarse);
    for (int r = 0; r < c->ranks; r++) {
        c->plan[r] = dist_plan_create(r, c->ranks, "random");
        assert_non_null(c->plan[r]);
        dist_plan_add_buffer(c->plan[r], DIST_BUFFER_USER, 128, "data");
        if (c->team[r])
            dist_plan_set_team(c->plan[r], c->member[c->team[r]], c->members[c->team[r]]);
        for (size_t i = 0; disorder && i + 4 < steps; i += 1 + pick(4)) {
            step first = list[i];
            size_t other = i + 1 + pick(4);
            list[i] = list[other];
            list[other] = first;
        }
        for (size_t i = 0; i < steps; i++)
            emit(c, turn(list, original, i), c->plan[r]);
        assert_int_equal(dist_plan_finish(c->plan[r]), DIST_OK);
    }
}

/* ---- the reference ---- */

typedef enum stage { WAITS, READY, RUNS, LANDS, DONE } stage; /* LANDS: a collective that has left its link */

typedef struct reference {
    const test_case *c;
    double now, ready[RANKS][OPS], start[RANKS][OPS], end[RANKS][OPS];
    stage state[RANKS][OPS];
    uint64_t bytes[LINKS];
    uint64_t messages[LINKS];
    double busy[LINKS];
    int link[GROUPS]; /* that collectives take */
    double latency[GROUPS];
} reference;

static const dist_op *op_of(const reference *f, int r, size_t i)
{
    return &f->c->plan[r]->op[i];
}

static int group_of(const reference *f, int r, size_t i)
{
    return op_of(f, r, i)->device ? f->c->team[r] : 0;
}

/* Whether rank `other` takes part in op i of rank r, a SEND or NATIVE. */
static bool takes_part(const reference *f, int r, size_t i, int other)
{
    const dist_op *op = op_of(f, r, i);
    const int group = group_of(f, r, i);
    return op->kind == DIST_OP_NATIVE ? group == 0 || f->c->team[other] == group
                                      : op->kind == DIST_OP_SEND && other == op->peer;
}

/* The op of rank `other` that op i of rank r meets. */
static size_t partner(const reference *f, int r, size_t i, int other)
{
    const dist_op *op = op_of(f, r, i);
    size_t number = 0, found = 0;
    if (op->kind == DIST_OP_NATIVE) {
        for (size_t k = 0; k < i; k++)
            number += op_of(f, r, k)->kind == DIST_OP_NATIVE && op_of(f, r, k)->device == op->device;
        for (size_t k = 0; k < f->c->plan[other]->ops; k++)
            if (op_of(f, other, k)->kind == DIST_OP_NATIVE && op_of(f, other, k)->device == op->device &&
                found++ == number)
                return k;
    }
    for (size_t k = 0; k < f->c->plan[other]->ops; k++) {
        const dist_op *o = op_of(f, other, k);
        if (o->kind != op->kind && (o->kind == DIST_OP_SEND || o->kind == DIST_OP_RECV) && o->peer == r &&
            o->channel == op->channel && o->sequence == op->sequence)
            return k;
    }
    fail();
    return 0;
}

/* 0 .. LINKS - 1: links; then compute and engine of each rank; -1: RECVs and the collectives of members but the first
 * just follow. */
static int resource_of(const reference *f, int r, size_t i)
{
    const dist_op *op = op_of(f, r, i);
    if (op->kind == DIST_OP_SEND)
        return f->c->route[r][op->peer];
    if (op->kind == DIST_OP_NATIVE)
        return r == f->c->member[group_of(f, r, i)][0] ? f->link[group_of(f, r, i)] : -1;
    if (op->kind == DIST_OP_RECV)
        return -1;
    return LINKS + 2 * r + (op->kind == DIST_OP_CALL);
}

/* When all that op i meets is ready, its time; else -1. */
static double ready_together(const reference *f, int r, size_t i)
{
    double latest = f->ready[r][i];
    for (int other = 0; other < f->c->ranks; other++) {
        if (takes_part(f, r, i, other)) {
            size_t k = partner(f, r, i, other);
            if (f->state[other][k] != READY)
                return -1;
            latest = fmax(latest, f->ready[other][k]);
        }
    }
    return latest;
}

static double over(uint64_t bytes, double rate)
{
    return rate > 0 ? (double)bytes / rate : 0;
}

static void count_bytes(reference *f, int link, uint64_t bytes)
{
    f->bytes[link] += bytes;
    f->messages[link]++;
    f->busy[link] += over(bytes, f->c->link[link].bandwidth);
}

static void begin_op(reference *f, int r, size_t i)
{
    const dist_op *op = op_of(f, r, i);
    int link = resource_of(f, r, i);
    uint64_t bytes = op->kind == DIST_OP_SEND ? op->src.bytes : op->dst.bytes;
    double rate = op->kind == DIST_OP_COPY ? f->c->cluster.copy_rate : f->c->cluster.reduce_rate;
    const int group = group_of(f, r, i), members = f->c->members[group];
    if (op->kind == DIST_OP_NATIVE && group > 0)
        bytes -= bytes / (uint64_t)members;
    if (op->kind == DIST_OP_NATIVE && op->native == DIST_NATIVE_ALL_REDUCE)
        bytes *= 2;
    for (int m = 0; op->kind == DIST_OP_NATIVE && group > 0 && m < members; m++)
        count_bytes(f, f->c->route[f->c->member[group][m]][f->c->member[group][(m + 1) % members]], bytes);
    if (link < LINKS && (op->kind == DIST_OP_SEND || group == 0))
        count_bytes(f, link, bytes);
    if (link < LINKS)
        rate = f->c->link[link].bandwidth;
    f->state[r][i] = RUNS;
    f->start[r][i] = f->now;
    f->end[r][i] = f->now + (op->kind == DIST_OP_CALL ? op->cost : over(bytes, rate));
    for (int other = 0; other < f->c->ranks; other++)
        if (takes_part(f, r, i, other)) {
            size_t k = partner(f, r, i, other);
            f->start[other][k] = f->now;
        }
}

/* Starts on each free resource the op that became ready first. */
static bool begin_ops(reference *f)
{
    bool any = false;
    for (int resource = 0; resource < LINKS + 2 * RANKS; resource++) {
        bool busy = false;
        int best_rank = -1;
        size_t best = 0;
        double best_ready = 0;
        for (size_t i = 0; i < OPS; i++) /* lower op number first, then lower rank */
            for (int r = 0; r < f->c->ranks; r++) {
                if (i >= f->c->plan[r]->ops || resource_of(f, r, i) != resource)
                    continue;
                busy |= f->state[r][i] == RUNS;
                double ready = f->state[r][i] == READY ? ready_together(f, r, i) : -1;
                if (ready >= 0 && (best_rank < 0 || ready < best_ready)) {
                    best_rank = r;
                    best = i;
                    best_ready = ready;
                }
            }
        if (!busy && best_rank >= 0) {
            begin_op(f, best_rank, best);
            any = true;
        }
    }
    return any;
}

static void end_op(reference *f, int r, size_t i)
{
    const dist_op *op = op_of(f, r, i);
    f->state[r][i] = DONE;
    if (op->kind == DIST_OP_SEND) { /* its RECV comes one latency later */
        size_t k = partner(f, r, i, op->peer);
        f->state[op->peer][k] = RUNS;
        f->end[op->peer][k] = f->now + f->c->latency[r][op->peer];
    }
}

static void end_native(reference *f, int r, size_t i)
{
    if (f->state[r][i] == RUNS) {
        f->state[r][i] = LANDS;
        f->end[r][i] = f->now + f->latency[group_of(f, r, i)];
        return;
    }
    for (int other = 0; other < f->c->ranks; other++)
        if (takes_part(f, r, i, other)) {
            size_t k = partner(f, r, i, other);
            f->state[other][k] = DONE;
            f->end[other][k] = f->now;
        }
}

/* Ends what ends now, and makes ready what waited for it. */
static bool end_ops(reference *f)
{
    bool any = false;
    for (int r = 0; r < f->c->ranks; r++)
        for (size_t i = 0; i < f->c->plan[r]->ops; i++) {
            const dist_plan *plan = f->c->plan[r];
            bool waits = false, runs = f->state[r][i] == RUNS || f->state[r][i] == LANDS;
            if (runs && f->end[r][i] <= f->now) {
                plan->op[i].kind == DIST_OP_NATIVE ? end_native(f, r, i) : end_op(f, r, i);
                any = true;
            }
            for (uint32_t w = 0; w < plan->op[i].waits; w++)
                waits |= f->state[r][plan->wait[plan->op[i].first_wait + w]] != DONE;
            if (f->state[r][i] == WAITS && !waits) {
                f->state[r][i] = READY;
                f->ready[r][i] = f->now;
                any = true;
            }
        }
    return any;
}

static void offer_link(reference *f, int group, bool first, int link, double latency)
{
    double rate = f->c->link[link].bandwidth, least = f->c->link[f->link[group]].bandwidth;
    rate = rate > 0 ? rate : HUGE_VAL;
    least = least > 0 ? least : HUGE_VAL;
    if (first || rate < least || (!(rate > least) && latency > f->latency[group])) {
        f->link[group] = link;
        f->latency[group] = latency;
    }
}

/* False: nothing runs and ops are left. */
static bool refer(reference *f, const test_case *c)
{
    memset(f, 0, sizeof *f);
    f->c = c;
    for (int l = 0; l < LINKS; l++)
        offer_link(f, 0, l == 0, l, c->link[l].latency);
    for (int g = 1; g < GROUPS; g++)
        for (int m = 0; m < c->members[g]; m++) {
            const int a = c->member[g][m], b = c->member[g][(m + 1) % c->members[g]];
            offer_link(f, g, m == 0, c->route[a][b], c->latency[a][b]);
        }
    for (;;) {
        double next = HUGE_VAL;
        bool left = false;
        do
            while (end_ops(f))
                ;
        while (begin_ops(f));
        for (int r = 0; r < c->ranks; r++)
            for (size_t i = 0; i < c->plan[r]->ops; i++) {
                left |= f->state[r][i] != DONE;
                if (f->state[r][i] == RUNS || f->state[r][i] == LANDS)
                    next = fmin(next, f->end[r][i]);
            }
        if (!left || isinf(next))
            return !left;
        f->now = next;
    }
}

/* ---- comparing ---- */

static bool equal(double a, double b)
{
    return a <= b && a >= b;
}

static void compare(const test_case *c, const reference *f, const dist_prediction *p, int number)
{
    for (int r = 0; r < c->ranks; r++)
        for (size_t i = 0; i < c->plan[r]->ops; i++)
            if (!equal(p->start[r][i], f->start[r][i]) || !equal(p->end[r][i], f->end[r][i]))
                fail_msg("case %d rank %d op %zu: %.17g to %.17g instead of %.17g to %.17g", number, r, i,
                         p->start[r][i], p->end[r][i], f->start[r][i], f->end[r][i]);
    assert_true(equal(p->makespan, f->now));
    for (int l = 0; l < LINKS; l++) {
        assert_int_equal(p->link[l].bytes, f->bytes[l]);
        assert_int_equal(p->link[l].messages, f->messages[l]);
        assert_true(equal(p->link[l].busy, f->busy[l]));
    }
}

static void expect_same(const dist_plan *const *plan, const test_case *c, const dist_prediction *first)
{
    dist_prediction again;
    assert_int_equal(dist_predict(plan, &c->cluster, true, &again), DIST_OK);
    for (int r = 0; r < c->ranks; r++) {
        assert_memory_equal(first->start[r], again.start[r], c->plan[r]->ops * sizeof(double));
        assert_memory_equal(first->end[r], again.end[r], c->plan[r]->ops * sizeof(double));
    }
    assert_memory_equal(first->rank, again.rank, (size_t)c->ranks * sizeof *first->rank);
    dist_prediction_end(&again, c->ranks);
}

/* Local ops and messages that started later than they could have. */
static int count_queued(const reference *f)
{
    int queued = 0;
    for (int r = 0; r < f->c->ranks; r++)
        for (size_t i = 0; i < f->c->plan[r]->ops; i++) {
            const dist_op *op = op_of(f, r, i);
            if (op->kind == DIST_OP_RECV || op->kind == DIST_OP_NATIVE)
                continue;
            double ready = f->ready[r][i];
            if (op->kind == DIST_OP_SEND)
                ready = fmax(ready, f->ready[op->peer][partner(f, r, i, op->peer)]);
            queued += f->start[r][i] > ready;
        }
    return queued;
}

static void check_case(const test_case *c, int number, int *deadlocks, int *queued)
{
    static reference f;
    dist_prediction p;
    const dist_plan *plan[RANKS];
    for (int r = 0; r < c->ranks; r++)
        plan[r] = c->plan[r];
    bool whole = refer(&f, c);
    dist_status status = dist_predict(plan, &c->cluster, true, &p);
    assert_int_equal(status, whole ? DIST_OK : DIST_ERR_PLAN);
    if (!whole) {
        assert_non_null(strstr(dist_last_error(), "deadlock with "));
        ++*deadlocks;
        return;
    }
    compare(c, &f, &p, number);
    expect_same(plan, c, &p);
    *queued += count_queued(&f);
    dist_prediction_end(&p, c->ranks);
}

static void test_random_plans_against_a_reference(void **state)
{
    (void)state;
    static test_case c;
    int deadlocks = 0, queued = 0, teams = 0;
    for (int i = 0; i < CASES; i++) {
        make_case(&c, i % 3 != 0, i % 2);
        teams += c.members[1] > 1 || c.members[2] > 1;
        check_case(&c, i, &deadlocks, &queued);
        for (int r = 0; r < c.ranks; r++)
            dist_plan_destroy(c.plan[r]);
    }
    /* the cases are of both kinds, and ops had to queue */
    assert_in_range(deadlocks, 30, CASES / 2);
    assert_in_range(queued, 5000, INT32_MAX);
    assert_in_range(teams, CASES / 4, CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_plans_against_a_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
