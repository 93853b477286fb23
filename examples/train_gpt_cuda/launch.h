/* What the kernels need besides CUDA itself, so that they also compile as C++ and run on a CPU: with DIST_SIMT
 * defined, "simt.h" of the include path stands in for CUDA. A host compiler cannot parse <<<>>>, and what shares
 * memory must be known, so both go through macros:
 *
 *     DIST_SHARED(float, parts, [32]); // float parts[32], shared by the block
 *     DIST_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...);
 */
#ifndef TRAIN_GPT_LAUNCH_H
#define TRAIN_GPT_LAUNCH_H

#ifdef DIST_SIMT
#include "simt.h"
#else

#include <cuda_runtime.h>

/* clang-format off: it takes <<< for an operator */
#define DIST_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                          \
    kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
/* clang-format on */

#define DIST_SHARED(type, name, ...) __shared__ type name __VA_ARGS__

#endif
#endif
