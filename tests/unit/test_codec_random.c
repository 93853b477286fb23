/* Stochastic rounding: the mean is the value, and the numbers follow from the position alone. */
#include "codec_frames.h"

#include <math.h>

enum { COUNT = 2048 };

static const char *const texts[] = {"bf16:sr", "int8:sr", "int8:block=16:sr", "int4:sr",
                                    "int4:block=4096:sr"};
enum { TEXTS = sizeof texts / sizeof *texts };

static frame frame_at(const char *text, const float *x, uint64_t count, uint64_t step, uint64_t first,
                      uint32_t stream_number)
{
    const dist_codec_position position = {step, first, stream_number};
    return frame_of(text, DIST_FLOAT32, x, NULL, count, &position);
}

/* Over many steps the mean error of an element is within what chance allows: its unit over sqrt(steps), times 5 / 2. */
static void mean_is_the_value(void **state)
{
    (void)state;
    enum { STEPS = 600 };
    static float x[COUNT], decoded[COUNT];
    static double sum[COUNT];
    for (int t = 0; t < TEXTS; t++) {
        double bound = 0, bias = 0;
        memset(sum, 0, sizeof sum);
        fill(x, COUNT, DATA_UNIFORM, 5);
        for (uint64_t step = 0; step < STEPS; step++) {
            const frame f = frame_at(texts[t], x, COUNT, step, 0, 0);
            assert_int_equal(dist_codec_error_bound(&f.codec, f.at, f.bytes, COUNT, &bound), DIST_OK);
            decoded_to(&f, decoded);
            free(f.at);
            for (int i = 0; i < COUNT; i++)
                sum[i] += (double)decoded[i] - (double)x[i];
        }
        for (int i = 0; i < COUNT; i++) {
            if (!(fabs(sum[i] / STEPS) <= 2.5 * bound / sqrt(STEPS)))
                fail_msg("%s: %g is off by %g, with a unit of %g", texts[t], (double)x[i], sum[i] / STEPS,
                         bound);
            bias += sum[i] / STEPS / COUNT;
        }
        assert_true(fabs(bias) <= 2.5 * bound / sqrt((double)STEPS * COUNT));
    }
}

/* To one of the two neighbours, and what is representable stays. */
static void to_a_neighbour(void **state)
{
    (void)state;
    static float x[COUNT], decoded[COUNT];
    for (int i = 0; i < COUNT; i++)
        x[i] = i % 16 == 0 ? 127.0f : (float)(i % 255 - 127) + (i % 3 == 0 ? 0.25f : 0);
    int up = 0, down = 0;
    const frame f = frame_at("int8:block=16:sr", x, COUNT, 9, 0, 0);
    decoded_to(&f, decoded);
    for (int i = 0; i < COUNT; i++) {
        if (i % 16 == 0 || i % 3)
            assert_true(decoded[i] == x[i]);
        else
            assert_true(decoded[i] == floorf(x[i]) || decoded[i] == ceilf(x[i]));
        up += decoded[i] > x[i], down += decoded[i] < x[i];
    }
    assert_in_range(up * 3, down * 3 / 4, down * 5 / 4); /* a quarter goes up */
    free(f.at);
}

/* Pieces that know where they begin round as the whole does. */
static void pieces_are_the_whole(void **state)
{
    (void)state;
    static float x[COUNT], whole[COUNT], piece[COUNT];
    static const uint64_t cuts[] = {0, 1, 2, 3, 5, 8, 131, 1024, 1027, COUNT};
    static const uint64_t begins[] = {0, 7, 1ull << 32, UINT64_MAX - 4000};
    fill(x, COUNT, DATA_UNIFORM, 5);
    for (int b = 0; b < 4; b++) {
        const frame all = frame_at("bf16:sr", x, COUNT, 3, begins[b], 4);
        decoded_to(&all, whole);
        free(all.at);
        for (int c = 0; c < 9; c++) {
            const uint64_t n = cuts[c + 1] - cuts[c];
            const frame part = frame_at("bf16:sr", x + cuts[c], n, 3, begins[b] + cuts[c], 4);
            decoded_to(&part, piece);
            assert_memory_equal(piece, whole + cuts[c], 4 * n);
            free(part.at);
        }
        const frame blocks = frame_at("int4:block=16:sr", x, COUNT, 3, begins[b], 4);
        const frame last = frame_at("int4:block=16:sr", x + 1040, COUNT - 1040, 3, begins[b] + 1040, 4);
        decoded_to(&blocks, whole);
        decoded_to(&last, piece);
        assert_memory_equal(piece, whole + 1040, 4 * (COUNT - 1040));
        free(blocks.at), free(last.at);
    }
}

/* Each part of a position and the seed draws other numbers; no position is one of zeros. */
static void everything_counts(void **state)
{
    (void)state;
    static float x[COUNT];
    fill(x, COUNT, DATA_UNIFORM, 5);
    for (int t = 0; t < TEXTS; t++) {
        char seeded[64];
        snprintf(seeded, sizeof seeded, "%s:seed=1", texts[t]);
        const frame f[] = {
            frame_of_floats(texts[t], x, COUNT),
            frame_at(texts[t], x, COUNT, 1, 0, 0),
            frame_at(texts[t], x, COUNT, 0, 4, 0),
            frame_at(texts[t], x, COUNT, 0, 0, 1),
            frame_at(seeded, x, COUNT, 0, 0, 0),
            frame_at(texts[t], x, COUNT, 1ull << 32, 0, 0),
            frame_at(texts[t], x, COUNT, 0, 1ull << 34, 0),
        };
        const frame zeros = frame_at(texts[t], x, COUNT, 0, 0, 0);
        assert_memory_equal(f[0].at, zeros.at, zeros.bytes);
        for (int i = 0; i < 7; i++)
            for (int j = 0; j < i; j++)
                assert_memory_not_equal(f[i].at + 32, f[j].at + 32, zeros.bytes - 32);
        for (int i = 0; i < 7; i++)
            free(f[i].at);
        free(zeros.at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_is_the_value),
        cmocka_unit_test(to_a_neighbour),
        cmocka_unit_test(pieces_are_the_whole),
        cmocka_unit_test(everything_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
