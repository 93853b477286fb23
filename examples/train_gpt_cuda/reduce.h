/* Sums over a block in an order that depends on its size alone: no atomics, so the same bits in every run. */
#ifndef TRAIN_GPT_REDUCE_H
#define TRAIN_GPT_REDUCE_H

#include <math.h>
#include <stddef.h>

#include "launch.h"

constexpr unsigned LANES = 32;
constexpr unsigned MOST_THREADS = 256; /* of a block that shares a row */
constexpr unsigned COLUMN_ROWS = 16;   /* of a block of LANES columns */

/* Threads that share n elements of a row: whole warps. */
static inline unsigned row_threads(size_t n)
{
    return n >= MOST_THREADS ? MOST_THREADS : static_cast<unsigned>((n + LANES - 1) / LANES * LANES);
}

/* Blocks of LANES columns each. */
static inline unsigned column_blocks(size_t columns)
{
    return static_cast<unsigned>((columns + LANES - 1) / LANES);
}

/* Blocks of MOST_THREADS that take an element a thread. */
static inline unsigned element_blocks(size_t count)
{
    return static_cast<unsigned>((count + MOST_THREADS - 1) / MOST_THREADS);
}

/* The sum of all threads' x, in all threads. */
template <typename type> static __device__ type block_sum(type x)
{
    DIST_SHARED(type, parts, [MOST_THREADS / LANES]);
    for (int step = LANES / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    if (threadIdx.x % LANES == 0)
        parts[threadIdx.x / LANES] = x;
    __syncthreads(); /* every warp's part is written */
    type sum = 0;
    for (unsigned warp = 0; warp < blockDim.x / LANES; warp++)
        sum += parts[warp];
    __syncthreads(); /* and read, before the next sum replaces it */
    return sum;
}

/* The largest of all threads' x, in all threads. Once in a kernel: nothing keeps a warp that is through with it from
 * overwriting what the others read. */
static __device__ inline float block_max(float x)
{
    DIST_SHARED(float, parts, [MOST_THREADS / LANES]);
    for (int step = LANES / 2; step > 0; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    if (threadIdx.x % LANES == 0)
        parts[threadIdx.x / LANES] = x;
    __syncthreads(); /* every warp's part is written */
    float largest = parts[0];
    for (unsigned warp = 1; warp < blockDim.x / LANES; warp++)
        largest = fmaxf(largest, parts[warp]);
    return largest;
}

/* In a block of (LANES, COLUMN_ROWS): the sum of a column's x, in all its threads. */
static __device__ inline float column_sum(float x)
{
    DIST_SHARED(float, parts, [COLUMN_ROWS][LANES]);
    parts[threadIdx.y][threadIdx.x] = x;
    __syncthreads(); /* every row's part is written */
    float sum = 0;
    for (unsigned row = 0; row < COLUMN_ROWS; row++)
        sum += parts[row][threadIdx.x];
    __syncthreads(); /* and read, before the next sum replaces it */
    return sum;
}

#endif
