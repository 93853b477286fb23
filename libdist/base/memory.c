#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *dist_alloc_zeroed(size_t bytes)
{
    if (bytes > SIZE_MAX - DIST_ALIGNMENT)
        return NULL;
    size_t rounded = (bytes + DIST_ALIGNMENT - 1) / DIST_ALIGNMENT * DIST_ALIGNMENT;
    if (rounded == 0)
        rounded = DIST_ALIGNMENT;
    void *memory = aligned_alloc(DIST_ALIGNMENT, rounded);
    if (memory)
        memset(memory, 0, rounded);
    return memory;
}

void dist_free_zeroed(void *memory)
{
    free(memory);
}

bool dist_grow(void *address, size_t *capacity, size_t needed, size_t element)
{
    if (needed <= *capacity)
        return true;
    size_t wanted = *capacity < 8 ? 8 : *capacity;
    while (wanted < needed) {
        if (wanted > SIZE_MAX / 2 / element)
            return false;
        wanted *= 2;
    }
    void *array; /* copied as bytes: the pointer there has the type of its elements, not void * */
    memcpy(&array, address, sizeof array);
    array = realloc(array, wanted * element);
    if (!array)
        return false;
    memcpy(address, &array, sizeof array);
    *capacity = wanted;
    return true;
}
