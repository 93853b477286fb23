/* sparseloco against its definition: which elements of a chunk are sent, and as what. */
#include "kernels/half.h"

#include "codec_frames.h"

#include <math.h>

enum { CHUNK = 4096 };

typedef struct element {
    uint32_t magnitude;
    unsigned index;
} element;

static int before(const void *one, const void *other)
{
    const element *a = one, *b = other;
    if (a->magnitude != b->magnitude)
        return a->magnitude > b->magnitude ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

/* A magnitude as the float16 that it is sent as. */
static float level_of(uint32_t magnitude)
{
    const float value = float_of(magnitude);
    return value >= 65504.0f ? 65504.0f : dist_half_to_float(dist_half_from_float(value));
}

/* What a chunk of n decodes to: the page's words, by a sort. */
static void reference(const float *h, unsigned n, float *decoded)
{
    static element sorted[CHUNK];
    unsigned candidates = 0;
    const unsigned places = (n + 63) / 64;
    for (unsigned i = 0; i < n; i++)
        sorted[i] = (element){bits_of(h[i]) & 0x7fffffffu, i};
    qsort(sorted, n, sizeof *sorted, before);
    while (candidates < places && sorted[candidates].magnitude > 0)
        candidates++;
    const float hi = level_of(sorted[0].magnitude);
    const float lo = candidates ? level_of(sorted[(candidates + 1) / 2 - 1].magnitude) : 0;
    for (unsigned i = 0; i < n; i++)
        decoded[i] = 0;
    for (unsigned c = 0; c < candidates && hi > 0; c++) {
        const float size = float_of(sorted[c].magnitude);
        const float sent = size >= (lo + hi) / 2 ? hi : lo > 0 && size >= lo / 2 ? lo : 0;
        decoded[sorted[c].index] = bits_of(h[sorted[c].index]) >> 31 && sent > 0 ? -sent : sent;
    }
}

static void check(const float *x, uint64_t count)
{
    static float decoded[4 * CHUNK], wanted[CHUNK], feedback[4 * CHUNK];
    memset(feedback, 0, sizeof feedback);
    const frame f = frame_of("sparseloco", DIST_FLOAT32, x, feedback, count, NULL);
    decoded_to(&f, decoded);
    for (uint64_t first = 0; first < count; first += CHUNK) {
        const unsigned n = (unsigned)(count - first < CHUNK ? count - first : CHUNK);
        bool finite = true;
        for (unsigned i = 0; i < n; i++)
            finite = finite && isfinite(x[first + i]);
        if (finite)
            reference(x + first, n, wanted);
        for (unsigned i = 0; i < n; i++) {
            const uint32_t value = finite ? bits_of(wanted[i]) : 0x7fc00000u;
            assert_int_equal(bits_of(decoded[first + i]), value);
            assert_int_equal(bits_of(feedback[first + i]),
                             finite ? bits_of((x[first + i] + 0.0f) - wanted[i]) : 0);
        }
    }
    free(f.at);
}

static void chunks_follow_the_definition(void **state)
{
    (void)state;
    static float x[4 * CHUNK];
    static const uint64_t more[] = {8192, 8193, 12000};
    for (int kind = 0; kind < DATA_KINDS; kind++) {
        for (unsigned n = 0; n < TEST_COUNTS + 3; n++) {
            const uint64_t count = n < TEST_COUNTS ? test_counts[n] : more[n - TEST_COUNTS];
            fill(x, count, (data)kind, n);
            check(x, count);
        }
    }
}

/* More equal values than places: the first ones, and no more than there is room for. */
static void equal_values(void **state)
{
    (void)state;
    static float x[CHUNK], decoded[CHUNK];
    for (int i = 0; i < CHUNK; i++)
        x[i] = i < 10 ? 0.0f : i % 3 ? 0.5f : -0.5f;
    check(x, CHUNK);
    const frame f = frame_of_floats("sparseloco", x, CHUNK);
    decoded_to(&f, decoded);
    for (int i = 0; i < CHUNK; i++)
        assert_true(decoded[i] == (i >= 10 && i < 74 ? x[i] : 0));
    free(f.at);
}

/* Fewer values than places, and such that float16 is too narrow for. */
static void few_and_extreme_values(void **state)
{
    (void)state;
    static float x[CHUNK];
    static const float sizes[] = {1.0f,     0x1p-24f, 0x1.8p-25f, 0x1p-25f, 0x1.000002p-25f,
                                  0x1p-30f, 65504.0f, 65519.0f,   65520.0f, 1e30f};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int sent = 1; sent < 70; sent += 4) {
            memset(x, 0, sizeof x);
            for (int i = 0; i < sent; i++)
                x[i * 50 + 3] = (i % 2 ? -1.0f : 1.0f) * sizes[s] * (float)(1 + i % 5) * 0.25f;
            check(x, CHUNK);
        }
    }
}

/* No error is larger than leaving the element out, so feedback does not grow by what is sent. */
static void sending_is_better_than_not(void **state)
{
    (void)state;
    static float x[CHUNK], decoded[CHUNK];
    for (uint64_t seed = 0; seed < 20; seed++) {
        fill(x, CHUNK, seed % 2 ? DATA_HEAVY : DATA_UNIFORM, seed);
        const frame f = frame_of_floats("sparseloco", x, CHUNK);
        decoded_to(&f, decoded);
        for (int i = 0; i < CHUNK; i++)
            assert_true(fabsf(x[i] - decoded[i]) <= fabsf(x[i]) * 1.001f);
        free(f.at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_follow_the_definition),
        cmocka_unit_test(equal_values),
        cmocka_unit_test(few_and_extreme_values),
        cmocka_unit_test(sending_is_better_than_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
