#include "codec/tables.h"

#include <stddef.h>

/* Whether this CPU has the instructions of avx2.c and avx512.c. */
#if defined(__x86_64__)
#include <cpuid.h>

static bool has_f16c(void) /* clang 14 cannot be asked by name */
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") && has_f16c();
}
static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}
#else
static bool has_avx2(void)
{
    return false;
}
static bool has_avx512(void)
{
    return false;
}
#endif

const dist_codec_table *dist_codec_table_of(dist_simd simd)
{
    switch (simd) {
    case DIST_SIMD_SCALAR:
        return &dist_codec_scalar;
    case DIST_SIMD_AVX2:
        return has_avx2() ? dist_codec_avx2 : NULL;
    case DIST_SIMD_AVX512:
        return has_avx512() ? dist_codec_avx512 : NULL;
    case DIST_SIMD_NEON:
        return dist_codec_neon;
    case DIST_SIMD_AUTO:
        break;
    }
    if (dist_codec_neon) /* every CPU of the architecture has it */
        return dist_codec_neon;
    if (has_avx512())
        return dist_codec_avx512;
    return has_avx2() ? dist_codec_avx2 : &dist_codec_scalar;
}
