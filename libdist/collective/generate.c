/* From a collective's arguments to its plan. */
#include <inttypes.h>

#include "base/error.h"
#include "collective/emit.h"

#define NATIVE_MOST ((uint64_t)1 << 30) /* elements of one call: the linked MPI counts in int */

/* What one collective works on: slices of one buffer in place, of two otherwise. */
typedef struct operands {
    dist_slice input, output;
} operands;

static dist_slice user_buffer(dist_plan *plan, const char *name, uint64_t bytes)
{
    return dist_slice_of(dist_plan_add_buffer(plan, DIST_BUFFER_USER, bytes, name), 0, bytes);
}

/* Of work inside a rank. A device has the bandwidth of many cores, and each launch costs it microseconds. */
static uint64_t local_piece(const dist_spec *spec)
{
    return spec->device ? 32 * DIST_INSIDE_PIECE : DIST_INSIDE_PIECE;
}

void dist_emit_copy(dist_plan *plan, const dist_spec *spec, dist_slice dst, dist_slice src)
{
    const uint64_t piece = local_piece(spec);
    DIST_PIECES(dst, piece, at)
    {
        uint64_t size = dist_least(piece, dst.bytes - at);
        dist_plan_copy(plan, dist_part(dst, at, size), dist_part(src, at, size));
    }
}

static void divide_pieces(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    const uint64_t piece = local_piece(spec);
    DIST_PIECES(data, piece, at)
    dist_plan_divide(plan, spec->type, dist_part(data, at, dist_least(piece, data.bytes - at)),
                     spec->topology->ranks);
}

static void native_all_reduce(dist_plan *plan, const dist_spec *spec, dist_slice dst, dist_slice src)
{
    uint64_t element = dist_type_bytes(spec->type);
    DIST_PIECES(dst, NATIVE_MOST * element, at)
    {
        uint64_t size = dist_least(NATIVE_MOST * element, dst.bytes - at);
        dist_plan_native(plan, DIST_NATIVE_ALL_REDUCE, spec->type, spec->reduction, 0, size / element,
                         dist_part(dst, at, size), dist_part(src, at, size));
    }
    if (spec->reduction == DIST_AVERAGE)
        divide_pieces(plan, spec, dst);
}

void dist_emit_all_reduce(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    if (spec->topology->ranks == 1)
        return;
    switch (spec->algo.kind) {
    case DIST_ALGO_MPI:
        native_all_reduce(plan, spec, data, data);
        break;
    case DIST_ALGO_RING:
        dist_emit_ring_all_reduce(plan, spec, dist_everyone(spec), data);
        break;
    case DIST_ALGO_HALVING:
        dist_emit_halving(plan, spec, data);
        break;
    case DIST_ALGO_HIER:
        dist_emit_hier_all_reduce(plan, spec, data);
        break;
    default:
        dist_emit_doubling(plan, spec, data);
    }
}

static void emit_all_reduce(dist_plan *plan, const dist_spec *spec, operands o)
{
    if (spec->algo.kind == DIST_ALGO_MPI && spec->topology->ranks > 1) {
        native_all_reduce(plan, spec, o.output, o.input);
        return;
    }
    if (dist_is_of_team(spec)) {
        dist_emit_team_all_reduce(plan, spec, o.output, o.input);
        return;
    }
    if (!spec->in_place)
        dist_emit_copy(plan, spec, o.output, o.input);
    dist_emit_all_reduce(plan, spec, o.output);
}

static void emit_reduce_scatter(dist_plan *plan, const dist_spec *spec, operands o)
{
    if (dist_is_of_team(spec)) {
        dist_emit_team_reduce_scatter(plan, spec, o.output, o.input);
    } else if (spec->algo.kind == DIST_ALGO_HIER) {
        dist_emit_hier_reduce_scatter(plan, spec, o.input, o.output);
    } else if (spec->algo.kind == DIST_ALGO_MPI) {
        dist_slice result = o.output;
        if (spec->in_place) /* MPI would put the result at the beginning of the input */
            result = dist_slice_of(dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, o.output.bytes, "result"),
                                   0, o.output.bytes);
        dist_plan_native(plan, DIST_NATIVE_REDUCE_SCATTER, spec->type, spec->reduction, 0, spec->count,
                         result, o.input);
        if (spec->in_place)
            dist_emit_copy(plan, spec, o.output, result);
        if (spec->reduction == DIST_AVERAGE)
            divide_pieces(plan, spec, o.output);
    } else {
        dist_emit_ring_reduce_scatter(plan, spec, o.input, o.output);
    }
}

static void emit_all_gather(dist_plan *plan, const dist_spec *spec, operands o)
{
    dist_slice mine = dist_part(o.output, (uint64_t)spec->rank * o.input.bytes, o.input.bytes);
    if (dist_is_of_team(spec)) {
        dist_emit_team_all_gather(plan, spec, o.output, o.input);
        return;
    }
    if (!spec->in_place)
        dist_emit_copy(plan, spec, mine, o.input);
    if (spec->algo.kind == DIST_ALGO_MPI)
        dist_plan_native(plan, DIST_NATIVE_ALL_GATHER, spec->type, DIST_SUM, 0, spec->count, o.output, mine);
    else if (spec->algo.kind == DIST_ALGO_HIER)
        dist_emit_hier_all_gather(plan, spec, o.output);
    else
        dist_emit_ring_all_gather(plan, spec, o.output);
}

static void emit_broadcast(dist_plan *plan, const dist_spec *spec, operands o)
{
    if (dist_is_of_team(spec))
        dist_emit_team_broadcast(plan, spec, o.output);
    else if (spec->algo.kind == DIST_ALGO_MPI)
        dist_plan_native(plan, DIST_NATIVE_BROADCAST, spec->type, DIST_SUM, spec->root, spec->count, o.output,
                         dist_slice_of(DIST_NO_BUFFER, 0, 0));
    else if (spec->algo.kind == DIST_ALGO_RING)
        dist_emit_chain_broadcast(plan, spec, o.output);
    else
        dist_emit_tree_broadcast(plan, spec, o.output, spec->algo.kind == DIST_ALGO_HIER);
}

/* An all-reduce of a word of scratch: no rank has its result before all have sent theirs. */
static void emit_barrier(dist_plan *plan, const dist_spec *spec)
{
    const uint64_t bytes = sizeof(int32_t);
    dist_slice word = dist_slice_of(dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, bytes, "word"), 0, bytes);
    dist_spec words = *spec;
    words.type = DIST_INT32;
    words.reduction = DIST_MAX;
    if (spec->topology->ranks == 1)
        return;
    if (dist_is_of_team(spec))
        dist_emit_team_barrier(plan, &words, word);
    else if (spec->algo.kind == DIST_ALGO_MPI)
        dist_plan_native(plan, DIST_NATIVE_BARRIER, DIST_INT32, DIST_SUM, 0, 0, word, word);
    else
        dist_emit_doubling(plan, &words, word);
}

/* Of a side on which there is nobody, nothing is used. */
static operands pair_operands(dist_plan *plan, const dist_spec *spec, uint64_t bytes)
{
    operands o;
    o.input = user_buffer(plan, "send", spec->to >= 0 ? bytes : 0);
    o.output = user_buffer(plan, "receive", spec->from >= 0 ? bytes : 0);
    return o;
}

static operands make_operands(dist_plan *plan, const dist_spec *spec)
{
    uint64_t part = spec->count * dist_type_bytes(spec->type), all = part * (uint64_t)spec->topology->ranks;
    bool scatter = spec->kind == DIST_REDUCE_SCATTER, gather = spec->kind == DIST_ALL_GATHER;
    operands o = {0};
    if (spec->kind == DIST_BARRIER)
        return o;
    if (spec->kind == DIST_SEND_RECV)
        return pair_operands(plan, spec, part);
    if (spec->kind == DIST_ALL_TO_ALL)
        part = all;
    if (spec->in_place || spec->kind == DIST_BROADCAST) {
        dist_slice data = user_buffer(plan, "data", scatter || gather ? all : part);
        dist_slice mine = dist_part(data, scatter || gather ? part * (uint64_t)spec->rank : 0, part);
        o.input = gather ? mine : data;
        o.output = scatter ? mine : data;
    } else {
        o.input = user_buffer(plan, "send", scatter ? all : part);
        o.output = user_buffer(plan, "receive", gather ? all : part);
    }
    return o;
}

static void emit(dist_plan *plan, const dist_spec *spec)
{
    operands o = make_operands(plan, spec);
    switch (spec->kind) {
    case DIST_ALL_REDUCE:
        emit_all_reduce(plan, spec, o);
        break;
    case DIST_REDUCE_SCATTER:
        emit_reduce_scatter(plan, spec, o);
        break;
    case DIST_ALL_GATHER:
        emit_all_gather(plan, spec, o);
        break;
    case DIST_BROADCAST:
        emit_broadcast(plan, spec, o);
        break;
    case DIST_ALL_TO_ALL:
        dist_emit_all_to_all(plan, spec, o.output, o.input);
        break;
    case DIST_SEND_RECV:
        dist_emit_send_recv(plan, spec, o.output, o.input);
        break;
    default:
        emit_barrier(plan, spec);
    }
}

/* The label is what ranks compare: all that decides the ops of a plan, in words. In place or not is each
 * rank's own affair, and so are the partners of a send-recv and the memory of its buffers: their messages are compared. */
static dist_plan *create(const dist_spec *spec)
{
    static const char *const shots[] = {"", ":shots=1", ":shots=2"};
    char codec[80] = "", tuning[64] = "";
    if (spec->codec.kind != DIST_CODEC_NONE)
        snprintf(codec, sizeof codec, " %s%s", spec->codec.text, spec->feedback ? " feedback" : "");
    if (spec->chunk_bytes || spec->window_bytes)
        snprintf(tuning, sizeof tuning, " chunk %" PRIu64 " window %" PRIu64, spec->chunk_bytes,
                 spec->window_bytes);
    if (spec->kind == DIST_BARRIER)
        return dist_plan_create(spec->rank, spec->topology->ranks, "barrier %s",
                                dist_algo_name(spec->algo.kind));
    if (spec->kind == DIST_BROADCAST)
        return dist_plan_create(spec->rank, spec->topology->ranks,
                                "broadcast of %" PRIu64 " %s from rank %d, %s", spec->count,
                                dist_type_name(spec->type), spec->root, dist_algo_name(spec->algo.kind));
    if (spec->kind == DIST_SEND_RECV)
        return dist_plan_create(spec->rank, spec->topology->ranks, "send-recv of %" PRIu64 " %s%s",
                                spec->count, dist_type_name(spec->type), tuning);
    if (spec->kind == DIST_ALL_TO_ALL)
        return dist_plan_create(spec->rank, spec->topology->ranks, "all-to-all of %" PRIu64 " %s, %s%s%s",
                                spec->count, dist_type_name(spec->type), dist_algo_name(spec->algo.kind),
                                tuning, spec->device ? " in device memory" : "");
    return dist_plan_create(spec->rank, spec->topology->ranks, "%s of %" PRIu64 " %s, %s, %s%s%s%s%s",
                            dist_collective_name(spec->kind), spec->count, dist_type_name(spec->type),
                            dist_reduction_name(spec->reduction), dist_algo_name(spec->algo.kind),
                            shots[spec->algo.shots], codec, tuning, spec->device ? " in device memory" : "");
}

dist_status dist_collective_plan(dist_plan **out, const dist_spec *request)
{
    dist_spec spec = *request;
    *out = NULL;
    DIST_TRY(dist_choose(&spec));
    dist_plan *plan = create(&spec);
    if (!plan)
        return DIST_ERR_MEMORY;
    plan->codec = spec.codec;
    emit(plan, &spec);
    dist_status status = dist_plan_finish(plan);
    if (status < 0) {
        dist_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return DIST_OK;
}
