/* The arithmetic of PowerSGD: what it reproduces, what it keeps, its bits, and what is not finite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fpmode.h"
#include "base/memory.h"
#include "codec/lowrank.h"

/* One rank's matrix and what belongs to it. */
typedef struct matrix {
    dist_lowrank shape;
    uint64_t count;
    float *value, *factor;
    dist_lowrank_state *state;
} matrix;

static matrix matrix_create(uint64_t rows, uint64_t columns, uint32_t rank)
{
    matrix m = {.shape = {rows, columns, rank}, .count = rows * columns};
    m.value = dist_alloc_zeroed(m.count * sizeof(float));
    m.factor = dist_alloc_zeroed(dist_lowrank_count(&m.shape) * sizeof(float));
    m.state = dist_alloc_zeroed(dist_lowrank_state_bytes(&m.shape));
    assert_true(m.value && m.factor && m.state);
    return m;
}

static void matrix_destroy(matrix *m)
{
    dist_free_zeroed(m->value);
    dist_free_zeroed(m->factor);
    dist_free_zeroed(m->state);
}

static float *kept(const matrix *m)
{
    return (float *)(m->state + 1);
}

/* A whole step of a rank that is alone. */
static uint64_t step(matrix *m)
{
    const uint64_t nonfinite = dist_lowrank_project(&m->shape, m->value, m->state, m->factor);
    dist_lowrank_expand(&m->shape, m->factor, m->state, m->value);
    return nonfinite;
}

static uint32_t random_state;

static float random_value(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(int32_t)random_state * 0x1p-31f;
}

static void fill_random(float *value, uint64_t count, uint32_t seed)
{
    random_state = seed;
    for (uint64_t i = 0; i < count; i++)
        value[i] = random_value();
}

static void fill_product(matrix *m, uint32_t rank, uint32_t seed)
{
    random_state = seed;
    memset(m->value, 0, m->count * sizeof(float));
    for (uint32_t k = 0; k < rank; k++) {
        float right[1024];
        for (uint64_t j = 0; j < m->shape.columns; j++)
            right[j] = random_value();
        for (uint64_t i = 0; i < m->shape.rows; i++) {
            const float left = random_value();
            for (uint64_t j = 0; j < m->shape.columns; j++)
                m->value[i * m->shape.columns + j] += left * right[j];
        }
    }
}

static double distance(const float *a, const float *b, uint64_t count)
{
    double most = 0;
    for (uint64_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* The basis of an odd step spans what the matrix spans: all of H comes back, and nothing is kept. An even
 * step has for its basis what H^T spanned in the step before, which had an E in it. */
static void low_rank_is_reproduced(void **state)
{
    (void)state;
    static const uint64_t sizes[][2] = {{40, 60}, {60, 40}, {33, 513}, {512, 31}, {1, 9}, {9, 1}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        matrix m = matrix_create(sizes[s][0], sizes[s][1], 4);
        float *wanted = calloc(m.count, sizeof(float));
        for (int n = 0; n < 6; n++) {
            fill_product(&m, 3, 5);
            for (uint64_t i = 0; i < m.count; i++) /* H */
                wanted[i] = m.value[i] + kept(&m)[i];
            assert_int_equal(step(&m), 0);
            if (n % 2 == 0)
                continue;
            assert_true(distance(m.value, wanted, m.count) < 2e-5);
            for (uint64_t i = 0; i < m.count; i++)
                assert_true(fabsf(kept(&m)[i]) < 2e-5f);
        }
        free(wanted);
        matrix_destroy(&m);
    }
}

/* What was decoded and what is still kept are what went in. */
static void nothing_is_lost(void **state)
{
    (void)state;
    static const uint64_t sizes[][3] = {{33, 70, 2}, {70, 33, 1}, {128, 130, 7},
                                        {3, 5, 4},   {1, 7, 2},   {20, 1100, 5}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        matrix m = matrix_create(sizes[s][0], sizes[s][1], (uint32_t)sizes[s][2]);
        double *rest = calloc(m.count, sizeof *rest);
        for (uint32_t n = 0; n < 40; n++) {
            fill_random(m.value, m.count, n);
            for (uint64_t i = 0; i < m.count; i++)
                rest[i] += (double)m.value[i];
            assert_int_equal(step(&m), 0);
            for (uint64_t i = 0; i < m.count; i++)
                rest[i] -= (double)m.value[i];
        }
        for (uint64_t i = 0; i < m.count; i++)
            assert_true(fabs(rest[i] - (double)kept(&m)[i]) < 2e-4);
        matrix_destroy(&m);
        free(rest);
    }
}

/* A matrix of full rank, again and again: the mean of what is decoded comes near it, and the error stays bounded. */
static void the_mean_converges(void **state)
{
    (void)state;
    enum { ROWS = 48, COLUMNS = 64, STEPS = 400 };
    matrix m = matrix_create(ROWS, COLUMNS, 4);
    float *wanted = calloc(m.count, sizeof(float));
    double *sum = calloc(m.count, sizeof *sum), norm = 0, early = 0, late = 0;
    fill_random(wanted, m.count, 3);
    for (int n = 1; n <= STEPS; n++) {
        memcpy(m.value, wanted, m.count * sizeof(float));
        step(&m);
        for (uint64_t i = 0; i < m.count; i++) {
            const double difference = (sum[i] += (double)m.value[i]) / n - (double)wanted[i];
            early += n == STEPS / 8 ? difference * difference : 0;
            late += n == STEPS ? difference * difference : 0;
        }
    }
    for (uint64_t i = 0; i < m.count; i++)
        norm += (double)wanted[i] * (double)wanted[i];
    assert_true(early < 0.16 * norm);
    assert_true(late < early / 16); /* as 1/steps or better: the error is bounded */
    matrix_destroy(&m);
    free(wanted);
    free(sum);
}

static void assert_orthonormal(const float *v, uint64_t length, uint32_t count)
{
    for (uint32_t a = 0; a < count; a++)
        for (uint32_t b = 0; b <= a; b++) {
            double dot = 0;
            for (uint64_t i = 0; i < length; i++)
                dot += (double)v[a * length + i] * (double)v[b * length + i];
            assert_true(fabs(dot - (a == b && a < length)) < 1e-6);
        }
}

static void vectors_become_orthonormal(void **state)
{
    (void)state;
    enum { LENGTH = 301, COUNT = 8 };
    static float v[LENGTH * COUNT];
    static const float scales[] = {1, 1e-43f, 1e-30f, 3e38f};
    for (int s = 0; s < 4; s++) {
        fill_random(v, LENGTH * COUNT, (uint32_t)s);
        for (int i = 0; i < LENGTH * COUNT; i++)
            v[i] *= scales[s];
        dist_orthonormalize(v, LENGTH, COUNT);
        assert_orthonormal(v, LENGTH, COUNT);
    }
    for (int kind = 0; kind < 4; kind++) {
        fill_random(v, LENGTH * COUNT, 9);
        for (int i = 0; i < LENGTH; i++) {
            v[2 * LENGTH + i] = kind == 0   ? 0
                                : kind == 1 ? v[i]
                                : kind == 2 ? v[i] + v[LENGTH + i]
                                            : v[i] + 1e-5f * v[i % 7];
            v[5 * LENGTH + i] = v[2 * LENGTH + i];
        }
        dist_orthonormalize(v, LENGTH, COUNT);
        assert_orthonormal(v, LENGTH, COUNT);
    }
    memset(v, 0, sizeof v);
    dist_orthonormalize(v, LENGTH, COUNT); /* the first basis of all */
    assert_orthonormal(v, LENGTH, COUNT);
    fill_random(v, 5 * COUNT, 1);
    dist_orthonormalize(v, 5, COUNT); /* more than there is room for */
    assert_orthonormal(v, 5, COUNT);
    for (int i = 5 * 5; i < 5 * COUNT; i++)
        assert_true(v[i] == 0);
    v[0] = -3;
    dist_orthonormalize(v, 1, 1);
    assert_true(v[0] == -1);
}

static void zeros_stay_zeros(void **state)
{
    (void)state;
    matrix m = matrix_create(20, 30, 3);
    for (int n = 0; n < 2; n++) {
        memset(m.value, 0, m.count * sizeof(float));
        assert_int_equal(step(&m), 0);
        for (uint64_t i = 0; i < m.count; i++)
            assert_true(m.value[i] == 0 && kept(&m)[i] == 0);
    }
    for (int n = 0; n < 2; n++) { /* and what follows is reproduced as after nothing */
        fill_product(&m, 2, 8);
        step(&m);
    }
    for (uint64_t i = 0; i < m.count; i++)
        assert_true(fabsf(kept(&m)[i]) < 1e-5f);
    matrix_destroy(&m);
}

static void rank_above_both_sides_is_exact(void **state)
{
    (void)state;
    matrix m = matrix_create(3, 5, 4);
    float h[15];
    for (uint32_t n = 0; n < 6; n++) {
        fill_random(m.value, m.count, n);
        for (uint64_t i = 0; i < m.count; i++)
            h[i] = m.value[i] + kept(&m)[i];
        assert_int_equal(step(&m), 0);
        if (n % 2) /* the basis spans all three rows */
            assert_true(distance(m.value, h, m.count) < 1e-5);
    }
    matrix_destroy(&m);
}

static bool all_nan(const float *value, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (!isnan(value[i]))
            return false;
    return true;
}

static void not_finite(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    for (int parity = 0; parity < 2; parity++)
        for (int b = 0; b < 4; b++) {
            matrix m = matrix_create(24, 40, 2);
            float *before = calloc(m.count, sizeof(float));
            for (int n = 0; n < 2 + parity; n++) {
                fill_product(&m, 4, 1);
                memset(m.value + 40 * 7, 0, 40 * sizeof(float)); /* bases have a zero there */
                step(&m);
            }
            memcpy(before, kept(&m), m.count * sizeof(float));
            const uint64_t steps = m.state->steps;
            fill_product(&m, 4, 1);
            m.value[40 * 7 + 3] = bad[b];
            for (int j = 0; b == 3 && j < 24 * 40; j++) /* finite, but sums of it are not */
                m.value[j] = random_value() < 0 ? bad[b] : -bad[b];
            assert_int_equal(step(&m), 1);
            assert_true(all_nan(m.factor, dist_lowrank_count(&m.shape)));
            assert_true(all_nan(m.value, m.count));
            assert_memory_equal(before, kept(&m), m.count * sizeof(float));
            assert_int_equal(m.state->steps, steps);
            for (int n = 0; n < 4; n++) { /* as if nothing had been: what goes in comes out or is kept */
                fill_product(&m, 4, 6);
                for (uint64_t i = 0; i < m.count; i++)
                    before[i] += m.value[i];
                assert_int_equal(step(&m), 0);
                for (uint64_t i = 0; i < m.count; i++)
                    before[i] -= m.value[i];
            }
            assert_true(distance(before, kept(&m), m.count) < 2e-5);
            assert_int_equal(m.state->steps, steps + 4);
            free(before);
            matrix_destroy(&m);
        }
}

/* Another rank's NaN, or a sum that overflows, comes with the factor. */
static void not_finite_elsewhere(void **state)
{
    (void)state;
    matrix m = matrix_create(24, 40, 2);
    fill_product(&m, 2, 1);
    assert_int_equal(dist_lowrank_project(&m.shape, m.value, m.state, m.factor), 0);
    m.factor[47] = INFINITY;
    dist_lowrank_expand(&m.shape, m.factor, m.state, m.value);
    assert_true(all_nan(m.value, m.count));
    assert_int_equal(m.state->steps, 0);
    fill_product(&m, 2, 1);
    assert_int_equal(dist_lowrank_project(&m.shape, m.value, m.state, m.factor), 0);
    m.factor[48] = NAN; /* behind 24 rows of rank 2: not part of the factor */
    dist_lowrank_expand(&m.shape, m.factor, m.state, m.value);
    for (uint64_t i = 0; i < m.count; i++)
        assert_true(isfinite(m.value[i]));
    assert_int_equal(m.state->steps, 1);
    matrix_destroy(&m);
}

/* Ranks that sum their factors get the same bits, and the sum of what each would have got. */
static void ranks_agree(void **state)
{
    (void)state;
    matrix a = matrix_create(65, 43, 3), b = matrix_create(65, 43, 3);
    const uint64_t elements = dist_lowrank_count(&a.shape);
    double sum = 0, rest = 0;
    for (uint32_t n = 0; n < 9; n++) {
        fill_random(a.value, a.count, 2 * n);
        fill_random(b.value, b.count, 2 * n + 1);
        for (uint64_t i = 0; i < a.count; i++)
            sum += (double)a.value[i] + (double)b.value[i];
        dist_lowrank_project(&a.shape, a.value, a.state, a.factor);
        dist_lowrank_project(&b.shape, b.value, b.state, b.factor);
        for (uint64_t i = 0; i < elements; i++)
            a.factor[i] = b.factor[i] = a.factor[i] + b.factor[i];
        dist_lowrank_expand(&a.shape, a.factor, a.state, a.value);
        dist_lowrank_expand(&b.shape, b.factor, b.state, b.value);
        assert_memory_equal(a.value, b.value, a.count * sizeof(float));
        for (uint64_t i = 0; i < a.count; i++)
            sum -= (double)a.value[i];
    }
    for (uint64_t i = 0; i < a.count; i++)
        rest += (double)kept(&a)[i] + (double)kept(&b)[i];
    assert_true(fabs(sum - rest) < 0.02); /* of 50 thousand summands */
    matrix_destroy(&a);
    matrix_destroy(&b);
}

/* The order of each sum, as the header defines it, in the plainest code. */
static float dot_by_definition(const float *a, const float *b, uint64_t n)
{
    float lane[32] = {0};
    for (uint64_t i = 0; i < n; i++)
        lane[i % 32] += a[i] * b[i];
    for (int half = 16; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

static void sums_have_the_defined_order(void **state)
{
    (void)state;
    enum { N = 39, M = 1111, R = 6 };
    matrix m = matrix_create(N, M, R);
    static float h[N * M], basis[M * R], p[R * N], q[R * M];
    for (uint32_t n = 0; n < 4; n++) {
        const bool even = n % 2 == 0;
        const float *left = even ? p : basis, *right = even ? basis : q;
        fill_random(m.value, m.count, n);
        for (uint64_t i = 0; i < m.count; i++)
            h[i] = m.value[i] + kept(&m)[i];
        memcpy(basis, kept(&m) + (N * M + 15) / 16 * 16, sizeof(float) * R * (even ? M : N));
        dist_orthonormalize(basis, even ? M : N, R);
        for (int k = 0; even && k < R; k++)
            for (int i = 0; i < N; i++)
                p[k * N + i] = dot_by_definition(h + i * M, basis + k * M, M);
        memset(q, 0, sizeof q);
        for (int k = 0; !even && k < R; k++)
            for (int i = 0; i < N; i++)
                for (int j = 0; j < M; j++)
                    q[k * M + j] += basis[k * N + i] * h[i * M + j];
        assert_int_equal(step(&m), 0);
        assert_memory_equal(m.factor, even ? p : q, sizeof(float) * R * (even ? N : M));
        for (int i = N * R; even && i < M * R; i++)
            assert_true(m.factor[i] == 0);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < M; j++) {
                float sum = 0;
                for (int k = 0; k < R; k++)
                    sum += left[k * N + i] * right[k * M + j];
                assert_true(m.value[i * M + j] == sum);
                assert_true(kept(&m)[i * M + j] == h[i * M + j] - sum);
            }
    }
    matrix_destroy(&m);
}

static uint64_t hash_of_steps(uint64_t mode)
{
    const uint64_t usual = dist_fpmode_get();
    uint64_t hash = 0xcbf29ce484222325u;
    matrix m = matrix_create(77, 95, 5);
    for (uint32_t n = 0; n < 5; n++) {
        fill_random(m.value, m.count, n);
        m.value[n] = 1e-41f; /* subnormal */
        dist_fpmode_set(mode);
        step(&m);
        dist_fpmode_set(usual);
        for (uint64_t i = 0; i < m.count; i++) {
            uint32_t bits;
            memcpy(&bits, &m.value[i], sizeof bits);
            hash = (hash ^ bits) * 0x100000001b3u;
        }
    }
    matrix_destroy(&m);
    return hash;
}

static void bits_are_the_same_everywhere(void **state)
{
    (void)state;
    assert_int_equal(hash_of_steps(dist_fpmode_get()), 0xd690473c647db255u);
#if defined(__x86_64__)
    assert_int_equal(hash_of_steps(0xffc0), 0xd690473c647db255u); /* towards zero, subnormals flushed */
#endif
}

static void what_pays(void **state)
{
    (void)state;
    assert_true(dist_lowrank_pays(&(dist_lowrank){768, 3072, 4}));
    assert_true(dist_lowrank_pays(&(dist_lowrank){17, 17, 4}));
    assert_false(dist_lowrank_pays(&(dist_lowrank){16, 16, 4})); /* as many elements */
    assert_false(dist_lowrank_pays(&(dist_lowrank){1, 100000, 1}));
    assert_false(dist_lowrank_pays(&(dist_lowrank){8, 100000, 4}));
    assert_int_equal(dist_lowrank_count(&(dist_lowrank){30, 40, 3}), 120);
    assert_int_equal(dist_lowrank_state_bytes(&(dist_lowrank){3, 7, 2}), 64 + 4 * 32 + 4 * 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(low_rank_is_reproduced),
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(the_mean_converges),
        cmocka_unit_test(vectors_become_orthonormal),
        cmocka_unit_test(zeros_stay_zeros),
        cmocka_unit_test(rank_above_both_sides_is_exact),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(not_finite_elsewhere),
        cmocka_unit_test(ranks_agree),
        cmocka_unit_test(sums_have_the_defined_order),
        cmocka_unit_test(bits_are_the_same_everywhere),
        cmocka_unit_test(what_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
