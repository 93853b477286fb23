/* Each op by itself: its slices, waits, types and sizes. */
#include <inttypes.h>

#include "base/type.h"
#include "plan/verify_internal.h"

typedef enum usage { UNUSED, NEEDED, OPTIONAL } usage;

static const struct {
    usage dst, src, state;
} uses[DIST_OP_KINDS] = {
    [DIST_OP_SEND] = {UNUSED, NEEDED, UNUSED},       [DIST_OP_RECV] = {NEEDED, UNUSED, UNUSED},
    [DIST_OP_REDUCE] = {NEEDED, NEEDED, UNUSED},     [DIST_OP_COPY] = {NEEDED, NEEDED, UNUSED},
    [DIST_OP_DIVIDE] = {NEEDED, UNUSED, UNUSED},     [DIST_OP_ENCODE] = {NEEDED, NEEDED, OPTIONAL},
    [DIST_OP_DECODE] = {NEEDED, NEEDED, UNUSED},     [DIST_OP_PROJECT] = {NEEDED, NEEDED, NEEDED},
    [DIST_OP_EXPAND] = {NEEDED, NEEDED, NEEDED},     [DIST_OP_NATIVE] = {OPTIONAL, OPTIONAL, UNUSED},
    [DIST_OP_CALL] = {OPTIONAL, OPTIONAL, OPTIONAL},
};

static dist_status check_slice(const dist_plan *plan, size_t op, const char *which, dist_slice slice,
                               usage use)
{
    if (slice.buffer == DIST_NO_BUFFER)
        return use != NEEDED ? DIST_OK : dist_fault(plan, op, "has no %s", which);
    if (use == UNUSED)
        return dist_fault(plan, op, "has a %s, which this kind of op does not use", which);
    if (slice.buffer >= plan->buffers)
        return dist_fault(plan, op, "%s is in buffer %" PRIu32 "; the plan has %zu", which, slice.buffer,
                          plan->buffers);
    const dist_plan_buffer *buffer = &plan->buffer[slice.buffer];
    if (slice.offset > buffer->bytes || slice.bytes > buffer->bytes - slice.offset)
        return dist_fault(plan, op,
                          "%s, %" PRIu64 " bytes at %" PRIu64 ", lies outside %s of %" PRIu64 " bytes", which,
                          slice.bytes, slice.offset, buffer->name, buffer->bytes);
    if (slice.bytes == 0 && plan->op[op].kind != DIST_OP_NATIVE)
        return dist_fault(plan, op, "%s is empty; leave such ops out", which);
    if (plan->op[op].kind == DIST_OP_CALL)
        return DIST_OK;
    bool feedback = which[0] == 's' && which[1] == 't';
    if ((buffer->kind == DIST_BUFFER_STATE) != feedback)
        return dist_fault(plan, op, "%s is in %s; error feedback, and nothing else, is kept in state buffers",
                          which, buffer->name);
    return DIST_OK;
}

static dist_status check_slices(const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    DIST_TRY(check_slice(plan, number, "dst", op->dst, uses[op->kind].dst));
    DIST_TRY(check_slice(plan, number, "src", op->src, uses[op->kind].src));
    return check_slice(plan, number, "state", op->state, uses[op->kind].state);
}

/* The lists of waits lie one behind the other, and nothing else is in plan->wait. */
static dist_status check_waits(const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    size_t end = number + 1 < plan->ops ? op[1].first_wait : plan->waits;
    size_t begin = number == 0 ? 0 : op->first_wait;
    if (op->first_wait != begin || end > plan->waits || end < begin || end - begin != op->waits)
        return dist_fault(plan, number,
                          "has %" PRIu32 " waits at %" PRIu32 " of %zu, but the next list begins at %zu",
                          op->waits, op->first_wait, plan->waits, end);
    for (uint32_t w = 0; w < op->waits; w++)
        if (plan->wait[op->first_wait + w] >= number)
            return dist_fault(plan, number, "waits for op %" PRIu32 ", which is not an earlier op",
                              plan->wait[op->first_wait + w]);
    return DIST_OK;
}

/* `slice` is `copies` times op->count elements. */
static dist_status check_elements(const dist_plan *plan, size_t number, const char *which, dist_slice slice,
                                  uint64_t copies)
{
    const dist_op *op = &plan->op[number];
    dist_type type = (dist_type)op->type;
    uint64_t element = dist_type_bytes(type), unit = element * copies;
    if (slice.bytes % unit != 0 || slice.bytes / unit != op->count)
        return dist_fault(plan, number, "%s has %" PRIu64 " bytes, not %" PRIu64 " times %" PRIu64 " %s",
                          which, slice.bytes, copies, op->count, dist_type_name(type));
    if (slice.offset % element != 0)
        return dist_fault(plan, number, "%s begins inside an element: offset %" PRIu64, which, slice.offset);
    return DIST_OK;
}

static dist_status check_apart(const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    if (dist_slices_overlap(op->dst, op->src))
        return dist_fault(plan, number, "dst and src overlap");
    return DIST_OK;
}

static dist_status check_type(const dist_plan *plan, size_t number)
{
    if (!dist_type_valid((dist_type)plan->op[number].type))
        return dist_fault(plan, number, "there is no type number %u", plan->op[number].type);
    return DIST_OK;
}

static dist_status check_message(const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    if (op->peer < 0 || op->peer >= plan->ranks || op->peer == plan->rank)
        return dist_fault(plan, number, "its peer must be another rank of 0 to %d", plan->ranks - 1);
    if (op->channel >= plan->channels)
        return dist_fault(plan, number, "channel %u; there are %d", op->channel, plan->channels);
    if (op->device && dist_team_position(plan, op->peer) < 0)
        return dist_fault(plan, number, "goes over the device wire, but rank %d is not in the team",
                          op->peer);
    return DIST_OK;
}

/* Frames lie at strides; the last has no gap after it. */
static dist_status check_frames(const dist_plan *plan, size_t number, dist_slice encoded)
{
    const dist_op *op = &plan->op[number];
    const uint32_t frames = op->kind == DIST_OP_DECODE ? op->frames : 1;
    if (frames < 1 || frames > DIST_FRAMES_MOST)
        return dist_fault(plan, number, "%" PRIu32 " frames; it must be 1 to %d", frames, DIST_FRAMES_MOST);
    const uint64_t bytes = dist_codec_bytes(&plan->codec, op->count),
                   all = (frames - 1) * dist_frame_stride(bytes) + bytes;
    if (encoded.bytes != all)
        return dist_fault(plan, number,
                          "%" PRIu64 " encoded bytes, but %" PRIu32 " times %" PRIu64
                          " elements take %" PRIu64,
                          encoded.bytes, frames, op->count, all);
    if (encoded.offset % 4 != 0)
        return dist_fault(plan, number, "encoded bytes at %" PRIu64 ", which is not a multiple of 4",
                          encoded.offset);
    return DIST_OK;
}

static dist_status check_state(const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    const dist_feedback feedback = plan->codec.feedback;
    if (op->state.buffer == DIST_NO_BUFFER)
        return DIST_OK;
    if (feedback == DIST_FEEDBACK_NONE)
        return dist_fault(plan, number, "it has state, but codec %s keeps none", plan->codec.text);
    const uint64_t bytes = dist_feedback_bytes(feedback, op->count),
                   unit = dist_feedback_bytes(feedback, DIST_FEEDBACK_BLOCK);
    if (op->state.bytes != bytes)
        return dist_fault(plan, number,
                          "state has %" PRIu64 " bytes, but the feedback of %" PRIu64
                          " elements takes %" PRIu64,
                          op->state.bytes, op->count, bytes);
    if (op->state.offset % (feedback == DIST_FEEDBACK_INT8 ? unit : unit / DIST_FEEDBACK_BLOCK) != 0)
        return dist_fault(plan, number, "state begins inside an element's feedback: offset %" PRIu64,
                          op->state.offset);
    return DIST_OK;
}

static dist_status check_has_frames(const dist_plan *plan, size_t number)
{
    if (plan->codec.kind >= DIST_CODEC_POWERSGD || plan->codec.block == 0)
        return dist_fault(plan, number, "the plan's codec has no frames");
    return DIST_OK;
}

static dist_status check_copy(const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    if (op->src.bytes != op->dst.bytes)
        return dist_fault(plan, number, "dst has %" PRIu64 " bytes, src %" PRIu64, op->dst.bytes,
                          op->src.bytes);
    if (op->count > 0) {
        DIST_TRY(check_has_frames(plan, number));
        DIST_TRY(check_frames(plan, number, op->src));
    }
    return check_apart(plan, number);
}

static dist_status check_codec(const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    const bool encode = op->kind == DIST_OP_ENCODE;
    if (op->type != DIST_FLOAT32 && op->type != DIST_FLOAT16 && op->type != DIST_BFLOAT16)
        return dist_fault(plan, number, "codecs do not take type number %u", op->type);
    DIST_TRY(check_has_frames(plan, number));
    if (!encode && op->divisor == 0)
        return dist_fault(plan, number, "divides by 0");
    DIST_TRY(check_elements(plan, number, encode ? "src" : "dst", encode ? op->src : op->dst, 1));
    DIST_TRY(check_frames(plan, number, encode ? op->dst : op->src));
    DIST_TRY(check_state(plan, number));
    return check_apart(plan, number);
}

static dist_status check_bytes(const dist_plan *plan, size_t number, const char *which, dist_slice slice,
                               uint64_t bytes, uint64_t grain)
{
    if (slice.bytes != bytes)
        return dist_fault(plan, number, "its %s has %" PRIu64 " bytes; this matrix and rank need %" PRIu64,
                          which, slice.bytes, bytes);
    if (slice.offset % grain != 0)
        return dist_fault(plan, number, "its %s begins at %" PRIu64 ", which is not a multiple of %" PRIu64,
                          which, slice.offset, grain);
    return DIST_OK;
}

static dist_status check_lowrank(const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    const bool project = op->kind == DIST_OP_PROJECT;
    const dist_slice matrix = project ? op->src : op->dst, factor = project ? op->dst : op->src;
    if (plan->codec.kind != DIST_CODEC_POWERSGD || plan->codec.rank < 1)
        return dist_fault(plan, number, "the plan's codec has no factors");
    if (op->type != DIST_FLOAT32)
        return dist_fault(plan, number, "factors are float32, not type number %u", op->type);
    if (op->rows == 0 || op->count == 0 || op->count % op->rows != 0)
        return dist_fault(plan, number, "%" PRIu64 " elements are not a matrix of %" PRIu64 " rows",
                          op->count, op->rows);
    const dist_lowrank shape = dist_op_matrix(plan, op);
    DIST_TRY(check_elements(plan, number, project ? "src" : "dst", matrix, 1));
    DIST_TRY(check_bytes(plan, number, "factor", factor, dist_lowrank_count(&shape) * sizeof(float),
                         sizeof(float)));
    DIST_TRY(check_bytes(plan, number, "state", op->state, dist_lowrank_state_bytes(&shape),
                         sizeof(dist_lowrank_state)));
    return check_apart(plan, number);
}

static dist_status check_native_slice(const dist_plan *plan, size_t number, const char *which,
                                      dist_slice slice, uint64_t copies)
{
    if (copies == 0)
        return check_slice(plan, number, which, slice, UNUSED);
    DIST_TRY(check_slice(plan, number, which, slice, NEEDED));
    return check_elements(plan, number, which, slice, copies);
}

/* Whether one side is the rank's own part of the other. Whoever reduces and scatters in place keeps its part where it is. */
static bool in_place(const dist_op *op, uint64_t position)
{
    switch ((dist_native)op->native) {
    case DIST_NATIVE_ALL_REDUCE:
        return op->src.offset == op->dst.offset; /* in place, or in two buffers */
    case DIST_NATIVE_ALL_GATHER:
        return op->src.offset == op->dst.offset + position * op->src.bytes;
    case DIST_NATIVE_REDUCE_SCATTER: /* MPI would put the result at the beginning */
        return op->device && op->dst.offset == op->src.offset + position * op->dst.bytes;
    default:
        return false;
    }
}

static dist_status check_native(const dist_plan *plan, size_t number)
{
    const uint64_t ranks = (uint64_t)(plan->op[number].device ? plan->teammates : plan->ranks);
    const struct {
        uint64_t dst, src; /* how many times count elements */
    } copies[] = {
        [DIST_NATIVE_ALL_REDUCE] = {1, 1},
        [DIST_NATIVE_REDUCE_SCATTER] = {1, ranks},
        [DIST_NATIVE_ALL_GATHER] = {ranks, 1},
        [DIST_NATIVE_BROADCAST] = {1, 0},
        [DIST_NATIVE_ALL_TO_ALL] = {ranks, ranks},
    };
    const dist_op *op = &plan->op[number];
    if (op->native > DIST_NATIVE_BARRIER)
        return dist_fault(plan, number, "there is no collective number %u", op->native);
    const int position = op->device ? dist_team_position(plan, plan->rank) : plan->rank;
    if (position < 0)
        return dist_fault(plan, number, "is of a team that rank %d is not in", plan->rank);
    if (op->divisor == 0 || (op->divisor > 1 && !(op->device && dist_op_reduces(op))))
        return dist_fault(plan, number, "divides by %" PRIu32 ", which only a team's sum does, by 1 at least",
                          op->divisor);
    if (op->native == DIST_NATIVE_BARRIER)
        return DIST_OK; /* whatever its slices are */
    DIST_TRY(check_type(plan, number));
    DIST_TRY(check_native_slice(plan, number, "dst", op->dst, copies[op->native].dst));
    DIST_TRY(check_native_slice(plan, number, "src", op->src, copies[op->native].src));
    if (op->native == DIST_NATIVE_BROADCAST && (op->peer < 0 || op->peer >= plan->ranks))
        return dist_fault(plan, number, "root %d is not a rank", op->peer);
    if (op->native == DIST_NATIVE_BROADCAST && op->device && dist_team_position(plan, op->peer) < 0)
        return dist_fault(plan, number, "root %d is not in the team", op->peer);
    return in_place(op, (uint64_t)position) ? DIST_OK : check_apart(plan, number);
}

static dist_status check_kind(const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    switch ((dist_op_kind)op->kind) {
    case DIST_OP_SEND:
    case DIST_OP_RECV:
        return check_message(plan, number);
    case DIST_OP_REDUCE:
        DIST_TRY(check_type(plan, number));
        DIST_TRY(check_elements(plan, number, "dst", op->dst, 1));
        DIST_TRY(check_elements(plan, number, "src", op->src, 1));
        return check_apart(plan, number);
    case DIST_OP_COPY:
        return check_copy(plan, number);
    case DIST_OP_DIVIDE:
        if (op->divisor == 0)
            return dist_fault(plan, number, "divides by 0");
        DIST_TRY(check_type(plan, number));
        return check_elements(plan, number, "dst", op->dst, 1);
    case DIST_OP_ENCODE:
    case DIST_OP_DECODE:
        return check_codec(plan, number);
    case DIST_OP_PROJECT:
    case DIST_OP_EXPAND:
        return check_lowrank(plan, number);
    case DIST_OP_CALL:
        if (op->call >= DIST_CALL_KINDS)
            return dist_fault(plan, number, "there is no call number %u", op->call);
        return DIST_OK;
    default:
        return check_native(plan, number);
    }
}

/* All ops of all ranks must combine in the same way. Decode-and-add is a sum; of factors nothing else makes sense. */
static dist_status check_reduction(const dist_plan *plan, size_t number, dist_reduction *common)
{
    const dist_op *op = &plan->op[number];
    bool adds = (op->kind == DIST_OP_DECODE && op->add) || op->kind == DIST_OP_PROJECT;
    dist_reduction mine = adds ? DIST_SUM : (dist_reduction)op->reduction;
    if (!adds && !dist_op_reduces(op))
        return DIST_OK;
    if (mine != DIST_SUM && mine != DIST_MIN && mine != DIST_MAX)
        return dist_fault(plan, number, "its reduction is %s; an op must be sum, min or max",
                          dist_reduction_name(mine));
    if (*common == DIST_REDUCTIONS)
        *common = mine;
    if (*common != mine)
        return dist_fault(plan, number, "its reduction is %s, but earlier ops have %s",
                          dist_reduction_name(mine), dist_reduction_name(*common));
    return DIST_OK;
}

dist_status dist_verify_shape(const dist_verifier *verifier)
{
    dist_reduction common = DIST_REDUCTIONS;
    for (int r = 0; r < verifier->ranks; r++) {
        const dist_plan *plan = verifier->plan[r];
        for (size_t i = 0; i < plan->ops; i++) {
            if (plan->op[i].kind >= DIST_OP_KINDS)
                return dist_fail(DIST_ERR_PLAN, "rank %d op %zu: there is no kind of op number %u", r, i,
                                 plan->op[i].kind);
            DIST_TRY(check_slices(plan, i));
            DIST_TRY(check_waits(plan, i));
            DIST_TRY(check_kind(plan, i));
            DIST_TRY(check_reduction(plan, i, &common));
        }
    }
    return DIST_OK;
}
