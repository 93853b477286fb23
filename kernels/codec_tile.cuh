/* How a warp brings elements and their feedback to float32, and keeps what is rounded away.
 *
 * A tile is 256 elements, a block of int8 feedback: lane l has the quads (4 elements) at 4 l and at 128 + 4 l, so that a
 * warp reads and writes whole lines. Lanes beyond the end have zeros, which change no maximum and no code.
 */
#ifndef DIST_KERNELS_CODEC_TILE_CUH
#define DIST_KERNELS_CODEC_TILE_CUH

#include "kernels/codec_kernels.cuh"
#include "kernels/half.h"
#include "kernels/quantize.h"

#define DIST_ALL_LANES 0xffffffffu
#define DIST_TILE      256
#define DIST_TILE_STEP 128 /* between a lane's quads */

/* Of int8 feedback: a float32 scale, then the codes. */
#define DIST_TILE_FEEDBACK_BYTES (DIST_TILE + 4)

/* Data that is read or written once does not push out of the caches what will be needed again. */
#ifdef DIST_SIMT
#define DIST_UNROLL
template <typename type> static inline type dist_stream_load(const type *from)
{
    return *from;
}
template <typename type> static inline void dist_stream_store(type *to, type value)
{
    *to = value;
}
#else
#define DIST_UNROLL _Pragma("unroll")
template <typename type> static __device__ __forceinline__ type dist_stream_load(const type *from)
{
    return __ldcs(from);
}
template <typename type> static __device__ __forceinline__ void dist_stream_store(type *to, type value)
{
    __stcs(to, value);
}
#endif

/* What all tiles of a frame share. */
typedef struct dist_tiles {
    const void *values;
    uint8_t *feedback;
    uint64_t count;
    uint32_t type;
    bool whole_values, whole_feedback; /* aligned, so that a quad is one load */
} dist_tiles;

static inline uint32_t dist_type_size(uint32_t type)
{
    return type == DIST_CUDA_FLOAT32 ? 4 : 2;
}

static inline bool dist_quad_aligned(const void *data, uint32_t size)
{
    return (uintptr_t)data % (4 * size) == 0;
}

static inline dist_tiles dist_tiles_of(const dist_cuda_encode *encode)
{
    dist_tiles tiles;
    tiles.values = encode->values;
    tiles.feedback = (uint8_t *)encode->feedback;
    tiles.count = encode->count;
    tiles.type = encode->type;
    tiles.whole_values = dist_quad_aligned(encode->values, dist_type_size(encode->type));
    tiles.whole_feedback = encode->keep == DIST_CUDA_KEEP_INT8 /* always to 4 bytes */
                           ||
                           dist_quad_aligned(encode->feedback, encode->keep == DIST_CUDA_KEEP_FP32 ? 4 : 2);
    return tiles;
}

/* A lane's 8 elements. */
typedef struct dist_tile {
    float h[8];
    uint32_t old[4]; /* bf16 and int8 feedback as it was kept */
    float old_scale;
} dist_tile;

/* Where element j of a lane is in its tile. */
static __device__ __forceinline__ unsigned dist_tile_at(unsigned lane, unsigned j)
{
    return j / 4 * DIST_TILE_STEP + lane * 4 + j % 4;
}

static __device__ __forceinline__ uint32_t dist_warp_max(uint32_t most, unsigned lanes)
{
    for (unsigned step = 1; step < lanes; step *= 2) {
        const uint32_t other = __shfl_xor_sync(DIST_ALL_LANES, most, static_cast<int>(step));
        most = other > most ? other : most;
    }
    return most;
}

/* Words of a lane's quads of 16-bit elements, two to a word; `n` elements of the tile are there. */
static __device__ __forceinline__ void dist_load_shorts(const uint16_t *from, bool whole, unsigned n,
                                                        unsigned lane, uint32_t raw[4])
{
    if (whole && n == DIST_TILE) {
        const uint2 low = dist_stream_load(reinterpret_cast<const uint2 *>(from) + lane);
        const uint2 high = dist_stream_load(reinterpret_cast<const uint2 *>(from + DIST_TILE_STEP) + lane);
        raw[0] = low.x, raw[1] = low.y, raw[2] = high.x, raw[3] = high.y;
        return;
    }
    DIST_UNROLL
    for (unsigned j = 0; j < 8; j++) {
        const unsigned at = dist_tile_at(lane, j);
        const uint32_t bits = at < n ? from[at] : 0u;
        raw[j / 2] = j % 2 ? raw[j / 2] | bits << 16 : bits;
    }
}

static __device__ __forceinline__ void dist_load_floats(const float *from, bool whole, unsigned n,
                                                        unsigned lane, float raw[8])
{
    if (whole && n == DIST_TILE) {
        const float4 low = dist_stream_load(reinterpret_cast<const float4 *>(from) + lane);
        const float4 high = dist_stream_load(reinterpret_cast<const float4 *>(from + DIST_TILE_STEP) + lane);
        raw[0] = low.x, raw[1] = low.y, raw[2] = low.z, raw[3] = low.w;
        raw[4] = high.x, raw[5] = high.y, raw[6] = high.z, raw[7] = high.w;
        return;
    }
    DIST_UNROLL
    for (unsigned j = 0; j < 8; j++) {
        const unsigned at = dist_tile_at(lane, j);
        raw[j] = at < n ? from[at] : 0.0f;
    }
}

/* The words of a lane's quads of bytes. */
static __device__ __forceinline__ void dist_load_bytes(const uint8_t *from, unsigned n, unsigned lane,
                                                       uint32_t raw[2])
{
    if (n == DIST_TILE) {
        raw[0] = reinterpret_cast<const uint32_t *>(from)[lane];
        raw[1] = reinterpret_cast<const uint32_t *>(from + DIST_TILE_STEP)[lane];
        return;
    }
    DIST_UNROLL
    for (unsigned j = 0; j < 8; j++) {
        const unsigned at = dist_tile_at(lane, j);
        const uint32_t byte = at < n ? from[at] : 0u;
        raw[j / 4] = j % 4 ? raw[j / 4] | byte << j % 4 * 8 : byte;
    }
}

static __device__ __forceinline__ uint16_t dist_short_of(const uint32_t *raw, unsigned j)
{
    return static_cast<uint16_t>(raw[j / 2] >> j % 2 * 16);
}

/* The feedback that element j had. */
template <int keep> static __device__ __forceinline__ float dist_tile_old(const dist_tile &tile, unsigned j)
{
    if (keep == DIST_CUDA_KEEP_BF16)
        return dist_bfloat_to_float(dist_short_of(tile.old, j));
    return dist_dequantize(static_cast<int8_t>(tile.old[j / 4] >> j % 4 * 8), tile.old_scale);
}

template <int keep>
static __device__ __forceinline__ uint8_t *dist_tile_feedback(const dist_tiles &tiles, uint64_t first)
{
    return tiles.feedback + (keep == DIST_CUDA_KEEP_FP32   ? 4 * first
                             : keep == DIST_CUDA_KEEP_BF16 ? 2 * first
                                                           : first / DIST_TILE * DIST_TILE_FEEDBACK_BYTES);
}

static __device__ __forceinline__ unsigned dist_tile_length(const dist_tiles &tiles, uint64_t first)
{
    return first >= tiles.count               ? 0
           : tiles.count - first >= DIST_TILE ? DIST_TILE
                                              : static_cast<unsigned>(tiles.count - first);
}

/* h = x + feedback of the tile that begins at element `first`. All is asked for before any is used. */
template <int keep>
static __device__ __forceinline__ void dist_tile_load(const dist_tiles &tiles, uint64_t first, unsigned n,
                                                      unsigned lane, dist_tile &tile)
{
    uint32_t shorts[4] = {0, 0, 0, 0};
    float e[8];
    if (tiles.type == DIST_CUDA_FLOAT32)
        dist_load_floats(static_cast<const float *>(tiles.values) + first, tiles.whole_values, n, lane,
                         tile.h);
    else
        dist_load_shorts(static_cast<const uint16_t *>(tiles.values) + first, tiles.whole_values, n, lane,
                         shorts);
    if (keep != DIST_CUDA_KEEP_NONE) {
        uint8_t *const kept = dist_tile_feedback<keep>(tiles, first);
        if (keep == DIST_CUDA_KEEP_FP32) {
            dist_load_floats(reinterpret_cast<const float *>(kept), tiles.whole_feedback, n, lane, e);
        } else if (keep == DIST_CUDA_KEEP_BF16) {
            dist_load_shorts(reinterpret_cast<const uint16_t *>(kept), tiles.whole_feedback, n, lane,
                             tile.old);
        } else {
            tile.old_scale = n ? *reinterpret_cast<const float *>(kept) : 0.0f;
            dist_load_bytes(kept + 4, n, lane, tile.old);
        }
    }
    DIST_UNROLL
    for (unsigned j = 0; j < 8; j++) {
        if (tiles.type != DIST_CUDA_FLOAT32)
            tile.h[j] = tiles.type == DIST_CUDA_FLOAT16 ? dist_half_to_float(dist_short_of(shorts, j))
                                                        : dist_bfloat_to_float(dist_short_of(shorts, j));
        if (keep != DIST_CUDA_KEEP_NONE)
            tile.h[j] =
                dist_add(tile.h[j], keep == DIST_CUDA_KEEP_FP32 ? e[j] : dist_tile_old<keep>(tile, j));
    }
}

/* The elements of `mask` that are there: a lane's quad if it is whole, else one after the other. */
static __device__ __forceinline__ void dist_keep_floats(float *to, bool whole, unsigned n, unsigned lane,
                                                        const float residual[8], unsigned mask)
{
    DIST_UNROLL
    for (unsigned half = 0; half < 2; half++) {
        const float *const r = residual + 4 * half;
        const unsigned at = dist_tile_at(lane, 4 * half);
        if (whole && n == DIST_TILE && (mask >> 4 * half & 15u) == 15u) {
            dist_stream_store(reinterpret_cast<float4 *>(to + at), make_float4(r[0], r[1], r[2], r[3]));
            continue;
        }
        DIST_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            if (mask >> (4 * half + j) & 1u && at + j < n)
                to[at + j] = r[j];
        }
    }
}

static __device__ __forceinline__ void dist_store_shorts(uint16_t *to, bool whole, unsigned n, unsigned lane,
                                                         const uint32_t raw[4])
{
    if (whole && n == DIST_TILE) {
        dist_stream_store(reinterpret_cast<uint2 *>(to) + lane, make_uint2(raw[0], raw[1]));
        dist_stream_store(reinterpret_cast<uint2 *>(to + DIST_TILE_STEP) + lane, make_uint2(raw[2], raw[3]));
        return;
    }
    DIST_UNROLL
    for (unsigned j = 0; j < 8; j++) {
        if (dist_tile_at(lane, j) < n)
            to[dist_tile_at(lane, j)] = dist_short_of(raw, j);
    }
}

static __device__ __forceinline__ void dist_store_bytes(uint8_t *to, unsigned n, unsigned lane,
                                                        const uint32_t raw[2])
{
    if (n == DIST_TILE) {
        reinterpret_cast<uint32_t *>(to)[lane] = raw[0];
        reinterpret_cast<uint32_t *>(to + DIST_TILE_STEP)[lane] = raw[1];
        return;
    }
    DIST_UNROLL
    for (unsigned j = 0; j < 8; j++) {
        if (dist_tile_at(lane, j) < n)
            to[dist_tile_at(lane, j)] = static_cast<uint8_t>(raw[j / 4] >> j % 4 * 8);
    }
}

static __device__ __forceinline__ void dist_keep_bfloats(uint16_t *to, bool whole, unsigned n, unsigned lane,
                                                         const float residual[8])
{
    uint32_t raw[4];
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++)
        raw[j] = dist_bfloat_from_float(residual[2 * j]) |
                 static_cast<uint32_t>(dist_bfloat_from_float(residual[2 * j + 1])) << 16;
    dist_store_shorts(to, whole, n, lane, raw);
}

/* The int8 form of 256 residuals: the same block and the same arithmetic as the int8 codec's. */
static __device__ __forceinline__ void dist_keep_int8(uint8_t *kept, unsigned n, unsigned lane,
                                                      const float residual[8])
{
    uint32_t peak = 0, raw[2] = {0, 0};
    DIST_UNROLL
    for (unsigned j = 0; j < 8; j++)
        peak = dist_magnitude(residual[j]) > peak ? dist_magnitude(residual[j]) : peak;
    peak = dist_warp_max(peak, 32);
    const float scale = dist_scale8(peak), by = dist_divisor(scale);
    DIST_UNROLL
    for (unsigned j = 0; j < 8; j++) {
        const uint32_t code = static_cast<uint32_t>(dist_quantize(residual[j], by, DIST_QMAX8)) & 0xffu;
        raw[j / 4] |= (peak < DIST_INFINITY_BITS ? code : 0u) << j % 4 * 8;
    }
    dist_store_bytes(kept + 4, n, lane, raw);
    if (lane == 0 && n > 0)
        *reinterpret_cast<float *>(kept) = scale;
}

/* Keeps the residuals of the elements in `mask`, a bit for each; the others' feedback stays. All lanes call. */
template <int keep>
static __device__ __forceinline__ void dist_tile_keep(const dist_tiles &tiles, uint64_t first, unsigned n,
                                                      unsigned lane, const dist_tile &tile, float residual[8],
                                                      unsigned mask)
{
    if constexpr (keep == DIST_CUDA_KEEP_FP32) {
        float *const kept = reinterpret_cast<float *>(dist_tile_feedback<keep>(tiles, first));
        dist_keep_floats(kept, tiles.whole_feedback, n, lane, residual, mask);
    } else if constexpr (keep != DIST_CUDA_KEEP_NONE) {
        uint8_t *const kept = dist_tile_feedback<keep>(tiles, first);
        DIST_UNROLL
        for (unsigned j = 0; j < 8; j++)
            residual[j] = mask >> j & 1u ? residual[j] : dist_tile_old<keep>(tile, j);
        if constexpr (keep == DIST_CUDA_KEEP_BF16)
            dist_keep_bfloats(reinterpret_cast<uint16_t *>(kept), tiles.whole_feedback, n, lane, residual);
        else
            dist_keep_int8(kept, n, lane, residual);
    }
}

/* The random bits of the 4 elements from `at` on. */
static __device__ __forceinline__ void dist_random_quad(dist_random_key key, uint64_t at, uint32_t out[4])
{
    dist_random_four(key, at / 4, out);
    const unsigned skip = static_cast<unsigned>(at % 4); /* the same for all lanes */
    if (skip == 0)
        return;
    uint32_t next[4];
    dist_random_four(key, at / 4 + 1, next);
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++) {
        uint32_t bits = out[j];
        DIST_UNROLL
        for (unsigned s = 1; s < 4; s++)
            bits = skip == s ? (j + s < 4 ? out[(j + s) % 4] : next[(j + s) % 4]) : bits;
        out[j] = bits;
    }
}

#endif
