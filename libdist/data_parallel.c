/* The public side of data parallel: check arguments, forward to parallel/. */
#include "parallel/data_parallel.h"

#include <string.h>

#include "base/type.h"
#include "context_internal.h"
#include "devices.h"

static dist_status check_parameters(const dist_parameter *parameters, size_t n)
{
    if (n > 0 && !parameters)
        return dist_fail(DIST_ERR_ARGUMENT, "%zu parameters, but the array is NULL", n);
    for (size_t i = 0; i < n; i++) {
        if (!dist_type_valid(parameters[i].type))
            return dist_fail(DIST_ERR_ARGUMENT, "parameter %zu '%s': %d is not a dist_type", i,
                             parameters[i].name ? parameters[i].name : "", (int)parameters[i].type);
        if (parameters[i].count > SIZE_MAX / 64 / dist_type_bytes(parameters[i].type))
            return dist_fail(DIST_ERR_ARGUMENT, "parameter %zu '%s': %zu elements are more than memory holds",
                             i, parameters[i].name ? parameters[i].name : "", parameters[i].count);
        if (parameters[i].rows > 1 && parameters[i].count % parameters[i].rows != 0)
            return dist_fail(
                DIST_ERR_ARGUMENT,
                "parameter %zu '%s': %zu elements are not a matrix of %zu rows; rows must divide "
                "count, or be 0",
                i, parameters[i].name ? parameters[i].name : "", parameters[i].count, parameters[i].rows);
    }
    return DIST_OK;
}

static dist_status check_options(const dist_data_parallel_options *options)
{
    if (options->size < sizeof *options || options->version != DIST_DATA_PARALLEL_OPTIONS_VERSION)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_data_parallel_options has size %zu and version %d; start it with "
                         "DIST_DATA_PARALLEL_OPTIONS_INIT",
                         options->size, options->version);
    if (options->reduction != DIST_SUM && options->reduction != DIST_AVERAGE)
        return dist_fail(DIST_ERR_ARGUMENT, "gradients are summed or averaged, not '%s'",
                         dist_reduction_name(options->reduction));
    if ((unsigned)options->memory > DIST_MEMORY_CUDA)
        return dist_fail(DIST_ERR_ARGUMENT, "options.memory is %d, which is not a dist_memory",
                         (int)options->memory);
    if (options->accumulate < 0)
        return dist_fail(DIST_ERR_ARGUMENT, "accumulate is %d; it counts backward passes, from 1 on",
                         options->accumulate);
    return DIST_OK;
}

/* Where the gradients are that the program placed: all in the same memory, of one device. */
static dist_status find_memory(const dist_context *context, const dist_parameter *parameters, size_t n,
                               dist_memory wanted, dist_location *found)
{
    size_t first = n;
    *found = (dist_location){wanted == DIST_MEMORY_CUDA ? DIST_MEMORY_CUDA : DIST_MEMORY_HOST, -1};
    for (size_t i = 0; i < n; i++) {
        const dist_location here = dist_locate(context, parameters[i].gradient);
        const bool device = here.memory == DIST_MEMORY_CUDA;
        if (!parameters[i].gradient || parameters[i].count == 0)
            continue;
        if (first == n && wanted == DIST_MEMORY_AUTO && device)
            *found = here;
        if (first == n)
            found->device = here.device;
        if (device != (found->memory == DIST_MEMORY_CUDA) || (device && here.device != found->device))
            return dist_fail(
                DIST_ERR_ARGUMENT,
                "the gradient of parameter %zu '%s' is in %s memory (device %d), but %s in %s memory "
                "(device %d); all must be in one",
                i, parameters[i].name ? parameters[i].name : "", dist_memory_name(here.memory), here.device,
                first == n ? "options.memory is" : "those before are", dist_memory_name(found->memory),
                found->device);
        first = first == n ? i : first;
    }
    return DIST_OK;
}

/* Device memory takes the device into use: that of the gradients, or the thread's own. */
static dist_status use_memory(dist_context *context, const dist_parameter *parameters, size_t n,
                              dist_memory wanted, dist_data_parallel_setup *setup)
{
    dist_location found;
    DIST_TRY(find_memory(context, parameters, n, wanted, &found));
    setup->memory = wanted == DIST_MEMORY_PINNED ? DIST_MEMORY_PINNED : found.memory;
    setup->cuda = context->cuda;
    if (found.memory != DIST_MEMORY_CUDA)
        return DIST_OK;
    if (found.device < 0 && context->cuda && context->cuda->current(&found.device) != 0)
        return dist_fail(DIST_ERR_CUDA, "the thread has no current CUDA device; call cudaSetDevice");
    /* also where there is none: the others must hear of it */
    DIST_TRY(dist_devices_use(context, found.device));
    dist_devices_spec(context, &setup->spec);
    setup->gpu = context->gpu;
    setup->direct = dist_devices_direct(context);
    return DIST_OK;
}

dist_status dist_data_parallel_setup_of(dist_context *context, const dist_parameter *parameters, size_t n,
                                        const dist_data_parallel_options *given,
                                        dist_data_parallel_setup *setup)
{
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    if (given)
        DIST_TRY(check_options(given));
    DIST_TRY(check_parameters(parameters, n));
    if (given)
        options = *given;
    *setup = (dist_data_parallel_setup){
        .engine = context->engine,
        .log = &context->log,
        .team_wire = context->team_wire,
        .bucket_bytes = options.bucket_bytes,
        .first_bucket_bytes = options.first_bucket_bytes,
        .accumulate = options.accumulate > 1 ? options.accumulate : 1,
    };
    if (setup->bucket_bytes == 0 && context->options.value[DIST_OPTION_BUCKET].source != DIST_FROM_DEFAULT)
        setup->bucket_bytes = (uint64_t)dist_option_number(&context->options, DIST_OPTION_BUCKET);
    DIST_TRY(dist_context_spec(context, options.algo, options.codec, &setup->spec));
    setup->spec.reduction = options.reduction;
    return use_memory(context, parameters, n, options.memory, setup);
}

dist_status dist_data_parallel_create(dist_context *context, const dist_parameter *parameters, size_t n,
                                      const dist_data_parallel_options *options, dist_data_parallel **out)
{
    dist_data_parallel_setup setup;
    DIST_CHECK_CONTEXT(context);
    if (!out)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_data_parallel_create: the place for the result is NULL");
    *out = NULL;
    DIST_TRY(dist_data_parallel_setup_of(context, parameters, n, options, &setup));
    return dist_dp_create(out, &setup, parameters, n);
}

void *dist_data_parallel_gradient(const dist_data_parallel *dp, size_t i)
{
    return dp ? dist_dp_gradient(dp, i) : NULL;
}

static dist_status check_call(const dist_data_parallel *dp, const void *stream, const char *name)
{
    if (!dp)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: the data-parallel handle is NULL", name);
    if (stream && !dist_dp_takes_streams(dp))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: a stream was given, but the gradients are in host memory",
                         name);
    return DIST_OK;
}

dist_status dist_data_parallel_ready(dist_data_parallel *dp, size_t i, void *stream)
{
    DIST_TRY(check_call(dp, stream, __func__));
    return dist_dp_ready(dp, i, stream);
}

dist_status dist_data_parallel_wait(dist_data_parallel *dp, void *stream)
{
    DIST_TRY(check_call(dp, stream, __func__));
    return dist_dp_wait(dp, stream);
}

dist_status dist_data_parallel_stats_get(dist_data_parallel *dp, dist_data_parallel_stats *stats)
{
    DIST_TRY(check_call(dp, NULL, __func__));
    if (!stats)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_data_parallel_stats_get: the place for the figures is NULL");
    dist_dp_stats(dp, stats);
    return DIST_OK;
}

dist_status dist_data_parallel_bucket_get(dist_data_parallel *dp, size_t i, dist_bucket_info *info)
{
    DIST_TRY(check_call(dp, NULL, __func__));
    if (!info)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_data_parallel_bucket_get: the place for the bucket is NULL");
    return dist_dp_bucket(dp, i, info);
}

uint64_t dist_data_parallel_state_bytes(const dist_data_parallel *dp)
{
    return dp ? dist_dp_state_bytes(dp) : 0;
}

dist_status dist_data_parallel_state_save(dist_data_parallel *dp, void *state, uint64_t bytes)
{
    DIST_TRY(check_call(dp, NULL, __func__));
    return dist_dp_state_save(dp, state, bytes);
}

dist_status dist_data_parallel_state_load(dist_data_parallel *dp, const void *const *part,
                                          const uint64_t *bytes, int parts)
{
    DIST_TRY(check_call(dp, NULL, __func__));
    DIST_TRY(dist_dp_pull(dp));
    DIST_TRY(dist_dp_state_load(dp, part, bytes, parts));
    return dist_dp_push(dp);
}

dist_status dist_data_parallel_destroy(dist_data_parallel *dp)
{
    return dist_dp_destroy(dp);
}
