/* NCCL, found at run time. */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "wire/nccl_internal.h"

#define OLDEST 21800 /* 2.18: what configurations and finalize look like since */

/* Without these there is no communicator; of the others each is asked for where it is used. */
static const struct {
    const char *name;
    size_t at;
    bool needed;
} symbols[] = {
    {"ncclGetVersion", offsetof(dist_nccl_library, get_version), true},
    {"ncclGetUniqueId", offsetof(dist_nccl_library, get_unique_id), true},
    {"ncclCommInitRankConfig", offsetof(dist_nccl_library, init_rank), true},
    {"ncclCommGetAsyncError", offsetof(dist_nccl_library, async_error), true},
    {"ncclCommAbort", offsetof(dist_nccl_library, abort), true},
    {"ncclCommFinalize", offsetof(dist_nccl_library, finalize), false},
    {"ncclCommDestroy", offsetof(dist_nccl_library, destroy), true},
    {"ncclGroupStart", offsetof(dist_nccl_library, group_start), true},
    {"ncclGroupEnd", offsetof(dist_nccl_library, group_end), true},
    {"ncclGetErrorString", offsetof(dist_nccl_library, error_string), false},
    {"ncclGetLastError", offsetof(dist_nccl_library, last_error), false},
    {"ncclAllReduce", offsetof(dist_nccl_library, all_reduce), false},
    {"ncclReduceScatter", offsetof(dist_nccl_library, reduce_scatter), false},
    {"ncclAllGather", offsetof(dist_nccl_library, all_gather), false},
    {"ncclBroadcast", offsetof(dist_nccl_library, broadcast), false},
    {"ncclSend", offsetof(dist_nccl_library, send), false},
    {"ncclRecv", offsetof(dist_nccl_library, receive), false},
};

static dist_status find_symbols(dist_nccl_library *library, void *handle, const char *name)
{
    for (size_t s = 0; s < sizeof symbols / sizeof *symbols; s++) {
        void *const symbol = dlsym(handle, symbols[s].name);
        if (!symbol && symbols[s].needed)
            return dist_fail(DIST_ERR_UNSUPPORTED, "%s has no %s: it is not NCCL, or too old; 2.18 will do",
                             name, symbols[s].name);
        memcpy((char *)library + symbols[s].at, &symbol, sizeof symbol);
    }
    return DIST_OK;
}

static dist_status check_version(dist_nccl_library *library, const char *name)
{
    const int result = library->get_version(&library->version);
    const int version = library->version;
    if (result != DIST_NCCL_SUCCESS)
        return dist_nccl_fail(library, NULL, result, "ncclGetVersion");
    if (version >= OLDEST)
        return DIST_OK;
    if (version < 10000) /* as versions were numbered up to 2.8 */
        return dist_fail(DIST_ERR_UNSUPPORTED, "%s is NCCL %d.%d.%d; 2.18 or later is needed", name,
                         version / 1000, version % 1000 / 100, version % 100);
    return dist_fail(DIST_ERR_UNSUPPORTED, "%s is NCCL %d.%d.%d; 2.18 or later is needed", name,
                     version / 10000, version % 10000 / 100, version % 100);
}

dist_status dist_nccl_library_open(dist_nccl_library *library, const char *name)
{
    const char *const file = name && name[0] ? name : "libnccl.so.2";
    void *const handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    memset(library, 0, sizeof *library);
    if (!handle) {
        const char *const reason = dlerror();
        return dist_fail(DIST_ERR_UNSUPPORTED, "NCCL cannot be opened: %s", reason ? reason : file);
    }
    dist_status status = find_symbols(library, handle, file);
    if (status >= 0)
        status = check_version(library, file);
    if (status < 0)
        dlclose(handle);
    return status;
}

dist_status dist_nccl_available(const char *name, int *version)
{
    dist_nccl_library library;
    *version = 0;
    DIST_TRY(dist_nccl_library_open(&library, name));
    *version = library.version;
    return DIST_OK;
}

dist_status dist_nccl_fail(const dist_nccl_library *library, void *comm, int result, const char *what)
{
    const char *const words = library->error_string ? library->error_string(result) : NULL;
    const char *const more = library->last_error ? library->last_error(comm) : NULL;
    return dist_fail(DIST_ERR_NCCL, "%s: NCCL error %d: %s%s%s%s", what, result, words ? words : "no words",
                     more && more[0] ? ": " : "", more ? more : "",
                     result == DIST_NCCL_INVALID_USAGE
                         ? "; NCCL before 2.30 refuses ranks that share a GPU: DIST_NCCL=off does without it"
                         : "");
}
