#define _GNU_SOURCE /* dladdr */

#include "device/cuda_codec.h"

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

typedef const dist_codec_cuda *(*table_function)(uint32_t version);

static dist_status check_devices(const char *file, const dist_codec_cuda *table)
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

dist_status dist_cuda_codec_open(const char *file, const dist_codec_cuda **table)
{
    *table = NULL;
    void *const plugin = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!plugin)
        return dist_fail(
            DIST_ERR_UNSUPPORTED,
            "the CUDA plugin cannot be opened: %s; libdist builds it where nvcc is, and DIST_CUDA_PLUGIN "
            "can name it",
            dlerror());
    void *const symbol = dlsym(plugin, "dist_codec_cuda_table");
    table_function found = NULL;
    memcpy(&found, &symbol, sizeof found); /* C has no conversion from an object's pointer to a function's */
    const dist_codec_cuda *const made = found ? found(DIST_CODEC_CUDA_VERSION) : NULL;
    dist_status status = DIST_OK;
    if (!made)
        status =
            dist_fail(DIST_ERR_UNSUPPORTED, "%s: no plugin of this libdist: it has no codecs of version %d",
                      file, DIST_CODEC_CUDA_VERSION);
    if (status == DIST_OK)
        status = check_devices(file, made);
    if (status < 0) {
        dlclose(plugin);
        return status;
    }
    *table = made; /* the plugin stays open as long as the process runs */
    return DIST_OK;
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
    const dist_codec_cuda *table;
    dist_status status;
    char sentence[DIST_ERROR_MAX];
} opened;

static void open_once(void)
{
    char path[4096];
    opened.status = dist_cuda_codec_open(find_plugin(path, sizeof path), &opened.table);
    if (opened.status < 0)
        snprintf(opened.sentence, sizeof opened.sentence, "%s", dist_last_error());
}

dist_status dist_cuda_codec(const dist_codec_cuda **table)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_once);
    *table = opened.table;
    return opened.status < 0 ? dist_fail(opened.status, "%s", opened.sentence) : DIST_OK;
}
