/* Random numbers by counter: the same (seed, stream, counter) gives the same number on any rank, in any
 * order. */
#ifndef TRAIN_GPT_RANDOM_H
#define TRAIN_GPT_RANDOM_H

#include <stdint.h>

static inline uint64_t gpt_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t gpt_random(uint64_t seed, uint64_t stream, uint64_t counter)
{
    return gpt_mix(gpt_mix(gpt_mix(seed) ^ stream) ^ counter);
}

/* In (0, 1]: its logarithm is finite. */
static inline double gpt_random_unit(uint64_t bits)
{
    return (double)((bits >> 11) + 1) * 0x1p-53;
}

#endif
