/* The loops on vectors, for a file that has defined
 *
 *     WIDTH           bytes of a vector
 *     TARGET          the function attribute that turns its instructions on
 *     FLOATS, WORDS   the intrinsics' types of WIDTH / 4 float32 and int32
 *     SHORTS          and of as many 16-bit numbers
 *     widen_half      SHORTS of float16 to FLOATS
 *     narrow_half     and back, to nearest even
 *     widen_short     SHORTS to WORDS, unsigned
 *     narrow_short    and back, where all are below 2^16
 *
 * What is left over beyond whole vectors goes to the scalar loops, which have the same arithmetic.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "device/host_loops.h"

#define VECTOR(type, bytes) type __attribute__((vector_size(bytes)))

typedef VECTOR(float, WIDTH) float32s;
typedef VECTOR(double, WIDTH) float64s;
typedef VECTOR(int32_t, WIDTH) int32s;
typedef VECTOR(int64_t, WIDTH) int64s;
typedef VECTOR(uint32_t, WIDTH) uint32s;
typedef VECTOR(uint64_t, WIDTH) uint64s;
typedef VECTOR(int32_t, WIDTH / 2) int32_halves; /* as many as there are in int64s */
typedef VECTOR(uint16_t, WIDTH / 2) uint16s;     /* as many as there are in uint32s */

/* where ? a : b, for a comparison's result `where`; both languages' ?: lacks vectors in one of the compilers.
 */
#define SELECT(vector, bits, where, a, b)                                                                    \
    ((vector)(((bits)(where) & (bits)(a)) | (~(bits)(where) & (bits)(b))))

/* A NaN alone, without the rest of the vector. */
#define NANS(vector)                         ((vector){0} + (__typeof__(((vector){0})[0]))NAN)
#define ONE_NAN(vector, bits, where, result) SELECT(vector, bits, where, NANS(vector), result)

#define SAME(x)        (x)
#define WIDEN_HALF(x)  ((float32s)widen_half((SHORTS)(x)))
#define NARROW_HALF(x) ((uint16s)narrow_half((FLOATS)(x)))
#define WIDEN_BRAIN(x) ((float32s)((uint32s)widen_short((SHORTS)(x)) << 16))
/* To nearest even; NaNs are the one whose low half is 0 here, which no rounding carries out of. */
#define ROUND_BRAIN(bits) (((bits) + 0x7fffu + ((bits) >> 16 & 1u)) >> 16)
#define NARROW_BRAIN(x)   ((uint16s)narrow_short((WORDS)ROUND_BRAIN((uint32s)(x))))

#define REDUCE_LOOP(function, slot, element, vector, wide, widen, narrow, expression)                        \
    TARGET static void function(void *dst, const void *src, size_t count)                                    \
    {                                                                                                        \
        element *d = dst;                                                                                    \
        const element *s = src;                                                                              \
        const size_t lanes = sizeof(vector) / sizeof(element), whole = count - count % lanes;                \
        for (size_t i = 0; i < whole; i += lanes) {                                                          \
            vector to, from;                                                                                 \
            memcpy(&to, d + i, sizeof to);                                                                   \
            memcpy(&from, s + i, sizeof from);                                                               \
            const wide a = widen(to), b = widen(from), result = expression;                                  \
            to = narrow(result);                                                                             \
            memcpy(d + i, &to, sizeof to);                                                                   \
        }                                                                                                    \
        if (whole < count)                                                                                   \
            dist_host_scalar.reduce slot(d + whole, s + whole, count - whole);                               \
    }

#define DIVIDE_PASS(element, vector, wide, widen, narrow, quotient_of_a, expression)                         \
    for (size_t i = 0; i < whole; i += lanes) {                                                              \
        vector to;                                                                                           \
        memcpy(&to, d + i, sizeof to);                                                                       \
        const wide a = widen(to), quotient = quotient_of_a, result = expression;                             \
        to = narrow(result);                                                                                 \
        memcpy(d + i, &to, sizeof to);                                                                       \
    }

/* To multiply by the inverse of a power of two is to divide, and takes a quarter of the time. */
#define DIVIDE_LOOP(function, type, element, vector, wide, widen, narrow, number, expression)                \
    TARGET static void function(void *data, size_t count, int divisor)                                       \
    {                                                                                                        \
        element *d = data;                                                                                   \
        const wide by = (wide){0} + (number)divisor, inverse = (wide){0} + 1 / (number)divisor;              \
        const size_t lanes = sizeof(vector) / sizeof(element), whole = count - count % lanes;                \
        if ((divisor & (divisor - 1)) == 0) {                                                                \
            DIVIDE_PASS(element, vector, wide, widen, narrow, a *inverse, expression)                        \
        } else {                                                                                             \
            DIVIDE_PASS(element, vector, wide, widen, narrow, a / by, expression)                            \
        }                                                                                                    \
        if (whole < count)                                                                                   \
            dist_host_scalar.divide[type](d + whole, count - whole, divisor);                                \
    }

#define FLOAT_LOOPS(name, type, element, number, vector, wide, bits, widen, narrow)                          \
    REDUCE_LOOP(sum_##name, [type][DIST_SUM], element, vector, wide, widen, narrow,                          \
                ONE_NAN(wide, bits, a + b != a + b, a + b))                                                  \
    REDUCE_LOOP(min_##name, [type][DIST_MIN], element, vector, wide, widen, narrow,                          \
                ONE_NAN(wide, bits, (a != a) | (b != b), SELECT(wide, bits, b < a, b, a)))                   \
    REDUCE_LOOP(max_##name, [type][DIST_MAX], element, vector, wide, widen, narrow,                          \
                ONE_NAN(wide, bits, (a != a) | (b != b), SELECT(wide, bits, b > a, b, a)))                   \
    DIVIDE_LOOP(divide_##name, type, element, vector, wide, widen, narrow, number,                           \
                ONE_NAN(wide, bits, quotient != quotient, quotient))

FLOAT_LOOPS(float32, DIST_FLOAT32, float, float, float32s, float32s, uint32s, SAME, SAME)
FLOAT_LOOPS(float64, DIST_FLOAT64, double, double, float64s, float64s, uint64s, SAME, SAME)
FLOAT_LOOPS(float16, DIST_FLOAT16, uint16_t, float, uint16s, float32s, uint32s, WIDEN_HALF, NARROW_HALF)
FLOAT_LOOPS(bfloat16, DIST_BFLOAT16, uint16_t, float, uint16s, float32s, uint32s, WIDEN_BRAIN, NARROW_BRAIN)

#define INTEGER_LOOPS(name, type, element, vector, bits)                                                     \
    REDUCE_LOOP(sum_##name, [type][DIST_SUM], element, bits, bits, SAME, SAME, a + b)                        \
    REDUCE_LOOP(min_##name, [type][DIST_MIN], element, vector, vector, SAME, SAME,                           \
                SELECT(vector, bits, b < a, b, a))                                                           \
    REDUCE_LOOP(max_##name, [type][DIST_MAX], element, vector, vector, SAME, SAME,                           \
                SELECT(vector, bits, b > a, b, a))

INTEGER_LOOPS(int32, DIST_INT32, int32_t, int32s, uint32s)
INTEGER_LOOPS(int64, DIST_INT64, int64_t, int64s, uint64s)

/* In float64: a quotient of int32 that is no integer is at least 2^-31 away from one, more than it is
 * rounded. */
#define WIDEN_INTEGER(x)  __builtin_convertvector(x, float64s)
#define NARROW_INTEGER(x) __builtin_convertvector(x, int32_halves)
DIVIDE_LOOP(divide_int32, DIST_INT32, int32_t, int32_halves, float64s, WIDEN_INTEGER, NARROW_INTEGER, double,
            quotient)
