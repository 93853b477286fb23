/* The table of the plugin, and work that is copies and sums. */
#define _POSIX_C_SOURCE 200809L /* getpid */

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <libdist/collective.h>

#include "device/device.h"
#include "fake_cuda_internal.h"

enum { PIECE = 4096 };

dist_cuda_counts fake_counts;
static _Thread_local int device_in_use;

/* ---- devices ---- */

static int count_devices(int *devices)
{
    const long number = fake_number("FAKE_CUDA_DEVICES", 1);
    *devices = number > 0 ? (int)number : 0;
    return number < 0 ? FAKE_NO_DRIVER : 0;
}

static const char *error_name(int error)
{
    switch (error) {
    case 0:
        return "cudaSuccess";
    case FAKE_INVALID_VALUE:
        return "cudaErrorInvalidValue";
    case 2:
        return "cudaErrorMemoryAllocation";
    case FAKE_NO_DRIVER:
        return "cudaErrorInsufficientDriver";
    case DIST_CUDA_NOT_READY:
        return "cudaErrorNotReady";
    case FAKE_ILLEGAL_ADDRESS:
        return "cudaErrorIllegalAddress";
    case FAKE_CAPTURING:
        return "cudaErrorStreamCaptureUnsupported";
    default:
        return "some CUDA error";
    }
}

static void write_uuid(int device, uint8_t uuid[16])
{
    const uint32_t words[4] = {0xfa6ec0da, fake_number("FAKE_CUDA_SHARED", 0) ? 0 : (uint32_t)getpid(),
                               (uint32_t)device, 0};
    memcpy(uuid, words, sizeof words);
}

void fake_cuda_identity(uint8_t uuid[16])
{
    write_uuid(device_in_use, uuid);
}

static int identify(int device, dist_cuda_identity *identity)
{
    int devices = 0;
    count_devices(&devices);
    if (device < 0 || device >= devices)
        return 101; /* cudaErrorInvalidDevice */
    *identity = (dist_cuda_identity){.name = "a fake",
                                     .bytes = 1ull << 30,
                                     .major = 9,
                                     .driver = 13000,
                                     .runtime = 13000,
                                     .stream_values = fake_number("FAKE_CUDA_NO_VALUES", 0) != 1};
    write_uuid(device, identity->uuid);
    return fake_fault("identify");
}

static int current(int *device)
{
    *device = device_in_use;
    return 0;
}

enum { DEVICES_MOST = 64 };
static uint64_t selected[DEVICES_MOST];

static int use(int device)
{
    if (device < 0 || device >= DEVICES_MOST)
        return 101;
    __atomic_fetch_add(&selected[device], 1, __ATOMIC_RELAXED);
    device_in_use = device;
    return 0;
}

uint64_t fake_cuda_selected(int device)
{
    return __atomic_load_n(&selected[device], __ATOMIC_RELAXED);
}

int fake_device(void)
{
    return device_in_use;
}

/* ---- work ---- */

static void run_copy(const fake_work *w)
{
    char *dst = w->a;
    const char *src = w->b;
    for (uint64_t at = 0; at < w->n; at += PIECE) {
        memcpy(dst + at, src + at, w->n - at < PIECE ? w->n - at : PIECE);
        sched_yield();
    }
}

/* The host waits for a copy of memory that is not pinned, as it may in CUDA. */
static int copy(void *dst, const void *src, uint64_t bytes, void *stream)
{
    int at_dst, at_src, device;
    const int error = fake_fault("copy");
    FAKE_COUNT(copies);
    if (error || bytes == 0)
        return error;
    void *const to = fake_bytes(dst, bytes), *const from = fake_bytes(src, bytes);
    if (!to || !from)
        return FAKE_INVALID_VALUE;
    fake_locate(dst, &at_dst, &device);
    fake_locate(src, &at_src, &device);
    fake_queue(stream, &(fake_work){.run = run_copy, .a = to, .b = from, .n = bytes});
    if (at_dst != DIST_CUDA_AT_HOST && at_src != DIST_CUDA_AT_HOST)
        return 0;
    FAKE_COUNT(synchronizations);
    return fake_synchronize(stream);
}

static void run_zero(const fake_work *w)
{
    memset(w->a, 0, w->n);
}

static int zero(void *dst, uint64_t bytes, void *stream)
{
    const int error = fake_fault("zero");
    void *const to = fake_kernel_bytes(dst, bytes);
    FAKE_COUNT(copies);
    if (error || bytes == 0 || !to)
        return error;
    return fake_queue(stream, &(fake_work){.run = run_zero, .a = to, .n = bytes});
}

/* n: elements, m: type and reduction, or divisor */
static void run_reduce(const fake_work *w)
{
    const dist_type type = (dist_type)(w->m & 0xff);
    const size_t size = dist_type_bytes(type);
    static const dist_reduction by[] = {
        [DIST_CUDA_SUM] = DIST_SUM, [DIST_CUDA_MIN] = DIST_MIN, [DIST_CUDA_MAX] = DIST_MAX};
    for (uint64_t at = 0; at < w->n; at += PIECE) {
        const uint64_t now = w->n - at < PIECE ? w->n - at : PIECE;
        dist_device_host.reduce(type, by[w->m >> 8], (char *)w->a + at * size, (char *)w->b + at * size, now);
        sched_yield();
    }
}

static int reduce(uint32_t type, uint32_t reduction, void *dst, const void *src, uint64_t count, void *stream)
{
    const int error = fake_fault("reduce");
    const uint64_t bytes = count * dist_type_bytes((dist_type)type);
    void *const to = fake_kernel_bytes(dst, bytes), *const from = fake_kernel_bytes(src, bytes);
    FAKE_COUNT(kernels);
    if (error || count == 0 || !to || !from)
        return error;
    if (!fake_stream_is_here(stream))
        return FAKE_INVALID_HANDLE;
    return fake_queue(
        stream, &(fake_work){
                    .run = run_reduce, .a = to, .b = from, .n = count, .m = type | (uint64_t)reduction << 8});
}

static void run_divide(const fake_work *w)
{
    dist_device_host.divide((dist_type)(w->m & 0xff), w->a, w->n, (int)(w->m >> 8));
}

static int divide(uint32_t type, void *data, uint64_t count, int divisor, void *stream)
{
    const int error = fake_fault("divide");
    void *const to = fake_kernel_bytes(data, count * dist_type_bytes((dist_type)type));
    FAKE_COUNT(kernels);
    if (error || count == 0 || !to)
        return error;
    if (!fake_stream_is_here(stream))
        return FAKE_INVALID_HANDLE;
    return fake_queue(
        stream,
        &(fake_work){.run = run_divide, .a = to, .n = count, .m = type | (uint64_t)(unsigned)divisor << 8});
}

/* ---- counted, and faults where one is wished ---- */

#define COUNTED(name, field, parameters, call)                                                               \
    static int name parameters                                                                               \
    {                                                                                                        \
        const int error = fake_fault(#name);                                                                 \
        FAKE_COUNT(field);                                                                                   \
        return error ? error : call;                                                                         \
    }

COUNTED(allocate, allocations, (void **memory, uint64_t bytes), fake_allocate(memory, bytes))
COUNTED(pin, allocations, (void **memory, uint64_t bytes), fake_pin(memory, bytes))
COUNTED(stream_create, allocations, (void **stream, int urgent), fake_stream_create(stream, urgent))
COUNTED(stream_wait_event, waits, (void *stream, void *event), fake_stream_wait_event(stream, event))
COUNTED(stream_wait_value, waits, (void *stream, uint32_t *word, uint32_t value),
        fake_stream_wait_value(stream, word, value))
COUNTED(stream_write_value, records, (void *stream, uint32_t *word, uint32_t value),
        fake_stream_write_value(stream, word, value))
COUNTED(event_create, allocations, (void **event), fake_event_create(event))
COUNTED(event_record, records, (void *event, void *stream), fake_event_record(event, stream))
COUNTED(event_query, queries, (void *event), fake_event_query(event))
COUNTED(synchronize, synchronizations, (void *stream), fake_synchronize(stream))

/* What is given back is given back, also after an error. */
#define GIVEN_BACK(name, call, waits)                                                                        \
    static int name(void *what)                                                                              \
    {                                                                                                        \
        FAKE_COUNT(allocations);                                                                             \
        if (waits) /* in CUDA */                                                                             \
            FAKE_COUNT(synchronizations);                                                                    \
        return call(what);                                                                                   \
    }

GIVEN_BACK(release, fake_release, true)
GIVEN_BACK(unpin, fake_unpin, true)
GIVEN_BACK(stream_destroy, fake_stream_destroy, false)
GIVEN_BACK(event_destroy, fake_event_destroy, false)

static void counts(dist_cuda_counts *counted)
{
    *counted = (dist_cuda_counts){.kernels = __atomic_load_n(&fake_counts.kernels, __ATOMIC_RELAXED),
                                  .copies = __atomic_load_n(&fake_counts.copies, __ATOMIC_RELAXED),
                                  .records = __atomic_load_n(&fake_counts.records, __ATOMIC_RELAXED),
                                  .waits = __atomic_load_n(&fake_counts.waits, __ATOMIC_RELAXED),
                                  .queries = __atomic_load_n(&fake_counts.queries, __ATOMIC_RELAXED),
                                  .synchronizations =
                                      __atomic_load_n(&fake_counts.synchronizations, __ATOMIC_RELAXED),
                                  .allocations = __atomic_load_n(&fake_counts.allocations, __ATOMIC_RELAXED)};
}

/* ---- ranges: they are counted, so that each has its end ---- */

static uint64_t ranges_begun, ranges_ended;

void fake_cuda_ranges(uint64_t *begun, uint64_t *ended)
{
    *begun = __atomic_load_n(&ranges_begun, __ATOMIC_RELAXED);
    *ended = __atomic_load_n(&ranges_ended, __ATOMIC_RELAXED);
}

static int ranges(void)
{
    return fake_number("FAKE_CUDA_RANGES", 0) != 0;
}

static uint64_t range_begin(const char *name)
{
    if (!name || !*name)
        fake_die("a range without a name");
    return __atomic_add_fetch(&ranges_begun, 1, __ATOMIC_RELAXED);
}

static void range_end(uint64_t range)
{
    if (range == 0 || range > __atomic_load_n(&ranges_begun, __ATOMIC_RELAXED))
        fake_die("a range ends that has not begun");
    __atomic_add_fetch(&ranges_ended, 1, __ATOMIC_RELAXED);
}

const dist_cuda *dist_cuda_table(uint32_t version)
{
    static const dist_cuda table = {DIST_CUDA_VERSION,
                                    count_devices,
                                    error_name,
                                    identify,
                                    current,
                                    use,
                                    fake_locate,
                                    allocate,
                                    release,
                                    pin,
                                    unpin,
                                    stream_create,
                                    stream_destroy,
                                    stream_wait_event,
                                    stream_wait_value,
                                    stream_write_value,
                                    fake_stream_capturing,
                                    event_create,
                                    event_destroy,
                                    event_record,
                                    event_query,
                                    copy,
                                    zero,
                                    reduce,
                                    divide,
                                    synchronize,
                                    counts,
                                    ranges,
                                    range_begin,
                                    range_end};
    return version == DIST_CUDA_VERSION ? &table : NULL;
}
