/* sparseloco: a thread block takes a chunk of 4096 elements, of which each of its 256 threads holds 16. */
#include "kernels/codec_select.cuh"
#include "kernels/codec_sum.cuh"
#include "kernels/sparse.h"

enum {
    SPARSE_ROWS = DIST_SPARSE_CHUNK / DIST_ROW,
    SPARSE_WARPS = DIST_ROW / 32,
    SPARSE_PLACES = DIST_SPARSE_CHUNK / DIST_SPARSE_SHARE
};

uint64_t dist_workspace_sparse(dist_coding, uint64_t)
{
    return 0;
}

/* The elements of a chunk that are worth a place, by rising index. */
typedef struct dist_sparse_found {
    uint32_t count, middle; /* how many; the magnitude of the middle one */
    uint32_t index[SPARSE_PLACES];
    uint32_t magnitude[SPARSE_PLACES];
    float h[SPARSE_PLACES];
} dist_sparse_found;

/* What is sent: places that are not used are 0. */
typedef struct dist_sparse_sent {
    uint32_t warp[2]; /* how many each of two warps sends */
    uint32_t index[SPARSE_PLACES];
    uint32_t code[SPARSE_PLACES];
} dist_sparse_sent;

typedef struct dist_sparse_out {
    uint8_t *scales, *indices, *codes;
    unsigned long long *nonfinite;
} dist_sparse_out;

/* Shared by the steps of an encode. */
typedef struct dist_sparse_work {
    uint32_t bins[DIST_SELECT_BINS];
    uint32_t scratch[32];
    uint32_t votes[SPARSE_ROWS * SPARSE_WARPS];
    uint32_t peaks[SPARSE_ROWS]; /* of what is kept, a row each */
    uint32_t peak;
    dist_narrowed narrowed;
    dist_sparse_found found;
    dist_sparse_sent sent;
} dist_sparse_work;

/* Elements of a chunk from which on the frame has `rest`. */
static __device__ uint32_t sparse_length(uint64_t rest)
{
    const uint64_t chunk = DIST_SPARSE_CHUNK;
    return static_cast<uint32_t>(rest < chunk ? rest : chunk);
}

/* Empties all of it that is added to. */
static __device__ void sparse_clear(dist_sparse_work &work)
{
    for (uint32_t b = threadIdx.x; b < DIST_SELECT_BINS; b += DIST_ROW)
        work.bins[b] = 0;
    if (threadIdx.x < SPARSE_ROWS)
        work.peaks[threadIdx.x] = 0;
    if (threadIdx.x < SPARSE_PLACES) {
        work.sent.index[threadIdx.x] = 0;
        work.sent.code[threadIdx.x] = 0;
    }
    if (threadIdx.x == 0) {
        work.peak = 0;
        work.found.middle = 0;
    }
}

/* The largest magnitude of the chunk. */
static __device__ uint32_t sparse_peak(dist_sparse_work &work, const float *h)
{
    uint32_t peak = 0;
    DIST_UNROLL
    for (int r = 0; r < SPARSE_ROWS; r++)
        peak = dist_magnitude(h[r]) > peak ? dist_magnitude(h[r]) : peak;
    peak = dist_warp_max(peak, 32);
    if (threadIdx.x % 32 == 0)
        atomicMax(&work.peak, peak);
    DIST_BARRIER(1); /* the peaks of all warps are in */
    return work.peak;
}

/* The threshold of the `kept` largest, and how many that equal it are among them. */
static __device__ dist_narrowed sparse_threshold(dist_sparse_work &work, const float *h, uint32_t kept)
{
    dist_narrowed threshold;
    threshold.bin = 0;
    threshold.wanted = kept;
    for (int pass = 0; pass < DIST_SELECT_PASSES; pass++) {
        const dist_digit digit = dist_digit_of(pass);
        DIST_UNROLL
        for (int r = 0; r < SPARSE_ROWS; r++)
            dist_count_digit(work.bins, digit, threshold.bin, dist_magnitude(h[r]));
        DIST_BARRIER(2); /* all is counted */
        const dist_narrowed to =
            dist_narrow(work.bins, digit.bins, threshold.wanted, work.scratch, &work.narrowed);
        threshold.bin |= to.bin << digit.shift;
        threshold.wanted = to.wanted;
        for (uint32_t b = threadIdx.x; b < digit.bins; b += DIST_ROW)
            work.bins[b] = 0;
        DIST_BARRIER(3); /* the bins are empty again */
    }
    return threshold;
}

/* votes[r * SPARSE_WARPS + w] becomes the count of rows and warps before it. By the first warp, four each. */
static __device__ void sparse_place_votes(uint32_t *votes)
{
    uint32_t count[4], mine = 0;
    if (threadIdx.x >= 32)
        return;
    DIST_UNROLL
    for (int j = 0; j < 4; j++) {
        count[j] = votes[4 * threadIdx.x + j];
        mine += count[j];
    }
    uint32_t before = dist_sum_up_to(mine) - mine;
    DIST_UNROLL
    for (int j = 0; j < 4; j++) {
        votes[4 * threadIdx.x + j] = before;
        before += count[j];
    }
}

/* Counts of what is above the threshold, and of what equals it, of the lanes in `lanes`: neither exceeds 4096. */
static __device__ uint32_t sparse_vote(uint32_t magnitude, uint32_t threshold, unsigned lanes)
{
    const unsigned above = __ballot_sync(DIST_ALL_LANES, magnitude > threshold);
    const unsigned equal = __ballot_sync(DIST_ALL_LANES, magnitude && magnitude == threshold);
    return static_cast<uint32_t>(__popc(above & lanes) << 16 | __popc(equal & lanes));
}

/* Lists what is worth a place; bit r of the result tells that row's element of this thread is. */
static __device__ uint32_t sparse_find(dist_sparse_work &work, const float *h, dist_narrowed threshold)
{
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    uint32_t mine = 0;
    DIST_UNROLL
    for (int r = 0; r < SPARSE_ROWS; r++) {
        const uint32_t votes = sparse_vote(dist_magnitude(h[r]), threshold.bin, DIST_ALL_LANES);
        if (lane == 0)
            work.votes[r * SPARSE_WARPS + warp] = votes;
    }
    DIST_BARRIER(4); /* the votes of all rows and warps are there */
    sparse_place_votes(work.votes);
    DIST_BARRIER(5); /* and have become places */
    DIST_UNROLL
    for (int r = 0; r < SPARSE_ROWS; r++) {
        const uint32_t magnitude = dist_magnitude(h[r]);
        const uint32_t before =
            work.votes[r * SPARSE_WARPS + warp] + sparse_vote(magnitude, threshold.bin, (1u << lane) - 1u);
        const uint32_t above = before >> 16, equal = before & 0xffffu;
        const bool found = magnitude > threshold.bin ||
                           (magnitude && magnitude == threshold.bin && equal < threshold.wanted);
        const uint32_t place = above + (equal < threshold.wanted ? equal : threshold.wanted);
        if (found) {
            work.found.index[place] = static_cast<uint32_t>(r) * DIST_ROW + threadIdx.x;
            work.found.magnitude[place] = magnitude;
            work.found.h[place] = h[r];
            mine |= 1u << r;
        }
        if (r == SPARSE_ROWS - 1 && threadIdx.x == DIST_ROW - 1)
            work.found.count = place + found;
    }
    DIST_BARRIER(6); /* the list is complete */
    return mine;
}

/* The middle one of the list: its ceil(count / 2)-th largest magnitude, 0 of an empty one. Several threads may hold
 * it, and write the same. */
static __device__ uint32_t sparse_middle(dist_sparse_work &work)
{
    const uint32_t count = work.found.count, rank = (count + 1) / 2;
    if (threadIdx.x < count) {
        const uint32_t mine = work.found.magnitude[threadIdx.x];
        uint32_t above = 0, equal = 0;
        for (uint32_t i = 0; i < count; i++) {
            above += work.found.magnitude[i] > mine;
            equal += work.found.magnitude[i] == mine;
        }
        if (above < rank && rank <= above + equal)
            atomicMax(&work.found.middle, mine);
    }
    DIST_BARRIER(7); /* the middle one is known */
    return work.found.middle;
}

/* Gives places to those of the list that are sent. The first two warps have one of it a lane. */
static __device__ void sparse_send(dist_sparse_work &work, dist_sparse_levels levels)
{
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const bool sent = threadIdx.x < work.found.count && levels.hi > 0.0f &&
                      dist_sparse_is_sent(work.found.magnitude[threadIdx.x], levels);
    const unsigned votes = __ballot_sync(DIST_ALL_LANES, sent);
    if (lane == 0 && warp < 2)
        work.sent.warp[warp] = static_cast<uint32_t>(__popc(votes));
    DIST_BARRIER(8); /* how many the first warp sends */
    if (sent) {
        const uint32_t place =
            (warp ? work.sent.warp[0] : 0u) + static_cast<uint32_t>(__popc(votes & ((1u << lane) - 1u)));
        work.sent.index[place] = work.found.index[threadIdx.x];
        work.sent.code[place] = dist_sparse_code_of(work.found.h[threadIdx.x], levels);
    }
    DIST_BARRIER(9); /* all places are filled */
}

/* Byte b of the packed indices, and of the codes. */
static __device__ uint8_t sparse_index_byte(const uint32_t *index, uint32_t places, uint32_t b)
{
    const uint32_t even = b / 3 * 2, first = index[even], second = even + 1 < places ? index[even + 1] : 0u;
    return static_cast<uint8_t>((first | second << 12) >> b % 3 * 8);
}

static __device__ uint8_t sparse_code_byte(const uint32_t *code, uint32_t places, uint32_t b)
{
    uint32_t byte = 0;
    for (uint32_t j = 0; j < 4 && 4 * b + j < places; j++)
        byte |= code[4 * b + j] << 2 * j;
    return static_cast<uint8_t>(byte);
}

static __device__ void sparse_write(const dist_sparse_sent &sent, const dist_sparse_out &out, uint64_t chunk,
                                    uint32_t places, dist_sparse_levels levels)
{
    const uint64_t first = chunk * DIST_SPARSE_CHUNK;
    uint8_t *const indices = out.indices + dist_sparse_bytes(first, SPARSE_PLACES * 12 / 8, 12);
    uint8_t *const codes = out.codes + dist_sparse_bytes(first, SPARSE_PLACES * 2 / 8, 2);
    const uint32_t t = threadIdx.x;
    if (t < (places * 12 + 7) / 8)
        indices[t] = sparse_index_byte(sent.index, places, t);
    if (t < (places * 2 + 7) / 8)
        codes[t] = sparse_code_byte(sent.code, places, t);
    if (t == 0)
        *reinterpret_cast<uint32_t *>(out.scales + 4 * chunk) =
            levels.lo_bits | static_cast<uint32_t>(levels.hi_bits) << 16;
}

/* h becomes what is kept of it: all of it where nothing is sent, what was kept before in a chunk that is not finite. */
template <uint32_t keep>
static __device__ void sparse_residual(const dist_rows &rows, uint64_t first, float *h, uint32_t found,
                                       bool finite, dist_sparse_levels levels)
{
    DIST_UNROLL
    for (int r = 0; r < SPARSE_ROWS; r++) {
        const bool sent = finite && found >> r & 1u && levels.hi > 0.0f &&
                          dist_sparse_is_sent(dist_magnitude(h[r]), levels);
        if (dist_row_element(first, r) >= rows.count)
            break;
        if (sent)
            h[r] = dist_sub(h[r], dist_sparse_value(dist_sparse_code_of(h[r], levels), levels));
        if (!finite)
            h[r] = dist_kept_at<keep>(rows.feedback, first, r);
    }
}

template <uint32_t type, uint32_t keep>
static __global__ void __launch_bounds__(DIST_ROW, 2) sparse_encode(dist_rows rows, dist_sparse_out out)
{
    DIST_SHARED(dist_sparse_work, work, );
    const uint64_t chunks = dist_blocks_of(rows.count, DIST_SPARSE_CHUNK);
    for (uint64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        const uint64_t first = chunk * DIST_SPARSE_CHUNK, rest = rows.count - first;
        const uint32_t places = dist_sparse_kept(sparse_length(rest));
        float h[SPARSE_ROWS];
        DIST_UNROLL
        for (int r = 0; r < SPARSE_ROWS; r++) {
            const bool there = dist_row_element(first, r) < rows.count;
            h[r] = there ? dist_row_at<type, keep>(rows, first, r) : 0.0f;
        }
        sparse_clear(work);
        DIST_BARRIER(10); /* all counts are 0 */
        const uint32_t peak = sparse_peak(work, h);
        const bool finite = peak < DIST_INFINITY_BITS; /* for all threads alike */
        dist_sparse_levels levels = dist_sparse_levels_of(DIST_HALF_NAN, DIST_HALF_NAN);
        uint32_t found = 0;
        if (finite) {
            found = sparse_find(work, h, sparse_threshold(work, h, places));
            levels = dist_sparse_levels_from(sparse_middle(work), peak);
            sparse_send(work, levels);
        } else if (threadIdx.x == 0) {
            atomicAdd(out.nonfinite, 1ull);
        }
        sparse_write(work.sent, out, chunk, places, levels);
        if (keep != DIST_CUDA_KEEP_NONE) {
            sparse_residual<keep>(rows, first, h, found, finite, levels);
            dist_rows_keep<keep, SPARSE_ROWS>(rows, first, h, work.peaks);
        }
        DIST_BARRIER(11); /* shared memory is read, before the next chunk's */
    }
}

struct sparse_encoder {
    template <uint32_t type, uint32_t keep>
    static int launch(const dist_cuda_encode *encode, cudaStream_t stream)
    {
        const dist_layout layout = dist_layout_of(encode->coding, encode->count);
        uint8_t *const frame = static_cast<uint8_t *>(encode->frame);
        const dist_sparse_out out = {frame + layout.at[0], frame + layout.at[1], frame + layout.at[2],
                                     &dist_cuda_work_of(encode)->nonfinite};
        const unsigned blocks = dist_cuda_blocks(dist_blocks_of(encode->count, DIST_SPARSE_CHUNK));
        DIST_LAUNCH((sparse_encode<type, keep>), blocks, DIST_ROW, 0, stream, dist_rows_of(encode), out);
        return cudaGetLastError();
    }
};

int dist_launch_encode_sparse(const dist_cuda_encode *encode, cudaStream_t stream)
{
    return dist_launch_by_form<sparse_encoder>(encode, stream);
}

/* Adds one frame's chunk of n elements to the sums, or sets them with `fresh`. A chunk that is not finite is NaN
 * whatever the others are. Each thread takes a place. */
static __device__ void sparse_add(const uint8_t *frame, const dist_layout &layout, uint64_t chunk, uint32_t n,
                                  bool fresh, float *sum)
{
    const uint64_t first = chunk * DIST_SPARSE_CHUNK;
    const uint8_t *const indices =
        frame + layout.at[1] + dist_sparse_bytes(first, SPARSE_PLACES * 12 / 8, 12);
    const uint8_t *const codes = frame + layout.at[2] + dist_sparse_bytes(first, SPARSE_PLACES * 2 / 8, 2);
    const uint32_t stored = *reinterpret_cast<const uint32_t *>(frame + layout.at[0] + 4 * chunk);
    const uint32_t place = threadIdx.x;
    if (stored >> 16 == DIST_HALF_NAN) {
        for (uint32_t i = threadIdx.x; i < n; i += DIST_ROW)
            sum[i] = dist_float_of(DIST_NAN_BITS);
        return;
    }
    const dist_sparse_levels levels =
        dist_sparse_levels_of(static_cast<uint16_t>(stored), static_cast<uint16_t>(stored >> 16));
    if (place >= dist_sparse_kept(n) || !(levels.hi > 0.0f))
        return;
    const uint32_t i = dist_sparse_index(indices, place);
    if (i == 0 && place > 0)
        return;
    const float value = dist_sparse_value(dist_sparse_code(codes, place), levels);
    sum[i] = fresh ? value : dist_sum(sum[i], value);
}

static __global__ void __launch_bounds__(DIST_ROW) sparse_decode(const dist_frames frames, bool in_place)
{
    DIST_SHARED(float, sum, [DIST_SPARSE_CHUNK]);
    const uint64_t chunks = dist_blocks_of(frames.count, DIST_SPARSE_CHUNK);
    for (uint64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        const uint64_t first = chunk * DIST_SPARSE_CHUNK, rest = frames.count - first;
        const uint32_t n = sparse_length(rest);
        if (in_place) { /* only what the one frame has is touched */
            sparse_add(frames.frame[0], frames.layout, chunk, n, false,
                       static_cast<float *>(frames.values) + first);
            continue;
        }
        for (uint32_t i = threadIdx.x; i < n; i += DIST_ROW)
            sum[i] = 0.0f;
        DIST_BARRIER(12); /* the zeros are there */
        for (int f = 0; f < frames.frames; f++) {
            sparse_add(frames.frame[f], frames.layout, chunk, n, f == 0, sum);
            DIST_BARRIER(13); /* frames are added in their order */
        }
        for (uint32_t i = 4 * threadIdx.x; i < n; i += 4 * DIST_ROW) {
            const float quad[4] = {sum[i], sum[i + 1], sum[i + 2], sum[i + 3]};
            dist_unstage_quad(frames, first + i, dist_quad_length(frames.count, first + i), quad);
        }
        DIST_BARRIER(14); /* the sums are read, before the next chunk's */
    }
}

int dist_launch_decode_sparse(const dist_cuda_decode *decode, cudaStream_t stream)
{
    const dist_frames frames = dist_frames_of(decode);
    const unsigned blocks = dist_cuda_blocks(dist_blocks_of(frames.count, DIST_SPARSE_CHUNK));
    /* One frame that is added to float32 values touches only what it has. */
    const bool in_place =
        frames.add && frames.frames == 1 && frames.divisor == 1 && frames.type == DIST_CUDA_FLOAT32;
    DIST_LAUNCH(sparse_decode, blocks, DIST_ROW, 0, stream, frames, in_place);
    return cudaGetLastError();
}
