/* What a kernel source needs besides CUDA itself, so that it also compiles as C++ and runs on a CPU.
 *
 * Compiled by nvcc this is CUDA. With DIST_SIMT defined, "simt.h" of the include path stands in for it. A host
 * compiler cannot parse <<<>>>, and shared memory has to be found to be filled before each block, so launches
 * and shared memory go through macros:
 *
 *     template <typename type> __global__ void kernel(const type *x)
 *     {
 *         DIST_SHARED(float, peaks, [32]);      // float peaks[32], shared by the block
 *         DIST_SHARED(unsigned, count, );       // one variable
 *         DIST_SHARED_DYNAMIC(uint8_t, staged); // uint8_t *staged, as many bytes as the launch says
 *         ...
 *     }
 *     DIST_LAUNCH(kernel<float>, grid, block, shared_bytes, stream, x); // (kernel<a, b>) where a comma is in it
 *     return cudaGetLastError();
 */
#ifndef DIST_KERNELS_LAUNCH_H
#define DIST_KERNELS_LAUNCH_H

/* What the plugin exports; all else is hidden. */
#define DIST_KERNEL_API extern "C" __attribute__((visibility("default")))

#ifdef DIST_SIMT
#include "simt.h"
#else

#include <cuda_runtime.h>

/* clang-format off: it takes <<< for an operator */
#define DIST_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                          \
    kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
/* clang-format on */

#define DIST_SHARED(type, name, ...) __shared__ type name __VA_ARGS__

/* One name and one type for all kernels: declarations of one symbol with two types would clash. */
#define DIST_SHARED_DYNAMIC(type, name)                                                                      \
    extern __shared__ __align__(16) unsigned char dist_dynamic_shared[];                                     \
    type *const name = reinterpret_cast<type *>(dist_dynamic_shared)

#endif
#endif
