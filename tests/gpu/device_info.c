/* One line of JSON fields on the device that is used; exit 77 where there is none. */
#include "gpu.h"

int main(void)
{
    int devices = 0, driver = 0, runtime = 0;
    struct cudaDeviceProp found;
    const cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) {
        fprintf(stderr, "no CUDA device: %s\n", cudaGetErrorString(error));
        return 77;
    }
    GPU(cudaGetDeviceProperties(&found, 0));
    GPU(cudaDriverGetVersion(&driver));
    GPU(cudaRuntimeGetVersion(&runtime));
    printf("\"device\": \"%s\", \"multiprocessors\": %d, \"memory_GiB\": %.1f, \"driver_CUDA\": \"%d.%d\", "
           "\"CUDA\": "
           "\"%d.%d\"\n",
           found.name, found.multiProcessorCount, (double)found.totalGlobalMem / 1073741824.0, driver / 1000,
           driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return 0;
}
