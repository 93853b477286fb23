/* The partitioner against all splits there are, over small cases, and against what is known of large ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <libdist/pipeline.h>

#include "base/error.h"

enum { MOST = 12 };

static uint64_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* The same sums as numbers that are exact, so that comparisons are. */
static double sum(const double *value, int from, int to)
{
    double all = 0;
    for (int i = from; i < to; i++)
        all += value[i];
    return all;
}

typedef struct best {
    double largest, squares; /* INFINITY: no split fits */
    double memory;           /* the least limit that any split needs */
} best;

/* All ways to put the layers from `from` on into `stages` stages. */
static void try_all(const double *time, const double *memory, int layers, int stages, double limit, int from,
                    best so_far, best *found)
{
    if (stages == 0) {
        if (from < layers)
            return;
        found->memory = fmin(found->memory, so_far.memory);
        if (limit > 0 && so_far.memory > limit)
            return;
        if (so_far.largest < found->largest ||
            (so_far.largest <= found->largest && so_far.squares < found->squares)) {
            found->largest = so_far.largest;
            found->squares = so_far.squares;
        }
        return;
    }
    for (int to = from + 1; to <= layers; to++) {
        const double t = sum(time, from, to);
        const best with = {fmax(so_far.largest, t), so_far.squares + t * t,
                           fmax(so_far.memory, memory ? sum(memory, from, to) : 0)};
        try_all(time, memory, layers, stages - 1, limit, to, with, found);
    }
}

static void check_shape(const int *first, int layers, int stages)
{
    assert_int_equal(first[0], 0);
    assert_int_equal(first[stages], layers);
    for (int s = 0; s < stages; s++)
        assert_true(first[s] < first[s + 1]);
}

static void compare(const double *time, const double *memory, int layers, int stages, double limit)
{
    int first[MOST + 1];
    best found = {INFINITY, INFINITY, INFINITY}, got = {0, 0, 0};
    try_all(time, memory, layers, stages, memory ? limit : 0, 0, got, &found);
    const dist_status status = dist_partition(time, memory, layers, stages, limit, first);
    if (isinf(found.largest)) {
        char least[64];
        snprintf(least, sizeof least, "would do is %.17g", found.memory);
        assert_int_equal(status, DIST_ERR_UNSUPPORTED);
        assert_non_null(strstr(dist_last_error(), least));
        assert_int_equal(dist_partition(time, memory, layers, stages, found.memory, first), DIST_OK);
        check_shape(first, layers, stages);
        return;
    }
    assert_int_equal(status, DIST_OK);
    check_shape(first, layers, stages);
    for (int s = 0; s < stages; s++) {
        const double t = sum(time, first[s], first[s + 1]);
        got.largest = fmax(got.largest, t);
        got.squares += t * t;
        if (memory && limit > 0)
            assert_true(sum(memory, first[s], first[s + 1]) <= limit);
    }
    if (got.largest > found.largest || got.squares > found.squares)
        fail_msg("%d layers, %d stages: largest %g instead of %g, squares %g instead of %g", layers, stages,
                 got.largest, found.largest, got.squares, found.squares);
}

static void test_all_splits(void **state)
{
    (void)state;
    uint64_t seed = 4;
    for (int round = 0; round < 3000; round++) {
        double time[MOST], memory[MOST];
        const int layers = 1 + (int)(random_next(&seed) % MOST);
        const int stages = 1 + (int)(random_next(&seed) % (uint64_t)layers);
        const uint64_t spread = 1 + random_next(&seed) % 20;
        for (int l = 0; l < layers; l++) {
            time[l] = (double)(random_next(&seed) % spread) / 4; /* zeros too */
            memory[l] = (double)(random_next(&seed) % 8);
        }
        compare(time, NULL, layers, stages, 3);
        compare(time, memory, layers, stages, 0);
        compare(time, memory, layers, stages, 1 + (double)(random_next(&seed) % 20));
    }
}

/* Numbers of layers that differ by one at most, also where 0.1 + 0.1 + 0.1 is not 0.3, and where a layer
 * takes no time. */
static void test_equal_layers(void **state)
{
    (void)state;
    static const double times[] = {0, 1, 0.1, 1.0 / 3, 1e-300, 1e200};
    enum { LAYERS = 70 };
    double time[LAYERS], memory[LAYERS];
    int first[LAYERS + 1];
    for (size_t t = 0; t < sizeof times / sizeof *times; t++)
        for (int layers = 1; layers <= LAYERS; layers++)
            for (int stages = 1; stages <= layers; stages++) {
                for (int l = 0; l < layers; l++) {
                    time[l] = times[t];
                    memory[l] = 3;
                }
                const int most = (layers + stages - 1) / stages;
                assert_int_equal(dist_partition(time, memory, layers, stages, 3.0 * most, first), DIST_OK);
                check_shape(first, layers, stages);
                for (int s = 0; s < stages; s++) {
                    assert_true(first[s + 1] - first[s] <= most);
                    assert_true(first[s + 1] - first[s] >= layers / stages);
                }
            }
}

/* Where taking layers until a stage is full, or until it has its share, fails. */
static void test_known(void **state)
{
    (void)state;
    int first[4];
    const double heavy_end[] = {1, 1, 1, 1, 1, 1, 9};
    assert_int_equal(dist_partition(heavy_end, NULL, 7, 3, 0, first), DIST_OK);
    assert_int_equal(first[1], 3);
    assert_int_equal(first[2], 6);
    const double heavy_middle[] = {3, 5, 4, 4, 5, 3};
    assert_int_equal(dist_partition(heavy_middle, NULL, 6, 3, 0, first), DIST_OK);
    assert_int_equal(first[1], 2);
    assert_int_equal(first[2], 4);
    /* The embedding fills the memory of its stage, so that the slow layers cannot be apart. */
    const double time[] = {1, 6, 6, 1}, memory[] = {10, 2, 2, 2};
    assert_int_equal(dist_partition(time, memory, 4, 2, 11, first), DIST_OK);
    assert_int_equal(first[1], 1);
    assert_int_equal(dist_partition(time, memory, 4, 2, 12, first), DIST_OK);
    assert_int_equal(first[1], 2);
}

/* As many as a large job has: no stage beyond what greedy filling of the optimum allows. */
static void test_many(void **state)
{
    (void)state;
    enum { LAYERS = 20000, STAGES = 500 };
    double *time = malloc(LAYERS * sizeof *time), largest = 0;
    int *first = malloc((STAGES + 1) * sizeof *first), greedy = 1;
    uint64_t seed = 9;
    for (int l = 0; l < LAYERS; l++)
        time[l] = (double)(1 + random_next(&seed) % 1000);
    assert_int_equal(dist_partition(time, NULL, LAYERS, STAGES, 0, first), DIST_OK);
    check_shape(first, LAYERS, STAGES);
    for (int s = 0; s < STAGES; s++)
        largest = fmax(largest, sum(time, first[s], first[s + 1]));
    double full = 0;
    for (int l = 0; l < LAYERS; l++) { /* with any less, greedy filling needs more stages than there are */
        if (full + time[l] > largest - 1) {
            greedy++;
            full = 0;
        }
        full += time[l];
    }
    assert_true(greedy > STAGES);
    free(time);
    free(first);
}

static void refused(dist_status wanted, const char *part, const double *time, const double *memory,
                    int layers, int stages, double limit)
{
    int first[8];
    assert_int_equal(dist_partition(time, memory, layers, stages, limit, first), wanted);
    if (!strstr(dist_last_error(), part))
        fail_msg("no '%s' in '%s'", part, dist_last_error());
}

static void test_refused(void **state)
{
    (void)state;
    const double good[] = {1, 2, 3}, negative[] = {1, -2, 3}, infinite[] = {1, 2, INFINITY},
                 unknown[] = {NAN, 1, 1}, huge[] = {1e308, 1e308, 1};
    refused(DIST_ERR_ARGUMENT, "3 layers over 4 stages", good, NULL, 3, 4, 0);
    refused(DIST_ERR_ARGUMENT, "3 layers over 0 stages", good, NULL, 3, 0, 0);
    refused(DIST_ERR_ARGUMENT, "0 layers over 1 stages", good, NULL, 0, 1, 0);
    refused(DIST_ERR_ARGUMENT, "time of layer 1 is -2", negative, NULL, 3, 2, 0);
    refused(DIST_ERR_ARGUMENT, "time of layer 2 is inf", infinite, NULL, 3, 2, 0);
    refused(DIST_ERR_ARGUMENT, "time of layer 0 is", unknown, NULL, 3, 2, 0);
    refused(DIST_ERR_ARGUMENT, "too large", huge, NULL, 3, 2, 0);
    refused(DIST_ERR_ARGUMENT, "memory of layer 1 is -2", good, negative, 3, 2, 0);
    refused(DIST_ERR_ARGUMENT, "limit", good, good, 3, 2, -1);
    refused(DIST_ERR_ARGUMENT, "limit", good, good, 3, 2, NAN);
    refused(DIST_ERR_ARGUMENT, "is NULL", NULL, NULL, 3, 2, 0);
    refused(DIST_ERR_UNSUPPORTED, "least that would do is 3", good, good, 3, 2, 2.5);
    assert_int_equal(dist_partition(good, NULL, 3, 2, 0, NULL), DIST_ERR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_splits), cmocka_unit_test(test_equal_layers), cmocka_unit_test(test_known),
        cmocka_unit_test(test_many),       cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
