/* How the parts of the CUDA plugin meet: a launcher for each group of codecs, between one that clears what a frame
 * needs besides (codec_cuda.cu) and one that completes it (codec_seal.cu).
 *
 * A launcher only queues kernels. Its encode writes the sections of the payload, adds the number of non-finite
 * blocks to the workspace's count, and leaves alone the header and the bytes between sections. It returns
 * cudaGetLastError().
 */
#ifndef DIST_KERNELS_CODEC_KERNELS_CUH
#define DIST_KERNELS_CODEC_KERNELS_CUH

#include "kernels/codec_cuda.h"
#include "kernels/launch.h"
#include "kernels/stochastic.h"

/* The first bytes of a workspace, all 0 when a launcher is called. */
typedef struct dist_cuda_work {
    unsigned long long nonfinite; /* blocks */
    uint32_t peak;                /* nvfp4: the largest finite magnitude of the frame */
    uint32_t state;               /* of the checksum of the payload */
    uint32_t done;                /* thread blocks that added to it */
    uint32_t unused[11];
} dist_cuda_work;

/* Where a launcher's own part of the workspace begins. */
#define DIST_CUDA_WORK_BYTES sizeof(dist_cuda_work)

static inline dist_cuda_work *dist_cuda_work_of(const dist_cuda_encode *encode)
{
    return (dist_cuda_work *)encode->workspace;
}

/* none, bf16, fp16 */
int dist_launch_encode_values(const dist_cuda_encode *encode, cudaStream_t stream);
int dist_launch_decode_values(const dist_cuda_decode *decode, cudaStream_t stream);

/* int8, int4, mxfp8, mxfp4, nvfp4 */
int dist_launch_encode_blocks(const dist_cuda_encode *encode, cudaStream_t stream);
int dist_launch_decode_blocks(const dist_cuda_decode *decode, cudaStream_t stream);

/* The others also say how many bytes they need from DIST_CUDA_WORK_BYTES on. */
uint64_t dist_workspace_hadamard(dist_coding coding, uint64_t count);
int dist_launch_encode_hadamard(const dist_cuda_encode *encode, cudaStream_t stream);
int dist_launch_decode_hadamard(const dist_cuda_decode *decode, cudaStream_t stream);

uint64_t dist_workspace_topk(dist_coding coding, uint64_t count);
int dist_launch_encode_topk(const dist_cuda_encode *encode, cudaStream_t stream);
int dist_launch_decode_topk(const dist_cuda_decode *decode, cudaStream_t stream);

uint64_t dist_workspace_sparse(dist_coding coding, uint64_t count);
int dist_launch_encode_sparse(const dist_cuda_encode *encode, cudaStream_t stream);
int dist_launch_decode_sparse(const dist_cuda_decode *decode, cudaStream_t stream);

/* Writes the zeros between sections and the header with flags, seed and checksum, and *encode->nonfinite. */
int dist_launch_seal(const dist_cuda_encode *encode, cudaStream_t stream);

/* The seed in the header: that of the rotation's signs. */
static inline uint32_t dist_cuda_seed(const dist_cuda_encode *encode)
{
    if (encode->coding.kind != DIST_CODEC_INT4_HADAMARD)
        return 0;
    const dist_random_key key = dist_random_key_of(encode->seed, encode->step, encode->stream_number);
    return dist_random_at(key, encode->first) ^ 0x9e3779b9u;
}

/* Thread blocks of a launch that would have `wanted`: each takes what the number of blocks leaves over. */
#ifndef DIST_MOST_BLOCKS
#define DIST_MOST_BLOCKS (1u << 20)
#endif

static inline unsigned dist_cuda_blocks(uint64_t wanted)
{
    return wanted < DIST_MOST_BLOCKS ? (unsigned)wanted : DIST_MOST_BLOCKS;
}

/* __syncthreads() with a number, which a test of the tests leaves out. */
#ifndef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 0
#endif
#define DIST_BARRIER(number)                                                                                 \
    do {                                                                                                     \
        if (DIST_PLANT_MISSING_BARRIER != (number))                                                          \
            __syncthreads();                                                                                 \
    } while (0)

#endif
