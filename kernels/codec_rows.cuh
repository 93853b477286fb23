/* Values with their feedback, for thread blocks of 256 that take rows of 256 elements, one a thread: a row is a block of
 * int8 feedback. Rows and what is kept of them are those of the CPU.
 */
#ifndef DIST_KERNELS_CODEC_ROWS_CUH
#define DIST_KERNELS_CODEC_ROWS_CUH

#include "kernels/codec_tile.cuh"

enum { DIST_ROW = DIST_TILE };

typedef struct dist_rows {
    const void *values;
    void *feedback;
    uint64_t count;
    float decay; /* of the feedback before it is added */
} dist_rows;

static inline dist_rows dist_rows_of(const dist_cuda_encode *encode)
{
    dist_rows rows;
    rows.values = encode->values;
    rows.feedback = encode->feedback;
    rows.count = encode->count;
    rows.decay = encode->decay;
    return rows;
}

template <uint32_t type> static __device__ float dist_value_at(const void *values, uint64_t i)
{
    if (type == DIST_CUDA_FLOAT32)
        return static_cast<const float *>(values)[i];
    const uint16_t bits = static_cast<const uint16_t *>(values)[i];
    return type == DIST_CUDA_FLOAT16 ? dist_half_to_float(bits) : dist_bfloat_to_float(bits);
}

/* A thread's element of row r of those from `first` on, a multiple of 256. */
static __device__ uint64_t dist_row_element(uint64_t first, int r)
{
    return first + threadIdx.x + static_cast<unsigned>(r * DIST_ROW);
}

/* int8: a float32 scale, then the codes of a row. */
static __device__ uint8_t *dist_kept_row(void *feedback, uint64_t first, int r)
{
    return static_cast<uint8_t *>(feedback) + first / DIST_ROW * DIST_TILE_FEEDBACK_BYTES +
           r * DIST_TILE_FEEDBACK_BYTES;
}

/* A row that is not finite has codes 0. What a processor makes of NaN when it rounds is its own affair. */
static __device__ uint8_t dist_kept_code(float e, float scale)
{
    return dist_is_finite(scale) ? static_cast<uint8_t>(dist_quantize(e, dist_divisor(scale), DIST_QMAX8))
                                 : static_cast<uint8_t>(0);
}

template <uint32_t keep> static __device__ float dist_kept_at(void *feedback, uint64_t first, int r)
{
    const uint64_t i = dist_row_element(first, r);
    if (keep == DIST_CUDA_KEEP_FP32)
        return static_cast<const float *>(feedback)[i];
    if (keep == DIST_CUDA_KEEP_BF16)
        return dist_bfloat_to_float(static_cast<const uint16_t *>(feedback)[i]);
    if (keep == DIST_CUDA_KEEP_NONE)
        return 0.0f;
    const uint8_t *const row = dist_kept_row(feedback, first, r);
    const int8_t code = static_cast<int8_t>(row[4 + threadIdx.x]);
    return dist_dequantize(code, *reinterpret_cast<const float *>(row));
}

/* One rounding for each step, as on the CPU; a decay of 1 changes nothing. */
template <uint32_t type, uint32_t keep>
static __device__ float dist_row_at(const dist_rows &rows, uint64_t first, int r)
{
    const float value = dist_value_at<type>(rows.values, dist_row_element(first, r));
    if (keep == DIST_CUDA_KEEP_NONE)
        return value;
    return dist_add(value, dist_mul(dist_kept_at<keep>(rows.feedback, first, r), rows.decay));
}

/* fp32 and bf16: what is kept of one element. */
template <uint32_t keep> static __device__ void dist_kept_put(void *feedback, uint64_t i, float e)
{
    if (keep == DIST_CUDA_KEEP_FP32)
        static_cast<float *>(feedback)[i] = e;
    if (keep == DIST_CUDA_KEEP_BF16)
        static_cast<uint16_t *>(feedback)[i] = dist_bfloat_from_float(e);
}

/* Keeps e[r] of row r for all rows. All threads call it; `peaks` are `count` zeros in shared memory that are visible to
 * all. */
template <uint32_t keep, int count>
static __device__ void dist_rows_keep(const dist_rows &rows, uint64_t first, const float *e, uint32_t *peaks)
{
    if (keep == DIST_CUDA_KEEP_INT8) {
        DIST_UNROLL
        for (int r = 0; r < count; r++) {
            const bool there = dist_row_element(first, r) < rows.count;
            const uint32_t peak = dist_warp_max(there ? dist_magnitude(e[r]) : 0u, 32);
            if (threadIdx.x % 32 == 0)
                atomicMax(&peaks[r], peak);
        }
        __syncthreads();
    }
    DIST_UNROLL
    for (int r = 0; r < count; r++) {
        const uint64_t i = dist_row_element(first, r);
        if (i >= rows.count)
            break;
        if (keep != DIST_CUDA_KEEP_INT8) {
            dist_kept_put<keep>(rows.feedback, i, e[r]);
            continue;
        }
        const float scale = dist_scale8(peaks[r]);
        uint8_t *const row = dist_kept_row(rows.feedback, first, r);
        row[4 + threadIdx.x] = dist_kept_code(e[r], scale);
        if (threadIdx.x == 0)
            *reinterpret_cast<float *>(row) = scale;
    }
}

/* Calls launch<type, keep> of a struct `what` for the type and feedback of an encode. */
template <typename what, uint32_t type, typename... given> int dist_by_keep(uint32_t keep, given... arguments)
{
    switch (keep) {
    case DIST_CUDA_KEEP_FP32:
        return what::template launch<type, DIST_CUDA_KEEP_FP32>(arguments...);
    case DIST_CUDA_KEEP_BF16:
        return what::template launch<type, DIST_CUDA_KEEP_BF16>(arguments...);
    case DIST_CUDA_KEEP_INT8:
        return what::template launch<type, DIST_CUDA_KEEP_INT8>(arguments...);
    default:
        return what::template launch<type, DIST_CUDA_KEEP_NONE>(arguments...);
    }
}

template <typename what> int dist_launch_by_form(const dist_cuda_encode *encode, cudaStream_t stream)
{
    const uint32_t keep = encode->keep;
    switch (encode->type) {
    case DIST_CUDA_FLOAT16:
        return dist_by_keep<what, DIST_CUDA_FLOAT16>(keep, encode, stream);
    case DIST_CUDA_BFLOAT16:
        return dist_by_keep<what, DIST_CUDA_BFLOAT16>(keep, encode, stream);
    default:
        return dist_by_keep<what, DIST_CUDA_FLOAT32>(keep, encode, stream);
    }
}

#endif
