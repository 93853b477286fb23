/* Sums, minima and maxima, in the order of ranks. */
#include <math.h>

#include "fake_nccl_internal.h"
#include "kernels/half.h"

enum { SUM = 0, MAX = 2, MIN = 3 };
enum { INT32 = 2, INT64 = 4, FLOAT16 = 6, FLOAT32 = 7, FLOAT64 = 8, BFLOAT16 = 9 };

size_t fake_type_bytes(int type)
{
    static const size_t bytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
    return type >= 0 && type < (int)(sizeof bytes / sizeof *bytes) ? bytes[type] : 0;
}

bool fake_reduces(int type, int reduction)
{
    const bool number = type == INT32 || type == INT64 || (type >= FLOAT16 && type <= BFLOAT16);
    return number && (reduction == SUM || reduction == MAX || reduction == MIN);
}

/* Whole numbers wrap; minimum and maximum of floats pass over a NaN. */
#define REDUCTION(name, type, sum, less, more)                                                               \
    static inline type name(int reduction, type a, type b)                                                   \
    {                                                                                                        \
        return reduction == SUM ? (sum) : reduction == MIN ? (less) : (more);                                \
    }

REDUCTION(of_int32, int32_t, (int32_t)((uint32_t)a + (uint32_t)b), b<a ? b : a, b> a ? b : a)
REDUCTION(of_int64, int64_t, (int64_t)((uint64_t)a + (uint64_t)b), b<a ? b : a, b> a ? b : a)
REDUCTION(of_float, float, a + b, fminf(a, b), fmaxf(a, b))
REDUCTION(of_double, double, a + b, fmin(a, b), fmax(a, b))

#define SAME(value) (value)

/* stored: in memory; type: in which it is reduced */
#define LOOP(stored, type, load, reduce, store)                                                              \
    for (size_t i = 0; i < count; i++) {                                                                     \
        type value = load(((const stored *)(const void *)from[0])[i]);                                       \
        for (int r = 1; r < ranks; r++)                                                                      \
            value = reduce(reduction, value, load(((const stored *)(const void *)from[r])[i]));              \
        ((stored *)(void *)to)[i] = store(value);                                                            \
    }

void fake_reduce(int type, int reduction, int ranks, const char *const from[], char *to, size_t count)
{
    switch (type) {
    case INT32:
        LOOP(int32_t, int32_t, SAME, of_int32, SAME)
        break;
    case INT64:
        LOOP(int64_t, int64_t, SAME, of_int64, SAME)
        break;
    case FLOAT16:
        LOOP(uint16_t, float, dist_half_to_float, of_float, dist_half_from_float)
        break;
    case BFLOAT16:
        LOOP(uint16_t, float, dist_bfloat_to_float, of_float, dist_bfloat_from_float)
        break;
    case FLOAT32:
        LOOP(float, float, SAME, of_float, SAME)
        break;
    default:
        LOOP(double, double, SAME, of_double, SAME)
    }
}
