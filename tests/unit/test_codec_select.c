/* The k largest of an array, against a sort: exact, and of equal ones those with the lowest index. */
#include "codec_frames.h"

#include "codec/select.h"

typedef struct element {
    uint32_t magnitude;
    uint64_t index;
} element;

static int before(const void *one, const void *other)
{
    const element *a = one, *b = other;
    if (a->magnitude != b->magnitude)
        return a->magnitude > b->magnitude ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

/* Whether each element is among the k largest. */
static void chosen_by_sorting(const float *h, uint64_t n, uint64_t k, bool *chosen)
{
    element *sorted = exactly(n * sizeof *sorted);
    for (uint64_t i = 0; i < n; i++)
        sorted[i] = (element){bits_of(h[i]) & 0x7fffffffu, i};
    qsort(sorted, n, sizeof *sorted, before);
    memset(chosen, 0, n);
    for (uint64_t i = 0; i < k; i++)
        chosen[sorted[i].index] = true;
    free(sorted);
}

static void check_threshold(const float *h, uint64_t n, uint64_t k)
{
    bool *wanted = exactly(n);
    chosen_by_sorting(h, n, k, wanted);
    const dist_threshold threshold = dist_select(h, n, k);
    uint64_t ties = threshold.ties, found = 0;
    assert_true(ties > 0);
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t magnitude = bits_of(h[i]) & 0x7fffffffu;
        const bool tie = magnitude == threshold.magnitude && ties > 0;
        assert_int_equal(magnitude > threshold.magnitude || tie, wanted[i]);
        ties -= tie;
        found += wanted[i];
    }
    assert_int_equal(ties, 0);
    assert_int_equal(found, k);
    free(wanted);
}

static void threshold_is_that_of_a_sort(void **state)
{
    (void)state;
    static float h[5000];
    for (int kind = 0; kind < DATA_KINDS; kind++) {
        for (unsigned n = 0; n < TEST_COUNTS && test_counts[n] <= 5000; n++) {
            fill(h, test_counts[n], (data)kind, n);
            for (uint64_t k = 1; k <= test_counts[n]; k += 1 + test_counts[n] / 9)
                check_threshold(h, test_counts[n], k);
            check_threshold(h, test_counts[n], test_counts[n]);
        }
    }
}

/* Values that differ in the low, middle or high bits of a magnitude alone, where the passes meet. */
static void passes_meet(void **state)
{
    (void)state;
    float h[700];
    static const uint32_t units[] = {1, 1u << 9, 1u << 10, 1u << 11, 1u << 19, 1u << 20, 1u << 21};
    for (unsigned u = 0; u < 7; u++) {
        stream draw = {u};
        for (int i = 0; i < 700; i++)
            h[i] =
                float_of((draw_bits(&draw) & 0x80000000u) | (0x3f800000u + draw_bits(&draw) % 50 * units[u]));
        for (uint64_t k = 1; k <= 700; k += 13)
            check_threshold(h, 700, k);
    }
}

/* Frames of topk hold exactly the chosen ones, their own bits, by rising index; the others stay in the feedback. */
static void check_frame(const char *text, const float *x, uint64_t count)
{
    bool *wanted = exactly(count);
    float *feedback = exactly(4 * count);
    const frame f = frame_of(text, DIST_FLOAT32, x, feedback, count, NULL);
    const uint32_t kept = word_of(f.at + 24);
    const uint8_t *index = f.at + 32, *value = f.at + 32 + (4 * kept + 15) / 16 * 16;
    uint32_t place = 0;
    chosen_by_sorting(x, count, kept, wanted);
    for (uint64_t i = 0; i < count; i++) {
        const bool finite = (bits_of(x[i]) & 0x7f800000u) != 0x7f800000u;
        if (wanted[i]) {
            assert_int_equal(word_of(index + 4 * place), i);
            assert_int_equal(word_of(value + 4 * place), x[i] != x[i] ? 0x7fc00000u : bits_of(x[i]));
            place++;
        }
        assert_int_equal(bits_of(feedback[i]), wanted[i] || !finite ? 0 : bits_of(x[i]));
    }
    assert_int_equal(place, kept);
    free(wanted), free(feedback), free(f.at);
}

static void frames_hold_the_largest(void **state)
{
    (void)state;
    static float x[10007];
    static const char *const texts[] = {"topk:density=0.01", "topk:density=0.25", "topk:density=1"};
    for (int t = 0; t < 3; t++) {
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            for (unsigned n = 0; n < TEST_COUNTS; n++) {
                fill(x, test_counts[n], (data)kind, n);
                for (uint64_t i = 0; i < test_counts[n]; i++)
                    x[i] = bits_of(x[i]) == 0x80000000u ? 0.0f : x[i]; /* 0 + -0 is 0 */
                check_frame(texts[t], x, test_counts[n]);
            }
        }
    }
}

/* All alike: the first ones. */
static void ties_by_lowest_index(void **state)
{
    (void)state;
    static float x[5000];
    for (int i = 0; i < 5000; i++)
        x[i] = i % 2 ? -1.5f : 1.5f;
    const frame f = frame_of_floats("topk:density=0.3", x, 5000);
    for (uint32_t i = 0; i < 1500; i++)
        assert_int_equal(word_of(f.at + 32 + 4 * i), i);
    free(f.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threshold_is_that_of_a_sort),
        cmocka_unit_test(passes_meet),
        cmocka_unit_test(frames_hold_the_largest),
        cmocka_unit_test(ties_by_lowest_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
