/* The loops that define the bits. */
#include "device/host_loops.h"

#include <math.h>
#include <stdint.h>

#include "kernels/half.h"

#define SAME(x) (x)

/* Which payload the sum of two NaNs keeps is up to the processor and to the compiler, which may swap them. */
#define ONE_NAN(result, wide) ((result) != (result) ? (wide)NAN : (result))

#define FLOAT_LOOP(function, type, wide, widen, narrow, result)                                              \
    static void function(void *dst, const void *src, size_t count)                                           \
    {                                                                                                        \
        type *d = dst;                                                                                       \
        const type *s = src;                                                                                 \
        for (size_t i = 0; i < count; i++) {                                                                 \
            const wide a = widen(d[i]), b = widen(s[i]);                                                     \
            d[i] = narrow(result);                                                                           \
        }                                                                                                    \
    }

#define FLOAT_LOOPS(name, type, wide, widen, narrow)                                                         \
    FLOAT_LOOP(sum_##name, type, wide, widen, narrow, ONE_NAN(a + b, wide))                                  \
    FLOAT_LOOP(min_##name, type, wide, widen, narrow, a != a || b != b ? (wide)NAN : b < a ? b : a)          \
    FLOAT_LOOP(max_##name, type, wide, widen, narrow, a != a || b != b ? (wide)NAN : b > a ? b : a)          \
    static void divide_##name(void *data, size_t count, int divisor)                                         \
    {                                                                                                        \
        type *d = data;                                                                                      \
        const wide by = (wide)divisor;                                                                       \
        for (size_t i = 0; i < count; i++) {                                                                 \
            const wide a = widen(d[i]);                                                                      \
            d[i] = narrow(ONE_NAN(a / by, wide));                                                            \
        }                                                                                                    \
    }

FLOAT_LOOPS(float32, float, float, SAME, SAME)
FLOAT_LOOPS(float64, double, double, SAME, SAME)
FLOAT_LOOPS(float16, uint16_t, float, dist_half_to_float, dist_half_from_float)
FLOAT_LOOPS(bfloat16, uint16_t, float, dist_bfloat_to_float, dist_bfloat_from_float)

/* Added as unsigned numbers, where wrapping is defined. */
#define INTEGER_LOOPS(name, type, unsigned_type)                                                             \
    static void sum_##name(void *dst, const void *src, size_t count)                                         \
    {                                                                                                        \
        unsigned_type *d = dst;                                                                              \
        const unsigned_type *s = src;                                                                        \
        for (size_t i = 0; i < count; i++)                                                                   \
            d[i] += s[i];                                                                                    \
    }                                                                                                        \
    static void min_##name(void *dst, const void *src, size_t count)                                         \
    {                                                                                                        \
        type *d = dst;                                                                                       \
        const type *s = src;                                                                                 \
        for (size_t i = 0; i < count; i++)                                                                   \
            d[i] = s[i] < d[i] ? s[i] : d[i];                                                                \
    }                                                                                                        \
    static void max_##name(void *dst, const void *src, size_t count)                                         \
    {                                                                                                        \
        type *d = dst;                                                                                       \
        const type *s = src;                                                                                 \
        for (size_t i = 0; i < count; i++)                                                                   \
            d[i] = s[i] > d[i] ? s[i] : d[i];                                                                \
    }                                                                                                        \
    static void divide_##name(void *data, size_t count, int divisor)                                         \
    {                                                                                                        \
        type *d = data;                                                                                      \
        for (size_t i = 0; i < count; i++)                                                                   \
            d[i] /= divisor;                                                                                 \
    }

INTEGER_LOOPS(int32, int32_t, uint32_t)
INTEGER_LOOPS(int64, int64_t, uint64_t)

const dist_host_loops dist_host_scalar = DIST_HOST_LOOPS;
