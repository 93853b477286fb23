/* Decoding's other end: where frames lie, and how their sum becomes values. */
#ifndef DIST_KERNELS_CODEC_SUM_CUH
#define DIST_KERNELS_CODEC_SUM_CUH

#include "kernels/codec_tile.cuh"

/* A launch's own copy of what dist_cuda_decode points at. */
typedef struct dist_frames {
    const uint8_t *frame[DIST_CUDA_FRAMES];
    dist_layout layout; /* of each */
    uint64_t count;
    void *values;
    uint32_t type;
    int frames, divisor;
    bool add, whole_values;
} dist_frames;

static inline dist_frames dist_frames_of(const dist_cuda_decode *decode)
{
    dist_frames frames;
    memset(&frames, 0, sizeof frames);
    for (int f = 0; f < decode->frames; f++)
        frames.frame[f] = (const uint8_t *)decode->frame[f];
    frames.layout = dist_layout_of(decode->coding, decode->count);
    frames.count = decode->count;
    frames.values = decode->values;
    frames.type = decode->type;
    frames.frames = decode->frames;
    frames.divisor = decode->divisor;
    frames.add = decode->add != 0;
    frames.whole_values = dist_quad_aligned(decode->values, dist_type_size(decode->type));
    return frames;
}

/* As CPUs do, a NaN keeps its bits, made quiet. */
static __device__ __forceinline__ float dist_part_of(float sum, int divisor)
{
    if (divisor == 1)
        return sum;
    return dist_magnitude(sum) > DIST_INFINITY_BITS ? dist_float_of(dist_bits_of(sum) | 0x400000u)
                                                    : dist_div(sum, static_cast<float>(divisor));
}

static __device__ __forceinline__ uint16_t dist_short_from(uint32_t type, float value)
{
    return type == DIST_CUDA_FLOAT16 ? dist_half_from_float(value) : dist_bfloat_from_float(value);
}

static __device__ __forceinline__ float dist_short_to(uint32_t type, uint16_t bits)
{
    return type == DIST_CUDA_FLOAT16 ? dist_half_to_float(bits) : dist_bfloat_to_float(bits);
}

/* values (+)= sum / divisor for the `n` elements (at most 4) that begin at `first`. */
static __device__ __forceinline__ void dist_unstage_quad(const dist_frames &frames, uint64_t first,
                                                         unsigned n, const float sum[4])
{
    float part[4];
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++)
        part[j] = dist_part_of(sum[j], frames.divisor);
    const bool whole = frames.whole_values && n == 4;
    if (frames.type == DIST_CUDA_FLOAT32) {
        float *const to = static_cast<float *>(frames.values) + first;
        if (whole) {
            if (frames.add) {
                const float4 old = dist_stream_load(reinterpret_cast<const float4 *>(to));
                part[0] = dist_sum(old.x, part[0]);
                part[1] = dist_sum(old.y, part[1]);
                part[2] = dist_sum(old.z, part[2]);
                part[3] = dist_sum(old.w, part[3]);
            }
            dist_stream_store(reinterpret_cast<float4 *>(to),
                              make_float4(part[0], part[1], part[2], part[3]));
            return;
        }
        DIST_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            if (j < n)
                to[j] = frames.add ? dist_sum(to[j], part[j]) : part[j];
        }
        return;
    }
    uint16_t *const to = static_cast<uint16_t *>(frames.values) + first;
    uint32_t raw[2] = {0, 0};
    if (frames.add && whole) {
        const uint2 old = dist_stream_load(reinterpret_cast<const uint2 *>(to));
        raw[0] = old.x, raw[1] = old.y;
    } else if (frames.add) {
        DIST_UNROLL
        for (unsigned j = 0; j < 4; j++)
            raw[j / 2] |= (j < n ? static_cast<uint32_t>(to[j]) : 0u) << j % 2 * 16;
    }
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++) {
        const float value =
            frames.add ? dist_sum(dist_short_to(frames.type, dist_short_of(raw, j)), part[j]) : part[j];
        const uint32_t narrow = dist_short_from(frames.type, value);
        raw[j / 2] = j % 2 ? (raw[j / 2] & 0xffffu) | narrow << 16 : (raw[j / 2] & 0xffff0000u) | narrow;
    }
    if (whole) {
        dist_stream_store(reinterpret_cast<uint2 *>(to), make_uint2(raw[0], raw[1]));
        return;
    }
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++) {
        if (j < n)
            to[j] = dist_short_of(raw, j);
    }
}

/* Decoding gives a lane this many quads, 128 elements apart. */
#define DIST_SUM_QUADS 4
#define DIST_SUM_SPAN  (DIST_SUM_QUADS * DIST_TILE_STEP)

/* Elements of the quad at `first` that are there. */
static __device__ __forceinline__ unsigned dist_quad_length(uint64_t count, uint64_t first)
{
    return first >= count ? 0 : count - first >= 4 ? 4 : static_cast<unsigned>(count - first);
}

#endif
