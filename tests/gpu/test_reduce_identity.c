/* Sums, minima, maxima and divisions on the device against those of the host, bit by bit.
 *
 *   test_reduce_identity [--small]
 *
 * --small: without vectors of 64 Mi elements. */
#include <string.h>

#include "device/device.h"
#include "gpu.h"
#include "plugin.h"

static const dist_type types[] = {DIST_FLOAT32,  DIST_FLOAT64, DIST_FLOAT16,
                                  DIST_BFLOAT16, DIST_INT32,   DIST_INT64};
static const dist_reduction reductions[] = {DIST_SUM, DIST_MIN, DIST_MAX};
static const dist_cuda *cuda;

/* On host and device, the same bytes. */
typedef struct twin {
    unsigned char *host, *back;
    void *device;
} twin;

static twin make_twin(size_t bytes)
{
    twin t = {0};
    CUDA(pin((void **)&t.host, bytes));
    CUDA(pin((void **)&t.back, bytes));
    CUDA(allocate(&t.device, bytes));
    return t;
}

static void free_twin(twin *t)
{
    CUDA(unpin(t->host));
    CUDA(unpin(t->back));
    CUDA(release(t->device));
}

/* Every bit pattern may come, with many that are special. */
static void fill(unsigned char *data, size_t bytes, size_t size, uint64_t seed)
{
    for (size_t i = 0; i + 4 <= bytes; i += 4) {
        const uint32_t bits = draw_bits(&seed);
        memcpy(data + i, &bits, 4);
    }
    for (size_t i = 0; i + size <= bytes; i += 7 * size) { /* a NaN, an infinity, -0, the smallest, INT_MIN */
        static const uint64_t special[] = {
            0x7fc1234500000001u, 0xff80000000000000u, 0x8000000000000000u, 1u, 0x7c00u, 0x7ff0000000000000u};
        const uint64_t word = special[(i / size) % 6] >> (size == 2 && i % 2 ? 48 : 0);
        const uint64_t high = size == 4 ? word >> 32 : size == 2 ? word >> 48 : word;
        memcpy(data + i, &high, size);
    }
}

static size_t differences(twin *t, size_t bytes, size_t size)
{
    size_t different = 0;
    CUDA(copy(t->back, t->device, bytes, NULL));
    CUDA(synchronize(NULL));
    for (size_t i = 0; i + size <= bytes; i += size)
        different += memcmp(t->host + i, t->back + i, size) != 0;
    return different;
}

static size_t compare(dist_type type, size_t count, size_t skip, twin *to, twin *from)
{
    const size_t size = dist_type_bytes(type), bytes = (count + skip) * size;
    size_t wrong = 0;
    for (uint32_t r = 0; r < 4; r++) { /* the last is a division */
        fill(to->host, bytes, size, 17 + r);
        fill(from->host, bytes, size, 99 + r);
        CUDA(copy(to->device, to->host, bytes, NULL));
        CUDA(copy(from->device, from->host, bytes, NULL));
        CUDA(synchronize(NULL));
        unsigned char *const at = to->host + skip * size, *const device =
                                                              (unsigned char *)to->device + skip * size;
        if (r < 3) {
            dist_device_host.reduce(type, reductions[r], at, from->host, count);
            CUDA(reduce((uint32_t)type, r, device, from->device, count, NULL));
        } else {
            dist_device_host.divide(type, at, count, 7);
            CUDA(divide((uint32_t)type, device, count, 7, NULL));
        }
        const size_t different = differences(to, bytes, size);
        if (different)
            printf("%s %s of %zu elements, %zu left out: %zu differ\n", dist_type_name(type),
                   r < 3 ? dist_reduction_name(reductions[r]) : "division", count, skip, different);
        wrong += different;
    }
    return wrong;
}

int main(int argc, char **argv)
{
    static const size_t counts[] = {0, 1, 3, 255, 4099, 1 << 20, 64 << 20};
    const bool small = argc > 1 && strcmp(argv[1], "--small") == 0;
    const size_t sizes = sizeof counts / sizeof *counts - (small ? 1 : 0), most = counts[sizes - 1] + 8;
    size_t wrong = 0, compared = 0;
    cuda = plugin_table();
    CUDA(select(0));
    twin to = make_twin(most * 8), from = make_twin(most * 8);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t c = 0; c < sizes; c++)
            for (size_t skip = 0; skip < 3; skip++) {
                if (c == sizeof counts / sizeof *counts - 1 && (skip || dist_type_bytes(types[t]) > 4))
                    continue;
                wrong += compare(types[t], counts[c], skip, &to, &from);
                compared += 4;
            }
    free_twin(&to);
    free_twin(&from);
    printf("%zu comparisons, %zu elements differ\n", compared, wrong);
    return wrong > 0;
}
