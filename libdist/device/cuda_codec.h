/* The codecs of the CUDA plugin, libdist_cuda.so: found and opened once a process, when first asked for. */
#ifndef DIST_DEVICE_CUDA_CODEC_H
#define DIST_DEVICE_CUDA_CODEC_H

#include <libdist/status.h>

#include "kernels/codec_cuda.h"

/* *table gets what the plugin does. DIST_ERR_UNSUPPORTED, each time with the same sentence, where there is no plugin,
 * no driver or no device. The plugin is the file that DIST_CUDA_PLUGIN names, else the one beside libdist, else
 * the one that the loader finds. Creates no CUDA context. */
dist_status dist_cuda_codec(const dist_codec_cuda **table);

/* Of a file, without remembering it: for dist_cuda_codec and for tests. `file` may be a path or a name for the loader. */
dist_status dist_cuda_codec_open(const char *file, const dist_codec_cuda **table);

#endif
