/* Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011): 128
 * random bits that are a function of a counter and a key alone. */
#ifndef DIST_KERNELS_PHILOX_H
#define DIST_KERNELS_PHILOX_H

#include "kernels/arithmetic.h"

#define DIST_PHILOX_M0 0xd2511f53u
#define DIST_PHILOX_M1 0xcd9e8d57u
#define DIST_PHILOX_W0 0x9e3779b9u
#define DIST_PHILOX_W1 0xbb67ae85u

/* `out` may be `counter`. */
static inline DIST_HD void dist_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)DIST_PHILOX_M0 * c0, p1 = (uint64_t)DIST_PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += DIST_PHILOX_W0;
        k1 += DIST_PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

#endif
