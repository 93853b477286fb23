#include "base/memory.h"
#include "wire/wire.h"

void *dist_wire_alloc(dist_wire *wire, size_t bytes)
{
    void *const memory = wire && wire->ops->allocate ? wire->ops->allocate(wire, bytes) : NULL;
    return memory ? memory : dist_alloc_zeroed(bytes);
}

void dist_wire_free(dist_wire *wire, void *memory)
{
    if (!memory || !wire || !wire->ops->free || !wire->ops->free(wire, memory))
        dist_free_zeroed(memory);
}
