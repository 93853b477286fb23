/* The CUDA plugin, libdist_cuda.so: found and opened once a process, when first asked for. */
#ifndef DIST_DEVICE_CUDA_H
#define DIST_DEVICE_CUDA_H

#include <libdist/status.h>

#include "kernels/codec_cuda.h"
#include "kernels/device_cuda.h"

/* What the plugin does. */
typedef struct dist_cuda_plugin {
    const dist_cuda *device;
    const dist_codec_cuda *codec;
} dist_cuda_plugin;

/* DIST_ERR_UNSUPPORTED, each time with the same sentence, where there is no plugin, no driver or no device, or with DIST_CUDA=off.
 * The plugin is the file that DIST_CUDA_PLUGIN names, else the one beside libdist, else the one that the loader finds.
 * Creates no CUDA context. */
dist_status dist_cuda_plugin_find(dist_cuda_plugin *plugin);

/* Of a file, without remembering it: for dist_cuda_plugin_find and for tests. `file` may be a path or a name for the loader. */
dist_status dist_cuda_plugin_open(const char *file, dist_cuda_plugin *plugin);

#endif
