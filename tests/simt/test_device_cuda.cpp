/* The plugin's table of devices over a pretended run time and driver: what it passes on, what it says of errors, what
 * it counts. That CUDA does what it is asked only a GPU can show. */
#include "simt_test.h"

#include <dlfcn.h>
#include <string.h>

#include <string>

#include "cuda.h"

/* ---- the pretended run time ---- */

static struct {
    std::string calls;          /* with a space behind each */
    std::string fails;          /* the call that fails, with `error` */
    cudaError_t error, last;    /* of this thread */
    cudaStreamCaptureMode mode; /* of this thread */
    cudaStreamCaptureStatus capturing;
    unsigned type, managed; /* of any pointer, as the driver says it */
    int device;
    CUresult driver; /* what it answers */
    bool has_driver;
} cuda;

/* CUDA would refuse the call and end the capture that another thread makes. */
static void note_unsafe(const char *call)
{
    if (cuda.mode != cudaStreamCaptureModeRelaxed)
        fail_msg("%s would end a capture of another thread", call);
}

static cudaError_t answer(const char *call)
{
    cuda.calls += std::string(call) + " ";
    if (cuda.fails != call)
        return cudaSuccess;
    return cuda.last = cuda.error;
}

static cudaError_t take_last_error()
{
    const cudaError_t error = cuda.last;
    cuda.last = cudaSuccess;
    return error;
}

static char thing; /* memory, a stream and an event */

#define SAFE(name, parameters, ...)                                                                          \
    cudaError_t name parameters                                                                              \
    {                                                                                                        \
        const cudaError_t error = answer(#name);                                                             \
        if (!error) {                                                                                        \
            __VA_ARGS__;                                                                                     \
        }                                                                                                    \
        return error;                                                                                        \
    }
#define UNSAFE(name, parameters, ...) SAFE(name, parameters, note_unsafe(#name); __VA_ARGS__)

const char *cudaGetErrorName(cudaError_t error)
{
    return error == cudaErrorNotSupported ? "cudaErrorNotSupported" : "another";
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode)
{
    const cudaStreamCaptureMode before = cuda.mode;
    cuda.mode = *mode;
    *mode = before;
    return cudaSuccess;
}

SAFE(cudaGetDeviceCount, (int *devices), *devices = 3)
SAFE(cudaGetDeviceProperties, (cudaDeviceProp * properties, int device),
     memset(properties, 0, sizeof *properties);
     memset(properties->name, 'n', sizeof properties->name - 1); memset(&properties->uuid, device, 16);
     properties->totalGlobalMem = size_t(80) << 30; properties->major = 9; properties->minor = 1)
SAFE(cudaDriverGetVersion, (int *version), *version = 13010)
SAFE(cudaRuntimeGetVersion, (int *version), *version = 13000)
SAFE(cudaGetDevice, (int *device), *device = cuda.device)
SAFE(cudaSetDevice, (int device), cuda.device = device)
SAFE(cudaPointerGetAttributes, (cudaPointerAttributes * attributes, const void *),
     attributes->type = static_cast<cudaMemoryType>(cuda.managed ? 3 : cuda.type);
     attributes->device = cuda.device)
UNSAFE(cudaMalloc, (void **memory, size_t bytes), assert_int_equal(bytes, 40); *memory = &thing)
UNSAFE(cudaFree, (void *memory), assert_ptr_equal(memory, &thing))
UNSAFE(cudaHostAlloc, (void **memory, size_t bytes, unsigned flags), assert_int_equal(bytes, 40);
       assert_int_equal(flags, cudaHostAllocPortable | cudaHostAllocMapped); *memory = &thing)
UNSAFE(cudaFreeHost, (void *memory), assert_ptr_equal(memory, &thing))
UNSAFE(cudaFuncGetAttributes, (cudaFuncAttributes *, const void *kernel), assert_non_null(kernel))
SAFE(cudaDeviceGetStreamPriorityRange, (int *least, int *most), *least = 0; *most = -5)
UNSAFE(cudaStreamCreateWithPriority, (cudaStream_t * stream, unsigned flags, int priority),
       assert_int_equal(flags, cudaStreamNonBlocking);
       cuda.device = priority; *stream = reinterpret_cast<cudaStream_t>(&thing))
UNSAFE(cudaStreamDestroy, (cudaStream_t stream), assert_ptr_equal(stream, &thing))
SAFE(cudaStreamWaitEvent, (cudaStream_t stream, cudaEvent_t event, unsigned flags),
     assert_ptr_equal(stream, event);
     assert_int_equal(flags, 0))
SAFE(cudaStreamIsCapturing, (cudaStream_t, cudaStreamCaptureStatus *status), *status = cuda.capturing)
UNSAFE(cudaStreamSynchronize, (cudaStream_t stream), assert_ptr_equal(stream, &thing))
UNSAFE(cudaEventCreateWithFlags, (cudaEvent_t * event, unsigned flags),
       assert_int_equal(flags, cudaEventDisableTiming);
       *event = reinterpret_cast<cudaEvent_t>(&thing))
UNSAFE(cudaEventDestroy, (cudaEvent_t event), assert_ptr_equal(event, &thing))
SAFE(cudaEventRecord, (cudaEvent_t event, cudaStream_t stream), assert_ptr_equal(event, stream))
UNSAFE(cudaEventQuery, (cudaEvent_t event), assert_ptr_equal(event, &thing))

/* ---- the pretended driver ---- */

CUresult cuDeviceGet(CUdevice *device, int number)
{
    *device = number + 100;
    return cuda.driver;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
    memset(uuid, device, sizeof *uuid);
    return cuda.driver;
}

CUresult cuPointerGetAttributes(unsigned attributes, CUpointer_attribute *wanted, void **found, CUdeviceptr)
{
    assert_int_equal(attributes, 3);
    for (unsigned i = 0; i < 3 && cuda.driver == CUDA_SUCCESS; i++) {
        const int value = wanted[i] == CU_POINTER_ATTRIBUTE_MEMORY_TYPE  ? static_cast<int>(cuda.type)
                          : wanted[i] == CU_POINTER_ATTRIBUTE_IS_MANAGED ? static_cast<int>(cuda.managed)
                                                                         : cuda.device;
        memcpy(found[i], &value, sizeof value);
    }
    return cuda.driver;
}

/* Done at once: the word is at the address that was given. */
CUresult cuStreamWaitValue32(CUstream stream, CUdeviceptr address, uint32_t value, unsigned flags)
{
    assert_ptr_equal(stream, &thing);
    assert_int_equal(flags, CU_STREAM_WAIT_VALUE_GEQ);
    assert_int_equal(*reinterpret_cast<uint32_t *>(address), value);
    return cuda.driver;
}

CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr address, uint32_t value, unsigned flags)
{
    assert_ptr_equal(stream, &thing);
    assert_int_equal(flags, CU_STREAM_WRITE_VALUE_DEFAULT);
    *reinterpret_cast<uint32_t *>(address) = value;
    return cuda.driver;
}

static void *open_library(const char *name, int)
{
    assert_string_equal(name, "libcuda.so.1");
    return cuda.has_driver ? &thing : nullptr;
}

static void *find_symbol(void *, const char *name)
{
    static const struct {
        const char *name;
        void *symbol;
    } symbols[] = {{"cuDeviceGet", reinterpret_cast<void *>(cuDeviceGet)},
                   {"cuDeviceGetUuid_v2", reinterpret_cast<void *>(cuDeviceGetUuid)},
                   {"cuPointerGetAttributes", reinterpret_cast<void *>(cuPointerGetAttributes)},
                   {"cuStreamWaitValue32_v2", reinterpret_cast<void *>(cuStreamWaitValue32)},
                   {"cuStreamWriteValue32_v2", reinterpret_cast<void *>(cuStreamWriteValue32)}};
    for (const auto &known : symbols) {
        if (strcmp(known.name, name) == 0)
            return known.symbol;
    }
    fail_msg("%s is no function of the driver", name);
    return nullptr;
}

#define cudaGetLastError take_last_error
#define dlopen           open_library
#define dlsym            find_symbol
#include "kernels/device_cuda.cu"
#include "kernels/reduce.cu"

static const dist_cuda *table()
{
    const dist_cuda *const made = dist_cuda_table(DIST_CUDA_VERSION);
    assert_non_null(made);
    return made;
}

static int prepare(void **)
{
    cuda = {};
    cuda.has_driver = true;
    return 0;
}

static dist_cuda_counts counts()
{
    dist_cuda_counts now;
    table()->counts(&now);
    return now;
}

static bool counts_differ(const dist_cuda_counts &now, dist_cuda_counts before, dist_cuda_counts more)
{
    const uint64_t *const by = reinterpret_cast<const uint64_t *>(&more);
    uint64_t *const sum = reinterpret_cast<uint64_t *>(&before);
    for (size_t i = 0; i < sizeof more / sizeof *by; i++)
        sum[i] += by[i];
    return memcmp(&now, &before, sizeof now) != 0;
}

/* ---- tests ---- */

static void identifies_devices(void **)
{
    dist_cuda_identity identity;
    int number = 9;
    assert_null(dist_cuda_table(DIST_CUDA_VERSION + 1));
    assert_int_equal(table()->devices(&number), 0);
    assert_int_equal(number, 3);
    assert_int_equal(table()->identify(2, &identity), 0);
    assert_int_equal(strlen(identity.name), sizeof identity.name - 1);
    assert_int_equal(identity.uuid[0], 102); /* the driver's, which knows slices */
    assert_int_equal(identity.uuid[15], 102);
    assert_true(identity.bytes == uint64_t(80) << 30);
    assert_int_equal(identity.major * 10 + identity.minor, 91);
    assert_int_equal(identity.driver, 13010);
    assert_int_equal(identity.runtime, 13000);
    assert_int_equal(identity.stream_values, 1);
    cuda.driver = CUDA_ERROR_INVALID_VALUE;
    assert_int_equal(table()->identify(2, &identity), 0);
    assert_int_equal(identity.uuid[0], 2);
    assert_int_equal(table()->select(1), 0);
    assert_int_equal(table()->current(&number), 0);
    assert_int_equal(number, 1);
    assert_string_equal(table()->error_name(801), "cudaErrorNotSupported");
}

static int locate(int *device)
{
    int where = 9;
    assert_int_equal(table()->locate(&thing, &where, device), 0);
    return where;
}

static void locates_memory(void **)
{
    int device = 9;
    cuda.device = 2;
    assert_int_equal(locate(&device), DIST_CUDA_AT_HOST);
    assert_int_equal(device, -1);
    for (int again = 0; again < 2; again++) { /* then by the run time, where the driver wants a context */
        cuda.type = 1;
        assert_int_equal(locate(&device), DIST_CUDA_AT_PINNED);
        assert_int_equal(device, 2);
        cuda.type = 2;
        assert_int_equal(locate(&device), DIST_CUDA_AT_DEVICE);
        cuda.type = 1;
        cuda.managed = 1;
        assert_int_equal(locate(&device), DIST_CUDA_AT_DEVICE);
        assert_int_equal(device, 2);
        assert_int_equal(cuda.calls.empty(), !again);
        cuda.driver = CUDA_ERROR_INVALID_CONTEXT;
        cuda.managed = 0;
    }
    cuda.fails = "cudaPointerGetAttributes";
    cuda.error = cudaErrorInvalidValue; /* so said CUDA before version 11 */
    assert_int_equal(locate(&device), DIST_CUDA_AT_HOST);
    assert_int_equal(device, -1);
    assert_int_equal(cuda.last, cudaSuccess);
}

static void streams_wait_for_values(void **)
{
    uint32_t word = 0;
    const dist_cuda_counts before = counts();
    assert_int_equal(table()->stream_write_value(&thing, &word, 0xfffffff0u), 0);
    assert_int_equal(word, 0xfffffff0u);
    assert_int_equal(table()->stream_wait_value(&thing, &word, 0xfffffff0u), 0);
    dist_cuda_counts more = {};
    more.records = more.waits = 1;
    assert_false(counts_differ(counts(), before, more));
    cuda.driver = CUDA_ERROR_INVALID_CONTEXT;
    assert_int_equal(table()->stream_wait_value(&thing, &word, word), 201);
}

static void streams_have_priorities_and_kernels(void **)
{
    void *stream = nullptr;
    assert_int_equal(table()->stream_create(&stream, 1), 0);
    assert_ptr_equal(stream, &thing);
    assert_int_equal(cuda.device, -5);
    size_t loaded = 0;
    for (size_t at = 0; (at = cuda.calls.find("cudaFuncGetAttributes", at)) != std::string::npos; at++)
        loaded++;
    assert_int_equal(loaded, 4 * DIST_CUDA_TYPES);
    assert_int_equal(table()->stream_create(&stream, 0), 0);
    assert_int_equal(cuda.device, 0);
    cuda.fails = "cudaStreamCreateWithPriority";
    cuda.error = cudaErrorNotSupported;
    assert_int_equal(table()->stream_create(&stream, 0), cudaErrorNotSupported);
    assert_null(stream);
}

static void says_what_is_captured(void **)
{
    int capturing = 9;
    assert_int_equal(table()->stream_capturing(nullptr, &capturing), 0);
    assert_int_equal(capturing, 0);
    cuda.capturing = cudaStreamCaptureStatusInvalidated;
    assert_int_equal(table()->stream_capturing(&thing, &capturing), 0);
    assert_int_equal(capturing, 1);
    cuda.fails = "cudaStreamIsCapturing";
    cuda.error = cudaErrorStreamCaptureImplicit; /* the legacy stream while another is captured */
    assert_int_equal(table()->stream_capturing(nullptr, &capturing), 0);
    assert_int_equal(capturing, 1);
    cuda.error = cudaErrorNotSupported;
    assert_int_equal(table()->stream_capturing(nullptr, &capturing), cudaErrorNotSupported);
    assert_int_equal(capturing, 0);
    assert_int_equal(cuda.last, cudaSuccess);
}

/* Calls in which something is done, and what they are counted as. */
static int call(unsigned number, dist_cuda_counts *as)
{
    void *made = nullptr;
    int device;
    dist_cuda_identity identity;
    *as = {};
    switch (number) {
    case 0:
        return table()->devices(&device);
    case 1:
        return table()->identify(0, &identity);
    case 2:
        return table()->current(&device);
    case 3:
        return table()->select(1);
    case 4:
        as->allocations = 1;
        return table()->allocate(&made, 40);
    case 5:
        as->allocations = as->synchronizations = 1;
        return table()->release(&thing);
    case 6:
        as->allocations = 1;
        return table()->pin(&made, 40);
    case 7:
        as->allocations = as->synchronizations = 1;
        return table()->unpin(&thing);
    case 8:
        as->allocations = 1;
        return table()->stream_create(&made, 0);
    case 9:
        as->allocations = 1;
        return table()->stream_destroy(&thing);
    case 10:
        as->waits = 1;
        return table()->stream_wait_event(&thing, &thing);
    case 11:
        as->allocations = 1;
        return table()->event_create(&made);
    case 12:
        as->allocations = 1;
        return table()->event_destroy(&thing);
    case 13:
        as->records = 1;
        return table()->event_record(&thing, &thing);
    case 14:
        as->queries = 1;
        return table()->event_query(&thing);
    default:
        as->synchronizations = 1;
        return table()->synchronize(&thing);
    }
}

static const char *const last_of_call[] = {"cudaGetDeviceCount",
                                           "cudaRuntimeGetVersion",
                                           "cudaGetDevice",
                                           "cudaSetDevice",
                                           "cudaMalloc",
                                           "cudaFree",
                                           "cudaHostAlloc",
                                           "cudaFreeHost",
                                           "cudaStreamCreateWithPriority",
                                           "cudaStreamDestroy",
                                           "cudaStreamWaitEvent",
                                           "cudaEventCreateWithFlags",
                                           "cudaEventDestroy",
                                           "cudaEventRecord",
                                           "cudaEventQuery",
                                           "cudaStreamSynchronize"};

/* Each call is counted, also where it fails; its error is returned, and the program's thread is as it was. */
static void counts_calls_and_clears_errors(void **)
{
    dist_cuda_counts more;
    for (unsigned i = 0; i < sizeof last_of_call / sizeof *last_of_call; i++) {
        for (int fails = 0; fails < 2; fails++) {
            const dist_cuda_counts before = counts();
            cuda.fails = fails ? last_of_call[i] : "";
            cuda.error = i == 14 ? cudaErrorNotReady : cudaErrorNotSupported;
            cuda.mode = cudaStreamCaptureModeThreadLocal;
            cuda.calls = "";
            assert_int_equal(call(i, &more), fails ? cuda.error : cudaSuccess);
            assert_false(counts_differ(counts(), before, more));
            assert_non_null(strstr(cuda.calls.c_str(), last_of_call[i]));
            assert_int_equal(cuda.mode, cudaStreamCaptureModeThreadLocal);
            assert_int_equal(cuda.last, cudaSuccess);
        }
    }
}

static void does_work(void **)
{
    float a[5] = {1, 2, 3, 4, 5}, b[5] = {0};
    const dist_cuda_counts before = counts();
    assert_int_equal(table()->copy(b, a, sizeof a, &thing), 0);
    assert_int_equal(table()->reduce(DIST_CUDA_FLOAT32, DIST_CUDA_SUM, a, b, 5, &thing), 0);
    assert_int_equal(table()->divide(DIST_CUDA_FLOAT32, a, 5, 4, &thing), 0);
    assert_true(a[0] == 0.5f && a[4] == 2.5f);
    assert_int_equal(table()->zero(b, 8, &thing), 0);
    assert_true(b[0] == 0 && b[1] == 0 && b[2] == 3);
    dist_cuda_counts more = {};
    more.copies = more.kernels = 2;
    assert_false(counts_differ(counts(), before, more));
    assert_int_equal(table()->copy(nullptr, nullptr, 0, nullptr), 0);
    assert_int_equal(table()->zero(nullptr, 0, nullptr), 0);
    assert_int_equal(table()->reduce(DIST_CUDA_FLOAT32, DIST_CUDA_SUM, nullptr, nullptr, 0, nullptr), 0);
    assert_false(counts_differ(counts(), before, more));
    assert_int_equal(table()->ranges(), 0);
    assert_int_equal(table()->range_begin("nobody listens"), 0);
    table()->range_end(0);
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup(identifies_devices, prepare),
        cmocka_unit_test_setup(locates_memory, prepare),
        cmocka_unit_test_setup(streams_wait_for_values, prepare),
        cmocka_unit_test_setup(streams_have_priorities_and_kernels, prepare),
        cmocka_unit_test_setup(says_what_is_captured, prepare),
        cmocka_unit_test_setup(counts_calls_and_clears_errors, prepare),
        cmocka_unit_test_setup(does_work, prepare),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
