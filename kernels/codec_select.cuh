/* Steps of a selection in one thread block: sums over the threads before one, and the digit of the threshold that a
 * histogram gives. What they compute does not depend on the order of threads. */
#ifndef DIST_KERNELS_CODEC_SELECT_CUH
#define DIST_KERNELS_CODEC_SELECT_CUH

#include "kernels/codec_rows.cuh"

/* A magnitude has 31 bits; pass p looks at those from shift on. */
enum { DIST_SELECT_PASSES = 3, DIST_SELECT_BINS = 2048 };

typedef struct dist_digit {
    uint32_t shift, bins;
    uint32_t known; /* the bits that the passes before have found */
} dist_digit;

static inline DIST_HD dist_digit dist_digit_of(int pass)
{
    dist_digit digit;
    digit.shift = pass == 0 ? 20u : pass == 1 ? 10u : 0u;
    digit.bins = pass == 0 ? 2048u : 1024u;
    digit.known = pass == 0 ? 0u : pass == 1 ? 0xfff00000u : 0xfffffc00u;
    return digit;
}

/* Counts one element. Bin 0 is never looked at, and elements that are 0 would all meet in it. */
static __device__ void dist_count_digit(uint32_t *bins, dist_digit digit, uint32_t prefix, uint32_t magnitude)
{
    const uint32_t bin = magnitude >> digit.shift & (digit.bins - 1);
    if ((magnitude & digit.known) == prefix && bin)
        atomicAdd(&bins[bin], 1u);
}

template <typename type> static __device__ type dist_sum_up_to(type mine)
{
    const unsigned lane = threadIdx.x % 32;
    for (unsigned step = 1; step < 32; step *= 2) {
        const type other = __shfl_up_sync(DIST_ALL_LANES, mine, step);
        mine += lane >= step ? other : 0;
    }
    return mine;
}

/* The sum of `mine` over the threads before this one; *all gets that over all. All threads of the block call it;
 * `scratch` has 32 places, and may be used again at once. */
template <typename type> static __device__ type dist_sum_before(type mine, type *scratch, type *all)
{
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const type up_to = dist_sum_up_to(mine);
    if (lane == 31)
        scratch[warp] = up_to;
    __syncthreads();
    const type of_warps = dist_sum_up_to(lane < warps ? scratch[lane] : type(0));
    *all = __shfl_sync(DIST_ALL_LANES, of_warps, 31);
    const type of_before = __shfl_sync(DIST_ALL_LANES, of_warps, warp ? static_cast<int>(warp) - 1 : 0);
    __syncthreads();
    return (warp ? of_before : 0) + up_to - mine;
}

typedef struct dist_narrowed {
    uint32_t bin, wanted;
} dist_narrowed;

/* The largest bin from which on there are at least `wanted` elements (0 where there is none), and which of its
 * elements is the one looked for. 256 threads; `bins` are complete; *found is shared, and visible when it returns. */
static __device__ dist_narrowed dist_narrow(const uint32_t *bins, uint32_t count, uint32_t wanted,
                                            uint32_t *scratch, dist_narrowed *found)
{
    const uint32_t each = count / DIST_ROW,
                   end = count - threadIdx.x * each; /* threads go down from the top */
    uint32_t mine = 0, all;
    for (uint32_t b = end - each; b < end; b++)
        mine += b ? bins[b] : 0u;
    const uint32_t above = dist_sum_before(mine, scratch, &all);
    const bool last = threadIdx.x == DIST_ROW - 1;
    if (above < wanted && (wanted <= above + mine || last)) {
        dist_narrowed here;
        here.bin = end - 1;
        here.wanted = wanted - above;
        for (; here.bin > 0 && bins[here.bin] < here.wanted; here.bin--)
            here.wanted -= bins[here.bin];
        *found = here;
    }
    __syncthreads();
    return *found;
}

#endif
