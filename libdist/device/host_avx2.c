#include "device/host_loops.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define WIDTH  32
#define TARGET __attribute__((target("avx2,f16c")))
#define FLOATS __m256
#define WORDS  __m256i
#define SHORTS __m128i

TARGET static inline __m256 widen_half(__m128i halves)
{
    __m256 floats = _mm256_cvtph_ps(halves);
    __asm__("" : "+x"(floats)); /* else clang compares halves, one by one */
    return floats;
}

TARGET static inline __m128i narrow_half(__m256 floats)
{
    return _mm256_cvtps_ph(floats, _MM_FROUND_TO_NEAREST_INT);
}

TARGET static inline __m256i widen_short(__m128i shorts)
{
    return _mm256_cvtepu16_epi32(shorts);
}

TARGET static inline __m128i narrow_short(__m256i words)
{
    const __m256i packed = _mm256_packus_epi32(words, words); /* within each half */
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

#include "device/host_vector.h"

static void divide_int64(void *data, size_t count, int divisor)
{
    dist_host_scalar.divide[DIST_INT64](data, count, divisor); /* there is no vector instruction for it */
}

static const dist_host_loops loops = DIST_HOST_LOOPS;

const dist_host_loops *dist_host_avx2(void)
{
    return __builtin_cpu_supports("avx2") ? &loops : NULL; /* every processor with AVX2 has F16C */
}

#else

const dist_host_loops *dist_host_avx2(void)
{
    return NULL;
}

#endif
