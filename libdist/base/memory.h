/* Memory for buffers: aligned to cache lines, zeroed where asked. */
#ifndef DIST_BASE_MEMORY_H
#define DIST_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define DIST_ALIGNMENT 64

/* `bytes` zeroed bytes at a 64-byte boundary (never NULL for 0 bytes), or NULL when there is no memory. Free
 * with dist_free_zeroed. */
void *dist_alloc_zeroed(size_t bytes);
void dist_free_zeroed(void *memory);

/* Makes room for at least `needed` elements of `element` bytes in the array whose pointer is at `address`;
 * *capacity counts elements and at least doubles. False, with nothing changed, when there is no memory. */
bool dist_grow(void *address, size_t *capacity, size_t needed, size_t element);

#endif
