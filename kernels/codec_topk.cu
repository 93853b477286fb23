/* topk: the largest elements of a whole frame, the same ones whatever the order of threads.
 *
 * Encode: three times count (digits of magnitudes) and narrow (to the digit of the threshold); then tile_counts (what
 * each tile sends), place_tiles (what the tiles before it send) and send. Only counts are added in no order.
 * Decode: a thread block makes the sum of all frames over a tile in shared memory.
 */
#include "kernels/codec_select.cuh"
#include "kernels/codec_sum.cuh"

enum {
    TOPK_ROWS = 8,
    TOPK_TILE = TOPK_ROWS * DIST_ROW, /* of an encode */
    TOPK_WARPS = DIST_ROW / 32,
    TOPK_SUM = 4096, /* elements of a tile of a decode */
    TOPK_PLACERS = 1024
};

/* Thread blocks that count: each adds its bins to those of all. */
static const unsigned topk_counters = 1024;

/* The workspace, after what all codecs have there; two 32-bit counts for each tile follow. */
typedef struct dist_topk_work {
    uint32_t prefix; /* the threshold, as far as it is known */
    uint32_t
        wanted; /* which of the elements with this prefix it is; in the end how many that equal it are sent */
    uint32_t unused[2];
    uint32_t bin[DIST_SELECT_BINS];
} dist_topk_work;

/* What a tile sends, or what the tiles before it send: elements above the threshold, and equal to it. */
typedef struct dist_topk_tile {
    uint32_t above, equal;
} dist_topk_tile;

static inline uint64_t topk_tiles(uint64_t count)
{
    return (count + TOPK_TILE - 1) / TOPK_TILE;
}

uint64_t dist_workspace_topk(dist_coding, uint64_t count)
{
    return sizeof(dist_topk_work) + topk_tiles(count) * sizeof(dist_topk_tile);
}

/* Elements first + 256 r + threadIdx.x; 0 beyond the end. */
template <uint32_t type, uint32_t keep>
static __device__ void topk_load(const dist_rows &rows, uint64_t first, float *h)
{
    DIST_UNROLL
    for (int r = 0; r < TOPK_ROWS; r++) {
        const bool there = dist_row_element(first, r) < rows.count;
        h[r] = there ? dist_row_at<type, keep>(rows, first, r) : 0.0f;
    }
}

template <uint32_t type, uint32_t keep>
static __global__ void __launch_bounds__(DIST_ROW) topk_count(dist_rows rows, dist_topk_work *work, int pass)
{
    DIST_SHARED(uint32_t, bins, [DIST_SELECT_BINS]);
    const dist_digit digit = dist_digit_of(pass);
    const uint32_t prefix = pass ? work->prefix : 0u;
    for (uint32_t b = threadIdx.x; b < digit.bins; b += DIST_ROW)
        bins[b] = 0;
    DIST_BARRIER(1); /* the bins are empty before any is counted in */
    for (uint64_t first = static_cast<uint64_t>(blockIdx.x) * TOPK_TILE; first < rows.count;
         first += static_cast<uint64_t>(gridDim.x) * TOPK_TILE) {
        float h[TOPK_ROWS];
        topk_load<type, keep>(rows, first, h);
        DIST_UNROLL
        for (int r = 0; r < TOPK_ROWS; r++)
            dist_count_digit(bins, digit, prefix, dist_magnitude(h[r]));
    }
    DIST_BARRIER(2); /* all is counted */
    for (uint32_t b = threadIdx.x; b < digit.bins; b += DIST_ROW) {
        if (bins[b])
            atomicAdd(&work->bin[b], bins[b]);
    }
}

/* One block. Leaves the bins empty. */
static __global__ void __launch_bounds__(DIST_ROW) topk_narrow(dist_topk_work *work, uint32_t kept, int pass)
{
    DIST_SHARED(uint32_t, bins, [DIST_SELECT_BINS]);
    DIST_SHARED(uint32_t, scratch, [32]);
    DIST_SHARED(dist_narrowed, found, );
    const dist_digit digit = dist_digit_of(pass);
    const uint32_t prefix = pass ? work->prefix : 0u, wanted = pass ? work->wanted : kept;
    for (uint32_t b = threadIdx.x; b < digit.bins; b += DIST_ROW) {
        bins[b] = work->bin[b];
        work->bin[b] = 0;
    }
    DIST_BARRIER(3); /* the bins are there, and everyone has read the state */
    const dist_narrowed to = dist_narrow(bins, digit.bins, wanted, scratch, &found);
    if (threadIdx.x == 0) {
        work->prefix = prefix | to.bin << digit.shift;
        work->wanted = to.wanted;
    }
}

/* Counts of both kinds in one word: each is at most TOPK_TILE. */
static __device__ uint32_t topk_pack(uint32_t above, uint32_t equal)
{
    return above << 16 | equal;
}

/* What a warp sends of one row, and which of it the lanes below this one send. */
typedef struct dist_topk_votes {
    unsigned above, equal;
} dist_topk_votes;

static __device__ dist_topk_votes topk_vote(uint32_t magnitude, uint32_t threshold, bool there)
{
    dist_topk_votes votes;
    votes.above = __ballot_sync(DIST_ALL_LANES, there && magnitude > threshold);
    votes.equal = __ballot_sync(DIST_ALL_LANES, there && magnitude == threshold);
    return votes;
}

static __device__ uint32_t topk_count_votes(dist_topk_votes votes, unsigned lanes)
{
    return topk_pack(static_cast<uint32_t>(__popc(votes.above & lanes)),
                     static_cast<uint32_t>(__popc(votes.equal & lanes)));
}

template <uint32_t type, uint32_t keep>
static __global__ void __launch_bounds__(DIST_ROW)
    topk_tile_counts(dist_rows rows, const dist_topk_work *work, dist_topk_tile *tile, uint64_t tiles)
{
    DIST_SHARED(uint32_t, sums, [TOPK_WARPS]);
    const uint32_t threshold = work->prefix;
    for (uint64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        float h[TOPK_ROWS];
        uint32_t sum = 0;
        topk_load<type, keep>(rows, t * TOPK_TILE, h);
        DIST_UNROLL
        for (int r = 0; r < TOPK_ROWS; r++) {
            const bool there = dist_row_element(t * TOPK_TILE, r) < rows.count;
            sum += topk_count_votes(topk_vote(dist_magnitude(h[r]), threshold, there), DIST_ALL_LANES);
        }
        if (threadIdx.x % 32 == 0)
            sums[threadIdx.x / 32] = sum;
        DIST_BARRIER(4); /* the sums of all warps are there */
        if (threadIdx.x == 0) {
            uint32_t all = 0;
            for (int w = 0; w < TOPK_WARPS; w++)
                all += sums[w];
            tile[t].above = all >> 16;
            tile[t].equal = all & 0xffffu;
        }
        DIST_BARRIER(5); /* and read, before those of the next tile */
    }
}

/* One block. The counts of a frame fit 32 bits, so both go into one 64-bit sum. */
static __global__ void __launch_bounds__(TOPK_PLACERS) topk_place_tiles(dist_topk_tile *tile, uint64_t tiles)
{
    DIST_SHARED(uint64_t, scratch, [32]);
    uint64_t before = 0;
    for (uint64_t first = 0; first < tiles; first += 4 * TOPK_PLACERS) {
        const uint64_t t = first + 4 * threadIdx.x;
        uint64_t count[4], mine = 0, all;
        DIST_UNROLL
        for (int j = 0; j < 4; j++) {
            const bool there = t + j < tiles;
            count[j] = there ? static_cast<uint64_t>(tile[t + j].above) << 32 | tile[t + j].equal : 0;
            mine += count[j];
        }
        uint64_t place = before + dist_sum_before(mine, scratch, &all);
        DIST_UNROLL
        for (int j = 0; j < 4; j++) {
            if (t + j < tiles) {
                tile[t + j].above = static_cast<uint32_t>(place >> 32);
                tile[t + j].equal = static_cast<uint32_t>(place);
            }
            place += count[j];
        }
        before += all;
    }
}

/* Where the sent elements go. */
typedef struct dist_topk_out {
    uint32_t *index, *value;
    unsigned long long *nonfinite;
} dist_topk_out;

/* votes[r * TOPK_WARPS + w] becomes the count of rows and warps before it. By the first warp. */
static __device__ void topk_place_warps(uint32_t *votes)
{
    if (threadIdx.x >= 32)
        return;
    const uint32_t even = votes[2 * threadIdx.x], both = even + votes[2 * threadIdx.x + 1];
    const uint32_t before = dist_sum_up_to(both) - both;
    votes[2 * threadIdx.x] = before;
    votes[2 * threadIdx.x + 1] = before + even;
}

/* Sends element i if it is among the largest. `before` counts what the frame sends before it. */
static __device__ bool topk_send(const dist_topk_out &out, uint64_t i, float h, uint32_t threshold,
                                 uint32_t ties, dist_topk_tile before)
{
    const uint32_t magnitude = dist_magnitude(h);
    if (magnitude < threshold || (magnitude == threshold && before.equal >= ties))
        return false;
    const uint32_t place = before.above + (before.equal < ties ? before.equal : ties);
    out.index[place] = static_cast<uint32_t>(i);
    out.value[place] = magnitude > DIST_INFINITY_BITS ? DIST_NAN_BITS : dist_bits_of(h);
    return true;
}

template <uint32_t type, uint32_t keep>
static __global__ void __launch_bounds__(DIST_ROW)
    topk_write(dist_rows rows, const dist_topk_work *work, const dist_topk_tile *tile, uint64_t tiles,
               dist_topk_out out)
{
    DIST_SHARED(uint32_t, votes, [TOPK_ROWS * TOPK_WARPS]);
    DIST_SHARED(uint32_t, peaks, [TOPK_ROWS]);
    const uint32_t threshold = work->prefix, ties = work->wanted;
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (uint64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        const uint64_t first = t * TOPK_TILE;
        uint32_t nonfinite = 0, below[TOPK_ROWS];
        float h[TOPK_ROWS];
        topk_load<type, keep>(rows, first, h);
        DIST_UNROLL
        for (int r = 0; r < TOPK_ROWS; r++) {
            const bool there = dist_row_element(first, r) < rows.count;
            const dist_topk_votes vote = topk_vote(dist_magnitude(h[r]), threshold, there);
            below[r] = topk_count_votes(vote, (1u << lane) - 1u);
            if (lane == 0)
                votes[r * TOPK_WARPS + warp] = topk_count_votes(vote, DIST_ALL_LANES);
        }
        if (threadIdx.x < TOPK_ROWS)
            peaks[threadIdx.x] = 0;
        DIST_BARRIER(6); /* the votes of all rows and warps are there */
        topk_place_warps(votes);
        DIST_BARRIER(7); /* and have become places */
        DIST_UNROLL
        for (int r = 0; r < TOPK_ROWS; r++) {
            const uint64_t i = dist_row_element(first, r);
            if (i >= rows.count)
                break;
            const uint32_t here = votes[r * TOPK_WARPS + warp] + below[r];
            dist_topk_tile before = tile[t];
            before.above += here >> 16;
            before.equal += here & 0xffffu;
            const bool sent = topk_send(out, i, h[r], threshold, ties, before), finite = dist_is_finite(h[r]);
            nonfinite += !finite;
            h[r] = !finite ? dist_kept_at<keep>(rows.feedback, first, r)
                   : sent  ? 0.0f
                           : h[r]; /* what is kept */
        }
        if (nonfinite)
            atomicAdd(out.nonfinite, static_cast<unsigned long long>(nonfinite));
        if (keep != DIST_CUDA_KEEP_NONE)
            dist_rows_keep<keep, TOPK_ROWS>(rows, first, h, peaks);
        DIST_BARRIER(8); /* shared memory is read, before the next tile's */
    }
}

struct topk_encoder {
    template <uint32_t type, uint32_t keep>
    static int launch(const dist_cuda_encode *encode, cudaStream_t stream)
    {
        const dist_rows rows = dist_rows_of(encode);
        const dist_layout layout = dist_layout_of(encode->coding, encode->count);
        const uint64_t tiles = topk_tiles(encode->count);
        const unsigned blocks = dist_cuda_blocks(tiles),
                       counters = blocks < topk_counters ? blocks : topk_counters;
        uint8_t *const own = static_cast<uint8_t *>(encode->workspace) + DIST_CUDA_WORK_BYTES;
        uint8_t *const frame = static_cast<uint8_t *>(encode->frame);
        dist_topk_work *const work = reinterpret_cast<dist_topk_work *>(own);
        dist_topk_tile *const tile = reinterpret_cast<dist_topk_tile *>(own + sizeof *work);
        const dist_topk_out out = {reinterpret_cast<uint32_t *>(frame + layout.at[0]),
                                   reinterpret_cast<uint32_t *>(frame + layout.at[1]),
                                   &dist_cuda_work_of(encode)->nonfinite};
        const cudaError_t cleared = cudaMemsetAsync(work, 0, sizeof *work, stream);
        if (cleared != cudaSuccess)
            return cleared;
        for (int pass = 0; pass < DIST_SELECT_PASSES; pass++) {
            DIST_LAUNCH((topk_count<type, keep>), counters, DIST_ROW, 0, stream, rows, work, pass);
            DIST_LAUNCH(topk_narrow, 1, DIST_ROW, 0, stream, work, encode->coding.kept, pass);
        }
        DIST_LAUNCH((topk_tile_counts<type, keep>), blocks, DIST_ROW, 0, stream, rows, work, tile, tiles);
        DIST_LAUNCH(topk_place_tiles, 1, TOPK_PLACERS, 0, stream, tile, tiles);
        DIST_LAUNCH((topk_write<type, keep>), blocks, DIST_ROW, 0, stream, rows, work, tile, tiles, out);
        return cudaGetLastError();
    }
};

int dist_launch_encode_topk(const dist_cuda_encode *encode, cudaStream_t stream)
{
    return dist_launch_by_form<topk_encoder>(encode, stream);
}

/* Where the entries of a frame lie. */
typedef struct dist_topk_sections {
    uint64_t index, value; /* from the start of a frame */
    uint32_t kept;
} dist_topk_sections;

/* The first of `kept` rising indices that is not below `target`. A warp looks at 32 places at once. */
static __device__ uint32_t topk_search(const uint32_t *index, uint32_t kept, uint64_t target)
{
    uint64_t low = 0, high = kept;
    while (low < high) {
        const uint64_t step = (high - low + 31) / 32, at = low + step * (threadIdx.x % 32);
        const unsigned below = __ballot_sync(DIST_ALL_LANES, at < high && index[at] < target);
        const uint64_t n = static_cast<uint64_t>(__popc(below)), beyond = low + n * step;
        high = beyond < high ? beyond : high;
        low = n ? low + (n - 1) * step + 1 : low;
    }
    return static_cast<uint32_t>(low);
}

static __global__ void __launch_bounds__(DIST_ROW)
    topk_sum(const dist_frames frames, dist_topk_sections sections)
{
    DIST_SHARED(float, sum, [TOPK_SUM]);
    DIST_SHARED(uint32_t, bound, [2 * DIST_CUDA_FRAMES]); /* where the entries of the tile begin and end */
    for (uint64_t first = static_cast<uint64_t>(blockIdx.x) * TOPK_SUM; first < frames.count;
         first += static_cast<uint64_t>(gridDim.x) * TOPK_SUM) {
        for (uint32_t s = threadIdx.x / 32; s < 2 * static_cast<uint32_t>(frames.frames); s += TOPK_WARPS) {
            const uint32_t *const index =
                reinterpret_cast<const uint32_t *>(frames.frame[s / 2] + sections.index);
            const uint32_t found = topk_search(index, sections.kept, first + s % 2 * TOPK_SUM);
            if (threadIdx.x % 32 == 0)
                bound[s] = found;
        }
        for (uint32_t i = threadIdx.x; i < TOPK_SUM; i += DIST_ROW)
            sum[i] = 0.0f;
        DIST_BARRIER(9); /* the bounds and zeros are there */
        for (uint32_t f = 0; f < static_cast<uint32_t>(frames.frames); f++) {
            const uint32_t *const index =
                reinterpret_cast<const uint32_t *>(frames.frame[f] + sections.index);
            const float *const value = reinterpret_cast<const float *>(frames.frame[f] + sections.value);
            for (uint32_t e = bound[2 * f] + threadIdx.x; e < bound[2 * f + 1]; e += DIST_ROW) {
                float *const to = &sum[index[e] - first];
                *to = f ? dist_sum(*to, value[e]) : value[e];
            }
            DIST_BARRIER(10); /* frames are added in their order */
        }
        for (uint32_t i = 4 * threadIdx.x; i < TOPK_SUM; i += 4 * DIST_ROW) {
            const float quad[4] = {sum[i], sum[i + 1], sum[i + 2], sum[i + 3]};
            dist_unstage_quad(frames, first + i, dist_quad_length(frames.count, first + i), quad);
        }
        DIST_BARRIER(11); /* the sums are read, before the next tile's */
    }
}

/* values += one frame: only what it has is touched. */
static __global__ void __launch_bounds__(DIST_ROW)
    topk_add(const uint8_t *frame, dist_topk_sections sections, float *values)
{
    const uint32_t *const index = reinterpret_cast<const uint32_t *>(frame + sections.index);
    const float *const value = reinterpret_cast<const float *>(frame + sections.value);
    for (uint64_t e = static_cast<uint64_t>(blockIdx.x) * DIST_ROW + threadIdx.x; e < sections.kept;
         e += static_cast<uint64_t>(gridDim.x) * DIST_ROW) {
        float *const to = &values[index[e]];
        *to = dist_sum(*to, value[e]);
    }
}

int dist_launch_decode_topk(const dist_cuda_decode *decode, cudaStream_t stream)
{
    const dist_frames frames = dist_frames_of(decode);
    const dist_topk_sections sections = {frames.layout.at[0], frames.layout.at[1], decode->coding.kept};
    /* One frame that is added to float32 values touches only what it has. */
    if (frames.add && frames.frames == 1 && frames.divisor == 1 && frames.type == DIST_CUDA_FLOAT32) {
        const unsigned blocks =
            dist_cuda_blocks((static_cast<uint64_t>(sections.kept) + DIST_ROW - 1) / DIST_ROW);
        DIST_LAUNCH(topk_add, blocks, DIST_ROW, 0, stream, frames.frame[0], sections,
                    static_cast<float *>(frames.values));
    } else {
        const unsigned blocks = dist_cuda_blocks((frames.count + TOPK_SUM - 1) / TOPK_SUM);
        DIST_LAUNCH(topk_sum, blocks, DIST_ROW, 0, stream, frames, sections);
    }
    return cudaGetLastError();
}
