/* The loops that define the bits. */
#include "device/host_loops.h"

#include <stdint.h>

#include "kernels/reduction.h"

#define REDUCE_LOOP(operation, name, type)                                                                   \
    static void operation##_##name(void *dst, const void *src, size_t count)                                 \
    {                                                                                                        \
        type *d = dst;                                                                                       \
        const type *s = src;                                                                                 \
        for (size_t i = 0; i < count; i++)                                                                   \
            d[i] = dist_##operation##_##name(d[i], s[i]);                                                    \
    }

#define LOOPS(name, type)                                                                                    \
    REDUCE_LOOP(sum, name, type)                                                                             \
    REDUCE_LOOP(min, name, type)                                                                             \
    REDUCE_LOOP(max, name, type)                                                                             \
    static void divide_##name(void *data, size_t count, int divisor)                                         \
    {                                                                                                        \
        type *d = data;                                                                                      \
        for (size_t i = 0; i < count; i++)                                                                   \
            d[i] = dist_divide_##name(d[i], divisor);                                                        \
    }

LOOPS(float32, float)
LOOPS(float64, double)
LOOPS(float16, uint16_t)
LOOPS(bfloat16, uint16_t)
LOOPS(int32, int32_t)
LOOPS(int64, int64_t)

const dist_host_loops dist_host_scalar = DIST_HOST_LOOPS;
