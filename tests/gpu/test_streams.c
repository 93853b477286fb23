/* What plans count on of devices, streams and events: that the plugin's table does on a device what kernels/device_cuda.h says. */
#define _DEFAULT_SOURCE /* usleep */

#include <string.h>
#include <unistd.h>

#include "plugin.h"

enum { BYTES = 256 << 20, WORD = 16 };

static const dist_cuda *cuda;
static int failures;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            printf("line %d: %s does not hold\n", __LINE__, #condition);                                     \
            failures++;                                                                                      \
        }                                                                                                    \
    } while (0)

static int where(const void *pointer)
{
    int at = -1, device;
    CUDA(locate(pointer, &at, &device));
    return at;
}

static void look_at_places(void *device, void *pinned)
{
    static char own[64];
    char *const allocated = malloc(64);
    CHECK(where(device) == DIST_CUDA_AT_DEVICE && where((char *)device + BYTES - 1) == DIST_CUDA_AT_DEVICE);
    CHECK(where(pinned) == DIST_CUDA_AT_PINNED && where((char *)pinned + 7) == DIST_CUDA_AT_PINNED);
    CHECK(where(own) == DIST_CUDA_AT_HOST && where(&failures) == DIST_CUDA_AT_HOST);
    CHECK(where(allocated) == DIST_CUDA_AT_HOST);
    free(allocated);
}

/* Long work, then a copy on another stream that must come after it. */
static void look_at_order(void *first, void *second, void *a, unsigned char *host)
{
    void *event, *b;
    CUDA(event_create(&event));
    CUDA(allocate(&b, BYTES));
    CHECK(cuda->event_query(event) == 0); /* never recorded */
    for (int round = 1; round <= 5; round++) {
        memset(host, round, BYTES);
        CUDA(copy(a, host, BYTES, first));
        CUDA(copy(b, a, BYTES, first));
        CUDA(event_record(event, first));
        if (round == 1)
            CHECK(cuda->event_query(event) == DIST_CUDA_NOT_READY);
        CUDA(stream_wait_event(second, event));
        CUDA(copy(host + BYTES, b, BYTES, second));
        CUDA(synchronize(second));
        CHECK(cuda->event_query(event) == 0);
        CHECK(host[BYTES] == round && host[2 * BYTES - 1] == round && host[BYTES + BYTES / 2] == round);
    }
    CUDA(event_destroy(event));
    CUDA(release(b));
}

static void look_at_values(void *first, void *second, uint32_t *word)
{
    void *event;
    CUDA(event_create(&event));
    __atomic_store_n(word, UINT32_MAX - 1, __ATOMIC_RELEASE);
    CUDA(stream_wait_value(first, word, 2)); /* in the cyclic order it is still to come */
    CUDA(event_record(event, first));
    usleep(50000);
    CHECK(cuda->event_query(event) == DIST_CUDA_NOT_READY);
    __atomic_store_n(word, UINT32_MAX, __ATOMIC_RELEASE);
    usleep(50000);
    CHECK(cuda->event_query(event) == DIST_CUDA_NOT_READY);
    __atomic_store_n(word, 2, __ATOMIC_RELEASE); /* by the host */
    CUDA(synchronize(first));
    CUDA(stream_wait_value(first, word, 3));
    CUDA(event_record(event, first));
    CUDA(stream_write_value(second, word, 3)); /* by the device */
    CUDA(synchronize(first));
    CHECK(cuda->event_query(event) == 0);
    CHECK(__atomic_load_n(word, __ATOMIC_ACQUIRE) == 3);
    CUDA(event_destroy(event));
}

int main(void)
{
    void *first, *second, *device, *host, *word;
    int capturing = -1, current = -1;
    dist_cuda_identity identity;
    dist_cuda_counts before, after;
    cuda = plugin_table();
    CHECK(where(&failures) == DIST_CUDA_AT_HOST); /* before there is a context */
    CUDA(identify(0, &identity));
    printf("%s, compute %d.%d, streams %s for values\n", identity.name, identity.major, identity.minor,
           identity.stream_values ? "wait" : "cannot wait");
    CUDA(select(0));
    CUDA(current(&current));
    CHECK(current == 0);
    CUDA(stream_create(&first, 1));
    CUDA(stream_create(&second, 0));
    CUDA(allocate(&device, BYTES));
    CUDA(pin(&host, 2 * (uint64_t)BYTES));
    CUDA(pin(&word, WORD));
    look_at_places(device, host);
    cuda->counts(&before);
    look_at_order(first, second, device, host);
    cuda->counts(&after);
    CHECK(after.copies - before.copies == 15 && after.records - before.records == 5);
    CHECK(after.waits - before.waits == 5 && after.synchronizations - before.synchronizations == 6);
    if (identity.stream_values)
        look_at_values(first, second, word);
    CUDA(stream_capturing(first, &capturing));
    CHECK(capturing == 0);
    CUDA(stream_capturing(NULL, &capturing));
    CHECK(capturing == 0);
    CUDA(zero(device, BYTES, first));
    CUDA(copy(host, device, BYTES, first));
    CUDA(synchronize(first));
    CHECK(((unsigned char *)host)[0] == 0 && ((unsigned char *)host)[BYTES - 1] == 0);
    CUDA(release(device));
    CUDA(unpin(host));
    CUDA(unpin(word));
    CUDA(stream_destroy(first));
    CUDA(stream_destroy(second));
    printf("%d checks failed\n", failures);
    return failures > 0;
}
