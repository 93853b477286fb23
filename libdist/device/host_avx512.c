#include "device/host_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define WIDTH  64
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq")))
#define FLOATS __m512
#define WORDS  __m512i
#define SHORTS __m256i

TARGET static inline __m512 widen_half(__m256i halves)
{
    __m512 floats = _mm512_cvtph_ps(halves);
    __asm__("" : "+v"(floats)); /* else clang compares halves, one by one */
    return floats;
}

TARGET static inline __m256i narrow_half(__m512 floats)
{
    return _mm512_maskz_cvtps_ph(0xffff, floats, _MM_FROUND_TO_NEAREST_INT); /* unmasked, gcc -O0 warns */
}

TARGET static inline __m512i widen_short(__m256i shorts)
{
    return _mm512_cvtepu16_epi32(shorts);
}

TARGET static inline __m256i narrow_short(__m512i words)
{
    return _mm512_cvtepi32_epi16(words);
}

#include "device/host_vector.h"

static void divide_int64(void *data, size_t count, int divisor)
{
    dist_host_scalar.divide[DIST_INT64](data, count, divisor); /* there is no vector instruction for it */
}

static const dist_host_loops loops = DIST_HOST_LOOPS;

const dist_host_loops *dist_host_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq")
               ? &loops
               : NULL;
}

#else

const dist_host_loops *dist_host_avx512(void)
{
    return NULL;
}

#endif
