/* Sums, minima, maxima and divisions on a device: what device_cuda.cu launches. */
#ifndef DIST_KERNELS_REDUCE_H
#define DIST_KERNELS_REDUCE_H

#include "kernels/device_cuda.h"
#include "kernels/launch.h"

/* Beside those of codec_cuda.h, numbered as dist_type is. */
enum { DIST_CUDA_FLOAT64 = 3, DIST_CUDA_INT32, DIST_CUDA_INT64, DIST_CUDA_TYPES };

/* dst = dst op src and data = data / divisor: queue one kernel, none for no elements. cudaErrorInvalidValue for a type,
 * reduction or divisor that there is not, and for elements that are not aligned to their size. */
int dist_launch_reduce(uint32_t type, uint32_t reduction, void *dst, const void *src, uint64_t count,
                       cudaStream_t stream);
int dist_launch_divide(uint32_t type, void *data, uint64_t count, int divisor, cudaStream_t stream);

/* The kernels, one for each number from 0 on; NULL beyond the last. */
const void *dist_reduce_kernel(unsigned number);

#endif
