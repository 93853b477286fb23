#include <libdist/memory.h>

#include "base/memory.h"
#include "context_internal.h"
#include "device/cuda.h"

const char *dist_memory_name(dist_memory memory)
{
    static const char *const names[] = {"auto", "host", "pinned", "cuda"};
    return (unsigned)memory < sizeof names / sizeof *names ? names[memory] : "unknown";
}

dist_memory dist_memory_of(const void *pointer)
{
    dist_cuda_plugin plugin;
    int where = DIST_CUDA_AT_HOST, device;
    if (!pointer || dist_cuda_plugin_find(&plugin) < 0 ||
        plugin.device->locate(pointer, &where, &device) != 0)
        return DIST_MEMORY_HOST;
    return where == DIST_CUDA_AT_DEVICE   ? DIST_MEMORY_CUDA
           : where == DIST_CUDA_AT_PINNED ? DIST_MEMORY_PINNED
                                          : DIST_MEMORY_HOST;
}

dist_status dist_cuda_available(void)
{
    dist_cuda_plugin plugin;
    return dist_cuda_plugin_find(&plugin);
}

dist_status dist_alloc(dist_context *context, size_t bytes, void **memory)
{
    DIST_CHECK_CONTEXT(context);
    if (!memory)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_alloc: the place for the memory is NULL");
    *memory = dist_wire_alloc(context->team_wire, bytes);
    return *memory ? DIST_OK : dist_fail(DIST_ERR_MEMORY, "dist_alloc: no memory for %zu bytes", bytes);
}

dist_status dist_free(dist_context *context, void *memory)
{
    DIST_CHECK_CONTEXT(context);
    dist_wire_free(context->team_wire, memory);
    return DIST_OK;
}
