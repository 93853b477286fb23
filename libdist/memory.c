#include <libdist/memory.h>

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
