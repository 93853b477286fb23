/* A CUDA device with one stream and cuBLAS on it. Calls that fail leave their sentence here and go on: what follows
 * them is queued in vain, and whoever waits for results asks gpt_device_well() first. */
#ifndef TRAIN_GPT_DEVICE_H
#define TRAIN_GPT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gpt_device {
    struct CUstream_st *stream; /* a cudaStream_t */
    struct cublasContext *blas; /* a cublasHandle_t */
    char sentence[200];         /* of the first failure; empty: none */
} gpt_device;

/* How many devices there are; 0 and a sentence where there is none, or no driver. */
int gpt_devices(char *sentence, size_t sentence_size);

/* Makes it the current device of the calling thread. False after a failure; close it all the same. */
bool gpt_device_open(gpt_device *device, int number);
void gpt_device_close(gpt_device *device);

/* Keeps what a call of CUDA (a cudaError_t) or cuBLAS (a cublasStatus_t) returned. */
void gpt_device_keep(gpt_device *device, int error, const char *call);
void gpt_device_keep_blas(gpt_device *device, int status, const char *call);

/* Whether everything has been done or queued so far. */
bool gpt_device_well(gpt_device *device);

/* Device memory, zeroed; NULL when it runs out. Memory that the device reaches by itself on the host. */
void *gpt_device_allocate(gpt_device *device, size_t bytes);
void gpt_device_free(void *memory);
void *gpt_device_pin(gpt_device *device, size_t bytes);
void gpt_device_unpin(void *memory);

/* Queues a copy, whatever memory it is from and to. */
void gpt_device_copy(gpt_device *device, void *to, const void *from, size_t bytes);
void gpt_device_zero(gpt_device *device, void *memory, size_t bytes);

/* Returns when all that was queued is done; then as gpt_device_well. */
bool gpt_device_wait(gpt_device *device);

#ifdef __cplusplus
}
#endif
#endif
