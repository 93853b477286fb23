#include "device/device.h"

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/fpmode.h"
#include "device/host_loops.h"

#define LINE 64

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

#ifdef __SSE2__
/* Whole lines, which the processor then need not read before it writes them. */
static void copy_past(void *dst, const void *src, size_t bytes)
{
    const size_t head = -(uintptr_t)dst & (LINE - 1), before = head < bytes ? head : bytes;
    char *to = dst;
    const char *from = src;
    copy(to, from, before);
    size_t i = before;
    for (; i + LINE <= bytes; i += LINE)
        for (size_t j = i; j < i + LINE; j += sizeof(__m128i))
            _mm_stream_si128((__m128i *)(void *)(to + j),
                             _mm_loadu_si128((const __m128i *)(const void *)(from + j)));
    _mm_sfence();
    copy(to + i, from + i, bytes - i);
}
#else
#define copy_past copy
#endif

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

const dist_device_ops dist_device_host = {"host", copy, copy_past, reduce, divide};
