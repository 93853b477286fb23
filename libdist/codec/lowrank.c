#include "codec/lowrank.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/fpmode.h"
#include "codec/names.h"
#include "kernels/arithmetic.h"

#define TILE  512 /* columns that are worked on at once, so that all vectors of a tile stay in the L1 cache */
#define GROUP 4   /* products that one pass over a tile adds */
#define LANES 32  /* partial sums of a dot product */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool dist_lowrank_pays(const dist_lowrank *shape)
{
    const double n = (double)shape->rows, m = (double)shape->columns;
    return (n + m) * (double)shape->rank * 2 < n * m;
}

static uint64_t padded(uint64_t elements)
{
    return (elements + 15) / 16 * 16;
}

uint64_t dist_lowrank_state_bytes(const dist_lowrank *shape)
{
    return sizeof(dist_lowrank_state) +
           sizeof(float) * (padded(shape->rows * shape->columns) + dist_lowrank_count(shape));
}

float *dist_lowrank_error(dist_lowrank_state *state)
{
    return (float *)(state + 1);
}

float *dist_lowrank_factor(const dist_lowrank *shape, dist_lowrank_state *state)
{
    return dist_lowrank_error(state) + padded(shape->rows * shape->columns);
}

uint64_t dist_lowrank_factor_count(const dist_lowrank *shape, uint64_t steps)
{
    return (steps % 2 == 0 ? shape->columns : shape->rows) * shape->rank;
}

/* Whether this step has its basis on the side of the columns. */
static bool is_even(const dist_lowrank_state *state)
{
    return state->steps % 2 == 0;
}

static bool all_finite(const float *values, uint64_t count)
{
    uint32_t bad = 0;
    for (uint64_t i = 0; i < count; i++)
        bad |= (dist_bits_of(values[i]) & 0x7f800000u) == 0x7f800000u;
    return !bad;
}

static void fill_nan(float *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        values[i] = dist_float_of(DIST_NAN_BITS);
}

/* h = row + error, in the columns of a tile. */
static void add_error(const float *restrict row, const float *restrict error, uint64_t n, float *restrict h)
{
    for (uint64_t j = 0; j < n; j++)
        h[j] = row[j] + error[j];
}

/* sum += times[0] * v[0] + times[1] * v[1] + ..., by rising index; the vectors lie `stride` apart. */
static void add_products(float *restrict sum, const float *times, uint64_t times_stride,
                         const float *restrict v, uint64_t stride, uint64_t products, uint64_t n)
{
    uint64_t k = 0;
    for (; k + GROUP <= products; k += GROUP, v += GROUP * stride) {
        const float a = times[k * times_stride], b = times[(k + 1) * times_stride],
                    c = times[(k + 2) * times_stride], d = times[(k + 3) * times_stride];
        const float *restrict w = v + stride, *restrict x = w + stride, *restrict y = x + stride;
        for (uint64_t j = 0; j < n; j++)
            sum[j] = sum[j] + a * v[j] + b * w[j] + c * x[j] + d * y[j];
    }
    for (; k < products; k++, v += stride)
        for (uint64_t j = 0; j < n; j++)
            sum[j] += times[k * times_stride] * v[j];
}

/* P = H Q. Rows are independent; a dot product keeps its partial sums from tile to tile. */
static void add_dots(float (*restrict lane)[LANES], const float *restrict h, const float *restrict q,
                     uint64_t stride, uint32_t rank, uint64_t n)
{
    for (uint32_t k = 0; k < rank; k++, q += stride) {
        float *restrict sum = lane[k];
        uint64_t j = 0;
        for (; j + LANES <= n; j += LANES)
            for (uint64_t l = 0; l < LANES; l++)
                sum[l] += h[j + l] * q[j + l];
        for (uint64_t l = 0; j < n; j++, l++)
            sum[l] += h[j] * q[j];
    }
}

static float add_lanes(float *lane)
{
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

static void project_rows(const dist_lowrank *shape, const float *matrix, const float *error, const float *q,
                         float *p)
{
    float h[TILE], lane[DIST_RANK_MOST][LANES];
    for (uint64_t i = 0; i < shape->rows; i++, matrix += shape->columns, error += shape->columns) {
        memset(lane, 0, shape->rank * sizeof *lane);
        for (uint64_t j = 0; j < shape->columns; j += TILE) {
            const uint64_t n = least(TILE, shape->columns - j);
            add_error(matrix + j, error + j, n, h);
            add_dots(lane, h, q + j, shape->columns, shape->rank, n);
        }
        for (uint32_t k = 0; k < shape->rank; k++)
            p[k * shape->rows + i] = add_lanes(lane[k]);
    }
}

/* Q = H^T P: a few rows at once, so that Q is read and written less often. */
static void project_columns(const dist_lowrank *shape, const float *matrix, const float *error,
                            const float *p, float *q)
{
    const uint64_t columns = shape->columns;
    float h[GROUP][TILE];
    memset(q, 0, columns * shape->rank * sizeof *q);
    for (uint64_t i = 0; i < shape->rows; i += GROUP) {
        const uint64_t rows = least(GROUP, shape->rows - i);
        for (uint64_t j = 0; j < columns; j += TILE) {
            const uint64_t n = least(TILE, columns - j);
            for (uint64_t g = 0; g < rows; g++)
                add_error(matrix + (i + g) * columns + j, error + (i + g) * columns + j, n, h[g]);
            for (uint32_t k = 0; k < shape->rank; k++)
                add_products(q + k * columns + j, p + k * shape->rows + i, 1, h[0], TILE, rows, n);
        }
    }
}

/* Columns j to j + n of row i of P Q^T. */
static void multiply(const dist_lowrank *shape, const float *p, const float *q, uint64_t i, uint64_t j,
                     uint64_t n, float *out)
{
    memset(out, 0, n * sizeof *out);
    add_products(out, p + i, shape->rows, q + j, shape->columns, shape->rank, n);
}

/* error = h - sent; one too large for float32 is dropped, because it would never go away. */
static void keep_rest(const float *restrict row, float *restrict error, const float *restrict sent,
                      uint64_t n)
{
    for (uint64_t j = 0; j < n; j++) {
        const float rest = (row[j] + error[j]) - sent[j];
        error[j] = fabsf(rest) <= FLT_MAX ? rest : 0;
    }
}

static void keep_error(const dist_lowrank *shape, const float *matrix, const float *p, const float *q,
                       float *error)
{
    float sent[TILE];
    for (uint64_t i = 0; i < shape->rows; i++, matrix += shape->columns, error += shape->columns)
        for (uint64_t j = 0; j < shape->columns; j += TILE) {
            const uint64_t n = least(TILE, shape->columns - j);
            multiply(shape, p, q, i, j, n, sent);
            keep_rest(matrix + j, error + j, sent, n);
        }
}

static uint64_t project(const dist_lowrank *shape, const float *matrix, dist_lowrank_state *state,
                        float *factor)
{
    const bool even = is_even(state);
    const uint64_t count = dist_lowrank_count(shape),
                   used = (even ? shape->rows : shape->columns) * shape->rank;
    float *basis = dist_lowrank_factor(shape, state), *error = dist_lowrank_error(state);
    dist_orthonormalize(basis, even ? shape->columns : shape->rows, shape->rank);
    (even ? project_rows : project_columns)(shape, matrix, error, basis, factor);
    if (!all_finite(factor,
                    used)) { /* an element that is not finite makes each dot product that it is in so */
        fill_nan(factor, count);
        return 1;
    }
    keep_error(shape, matrix, even ? factor : basis, even ? basis : factor, error);
    memset(factor + used, 0, (count - used) * sizeof *factor);
    return 0;
}

static void expand(const dist_lowrank *shape, const float *factor, dist_lowrank_state *state, float *matrix)
{
    const bool even = is_even(state);
    const uint64_t used = (even ? shape->rows : shape->columns) * shape->rank;
    float *basis = dist_lowrank_factor(shape, state);
    if (!all_finite(factor, used)) {
        fill_nan(matrix, shape->rows * shape->columns);
        return;
    }
    for (uint64_t i = 0; i < shape->rows; i++)
        for (uint64_t j = 0; j < shape->columns; j += TILE)
            multiply(shape, even ? factor : basis, even ? basis : factor, i, j,
                     least(TILE, shape->columns - j), matrix + i * shape->columns + j);
    memcpy(basis, factor, used * sizeof *basis);
    state->steps++;
}

uint64_t dist_lowrank_project(const dist_lowrank *shape, const float *matrix, dist_lowrank_state *state,
                              float *factor)
{
    const uint64_t mode = dist_fpmode_default();
    const uint64_t nonfinite = project(shape, matrix, state, factor);
    dist_fpmode_set(mode);
    return nonfinite;
}

void dist_lowrank_expand(const dist_lowrank *shape, const float *factor, dist_lowrank_state *state,
                         float *matrix)
{
    const uint64_t mode = dist_fpmode_default();
    expand(shape, factor, state, matrix);
    dist_fpmode_set(mode);
}
