#include <libdist/memory.h>

#include <string.h>

#include "base/memory.h"
#include "context_internal.h"
#include "device/cuda.h"
#include "devices.h"

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

/* The device that the context has, or this rank's among those of its node. */
static dist_status select_device(const dist_context *context, const dist_cuda *cuda)
{
    const dist_topology *t = context->topology;
    int devices = 0, before = 0;
    for (int r = 0; r < context->wire->rank; r++)
        before += t->place[r].node == t->place[context->wire->rank].node;
    const int error = cuda->devices(&devices);
    if (error != 0 || devices < 1)
        return dist_fail(DIST_ERR_CUDA, "no CUDA device answers: %s", cuda->error_name(error));
    const int device = context->gpu ? context->gpu->device : before % devices;
    const int refused = cuda->select(device);
    return refused == 0 ? DIST_OK
                        : dist_fail(DIST_ERR_CUDA, "CUDA device %d: error %d, %s", device, refused,
                                    cuda->error_name(refused));
}

dist_status dist_alloc_in(dist_context *context, dist_memory kind, size_t bytes, void **memory)
{
    DIST_CHECK_CONTEXT(context);
    if (!memory)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_alloc_in: the place for the memory is NULL");
    *memory = NULL;
    if (kind == DIST_MEMORY_AUTO || kind == DIST_MEMORY_HOST)
        return dist_alloc(context, bytes, memory);
    if (kind != DIST_MEMORY_PINNED && kind != DIST_MEMORY_CUDA)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_alloc_in: %d is not a dist_memory", (int)kind);
    dist_cuda_plugin plugin;
    DIST_TRY(dist_devices_plugin(context, &plugin));
    DIST_TRY(select_device(context, plugin.device));
    const size_t size = bytes > 0 ? bytes : 1;
    int error =
        kind == DIST_MEMORY_PINNED ? plugin.device->pin(memory, size) : plugin.device->allocate(memory, size);
    if (error == 0) {
        error = plugin.device->zero(*memory, size, NULL);
        error = error == 0 ? plugin.device->synchronize(NULL) : error;
    }
    if (error == 0)
        return DIST_OK;
    dist_free(context, *memory);
    *memory = NULL;
    return dist_fail(DIST_ERR_MEMORY, "dist_alloc_in: %zu bytes of %s memory: CUDA error %d, %s", bytes,
                     dist_memory_name(kind), error, plugin.device->error_name(error));
}

dist_status dist_free(dist_context *context, void *memory)
{
    DIST_CHECK_CONTEXT(context);
    const dist_memory kind = dist_locate(context, memory).memory;
    if (kind == DIST_MEMORY_HOST) {
        dist_wire_free(context->team_wire, memory);
        return DIST_OK;
    }
    const dist_cuda *cuda = context->cuda;
    const int error = kind == DIST_MEMORY_PINNED ? cuda->unpin(memory) : cuda->release(memory);
    return error == 0
               ? DIST_OK
               : dist_fail(DIST_ERR_CUDA, "dist_free: CUDA error %d, %s", error, cuda->error_name(error));
}

dist_status dist_copy(dist_context *context, void *to, const void *from, size_t bytes)
{
    DIST_CHECK_CONTEXT(context);
    if (bytes == 0)
        return DIST_OK;
    if (!to || !from)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_copy: %zu bytes from or to NULL", bytes);
    if (dist_locate(context, to).memory != DIST_MEMORY_CUDA &&
        dist_locate(context, from).memory != DIST_MEMORY_CUDA) {
        memmove(to, from, bytes);
        return DIST_OK;
    }
    int error = context->cuda->copy(to, from, bytes, NULL);
    error = error == 0 ? context->cuda->synchronize(NULL) : error;
    return error == 0 ? DIST_OK
                      : dist_fail(DIST_ERR_CUDA, "dist_copy: CUDA error %d, %s", error,
                                  context->cuda->error_name(error));
}
