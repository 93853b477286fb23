/* Buffers where they live: one table of functions for each kind of memory. Host memory is the only one now.
 */
#ifndef DIST_DEVICE_DEVICE_H
#define DIST_DEVICE_DEVICE_H

#include <stddef.h>

#include <libdist/collective.h>

/* All slots are required; none fails, blocks on another rank or allocates. Buffers are aligned to their
 * elements and do not overlap; `count` may be 0, then pointers may be NULL.
 *
 * The bits of a result depend on the values alone: not on the processor, the program's float mode or where a
 * buffer begins. For that, every NaN that a function computes is the same quiet one. */
typedef struct dist_device_ops {
    const char *name;
    void (*copy)(void *dst, const void *src, size_t bytes);
    /* The same past the caches, where the processor can: for more than they hold. */
    void (*copy_past)(void *dst, const void *src, size_t bytes);

    /* dst = dst op src. DIST_AVERAGE adds as DIST_SUM does; divide follows once all is added. float16 and
     * bfloat16 are added in float32 and rounded to nearest even; integers wrap. DIST_MIN and DIST_MAX keep
     * dst where both are equal (-0 and +0 are). */
    void (*reduce)(dist_type type, dist_reduction reduction, void *dst, const void *src, size_t count);

    /* data = data / divisor, which is at least 1. Integers are truncated towards zero. */
    void (*divide)(dist_type type, void *data, size_t count, int divisor);
} dist_device_ops;

extern const dist_device_ops dist_device_host;

#endif
