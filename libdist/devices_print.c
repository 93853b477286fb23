/* What there is of CUDA, NCCL and MPI, in words; and what was asked of CUDA. */
#include <inttypes.h>
#include <string.h>

#include "context_internal.h"
#include "device/cuda.h"
#include "devices.h"
#include "wire/nccl.h"

static void print_device(const dist_context *context, int number, FILE *file)
{
    dist_cuda_identity d;
    const int error = context->cuda->identify(number, &d);
    if (error) {
        fprintf(file, "CUDA device %d: error %d, %s\n", number, error, context->cuda->error_name(error));
        return;
    }
    fprintf(file, "CUDA device %d: %s, compute %d.%d, %.1f GiB, driver %d.%d, run time %d.%d%s\n", number,
            d.name, d.major, d.minor, (double)d.bytes / 0x1p30, d.driver / 1000, d.driver % 1000 / 10,
            d.runtime / 1000, d.runtime % 1000 / 10,
            d.stream_values ? "" : ", streams cannot wait for values");
}

static void print_cuda(const dist_context *context, FILE *file)
{
    int devices = 0;
    dist_cuda_plugin plugin;
    if (!context->cuda) {
        dist_devices_plugin(context, &plugin);
        fprintf(file, "CUDA: none: %s\n", dist_last_error());
        return;
    }
    context->cuda->devices(&devices);
    for (int d = 0; d < devices; d++)
        print_device(context, d, file);
}

static void print_nccl(const dist_context *context, FILE *file)
{
    const char *library = dist_option_text(&context->options, DIST_OPTION_NCCL);
    int version = 0;
    if (strcmp(library, "off") == 0)
        fprintf(file, "NCCL: off (DIST_NCCL)\n");
    else if (dist_nccl_available(strcmp(library, "auto") == 0 ? NULL : library, &version) < 0)
        fprintf(file, "NCCL: none: %s\n", dist_last_error());
    else
        fprintf(file, "NCCL: %d.%d.%d\n", version / 10000, version / 100 % 100, version % 100);
}

dist_status dist_devices_print(const dist_context *context, FILE *file)
{
    DIST_CHECK_CONTEXT(context);
    if (!file)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_devices_print: the file is NULL");
    print_cuda(context, file);
    print_nccl(context, file);
    fprintf(file, "MPI: %s\n",
            !context->wire->device         ? "does not say that it takes device memory"
            : dist_devices_direct(context) ? "takes device memory"
                                           : "takes device memory, which is not used (DIST_CUDA_AWARE=off)");
    return DIST_OK;
}

dist_status dist_device_counts_get(dist_device_counts *counts)
{
    dist_cuda_plugin plugin;
    dist_cuda_counts c;
    if (!counts)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_device_counts_get: the place for the counts is NULL");
    *counts = (dist_device_counts){0};
    DIST_TRY(dist_cuda_plugin_find(&plugin));
    plugin.device->counts(&c);
    *counts = (dist_device_counts){.kernels = c.kernels,
                                   .copies = c.copies,
                                   .records = c.records,
                                   .waits = c.waits,
                                   .queries = c.queries,
                                   .synchronizations = c.synchronizations,
                                   .allocations = c.allocations};
    return DIST_OK;
}
