/* The loops behind host.c, one table for each instruction set. All tables give the same bits. */
#ifndef DIST_DEVICE_HOST_LOOPS_H
#define DIST_DEVICE_HOST_LOOPS_H

#include <stddef.h>

#include <libdist/collective.h>

typedef void dist_host_reduce(void *dst, const void *src, size_t count);
typedef void dist_host_divide(void *data, size_t count, int divisor);

typedef struct dist_host_loops {
    dist_host_reduce *reduce[DIST_TYPES][DIST_REDUCTIONS];
    dist_host_divide *divide[DIST_TYPES];
} dist_host_loops;

extern const dist_host_loops dist_host_scalar;

/* NULL where this CPU lacks the instructions. */
const dist_host_loops *dist_host_avx2(void);
const dist_host_loops *dist_host_avx512(void);

/* One row of a table, from functions named sum_NAME, min_NAME, max_NAME and divide_NAME. */
#define DIST_HOST_REDUCE(name)                                                                               \
    {                                                                                                        \
        [DIST_SUM] = sum_##name, [DIST_AVERAGE] = sum_##name, [DIST_MIN] = min_##name,                       \
        [DIST_MAX] = max_##name                                                                              \
    }
#define DIST_HOST_LOOPS                                                                                      \
    {                                                                                                        \
        .reduce = {[DIST_FLOAT32] = DIST_HOST_REDUCE(float32),   [DIST_FLOAT16] = DIST_HOST_REDUCE(float16), \
                   [DIST_BFLOAT16] = DIST_HOST_REDUCE(bfloat16), [DIST_FLOAT64] = DIST_HOST_REDUCE(float64), \
                   [DIST_INT32] = DIST_HOST_REDUCE(int32),       [DIST_INT64] = DIST_HOST_REDUCE(int64)},    \
        .divide = {[DIST_FLOAT32] = divide_float32,   [DIST_FLOAT16] = divide_float16,                       \
                   [DIST_BFLOAT16] = divide_bfloat16, [DIST_FLOAT64] = divide_float64,                       \
                   [DIST_INT32] = divide_int32,       [DIST_INT64] = divide_int64},                          \
    }

#endif
