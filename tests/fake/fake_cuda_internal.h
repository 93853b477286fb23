/* Shared by the files of the fake CUDA. */
#ifndef DIST_TESTS_FAKE_CUDA_INTERNAL_H
#define DIST_TESTS_FAKE_CUDA_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "fake_cuda.h"
#include "kernels/codec_cuda.h"
#include "kernels/device_cuda.h"

enum {
    FAKE_INVALID_VALUE = 1,
    FAKE_NO_DRIVER = 35,
    FAKE_INVALID_HANDLE = 400,
    FAKE_ILLEGAL_ADDRESS = 700,
    FAKE_NOT_SUPPORTED = 801,
    FAKE_CAPTURING = 900
};

#define FAKE_STREAM_PER_THREAD ((void *)2) /* cudaStreamPerThread */

/* fake_table.c: the calling thread's. */
int fake_device(void);

/* fake_memory.c */
int fake_allocate(void **memory, uint64_t bytes);
int fake_release(void *memory);
int fake_pin(void **memory, uint64_t bytes);
int fake_unpin(void *memory);
int fake_locate(const void *pointer, int *where, int *device);
/* Where `bytes` bytes at `pointer` are; NULL when they are not all in one allocation of the device. */
void *fake_bytes(const void *pointer, uint64_t bytes);
/* For a kernel: device memory or pinned; NULL, also for NULL, breaks the device unless the pointer is NULL. */
void *fake_kernel_bytes(const void *pointer, uint64_t bytes);

/* fake_stream.c: work that is queued; copied with what it names. */
typedef struct fake_work {
    void (*run)(const struct fake_work *work);
    void *a, *b; /* bytes, not addresses of device memory */
    uint64_t n, m;
    void *more; /* freed afterwards */
} fake_work;
int fake_queue(void *stream, const fake_work *work);
int fake_stream_create(void **stream, int urgent);
int fake_stream_destroy(void *stream);
int fake_stream_wait_event(void *stream, void *event);
int fake_stream_wait_value(void *stream, uint32_t *word, uint32_t value);
int fake_stream_write_value(void *stream, uint32_t *word, uint32_t value);
int fake_stream_capturing(void *stream, int *capturing);
/* Whether it is the calling thread's device that it belongs to, as for a kernel it has to be. */
bool fake_stream_is_here(void *stream);
int fake_synchronize(void *stream);
void fake_synchronize_all(void);
int fake_event_create(void **event);
int fake_event_destroy(void *event);
int fake_event_record(void *event, void *stream);
int fake_event_query(void *event);

/* fake_faults.c: the error that a call gives, 0: none. Counts calls by name. */
int fake_fault(const char *call);
bool fake_drops_wait(void);
/* Where freeing waits: until all streams are idle, and calls that fake_fault knows do not begin meanwhile. */
void fake_freeing(void);
long fake_number(const char *variable, long otherwise);
/* Ends the process with a sentence: a bug of the caller. */
void fake_die(const char *sentence) __attribute__((noreturn));

/* Counted by the table. */
extern dist_cuda_counts fake_counts;
#define FAKE_COUNT(field) __atomic_fetch_add(&fake_counts.field, 1, __ATOMIC_RELAXED)

#endif
