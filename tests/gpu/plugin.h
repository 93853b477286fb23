/* The plugin's table, for programs that need no MPI. */
#ifndef DIST_TESTS_GPU_PLUGIN_H
#define DIST_TESTS_GPU_PLUGIN_H

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "device/cuda.h"

/* Nothing after a call that fails means anything. */
#define CUDA(call)                                                                                           \
    do {                                                                                                     \
        const int plugin_error = cuda->call;                                                                 \
        if (plugin_error) {                                                                                  \
            fprintf(stderr, "%s:%d: %s: CUDA error %d, %s\n", __FILE__, __LINE__, #call, plugin_error,       \
                    cuda->error_name(plugin_error));                                                         \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static inline const dist_cuda *plugin_table(void)
{
    dist_cuda_plugin plugin;
    if (dist_cuda_plugin_find(&plugin) < 0) {
        fprintf(stderr, "%s\n", dist_last_error());
        exit(1);
    }
    return plugin.device;
}

#endif
