#include "parallel/buckets.h"

#include <inttypes.h>

#include "base/error.h"

#define GRADIENT_ALIGNMENT 64 /* bytes: programs write vectors there */

static uint64_t padded_bytes(const dist_parameter *parameter)
{
    uint64_t bytes = parameter->count * dist_type_bytes(parameter->type);
    return (bytes + GRADIENT_ALIGNMENT - 1) / GRADIENT_ALIGNMENT * GRADIENT_ALIGNMENT;
}

uint64_t dist_parameter_span(const dist_parameter *parameter)
{
    return padded_bytes(parameter) / dist_type_bytes(parameter->type);
}

/* Nothing is left to hide the last bucket behind: cuts about `bytes` off its end, if something stays before them. */
static size_t cut_last(const dist_parameter *parameters, uint64_t bytes, dist_placement *place,
                       size_t buckets)
{
    size_t cut = 0;
    uint64_t used = 0;
    while (place[cut].bucket == buckets - 1 && used + padded_bytes(&parameters[cut]) <= bytes)
        used += padded_bytes(&parameters[cut++]);
    if (cut == 0 || place[cut].bucket != buckets - 1)
        return buckets;
    for (used = 0; cut-- > 0; used += padded_bytes(&parameters[cut]))
        place[cut] = (dist_placement){buckets, used};
    return buckets + 1;
}

size_t dist_buckets_place(const dist_parameter *parameters, size_t n, uint64_t first, uint64_t bytes,
                          dist_placement *place)
{
    size_t buckets = 0;
    uint64_t used = 0;
    dist_type type = DIST_TYPES;
    for (size_t i = n; i-- > 0;) {
        uint64_t size = padded_bytes(&parameters[i]), most = buckets == 1 ? first : bytes;
        if (buckets == 0 || parameters[i].type != type || (used > 0 && used + size > most)) {
            buckets++;
            used = 0;
            type = parameters[i].type;
        }
        place[i] = (dist_placement){buckets - 1, used};
        used += size;
    }
    return buckets > 1 && n > 1 ? cut_last(parameters, first, place, buckets) : buckets;
}

unsigned dist_bucket_shapes(size_t bucket, const dist_parameter *parameters, const dist_placement *place,
                            size_t n)
{
    const uint64_t prime = 0x100000001b3u;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        if (place[i].bucket == bucket) {
            const uint64_t rows = parameters[i].rows > 1 ? parameters[i].rows : 1;
            hash = (hash ^ ((uint64_t)parameters[i].count * 8 + (uint64_t)parameters[i].type)) * prime;
            hash = (hash ^ rows) * prime;
        }
    return (unsigned)(hash & 0xffffffffu);
}

/* Copies between a bucket and the gradients of the program's, one USER buffer each. */
static void copy_gradients(dist_plan *plan, const dist_parameter *parameters, const dist_placement *place,
                           size_t n, size_t bucket, bool in)
{
    uint32_t buffer = 1;
    for (size_t i = 0; i < n; i++) {
        uint64_t bytes = parameters[i].count * dist_type_bytes(parameters[i].type);
        if (place[i].bucket != bucket || !parameters[i].gradient || bytes == 0)
            continue;
        dist_slice inside = dist_slice_of(0, place[i].offset, bytes),
                   outside = dist_slice_of(buffer++, 0, bytes);
        dist_plan_copy(plan, in ? inside : outside, in ? outside : inside);
    }
}

dist_status dist_bucket_plan(dist_plan **out, const dist_spec *spec, size_t bucket,
                             const dist_parameter *parameters, const dist_placement *place, size_t n)
{
    uint64_t bytes = spec->count * dist_type_bytes(spec->type);
    dist_plan *plan = dist_plan_create(
        spec->rank, spec->topology->ranks,
        "data-parallel bucket %zu: %s of %" PRIu64 " %s, %s, %s %s, shapes %08x%s", bucket,
        dist_reduction_name(spec->reduction), spec->count, dist_type_name(spec->type),
        dist_algo_name(spec->algo.kind), spec->codec.text, spec->feedback ? "feedback" : "plain",
        dist_bucket_shapes(bucket, parameters, place, n), spec->device ? ", in device memory" : "");
    *out = NULL;
    if (!plan)
        return DIST_ERR_MEMORY;
    plan->codec = spec->codec;
    dist_plan_add_buffer(plan, DIST_BUFFER_USER, bytes, "bucket");
    for (size_t i = 0; i < n; i++)
        if (place[i].bucket == bucket && parameters[i].gradient && parameters[i].count > 0)
            dist_plan_add_buffer(plan, DIST_BUFFER_USER,
                                 parameters[i].count * dist_type_bytes(parameters[i].type), "gradient");
    copy_gradients(plan, parameters, place, n, bucket, true);
    dist_emit_all_reduce(plan, spec, dist_slice_of(0, 0, bytes));
    copy_gradients(plan, parameters, place, n, bucket, false);
    dist_status status = dist_plan_finish(plan);
    if (status < 0) {
        dist_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return DIST_OK;
}
