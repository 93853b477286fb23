/* Stochastic rounding: a value between two neighbours goes to either with such a probability that the mean is
 * the value. The random bits are a function of (seed, step, stream, element), so that threads, vectors, ranks
 * and GPUs draw the same whatever their order.
 */
#ifndef DIST_KERNELS_STOCHASTIC_H
#define DIST_KERNELS_STOCHASTIC_H

#include "kernels/arithmetic.h"
#include "kernels/half.h"
#include "kernels/philox.h"

typedef struct dist_random_key {
    uint32_t key[2];
    uint32_t counter[2]; /* words 2 and 3 of the counter */
} dist_random_key;

/* The stream keeps apart what is encoded in one step, for example buckets. Step and stream share 64 bits: no
 * two pairs meet while steps stay below 2^32; above, the step's high word is folded into the stream. */
static inline DIST_HD dist_random_key dist_random_key_of(uint64_t seed, uint64_t step, uint32_t stream)
{
    dist_random_key random;
    random.key[0] = (uint32_t)seed;
    random.key[1] = (uint32_t)(seed >> 32);
    random.counter[0] = (uint32_t)step;
    random.counter[1] = stream ^ (uint32_t)(step >> 32) * 0x9e3779b1u;
    return random;
}

/* The bits of elements 4 * group to 4 * group + 3. */
static inline DIST_HD void dist_random_four(dist_random_key random, uint64_t group, uint32_t out[4])
{
    const uint32_t counter[4] = {(uint32_t)group, (uint32_t)(group >> 32), random.counter[0],
                                 random.counter[1]};
    dist_philox4x32(counter, random.key, out);
}

static inline DIST_HD uint32_t dist_random_at(dist_random_key random, uint64_t element)
{
    uint32_t four[4];
    dist_random_four(random, element / 4, four);
    return four[element % 4];
}

/* In [0, 1): a multiple of 2^-24. */
static inline DIST_HD float dist_random_unit(uint32_t r)
{
    return dist_mul((float)(r >> 8), 0x1p-24f);
}

/* floor(v) for |v| <= 2^22: adding 1.5 * 2^23 rounds to an integer. */
static inline DIST_HD float dist_floor(float v)
{
    const float nearest = dist_sub(dist_add(v, 0x1.8p23f), 0x1.8p23f);
    return nearest > v ? dist_sub(nearest, 1.0f) : nearest;
}

/* |v| <= 2^22. It compares u with the fraction, because the sum v + u would be rounded itself. Integers stay;
 * the mean over u is v to 2^-24. */
static inline DIST_HD float dist_round_stochastic(float v, float u)
{
    const float below = dist_floor(v);
    return u < dist_sub(v, below) ? dist_add(below, 1.0f) : below;
}

/* As dist_quantize, but rounded by the bits r: h finite, divisor from dist_divisor, qmax an integer. */
static inline DIST_HD int dist_quantize_stochastic(float h, float divisor, float qmax, uint32_t r)
{
    float v = dist_div(h, divisor);
    v = v > qmax ? qmax : v;
    v = v < -qmax ? -qmax : v;
    const float shifted = dist_add(dist_round_stochastic(v, dist_random_unit(r)), 0x1.8p23f);
    return (int)(dist_bits_of(shifted) - dist_bits_of(0x1.8p23f));
}

/* By the low 16 bits of r. What lies beyond the largest finite bfloat16 may become infinite. */
static inline DIST_HD uint16_t dist_bfloat_from_float_stochastic(float v, uint32_t r)
{
    const uint32_t bits = dist_bits_of(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return DIST_BFLOAT_NAN;
    return (uint16_t)((bits + (r & 0xffffu)) >> 16); /* an infinity has no low bits to carry from */
}

#endif
