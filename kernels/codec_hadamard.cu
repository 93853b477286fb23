/* int4:hadamard: a thread block takes a tile of 8 elements a thread, of one rotated block or several.
 *
 * Butterflies are made in registers, three stages at a time, between which elements change hands in shared memory.
 * The stages, and the 16 partial sums of dist_dot16, are those of the CPU in their order. A partial block at the end
 * of a frame has fewer stages.
 */
#include "kernels/codec_sum.cuh"
#include "kernels/codec_tile.cuh"
#include "kernels/hadamard.h"

#define HADAMARD_MOST_THREADS (DIST_HADAMARD_MOST / 8)
#define HADAMARD_LEAST_SHIFT  10 /* of a tile of 128 threads */
#define HADAMARD_MOST_BLOCKS  (1024 / DIST_HADAMARD_LEAST)

uint64_t dist_workspace_hadamard(dist_coding, uint64_t)
{
    return 0;
}

/* A launch's blocks of 2^block elements in tiles of 2^tile, and for each tile the partial block in it. */
typedef struct hadamard_shape {
    uint32_t block, tile; /* base-2 logarithms */
    uint32_t partial;     /* where it begins; beyond the tile where there is none */
    uint32_t rotation;    /* of the partial block */
} hadamard_shape;

static hadamard_shape hadamard_shape_of(uint32_t block)
{
    hadamard_shape shape = {0, HADAMARD_LEAST_SHIFT, 0, 0};
    while (1u << shape.block < block)
        shape.block++;
    if (shape.block > shape.tile)
        shape.tile = shape.block;
    return shape;
}

/* For a tile with `rest` elements of the frame from its beginning on. */
static __device__ void hadamard_find_partial(hadamard_shape &shape, uint64_t rest)
{
    const uint32_t tile = 1u << shape.tile, block = 1u << shape.block;
    const uint32_t n = rest < tile ? static_cast<uint32_t>(rest) : tile, over = n & (block - 1);
    shape.partial = over ? n - over : tile;
    shape.rotation = over ? dist_rotation_of(over, block) : 0u;
}

/* How many elements the block of element i is rotated with. */
static __device__ __forceinline__ uint32_t hadamard_size_at(const hadamard_shape &shape, uint32_t i)
{
    return i < shape.partial ? 1u << shape.block : shape.rotation;
}

/* Where element i lies: 4 places beyond each 32 are left free, so that no two lanes meet in a bank. */
static __device__ __forceinline__ uint32_t hadamard_at(uint32_t i)
{
    return i + i / 32 * 4;
}

static __device__ __forceinline__ void hadamard_put_quad(float *x, uint32_t i, const float quad[4])
{
    *reinterpret_cast<float4 *>(x + hadamard_at(i)) = make_float4(quad[0], quad[1], quad[2], quad[3]);
}

static __device__ __forceinline__ void hadamard_get_quad(const float *x, uint32_t i, float quad[4])
{
    const float4 four = *reinterpret_cast<const float4 *>(x + hadamard_at(i));
    quad[0] = four.x, quad[1] = four.y, quad[2] = four.z, quad[3] = four.w;
}

/* The stages from stride `least` on of the elements first, first + step, ...: as many as stay among them. */
template <unsigned n>
static __device__ __forceinline__ void hadamard_stages(const hadamard_shape &shape, float *x, uint32_t first,
                                                       uint32_t step, uint32_t least)
{
    DIST_UNROLL
    for (unsigned span = 1; span < n; span *= 2) {
        const uint32_t stride = span * step;
        DIST_UNROLL
        for (unsigned j = 0; j < n; j++) {
            if ((j & span) || stride < least || stride >= hadamard_size_at(shape, first + j * step))
                continue;
            const float a = x[j], b = x[j + span];
            x[j] = dist_add(a, b);
            x[j + span] = dist_sub(a, b);
        }
    }
}

/* Rotates the tile whose quads at 4 lane and 128 + 4 lane of its 256 a thread holds; they come back in shared memory. */
static __device__ void hadamard_rotate(const hadamard_shape &shape, float quads[8], float *x)
{
    const uint32_t mine = threadIdx.x / 32 * DIST_TILE + threadIdx.x % 32 * 4;
    hadamard_stages<4>(shape, quads, mine, 1, 1);
    hadamard_stages<4>(shape, quads + 4, mine + DIST_TILE_STEP, 1, 1);
    hadamard_put_quad(x, mine, quads);
    hadamard_put_quad(x, mine + DIST_TILE_STEP, quads + 4);
    DIST_BARRIER(1); /* all quads are there */
    for (uint32_t done = 2; done < shape.block; done += 3) {
        const uint32_t log = done + 3 < shape.tile ? done : shape.tile - 3, step = 1u << log;
        const uint32_t first = threadIdx.x >> log << (log + 3) | (threadIdx.x & (step - 1));
        float held[8];
        DIST_UNROLL
        for (unsigned j = 0; j < 8; j++)
            held[j] = x[hadamard_at(first + j * step)];
        hadamard_stages<8>(shape, held, first, step, 1u << done);
        DIST_UNROLL
        for (unsigned j = 0; j < 8; j++)
            x[hadamard_at(first + j * step)] = held[j];
        DIST_BARRIER(2); /* three stages are done, before elements change hands again */
    }
}

/* dist_dot16 of each block: of x with itself, or of the products in x with 1. 16 threads for a block. */
template <bool squares>
static __device__ void hadamard_sums(const hadamard_shape &shape, const float *x, float *sum)
{
    const uint32_t parts = 16u << (shape.tile - shape.block);
    for (uint32_t part = threadIdx.x; part / 32 * 32 < parts; part += blockDim.x) {
        const uint32_t first = (part / 16) << shape.block, j = part % 16;
        const uint32_t d = part < parts ? hadamard_size_at(shape, first) : 0u;
        float partial = 0.0f;
        for (uint32_t i = j; i < d; i += 16) {
            const float v = x[hadamard_at(first + i)];
            partial = dist_add(partial, squares ? dist_mul(v, v) : v);
        }
        for (unsigned step = 8; step > 0; step /= 2)
            partial = dist_add(partial, __shfl_down_sync(DIST_ALL_LANES, partial, step, 16));
        if (j == 0 && part < parts)
            sum[part / 16] = partial;
    }
}

/* The signs of a block's elements: four words a thread. */
static __device__ void hadamard_draw_signs(uint32_t seed, uint32_t block, uint32_t *signs)
{
    const uint32_t key[2] = {seed, DIST_HADAMARD_KEY}, counter[4] = {threadIdx.x, 0, 0, 0};
    uint32_t four[4];
    if (128 * threadIdx.x >= block)
        return;
    dist_philox4x32(counter, key, four);
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++)
        signs[4 * threadIdx.x + j] = four[j];
}

/* The signs of a quad, in bits 0 to 3. */
static __device__ __forceinline__ uint32_t hadamard_signs_at(const hadamard_shape &shape,
                                                             const uint32_t *signs, uint32_t i)
{
    const uint32_t in_block = i & ((1u << shape.block) - 1);
    return signs[in_block / 32] >> in_block % 32;
}

static __device__ __forceinline__ float hadamard_signed(float value, uint32_t signs, unsigned j)
{
    return dist_float_of(dist_bits_of(value) ^ (signs >> j & 1u) << 31);
}

static __device__ __forceinline__ void hadamard_centroids(uint32_t codes, float quad[4])
{
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++)
        quad[j] = dist_centroid(codes >> 4 * j & 15u);
}

/* What a quad decodes to, once its centroids are rotated back. */
static __device__ __forceinline__ void hadamard_decoded(const hadamard_shape &shape, const uint32_t *signs,
                                                        const float *x, uint32_t i, float scale,
                                                        float quad[4])
{
    const uint32_t flips = hadamard_signs_at(shape, signs, i);
    hadamard_get_quad(x, i, quad);
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++)
        quad[j] = hadamard_signed(dist_saturated(dist_mul(quad[j], scale)), flips, j);
}

typedef struct hadamard_encoding {
    dist_tiles tiles;
    dist_random_key key;
    uint64_t first; /* of the frame in its vector */
    hadamard_shape shape;
    uint32_t seed; /* of the signs */
    bool stochastic;
    float *scales;
    uint8_t *codes;
    unsigned long long *nonfinite;
} hadamard_encoding;

typedef struct hadamard_work {
    uint32_t signs[DIST_HADAMARD_MOST / 32];
    uint32_t peaks[HADAMARD_MOST_THREADS / 32]; /* of warps */
    float squares[HADAMARD_MOST_BLOCKS], dots[HADAMARD_MOST_BLOCKS];
} hadamard_work;

static __device__ __forceinline__ uint32_t hadamard_quad_peak(const float h[4])
{
    uint32_t peak = dist_magnitude(h[0]);
    DIST_UNROLL
    for (unsigned j = 1; j < 4; j++)
        peak = dist_magnitude(h[j]) > peak ? dist_magnitude(h[j]) : peak;
    return peak;
}

/* The peaks of the blocks that a lane's two quads are in. */
static __device__ void hadamard_peaks(const hadamard_shape &shape, const float h[8], uint32_t *peaks,
                                      uint32_t peak[2])
{
    const unsigned warp = threadIdx.x / 32;
    peak[0] = hadamard_quad_peak(h);
    peak[1] = hadamard_quad_peak(h + 4);
    if (shape.block < 8) {
        peak[0] = dist_warp_max(peak[0], 1u << (shape.block - 2));
        peak[1] = dist_warp_max(peak[1], 1u << (shape.block - 2));
        return;
    }
    peak[0] = dist_warp_max(peak[0] > peak[1] ? peak[0] : peak[1], 32);
    if (threadIdx.x % 32 == 0)
        peaks[warp] = peak[0];
    DIST_BARRIER(3); /* every warp's peak is there */
    const unsigned share = 1u << (shape.block - 8);
    for (unsigned w = warp & ~(share - 1); w <= (warp | (share - 1)); w++)
        peak[0] = peaks[w] > peak[0] ? peaks[w] : peak[0];
    peak[1] = peak[0];
}

/* Signs and unit of the `n` elements of a quad that are there; others are +0. */
static __device__ __forceinline__ void hadamard_prepare(const hadamard_shape &shape, const uint32_t *signs,
                                                        uint32_t i, unsigned n, uint32_t peak,
                                                        const float h[4], float x[4])
{
    const float inverse = dist_hadamard_unit_of(peak).inverse;
    const uint32_t flips = hadamard_signs_at(shape, signs, i);
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++)
        x[j] = j < n ? hadamard_signed(dist_mul(h[j], inverse), flips, j) : 0.0f;
}

/* Codes of a quad of rotated elements, in 4 bits each; x becomes their products with the centroids. */
static __device__ __forceinline__ uint32_t hadamard_quantize(const hadamard_encoding &encode, uint64_t at,
                                                             float by, float x[4])
{
    uint32_t word = 0, random[4] = {0, 0, 0, 0};
    if (encode.stochastic)
        dist_random_quad(encode.key, encode.first + at, random);
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++) {
        const float z = dist_mul(x[j], by);
        const unsigned code =
            encode.stochastic ? dist_centroid_code_stochastic(z, random[j]) : dist_centroid_code(z);
        x[j] = dist_mul(dist_centroid(code), x[j]);
        word |= code << 4 * j;
    }
    return word;
}

/* A block's scale: NaN where it is not finite, 0 where all of it is 0. */
static __device__ __forceinline__ float hadamard_scale_of(uint32_t peak, float squares, float dot, uint32_t d,
                                                          bool stochastic)
{
    if (peak == 0)
        return 0.0f;
    if (peak >= DIST_INFINITY_BITS)
        return dist_float_of(DIST_NAN_BITS);
    return dist_hadamard_scale(squares, dot, d, dist_hadamard_unit_of(peak).unit, stochastic);
}

/* A quad's codes, as far as its block has any, and the scale where the quad begins a block. */
static __device__ void hadamard_store(const hadamard_encoding &encode, const hadamard_shape &shape,
                                      uint64_t first, uint32_t i, float scale, uint32_t word)
{
    const uint32_t in_block = i & ((1u << shape.block) - 1);
    const uint64_t at = first + i;
    if (at - in_block >= encode.tiles.count || in_block >= hadamard_size_at(shape, i))
        return;
    if (hadamard_size_at(shape, i) == 2)
        encode.codes[at / 2] = static_cast<uint8_t>(word);
    else
        *reinterpret_cast<uint16_t *>(encode.codes + at / 2) = static_cast<uint16_t>(word);
    if (in_block)
        return;
    encode.scales[at >> shape.block] = scale;
    if (!dist_is_finite(scale))
        atomicAdd(encode.nonfinite, 1ull);
}

template <int keep>
static __global__ void __launch_bounds__(HADAMARD_MOST_THREADS)
    hadamard_encode(const hadamard_encoding encode)
{
    DIST_SHARED_DYNAMIC(float, x);
    DIST_SHARED(hadamard_work, work, );
    hadamard_shape shape = encode.shape;
    const unsigned lane = threadIdx.x % 32;
    const uint32_t in_tile = threadIdx.x / 32 * DIST_TILE;
    const uint32_t at[2] = {in_tile + lane * 4, in_tile + lane * 4 + DIST_TILE_STEP};
    hadamard_draw_signs(encode.seed, 1u << shape.block, work.signs);
    DIST_BARRIER(4); /* the signs are there */
    const uint64_t step = static_cast<uint64_t>(gridDim.x) << shape.tile;
    for (uint64_t first = static_cast<uint64_t>(blockIdx.x) << shape.tile; first < encode.tiles.count;
         first += step) {
        const unsigned n = dist_tile_length(encode.tiles, first + in_tile);
        dist_tile tile;
        float quads[8], scale[2];
        uint32_t peak[2], word[2];
        hadamard_find_partial(shape, encode.tiles.count - first);
        dist_tile_load<keep>(encode.tiles, first + in_tile, n, lane, tile);
        hadamard_peaks(shape, tile.h, work.peaks, peak);
        DIST_UNROLL
        for (unsigned q = 0; q < 2; q++)
            hadamard_prepare(shape, work.signs, at[q], dist_quad_length(encode.tiles.count, first + at[q]),
                             peak[q], tile.h + 4 * q, quads + 4 * q);
        hadamard_rotate(shape, quads, x);
        hadamard_sums<true>(shape, x, work.squares);
        DIST_BARRIER(5); /* the sums of squares are there, and x is read */
        DIST_UNROLL
        for (unsigned q = 0; q < 2; q++) {
            const uint32_t d = hadamard_size_at(shape, at[q]);
            const float by = dist_hadamard_by(work.squares[at[q] >> shape.block], d);
            hadamard_get_quad(x, at[q], quads + 4 * q);
            word[q] = hadamard_quantize(encode, first + at[q], by, quads + 4 * q);
            hadamard_put_quad(x, at[q], quads + 4 * q);
        }
        DIST_BARRIER(6); /* the products are there */
        hadamard_sums<false>(shape, x, work.dots);
        DIST_BARRIER(7); /* their sums too, and x is read */
        DIST_UNROLL
        for (unsigned q = 0; q < 2; q++) {
            const uint32_t d = hadamard_size_at(shape, at[q]), b = at[q] >> shape.block;
            scale[q] = hadamard_scale_of(peak[q], work.squares[b], work.dots[b], d, encode.stochastic);
            word[q] = scale[q] > 0.0f ? word[q] : 0u;
            hadamard_store(encode, shape, first, at[q], scale[q], word[q]);
        }
        if (keep == DIST_CUDA_KEEP_NONE)
            continue;
        hadamard_centroids(word[0], quads);
        hadamard_centroids(word[1], quads + 4);
        hadamard_rotate(shape, quads, x);
        unsigned mask = 0;
        DIST_UNROLL
        for (unsigned q = 0; q < 2; q++) {
            mask |= dist_is_finite(scale[q]) ? 15u << 4 * q : 0u;
            hadamard_decoded(shape, work.signs, x, at[q], scale[q], quads + 4 * q);
            DIST_UNROLL
            for (unsigned j = 0; j < 4; j++) {
                const bool there = first + at[q] + j < encode.tiles.count;
                float &kept = quads[4 * q + j];
                kept =
                    there ? dist_sub(tile.h[4 * q + j], kept) : 0.0f; /* padding is rotated, but not kept */
            }
        }
        dist_tile_keep<keep>(encode.tiles, first + in_tile, n, lane, tile, quads, mask);
    }
}

static unsigned hadamard_threads(const hadamard_shape &shape)
{
    return 1u << (shape.tile - 3);
}

static unsigned hadamard_bytes(const hadamard_shape &shape)
{
    return 4u * ((1u << shape.tile) + (4u << (shape.tile - 5)));
}

static unsigned hadamard_tiles(const hadamard_shape &shape, uint64_t count)
{
    return dist_cuda_blocks((count + (1u << shape.tile) - 1) >> shape.tile);
}

int dist_launch_encode_hadamard(const dist_cuda_encode *encode, cudaStream_t stream)
{
    const dist_layout layout = dist_layout_of(encode->coding, encode->count);
    uint8_t *const frame = static_cast<uint8_t *>(encode->frame);
    hadamard_encoding to;
    to.tiles = dist_tiles_of(encode);
    to.key = dist_random_key_of(encode->seed, encode->step, encode->stream_number);
    to.first = encode->first;
    to.shape = hadamard_shape_of(encode->coding.block);
    to.seed = dist_cuda_seed(encode);
    to.stochastic = encode->stochastic != 0;
    to.scales = reinterpret_cast<float *>(frame + layout.at[0]);
    to.codes = frame + layout.at[1];
    to.nonfinite = &dist_cuda_work_of(encode)->nonfinite;
    void (*const kernel[4])(hadamard_encoding) = {
        hadamard_encode<DIST_CUDA_KEEP_NONE>, hadamard_encode<DIST_CUDA_KEEP_FP32>,
        hadamard_encode<DIST_CUDA_KEEP_BF16>, hadamard_encode<DIST_CUDA_KEEP_INT8>};
    DIST_LAUNCH(kernel[encode->keep & 3u], hadamard_tiles(to.shape, encode->count),
                hadamard_threads(to.shape), hadamard_bytes(to.shape), stream, to);
    return cudaGetLastError();
}

/* Two quads' codes; 0 where a block has none. */
static __device__ __forceinline__ uint32_t hadamard_load(const dist_frames &frames,
                                                         const hadamard_shape &shape, const uint8_t *codes,
                                                         uint64_t first, uint32_t i)
{
    const uint32_t in_block = i & ((1u << shape.block) - 1);
    const uint64_t at = first + i;
    if (at - in_block >= frames.count || in_block >= hadamard_size_at(shape, i))
        return 0;
    return hadamard_size_at(shape, i) == 2 ? codes[at / 2]
                                           : *reinterpret_cast<const uint16_t *>(codes + at / 2);
}

/* Adds what a frame has of a quad to `sum`, or sets it with `fresh`. */
static __device__ __forceinline__ void hadamard_add(const hadamard_shape &shape, const uint32_t *signs,
                                                    const float *x, uint32_t i, float scale, bool fresh,
                                                    float sum[4])
{
    float quad[4];
    hadamard_decoded(shape, signs, x, i, scale, quad);
    DIST_UNROLL
    for (unsigned j = 0; j < 4; j++) {
        const float decoded = dist_is_finite(scale) ? quad[j] : dist_float_of(DIST_NAN_BITS);
        sum[j] = fresh ? decoded : dist_sum(sum[j], decoded);
    }
}

static __global__ void __launch_bounds__(HADAMARD_MOST_THREADS)
    hadamard_decode(const dist_frames frames, const hadamard_shape launched)
{
    DIST_SHARED_DYNAMIC(float, x);
    DIST_SHARED(uint32_t, signs, [DIST_HADAMARD_MOST / 32]);
    hadamard_shape shape = launched;
    const uint32_t mine = threadIdx.x / 32 * DIST_TILE + threadIdx.x % 32 * 4;
    const uint32_t at[2] = {mine, mine + DIST_TILE_STEP};
    const uint64_t step = static_cast<uint64_t>(gridDim.x) << shape.tile;
    for (uint64_t first = static_cast<uint64_t>(blockIdx.x) << shape.tile; first < frames.count;
         first += step) {
        float sum[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        hadamard_find_partial(shape, frames.count - first);
        for (int f = 0; f < frames.frames; f++) {
            const uint8_t *const frame = frames.frame[f];
            const float *const scales = reinterpret_cast<const float *>(frame + frames.layout.at[0]);
            const uint32_t seed = reinterpret_cast<const dist_frame_header *>(frame)->seed;
            float quads[8];
            hadamard_draw_signs(seed, 1u << shape.block, signs);
            DIST_UNROLL
            for (unsigned q = 0; q < 2; q++)
                hadamard_centroids(hadamard_load(frames, shape, frame + frames.layout.at[1], first, at[q]),
                                   quads + 4 * q);
            hadamard_rotate(shape, quads, x);
            DIST_UNROLL
            for (unsigned q = 0; q < 2; q++) {
                if (first + at[q] < frames.count)
                    hadamard_add(shape, signs, x, at[q], scales[(first + at[q]) >> shape.block], f == 0,
                                 sum + 4 * q);
            }
            DIST_BARRIER(8); /* the signs are read, before the next frame's */
        }
        DIST_UNROLL
        for (unsigned q = 0; q < 2; q++)
            dist_unstage_quad(frames, first + at[q], dist_quad_length(frames.count, first + at[q]),
                              sum + 4 * q);
    }
}

int dist_launch_decode_hadamard(const dist_cuda_decode *decode, cudaStream_t stream)
{
    const hadamard_shape shape = hadamard_shape_of(decode->coding.block);
    DIST_LAUNCH(hadamard_decode, hadamard_tiles(shape, decode->count), hadamard_threads(shape),
                hadamard_bytes(shape), stream, dist_frames_of(decode), shape);
    return cudaGetLastError();
}
