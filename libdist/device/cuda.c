#define _GNU_SOURCE /* dladdr */

#include "device/cuda.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libdist/context.h>

#include "base/error.h"

#define TEXT(x)   #x
#define STRING(x) TEXT(x)
#define PLUGIN    "libdist_cuda.so." STRING(DIST_VERSION_MAJOR)

typedef const dist_cuda *(*device_function)(uint32_t version);
typedef const dist_codec_cuda *(*codec_function)(uint32_t version);

static dist_status check_devices(const char *file, const dist_cuda *table)
{
    int devices = 0;
    const int error = table->devices(&devices);
    if (error)
        return dist_fail(DIST_ERR_UNSUPPORTED, "%s: no CUDA device can be used: error %d, %s", file, error,
                         table->error_name(error));
    if (devices < 1)
        return dist_fail(DIST_ERR_UNSUPPORTED, "%s: this machine has no CUDA device", file);
    return DIST_OK;
}

/* C has no conversion from an object's pointer to a function's. */
static void find_function(void *plugin, const char *name, void *function, size_t size)
{
    void *const symbol = dlsym(plugin, name);
    memcpy(function, &symbol, size);
}

static dist_status find_tables(const char *file, void *opened, dist_cuda_plugin *plugin)
{
    device_function device = NULL;
    codec_function codec = NULL;
    find_function(opened, "dist_cuda_table", &device, sizeof device);
    find_function(opened, "dist_codec_cuda_table", &codec, sizeof codec);
    plugin->device = device ? device(DIST_CUDA_VERSION) : NULL;
    plugin->codec = codec ? codec(DIST_CODEC_CUDA_VERSION) : NULL;
    if (!plugin->device || !plugin->codec)
        return dist_fail(DIST_ERR_UNSUPPORTED, "%s: no plugin of this libdist: it has no %s of version %d",
                         file, plugin->device ? "codecs" : "devices",
                         plugin->device ? DIST_CODEC_CUDA_VERSION : DIST_CUDA_VERSION);
    return check_devices(file, plugin->device);
}

dist_status dist_cuda_plugin_open(const char *file, dist_cuda_plugin *plugin)
{
    *plugin = (dist_cuda_plugin){0};
    void *const opened = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!opened)
        return dist_fail(
            DIST_ERR_UNSUPPORTED,
            "the CUDA plugin cannot be opened: %s; libdist builds it where nvcc is, and DIST_CUDA_PLUGIN "
            "can name it",
            dlerror());
    const dist_status status = find_tables(file, opened, plugin);
    if (status < 0) { /* else the plugin stays open as long as the process runs */
        *plugin = (dist_cuda_plugin){0};
        dlclose(opened);
    }
    return status;
}

/* The file beside libdist, if there is one; else a name for the loader. */
static const char *find_plugin(char *path, size_t size)
{
    static const char here = 0;
    const char *const named = getenv("DIST_CUDA_PLUGIN");
    Dl_info info;
    if (named && named[0])
        return named;
    if (!dladdr(&here, &info) || !info.dli_fname || !strrchr(info.dli_fname, '/'))
        return PLUGIN;
    const int folder = (int)(strrchr(info.dli_fname, '/') - info.dli_fname);
    const int length = snprintf(path, size, "%.*s/%s", folder, info.dli_fname, PLUGIN);
    return length > 0 && (size_t)length < size && access(path, F_OK) == 0 ? path : PLUGIN;
}

/* What became of the one attempt. */
static struct {
    dist_cuda_plugin plugin;
    dist_status status;
    char sentence[DIST_ERROR_MAX];
} opened;

static void open_once(void)
{
    char path[4096];
    const char *const wanted = getenv("DIST_CUDA");
    if (wanted && strcmp(wanted, "off") == 0)
        opened.status = dist_fail(DIST_ERR_UNSUPPORTED, "CUDA is switched off (DIST_CUDA=off)");
    else
        opened.status = dist_cuda_plugin_open(find_plugin(path, sizeof path), &opened.plugin);
    if (opened.status < 0)
        snprintf(opened.sentence, sizeof opened.sentence, "%s", dist_last_error());
}

dist_status dist_cuda_plugin_find(dist_cuda_plugin *plugin)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_once);
    *plugin = opened.plugin;
    return opened.status < 0 ? dist_fail(opened.status, "%s", opened.sentence) : DIST_OK;
}
