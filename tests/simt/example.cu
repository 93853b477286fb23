/* The kernel that the shim is tested with: int8 quantization by the largest magnitude of 256 elements.
 *
 * Each block takes the segments that its number leaves over. EXAMPLE_WITHOUT 1 or 2 leaves that barrier out. */
#include "kernels/launch.h"
#include "kernels/quantize.h"

#ifndef EXAMPLE_WITHOUT
#define EXAMPLE_WITHOUT 0
#endif

static __device__ uint32_t warp_peak(uint32_t peak)
{
    for (int step = 16; step > 0; step /= 2) {
        const uint32_t other = __shfl_xor_sync(0xffffffffu, peak, step);
        peak = other > peak ? other : peak;
    }
    return peak;
}

static __global__ void quantize(const float *x, int8_t *q, float *scales, unsigned segments)
{
    DIST_SHARED(uint32_t, peaks, [8]);
    for (unsigned segment = blockIdx.x; segment < segments; segment += gridDim.x) {
        const unsigned at = segment * 256 + threadIdx.x;
        uint32_t peak = warp_peak(dist_magnitude(x[at]));
        if (threadIdx.x % 32 == 0)
            peaks[threadIdx.x / 32] = peak;
#if EXAMPLE_WITHOUT != 1
        __syncthreads(); /* every warp's peak is written */
#endif
        peak = warp_peak(peaks[threadIdx.x % 8]);
#if EXAMPLE_WITHOUT != 2
        __syncthreads(); /* and read, before the next segment's replace them */
#endif
        const float scale = dist_scale8(peak);
        q[at] = static_cast<int8_t>(dist_quantize(x[at], dist_divisor(scale), DIST_QMAX8));
        if (threadIdx.x == 0)
            scales[segment] = scale;
    }
}

static cudaError_t launch_quantize(const float *x, int8_t *q, float *scales, unsigned segments,
                                   cudaStream_t stream)
{
    DIST_LAUNCH(quantize, (segments + 2) / 3, 256, 0, stream, x, q, scales, segments);
    return cudaGetLastError();
}
