#include "device/device.h"

#include <string.h>

#include "base/fpmode.h"
#include "device/host_loops.h"

/* Asked for each call: two loads and a test, and no state to keep. */
static const dist_host_loops *best_loops(void)
{
    const dist_host_loops *loops = dist_host_avx512();
    if (!loops)
        loops = dist_host_avx2();
    return loops ? loops : &dist_host_scalar;
}

static void copy(void *dst, const void *src, size_t bytes)
{
    if (bytes > 0)
        memcpy(dst, src, bytes);
}

static void reduce(dist_type type, dist_reduction reduction, void *dst, const void *src, size_t count)
{
    if (count == 0)
        return;
    const uint64_t mode = dist_fpmode_default();
    best_loops()->reduce[type][reduction](dst, src, count);
    dist_fpmode_set(mode);
}

static void divide(dist_type type, void *data, size_t count, int divisor)
{
    if (count == 0)
        return;
    const uint64_t mode = dist_fpmode_default();
    best_loops()->divide[type](data, count, divisor);
    dist_fpmode_set(mode);
}

const dist_device_ops dist_device_host = {"host", copy, reduce, divide};
