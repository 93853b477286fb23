/* int4:hadamard: what EDEN promises of a rotated block. */
#include "codec_frames.h"

#include <math.h>

enum { COUNT = 8192 };

static float normal(stream *draw)
{
    const double u = ((double)draw_bits(draw) + 0.5) * 0x1p-32,
                 angle = (double)draw_bits(draw) * 0x1p-31 * 3.14159265358979;
    return (float)(sqrt(-2 * log(u)) * cos(angle));
}

static void fill_normal(float *x, uint64_t count, uint64_t seed)
{
    stream draw = {seed};
    for (uint64_t i = 0; i < count; i++)
        x[i] = normal(&draw);
}

/* Student t with 3 degrees of freedom. */
static void fill_heavy(float *x, uint64_t count, uint64_t seed)
{
    stream draw = {seed};
    for (uint64_t i = 0; i < count; i++) {
        const float a = normal(&draw), b = normal(&draw), c = normal(&draw);
        x[i] = normal(&draw) / sqrtf((a * a + b * b + c * c) / 3);
    }
}

static double dot(const float *a, const float *b, uint64_t n)
{
    double sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* |x - decoded|^2 / |x|^2 */
static double nmse(const float *x, const float *decoded, uint64_t n)
{
    double sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum += ((double)x[i] - (double)decoded[i]) * ((double)x[i] - (double)decoded[i]);
    return sum / dot(x, x, n);
}

static void decode_at(const char *text, const float *x, uint64_t count, uint64_t step, float *decoded)
{
    const dist_codec_position position = {step, 0, 0};
    const frame f = frame_of(text, DIST_FLOAT32, x, NULL, count, &position);
    decoded_to(&f, decoded);
    free(f.at);
}

/* 16 Lloyd-Max centroids leave 0.95% of a normal variable's power, and after a rotation everything is normal. */
static void error_is_that_of_a_normal_variable(void **state)
{
    (void)state;
    static float x[COUNT], decoded[COUNT];
    static const char *const texts[] = {"int4:hadamard", "int4:block=256:hadamard",
                                        "int4:block=4096:hadamard"};
    for (int t = 0; t < 3; t++) {
        for (int heavy = 0; heavy < 2; heavy++) {
            double sum = 0;
            for (uint64_t seed = 0; seed < 8; seed++) {
                heavy ? fill_heavy(x, COUNT, seed) : fill_normal(x, COUNT, seed);
                decode_at(texts[t], x, COUNT, seed, decoded);
                sum += nmse(x, decoded, COUNT) / 8;
            }
            if (!(sum > 0.0090 && sum < 0.0100))
                fail_msg("%s: %.5f of the power is lost", texts[t], sum);
        }
    }
}

/* EDEN's scale makes the decoded block's component along the block itself exact, whatever the block. */
static void projection_is_exact(void **state)
{
    (void)state;
    static float x[COUNT], decoded[COUNT];
    static const char *const texts[] = {"int4:hadamard", "int4:block=16:hadamard",
                                        "int4:block=4096:hadamard"};
    for (int t = 0; t < 3; t++) {
        for (unsigned n = 0; n < TEST_COUNTS; n++) {
            const uint64_t count = test_counts[n] < COUNT ? test_counts[n] : COUNT;
            for (int heavy = 0; heavy < 2; heavy++) {
                const unsigned block = codec_of(texts[t], DIST_SIMD_AUTO).block;
                heavy ? fill_heavy(x, count, n) : fill_normal(x, count, n);
                decode_at(texts[t], x, count, 7, decoded);
                for (uint64_t first = 0; first < count; first += block) {
                    const uint64_t m = count - first < block ? count - first : block;
                    const double along = dot(x + first, decoded + first, m) / dot(x + first, x + first, m);
                    if (!(fabs(along - 1) < 1e-5))
                        fail_msg("%s, %u elements: %.7f along", texts[t], (unsigned)m, along);
                }
            }
        }
    }
}

/* The mean over rotations is the vector: the error of a mean of K falls as 1/K. */
static void mean_over_seeds_converges(void **state)
{
    (void)state;
    enum { STEPS = 400, FEW = 1300 };
    static const struct row {
        const char *text;
        uint64_t count;
        double most;
    } rows[] = {
        {"int4:hadamard", 1024, 1.3},
        {"int4:hadamard", FEW, 1.5},
        {"int4:block=64:hadamard", 1000, 1.5},
        {"int4:sr:hadamard", 1024, 4.5},
    };
    static float x[FEW], decoded[FEW], mean[FEW];
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        static double sum[FEW];
        memset(sum, 0, sizeof sum);
        fill_heavy(x, rows[r].count, 3);
        for (uint64_t step = 0; step < STEPS; step++) {
            decode_at(rows[r].text, x, rows[r].count, step, decoded);
            for (uint64_t i = 0; i < rows[r].count; i++)
                sum[i] += (double)decoded[i] / STEPS;
        }
        for (uint64_t i = 0; i < rows[r].count; i++)
            mean[i] = (float)sum[i];
        const double part = nmse(x, mean, rows[r].count) * STEPS / 0.0095;
        if (!(part < rows[r].most))
            fail_msg("%s: %.2f times the error of one, after %d", rows[r].text, part, STEPS);
    }
}

/* A position has one rotation, its number is in the header, and other positions have others. */
static void rotations_follow_the_position(void **state)
{
    (void)state;
    static const dist_codec_position positions[] = {
        {0, 0, 0},
        {1, 0, 0},
        {0, 1, 0},
        {0, 0, 1},
        {1ull << 32, 0, 0},
        {0, 1ull << 40, 0},
        {0, UINT64_MAX - 4096, 0},
    };
    enum { POSITIONS = sizeof positions / sizeof *positions };
    uint32_t seeds[POSITIONS + 1];
    float x[100];
    fill_normal(x, 100, 1);
    for (int p = 0; p <= POSITIONS; p++) {
        const dist_codec_position *at = p < POSITIONS ? &positions[p] : NULL;
        const char *text = p < POSITIONS ? "int4:hadamard" : "int4:hadamard:seed=5";
        const frame one = frame_of(text, DIST_FLOAT32, x, NULL, 100, at);
        const frame other = frame_of(text, DIST_FLOAT32, x, NULL, 100, at);
        assert_memory_equal(one.at, other.at, one.bytes);
        seeds[p] = word_of(one.at + 12);
        for (int q = 0; q < p; q++)
            assert_int_not_equal(seeds[p], seeds[q]);
        free(one.at), free(other.at);
    }
}

/* Powers of two change the scale alone; other magnitudes up to both ends of float32 lose nothing. */
static void any_magnitude(void **state)
{
    (void)state;
    float x[1024], y[1024], decoded[1024];
    fill_normal(x, 1024, 1);
    const frame unit = frame_of_floats("int4:hadamard", x, 1024);
    for (int e = -100; e <= 120; e += 20) {
        for (int i = 0; i < 1024; i++)
            y[i] = ldexpf(x[i], e);
        const frame f = frame_of_floats("int4:hadamard", y, 1024);
        assert_memory_equal(f.at + 48, unit.at + 48, 512);
        assert_true(float_of(word_of(f.at + 32)) == ldexpf(float_of(word_of(unit.at + 32)), e));
        decoded_to(&f, decoded);
        assert_true(nmse(y, decoded, 1024) < 0.0105);
        free(f.at);
    }
    free(unit.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_is_that_of_a_normal_variable),
        cmocka_unit_test(projection_is_exact),
        cmocka_unit_test(mean_over_seeds_converges),
        cmocka_unit_test(rotations_follow_the_position),
        cmocka_unit_test(any_magnitude),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
