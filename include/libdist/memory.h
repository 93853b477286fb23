/* Where memory is.
 *
 * Calls that take buffers find out by themselves: host memory needs no CUDA, and device memory is taken where the CUDA plugin
 * (libdist_cuda) has been found. Without the plugin, a driver or a device, or with DIST_CUDA=off, everything works on
 * host memory, which log level info says once.
 *
 * A rank has one device: that of the first device memory that it hands in. In one call the buffers of all ranks are either in
 * device memory or in host memory.
 */
#ifndef LIBDIST_MEMORY_H
#define LIBDIST_MEMORY_H

#include <stdint.h>
#include <stdio.h>

#include <libdist/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dist_memory {
    DIST_MEMORY_AUTO, /* where the buffers given are; host memory where the library is to place them */
    DIST_MEMORY_HOST, /* any other memory of the process */
    DIST_MEMORY_PINNED, /* host memory that is locked for a device, from cudaMallocHost or cudaHostRegister */
    DIST_MEMORY_CUDA    /* memory of a CUDA device, from cudaMalloc; also CUDA's managed memory */
} dist_memory;

/* "auto", "host", "pinned", "cuda"; "unknown" otherwise. */
DIST_API const char *dist_memory_name(dist_memory memory);

/* Where `pointer` points to; HOST for NULL, and wherever CUDA cannot be used. Local; never fails. */
DIST_API dist_memory dist_memory_of(const void *pointer);

/* *memory: `bytes` zeroed bytes of host memory, at a 64-byte boundary at least, which the other ranks of the node can reach without
 * asking the system: collectives inside a node take about half the time on such memory. It is in /dev/shm; where that has no room left,
 * and with DIST_SHM=off, it is memory like any other. Gradients in buckets are such memory already. Local, from any thread; owned by the
 * caller, who gives it back with dist_free before dist_finalize. DIST_ERR_MEMORY when there is none at all. */
DIST_API dist_status dist_alloc(dist_context *context, size_t bytes, void **memory);
/* The same in memory of a kind, for programs that are not linked with CUDA: AUTO and HOST as dist_alloc; PINNED memory that a device
 * reaches; CUDA: memory of a device, which becomes the calling thread's current one: that of the context where it has one already, else
 * number (position among the ranks of this node) modulo the devices that there are. DIST_ERR_UNSUPPORTED, with the reason, without CUDA. */
DIST_API dist_status dist_alloc_in(dist_context *context, dist_memory kind, size_t bytes, void **memory);
/* Gives back what dist_alloc and dist_alloc_in gave; NULL is nothing to do. No collective may be under way on it, of any rank of the
 * node. */
DIST_API dist_status dist_free(dist_context *context, void *memory);

/* Copies between any kinds of memory. Blocking: waits for the copy, and for what the default stream held before it where a device takes
 * part. Local; for what is done now and then, not in a step. */
DIST_API dist_status dist_copy(dist_context *context, void *to, const void *from, size_t bytes);

/* DIST_OK when this process can use device memory; DIST_ERR_UNSUPPORTED, and the reason as last error, otherwise.
 * Local; creates no CUDA context. */
DIST_API dist_status dist_cuda_available(void);

/* Prints the CUDA devices of this process, its NCCL, and whether its MPI says that it takes device memory, each with the reason where
 * there is none. Local; creates no CUDA context. */
DIST_API dist_status dist_devices_print(const dist_context *context, FILE *file);

/* What libdist has asked of CUDA in this process, without what NCCL does. */
typedef struct dist_device_counts {
    uint64_t kernels, copies;  /* queued */
    uint64_t records, waits;   /* events recorded, and streams made to wait */
    uint64_t queries;          /* of events, by the host */
    uint64_t synchronizations; /* calls in which the host waits for the device: none in a step */
    uint64_t allocations;      /* and frees, of memory, streams and events: none in a step */
} dist_device_counts;

/* DIST_ERR_UNSUPPORTED, with the reason, without CUDA. */
DIST_API dist_status dist_device_counts_get(dist_device_counts *counts);

#ifdef __cplusplus
}
#endif
#endif
