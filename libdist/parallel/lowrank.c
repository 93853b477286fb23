#include "parallel/lowrank.h"

#include <inttypes.h>

#include "base/error.h"

#define GRAIN 64 /* bytes: factors and states begin at cache lines */

static uint64_t grains(uint64_t bytes)
{
    return (bytes + GRAIN - 1) / GRAIN * GRAIN;
}

static dist_lowrank shape_of(const dist_spec *spec, const dist_parameter *parameter)
{
    const uint64_t rows = parameter->rows > 1 ? parameter->rows : 1;
    return (dist_lowrank){.rows = rows, .columns = parameter->count / rows, .rank = spec->codec.rank};
}

static bool is_compressed(const dist_spec *spec, const dist_parameter *parameter)
{
    const dist_lowrank shape = shape_of(spec, parameter);
    return spec->topology->sites > 1 && parameter->type == DIST_FLOAT32 && shape.rows > 1 &&
           dist_lowrank_pays(&shape);
}

size_t dist_lowrank_matrices(const dist_spec *spec, size_t bucket, const dist_parameter *parameters,
                             const dist_placement *place, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += place[i].bucket == bucket && is_compressed(spec, &parameters[i]);
    return found;
}

/* The parameters of a bucket one after the other, and what belongs to each. */
typedef struct walk {
    const dist_spec *spec;
    const dist_parameter *parameters;
    const dist_placement *place;
    size_t n, bucket, next;
    uint32_t vector, states;             /* buffers */
    uint32_t user;                       /* the next one that is the program's */
    uint64_t vector_bytes, states_bytes; /* up to the current parameter and with it */
    const dist_parameter *parameter;
    dist_slice gradient, part, state; /* its part of the vector; its state, if it is a matrix */
    bool matrix;
} walk;

static walk walk_begin(const dist_spec *spec, size_t bucket, const dist_parameter *parameters,
                       const dist_placement *place, size_t n)
{
    return (walk){
        .spec = spec, .parameters = parameters, .place = place, .n = n, .bucket = bucket, .user = 1};
}

static void visit(walk *w, size_t i)
{
    const dist_parameter *p = w->parameter = &w->parameters[i];
    const dist_lowrank shape = shape_of(w->spec, p);
    const uint64_t bytes = p->count * dist_type_bytes(p->type);
    w->matrix = is_compressed(w->spec, p);
    w->gradient =
        p->gradient ? dist_slice_of(w->user++, 0, bytes) : dist_slice_of(0, w->place[i].offset, bytes);
    w->part = dist_slice_of(w->vector, w->vector_bytes,
                            w->matrix ? dist_lowrank_count(&shape) * sizeof(float) : bytes);
    w->state = dist_slice_of(w->states, w->states_bytes, w->matrix ? dist_lowrank_state_bytes(&shape) : 0);
    w->vector_bytes += grains(w->part.bytes);
    w->states_bytes += grains(w->state.bytes);
}

static bool walk_on(walk *w)
{
    while (w->next < w->n) {
        const size_t i = w->next++;
        if (w->place[i].bucket == w->bucket && w->parameters[i].count > 0) {
            visit(w, i);
            return true;
        }
    }
    return false;
}

/* From the gradients to the vector, or back. */
static void emit(dist_plan *plan, walk w, bool in)
{
    while (walk_on(&w)) {
        if (!w.matrix)
            dist_plan_copy(plan, in ? w.part : w.gradient, in ? w.gradient : w.part);
        else if (in)
            dist_plan_project(plan, w.parameter->rows, w.part, w.gradient, w.state);
        else
            dist_plan_expand(plan, w.parameter->rows, w.gradient, w.part, w.state);
    }
}

/* Buffers in the order of dist_bucket_plan, then the vector and the states. */
static void add_buffers(dist_plan *plan, walk *w, uint64_t bucket_bytes)
{
    walk sizes = *w;
    dist_plan_add_buffer(plan, DIST_BUFFER_USER, bucket_bytes, "bucket");
    while (walk_on(&sizes))
        if (sizes.parameter->gradient)
            dist_plan_add_buffer(plan, DIST_BUFFER_USER, sizes.gradient.bytes, "gradient");
    w->vector = dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, sizes.vector_bytes, "factors");
    w->states = dist_plan_add_buffer(plan, DIST_BUFFER_STATE, sizes.states_bytes, "feedback");
}

/* The all-reduce of the vector: plain, and by whatever algorithm is best for as many bytes. */
static dist_status vector_spec(dist_spec *plain, walk sizes)
{
    *plain = *sizes.spec;
    while (walk_on(&sizes))
        continue;
    plain->codec = (dist_codec){.kind = DIST_CODEC_NONE, .text = "none"};
    plain->feedback = false;
    plain->count = sizes.vector_bytes / sizeof(float);
    return dist_choose(plain);
}

dist_status dist_lowrank_plan(dist_plan **out, const dist_spec *spec, size_t bucket,
                              const dist_parameter *parameters, const dist_placement *place, size_t n)
{
    walk w = walk_begin(spec, bucket, parameters, place, n);
    dist_spec plain;
    *out = NULL;
    DIST_TRY(vector_spec(&plain, w));
    dist_plan *plan = dist_plan_create(
        spec->rank, spec->topology->ranks,
        "data-parallel bucket %zu as factors: %s of %" PRIu64 " %s, %s, %s, shapes %08x", bucket,
        dist_reduction_name(spec->reduction), plain.count, dist_type_name(spec->type),
        dist_algo_name(plain.algo.kind), spec->codec.text, dist_bucket_shapes(bucket, parameters, place, n));
    if (!plan)
        return DIST_ERR_MEMORY;
    plan->codec = spec->codec;
    add_buffers(plan, &w, spec->count * sizeof(float));
    emit(plan, w, true);
    dist_emit_all_reduce(plan, &plain, dist_slice_of(w.vector, 0, plain.count * sizeof(float)));
    emit(plan, w, false);
    dist_status status = dist_plan_finish(plan);
    if (status < 0) {
        dist_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return DIST_OK;
}
