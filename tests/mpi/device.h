/* Device memory for the tests under mpirun: of the fake CUDA (tests/fake), or of GPUs where the environment has
 * DIST_TEST_GPU; then DIST_CUDA_PLUGIN names the real plugin. With DIST_TEST_GPU=nccl ranks are to be connected by NCCL too:
 * each has a GPU of its own, or NCCL takes several on one.
 */
#ifndef DIST_TESTS_MPI_DEVICE_H
#define DIST_TESTS_MPI_DEVICE_H

#include <dlfcn.h>

#include "harness.h"
#include "kernels/device_cuda.h"

/* How a site's devices are connected. */
typedef enum device_kind {
    DEVICE_SHARED, /* all ranks have the same one: no NCCL */
    DEVICE_NCCL    /* each rank its own */
} device_kind;

static inline bool device_is_real(void)
{
    const char *gpu = getenv("DIST_TEST_GPU");
    return gpu && *gpu;
}

/* Before a context is made. False where this machine cannot. */
static inline bool device_set(device_kind kind)
{
    if (device_is_real()) {
        setenv("DIST_NCCL", kind == DEVICE_SHARED ? "off" : "auto", 1);
        return kind == DEVICE_SHARED || strcmp(getenv("DIST_TEST_GPU"), "nccl") == 0;
    }
    setenv("DIST_CUDA_PLUGIN", FAKE_CUDA_PLUGIN, 1);
    setenv("DIST_NCCL", FAKE_NCCL_LIBRARY, 1);
    setenv("FAKE_CUDA_SHARED", kind == DEVICE_SHARED ? "1" : "0", 1);
    return true;
}

/* Of several real devices each rank of a node takes its own. */
static inline void device_select(const dist_cuda *cuda)
{
    const char *open_mpi = getenv("OMPI_COMM_WORLD_LOCAL_RANK");
    const char *local = open_mpi ? open_mpi : getenv("MPI_LOCALRANKID"); /* MPICH */
    int devices = 0;
    if (device_is_real() && local && cuda->devices(&devices) == 0 && devices > 1)
        cuda->select(atoi(local) % devices);
}

static inline const dist_cuda *device_table(void)
{
    void *const plugin = dlopen(getenv("DIST_CUDA_PLUGIN"), RTLD_NOW | RTLD_LOCAL);
    void *const symbol = plugin ? dlsym(plugin, "dist_cuda_table") : NULL;
    const dist_cuda *(*table)(uint32_t version);
    memcpy(&table, &symbol, sizeof table);
    if (!symbol)
        print_error("DIST_CUDA_PLUGIN: %s\n", dlerror());
    if (!symbol)
        return NULL;
    device_select(table(DIST_CUDA_VERSION));
    return table(DIST_CUDA_VERSION);
}

#define assert_cuda(call) assert_int_equal((call), 0)

/* Filled with `bytes` of `host`, or with nothing in particular. */
static inline void *device_new(const dist_cuda *cuda, const void *host, size_t bytes)
{
    void *memory = NULL;
    assert_cuda(cuda->allocate(&memory, bytes ? bytes : 1));
    if (host) {
        assert_cuda(cuda->copy(memory, host, bytes, NULL));
        assert_cuda(cuda->synchronize(NULL));
    }
    return memory;
}

static inline void device_get(const dist_cuda *cuda, void *host, const void *device, size_t bytes)
{
    assert_cuda(cuda->copy(host, device, bytes, NULL));
    assert_cuda(cuda->synchronize(NULL));
}

static inline void *device_pin(const dist_cuda *cuda, size_t bytes)
{
    void *memory = NULL;
    assert_cuda(cuda->pin(&memory, bytes ? bytes : 1));
    return memory;
}

/* Values whose sums are exact in every type, or any values. */
static inline void device_values(float *value, size_t count, int rank, bool exact)
{
    for (size_t i = 0; i < count; i++)
        value[i] = (float)harness_value(rank, i) * (exact ? 1.0f : 0.1f + (float)(i % 13) * 1e-3f);
}

#endif
