/* Which microbatch is where: the domain in which pipelines are proven.
 *
 * A byte of a slot holds byte `position` of what the call number `source` made, plain (ELEMENTS) or encoded (FRAME). Ops
 * that are no part of a pipeline leave undefined bytes behind. */
#include <inttypes.h>
#include <stdlib.h>

#include "plan/verify_internal.h"

/* What has happened to a stage and microbatch. */
typedef struct progress {
    bool forward, backward, weight;
    int64_t held;
} progress;

typedef struct follower {
    const dist_verifier *verifier;
    size_t *first_buffer; /* [ranks + 1] into memory */
    dist_intervals *memory;
    dist_intervals found, spare;
    progress *progress; /* [stages * microbatches] */
    int64_t *held;      /* [ranks] now */
} follower;

static const char *const made[] = {"the output of the forward", "the input gradient"};

static size_t cell(const follower *f, uint32_t stage, uint32_t microbatch)
{
    return (size_t)stage * (size_t)f->verifier->calls->microbatches + microbatch;
}

static uint32_t token(const follower *f, int gradient, uint32_t stage, uint32_t microbatch)
{
    return (uint32_t)cell(f, stage, microbatch) * 2 + (uint32_t)gradient;
}

static dist_intervals *memory_of(const follower *f, const dist_plan *plan, uint32_t buffer)
{
    return &f->memory[f->first_buffer[plan->rank] + buffer];
}

static dist_status begin(const dist_verifier *verifier, void **state)
{
    const dist_call_contract *calls = verifier->calls;
    follower *f = *state = calloc(1, sizeof *f);
    if (!f || !(f->first_buffer = calloc((size_t)verifier->ranks + 1, sizeof *f->first_buffer)))
        return dist_verify_no_memory(verifier);
    f->verifier = verifier;
    for (int r = 0; r < verifier->ranks; r++)
        f->first_buffer[r + 1] = f->first_buffer[r] + verifier->plan[r]->buffers;
    f->memory = calloc(f->first_buffer[verifier->ranks] + 1, sizeof *f->memory);
    f->progress = calloc((size_t)calls->stages * (size_t)calls->microbatches + 1, sizeof *f->progress);
    f->held = calloc((size_t)verifier->ranks, sizeof *f->held);
    return f->memory && f->progress && f->held ? DIST_OK : dist_verify_no_memory(verifier);
}

static void end(void *state)
{
    follower *f = state;
    if (!f)
        return;
    for (size_t b = 0; f->memory && b < f->first_buffer[f->verifier->ranks]; b++)
        free(f->memory[b].item);
    free(f->memory);
    free(f->first_buffer);
    free(f->found.item);
    free(f->spare.item);
    free(f->progress);
    free(f->held);
    free(f);
}

static dist_status read_slice(follower *f, const dist_plan *plan, dist_slice slice)
{
    return dist_intervals_read(memory_of(f, plan, slice.buffer), slice.offset, slice.offset + slice.bytes,
                               &f->found)
               ? DIST_OK
               : dist_verify_no_memory(f->verifier);
}

static dist_status write_slice(follower *f, const dist_plan *plan, dist_slice slice)
{
    return dist_intervals_write(memory_of(f, plan, slice.buffer), slice.offset, &f->found, &f->spare)
               ? DIST_OK
               : dist_verify_no_memory(f->verifier);
}

static dist_status fill(follower *f, const dist_plan *plan, dist_slice slice, dist_value value)
{
    if (slice.buffer == DIST_NO_BUFFER)
        return DIST_OK;
    f->found.count = 0;
    if (!dist_intervals_append(&f->found, (dist_interval){0, slice.bytes, value}))
        return dist_verify_no_memory(f->verifier);
    return write_slice(f, plan, slice);
}

/* The slice holds all of what `stage` made of the microbatch, from its first byte on. */
static dist_status expect(follower *f, const dist_plan *plan, size_t op, const char *name, dist_slice slice,
                          int gradient, uint32_t stage, uint32_t microbatch)
{
    if (slice.buffer == DIST_NO_BUFFER)
        return dist_fault(plan, op, "has no %s; it needs %s of stage %" PRIu32, name, made[gradient], stage);
    DIST_TRY(read_slice(f, plan, slice));
    const dist_value *value = &f->found.item[0].value;
    if (f->found.count == 1 && value->kind == DIST_VALUE_ELEMENTS && value->position == 0 &&
        value->source == token(f, gradient, stage, microbatch))
        return DIST_OK;
    if (f->found.count != 1 || value->kind != DIST_VALUE_ELEMENTS)
        return dist_fault(plan, op,
                          "its %s does not hold %s of stage %" PRIu32 ", microbatch %" PRIu32
                          ", or not all of it",
                          name, made[gradient], stage, microbatch);
    const uint32_t other = value->source / 2, m = (uint32_t)f->verifier->calls->microbatches;
    return dist_fault(plan, op,
                      "its %s holds %s of stage %" PRIu32 ", microbatch %" PRIu32 "; it needs %s of %" PRIu32
                      ", %" PRIu32,
                      name, made[value->source % 2], other / m, other % m, made[gradient], stage, microbatch);
}

/* The order of the calls of one stage and microbatch, and that each comes once. */
static dist_status take_turn(follower *f, const dist_plan *plan, size_t number, bool *last)
{
    const dist_call_contract *calls = f->verifier->calls;
    const dist_op *op = &plan->op[number];
    if (op->stage >= (uint32_t)calls->stages || op->microbatch >= (uint32_t)calls->microbatches)
        return dist_fault(plan, number, "there are %d stages and %d microbatches", calls->stages,
                          calls->microbatches);
    if (calls->rank_of[op->stage] != plan->rank)
        return dist_fault(plan, number, "stage %" PRIu32 " is rank %d's", op->stage,
                          calls->rank_of[op->stage]);
    progress *p = &f->progress[cell(f, op->stage, op->microbatch)];
    const bool forward = op->call == DIST_CALL_FORWARD, weight = op->call == DIST_CALL_WEIGHT;
    if (forward ? p->forward : weight ? p->weight : p->backward)
        return dist_fault(plan, number, "was called before");
    if (!forward && !p->forward)
        return dist_fault(plan, number, "its forward has not run");
    if (weight && (!calls->split || !p->backward))
        return dist_fault(plan, number,
                          calls->split ? "its backward has not run" : "the backwards are not split");
    p->forward |= forward;
    p->backward |= !forward && !weight;
    p->weight |= weight || op->call == DIST_CALL_FULL || (!calls->split && op->call == DIST_CALL_BACKWARD);
    *last = p->backward && p->weight;
    return DIST_OK;
}

static dist_status account(follower *f, const dist_plan *plan, size_t number, bool last)
{
    const dist_op *op = &plan->op[number];
    progress *p = &f->progress[cell(f, op->stage, op->microbatch)];
    const bool forward = op->call == DIST_CALL_FORWARD;
    if (forward ? op->held < 0 : op->held > 0)
        return dist_fault(plan, number, "%s %" PRId64 " bytes", forward ? "gives back" : "takes",
                          forward ? -op->held : op->held);
    p->held += op->held;
    f->held[plan->rank] += op->held > 0 ? op->held : 0;
    const uint64_t scratch = dist_plan_bytes(plan, DIST_BUFFER_SCRATCH),
                   all = scratch + (uint64_t)f->held[plan->rank];
    if (f->verifier->calls->limit && all > f->verifier->calls->limit)
        return dist_fault(plan, number,
                          "the rank then holds %" PRIu64 " bytes, %" PRIu64
                          " of them scratch, above the limit of %" PRIu64,
                          all, scratch, f->verifier->calls->limit);
    f->held[plan->rank] += op->held < 0 ? op->held : 0;
    if (p->held < 0 || (last && p->held != 0) || (!last && !forward && op->held != 0 && p->held == 0))
        return dist_fault(plan, number, "gives back %" PRId64 " bytes; %" PRId64 " were taken%s", -op->held,
                          p->held - op->held, last ? "" : ", and a later call needs them");
    return DIST_OK;
}

static dist_status run_call(follower *f, const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    const uint32_t s = op->stage, m = op->microbatch;
    const bool first = s == 0, final = s + 1 == (uint32_t)f->verifier->calls->stages;
    bool last = false;
    DIST_TRY(take_turn(f, plan, number, &last));
    DIST_TRY(account(f, plan, number, last));
    if (op->call == DIST_CALL_FORWARD) {
        if (!first)
            DIST_TRY(expect(f, plan, number, "input", op->src, 0, s - 1, m));
        if (!final && op->dst.buffer == DIST_NO_BUFFER)
            return dist_fault(plan, number, "has nowhere to put its output");
        return fill(f, plan, op->dst, (dist_value){.kind = DIST_VALUE_ELEMENTS, .source = token(f, 0, s, m)});
    }
    if (!first)
        DIST_TRY(expect(f, plan, number, "input", op->state, 0, s - 1, m));
    if (op->call == DIST_CALL_WEIGHT)
        return DIST_OK;
    if (!final)
        DIST_TRY(expect(f, plan, number, "output gradient", op->src, 1, s + 1, m));
    if (!first && op->dst.buffer == DIST_NO_BUFFER)
        return dist_fault(plan, number, "has nowhere to put the gradient of its input");
    return fill(f, plan, op->dst, (dist_value){.kind = DIST_VALUE_ELEMENTS, .source = token(f, 1, s, m)});
}

/* A frame stands for the bytes that were encoded, from `position` on; of anything else nothing is known. */
static dist_status code(follower *f, const dist_plan *plan, const dist_op *op)
{
    const bool encode = op->kind == DIST_OP_ENCODE;
    DIST_TRY(read_slice(f, plan, op->src));
    dist_value value = f->found.item[0].value;
    if (f->found.count != 1 || value.kind != (encode ? DIST_VALUE_ELEMENTS : DIST_VALUE_FRAME) ||
        (!encode && value.position != 0))
        return fill(f, plan, op->dst, (dist_value){.kind = DIST_VALUE_UNDEFINED, .detail = DIST_NO_OP});
    if (encode) /* where the values begin is kept in `detail` */
        value = (dist_value){
            .kind = DIST_VALUE_FRAME, .source = value.source, .detail = (uint32_t)value.position};
    else
        value = (dist_value){.kind = DIST_VALUE_ELEMENTS, .source = value.source, .position = value.detail};
    return fill(f, plan, op->dst, value);
}

/* What ops that are no part of a pipeline leave behind may be a frame. */
static dist_status copy(follower *f, const dist_plan *plan, size_t number)
{
    const dist_op *op = &plan->op[number];
    DIST_TRY(read_slice(f, plan, op->src));
    for (size_t i = 0; op->count > 0 && i < f->found.count; i++) {
        const dist_value *value = &f->found.item[i].value;
        if (value->kind == DIST_VALUE_ELEMENTS ||
            (value->kind == DIST_VALUE_FRAME && (f->found.count > 1 || value->position != 0)))
            return dist_fault(plan, number, "checks its src, which is no whole frame");
    }
    return write_slice(f, plan, op->dst);
}

static dist_status local(void *state, int rank, uint32_t number)
{
    follower *f = state;
    const dist_plan *plan = f->verifier->plan[rank];
    const dist_op *op = &plan->op[number];
    switch ((dist_op_kind)op->kind) {
    case DIST_OP_CALL:
        return run_call(f, plan, number);
    case DIST_OP_COPY:
        return copy(f, plan, number);
    case DIST_OP_ENCODE:
    case DIST_OP_DECODE:
        return code(f, plan, op);
    default:
        return fill(f, plan, op->dst, (dist_value){.kind = DIST_VALUE_UNDEFINED, .detail = DIST_NO_OP});
    }
}

static dist_status message(void *state, int sender, uint32_t send, int receiver, uint32_t recv)
{
    follower *f = state;
    const dist_plan *from = f->verifier->plan[sender], *to = f->verifier->plan[receiver];
    DIST_TRY(read_slice(f, from, from->op[send].src));
    return write_slice(f, to, to->op[recv].dst);
}

static dist_status native(void *state, size_t number)
{
    (void)state;
    (void)number;
    return DIST_OK; /* its buffers are no pipeline's */
}

static dist_status check(void *state)
{
    const follower *f = state;
    const dist_call_contract *calls = f->verifier->calls;
    for (uint32_t s = 0; s < (uint32_t)calls->stages; s++)
        for (uint32_t m = 0; m < (uint32_t)calls->microbatches; m++) {
            const progress *p = &f->progress[cell(f, s, m)];
            if (!p->forward || !p->backward || !p->weight)
                return dist_fail(DIST_ERR_PLAN,
                                 "stage %" PRIu32 ", microbatch %" PRIu32 ": its %s is missing on rank %d", s,
                                 m,
                                 !p->forward    ? "forward"
                                 : !p->backward ? "backward"
                                                : "weight gradient",
                                 calls->rank_of[s]);
        }
    return DIST_OK;
}

const dist_domain dist_domain_calls = {begin, local, message, native, check, end};
