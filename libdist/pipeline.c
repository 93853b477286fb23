/* The public side of pipelines: check arguments, forward to parallel/. */
#include "parallel/pipeline.h"

#include <math.h>
#include <string.h>

#include "base/type.h"
#include "context_internal.h"
#include "devices.h"

#define DIST_CHECK_PIPELINE(pipeline)                                                                        \
    do {                                                                                                     \
        if (!(pipeline))                                                                                     \
            return dist_fail(DIST_ERR_ARGUMENT, "%s: the pipeline is NULL", __func__);                       \
    } while (0)

static dist_status check_times(const dist_stage_times *times, int positions)
{
    for (int i = 0; times && i < positions; i++) {
        const double all[] = {times[i].forward, times[i].backward, times[i].weight};
        for (int k = 0; k < 3; k++)
            if (!(all[k] >= 0) || !isfinite(all[k]))
                return dist_fail(DIST_ERR_ARGUMENT, "dist_pipeline_options.times[%d]: %g is no time", i,
                                 all[k]);
    }
    return DIST_OK;
}

/* What the program left open is the environment's or the file's. */
static dist_status with_defaults(const dist_context *context, const dist_pipeline_options *given,
                                 dist_pipeline_options *all)
{
    if (!given || given->size < sizeof *given || given->version != DIST_PIPELINE_OPTIONS_VERSION)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_pipeline_options: start it with DIST_PIPELINE_OPTIONS_INIT");
    const char *mesh = dist_option_text(&context->options, DIST_OPTION_MESH);
    *all = *given;
    if (!all->mesh && mesh[0])
        all->mesh = mesh;
    if (!all->schedule)
        all->schedule = dist_option_text(&context->options, DIST_OPTION_SCHEDULE);
    return DIST_OK;
}

static dist_status check_options(const dist_pipeline_options *o, int ranks)
{
    dist_mesh mesh;
    if (!o->forward || !o->backward_input)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_pipeline_options: forward and backward_input must be given");
    if (o->microbatches < 1)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_pipeline_options: %d microbatches; there must be at least one",
                         o->microbatches);
    if (!dist_type_valid(o->boundary_type))
        return dist_fail(DIST_ERR_ARGUMENT, "dist_pipeline_options: %d is not a dist_type",
                         (int)o->boundary_type);
    if (o->boundary_count == 0 || o->boundary_count > INT32_MAX / dist_type_bytes(o->boundary_type) - 64)
        return dist_fail(
            DIST_ERR_ARGUMENT,
            "dist_pipeline_options: boundary_count is %zu; a message has 1 element to just below 2 GiB",
            o->boundary_count);
    DIST_TRY(dist_mesh_parse(o->mesh, ranks, &mesh));
    return check_times(o->times, mesh.positions);
}

static dist_status codec_of(const dist_context *context, const dist_pipeline_options *o, dist_codec *codec)
{
    DIST_TRY(dist_codec_parse(o->codec ? o->codec : "none", context->simd, codec));
    const bool elementwise = codec->kind != DIST_CODEC_POWERSGD && codec->kind != DIST_CODEC_TOPK &&
                             codec->kind != DIST_CODEC_SPARSELOCO;
    if (!elementwise)
        return dist_fail(DIST_ERR_UNSUPPORTED, "codec %s drops most of a vector; activations need all of it",
                         codec->text);
    if (codec->kind != DIST_CODEC_NONE && o->boundary_type != DIST_FLOAT32 &&
        o->boundary_type != DIST_FLOAT16 && o->boundary_type != DIST_BFLOAT16)
        return dist_fail(DIST_ERR_UNSUPPORTED, "codec %s takes floats of up to 32 bits, not %s", codec->text,
                         dist_type_name(o->boundary_type));
    codec->feedback = DIST_FEEDBACK_NONE;
    return DIST_OK;
}

/* Boundaries in device memory are on the thread's current device. */
static dist_status use_memory(dist_context *context, const dist_pipeline_options *o,
                              dist_pipeline_setup *setup)
{
    int device = -1;
    if ((unsigned)o->memory > DIST_MEMORY_CUDA)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_pipeline_options: memory is %d, which is not a dist_memory",
                         (int)o->memory);
    if (o->memory != DIST_MEMORY_CUDA && o->stream)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_pipeline_options: a stream was given, but the boundaries are in host memory");
    if (o->memory != DIST_MEMORY_CUDA)
        return DIST_OK;
    if (context->cuda && context->cuda->current(&device) != 0)
        return dist_fail(DIST_ERR_CUDA, "the thread has no current CUDA device; call cudaSetDevice");
    /* also where there is none: the others must hear of it */
    DIST_TRY(dist_devices_use(context, device));
    setup->gpu = context->gpu;
    setup->nccl = context->device_wire;
    setup->team = context->team;
    return DIST_OK;
}

dist_status dist_pipeline_create(dist_context *context, const dist_pipeline_options *options,
                                 dist_pipeline **pipeline)
{
    dist_pipeline_setup setup = {0};
    dist_pipeline_options all;
    DIST_CHECK_CONTEXT(context);
    if (!pipeline)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_pipeline_create: the place for the result is NULL");
    *pipeline = NULL;
    DIST_TRY(with_defaults(context, options, &all));
    options = &all;
    DIST_TRY(check_options(options, context->wire->ranks));
    if (context->topology->sites > 1 && !context->topology->link)
        DIST_TRY(dist_links_measure(context));
    DIST_TRY(dist_context_spec(context, NULL, NULL, &setup.spec));
    DIST_TRY(codec_of(context, options, &setup.codec));
    setup.context = context;
    setup.engine = context->engine;
    setup.log = &context->log;
    setup.topology = context->topology;
    setup.rank = context->wire->rank;
    setup.one_way = context->wire->one_way;
    setup.options = options;
    DIST_TRY(use_memory(context, options, &setup));
    return dist_pp_create(pipeline, &setup);
}

dist_status dist_pipeline_shape_get(const dist_pipeline *pipeline, dist_pipeline_shape *shape)
{
    DIST_CHECK_PIPELINE(pipeline);
    if (!shape)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_pipeline_shape_get: the place for the shape is NULL");
    dist_pp_shape(pipeline, shape);
    return DIST_OK;
}

int dist_pipeline_stage(const dist_pipeline *pipeline, int i)
{
    return pipeline ? dist_pp_stage(pipeline, i) : -1;
}

dist_status dist_pipeline_register(dist_pipeline *pipeline, int stage, const dist_parameter *parameters,
                                   size_t n, const dist_data_parallel_options *options)
{
    dist_data_parallel_setup setup;
    DIST_CHECK_PIPELINE(pipeline);
    DIST_TRY(dist_data_parallel_setup_of(dist_pp_context(pipeline), parameters, n, options, &setup));
    if (setup.accumulate != 1)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_pipeline_register: accumulate is %d; a pipeline adds up its microbatches",
                         setup.accumulate);
    return dist_pp_register(pipeline, stage, parameters, n, &setup);
}

void *dist_pipeline_gradient(const dist_pipeline *pipeline, int stage, size_t i)
{
    return pipeline ? dist_pp_gradient(pipeline, stage, i) : NULL;
}

dist_status dist_pipeline_bucket_get(dist_pipeline *pipeline, int stage, size_t i, dist_bucket_info *info)
{
    DIST_CHECK_PIPELINE(pipeline);
    if (!info)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_pipeline_bucket_get: the place for the bucket is NULL");
    return dist_pp_bucket(pipeline, stage, i, info);
}

dist_status dist_pipeline_step(dist_pipeline *pipeline)
{
    DIST_CHECK_PIPELINE(pipeline);
    return dist_pp_step(pipeline);
}

dist_status dist_pipeline_stats_get(const dist_pipeline *pipeline, dist_pipeline_stats *stats)
{
    DIST_CHECK_PIPELINE(pipeline);
    if (!stats)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_pipeline_stats_get: the place for the figures is NULL");
    dist_pp_stats(pipeline, stats);
    return DIST_OK;
}

dist_status dist_pipeline_print(const dist_pipeline *pipeline, FILE *file)
{
    DIST_CHECK_PIPELINE(pipeline);
    if (!file)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_pipeline_print: the file is NULL");
    dist_pp_write(pipeline, file);
    return DIST_OK;
}

dist_status dist_pipeline_destroy(dist_pipeline *pipeline)
{
    return dist_pp_destroy(pipeline);
}
