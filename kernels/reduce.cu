/* Sums, minima, maxima and divisions of whole buffers, at the speed of memory.
 *
 * A thread has four vectors of 16 bytes of each buffer under way at once. What lies before the first multiple of 16
 * bytes and behind the last goes element by element; so does all, where the two buffers are not aligned alike.
 */
#include "kernels/reduce.h"

#include "kernels/codec_cuda.h"
#include "kernels/reduction.h"

#define DIST_REDUCE_THREADS 256
#define DIST_REDUCE_AHEAD   4 /* loads of a buffer that a thread has under way */
#define DIST_REDUCE_TILE    (DIST_REDUCE_THREADS * DIST_REDUCE_AHEAD)

/* Each takes what the number of blocks leaves over. */
#ifndef DIST_REDUCE_BLOCKS
#define DIST_REDUCE_BLOCKS (1u << 20)
#endif

#ifdef DIST_SIMT
#define DIST_UNROLLED
#else
#define DIST_UNROLLED _Pragma("unroll")
#endif

/* Which elements go as vectors: `vectors` of 16 bytes behind `head` elements. */
typedef struct dist_cut {
    uint64_t head, vectors, rest; /* rest: elements outside vectors */
} dist_cut;

template <uint32_t type> struct dist_element;

#define DIST_ELEMENT(number, name, c_type)                                                                   \
    template <> struct dist_element<number> {                                                                \
        typedef c_type as;                                                                                   \
        static __device__ __forceinline__ as sum(as a, as b)                                                 \
        {                                                                                                    \
            return dist_sum_##name(a, b);                                                                    \
        }                                                                                                    \
        static __device__ __forceinline__ as min(as a, as b)                                                 \
        {                                                                                                    \
            return dist_min_##name(a, b);                                                                    \
        }                                                                                                    \
        static __device__ __forceinline__ as max(as a, as b)                                                 \
        {                                                                                                    \
            return dist_max_##name(a, b);                                                                    \
        }                                                                                                    \
        static __device__ __forceinline__ as divide(as a, int by)                                            \
        {                                                                                                    \
            return dist_divide_##name(a, by);                                                                \
        }                                                                                                    \
    };

DIST_ELEMENT(DIST_CUDA_FLOAT32, float32, float)
DIST_ELEMENT(DIST_CUDA_FLOAT16, float16, uint16_t)
DIST_ELEMENT(DIST_CUDA_BFLOAT16, bfloat16, uint16_t)
DIST_ELEMENT(DIST_CUDA_FLOAT64, float64, double)
DIST_ELEMENT(DIST_CUDA_INT32, int32, int32_t)
DIST_ELEMENT(DIST_CUDA_INT64, int64, int64_t)

/* What is done to an element `a`, with `b` of the other buffer where there is one. */
template <uint32_t type_number, uint32_t reduction> struct dist_combine {
    static constexpr uint32_t type = type_number;
    static constexpr bool two = true;
    typedef typename dist_element<type>::as as;
    __device__ __forceinline__ as operator()(as a, as b) const
    {
        if constexpr (reduction == DIST_CUDA_SUM)
            return dist_element<type>::sum(a, b);
        else if constexpr (reduction == DIST_CUDA_MIN)
            return dist_element<type>::min(a, b);
        else
            return dist_element<type>::max(a, b);
    }
};

template <uint32_t type_number> struct dist_quotient {
    static constexpr uint32_t type = type_number;
    static constexpr bool two = false;
    typedef typename dist_element<type>::as as;
    int divisor;
    __device__ __forceinline__ as operator()(as a, as) const
    {
        return dist_element<type>::divide(a, divisor);
    }
};

template <typename operation>
static __device__ __forceinline__ uint4 dist_apply(const operation &apply, uint4 a, uint4 b)
{
    typedef typename operation::as as;
    as x[16 / sizeof(as)], y[16 / sizeof(as)];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    DIST_UNROLLED
    for (unsigned i = 0; i < 16 / sizeof(as); i++)
        x[i] = apply(x[i], y[i]);
    memcpy(&a, x, sizeof a);
    return a;
}

template <typename operation>
static __device__ __forceinline__
    typename operation::as dist_apply(const operation &apply, typename operation::as a,
                                      typename operation::as b)
{
    return apply(a, b);
}

/* One tile of units, vectors or elements, of which `there` are there. All loads come before all stores. Unit i is at
 * i, from `gap` on at i + skipped. */
template <typename operation, typename unit>
static __device__ __forceinline__ void dist_reduce_tile(const operation &apply, unit *dst, const unit *src,
                                                        uint64_t base, uint64_t there, uint64_t gap,
                                                        uint64_t skipped)
{
    unit a[DIST_REDUCE_AHEAD] = {}, b[DIST_REDUCE_AHEAD] = {};
    uint64_t at[DIST_REDUCE_AHEAD];
    DIST_UNROLLED
    for (unsigned j = 0; j < DIST_REDUCE_AHEAD; j++) {
        const uint64_t i = base + j * DIST_REDUCE_THREADS + threadIdx.x;
        at[j] = i < gap ? i : i + skipped;
        if (i < there) {
            a[j] = dst[at[j]];
            if constexpr (operation::two)
                b[j] = src[at[j]];
        }
    }
    DIST_UNROLLED
    for (unsigned j = 0; j < DIST_REDUCE_AHEAD; j++) {
        if (base + j * DIST_REDUCE_THREADS + threadIdx.x < there)
            dst[at[j]] = dist_apply(apply, a[j], b[j]);
    }
}

template <typename operation>
static __global__ void __launch_bounds__(DIST_REDUCE_THREADS)
    dist_reduce_all(const operation apply, void *dst, const void *src, const dist_cut cut)
{
    typedef typename operation::as as;
    as *const to = static_cast<as *>(dst);
    const as *const from = static_cast<const as *>(src);
    const uint64_t begin = static_cast<uint64_t>(blockIdx.x) * DIST_REDUCE_TILE;
    const uint64_t step = static_cast<uint64_t>(gridDim.x) * DIST_REDUCE_TILE;
    for (uint64_t base = begin; base < cut.vectors; base += step)
        dist_reduce_tile(apply, reinterpret_cast<uint4 *>(to + cut.head),
                         reinterpret_cast<const uint4 *>(from + cut.head), base, cut.vectors, cut.vectors, 0);
    for (uint64_t base = begin; base < cut.rest; base += step)
        dist_reduce_tile(apply, to, from, base, cut.rest, cut.head, cut.vectors * (16 / sizeof(as)));
}

static dist_cut dist_cut_of(uintptr_t dst, uintptr_t src, uint64_t count, unsigned size)
{
    const uint64_t head = (16 - dst % 16) % 16 / size;
    dist_cut cut = {count, 0, count};
    if (dst % 16 != src % 16 || head > count)
        return cut;
    cut.head = head;
    cut.vectors = (count - head) / (16 / size);
    cut.rest = count - cut.vectors * (16 / size);
    return cut;
}

static unsigned dist_reduce_blocks(const dist_cut &cut)
{
    const uint64_t units = cut.vectors > cut.rest ? cut.vectors : cut.rest;
    const uint64_t wanted = units / DIST_REDUCE_TILE + (units % DIST_REDUCE_TILE > 0);
    return wanted < DIST_REDUCE_BLOCKS ? static_cast<unsigned>(wanted) : DIST_REDUCE_BLOCKS;
}

template <typename operation>
static int dist_launch_operation(const operation &apply, void *dst, const void *src, uint64_t count,
                                 cudaStream_t stream)
{
    const unsigned size = sizeof(typename operation::as);
    const uintptr_t to = reinterpret_cast<uintptr_t>(dst), from = reinterpret_cast<uintptr_t>(src);
    if (to % size || from % size)
        return cudaErrorInvalidValue;
    if (!count)
        return cudaSuccess;
    const dist_cut cut = dist_cut_of(to, from, count, size);
    DIST_LAUNCH(dist_reduce_all<operation>, dist_reduce_blocks(cut), DIST_REDUCE_THREADS, 0, stream, apply,
                dst, src, cut);
    return cudaGetLastError();
}

typedef int (*dist_reduce_launcher)(void *dst, const void *src, uint64_t count, cudaStream_t stream);
typedef int (*dist_divide_launcher)(void *data, uint64_t count, int divisor, cudaStream_t stream);

template <uint32_t type, uint32_t reduction>
static int dist_launch_combine(void *dst, const void *src, uint64_t count, cudaStream_t stream)
{
    return dist_launch_operation(dist_combine<type, reduction>(), dst, src, count, stream);
}

template <uint32_t type>
static int dist_launch_quotient(void *data, uint64_t count, int divisor, cudaStream_t stream)
{
    return dist_launch_operation(dist_quotient<type>{divisor}, data, data, count, stream);
}

/* The launchers and kernels of a type. */
typedef struct dist_of_type {
    dist_reduce_launcher reduce[3];
    dist_divide_launcher divide;
    const void *kernel[4];
} dist_of_type;

template <typename operation> static const void *dist_kernel_of()
{
    return reinterpret_cast<const void *>(&dist_reduce_all<operation>);
}

template <uint32_t type> static dist_of_type dist_make_type()
{
    return {{dist_launch_combine<type, DIST_CUDA_SUM>, dist_launch_combine<type, DIST_CUDA_MIN>,
             dist_launch_combine<type, DIST_CUDA_MAX>},
            dist_launch_quotient<type>,
            {dist_kernel_of<dist_combine<type, DIST_CUDA_SUM>>(),
             dist_kernel_of<dist_combine<type, DIST_CUDA_MIN>>(),
             dist_kernel_of<dist_combine<type, DIST_CUDA_MAX>>(), dist_kernel_of<dist_quotient<type>>()}};
}

static const dist_of_type &dist_type_of(uint32_t type)
{
    static const dist_of_type types[DIST_CUDA_TYPES] = {
        dist_make_type<DIST_CUDA_FLOAT32>(),  dist_make_type<DIST_CUDA_FLOAT16>(),
        dist_make_type<DIST_CUDA_BFLOAT16>(), dist_make_type<DIST_CUDA_FLOAT64>(),
        dist_make_type<DIST_CUDA_INT32>(),    dist_make_type<DIST_CUDA_INT64>()};
    return types[type];
}

int dist_launch_reduce(uint32_t type, uint32_t reduction, void *dst, const void *src, uint64_t count,
                       cudaStream_t stream)
{
    if (type >= DIST_CUDA_TYPES || reduction > DIST_CUDA_MAX)
        return cudaErrorInvalidValue;
    return dist_type_of(type).reduce[reduction](dst, src, count, stream);
}

int dist_launch_divide(uint32_t type, void *data, uint64_t count, int divisor, cudaStream_t stream)
{
    if (type >= DIST_CUDA_TYPES || divisor < 1)
        return cudaErrorInvalidValue;
    return dist_type_of(type).divide(data, count, divisor, stream);
}

const void *dist_reduce_kernel(unsigned number)
{
    return number < 4 * DIST_CUDA_TYPES ? dist_type_of(number / 4).kernel[number % 4] : NULL;
}
