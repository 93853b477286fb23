/* A CUDA device in use: the plugin's functions and the streams on which plans queue their ops. */
#ifndef DIST_DEVICE_GPU_H
#define DIST_DEVICE_GPU_H

#include <stddef.h>

#include <libdist/collective.h>
#include <libdist/memory.h>

#include "kernels/codec_cuda.h"
#include "kernels/device_cuda.h"

/* One stream for each stage of what crosses sites, so that all stages of different pieces go on at once. */
typedef enum dist_lane {
    DIST_LANE_ENCODE, /* also sums, and copies inside the device */
    DIST_LANE_DECODE,
    DIST_LANE_DOWN, /* device to host */
    DIST_LANE_UP,
    DIST_LANES,
    DIST_LANE_PROGRAM = DIST_LANES, /* the program's own stream, for its functions */
    DIST_LANES_ALL
} dist_lane;

/* Words in pinned memory that nobody has; room for all that there are. */
typedef struct dist_gpu_words {
    uint32_t **word;
    size_t count, all, capacity;
} dist_gpu_words;

typedef struct dist_gpu {
    const dist_cuda *cuda;
    const dist_codec_cuda *codec;
    int device;
    dist_cuda_identity identity;
    void *stream[DIST_LANES];
    dist_gpu_words *words;
} dist_gpu;

/* Takes the device into use: creates streams on it (and so its context). The tables are the plugin's and must outlive it. */
dist_status dist_gpu_open(dist_gpu **gpu, const dist_cuda *cuda, const dist_codec_cuda *codec, int device);
/* Waits for the streams. NULL is legal. */
void dist_gpu_close(dist_gpu *gpu);

/* Makes the device the calling thread's, and puts back what it was: around all calls of the table. */
int dist_gpu_enter(const dist_gpu *gpu);
void dist_gpu_leave(const dist_gpu *gpu, int before);

/* DIST_OK for 0; else DIST_ERR_CUDA with "what: CUDA error 700, cudaErrorIllegalAddress". */
dist_status dist_gpu_check(const dist_gpu *gpu, int error, const char *what);

/* `bytes` zeroed bytes in any kind of memory (pinned ones also where `gpu` is NULL: then they are just host memory), NULL for
 * 0 bytes of device memory. May wait for the device. */
dist_status dist_gpu_alloc(const dist_gpu *gpu, dist_memory memory, size_t bytes, void **out);
void dist_gpu_free(const dist_gpu *gpu, dist_memory memory, void *address);

/* A word for streams to wait for. It may be given back while streams of the program's have still to look at it: its memory stays
 * until the process ends, and who gets it next counts on from where it is. */
dist_status dist_gpu_take_word(const dist_gpu *gpu, uint32_t **word);
void dist_gpu_give_word(const dist_gpu *gpu, uint32_t *word);

/* Copies to or from device memory and waits for it: for what is done once, not in a step. */
dist_status dist_gpu_copy_now(const dist_gpu *gpu, void *dst, const void *src, size_t bytes);

#endif
