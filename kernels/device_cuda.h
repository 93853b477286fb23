/* What the CUDA plugin does with devices, streams, events and copies: plain C, so that the library can call it through a
 * table found at run time, and a test can put another in its place.
 *
 * Functions return a cudaError_t (0: done or queued; DIST_CUDA_NOT_READY where it is said). A stream is a cudaStream_t, an
 * event a cudaEvent_t, both as void *. Nothing waits for the device but `synchronize`, `release` and `unpin`; nothing
 * allocates but `stream_create`, `event_create`, `allocate` and `pin`. The calling thread's current device must be the one
 * that streams, events and memory belong to.
 */
#ifndef DIST_KERNELS_DEVICE_PLUGIN_H
#define DIST_KERNELS_DEVICE_PLUGIN_H

#include <stdint.h>

#define DIST_CUDA_VERSION   1
#define DIST_CUDA_NOT_READY 600 /* cudaErrorNotReady */

typedef struct dist_cuda_identity {
    char name[64];
    uint8_t uuid[16];        /* of the device, or of the MIG slice: equal where two ranks share it */
    uint64_t bytes;          /* of its memory */
    int32_t major, minor;    /* compute capability */
    int32_t driver, runtime; /* versions, as 13000 */
    int32_t stream_values;   /* 1: stream_wait_value works */
} dist_cuda_identity;

/* Where a pointer points to. */
enum { DIST_CUDA_AT_HOST, DIST_CUDA_AT_PINNED, DIST_CUDA_AT_DEVICE };

/* Reductions as the plugin numbers them: an average is a sum that is divided. Element types are numbered as dist_type is. */
enum { DIST_CUDA_SUM, DIST_CUDA_MIN, DIST_CUDA_MAX };

/* How often each kind of call was made in this process. */
typedef struct dist_cuda_counts {
    uint64_t kernels, copies, records, waits, queries;
    uint64_t synchronizations; /* calls in which the host waited for the device */
    uint64_t allocations;      /* and frees, of memory, streams and events */
} dist_cuda_counts;

typedef struct dist_cuda {
    uint32_t version;

    /* *devices gets how many there are; 0 on an error. Creates no context. */
    int (*devices)(int *devices);
    const char *(*error_name)(int error);
    int (*identify)(int device, dist_cuda_identity *identity);
    int (*current)(int *device);
    int (*select)(int device); /* for the calling thread */

    /* *device is -1 for host memory that CUDA does not know. */
    int (*locate)(const void *pointer, int *where, int *device);
    int (*allocate)(void **memory, uint64_t bytes);
    int (*release)(void *memory);
    int (*pin)(void **memory,
               uint64_t bytes); /* host memory that the device can also reach, at the same address */
    int (*unpin)(void *memory);

    int (*stream_create)(
        void **stream,
        int urgent); /* does not wait for the legacy default stream; urgent: highest priority */
    int (*stream_destroy)(void *stream);
    int (*stream_wait_event)(void *stream, void *event);
    /* Later work on the stream waits until *word >= value, as a cyclic comparison of 32 bits; `word` is pinned. */
    int (*stream_wait_value)(void *stream, uint32_t *word, uint32_t value);
    int (*stream_write_value)(void *stream, uint32_t *word,
                              uint32_t value); /* after earlier work on the stream */
    int (*stream_capturing)(void *stream, int *capturing);

    int (*event_create)(void **event); /* without timing */
    int (*event_destroy)(void *event);
    int (*event_record)(void *event, void *stream);
    int (*event_query)(void *event); /* 0: done; DIST_CUDA_NOT_READY */

    int (*copy)(void *dst, const void *src, uint64_t bytes,
                void *stream); /* any of host, pinned, device to any */
    int (*zero)(void *dst, uint64_t bytes, void *stream);
    /* dst = dst op src and data = data / divisor, with the bits of libdist/device/device.h. Elements are aligned, and
     * fastest where both begin at multiples of 16 bytes. */
    int (*reduce)(uint32_t type, uint32_t reduction, void *dst, const void *src, uint64_t count,
                  void *stream);
    int (*divide)(uint32_t type, void *data, uint64_t count, int divisor, void *stream);

    int (*synchronize)(void *stream); /* for creating and destroying, never in a step */
    void (*counts)(dist_cuda_counts *counts);

    /* NVTX, where the plugin was built with it and a profiler listens (else 0 and nothing). */
    int (*ranges)(void);
    uint64_t (*range_begin)(const char *name); /* from any thread; the end may come from another */
    void (*range_end)(uint64_t range);
} dist_cuda;

/* The plugin's entry: NULL when it has not this version. */
#ifdef __cplusplus
extern "C"
#endif
    __attribute__((visibility("default"))) const dist_cuda *
    dist_cuda_table(uint32_t version);

#endif
