/* int8, int4, mxfp8, mxfp4 and nvfp4: one pass over values and feedback, a warp for each 256 elements.
 *
 * Blocks up to 256 elements lie in a warp. The peaks of larger ones meet in shared memory, in thread blocks that hold
 * the largest, 4096. nvfp4 needs the frame's peak first and reads its values twice.
 */
#include "kernels/block.h"
#include "kernels/codec_kernels.cuh"
#include "kernels/codec_sum.cuh"
#include "kernels/codec_tile.cuh"

#define DIST_NARROW_THREADS 256
#define DIST_WIDE_THREADS   512
#define DIST_PEAK_BLOCKS    1024

typedef struct dist_blocks_encode {
    dist_tiles tiles;
    dist_random_key key;
    uint64_t first; /* of the frame in its vector */
    uint8_t *global, *scales, *codes;
    dist_cuda_work *work;
    uint32_t block, shift; /* block = 2^shift */
} dist_blocks_encode;

static uint32_t dist_shift_of(uint32_t block)
{
    uint32_t shift = 0;
    while (1u << shift < block)
        shift++;
    return shift;
}

template <dist_codec_kind kind> static __device__ __forceinline__ uint32_t dist_block_shift(uint32_t shift)
{
    return kind == DIST_CODEC_NVFP4 ? 4 : kind == DIST_CODEC_MXFP8 || kind == DIST_CODEC_MXFP4 ? 5 : shift;
}

static __device__ __forceinline__ uint32_t dist_quad_peak(const float h[4])
{
    uint32_t peak = dist_magnitude(h[0]);
    DIST_UNROLL
    for (unsigned j = 1; j < 4; j++)
        peak = dist_magnitude(h[j]) > peak ? dist_magnitude(h[j]) : peak;
    return peak;
}

/* The peak of a block of several warps, each of which has its own in `peak`. */
static __device__ uint32_t dist_wide_peak(uint32_t peak, uint32_t shift)
{
    DIST_SHARED(uint32_t, peaks, [DIST_WIDE_THREADS / 32]);
    const unsigned warp = threadIdx.x / 32, share = 1u << (shift - 8);
    if (threadIdx.x % 32 == 0)
        peaks[warp] = peak;
    DIST_BARRIER(1); /* every warp's peak is written */
    for (unsigned w = warp & ~(share - 1); w <= (warp | (share - 1)); w++)
        peak = peaks[w] > peak ? peaks[w] : peak;
    DIST_BARRIER(2); /* and read, before the next tile's replace them */
    return peak;
}

/* The peaks of the blocks that a lane's two quads are in. */
static __device__ __forceinline__ void dist_tile_peaks(const float h[8], uint32_t shift, uint32_t peak[2])
{
    peak[0] = dist_quad_peak(h);
    peak[1] = dist_quad_peak(h + 4);
    if (shift < 8) {
        peak[0] = dist_warp_max(peak[0], 1u << (shift - 2));
        peak[1] = dist_warp_max(peak[1], 1u << (shift - 2));
        return;
    }
    peak[0] = dist_warp_max(peak[0] > peak[1] ? peak[0] : peak[1], 32);
    if (shift > 8)
        peak[0] = dist_wide_peak(peak[0], shift);
    peak[1] = peak[0];
}

template <dist_codec_kind kind>
static __device__ __forceinline__ void dist_store_scale(uint8_t *scales, uint64_t block, uint32_t stored)
{
    if (kind == DIST_CODEC_INT8)
        reinterpret_cast<uint32_t *>(scales)[block] = stored;
    else if (kind == DIST_CODEC_INT4)
        reinterpret_cast<uint16_t *>(scales)[block] = static_cast<uint16_t>(stored);
    else
        scales[block] = static_cast<uint8_t>(stored);
}

/* A quad's codes, a byte (or a nibble) each; `n` of its elements are there. */
template <dist_codec_kind kind>
static __device__ __forceinline__ void dist_store_codes(uint8_t *codes, uint64_t first, unsigned n,
                                                        uint32_t word)
{
    if (dist_block_nibbles(kind)) {
        codes += first / 2;
        if (n == 4)
            *reinterpret_cast<uint16_t *>(codes) = static_cast<uint16_t>(word);
        else if (n > 0)
            codes[0] = static_cast<uint8_t>(word);
        if (n == 3)
            codes[1] = static_cast<uint8_t>(word >> 8);
        return;
    }
    codes += first;
    if (n == 4) {
        *reinterpret_cast<uint32_t *>(codes) = word;
        return;
    }
    DIST_UNROLL
    for (unsigned j = 0; j < 3; j++) {
        if (j < n)
            codes[j] = static_cast<uint8_t>(word >> 8 * j);
    }
}

/* Codes of one quad; h becomes what is left of it. */
template <dist_codec_kind kind, bool stochastic>
static __device__ __forceinline__ uint32_t dist_quantize_quad(const dist_blocks_encode &encode,
                                                              uint64_t first, float scale, float h[4])
{
    const float by = dist_block_by(kind, scale);
    uint32_t word = 0, random[4];
    if (stochastic)
        dist_random_quad(encode.key, encode.first + first, random);
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++) {
        const unsigned code = stochastic ? dist_block_code_stochastic(kind, h[j], by, random[j])
                                         : dist_block_code(kind, h[j], by);
        h[j] = dist_sub(h[j], dist_mul(dist_block_value(kind, code), scale));
        word |= code << (dist_block_nibbles(kind) ? 4 : 8) * j;
    }
    return word;
}

/* Whether a lane writes the scale of the block that its quad at `first` is in. */
static __device__ __forceinline__ bool dist_is_first(uint64_t first, uint64_t count, uint32_t shift)
{
    return first < count && (first & ((1ull << shift) - 1)) == 0;
}

template <dist_codec_kind kind, int keep, bool stochastic>
static __global__ void __launch_bounds__(DIST_WIDE_THREADS)
    dist_encode_blocks(const dist_blocks_encode encode)
{
    const unsigned lane = threadIdx.x % 32;
    const uint32_t shift = dist_block_shift<kind>(encode.shift);
    const uint64_t count = encode.tiles.count, span = static_cast<uint64_t>(blockDim.x) * 8;
    float global = 0.0f;
    unsigned nonfinite = 0;
    if (kind == DIST_CODEC_NVFP4) {
        global = dist_nvfp4_global(encode.work->peak);
        if (blockIdx.x == 0 && threadIdx.x == 0)
            *reinterpret_cast<float *>(encode.global) = global;
    }
    for (uint64_t base = blockIdx.x * span; base < count; base += gridDim.x * span) {
        const uint64_t begin = base + threadIdx.x / 32 * DIST_TILE;
        const unsigned n = dist_tile_length(encode.tiles, begin);
        dist_tile tile;
        uint32_t peak[2];
        unsigned mask = 0;
        dist_tile_load<keep>(encode.tiles, begin, n, lane, tile);
        dist_tile_peaks(tile.h, shift, peak);
        DIST_UNROLL
        for (unsigned half = 0; half < 2; half++) {
            const unsigned at = dist_tile_at(lane, 4 * half);
            uint32_t stored;
            const float scale = dist_block_scale(kind, peak[half], global, &stored);
            const bool finite = peak[half] < DIST_INFINITY_BITS;
            const uint32_t word =
                dist_quantize_quad<kind, stochastic>(encode, begin + at, scale, tile.h + 4 * half);
            mask |= (finite ? 15u : 0u) << 4 * half;
            dist_store_codes<kind>(encode.codes, begin + at,
                                   at >= n      ? 0
                                   : n - at < 4 ? n - at
                                                : 4,
                                   finite ? word : 0u);
            if (dist_is_first(begin + at, count, shift)) {
                dist_store_scale<kind>(encode.scales, (begin + at) >> shift, stored);
                nonfinite += !finite;
            }
        }
        dist_tile_keep<keep>(encode.tiles, begin, n, lane, tile, tile.h, mask);
    }
    if (nonfinite)
        atomicAdd(&encode.work->nonfinite, nonfinite);
}

/* nvfp4: the largest finite magnitude of the frame. */
template <int keep>
static __global__ void __launch_bounds__(DIST_NARROW_THREADS)
    dist_peak_of_blocks(const dist_tiles tiles, dist_cuda_work *work)
{
    const unsigned lane = threadIdx.x % 32;
    const uint64_t span = static_cast<uint64_t>(blockDim.x) * 8;
    uint32_t peak = 0;
    for (uint64_t base = blockIdx.x * span; base < tiles.count; base += gridDim.x * span) {
        const uint64_t begin = base + threadIdx.x / 32 * DIST_TILE;
        dist_tile tile;
        dist_tile_load<keep>(tiles, begin, dist_tile_length(tiles, begin), lane, tile);
        DIST_UNROLL
        for (unsigned j = 0; j < 8; j++) {
            const uint32_t magnitude = dist_magnitude(tile.h[j]);
            peak = magnitude > peak && magnitude < DIST_INFINITY_BITS ? magnitude : peak;
        }
    }
    peak = dist_warp_max(peak, 32);
    if (lane == 0 && peak)
        atomicMax(&work->peak, peak);
}

template <dist_codec_kind kind, int keep, bool stochastic>
static void dist_launch_tiles(const dist_blocks_encode &made, cudaStream_t stream)
{
    const unsigned threads = made.block > DIST_TILE ? DIST_WIDE_THREADS : DIST_NARROW_THREADS;
    const uint64_t wanted = dist_blocks_of(made.tiles.count, threads * 8);
    const unsigned blocks = dist_cuda_blocks(wanted);
    if (kind == DIST_CODEC_NVFP4) {
        const unsigned few = blocks < DIST_PEAK_BLOCKS ? blocks : DIST_PEAK_BLOCKS;
        DIST_LAUNCH(dist_peak_of_blocks<keep>, few, threads, 0, stream, made.tiles, made.work);
    }
    DIST_LAUNCH((dist_encode_blocks<kind, keep, stochastic>), blocks, threads, 0, stream, made);
}

template <dist_codec_kind kind, bool stochastic>
static void dist_launch_kept(const dist_blocks_encode &made, uint32_t keep, cudaStream_t stream)
{
    switch (keep) {
    case DIST_CUDA_KEEP_FP32:
        dist_launch_tiles<kind, DIST_CUDA_KEEP_FP32, stochastic>(made, stream);
        break;
    case DIST_CUDA_KEEP_BF16:
        dist_launch_tiles<kind, DIST_CUDA_KEEP_BF16, stochastic>(made, stream);
        break;
    case DIST_CUDA_KEEP_INT8:
        dist_launch_tiles<kind, DIST_CUDA_KEEP_INT8, stochastic>(made, stream);
        break;
    default:
        dist_launch_tiles<kind, DIST_CUDA_KEEP_NONE, stochastic>(made, stream);
    }
}

int dist_launch_encode_blocks(const dist_cuda_encode *encode, cudaStream_t stream)
{
    const dist_codec_kind kind = static_cast<dist_codec_kind>(encode->coding.kind);
    const dist_layout layout = dist_layout_of(encode->coding, encode->count);
    const int scales = dist_block_scale_section(kind);
    uint8_t *const frame = static_cast<uint8_t *>(encode->frame);
    dist_blocks_encode made;
    made.tiles = dist_tiles_of(encode);
    made.key = dist_random_key_of(encode->seed, encode->step, encode->stream_number);
    made.first = encode->first;
    made.global = frame + layout.at[0];
    made.scales = frame + layout.at[scales];
    made.codes = frame + layout.at[scales + 1];
    made.work = dist_cuda_work_of(encode);
    made.block = encode->coding.block;
    made.shift = dist_shift_of(made.block);
    if (kind == DIST_CODEC_INT8 && encode->stochastic)
        dist_launch_kept<DIST_CODEC_INT8, true>(made, encode->keep, stream);
    else if (kind == DIST_CODEC_INT8)
        dist_launch_kept<DIST_CODEC_INT8, false>(made, encode->keep, stream);
    else if (kind == DIST_CODEC_INT4 && encode->stochastic)
        dist_launch_kept<DIST_CODEC_INT4, true>(made, encode->keep, stream);
    else if (kind == DIST_CODEC_INT4)
        dist_launch_kept<DIST_CODEC_INT4, false>(made, encode->keep, stream);
    else if (kind == DIST_CODEC_MXFP8)
        dist_launch_kept<DIST_CODEC_MXFP8, false>(made, encode->keep, stream);
    else if (kind == DIST_CODEC_MXFP4)
        dist_launch_kept<DIST_CODEC_MXFP4, false>(made, encode->keep, stream);
    else
        dist_launch_kept<DIST_CODEC_NVFP4, false>(made, encode->keep, stream);
    return cudaGetLastError();
}

template <dist_codec_kind kind>
static __device__ __forceinline__ uint32_t dist_load_scale(const uint8_t *scales, uint64_t block)
{
    return kind == DIST_CODEC_INT8   ? reinterpret_cast<const uint32_t *>(scales)[block]
           : kind == DIST_CODEC_INT4 ? reinterpret_cast<const uint16_t *>(scales)[block]
                                     : scales[block];
}

template <dist_codec_kind kind>
static __device__ __forceinline__ uint32_t dist_load_codes(const uint8_t *codes, uint64_t first, unsigned n)
{
    if (dist_block_nibbles(kind)) {
        codes += first / 2;
        if (n == 4)
            return *reinterpret_cast<const uint16_t *>(codes);
        return (n > 0 ? codes[0] : 0u) | (n > 2 ? codes[1] << 8 : 0u);
    }
    codes += first;
    if (n == 4)
        return *reinterpret_cast<const uint32_t *>(codes);
    return (n > 0 ? codes[0] : 0u) | (n > 1 ? codes[1] << 8 : 0u) | (n > 2 ? codes[2] << 16 : 0u);
}

/* One frame's part of the sum of a quad. */
template <dist_codec_kind kind>
static __device__ __forceinline__ void dist_add_quad(uint32_t word, uint32_t stored, float global, bool first,
                                                     float sum[4])
{
    const unsigned bits = dist_block_nibbles(kind) ? 4 : 8;
    const float scale = dist_block_scale_of(kind, stored, global);
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++) {
        const unsigned code = word >> bits * j & ((1u << bits) - 1);
        const float value = dist_is_finite(scale) ? dist_mul(dist_block_value(kind, code), scale)
                                                  : dist_float_of(DIST_NAN_BITS);
        sum[j] = first ? value : dist_sum(sum[j], value);
    }
}

template <dist_codec_kind kind>
static __global__ void __launch_bounds__(DIST_NARROW_THREADS)
    dist_decode_blocks(const dist_frames frames, uint32_t block_shift)
{
    const int section = dist_block_scale_section(kind);
    const uint32_t shift = dist_block_shift<kind>(block_shift);
    const uint64_t span = static_cast<uint64_t>(blockDim.x) / 32 * DIST_SUM_SPAN;
    for (uint64_t base = blockIdx.x * span; base < frames.count; base += gridDim.x * span) {
        const uint64_t begin = base + threadIdx.x / 32 * DIST_SUM_SPAN + threadIdx.x % 32 * 4;
        float sum[DIST_SUM_QUADS][4];
        for (int f = 0; f < frames.frames; f++) {
            const uint8_t *const frame = frames.frame[f];
            uint32_t word[DIST_SUM_QUADS], stored[DIST_SUM_QUADS];
            const float global = kind == DIST_CODEC_NVFP4
                                     ? *reinterpret_cast<const float *>(frame + frames.layout.at[0])
                                     : 0.0f;
            DIST_UNROLL
            for (unsigned q = 0; q < DIST_SUM_QUADS; q++) {
                const uint64_t at = begin + q * DIST_TILE_STEP;
                const unsigned n = dist_quad_length(frames.count, at);
                word[q] = dist_load_codes<kind>(frame + frames.layout.at[section + 1], at, n);
                stored[q] = n ? dist_load_scale<kind>(frame + frames.layout.at[section], at >> shift) : 0u;
            }
            DIST_UNROLL
            for (unsigned q = 0; q < DIST_SUM_QUADS; q++)
                dist_add_quad<kind>(word[q], stored[q], global, f == 0, sum[q]);
        }
        DIST_UNROLL
        for (unsigned q = 0; q < DIST_SUM_QUADS; q++) {
            const uint64_t at = begin + q * DIST_TILE_STEP;
            dist_unstage_quad(frames, at, dist_quad_length(frames.count, at), sum[q]);
        }
    }
}

int dist_launch_decode_blocks(const dist_cuda_decode *decode, cudaStream_t stream)
{
    const dist_frames frames = dist_frames_of(decode);
    const uint32_t shift = dist_shift_of(decode->coding.block);
    const unsigned threads = DIST_NARROW_THREADS;
    const unsigned blocks = dist_cuda_blocks(dist_blocks_of(decode->count, threads / 32 * DIST_SUM_SPAN));
    switch (decode->coding.kind) {
    case DIST_CODEC_INT8:
        DIST_LAUNCH(dist_decode_blocks<DIST_CODEC_INT8>, blocks, threads, 0, stream, frames, shift);
        break;
    case DIST_CODEC_INT4:
        DIST_LAUNCH(dist_decode_blocks<DIST_CODEC_INT4>, blocks, threads, 0, stream, frames, shift);
        break;
    case DIST_CODEC_MXFP8:
        DIST_LAUNCH(dist_decode_blocks<DIST_CODEC_MXFP8>, blocks, threads, 0, stream, frames, shift);
        break;
    case DIST_CODEC_MXFP4:
        DIST_LAUNCH(dist_decode_blocks<DIST_CODEC_MXFP4>, blocks, threads, 0, stream, frames, shift);
        break;
    default:
        DIST_LAUNCH(dist_decode_blocks<DIST_CODEC_NVFP4>, blocks, threads, 0, stream, frames, shift);
    }
    return cudaGetLastError();
}
