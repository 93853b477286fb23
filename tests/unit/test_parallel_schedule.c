/* Schedules: what is refused, faults that the check finds, text, and random requests. */
#define _POSIX_C_SOURCE 200809L /* fmemopen */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "parallel/schedule.h"

static dist_schedule *make(const char *name, int ranks, int microbatches)
{
    const dist_schedule_request request = {.name = name, .ranks = ranks, .microbatches = microbatches};
    dist_schedule *schedule;
    if (dist_schedule_create(&schedule, &request) < 0)
        fail_msg("%s", dist_last_error());
    return schedule;
}

static void expect_sentence(const char *part)
{
    if (!strstr(dist_last_error(), part))
        fail_msg("'%s' does not say '%s'", dist_last_error(), part);
}

static void test_refused(void **state)
{
    (void)state;
    static const dist_stage_times bad[2] = {{1, 1, 1}, {1, -1, 1}};
    static const double late[1] = {NAN};
    static const struct {
        dist_schedule_request request;
        const char *says;
    } cases[] = {
        {{.name = NULL, .ranks = 2, .microbatches = 2}, "no name"},
        {{.name = "2f2b", .ranks = 2, .microbatches = 2},
         "no schedule is called '2f2b'; there are gpipe, 1f1b"},
        {{.name = "1f1", .ranks = 2, .microbatches = 2}, "no schedule is called"},
        {{.name = "1f1b:v=2", .ranks = 2, .microbatches = 2}, "takes no parameter"},
        {{.name = "interleaved", .ranks = 2, .microbatches = 2}, "write interleaved:v=V"},
        {{.name = "interleaved:v=0", .ranks = 2, .microbatches = 2}, "write interleaved:v=V"},
        {{.name = "interleaved:v=2x", .ranks = 2, .microbatches = 2}, "write interleaved:v=V"},
        {{.name = "interleaved:v=99999999999", .ranks = 2, .microbatches = 2}, "write interleaved:v=V"},
        {{.name = "interleaved:v=40000", .ranks = 2, .microbatches = 2}, "more than 65535 stages"},
        {{.name = "interleaved:v=2", .ranks = 4, .microbatches = 6}, "6 do not divide into groups of 4"},
        {{.name = "eager1f1b:cap=", .ranks = 2, .microbatches = 2}, "cap=D"},
        {{.name = "eager1f1b:cap=-3", .ranks = 2, .microbatches = 2}, "cap=D"},
        {{.name = "dualpipev", .ranks = 4, .microbatches = 7}, "needs at least 8 microbatches, not 7"},
        {{.name = "1f1b", .ranks = 0, .microbatches = 2}, "0 ranks"},
        {{.name = "1f1b", .ranks = 2, .microbatches = 0}, "0 microbatches"},
        {{.name = "1f1b", .ranks = 65536, .microbatches = 1}, "65536 ranks"},
        {{.name = "wan-1f1b", .ranks = 2, .microbatches = 2, .times = bad}, "rank 1: times 1, -1, 1"},
        {{.name = "wan-1f1b", .ranks = 2, .microbatches = 2, .latency = late}, "between ranks 0 and 1"},
        {{.name = "1f1b", .ranks = 2, .microbatches = 2, .memory = -1}, "memory of -1"},
        {{.name = "gpipe", .ranks = 2, .microbatches = 5, .memory = 4}, "rank 0 would hold 5 microbatches"},
        {{.name = "wan-zb", .ranks = 2, .microbatches = 5, .memory = 0.5}, "at least one microbatch"},
        {{.name = "auto", .ranks = 2, .microbatches = 5, .memory = 0.5}, "no schedule holds at most 0.5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dist_schedule *schedule = (dist_schedule *)(uintptr_t)1;
        assert_int_equal(dist_schedule_create(&schedule, &cases[i].request), DIST_ERR_ARGUMENT);
        assert_null(schedule);
        expect_sentence(cases[i].says);
    }
    dist_schedule_destroy(NULL);
}

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; dist_schedule_names[i]; i++) {
        const bool chunked = strcmp(dist_schedule_names[i], "interleaved") == 0;
        dist_schedule *schedule = make(chunked ? "interleaved:v=03" : dist_schedule_names[i], 2, 4);
        if (strcmp(dist_schedule_names[i], "auto") != 0)
            assert_string_equal(schedule->name, chunked ? "interleaved:v=3" : dist_schedule_names[i]);
        assert_int_equal(dist_schedule_check(schedule), DIST_OK);
        dist_schedule_destroy(schedule);
    }
}

/* auto is never slower than any other, within the memory; of equals it takes the simpler. */
static void test_auto(void **state)
{
    (void)state;
    dist_schedule *schedule = make("auto", 1, 7);
    assert_string_equal(schedule->name, "gpipe");
    dist_schedule_destroy(schedule);
    static const double latency[3] = {0, 5, 0};
    for (double memory = 0; memory < 12; memory += 1.5) {
        dist_schedule_request request = {
            .name = "auto", .ranks = 4, .microbatches = 24, .latency = latency, .memory = memory};
        dist_schedule_time best, time;
        if (dist_schedule_create(&schedule, &request) < 0)
            fail_msg("%s", dist_last_error());
        assert_int_equal(dist_schedule_run(schedule, NULL, latency, &best), DIST_OK);
        for (int r = 0; memory > 0 && r < 4; r++)
            assert_true(best.peak[r] <= memory);
        dist_schedule_destroy(schedule);
        for (size_t i = 0; dist_schedule_names[i]; i++) {
            request.name = strcmp(dist_schedule_names[i], "interleaved") == 0 ? "interleaved:v=2"
                                                                              : dist_schedule_names[i];
            if (dist_schedule_create(&schedule, &request) < 0)
                continue;
            assert_int_equal(dist_schedule_run(schedule, NULL, latency, &time), DIST_OK);
            assert_true(best.makespan <= time.makespan * (1 + 1e-9));
            dist_schedule_time_end(&time, 4);
            dist_schedule_destroy(schedule);
        }
        dist_schedule_time_end(&best, 4);
    }
}

/* Every slot of a small schedule, by hand: F = 1, B + W = 2, latency 3. */
static void test_times_by_hand(void **state)
{
    (void)state;
    static const double latency[1] = {3};
    static const double starts[2][4] = {{0, 1, 10, 13}, {4, 5, 7, 8}};
    dist_schedule *schedule = make("1f1b", 2, 2);
    dist_schedule_time time;
    assert_int_equal(dist_schedule_run(schedule, NULL, latency, &time), DIST_OK);
    /* F0.0 0-1, F1.0 4-5, B1.0 5-7, F1.1 7-8, B1.1 8-10; B0.0 10-12, B0.1 13-15 */
    for (int r = 0; r < 2; r++)
        for (int k = 0; k < 4; k++)
            assert_true(time.start[r][k] == starts[r][k]);
    assert_true(time.makespan == 15 && time.span == 15 && time.busy[0] == 6 && time.busy[1] == 6);
    assert_true(time.peak[0] == 2 && time.peak[1] == 1);
    assert_true(time.bound == 1 + 3 + 6 + 3 + 2);
    dist_schedule_time_end(&time, 2);
    dist_schedule_destroy(schedule);
}

static void remove_slot(dist_schedule *schedule, int rank, size_t k)
{
    dist_slot *slot = schedule->slot[rank];
    memmove(&slot[k], &slot[k + 1], (--schedule->slots[rank] - k) * sizeof *slot);
}

static void swap_slots(dist_schedule *schedule, int rank, size_t a, size_t b)
{
    dist_slot *slot = schedule->slot[rank], first = slot[a];
    slot[a] = slot[b];
    slot[b] = first;
}

static size_t find_slot(const dist_schedule *schedule, int rank, dist_slot_kind kind, int stage,
                        uint32_t microbatch)
{
    for (size_t k = 0; k < schedule->slots[rank]; k++) {
        const dist_slot slot = schedule->slot[rank][k];
        if (slot.kind == kind && slot.stage == stage && slot.microbatch == microbatch)
            return k;
    }
    fail_msg("no such slot");
    return 0;
}

static void expect_fault(dist_schedule *schedule, const char *says)
{
    assert_int_equal(dist_schedule_check(schedule), DIST_ERR_PLAN);
    expect_sentence(says);
    dist_schedule_time time;
    assert_int_equal(dist_schedule_run(schedule, NULL, NULL, &time), DIST_ERR_PLAN);
    assert_null(time.start);
    dist_schedule_destroy(schedule);
}

static void test_faults(void **state)
{
    (void)state;
    dist_schedule *s = make("zb-h1", 4, 8);
    remove_slot(s, 2, find_slot(s, 2, DIST_SLOT_WEIGHT, 2, 3));
    expect_fault(s, "rank 2: W(2,3) is missing");

    s = make("1f1b", 4, 8);
    remove_slot(s, 3, s->slots[3] - 1);
    expect_fault(s, "rank 3: B(3,7) is missing");

    s = make("1f1b", 4, 8);
    s->slots[1] = 0;
    expect_fault(s, "rank 1: F(1,0) is missing");

    s = make("1f1b", 2, 4);
    swap_slots(s, 1, 0, 1);
    expect_fault(s, "rank 1 slot 0 B(1,0): its forward has not run");

    s = make("zb-h1", 2, 4);
    swap_slots(s, 1, find_slot(s, 1, DIST_SLOT_BACKWARD, 1, 2), find_slot(s, 1, DIST_SLOT_WEIGHT, 1, 2));
    expect_fault(s, "W(1,2): its backward has not run");

    s = make("1f1b", 2, 4);
    s->slot[0][1].microbatch = 0;
    expect_fault(s, "rank 0 slot 1 F(0,0): its forward has run before");

    s = make("gpipe", 2, 4);
    s->slot[0][5].microbatch = 0;
    expect_fault(s, "rank 0 slot 5 B(0,0): its backward has run before");

    s = make("zb-h1", 2, 4);
    s->slot[0][s->slots[0] - 1].microbatch = 0;
    expect_fault(s, "W(0,0): its weight gradient has been taken before");

    s = make("1f1b", 2, 4);
    s->slot[0][0].stage = 1;
    expect_fault(s, "rank 0 slot 0 F(1,0): stage 1 is on rank 1");

    s = make("1f1b", 2, 4);
    s->slot[1][3].microbatch = 4;
    expect_fault(s, "rank 1 slot 3 B(1,4): there are 2 stages and 4 microbatches");

    s = make("1f1b", 2, 4);
    s->slot[1][3].kind = DIST_SLOT_KINDS;
    expect_fault(s, "rank 1 slot 3 ?(1,1): there is no such kind of slot");

    s = make("1f1b", 2, 4);
    s->slot[1][3].kind = DIST_SLOT_WEIGHT;
    expect_fault(s, "a fused schedule has no weight gradients apart");

    s = make("1f1b", 2, 4);
    s->slot[1][3].kind = DIST_SLOT_FULL;
    expect_fault(s, "a fused schedule writes its backwards as B");

    s = make("1f1b", 2, 4);
    s->rank_of[1] = 2;
    expect_fault(s, "stage 1 is on rank 2, but the ranks are 0 to 1");

    s = make("zb-v", 2, 4);
    s->rank_of[3] = 1;
    expect_fault(s, "rank 0 has 1 stages, but every rank must have 2");
}

/* Every rank's own order is sound; together they wait in a circle. */
static void test_deadlocks(void **state)
{
    (void)state;
    dist_schedule *s = make("1f1b", 2, 4);
    swap_slots(s, 0, 1, 2); /* F0.0 B0.0 F0.1: the rank after it has a lag of 0, so that this is sound */
    assert_int_equal(dist_schedule_check(s), DIST_OK);
    swap_slots(s, 1, 1, 2); /* F1.0 F1.1 B1.0: waits for F0.1, which waits for B1.0 */
    expect_fault(s, "rank 0 slot 1 B(0,0): deadlock: it waits for B(1,0), slot 2 of rank 1, which waits at "
                    "slot 1 F(1,1)");

    s = make("zb-v", 1, 2); /* the second chunk before the first, on one rank */
    swap_slots(s, 0, find_slot(s, 0, DIST_SLOT_FORWARD, 0, 1), find_slot(s, 0, DIST_SLOT_FORWARD, 1, 1));
    expect_fault(s, "deadlock: it waits for F(0,1)");
}

static bool same(const dist_schedule *a, const dist_schedule *b)
{
    bool equal = strcmp(a->name, b->name) == 0 && a->ranks == b->ranks && a->chunks == b->chunks &&
                 a->stages == b->stages && a->microbatches == b->microbatches && a->split == b->split;
    for (int s = 0; equal && s < a->stages; s++)
        equal = a->rank_of[s] == b->rank_of[s];
    for (int r = 0; equal && r < a->ranks; r++) {
        equal = a->slots[r] == b->slots[r];
        for (size_t k = 0; equal && k < a->slots[r]; k++)
            equal = a->slot[r][k].kind == b->slot[r][k].kind && a->slot[r][k].stage == b->slot[r][k].stage &&
                    a->slot[r][k].microbatch == b->slot[r][k].microbatch;
    }
    return equal;
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; dist_schedule_names[i]; i++) {
        const bool chunked = strcmp(dist_schedule_names[i], "interleaved") == 0;
        dist_schedule *schedule = make(chunked ? "interleaved:v=2" : dist_schedule_names[i], 3, 9), *copy;
        FILE *file = tmpfile();
        assert_non_null(file);
        assert_int_equal(dist_schedule_write(schedule, file), DIST_OK);
        rewind(file);
        if (dist_schedule_read(&copy, file, "copy") < 0)
            fail_msg("%s", dist_last_error());
        assert_true(same(schedule, copy));
        dist_schedule_destroy(copy);
        dist_schedule_destroy(schedule);
        fclose(file);
    }
}

static dist_status read_text(dist_schedule **schedule, const char *text)
{
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    assert_non_null(file);
    const dist_status status = dist_schedule_read(schedule, file, "a.txt");
    fclose(file);
    return status;
}

static void test_text(void **state)
{
    (void)state;
    dist_schedule *read, *made = make("1f1b", 2, 3);
    char text[512] = "";
    FILE *file = fmemopen(text, sizeof text, "w");
    assert_int_equal(dist_schedule_write(made, file), DIST_OK);
    fclose(file);
    assert_string_equal(text, "schedule 1f1b ranks 2 chunks 1 microbatches 3 fused\n"
                              "stages 0 1\n"
                              "0: F0.0 F0.1 B0.0 F0.2 B0.1 B0.2\n"
                              "1: F1.0 B1.0 F1.1 B1.1 F1.2 B1.2\n");
    assert_int_equal(read_text(&read,
                               "# by hand\n\nschedule 1f1b ranks 2 chunks 1 microbatches 3 fused # three\r\n"
                               "  stages 0 1\n"
                               "1: F1.0 B1.0 F1.1 B1.1 F1.2\tB1.2\n"
                               "0:F0.0 F0.1 B0.0 F0.2 B0.1 B0.2 # the last"),
                     DIST_OK);
    assert_true(same(made, read));
    dist_schedule_destroy(read);
    dist_schedule_destroy(made);
}

#define HEAD   "schedule own ranks 2 chunks 1 microbatches 1 split\n"
#define STAGES HEAD "stages 0 1\n"

static void test_text_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"# nothing\n", "a.txt: there is no schedule in it"},
        {"plan own\n", "a.txt:1: the first line must begin with 'schedule', not with 'plan'"},
        {"schedule\n", "a.txt:1: the name"},
        {"schedule own\n", "a.txt:1: 'ranks N' is needed here, not ''"},
        {"schedule own ranks 0", "a.txt:1: ranks is a number from 1 to 65535, not '0'"},
        {"schedule own ranks 2 chunks 40000", "chunks is a number from 1 to 32767, not '40000'"},
        {"schedule own ranks 2 chunks 1 microbatches 99999999999999999999999",
         "microbatches is a number from 1 to"},
        {"schedule own ranks 2 chunks 1 microbatches 1 whole",
         "'fused' or 'split' is needed here, not 'whole'"},
        {"schedule own ranks 2 chunks 1 microbatches 1 split x", "nothing may follow here, but there is 'x'"},
        {HEAD "\nrank 0", "a.txt:3: the second line must begin with 'stages', not with 'rank'"},
        {HEAD "stages 0", "stage 1 has no rank; there are 2 stages"},
        {HEAD "stages 0 2", "there is no such rank as '2'"},
        {HEAD "stages 0 1 0", "every stage has a rank, but then there is '0'"},
        {STAGES "F0.0", "a.txt:3: a line must begin with the number of a rank and ':', not with 'F0.0'"},
        {STAGES "2: F0.0", "a line must begin with the number of a rank"},
        {STAGES "0: X0.0", "'X0.0' is no slot"},
        {STAGES "0: F0", "'F0' is no slot"},
        {STAGES "0: F2.0", "'F2.0' is no slot: write F, B, W or D, a stage from 0 to 1"},
        {STAGES "0: F0.1", "'F0.1' is no slot"},
        {STAGES "0: F0.0x", "'F0.0x' is no slot"},
        {STAGES "0: F0.0\n0: D0.0", "a.txt:4: rank 0 has a line already"},
        {STAGES "0: F0.0 D0.0", "there is no line '1: ...' for rank 1"},
        {STAGES "0: F0.0 B0.0\n1: F1.0 D1.0", "a.txt: rank 0: W(0,0) is missing"},
        {HEAD "stages 0 0\n0: F0.0 D0.0\n1: F1.0 D1.0", "a.txt: rank 0 has 2 stages"},
        {"schedule own ranks 60000 chunks 1 microbatches 2000000000 split\nstages 0", "stage 1 has no rank"},
        {"schedule own ranks 1 chunks 1 microbatches 2000000000 split\nstages 0\n0: F0.0",
         "B(0,0) is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dist_schedule *schedule;
        assert_int_equal(read_text(&schedule, cases[i].text), DIST_ERR_ARGUMENT);
        assert_null(schedule);
        expect_sentence(cases[i].says);
    }
    dist_schedule *schedule;
    assert_int_equal(read_text(&schedule, STAGES "0: F0.0 D0.0\n1: F1.0 B1.0 W1.0"), DIST_OK);
    assert_string_equal(schedule->name, "own");
    dist_schedule_destroy(schedule);
}

static uint64_t random_bits(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int random_below(uint64_t *state, int n)
{
    return (int)(random_bits(state) % (uint64_t)n);
}

/* What a sound schedule's dry run promises, whatever the times. */
static void check_run(const dist_schedule *schedule, const dist_schedule_request *request)
{
    dist_schedule_time time;
    assert_int_equal(dist_schedule_run(schedule, request->times, request->latency, &time), DIST_OK);
    assert_true(time.makespan >= time.bound * (1 - 1e-12));
    assert_true(time.span <= time.makespan);
    for (int r = 0; r < request->ranks; r++) {
        const dist_stage_times t = request->times ? request->times[r] : (dist_stage_times){1, 1, 1};
        const double work = request->microbatches * (t.forward + t.backward + t.weight);
        assert_true(fabs(time.busy[r] - work) <= 1e-9 * (1 + work));
        assert_true(time.peak[r] > 0 && (request->memory == 0 || time.peak[r] <= request->memory));
    }
    dist_schedule_time_end(&time, request->ranks);
}

static void test_random(void **state)
{
    (void)state;
    uint64_t seed = 20240607;
    int made = 0, refused = 0;
    for (int i = 0; i < 10000; i++) {
        const bool large = random_below(&seed, 100) == 0;
        const int p = 1 + random_below(&seed, large ? 40 : 12);
        const int m = random_below(&seed, 4) == 0 ? p * (1 + random_below(&seed, 3))
                                                  : 1 + random_below(&seed, large ? 150 : 40);
        dist_stage_times times[40];
        double latency[40];
        for (int r = 0; r < p; r++) {
            times[r] = (dist_stage_times){random_below(&seed, 5) / 2.0, random_below(&seed, 5) / 2.0,
                                          random_below(&seed, 5) / 2.0};
            latency[r] = random_below(&seed, 4) == 0 ? random_below(&seed, 30) / 3.0 : 0;
        }
        const int family = random_below(&seed, 13);
        char name[64];
        snprintf(name, sizeof name, "%s", dist_schedule_names[family]);
        if (strcmp(name, "interleaved") == 0)
            snprintf(name, sizeof name, "interleaved:v=%d", random_below(&seed, 5));
        else if (strcmp(name, "eager1f1b") == 0 && random_below(&seed, 2))
            snprintf(name, sizeof name, "eager1f1b:cap=%d", random_below(&seed, 12));
        const dist_schedule_request request = {
            .name = name,
            .ranks = p,
            .microbatches = m,
            .times = random_below(&seed, 4) ? times : NULL,
            .latency = random_below(&seed, 4) ? latency : NULL,
            .memory = random_below(&seed, 3) ? 0 : random_below(&seed, 30) / 2.0};
        dist_schedule *schedule;
        const dist_status status = dist_schedule_create(&schedule, &request);
        if (status == DIST_OK) {
            made++;
            if (dist_schedule_check(schedule) < 0)
                fail_msg("case %d, %s of %d ranks and %d microbatches: %s", i, name, p, m, dist_last_error());
            check_run(schedule, &request);
        } else {
            refused++;
            assert_int_equal(status, DIST_ERR_ARGUMENT);
            assert_null(schedule);
            assert_true(strlen(dist_last_error()) > 20);
        }
        dist_schedule_destroy(schedule);
    }
    print_message("%d made, %d refused\n", made, refused);
    assert_true(made > 5000 && refused > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_names),
        cmocka_unit_test(test_auto),        cmocka_unit_test(test_times_by_hand),
        cmocka_unit_test(test_faults),      cmocka_unit_test(test_deadlocks),
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_errors), cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
