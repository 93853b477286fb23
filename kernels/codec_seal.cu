/* What completes a frame: zeros between its sections, and its header with the checksum.
 *
 * One more pass over the payload alone. Threads take every T-th 16 bytes, so that each of them shifts its sums by the
 * same power, found in a table; missing bytes are zeros before the first, which a sum from state 0 does not see. The
 * thread block that is done last writes the header.
 */
#include "kernels/codec_kernels.cuh"
#include "kernels/crc32c.h"

#define DIST_SEAL_THREADS 256
#define DIST_SEAL_BLOCKS  512
#define DIST_SEAL_LEVELS  8 /* 2^8 threads are added up */
#define DIST_VECTOR       16

/* Tables of multiplication by x^32, by the shift of one round of all threads, and by that of 2^k vectors. */
enum { DIST_BY_WORD, DIST_BY_ROUND, DIST_BY_LEVEL, DIST_SEAL_TABLES = DIST_BY_LEVEL + DIST_SEAL_LEVELS };

typedef struct dist_seal_gap {
    uint64_t vector;
    uint32_t kept; /* bytes of it before the gap; 0: no gap */
} dist_seal_gap;

typedef struct dist_seal {
    uint8_t *frame;
    dist_cuda_work *work;
    uint64_t *nonfinite;
    uint64_t vectors; /* whole ones of the payload */
    uint32_t tail;    /* bytes after them */
    dist_seal_gap gap[DIST_SECTIONS - 1];
    dist_frame_header header;
    uint32_t before[2]; /* the header's part of the checksum, without and with DIST_FRAME_NONFINITE */
    uint32_t power[DIST_SEAL_TABLES];
} dist_seal;

static __device__ __forceinline__ uint32_t dist_without(uint32_t word, uint32_t at, uint32_t kept)
{
    return kept >= at + 4 ? word : kept <= at ? 0u : word & ((1u << (kept - at) * 8) - 1);
}

static __device__ __forceinline__ uint4 dist_vector_at(const dist_seal &seal, uint64_t v)
{
    uint4 *const vector = reinterpret_cast<uint4 *>(seal.frame + DIST_FRAME_HEADER) + v;
    uint4 words = *vector;
    for (int g = 0; g < DIST_SECTIONS - 1; g++) {
        const uint32_t kept = seal.gap[g].kept;
        if (kept && v == seal.gap[g].vector) {
            words.x = dist_without(words.x, 0, kept);
            words.y = dist_without(words.y, 4, kept);
            words.z = dist_without(words.z, 8, kept);
            words.w = dist_without(words.w, 12, kept);
            *vector = words;
        }
    }
    return words;
}

/* The state of every gridDim-th round of vectors, of this thread's alone. */
static __device__ __forceinline__ uint32_t dist_sum_vectors(const dist_seal &seal, const uint32_t *by_word,
                                                            const uint32_t *by_round)
{
    const uint64_t threads = static_cast<uint64_t>(gridDim.x) * DIST_SEAL_THREADS;
    const uint64_t rounds = (seal.vectors + threads - 1) / threads, missing = rounds * threads - seal.vectors;
    const uint64_t self = static_cast<uint64_t>(blockIdx.x) * DIST_SEAL_THREADS + threadIdx.x;
    uint32_t x = 0, y = 0, z = 0, w = 0;
    for (uint64_t at = self; at < rounds * threads; at += threads) {
        uint4 words = make_uint4(0, 0, 0, 0);
        if (at >= missing)
            words = dist_vector_at(seal, at - missing);
        x = dist_crc32c_by_table(by_round, x) ^ words.x;
        y = dist_crc32c_by_table(by_round, y) ^ words.y;
        z = dist_crc32c_by_table(by_round, z) ^ words.z;
        w = dist_crc32c_by_table(by_round, w) ^ words.w;
    }
    x = dist_crc32c_by_table(by_word, x) ^ y;
    x = dist_crc32c_by_table(by_word, x) ^ z;
    x = dist_crc32c_by_table(by_word, x) ^ w;
    return dist_crc32c_by_table(by_word, x);
}

/* One lane's state and its neighbour's at distance 2^level: that of both, the lower lane's bytes first. */
static __device__ __forceinline__ uint32_t dist_add_neighbour(uint32_t state, const uint32_t *by_level,
                                                              unsigned level)
{
    const uint32_t other = __shfl_xor_sync(0xffffffffu, state, 1 << level);
    const bool lower = (threadIdx.x >> level & 1u) == 0;
    return dist_crc32c_by_table(by_level, lower ? state : other) ^ (lower ? other : state);
}

static __device__ void dist_write_header(const dist_seal &seal, uint32_t state)
{
    const unsigned long long nonfinite = seal.work->nonfinite;
    const uint8_t *const tail = seal.frame + DIST_FRAME_HEADER + seal.vectors * DIST_VECTOR;
    dist_frame_header header = seal.header;
    for (uint32_t i = 0; i < seal.tail; i++)
        state = dist_crc32c_byte(state, tail[i]);
    if (nonfinite)
        header.flags = static_cast<uint16_t>(header.flags | DIST_FRAME_NONFINITE);
    header.crc = ~(state ^ (nonfinite ? seal.before[1] : seal.before[0]));
    *reinterpret_cast<dist_frame_header *>(seal.frame) = header;
    if (seal.nonfinite)
        *seal.nonfinite = nonfinite;
}

static __global__ void __launch_bounds__(DIST_SEAL_THREADS) dist_seal_frame(const dist_seal seal)
{
    DIST_SHARED(uint32_t, table, [DIST_SEAL_TABLES * DIST_CRC32C_ENTRIES]);
    DIST_SHARED(uint32_t, parts, [DIST_SEAL_THREADS / 32]);
    for (unsigned i = threadIdx.x; i < DIST_SEAL_TABLES * DIST_CRC32C_ENTRIES; i += DIST_SEAL_THREADS) {
        const unsigned entry = i % DIST_CRC32C_ENTRIES;
        table[i] =
            dist_crc32c_multiply((entry & 15u) << (entry >> 4) * 4, seal.power[i / DIST_CRC32C_ENTRIES]);
    }
    DIST_BARRIER(1); /* the tables are there */
    const uint32_t *const by_level = table + DIST_BY_LEVEL * DIST_CRC32C_ENTRIES;
    uint32_t state = dist_sum_vectors(seal, table + DIST_BY_WORD * DIST_CRC32C_ENTRIES,
                                      table + DIST_BY_ROUND * DIST_CRC32C_ENTRIES);
    for (unsigned level = 0; level < 5; level++)
        state = dist_add_neighbour(state, by_level + level * DIST_CRC32C_ENTRIES, level);
    if (threadIdx.x % 32 == 0)
        parts[threadIdx.x / 32] = state;
    DIST_BARRIER(2); /* every warp's part is there */
    if (threadIdx.x >= 32)
        return;
    state = parts[threadIdx.x % (DIST_SEAL_THREADS / 32)];
    for (unsigned level = 5; level < DIST_SEAL_LEVELS; level++)
        state = dist_add_neighbour(state, by_level + level * DIST_CRC32C_ENTRIES, level - 5);
    if (threadIdx.x != 0)
        return;
    const uint64_t after =
        (gridDim.x - 1 - blockIdx.x) * static_cast<uint64_t>(DIST_SEAL_THREADS) * DIST_VECTOR;
    atomicXor(&seal.work->state, dist_crc32c_shift(state, after));
    __threadfence();
    if (atomicAdd(&seal.work->done, 1u) == gridDim.x - 1)
        dist_write_header(seal, atomicXor(&seal.work->state, 0u));
}

/* The CRC of the header's first 28 bytes, before it is inverted, shifted by the payload. */
static uint32_t dist_seal_before(const dist_seal *seal, uint32_t by_payload)
{
    const uint8_t *const bytes = (const uint8_t *)&seal->header;
    uint32_t state = ~0u;
    for (size_t i = 0; i < offsetof(dist_frame_header, crc); i++)
        state = dist_crc32c_byte(state, bytes[i]);
    return dist_crc32c_multiply(state, by_payload);
}

static void dist_find_gaps(dist_seal *seal, dist_coding coding, uint64_t count, dist_layout layout)
{
    for (int s = 1; s < DIST_SECTIONS; s++) {
        const uint64_t end = layout.at[s - 1] + dist_section_bytes(coding, s - 1, count);
        seal->gap[s - 1].vector = (end - DIST_FRAME_HEADER) / DIST_VECTOR;
        seal->gap[s - 1].kept = layout.at[s] > end ? (uint32_t)(end % DIST_VECTOR) : 0;
    }
}

static void dist_fill_powers(dist_seal *seal, unsigned blocks)
{
    seal->power[DIST_BY_WORD] = dist_crc32c_shift(DIST_CRC32C_ONE, 4);
    seal->power[DIST_BY_ROUND] =
        dist_crc32c_shift(DIST_CRC32C_ONE, (uint64_t)blocks * DIST_SEAL_THREADS * DIST_VECTOR);
    for (unsigned level = 0; level < DIST_SEAL_LEVELS; level++)
        seal->power[DIST_BY_LEVEL + level] = dist_crc32c_shift(DIST_CRC32C_ONE, DIST_VECTOR << level);
}

int dist_launch_seal(const dist_cuda_encode *encode, cudaStream_t stream)
{
    const dist_layout layout = dist_layout_of(encode->coding, encode->count);
    const uint64_t payload = layout.bytes - DIST_FRAME_HEADER;
    dist_seal seal;
    memset(&seal, 0, sizeof seal);
    seal.frame = (uint8_t *)encode->frame;
    seal.work = dist_cuda_work_of(encode);
    seal.nonfinite = encode->nonfinite;
    seal.vectors = payload / DIST_VECTOR;
    seal.tail = (uint32_t)(payload % DIST_VECTOR);
    dist_find_gaps(&seal, encode->coding, encode->count, layout);
    seal.header.magic = DIST_FRAME_MAGIC;
    seal.header.version = DIST_FRAME_VERSION;
    seal.header.codec = (uint8_t)encode->coding.kind;
    seal.header.block = encode->coding.block;
    seal.header.seed = dist_cuda_seed(encode);
    seal.header.count = encode->count;
    seal.header.kept = encode->coding.kept;
    const uint32_t by_payload = dist_crc32c_shift(DIST_CRC32C_ONE, payload);
    for (int nonfinite = 1; nonfinite >= 0; nonfinite--) {
        seal.header.flags = (uint16_t)((nonfinite ? DIST_FRAME_NONFINITE : 0) |
                                       (encode->stochastic ? DIST_FRAME_STOCHASTIC : 0));
        seal.before[nonfinite] = dist_seal_before(&seal, by_payload);
    }
    const uint64_t wanted = (seal.vectors + DIST_SEAL_THREADS - 1) / DIST_SEAL_THREADS;
    const unsigned most = dist_cuda_blocks(DIST_SEAL_BLOCKS);
    const unsigned blocks = wanted > most ? most : wanted ? (unsigned)wanted : 1;
    dist_fill_powers(&seal, blocks);
    DIST_LAUNCH(dist_seal_frame, blocks, DIST_SEAL_THREADS, 0, stream, seal);
    return cudaGetLastError();
}
