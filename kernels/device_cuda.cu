/* The plugin's table: devices, streams, events, copies and reductions over the CUDA run time.
 *
 * An error is returned and then cleared: cudaGetLastError() must not give the program one of ours. CUDA is told that
 * our calls are no part of a capture that another thread makes: else it would refuse them and end that capture.
 */
#include <cuda.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "kernels/reduce.h"

/* NVTX is headers alone. Its names are weak, and hidden with all others. */
#if __has_include(<nvtx3/nvToolsExt.h>)
#define NVTX_AS_SYSTEM_HEADER
#include <nvtx3/nvToolsExt.h>
#define DIST_HAS_NVTX 1
#else
#define DIST_HAS_NVTX 0
#endif

/* For tests and for a program that asks; nothing here reads them. */
static dist_cuda_counts counted;

#define DIST_COUNT(field)    __atomic_fetch_add(&counted.field, 1, __ATOMIC_RELAXED)
#define DIST_COUNT_OF(field) __atomic_load_n(&counted.field, __ATOMIC_RELAXED)

static int dist_cleared(cudaError_t error)
{
    if (error != cudaSuccess)
        cudaGetLastError();
    return error;
}

/* The driver and the run time number errors alike. */
static int dist_from_driver(CUresult result)
{
    return static_cast<int>(result);
}

static cudaStream_t dist_stream_of(void *stream)
{
    return static_cast<cudaStream_t>(stream);
}

static cudaEvent_t dist_event_of(void *event)
{
    return static_cast<cudaEvent_t>(event);
}

/* While it lives, the calling thread may do what is refused while any thread captures a stream. */
class dist_beside_captures
{
  public:
    dist_beside_captures()
    {
        dist_cleared(cudaThreadExchangeStreamCaptureMode(&mode));
    }
    ~dist_beside_captures()
    {
        dist_cleared(cudaThreadExchangeStreamCaptureMode(&mode));
    }
    dist_beside_captures(const dist_beside_captures &) = delete;
    dist_beside_captures &operator=(const dist_beside_captures &) = delete;

  private:
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
};

/* ---- the driver ---- */

/* What the run time has no call for, from the library that it has opened, so that the plugin loads where there is no
 * driver. NULL: not found. The second version of stream values needs no option of the kernel module, and that of
 * identifiers knows the slices of a GPU in MIG mode. */
typedef struct dist_driver {
    decltype(&cuDeviceGet) device;
    decltype(&cuDeviceGetUuid) uuid;
    decltype(&cuPointerGetAttributes) pointer_attributes;
    decltype(&cuStreamWaitValue32) wait_value;
    decltype(&cuStreamWriteValue32) write_value;
} dist_driver;

template <typename function> static void dist_find(void *library, const char *name, function *found)
{
    void *const symbol = library ? dlsym(library, name) : NULL;
    memcpy(found, &symbol, sizeof symbol);
}

static dist_driver dist_find_driver()
{
    void *const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    dist_driver driver;
    dist_find(library, "cuDeviceGet", &driver.device);
    dist_find(library, "cuDeviceGetUuid_v2", &driver.uuid);
    dist_find(library, "cuPointerGetAttributes", &driver.pointer_attributes);
    dist_find(library, "cuStreamWaitValue32_v2", &driver.wait_value);
    dist_find(library, "cuStreamWriteValue32_v2", &driver.write_value);
    return driver;
}

static const dist_driver &dist_the_driver()
{
    static const dist_driver driver = dist_find_driver();
    return driver;
}

/* ---- devices ---- */

static int dist_count_devices(int *devices)
{
    *devices = 0; /* what an error leaves it at */
    const int error = dist_cleared(cudaGetDeviceCount(devices));
    if (error)
        *devices = 0;
    return error;
}

static const char *dist_name_of_error(int error)
{
    return cudaGetErrorName(static_cast<cudaError_t>(error));
}

static void dist_find_uuid(int number, const cudaDeviceProp &properties, uint8_t uuid[16])
{
    const dist_driver &driver = dist_the_driver();
    CUdevice device;
    CUuuid found;
    memcpy(uuid, &properties.uuid, 16);
    if (driver.device && driver.uuid && driver.device(&device, number) == CUDA_SUCCESS &&
        driver.uuid(&found, device) == CUDA_SUCCESS)
        memcpy(uuid, &found, 16);
}

static int dist_identify(int device, dist_cuda_identity *identity)
{
    cudaDeviceProp properties;
    cudaError_t error = cudaGetDeviceProperties(&properties, device);
    memset(identity, 0, sizeof *identity);
    if (!error)
        error = cudaDriverGetVersion(&identity->driver);
    if (!error)
        error = cudaRuntimeGetVersion(&identity->runtime);
    if (error)
        return dist_cleared(error);
    snprintf(identity->name, sizeof identity->name, "%.63s", properties.name);
    dist_find_uuid(device, properties, identity->uuid);
    identity->bytes = properties.totalGlobalMem;
    identity->major = properties.major;
    identity->minor = properties.minor;
    identity->stream_values = dist_the_driver().wait_value && dist_the_driver().write_value;
    return cudaSuccess;
}

static int dist_current(int *device)
{
    return dist_cleared(cudaGetDevice(device));
}

static int dist_select(int device)
{
    return dist_cleared(cudaSetDevice(device));
}

/* ---- memory ---- */

/* Creates a context on the current device where the thread has none. */
static int dist_locate_by_runtime(const void *pointer, int *where, int *device)
{
    cudaPointerAttributes attributes;
    const int error = dist_cleared(cudaPointerGetAttributes(&attributes, pointer));
    if (error == cudaErrorInvalidValue) /* before CUDA 11: host memory that it does not know */
        return cudaSuccess;
    if (error || attributes.type == cudaMemoryTypeUnregistered)
        return error;
    *where = attributes.type == cudaMemoryTypeHost ? DIST_CUDA_AT_PINNED : DIST_CUDA_AT_DEVICE;
    *device = attributes.device;
    return cudaSuccess;
}

/* The driver is asked first: it needs no context, which would cost a program hundreds of megabytes of a device for a
 * pointer to host memory. Managed memory counts as the device's. */
static int dist_locate_memory(const void *pointer, int *where, int *device)
{
    const dist_driver &driver = dist_the_driver();
    unsigned type = 0, managed = 0;
    int ordinal = -1;
    CUpointer_attribute wanted[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED,
                                    CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
    void *found[] = {&type, &managed, &ordinal};
    *where = DIST_CUDA_AT_HOST;
    *device = -1;
    if (!driver.pointer_attributes ||
        driver.pointer_attributes(3, wanted, found, reinterpret_cast<CUdeviceptr>(pointer)) != CUDA_SUCCESS)
        return dist_locate_by_runtime(pointer, where, device);
    if (!managed && type != CU_MEMORYTYPE_DEVICE && type != CU_MEMORYTYPE_HOST)
        return cudaSuccess;
    *where = !managed && type == CU_MEMORYTYPE_HOST ? DIST_CUDA_AT_PINNED : DIST_CUDA_AT_DEVICE;
    *device = ordinal;
    return cudaSuccess;
}

static int dist_allocate(void **memory, uint64_t bytes)
{
    const dist_beside_captures guard;
    DIST_COUNT(allocations);
    return dist_cleared(cudaMalloc(memory, bytes));
}

static int dist_release(void *memory)
{
    const dist_beside_captures guard;
    DIST_COUNT(allocations);
    DIST_COUNT(synchronizations);
    return dist_cleared(cudaFree(memory));
}

/* Without cudaHostAllocWriteCombined the device has it at the same address. */
static int dist_pin(void **memory, uint64_t bytes)
{
    const dist_beside_captures guard;
    DIST_COUNT(allocations);
    return dist_cleared(cudaHostAlloc(memory, bytes, cudaHostAllocPortable | cudaHostAllocMapped));
}

static int dist_unpin(void *memory)
{
    const dist_beside_captures guard;
    DIST_COUNT(allocations);
    DIST_COUNT(synchronizations);
    return dist_cleared(cudaFreeHost(memory));
}

/* ---- streams ---- */

/* A kernel that is loaded when it is first launched may wait for the whole context, and so for streams that wait for
 * what it would do. */
static cudaError_t dist_load_kernels()
{
    cudaFuncAttributes attributes;
    cudaError_t error = cudaSuccess;
    for (unsigned i = 0; !error && dist_reduce_kernel(i); i++)
        error = cudaFuncGetAttributes(&attributes, dist_reduce_kernel(i));
    return error;
}

static int dist_stream_create(void **stream, int urgent)
{
    const dist_beside_captures guard;
    int least = 0, most = 0;
    cudaStream_t made = NULL;
    DIST_COUNT(allocations);
    *stream = NULL;
    cudaError_t error = cudaDeviceGetStreamPriorityRange(&least, &most);
    if (!error)
        error = dist_load_kernels();
    if (!error)
        error = cudaStreamCreateWithPriority(&made, cudaStreamNonBlocking, urgent ? most : least);
    if (!error)
        *stream = made;
    return dist_cleared(error);
}

/* CUDA does not wait: what is queued on the stream is still done. */
static int dist_stream_destroy(void *stream)
{
    const dist_beside_captures guard;
    DIST_COUNT(allocations);
    return dist_cleared(cudaStreamDestroy(dist_stream_of(stream)));
}

static int dist_stream_wait_event(void *stream, void *event)
{
    DIST_COUNT(waits);
    return dist_cleared(cudaStreamWaitEvent(dist_stream_of(stream), dist_event_of(event), 0));
}

/* Waits for (int32_t)(*word - value) >= 0. The word's address is the device's: see dist_pin. */
static int dist_stream_wait_value(void *stream, uint32_t *word, uint32_t value)
{
    const dist_driver &driver = dist_the_driver();
    if (!driver.wait_value)
        return cudaErrorNotSupported;
    DIST_COUNT(waits);
    return dist_from_driver(driver.wait_value(dist_stream_of(stream), reinterpret_cast<CUdeviceptr>(word),
                                              value, CU_STREAM_WAIT_VALUE_GEQ));
}

static int dist_stream_write_value(void *stream, uint32_t *word, uint32_t value)
{
    const dist_driver &driver = dist_the_driver();
    if (!driver.write_value)
        return cudaErrorNotSupported;
    DIST_COUNT(records);
    return dist_from_driver(driver.write_value(dist_stream_of(stream), reinterpret_cast<CUdeviceptr>(word),
                                               value, CU_STREAM_WRITE_VALUE_DEFAULT));
}

/* The legacy default stream is as good as captured while a stream is that waits for it: using it would end the
 * capture. */
static int dist_stream_capturing(void *stream, int *capturing)
{
    cudaStreamCaptureStatus state = cudaStreamCaptureStatusNone;
    const int error = dist_cleared(cudaStreamIsCapturing(dist_stream_of(stream), &state));
    *capturing = error == cudaErrorStreamCaptureImplicit || (!error && state != cudaStreamCaptureStatusNone);
    return error == cudaErrorStreamCaptureImplicit ? cudaSuccess : error;
}

/* ---- events ---- */

static int dist_event_create(void **event)
{
    const dist_beside_captures guard;
    cudaEvent_t made = NULL;
    DIST_COUNT(allocations);
    *event = NULL;
    const int error = dist_cleared(cudaEventCreateWithFlags(&made, cudaEventDisableTiming));
    if (!error)
        *event = made;
    return error;
}

static int dist_event_destroy(void *event)
{
    const dist_beside_captures guard;
    DIST_COUNT(allocations);
    return dist_cleared(cudaEventDestroy(dist_event_of(event)));
}

static int dist_event_record(void *event, void *stream)
{
    DIST_COUNT(records);
    return dist_cleared(cudaEventRecord(dist_event_of(event), dist_stream_of(stream)));
}

static int dist_event_query(void *event)
{
    const dist_beside_captures guard;
    static_assert(DIST_CUDA_NOT_READY == static_cast<int>(cudaErrorNotReady), "the number is CUDA's");
    DIST_COUNT(queries);
    return dist_cleared(cudaEventQuery(dist_event_of(event)));
}

/* ---- work ---- */

/* The caller gives pinned or device memory. Of other host memory CUDA first copies a part itself, or waits until the
 * copy is done; finding out would cost each copy a call, so that is not counted as a synchronization. */
static int dist_copy(void *dst, const void *src, uint64_t bytes, void *stream)
{
    if (!bytes)
        return cudaSuccess;
    DIST_COUNT(copies);
    return dist_cleared(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, dist_stream_of(stream)));
}

static int dist_zero(void *dst, uint64_t bytes, void *stream)
{
    if (!bytes)
        return cudaSuccess;
    DIST_COUNT(copies);
    return dist_cleared(cudaMemsetAsync(dst, 0, bytes, dist_stream_of(stream)));
}

static int dist_reduce(uint32_t type, uint32_t reduction, void *dst, const void *src, uint64_t count,
                       void *stream)
{
    if (count)
        DIST_COUNT(kernels);
    return dist_launch_reduce(type, reduction, dst, src, count, dist_stream_of(stream));
}

static int dist_divide(uint32_t type, void *data, uint64_t count, int divisor, void *stream)
{
    if (count)
        DIST_COUNT(kernels);
    return dist_launch_divide(type, data, count, divisor, dist_stream_of(stream));
}

static int dist_synchronize(void *stream)
{
    const dist_beside_captures guard;
    DIST_COUNT(synchronizations);
    return dist_cleared(cudaStreamSynchronize(dist_stream_of(stream)));
}

static void dist_read_counts(dist_cuda_counts *counts)
{
    counts->kernels = DIST_COUNT_OF(kernels);
    counts->copies = DIST_COUNT_OF(copies);
    counts->records = DIST_COUNT_OF(records);
    counts->waits = DIST_COUNT_OF(waits);
    counts->queries = DIST_COUNT_OF(queries);
    counts->synchronizations = DIST_COUNT_OF(synchronizations);
    counts->allocations = DIST_COUNT_OF(allocations);
}

/* ---- NVTX ---- */

#if DIST_HAS_NVTX
/* NULL where no tool listens: NVTX then has nobody to make it. */
static nvtxDomainHandle_t dist_domain()
{
    static const nvtxDomainHandle_t domain = nvtxDomainCreateA("libdist");
    return domain;
}

static int dist_ranges()
{
    return dist_domain() != NULL;
}

/* The tool copies the name. */
static uint64_t dist_range_begin(const char *name)
{
    nvtxEventAttributes_t attributes = {};
    if (!dist_ranges())
        return 0;
    attributes.version = NVTX_VERSION;
    attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
    attributes.messageType = NVTX_MESSAGE_TYPE_ASCII;
    attributes.message.ascii = name;
    return nvtxDomainRangeStartEx(dist_domain(), &attributes);
}

static void dist_range_end(uint64_t range)
{
    if (dist_ranges())
        nvtxDomainRangeEnd(dist_domain(), range);
}
#else
static int dist_ranges()
{
    return 0;
}

static uint64_t dist_range_begin(const char *)
{
    return 0;
}

static void dist_range_end(uint64_t) {}
#endif

DIST_KERNEL_API const dist_cuda *dist_cuda_table(uint32_t version)
{
    static const dist_cuda table = {DIST_CUDA_VERSION,
                                    dist_count_devices,
                                    dist_name_of_error,
                                    dist_identify,
                                    dist_current,
                                    dist_select,
                                    dist_locate_memory,
                                    dist_allocate,
                                    dist_release,
                                    dist_pin,
                                    dist_unpin,
                                    dist_stream_create,
                                    dist_stream_destroy,
                                    dist_stream_wait_event,
                                    dist_stream_wait_value,
                                    dist_stream_write_value,
                                    dist_stream_capturing,
                                    dist_event_create,
                                    dist_event_destroy,
                                    dist_event_record,
                                    dist_event_query,
                                    dist_copy,
                                    dist_zero,
                                    dist_reduce,
                                    dist_divide,
                                    dist_synchronize,
                                    dist_read_counts,
                                    dist_ranges,
                                    dist_range_begin,
                                    dist_range_end};
    return version == DIST_CUDA_VERSION ? &table : NULL;
}
