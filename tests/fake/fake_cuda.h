/* A CUDA device that is none, for tests of stream order: libfake_cuda.so has the tables of libdist's CUDA plugin, so that
 * DIST_CUDA_PLUGIN=.../libfake_cuda.so makes libdist use it unchanged.
 *
 * Streams are threads that take their work in order, each piece after a random delay, and copy in pieces: what the program does not
 * order comes out of order. Device memory has addresses at which nothing can be read or written: its bytes are elsewhere. Nothing
 * but what CUDA promises orders two streams, or a stream and the host (stream order, events, values, a query that said
 * done), also in the eyes of the thread sanitizer. A use of freed memory (also by
 * work that is still queued: freeing waits for nothing here), or of a destroyed stream or event, ends the process.
 *
 * With several devices, streams, events and memory belong to the one that is the calling thread's when they are made. A kernel on a
 * stream of another, or an event of another on a stream, is refused.
 *
 * The handle 2 is the calling thread's own stream, as in CUDA; it stays when the thread ends.
 *
 * Environment, read when first used:
 *   FAKE_CUDA_SEED, FAKE_CUDA_DELAY_US   of the random delays; the longest (200)
 *   FAKE_CUDA_DEVICES                    how many there are (1); -1: counting them fails, as without a driver
 *   FAKE_CUDA_SHARED=1                   all processes have the same device; else each its own
 *   FAKE_CUDA_FAIL=CALL:N:ERROR          the N-th call of that member of dist_cuda (or encode, decode) gives ERROR, and all later ones
 *   FAKE_CUDA_DROP_WAIT=N                the N-th stream_wait_event does nothing; all: each of them
 *   FAKE_CUDA_NO_VALUES=1                streams cannot wait for values; 2: and the device does not say so
 *   FAKE_CUDA_FREE_WAITS=1               allocating, and freeing device memory, waits until all streams are idle, and so do the
 *                                        calls that other threads make meanwhile
 *   FAKE_CUDA_RANGES=1                   somebody listens to NVTX ranges
 */
#ifndef DIST_TESTS_FAKE_CUDA_H
#define DIST_TESTS_FAKE_CUDA_H

#include <stdint.h>

#define FAKE_API __attribute__((visibility("default")))

/* Queues `run` on a stream: how the fake NCCL launches its kernels. */
FAKE_API void fake_cuda_call(void *stream, void (*run)(void *argument), void *argument);
/* Where the bytes of device memory are; the pointer itself for any other. */
FAKE_API void *fake_cuda_bytes(const void *pointer);
/* The stream is being captured from now on, or no more. */
FAKE_API void fake_cuda_capture(void *stream, int capturing);
/* An error that all later calls give, as after a kernel that went wrong; 0: as new. */
FAKE_API void fake_cuda_break(int error);
/* How many NVTX ranges have begun, and ended. */
FAKE_API void fake_cuda_ranges(uint64_t *begun, uint64_t *ended);
/* How often a thread of this process has made the device its own, which in CUDA makes a context on it. */
FAKE_API uint64_t fake_cuda_selected(int device);
/* In the calling thread: which of several devices of this process it uses, where threads stand for ranks. */
FAKE_API void fake_cuda_identity(uint8_t uuid[16]);

#endif
