/* What the CUDA plugin does with codecs: plain C, so that the library can call it through a table found at run time.
 *
 * All pointers but `frame` arrays and the structs themselves are device pointers. Every function only queues work on the stream
 * (a cudaStream_t) and returns a cudaError_t (0: queued). Nothing is allocated and nothing waits. Frames and workspaces
 * begin at multiples of 16 bytes, values at whole elements, feedback at multiples of 4 bytes (bf16: 2); where values and
 * feedback begin at multiples of 16 bytes they are read and written fastest. Bytes are those of the CPU.
 */
#ifndef DIST_KERNELS_CODEC_PLUGIN_H
#define DIST_KERNELS_CODEC_PLUGIN_H

#include <stdint.h>

#include "kernels/frame.h"

#define DIST_CODEC_CUDA_VERSION 1

enum { DIST_CUDA_FLOAT32, DIST_CUDA_FLOAT16, DIST_CUDA_BFLOAT16 };                              /* of values */
enum { DIST_CUDA_KEEP_NONE, DIST_CUDA_KEEP_FP32, DIST_CUDA_KEEP_BF16, DIST_CUDA_KEEP_INT8 };     /* of feedback */

typedef struct dist_cuda_encode {
    dist_coding coding; /* kind, block, kept */
    uint32_t type, keep;
    uint32_t stochastic;
    uint64_t seed, step, first; /* of random numbers, as dist_codec_position */
    uint32_t stream_number;
    float decay;
    const void *values;
    void *feedback; /* NULL: none is used */
    uint64_t count;
    void *frame;
    void *workspace;     /* dist_codec_cuda_workspace bytes, 16-byte aligned; contents mean nothing between calls */
    uint64_t *nonfinite; /* NULL, or gets the number of non-finite blocks */
} dist_cuda_encode;

typedef struct dist_cuda_decode {
    dist_coding coding;
    uint32_t type;
    uint32_t add; /* values += */
    const void *const *frame; /* host array of device pointers; frames that the CPU has checked (dist_codec_check) */
    int frames;               /* 1 to DIST_CUDA_FRAMES */
    int divisor;
    uint64_t count;
    void *values;
} dist_cuda_decode;

#define DIST_CUDA_FRAMES 64

typedef struct dist_codec_cuda {
    uint32_t version;
    /* *devices gets how many there are; the error otherwise. Creates no context. */
    int (*devices)(int *devices);
    const char *(*error_name)(int error);
    uint64_t (*workspace)(dist_coding coding, uint64_t count);
    int (*encode)(const dist_cuda_encode *encode, void *stream);
    int (*decode)(const dist_cuda_decode *decode, void *stream);
} dist_codec_cuda;

/* The plugin's only entry for codecs: NULL when it has not this version. */
#ifdef __cplusplus
extern "C"
#endif
    __attribute__((visibility("default"))) const dist_codec_cuda *
    dist_codec_cuda_table(uint32_t version);

#endif
