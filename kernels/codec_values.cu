/* none, bf16 and fp16: each element by itself, a warp for each 256 as with blocks. */
#include "kernels/codec_kernels.cuh"
#include "kernels/codec_sum.cuh"
#include "kernels/codec_tile.cuh"

#define DIST_VALUES_THREADS 256

typedef struct dist_values_encode {
    dist_tiles tiles;
    dist_random_key key;
    uint64_t first; /* of the frame in its vector */
    uint8_t *payload;
    dist_cuda_work *work;
} dist_values_encode;

/* Writes the bits of one element and returns what they decode to. With feedback h is computed, and so is its NaN. */
template <int keep> static __device__ __forceinline__ float dist_encode_none(float h, uint32_t *bits)
{
    const bool computed_nan = keep != DIST_CUDA_KEEP_NONE && dist_magnitude(h) > DIST_INFINITY_BITS;
    *bits = computed_nan ? DIST_NAN_BITS : dist_bits_of(h);
    return h;
}

template <dist_codec_kind kind, bool stochastic>
static __device__ __forceinline__ float dist_encode_short(float h, uint32_t random, uint32_t *bits)
{
    if (kind == DIST_CODEC_FP16) {
        *bits = dist_half_from_float(h);
        return dist_half_to_float(static_cast<uint16_t>(*bits));
    }
    *bits = stochastic ? dist_bfloat_from_float_stochastic(h, random) : dist_bfloat_from_float(h);
    return dist_bfloat_to_float(static_cast<uint16_t>(*bits));
}

static __device__ __forceinline__ void dist_store_words(uint32_t *to, unsigned n, unsigned lane,
                                                        const uint32_t bits[8])
{
    if (n == DIST_TILE) {
        uint4 *const quads = reinterpret_cast<uint4 *>(to);
        quads[lane] = make_uint4(bits[0], bits[1], bits[2], bits[3]);
        quads[lane + 32] = make_uint4(bits[4], bits[5], bits[6], bits[7]);
        return;
    }
    DIST_UNROLL
    for (unsigned j = 0; j < 8; j++) {
        if (dist_tile_at(lane, j) < n)
            to[dist_tile_at(lane, j)] = bits[j];
    }
}

template <dist_codec_kind kind, int keep, bool stochastic>
static __global__ void __launch_bounds__(DIST_VALUES_THREADS)
    dist_encode_values(const dist_values_encode encode)
{
    const unsigned lane = threadIdx.x % 32;
    const uint64_t count = encode.tiles.count, span = static_cast<uint64_t>(blockDim.x) * 8;
    unsigned nonfinite = 0;
    for (uint64_t base = blockIdx.x * span; base < count; base += gridDim.x * span) {
        const uint64_t begin = base + threadIdx.x / 32 * DIST_TILE;
        const unsigned n = dist_tile_length(encode.tiles, begin);
        dist_tile tile;
        uint32_t bits[8], random[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        unsigned mask = 0;
        dist_tile_load<keep>(encode.tiles, begin, n, lane, tile);
        DIST_UNROLL
        for (unsigned half = 0; stochastic && half < 2; half++)
            dist_random_quad(encode.key, encode.first + begin + dist_tile_at(lane, 4 * half),
                             random + 4 * half);
        DIST_UNROLL
        for (unsigned j = 0; j < 8; j++) {
            float decoded;
            if constexpr (kind == DIST_CODEC_NONE)
                decoded = dist_encode_none<keep>(tile.h[j], &bits[j]);
            else
                decoded = dist_encode_short<kind, stochastic>(tile.h[j], random[j], &bits[j]);
            const bool finite = dist_is_finite(decoded);
            nonfinite += !finite;
            mask |= (finite ? 1u : 0u) << j;
            tile.h[j] = dist_sub(tile.h[j], decoded);
        }
        if constexpr (kind == DIST_CODEC_NONE) {
            dist_store_words(reinterpret_cast<uint32_t *>(encode.payload) + begin, n, lane, bits);
        } else {
            const uint32_t raw[4] = {bits[0] | bits[1] << 16, bits[2] | bits[3] << 16,
                                     bits[4] | bits[5] << 16, bits[6] | bits[7] << 16};
            dist_store_shorts(reinterpret_cast<uint16_t *>(encode.payload) + begin, true, n, lane, raw);
        }
        dist_tile_keep<keep>(encode.tiles, begin, n, lane, tile, tile.h, mask);
    }
    if (nonfinite)
        atomicAdd(&encode.work->nonfinite, nonfinite);
}

template <dist_codec_kind kind, bool stochastic>
static void dist_launch_values(const dist_values_encode &made, uint32_t keep, cudaStream_t stream)
{
    const unsigned threads = DIST_VALUES_THREADS;
    const unsigned blocks = dist_cuda_blocks(dist_blocks_of(made.tiles.count, threads * 8));
    switch (keep) {
    case DIST_CUDA_KEEP_FP32:
        DIST_LAUNCH((dist_encode_values<kind, DIST_CUDA_KEEP_FP32, stochastic>), blocks, threads, 0, stream,
                    made);
        break;
    case DIST_CUDA_KEEP_BF16:
        DIST_LAUNCH((dist_encode_values<kind, DIST_CUDA_KEEP_BF16, stochastic>), blocks, threads, 0, stream,
                    made);
        break;
    case DIST_CUDA_KEEP_INT8:
        DIST_LAUNCH((dist_encode_values<kind, DIST_CUDA_KEEP_INT8, stochastic>), blocks, threads, 0, stream,
                    made);
        break;
    default:
        DIST_LAUNCH((dist_encode_values<kind, DIST_CUDA_KEEP_NONE, stochastic>), blocks, threads, 0, stream,
                    made);
    }
}

int dist_launch_encode_values(const dist_cuda_encode *encode, cudaStream_t stream)
{
    dist_values_encode made;
    made.tiles = dist_tiles_of(encode);
    made.key = dist_random_key_of(encode->seed, encode->step, encode->stream_number);
    made.first = encode->first;
    made.payload = static_cast<uint8_t *>(encode->frame) + DIST_FRAME_HEADER;
    made.work = dist_cuda_work_of(encode);
    if (encode->coding.kind == DIST_CODEC_NONE)
        dist_launch_values<DIST_CODEC_NONE, false>(made, encode->keep, stream);
    else if (encode->coding.kind == DIST_CODEC_FP16)
        dist_launch_values<DIST_CODEC_FP16, false>(made, encode->keep, stream);
    else if (encode->stochastic)
        dist_launch_values<DIST_CODEC_BF16, true>(made, encode->keep, stream);
    else
        dist_launch_values<DIST_CODEC_BF16, false>(made, encode->keep, stream);
    return cudaGetLastError();
}

/* The `n` elements (at most 4) of one frame that begin at `first`. */
template <dist_codec_kind kind>
static __device__ __forceinline__ void dist_load_quad(const uint8_t *payload, uint64_t first, unsigned n,
                                                      float out[4])
{
    if constexpr (kind == DIST_CODEC_NONE) {
        const float *const from = reinterpret_cast<const float *>(payload) + first;
        if (n == 4) {
            const float4 quad = dist_stream_load(reinterpret_cast<const float4 *>(from));
            out[0] = quad.x, out[1] = quad.y, out[2] = quad.z, out[3] = quad.w;
            return;
        }
        DIST_UNROLL
        for (unsigned j = 0; j < 4; j++)
            out[j] = j < n ? from[j] : 0.0f;
    } else {
        const uint32_t type = kind == DIST_CODEC_FP16 ? DIST_CUDA_FLOAT16 : DIST_CUDA_BFLOAT16;
        const uint16_t *const from = reinterpret_cast<const uint16_t *>(payload) + first;
        uint32_t raw[2] = {0, 0};
        if (n == 4) {
            const uint2 quad = dist_stream_load(reinterpret_cast<const uint2 *>(from));
            raw[0] = quad.x, raw[1] = quad.y;
        } else {
            DIST_UNROLL
            for (unsigned j = 0; j < 3; j++)
                raw[j / 2] |= (j < n ? static_cast<uint32_t>(from[j]) : 0u) << j % 2 * 16;
        }
        DIST_UNROLL
        for (unsigned j = 0; j < 4; j++)
            out[j] = dist_short_to(type, dist_short_of(raw, j));
    }
}

template <dist_codec_kind kind>
static __global__ void __launch_bounds__(DIST_VALUES_THREADS) dist_decode_values(const dist_frames frames)
{
    const uint64_t span = static_cast<uint64_t>(blockDim.x) / 32 * DIST_TILE;
    for (uint64_t base = blockIdx.x * span; base < frames.count; base += gridDim.x * span) {
        const uint64_t begin = base + threadIdx.x / 32 * DIST_TILE + threadIdx.x % 32 * 4;
        float sum[2][4];
        for (int f = 0; f < frames.frames; f++) {
            float value[2][4];
            DIST_UNROLL
            for (unsigned q = 0; q < 2; q++) {
                const uint64_t at = begin + q * DIST_TILE_STEP;
                dist_load_quad<kind>(frames.frame[f] + DIST_FRAME_HEADER, at,
                                     dist_quad_length(frames.count, at), value[q]);
            }
            DIST_UNROLL
            for (unsigned j = 0; j < 8; j++)
                sum[j / 4][j % 4] =
                    f == 0 ? value[j / 4][j % 4] : dist_sum(sum[j / 4][j % 4], value[j / 4][j % 4]);
        }
        DIST_UNROLL
        for (unsigned q = 0; q < 2; q++) {
            const uint64_t at = begin + q * DIST_TILE_STEP;
            dist_unstage_quad(frames, at, dist_quad_length(frames.count, at), sum[q]);
        }
    }
}

int dist_launch_decode_values(const dist_cuda_decode *decode, cudaStream_t stream)
{
    const dist_frames frames = dist_frames_of(decode);
    const unsigned threads = DIST_VALUES_THREADS;
    const unsigned blocks = dist_cuda_blocks(dist_blocks_of(decode->count, threads / 32 * DIST_TILE));
    if (decode->coding.kind == DIST_CODEC_NONE)
        DIST_LAUNCH(dist_decode_values<DIST_CODEC_NONE>, blocks, threads, 0, stream, frames);
    else if (decode->coding.kind == DIST_CODEC_FP16)
        DIST_LAUNCH(dist_decode_values<DIST_CODEC_FP16>, blocks, threads, 0, stream, frames);
    else
        DIST_LAUNCH(dist_decode_values<DIST_CODEC_BF16>, blocks, threads, 0, stream, frames);
    return cudaGetLastError();
}
