/* Bubbles and peaks that the papers publish, and the cost of slow edges, by dry runs. The unit of the tables is the
 * time of a forward of a whole rank; where a chunk is half a rank its slots take half of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "parallel/schedule.h"

enum { MOST_RANKS = 16 };

static const dist_stage_times equal = {1, 1, 1};

/* Made, checked and run with the same times on every rank. */
static dist_schedule *run(const char *name, int p, int m, dist_stage_times each, const double *latency,
                          dist_schedule_time *time)
{
    dist_stage_times times[MOST_RANKS];
    for (int r = 0; r < p; r++)
        times[r] = each;
    const dist_schedule_request request = {
        .name = name, .ranks = p, .microbatches = m, .times = times, .latency = latency};
    dist_schedule *schedule;
    if (dist_schedule_create(&schedule, &request) < 0 || dist_schedule_check(schedule) < 0 ||
        dist_schedule_run(schedule, times, latency, time) < 0)
        fail_msg("%s of %d ranks and %d microbatches: %s", name, p, m, dist_last_error());
    return schedule;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* Figures of one schedule, of which each row has the formulas that are published; NAN: none. */
typedef struct figures {
    double makespan, span; /* bubbles */
    double peak[MOST_RANKS];
} figures;

static void compare(const char *name, int p, int m, dist_stage_times each, figures want)
{
    dist_schedule_time time;
    dist_schedule *schedule = run(name, p, m, each, NULL, &time);
    const double work = m * (each.forward + each.backward + each.weight);
    if (!isnan(want.makespan) && fabs(time.makespan - work - want.makespan) > 1e-9)
        fail_msg("%s, %d ranks, %d microbatches: bubble %g, published %g", name, p, m, time.makespan - work,
                 want.makespan);
    if (!isnan(want.span) && fabs(time.span - work - want.span) > 1e-9)
        fail_msg("%s, %d ranks, %d microbatches: span's bubble %g, published %g", name, p, m,
                 time.span - work, want.span);
    for (int r = 0; r < p; r++)
        if (fabs(time.peak[r] - want.peak[r]) > 1e-9)
            fail_msg("%s, %d ranks, %d microbatches: rank %d holds %g, published %g", name, p, m, r,
                     time.peak[r], want.peak[r]);
    assert_true(time.bound <= time.makespan * (1 + 1e-12));
    dist_schedule_time_end(&time, p);
    dist_schedule_destroy(schedule);
}

static const dist_stage_times uneven[] = {{1, 1, 1}, {2, 3, 1}, {1, 2, 1.5}, {3, 1, 0.5}, {0.1, 0.2, 0.4}};

/* Fused members of the lag family have the same bubble with any times and any number of microbatches. */
static void test_fused(void **state)
{
    (void)state;
    for (int p = 1; p <= MOST_RANKS; p++)
        for (int m = 1; m <= 3 * p; m += p < 5 ? 1 : 3)
            for (size_t t = 0; t < sizeof uneven / sizeof *uneven; t++) {
                const dist_stage_times each = uneven[t];
                const double bubble = (p - 1) * (each.forward + each.backward + each.weight);
                figures gpipe = {bubble, bubble, {0}}, ahead = gpipe, eager = gpipe;
                for (int r = 0; r < p; r++) {
                    gpipe.peak[r] = m;
                    ahead.peak[r] = least(m, p - r);
                    eager.peak[r] = least(m, 2 * (p - r) - 1);
                }
                compare("gpipe", p, m, each, gpipe);
                compare("1f1b", p, m, each, ahead);
                compare("eager1f1b", p, m, each, eager);
                compare("wan-1f1b", p, m, each, ahead);
            }
}

/* From cap 2p - 1 on the lags are those without one. Below, ranks with equal lags wait for each other: the period is
  * (ranks with the lag of the cap) T by formula (a), so the published "same bubble" does not hold and only peaks are
  * compared. */
static void test_eager_cap(void **state)
{
    (void)state;
    for (int p = 1; p <= MOST_RANKS; p++)
        for (int cap = 1; cap <= 2 * p; cap++) {
            char name[64];
            snprintf(name, sizeof name, "eager1f1b:cap=%d", cap);
            figures want = {cap >= 2 * p - 1 ? 3.0 * (p - 1) : (double)NAN, NAN, {0}};
            for (int r = 0; r < p; r++)
                want.peak[r] = least(2 * p, least(cap, 2 * (p - r) - 1));
            compare(name, p, 2 * p, equal, want);
        }
}

static void test_interleaved(void **state)
{
    (void)state;
    for (int p = 1; p <= MOST_RANKS; p++)
        for (int v = 1; v <= 4; v++)
            for (int m = p; m <= 4 * p; m += p) {
                char name[64];
                snprintf(name, sizeof name, "interleaved:v=%d", v);
                figures want = {3.0 * (p - 1) / v, NAN, {0}};
                for (int r = 0; r < p; r++)
                    want.peak[r] = least((double)m * v, 2 * (p - r - 1) + (v - 1) * p + 1) / v;
                compare(name, p, m, equal, want);
            }
}

static void test_zero_bubble(void **state)
{
    (void)state;
    for (int p = 1; p <= MOST_RANKS; p++)
        for (int m = 2 * p; m <= 4 * p; m += p) {
            figures h1 = {p - 1, NAN, {0}}, h2 = {p - 1, 0, {0}}, v = {(p - 1) / 2.0, 0, {0}};
            for (int r = 0; r < p; r++) {
                h1.peak[r] = p;
                h2.peak[r] = 2 * p - 1;
                v.peak[r] = p;
            }
            compare("zb-h1", p, m, equal, h1);
            compare("zb-h2", p, m, equal, h2);
            compare("zb-v", p, m, equal, v);
        }
}

/* The formulas with F, B and W apart hold while a weight gradient is no longer than a forward or a backward. */
static void test_zero_bubble_uneven(void **state)
{
    (void)state;
    for (int p = 1; p <= MOST_RANKS; p += 3)
        for (int code = 0; code < 27; code++) {
            const dist_stage_times each = {1 + code % 3, 1 + code / 3 % 3, 1 + code / 9};
            if (each.weight > each.forward || each.weight > each.backward)
                continue;
            figures h1 = {(p - 1) * (each.forward + each.backward - each.weight), NAN, {0}};
            figures h2 = {NAN, (p - 1) * (each.forward + each.backward - 2 * each.weight), {0}};
            for (int r = 0; r < p; r++) {
                h1.peak[r] = p;
                h2.peak[r] = 2 * p - 1;
            }
            compare("zb-h1", p, 4 * p, each, h1);
            compare("zb-h2", p, 4 * p, each, h2);
        }
}

static double bubble_of(const char *name, int p, int m, double *peak)
{
    dist_schedule_time time;
    dist_schedule *schedule = run(name, p, m, equal, NULL, &time);
    const double bubble = time.makespan - 3.0 * m;
    *peak = 0;
    for (int r = 0; r < p; r++)
        *peak = time.peak[r] > *peak ? time.peak[r] : *peak;
    dist_schedule_time_end(&time, p);
    dist_schedule_destroy(schedule);
    return bubble;
}

/* The peaks are exact. The published rates, b / 2 and 2 b / 3 where 1F1B has b, are what the bubbles approach from
 * below as p grows; with finite p they are at most that, and they do not depend on m. */
static void test_v_periodic(void **state)
{
    (void)state;
    for (int p = 1; p <= MOST_RANKS; p++) {
        double first_half = 0, first_min = 0, peak;
        for (int m = 2 * p; m <= 5 * p; m += p) {
            const double half = bubble_of("v-half", p, m, &peak);
            assert_true(peak == (p + 2) / 2);
            assert_true(half <= 3.0 * (p - 1) / 2);
            const double min = bubble_of("v-min", p, m, &peak);
            assert_true(peak == (p + 4) / 3);
            assert_true(min <= 3.0 * (p - 1) * 2 / 3);
            first_half = m == 2 * p ? half : first_half;
            first_min = m == 2 * p ? min : first_min;
            assert_true(half == first_half && min == first_min);
        }
    }
}

/* Bubble and memory relative to 1F1B, whose bubble is b = 3 (p - 1) and whose memory is p. */
static void test_relative_to_1f1b(void **state)
{
    (void)state;
    for (int p = 1; p <= MOST_RANKS; p++) {
        const int m = 4 * p;
        double peak;
        const double b = bubble_of("1f1b", p, m, &peak);
        assert_true(b == 3.0 * (p - 1) && peak == p);
        assert_true(bubble_of("zb-h1", p, m, &peak) == b / 3 && peak == p);
        assert_true(bubble_of("zb-h2", p, m, &peak) == b / 3 && peak == 2 * p - 1); /* 0 in span only */
        assert_true(bubble_of("zb-v", p, m, &peak) == b / 6 && peak == p);
    }
}

static void test_dual(void **state)
{
    (void)state;
    for (int p = 1; p <= MOST_RANKS; p++)
        for (int m = 2 * p; m <= 5 * p; m += p) {
            figures want = {(p - 1) / 2.0, NAN, {0}};
            for (int r = 0; r < p; r++)
                want.peak[r] = p + 0.5;
            compare("dualpipev", p, m, equal, want);
        }
}

/* p = 8, m = 128, T = 3, the edge behind rank 3 slow. */
static void test_slow_edge(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double makespan[3];
    } rows[] = {
        {"1f1b", {405, 783, 3429}},    {"eager1f1b", {405, 525, 2247}}, {"zb-h1", {391, 709, 3355}},
        {"wan-1f1b", {405, 411, 453}}, {"wan-zb", {391, 394, 415}},
    };
    static const double slow[3] = {0, 3, 24}, bound[3] = {391, 394, 415};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int c = 0; c < 3; c++) {
            const double latency[7] = {0, 0, 0, slow[c], 0, 0, 0};
            dist_schedule_time time;
            dist_schedule *schedule = run(rows[i].name, 8, 128, equal, latency, &time);
            if (time.makespan != rows[i].makespan[c])
                fail_msg("%s at c = %g: %g, not %g", rows[i].name, slow[c], time.makespan,
                         rows[i].makespan[c]);
            assert_true(time.bound == (schedule->split ? bound[c] : 405 + 2 * slow[c]));
            dist_schedule_time_end(&time, 8);
            dist_schedule_destroy(schedule);
        }
}

/* The lags of wan-1f1b on equal ranks, (p-1-i) + sum ceil(2c / T), are exact also where T is not. */
static void test_wan_lags(void **state)
{
    (void)state;
    for (int steps = 1; steps <= 40; steps++) {
        const dist_stage_times each = {0.1, 0.1, 0.1};
        const double latency[7] = {0, 0, 0, steps * 0.15, 0, 0, 0};
        dist_schedule_time time;
        dist_schedule *schedule = run("wan-1f1b", 8, 128, each, latency, &time);
        for (int r = 0; r < 8; r++)
            assert_true(time.peak[r] == 8 - r + (r <= 3 ? steps : 0));
        assert_true(fabs(time.makespan - (40.5 + 2 * latency[3])) < 1e-9);
        dist_schedule_time_end(&time, 8);
        dist_schedule_destroy(schedule);
    }
}

static double largest(double a, double b)
{
    return a > b ? a : b;
}

/* xorshift, 0 <= x < 1 */
static double random_unit(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) * 0x1p-53;
}

typedef struct cluster {
    int ranks;
    dist_stage_times times[MOST_RANKS];
    double latency[MOST_RANKS];
} cluster;

/* Stage times within a factor of 3 of each other; a third of the edges have latencies of up to ten stages. */
static cluster random_cluster(uint64_t *state)
{
    cluster c = {.ranks = 2 + (int)(random_unit(state) * (MOST_RANKS - 1))};
    for (int r = 0; r < c.ranks; r++) {
        c.times[r] =
            (dist_stage_times){0.5 + random_unit(state), 0.5 + random_unit(state), 0.5 + random_unit(state)};
        c.latency[r] = random_unit(state) < 1.0 / 3 ? 30 * random_unit(state) : 0.1 * random_unit(state);
    }
    return c;
}

static double makespan_of(const char *name, int m, const cluster *c, double *bound)
{
    const dist_schedule_request request = {
        .name = name, .ranks = c->ranks, .microbatches = m, .times = c->times, .latency = c->latency};
    dist_schedule *schedule;
    dist_schedule_time time;
    if (dist_schedule_create(&schedule, &request) < 0 || dist_schedule_check(schedule) < 0 ||
        dist_schedule_run(schedule, c->times, c->latency, &time) < 0)
        fail_msg("%s: %s", name, dist_last_error());
    assert_string_equal(schedule->name, name);
    const double makespan = time.makespan;
    *bound = time.bound;
    dist_schedule_time_end(&time, c->ranks);
    dist_schedule_destroy(schedule);
    return makespan;
}

static void test_wan_heterogeneous(void **state)
{
    (void)state;
    uint64_t seed = 0x9e3779b97f4a7c15u;
    double sum = 0, worst = 0;
    for (int i = 0; i < 300; i++) {
        const cluster c = random_cluster(&seed);
        double bound;
        const double wan = makespan_of("wan-1f1b", 200, &c, &bound), ratio = wan / bound;
        const double plain = makespan_of("1f1b", 200, &c, &bound);
        sum += ratio;
        worst = ratio > worst ? ratio : worst;
        if (ratio < 1 - 1e-12 || ratio > 1.09 || wan > plain * (1 + 1e-12))
            fail_msg("case %d, %d ranks: wan-1f1b %g, 1f1b %g, bound %g", i, c.ranks, wan, plain, bound);
        const double zb = makespan_of("wan-zb", 200, &c, &bound);
        if (zb > makespan_of("zb-h1", 200, &c, &bound) * (1 + 1e-12) || zb < bound * (1 - 1e-12))
            fail_msg("case %d, %d ranks: wan-zb %g, bound %g", i, c.ranks, zb, bound);
    }
    print_message("wan-1f1b over bound (c): %.3f on average, %.3f at worst\n", sum / 300, worst);
}

/* Formula (a): what a microbatch more costs a fused schedule of the family once it is in its steady state. */
static double period_of(const cluster *c, int cap)
{
    double period = 0;
    for (int i = 0; i < c->ranks; i++) {
        double trip = 0;
        const int ahead = 2 * (c->ranks - 1 - i), lag = ahead < cap ? ahead : cap - 1;
        for (int j = i; j < c->ranks; j++) {
            const int behind = 2 * (c->ranks - 1 - j), last = behind < cap ? behind : cap - 1;
            trip += c->times[j].forward + c->times[j].backward + c->times[j].weight;
            period = largest(period, trip / (lag - last + 1));
            trip += 2 * c->latency[j];
        }
    }
    return period;
}

static void test_period(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 60; i++) {
        const cluster c = random_cluster(&seed);
        const int cap = 1 + i % (2 * c.ranks);
        char name[64];
        snprintf(name, sizeof name, "eager1f1b:cap=%d", cap);
        double bound;
        const double more = makespan_of(name, 1200, &c, &bound) - makespan_of(name, 400, &c, &bound);
        if (fabs(more / 800 / period_of(&c, cap) - 1) > 0.01)
            fail_msg("%s of %d ranks: %g a microbatch, but formula (a) says %g", name, c.ranks, more / 800,
                     period_of(&c, cap));
    }
}

/* Writes the lags into the slots of a schedule of one chunk. */
static void write_lags(dist_schedule *schedule, const int *lag)
{
    const int m = schedule->microbatches;
    for (int r = 0; r < schedule->ranks; r++) {
        size_t k = 0;
        for (int x = 0; x < 2 * m; x++) {
            const int late[3] = {0, lag[r], lag[0]};
            for (int kind = 0; kind < (schedule->split ? 3 : 2); kind++)
                if (x >= late[kind] && x - late[kind] < m)
                    schedule->slot[r][k++] =
                        (dist_slot){(uint8_t)kind, (uint16_t)r, (uint32_t)(x - late[kind])};
        }
        assert_true(k == schedule->slots[r]);
    }
}

/* The fastest of all lags that the memory allows, 4 ranks. */
static double fastest(const char *like, int m, const cluster *c, int memory)
{
    dist_schedule_time time;
    dist_schedule *schedule = run(like, 4, m, equal, NULL, &time);
    dist_schedule_time_end(&time, 4);
    double best = INFINITY;
    for (int code = 0; code < memory * memory * memory; code++) {
        const int lag[4] = {code / memory / memory, code / memory % memory, code % memory, 0};
        if (lag[0] < lag[1] || lag[1] < lag[2])
            continue;
        write_lags(schedule, lag);
        assert_int_equal(dist_schedule_run(schedule, c->times, c->latency, &time), DIST_OK);
        best = least(best, time.makespan);
        dist_schedule_time_end(&time, 4);
    }
    dist_schedule_destroy(schedule);
    return best;
}

/* Within a memory the lags of wan-1f1b are those of the shortest period; against all lags there are. */
static void test_wan_within_memory(void **state)
{
    (void)state;
    uint64_t seed = 11;
    double worst[2] = {1, 1};
    for (int i = 0; i < 40; i++) {
        cluster c = random_cluster(&seed);
        c.ranks = 4;
        for (int r = 0; r < 4; r++) {
            c.times[r] =
                (dist_stage_times){1 + random_unit(&seed), 1 + random_unit(&seed), 1 + random_unit(&seed)};
            c.latency[r] = r == 1 ? 8 : 0.1;
        }
        const int memory = 1 + i % 9;
        for (int split = 0; split < 2; split++) {
            const dist_schedule_request request = {.name = split ? "wan-zb" : "wan-1f1b",
                                                   .ranks = 4,
                                                   .microbatches = 40,
                                                   .times = c.times,
                                                   .latency = c.latency,
                                                   .memory = memory};
            dist_schedule *schedule;
            dist_schedule_time time;
            assert_int_equal(dist_schedule_create(&schedule, &request), DIST_OK);
            assert_int_equal(dist_schedule_run(schedule, c.times, c.latency, &time), DIST_OK);
            worst[split] =
                largest(worst[split], time.makespan / fastest(split ? "zb-h1" : "1f1b", 40, &c, memory));
            for (int r = 0; r < 4; r++)
                assert_true(time.peak[r] <= memory);
            dist_schedule_time_end(&time, 4);
            dist_schedule_destroy(schedule);
        }
    }
    print_message("within a memory, over the best lags: wan-1f1b %.3f, wan-zb %.3f at worst\n", worst[0],
                  worst[1]);
    assert_true(worst[0] < 1.05 && worst[1] < 1.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_eager_cap),
        cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_zero_bubble),
        cmocka_unit_test(test_zero_bubble_uneven),
        cmocka_unit_test(test_v_periodic),
        cmocka_unit_test(test_relative_to_1f1b),
        cmocka_unit_test(test_dual),
        cmocka_unit_test(test_slow_edge),
        cmocka_unit_test(test_wan_lags),
        cmocka_unit_test(test_wan_heterogeneous),
        cmocka_unit_test(test_period),
        cmocka_unit_test(test_wan_within_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
