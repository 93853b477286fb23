/* Sets of plans of pipelines: as fast as the dry run of their schedules, proven, and refused where they
 * cannot be. */
#define _POSIX_C_SOURCE 200809L /* mkstemp */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libdist/plan.h>

#include "parallel/schedule.h"

enum { MOST = 9 };

static const char *const names[] = {
    "gpipe", "1f1b",   "eager1f1b", "eager1f1b:cap=3", "interleaved:v=2", "interleaved:v=3", "zb-h1", "zb-h2",
    "zb-v",  "v-half", "v-min",     "dualpipev",       "wan-1f1b",        "wan-zb",          "auto",  NULL};

static uint64_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Sums of quarters are exact. */
static double quarters(uint64_t *seed, uint64_t below)
{
    return (double)(random_next(seed) % below) / 4;
}

static dist_plan_pipeline_request request_of(const char *schedule, int ranks, int microbatches)
{
    dist_plan_pipeline_request request = DIST_PLAN_PIPELINE_REQUEST_INIT;
    request.schedule = schedule;
    request.ranks = ranks;
    request.microbatches = microbatches;
    return request;
}

static void equal(const char *what, const char *name, double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-9 * fabs(wanted)))
        fail_msg("%s: %s is %.17g instead of %.17g", name, what, found, wanted);
}

/* Predicted on the plans against the dry run of the schedule that it names. */
static void compare(dist_plan_set *set, const dist_plan_pipeline_request *request)
{
    dist_plan_prediction predicted;
    dist_plan_pipeline shape;
    dist_schedule *schedule;
    dist_schedule_time dry;
    assert_int_equal(dist_plan_set_pipeline(set, &shape), DIST_OK);
    const dist_schedule_request again = {.name = shape.schedule,
                                         .ranks = shape.ranks,
                                         .microbatches = shape.microbatches,
                                         .times = shape.times,
                                         .latency = shape.latency};
    assert_int_equal(dist_schedule_create(&schedule, &again), DIST_OK);
    assert_int_equal(dist_schedule_run(schedule, shape.times, shape.latency, &dry), DIST_OK);
    if (dist_plan_set_predict(set, &predicted) < 0)
        fail_msg("%s: %s", request->schedule, dist_last_error());
    assert_int_equal(predicted.ranks, request->ranks);
    equal("makespan", shape.schedule, predicted.makespan, dry.makespan);
    equal("span", shape.schedule, predicted.span, dry.span);
    equal("bound", shape.schedule, predicted.bound, dry.bound);
    assert_true(predicted.makespan >= predicted.bound * (1 - 1e-12));
    for (int r = 0; r < request->ranks; r++) {
        equal("busy", shape.schedule, predicted.rank[r].busy, dry.busy[r]);
        equal("bubble", shape.schedule, predicted.rank[r].bubble,
              predicted.makespan - predicted.rank[r].busy);
        equal("peak", shape.schedule, predicted.rank[r].peak, dry.peak[r]);
        const uint64_t scratch = dist_plan_set_scratch(set, r);
        equal("peak_bytes", shape.schedule, (double)(predicted.rank[r].peak_bytes - scratch),
              dry.peak[r] * (double)request->stash_bytes);
    }
    dist_schedule_time_end(&dry, request->ranks);
    dist_schedule_destroy(schedule);
}

/* With times and latencies that differ from rank to rank, buffers are many enough that nothing waits for
 * them. */
static void test_as_fast_as_the_schedule(void **state)
{
    (void)state;
    uint64_t seed = 11;
    int compared = 0;
    for (int round = 0; round < 60; round++)
        for (const char *const *name = names; *name; name++) {
            dist_stage_times times[MOST];
            double latency[MOST];
            const int ranks = 1 + (int)(random_next(&seed) % MOST), m = 1 + (int)(random_next(&seed) % 24);
            const uint64_t spread = 1 + random_next(&seed) % 40;
            for (int r = 0; r < ranks; r++) {
                times[r] = (dist_stage_times){6 * quarters(&seed, spread), 6 * quarters(&seed, spread),
                                              6 * quarters(&seed, spread)};
                latency[r] = random_next(&seed) % 3 ? 0 : quarters(&seed, 200);
            }
            dist_plan_pipeline_request request = request_of(*name, ranks, m);
            request.times = times;
            request.time_count = ranks;
            request.latency = latency;
            request.latency_count = ranks - 1;
            request.stash_bytes = 600;
            request.boundary_bytes = random_next(&seed) % 300;
            dist_plan_set *set;
            const dist_status status = dist_plan_set_create_pipeline(&set, &request);
            if (status == DIST_ERR_ARGUMENT && strncmp(*name, "auto", 4) != 0)
                continue; /* the definition does not allow the shape */
            if (status < 0 || dist_plan_set_verify(set) < 0)
                fail_msg("%s, %d ranks, %d microbatches: %s", *name, ranks, m, dist_last_error());
            compare(set, &request);
            dist_plan_set_destroy(set);
            compared++;
        }
    assert_true(compared > 500);
}

/* shared figures: p = 8, m = 128, T = 3, one middle edge of latency c. */
static void test_one_slow_edge(void **state)
{
    (void)state;
    static const double slow[] = {0, 3, 24};
    static const struct {
        const char *name;
        double makespan[3];
    } table[] = {{"1f1b", {405, 783, 3429}},
                 {"eager1f1b", {405, 525, 2247}},
                 {"zb-h1", {391, 709, 3355}},
                 {"wan-1f1b", {405, 411, 453}},
                 {"wan-zb", {391, 394, 415}}};
    for (size_t t = 0; t < sizeof table / sizeof *table; t++)
        for (int c = 0; c < 3; c++) {
            const double latency[7] = {[3] = slow[c]};
            dist_plan_pipeline_request request = request_of(table[t].name, 8, 128);
            dist_plan_prediction predicted;
            dist_plan_set *set;
            request.latency = latency;
            request.latency_count = 7;
            assert_int_equal(dist_plan_set_create_pipeline(&set, &request), DIST_OK);
            assert_int_equal(dist_plan_set_predict(set, &predicted), DIST_OK);
            equal("makespan", table[t].name, predicted.makespan, table[t].makespan[c]);
            dist_plan_set_destroy(set);
        }
}

/* Two ranks, F 1, B + W 2. A message of 64 + 136 bytes takes 2 at 100 bytes a unit, and 0.5 to arrive. */
static void test_bandwidth(void **state)
{
    (void)state;
    const double latency = 0.5;
    dist_plan_pipeline_request request = request_of("1f1b", 2, 2);
    dist_plan_prediction predicted;
    dist_plan_op op;
    dist_plan_set *set;
    request.latency = &latency;
    request.latency_count = 1;
    request.bandwidth = 100;
    request.boundary_bytes = 136;
    assert_int_equal(dist_plan_set_create_pipeline(&set, &request), DIST_OK);
    assert_int_equal(dist_plan_set_op(set, 0, 0, &op), DIST_OK);
    assert_true(op.end <= 0);
    assert_int_equal(dist_plan_set_predict(set, &predicted), DIST_OK);
    /* F0 ends at 1, is there at 3.5, F1 at 2, on the link from 3 to 5, there at 5.5. Rank 1: F0 to 4.5, B0 to
     * 6.5, F1 to 7.5, B1 to 9.5. Rank 0: B0 from 9 to 11, B1 from 12 to 14. */
    equal("makespan", "1f1b", predicted.makespan, 14);
    equal("bound", "1f1b", predicted.bound, 1 + 2.5 + 2 * 3 + 2.5 + 2);
    equal("span", "1f1b", predicted.span, 14);
    equal("busy", "1f1b", predicted.rank[1].busy, 6);
    equal("bubble", "1f1b", predicted.rank[1].bubble, 8);
    equal("begin", "1f1b", predicted.rank[1].begin, 3.5);
    assert_int_equal(predicted.links, 2);
    assert_string_equal(predicted.link[0].from, "rank 0");
    assert_string_equal(predicted.link[0].to, "rank 1");
    assert_string_equal(predicted.link[1].from, "rank 1");
    assert_string_equal(predicted.link[1].to, "rank 0");
    for (int l = 0; l < 2; l++) {
        assert_int_equal(predicted.link[l].bytes, 400);
        assert_int_equal(predicted.link[l].messages, 2);
        equal("link", "1f1b", predicted.link[l].busy, 4);
    }
    assert_int_equal(dist_plan_set_bytes(set, 0, 1), 400);
    assert_int_equal(dist_plan_set_bytes(set, 1, 1), 0);
    int calls = 0, messages = 0;
    for (size_t i = 0; i < dist_plan_set_ops(set, 1); i++) {
        assert_int_equal(dist_plan_set_op(set, 1, i, &op), DIST_OK);
        assert_int_equal(op.stage, 1);
        if (op.kind == DIST_PLAN_SEND && op.microbatch == 1) {
            equal("start", "SEND", op.start, 9.5);
            equal("end", "SEND", op.end, 11.5);
        } else if (op.kind == DIST_PLAN_FORWARD && op.microbatch == 1) {
            equal("start", "F", op.start, 6.5);
            equal("end", "F", op.end, 7.5);
        }
        calls += op.kind >= DIST_PLAN_FORWARD;
        messages += op.peer == 0;
    }
    assert_int_equal(calls, 4);
    assert_int_equal(messages, 4);
    assert_int_equal(dist_plan_set_op(set, 1, dist_plan_set_ops(set, 1), &op), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_plan_set_op(set, 2, 0, &op), DIST_ERR_ARGUMENT);
    dist_plan_set_destroy(set);
}

static void test_bound_with_bandwidth(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < 30; round++)
        for (const char *const *name = names; *name; name++) {
            dist_plan_pipeline_request request = request_of(*name, 1 + (int)(random_next(&seed) % 6), 12);
            const double latency = quarters(&seed, 20);
            dist_plan_prediction predicted;
            dist_plan_set *set;
            request.latency = &latency;
            request.latency_count = 1;
            request.bandwidth = (double)(1 + random_next(&seed) % 200);
            if (dist_plan_set_create_pipeline(&set, &request) < 0)
                continue;
            assert_int_equal(dist_plan_set_predict(set, &predicted), DIST_OK);
            if (predicted.makespan < predicted.bound * (1 - 1e-12))
                fail_msg("%s: %g is below the bound %g", *name, predicted.makespan, predicted.bound);
            dist_plan_set_destroy(set);
        }
}

static void test_memory(void **state)
{
    (void)state;
    dist_plan_pipeline_request request = request_of("1f1b", 4, 8);
    dist_plan_set *set;
    request.memory = 3;
    assert_int_equal(dist_plan_set_create_pipeline(&set, &request), DIST_ERR_ARGUMENT);
    assert_null(set);
    assert_non_null(strstr(dist_last_error(), "rank 0 would hold 4 microbatches"));
    request.memory = 4;
    request.stash_bytes = 1000;
    request.memory_bytes = 4000; /* and no room for what is received */
    assert_int_equal(dist_plan_set_create_pipeline(&set, &request), DIST_OK);
    assert_int_equal(dist_plan_set_verify(set), DIST_ERR_PLAN);
    request.memory_bytes = 4000 + dist_plan_set_scratch(set, 0);
    dist_plan_set_destroy(set);
    assert_int_equal(dist_plan_set_create_pipeline(&set, &request), DIST_OK);
    assert_int_equal(dist_plan_set_verify(set), DIST_OK);
    dist_plan_set_destroy(set);
}

/* Written, read and run, it is the same. */
static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/dist_plan_set_XXXXXX", name[64];
    dist_plan_pipeline_request request = request_of("zb-v", 3, 7);
    dist_plan_set *set, *again;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    FILE *stream = fdopen(file, "w");
    assert_int_equal(dist_plan_set_create_pipeline(&set, &request), DIST_OK);
    assert_int_equal(dist_plan_set_write_schedule(set, stream), DIST_OK);
    fclose(stream);
    snprintf(name, sizeof name, "file:%s", path);
    dist_plan_pipeline_request from_file = request_of(name, 0, 0);
    assert_int_equal(dist_plan_set_create_pipeline(&again, &from_file), DIST_OK);
    assert_int_equal(dist_plan_set_ranks(again), 3);
    for (int r = 0; r < 3; r++)
        assert_true(dist_plan_set_hash(set, r) == dist_plan_set_hash(again, r));
    dist_plan_set_destroy(again);
    dist_plan_set_destroy(set);
    from_file.ranks = 4;
    assert_int_equal(dist_plan_set_create_pipeline(&again, &from_file), DIST_ERR_ARGUMENT);
    assert_non_null(strstr(dist_last_error(), "is of 3 ranks and 7 microbatches, not of 4 and 0"));
    from_file.ranks = 3;
    from_file.memory = 1;
    assert_int_equal(dist_plan_set_create_pipeline(&again, &from_file), DIST_ERR_ARGUMENT);
    unlink(path);
    assert_int_equal(dist_plan_set_create_pipeline(&again, &from_file), DIST_ERR_IO);
}

/* From rank 2 back to rank 0 a message occupies one edge only: the bound must not count it on both. */
static void test_message_over_two_edges(void **state)
{
    (void)state;
    static const char text[] = "schedule mine ranks 3 chunks 2 microbatches 1 fused\nstages 0 1 2 0 1 2\n"
                               "0: F0.0 F3.0 B3.0 B0.0\n1: F1.0 F4.0 B4.0 B1.0\n2: F2.0 F5.0 B5.0 B2.0\n";
    char path[] = "/tmp/dist_plan_set_XXXXXX", name[64];
    dist_plan_prediction predicted;
    dist_plan_set *set;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, sizeof text - 1), sizeof text - 1);
    close(file);
    snprintf(name, sizeof name, "file:%s", path);
    dist_plan_pipeline_request request = request_of(name, 0, 0);
    request.bandwidth = 6.4;
    assert_int_equal(dist_plan_set_create_pipeline(&set, &request), DIST_OK);
    assert_int_equal(dist_plan_set_verify(set), DIST_OK);
    assert_int_equal(dist_plan_set_predict(set, &predicted), DIST_OK);
    equal("makespan", name, predicted.makespan, 2 * 5 * 10 + 6 * 0.5 * 3);
    equal("bound", name, predicted.bound, 6 * 0.5 * 3);
    dist_plan_set_destroy(set);
    unlink(path);
}

static void refused(const dist_plan_pipeline_request *request, const char *part)
{
    dist_plan_set *set = (dist_plan_set *)request;
    assert_int_equal(dist_plan_set_create_pipeline(&set, request), DIST_ERR_ARGUMENT);
    assert_null(set);
    if (!strstr(dist_last_error(), part))
        fail_msg("no '%s' in '%s'", part, dist_last_error());
}

static void test_refused(void **state)
{
    (void)state;
    const dist_stage_times times[] = {{1, 1, 1}, {1, -1, 1}, {1, 1, 1}};
    const double latency[] = {1, NAN};
    dist_plan_pipeline_request request = request_of("1f1b", 3, 4);
    request.times = times;
    request.time_count = 2;
    refused(&request, "times of rank 1");
    request.times = times + 2;
    request.time_count = 1;
    request.latency_count = 2;
    refused(&request, "are NULL");
    request.latency = latency;
    refused(&request, "latency nan between ranks 1 and 2");
    request.latency_count = 1;
    request.bandwidth = -1;
    refused(&request, "bandwidth of -1");
    request.bandwidth = 0;
    request.boundary_bytes = (uint64_t)1 << 40;
    refused(&request, "bytes between stages");
    request.boundary_bytes = 0;
    request.ranks = 0;
    refused(&request, "0 ranks and 4 microbatches");
    request.ranks = 4;
    request.latency_count = 1;
    request.microbatches = 0;
    refused(&request, "4 ranks and 0 microbatches");
    request.microbatches = 6;
    request.schedule = "2f2b";
    refused(&request, "no schedule is called '2f2b'");
    request.schedule = "interleaved:v=2";
    refused(&request, "microbatches");
    request.size = 8;
    refused(&request, "DIST_PLAN_PIPELINE_REQUEST_INIT");
    const dist_stage_times two[2] = {{1, 1, 1}, {1, 1, 1}};
    request = request_of("1f1b", 3, 4);
    request.times = two;
    request.time_count = 2;
    refused(&request, "2 times for 3 ranks");
    request.time_count = 0;
    request.latency = (const double[]){1, 1, 1};
    request.latency_count = 3;
    refused(&request, "3 latencies between 3 ranks");
    assert_int_equal(dist_plan_set_create_pipeline(NULL, &request), DIST_ERR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_fast_as_the_schedule),
        cmocka_unit_test(test_one_slow_edge),
        cmocka_unit_test(test_bandwidth),
        cmocka_unit_test(test_bound_with_bandwidth),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_message_over_two_edges),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
