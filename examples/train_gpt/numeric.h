/* Loops that compilers vectorize without fast-math: sums in fixed lanes, an exponential without a call. */
#ifndef TRAIN_GPT_NUMERIC_H
#define TRAIN_GPT_NUMERIC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { GPT_LANES = 16 };

/* Lanes are added in pairs, in the same order for any n, so that sums do not depend on the machine. */
static inline float gpt_add_lanes(float *lanes)
{
    for (size_t half = GPT_LANES / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

static inline float gpt_sum(const float *x, size_t n)
{
    float lanes[GPT_LANES] = {0};
    size_t i = 0;
    for (; i + GPT_LANES <= n; i += GPT_LANES)
        for (size_t lane = 0; lane < GPT_LANES; lane++)
            lanes[lane] += x[i + lane];
    for (size_t lane = 0; i + lane < n; lane++)
        lanes[lane] += x[i + lane];
    return gpt_add_lanes(lanes);
}

static inline float gpt_dot(const float *x, const float *y, size_t n)
{
    float lanes[GPT_LANES] = {0};
    size_t i = 0;
    for (; i + GPT_LANES <= n; i += GPT_LANES)
        for (size_t lane = 0; lane < GPT_LANES; lane++)
            lanes[lane] += x[i + lane] * y[i + lane];
    for (size_t lane = 0; i + lane < n; lane++)
        lanes[lane] += x[i + lane] * y[i + lane];
    return gpt_add_lanes(lanes);
}

static inline float gpt_max(const float *x, size_t n)
{
    float lanes[GPT_LANES];
    for (size_t lane = 0; lane < GPT_LANES; lane++)
        lanes[lane] = x[0];
    size_t i = 0;
    for (; i + GPT_LANES <= n; i += GPT_LANES)
        for (size_t lane = 0; lane < GPT_LANES; lane++)
            lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
    for (; i < n; i++)
        lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
    for (size_t lane = 1; lane < GPT_LANES; lane++)
        lanes[0] = lanes[lane] > lanes[0] ? lanes[lane] : lanes[0];
    return lanes[0];
}

/* exp(x) for |x| <= 87, beyond that exp(+-87), to about two units in the last place: 2^n times a polynomial
 * in the rest. Adding 1.5 * 2^23 leaves n = round(x / ln 2) in the low bits, which become the exponent. The
 * clamp works on the bits, because GCC does not vectorize one that compares floats; a NaN stays a NaN. */
static inline float gpt_exp(float x)
{
    uint32_t bits, sign;
    memcpy(&bits, &x, sizeof bits);
    sign = bits & 0x80000000u;
    bits &= 0x7fffffffu;
    bits = (bits < 0x42ae0000u ? bits : 0x42ae0000u) | sign;
    float clamped;
    memcpy(&clamped, &bits, sizeof clamped);

    const float shifted = clamped * 1.44269504f + 12582912.0f;
    const float n = shifted - 12582912.0f;
    const float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691e-4f;
    p = p * r + 1.3981999e-3f;
    p = p * r + 8.3334519e-3f;
    p = p * r + 4.1665796e-2f;
    p = p * r + 1.6666665e-1f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;

    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power + (x - x);
}

/* x[i] = exp(x[i] - largest) / sum: a row of probabilities. Returns the logarithm's two parts through the
 * pointers: log p[i] = old x[i] - *largest - log(*sum). */
static inline void gpt_softmax(float *x, size_t n, float *largest, float *sum)
{
    *largest = gpt_max(x, n);
    const float shift = *largest;
    for (size_t i = 0; i < n; i++)
        x[i] = gpt_exp(x[i] - shift);
    *sum = gpt_sum(x, n);
    const float factor = 1.0f / *sum;
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

#endif
