#include "codec/lowrank.h"

#include <math.h>
#include <string.h>

#include "kernels/philox.h"

#define LANES 8
#define DEPENDENT                                                                                            \
    1e-6 /* what is left of a unit vector that float32 cannot tell from a combination of others */
#define ATTEMPTS 4

static double dot(const float *a, const float *b, uint64_t n)
{
    double lane[LANES] = {0};
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint64_t l = 0; l < LANES; l++)
            lane[l] += (double)a[i + l] * (double)b[i + l];
    for (uint64_t l = 0; i < n; i++, l++)
        lane[l] += (double)a[i] * (double)b[i];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

static void subtract(float *v, double times, const float *q, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        v[i] = (float)((double)v[i] - times * (double)q[i]);
}

/* Gives v length 1, unless it is zero. */
static bool normalize(float *v, uint64_t n)
{
    const double length = sqrt(dot(v, v, n));
    if (!(length > 0))
        return false;
    for (uint64_t i = 0; i < n; i++)
        v[i] = (float)((double)v[i] / length);
    return true;
}

/* Vector k against those before it; false when it has no direction of its own. */
static bool make_orthonormal(float *vectors, uint64_t n, uint32_t k)
{
    float *v = vectors + k * n;
    if (!normalize(v, n)) /* also so that nothing below is subnormal */
        return false;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t j = 0; j < k; j++)
            subtract(v, dot(vectors + j * n, v, n), vectors + j * n, n);
    return dot(v, v, n) > DEPENDENT * DEPENDENT && normalize(v, n);
}

/* Uniform in [-1, 1). */
static void fill_random(float *v, uint64_t n, uint32_t k, uint32_t attempt)
{
    const uint32_t key[2] = {0x706f7765, 0x72736764};
    uint32_t random[4];
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t block = i / 4;
        const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), k, attempt};
        if (i % 4 == 0)
            dist_philox4x32(counter, key, random);
        v[i] = (float)(int32_t)random[i % 4] * 0x1p-31f;
    }
}

void dist_orthonormalize(float *vectors, uint64_t length, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        float *v = vectors + k * length;
        bool found = k < length && make_orthonormal(vectors, length, k);
        for (uint32_t attempt = 0; k < length && !found && attempt < ATTEMPTS; attempt++) {
            fill_random(v, length, k, attempt);
            found = make_orthonormal(vectors, length, k);
        }
        if (!found)
            memset(v, 0, length * sizeof *v);
    }
}
