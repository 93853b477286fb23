/* The CUDA device of a context: found by where buffers are, taken into use at the first call with device memory. */
#ifndef DIST_DEVICES_H
#define DIST_DEVICES_H

#include "context_internal.h"
#include "device/cuda.h"

/* Where buffers are. */
typedef struct dist_location {
    dist_memory memory; /* HOST, PINNED or CUDA */
    int device;         /* of CUDA */
} dist_location;

dist_location dist_locate(const dist_context *context, const void *pointer);

/* The plugin of this process, which the environment names or switches off; a file may switch it off for one context. */
dist_status dist_devices_plugin(const dist_context *context, dist_cuda_plugin *plugin);

/* Looks for the plugin and a device, once; without one that is no error but said at log level info. Local. */
void dist_devices_find(dist_context *context);

/* Makes device memory on `device` usable by plans, and connects the devices of this site with NCCL where each rank has its own.
 * Collective and blocking when first called; later ones only check that it is the same device. */
dist_status dist_devices_use(dist_context *context, int device);

/* Copies device memory to the host and waits, after what is queued on the default stream: for what is done now and then. */
dist_status dist_devices_read(const dist_context *context, int device, void *dst, const void *src,
                              size_t bytes);

/* What a plan of device memory is to know. */
void dist_devices_spec(const dist_context *context, dist_spec *spec);

/* Whether messages may be handed device memory. */
bool dist_devices_direct(const dist_context *context);

/* After the engine has ended. */
void dist_devices_release(dist_context *context, bool failed);

#endif
