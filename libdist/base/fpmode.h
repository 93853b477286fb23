/* The processor's default float mode while results are computed that must not depend on it.
 *
 * A program linked with -ffast-math flushes subnormals to zero in all its threads, and one may have set
 * another rounding mode; the bytes must not depend on it. The barriers keep loads and stores, and with them
 * the arithmetic between, inside.
 */
#ifndef DIST_BASE_FPMODE_H
#define DIST_BASE_FPMODE_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static inline uint64_t dist_fpmode_get(void)
{
#if defined(__x86_64__)
    return _mm_getcsr();
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
#else
    return 0;
#endif
}

static inline void dist_fpmode_set(uint64_t mode)
{
    __asm__ volatile("" ::: "memory");
#if defined(__x86_64__)
    _mm_setcsr((unsigned)mode);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" ::"r"(mode));
#else
    (void)mode;
#endif
    __asm__ volatile("" ::: "memory");
}

/* Returns what dist_fpmode_set is to restore. */
static inline uint64_t dist_fpmode_default(void)
{
    const uint64_t before = dist_fpmode_get();
#if defined(__x86_64__)
    dist_fpmode_set(0x1f80); /* all exceptions masked, to nearest, no flushing */
#else
    dist_fpmode_set(0);
#endif
    return before;
}

#endif
