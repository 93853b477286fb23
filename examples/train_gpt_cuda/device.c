#include "device.h"

#include <stdio.h>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

int gpt_devices(char *sentence, size_t sentence_size)
{
    int devices = 0;
    const cudaError_t error = cudaGetDeviceCount(&devices);
    if (error == cudaSuccess && devices > 0)
        return devices;
    snprintf(sentence, sentence_size, "no CUDA device can be used: %s",
             error == cudaSuccess ? "there is none" : cudaGetErrorString(error));
    return 0;
}

void gpt_device_keep(gpt_device *device, int error, const char *call)
{
    if (error != cudaSuccess && device->sentence[0] == '\0')
        snprintf(device->sentence, sizeof device->sentence, "%s: %s (CUDA error %d)", call,
                 cudaGetErrorString((cudaError_t)error), error);
}

void gpt_device_keep_blas(gpt_device *device, int status, const char *call)
{
    if (status != CUBLAS_STATUS_SUCCESS && device->sentence[0] == '\0')
        snprintf(device->sentence, sizeof device->sentence, "%s: %s", call,
                 cublasGetStatusString((cublasStatus_t)status));
}

bool gpt_device_well(gpt_device *device)
{
    gpt_device_keep(device, cudaGetLastError(), "a kernel"); /* launches return nothing */
    return device->sentence[0] == '\0';
}

bool gpt_device_open(gpt_device *device, int number)
{
    *device = (gpt_device){0};
    gpt_device_keep(device, cudaSetDevice(number), "cudaSetDevice");
    gpt_device_keep(device, cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking),
                    "cudaStreamCreate");
    gpt_device_keep_blas(device, cublasCreate(&device->blas), "cublasCreate");
    if (!gpt_device_well(device))
        return false;
    gpt_device_keep_blas(device, cublasSetStream(device->blas, device->stream), "cublasSetStream");
    /* float32 all through: no TF32, no emulation */
    gpt_device_keep_blas(device, cublasSetMathMode(device->blas, CUBLAS_PEDANTIC_MATH), "cublasSetMathMode");
    return gpt_device_well(device);
}

void gpt_device_close(gpt_device *device)
{
    if (device->blas)
        cublasDestroy(device->blas);
    if (device->stream)
        cudaStreamDestroy(device->stream);
    *device = (gpt_device){0};
}

void *gpt_device_allocate(gpt_device *device, size_t bytes)
{
    void *memory = NULL;
    const cudaError_t error = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
    gpt_device_keep(device, error, "cudaMalloc");
    if (error != cudaSuccess)
        return NULL;
    gpt_device_zero(device, memory, bytes);
    return memory;
}

void gpt_device_free(void *memory)
{
    if (memory) /* a call would take hold of a device */
        cudaFree(memory);
}

void *gpt_device_pin(gpt_device *device, size_t bytes)
{
    void *memory = NULL;
    const cudaError_t error = cudaMallocHost(&memory, bytes > 0 ? bytes : 1);
    gpt_device_keep(device, error, "cudaMallocHost");
    return error == cudaSuccess ? memory : NULL;
}

void gpt_device_unpin(void *memory)
{
    if (memory)
        cudaFreeHost(memory);
}

void gpt_device_copy(gpt_device *device, void *to, const void *from, size_t bytes)
{
    gpt_device_keep(device, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, device->stream),
                    "cudaMemcpyAsync");
}

void gpt_device_zero(gpt_device *device, void *memory, size_t bytes)
{
    gpt_device_keep(device, cudaMemsetAsync(memory, 0, bytes, device->stream), "cudaMemsetAsync");
}

bool gpt_device_wait(gpt_device *device)
{
    gpt_device_keep(device, cudaStreamSynchronize(device->stream), "cudaStreamSynchronize");
    return gpt_device_well(device);
}
