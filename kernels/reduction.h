/* One element of a reduction and of a division, shared by C and CUDA: what libdist/device/device.h promises.
 *
 * Every NaN that is computed is the same quiet one: which payload the sum of two NaNs keeps is up to the processor
 * and to the compiler, which may swap them. 16-bit floats are computed in float32 and rounded to nearest even,
 * integers wrap and are truncated towards zero, and minimum and maximum keep the first operand where both are equal
 * (-0 and +0 are). Divisors are at least 1.
 */
#ifndef DIST_KERNELS_REDUCTION_H
#define DIST_KERNELS_REDUCTION_H

#include "kernels/arithmetic.h"
#include "kernels/half.h"

/* float16 by a device's own conversions, which differ from those of half.h in the bits of NaNs alone, and no NaN gets
 * through here. Those of half.h would be slower than memory. */
static inline DIST_HD float dist_reduction_widen(uint16_t half)
{
#ifdef __CUDA_ARCH__
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(half));
    return wide;
#else
    return dist_half_to_float(half);
#endif
}

static inline DIST_HD uint16_t dist_reduction_narrow(float value)
{
#ifdef __CUDA_ARCH__
    uint16_t half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
    return value != value ? (uint16_t)DIST_HALF_NAN : half;
#else
    return dist_half_from_float(value);
#endif
}

static inline DIST_HD double dist_add_wide(double a, double b)
{
    return a + b;
}

static inline DIST_HD double dist_div_wide(double a, double b)
{
    return a / b;
}

#define DIST_REDUCTION_SAME(x)          (x)
#define DIST_ONE_NAN(result, wide)      ((result) != (result) ? (wide)NAN : (result))
#define DIST_REDUCTION_BETTER(wide, by) (a != a || b != b ? (wide)NAN : b by a ? b : a)

#define DIST_REDUCTION_FLOAT(function, type, wide, widen, narrow, computed)                                  \
    static inline DIST_HD type function(type dst, type src)                                                  \
    {                                                                                                        \
        const wide a = widen(dst), b = widen(src);                                                           \
        const wide result = computed;                                                                        \
        return narrow(DIST_ONE_NAN(result, wide));                                                           \
    }

/* dist_sum_NAME, dist_min_NAME, dist_max_NAME (dst, src) and dist_divide_NAME (dst, divisor). */
#define DIST_REDUCTION_FLOATS(name, type, wide, widen, narrow, add, div)                                     \
    DIST_REDUCTION_FLOAT(dist_sum_##name, type, wide, widen, narrow, add(a, b))                              \
    DIST_REDUCTION_FLOAT(dist_min_##name, type, wide, widen, narrow, DIST_REDUCTION_BETTER(wide, <))         \
    DIST_REDUCTION_FLOAT(dist_max_##name, type, wide, widen, narrow, DIST_REDUCTION_BETTER(wide, >))         \
    static inline DIST_HD type dist_divide_##name(type dst, int divisor)                                     \
    {                                                                                                        \
        const wide result = div(widen(dst), (wide)divisor);                                                  \
        return narrow(DIST_ONE_NAN(result, wide));                                                           \
    }

DIST_REDUCTION_FLOATS(float32, float, float, DIST_REDUCTION_SAME, DIST_REDUCTION_SAME, dist_add, dist_div)
DIST_REDUCTION_FLOATS(float64, double, double, DIST_REDUCTION_SAME, DIST_REDUCTION_SAME, dist_add_wide,
                      dist_div_wide)
DIST_REDUCTION_FLOATS(float16, uint16_t, float, dist_reduction_widen, dist_reduction_narrow, dist_add,
                      dist_div)
DIST_REDUCTION_FLOATS(bfloat16, uint16_t, float, dist_bfloat_to_float, dist_bfloat_from_float, dist_add,
                      dist_div)

/* Added as unsigned numbers, where wrapping is defined. */
#define DIST_REDUCTION_INTEGERS(name, type, unsigned_type)                                                   \
    static inline DIST_HD type dist_sum_##name(type dst, type src)                                           \
    {                                                                                                        \
        return (type)((unsigned_type)dst + (unsigned_type)src);                                              \
    }                                                                                                        \
    static inline DIST_HD type dist_min_##name(type dst, type src)                                           \
    {                                                                                                        \
        return src < dst ? src : dst;                                                                        \
    }                                                                                                        \
    static inline DIST_HD type dist_max_##name(type dst, type src)                                           \
    {                                                                                                        \
        return src > dst ? src : dst;                                                                        \
    }                                                                                                        \
    static inline DIST_HD type dist_divide_##name(type dst, int divisor)                                     \
    {                                                                                                        \
        return dst / divisor;                                                                                \
    }

DIST_REDUCTION_INTEGERS(int32, int32_t, uint32_t)
DIST_REDUCTION_INTEGERS(int64, int64_t, uint64_t)

#endif
