/* What each op does to what the bytes hold. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "plan/verify_internal.h"

typedef dist_doing doing;

static const dist_op *op_of(doing d)
{
    return &d.plan->op[d.op];
}

static uint64_t element_of(const dist_values *values, uint64_t position)
{
    return position / values->verifier->element;
}

dist_intervals *dist_values_memory(const dist_values *values, int rank, uint32_t buffer)
{
    return &values->memory[values->first_buffer[rank] + buffer];
}

static dist_status no_memory(const dist_values *values)
{
    return dist_verify_no_memory(values->verifier);
}

dist_status dist_values_read(const dist_values *values, doing d, dist_slice slice, dist_intervals *to)
{
    const dist_intervals *memory = dist_values_memory(values, d.plan->rank, slice.buffer);
    if (!dist_intervals_read(memory, slice.offset, slice.offset + slice.bytes, to))
        return no_memory(values);
    for (size_t i = 0; i < to->count; i++) { /* remember who read undefined bytes first */
        dist_value *value = &to->item[i].value;
        if (value->kind == DIST_VALUE_UNDEFINED && value->detail == DIST_NO_OP) {
            value->source = (uint32_t)d.plan->rank;
            value->detail = d.op;
        }
    }
    return DIST_OK;
}

dist_status dist_values_write(dist_values *values, doing d, dist_slice slice, const dist_intervals *from)
{
    dist_intervals *memory = dist_values_memory(values, d.plan->rank, slice.buffer);
    return dist_intervals_write(memory, slice.offset, from, &values->spare) ? DIST_OK : no_memory(values);
}

dist_status dist_values_read_elements(const dist_values *values, doing d, dist_slice slice, dist_type type,
                                      dist_intervals *to)
{
    DIST_TRY(dist_values_read(values, d, slice, to));
    for (size_t i = 0; i < to->count; i++) {
        const dist_interval *item = &to->item[i];
        uint64_t at = slice.offset + item->begin;
        const char *name = d.plan->buffer[slice.buffer].name;
        if (item->value.kind == DIST_VALUE_FRAME)
            return dist_fault(d.plan, d.op, "takes encoded bytes for elements at byte %" PRIu64 " of %s", at,
                              name);
        if (item->begin % values->verifier->element != 0)
            return dist_fault(d.plan, d.op,
                              "the element before byte %" PRIu64 " of %s is put together of parts", at, name);
        if (item->value.kind != DIST_VALUE_UNDEFINED && type != values->verifier->contract->type)
            return dist_fault(d.plan, d.op, "takes %s for %s at byte %" PRIu64 " of %s",
                              dist_type_name(values->verifier->contract->type), dist_type_name(type), at,
                              name);
    }
    return DIST_OK;
}

static dist_status add_elements(dist_values *values, doing d, dist_value a, dist_value b, dist_value *sum)
{
    *sum = a.kind == DIST_VALUE_UNDEFINED ? a : b;
    if (a.kind == DIST_VALUE_UNDEFINED || b.kind == DIST_VALUE_UNDEFINED)
        return DIST_OK;
    if (a.kind != b.kind || a.matrix != b.matrix)
        return dist_fault(d.plan, d.op, "adds %s of one matrix to %s of another",
                          b.kind == DIST_VALUE_FACTOR ? "the factor" : "elements",
                          a.kind == DIST_VALUE_FACTOR ? "the factor" : "elements");
    if (a.position != b.position)
        return dist_fault(d.plan, d.op, "adds element %" PRIu64 " to element %" PRIu64,
                          element_of(values, b.position), element_of(values, a.position));
    if (a.detail != 1 || b.detail != 1)
        return dist_fault(d.plan, d.op, "adds to element %" PRIu64 ", after a division by %" PRIu32,
                          element_of(values, a.position), a.detail != 1 ? a.detail : b.detail);
    int twice = dist_sets_common(&values->sets, a.source, b.source);
    if (twice >= 0)
        return dist_fault(d.plan, d.op, "adds the contribution of rank %d to element %" PRIu64 " twice",
                          twice, element_of(values, a.position));
    return dist_sets_union(&values->sets, a.source, b.source, &sum->source) ? DIST_OK : no_memory(values);
}

/* Two lists that cover the same bytes, piece by piece, into values->sum. */
static dist_status add_lists(dist_values *values, doing d, const dist_intervals *a, const dist_intervals *b)
{
    uint64_t at = 0;
    values->sum.count = 0;
    for (size_t i = 0, j = 0; i < a->count && j < b->count;) {
        const dist_interval *x = &a->item[i], *y = &b->item[j];
        dist_interval piece = {.begin = at, .end = x->end < y->end ? x->end : y->end};
        DIST_TRY(add_elements(values, d, dist_value_after(x->value, at - x->begin),
                              dist_value_after(y->value, at - y->begin), &piece.value));
        if (!dist_intervals_append(&values->sum, piece))
            return no_memory(values);
        at = piece.end;
        i += x->end == at;
        j += y->end == at;
    }
    return DIST_OK;
}

static dist_status run_reduce(dist_values *values, doing d)
{
    const dist_op *op = op_of(d);
    DIST_TRY(dist_values_read_elements(values, d, op->dst, (dist_type)op->type, &values->left));
    DIST_TRY(dist_values_read_elements(values, d, op->src, (dist_type)op->type, &values->right));
    DIST_TRY(add_lists(values, d, &values->left, &values->right));
    return dist_values_write(values, d, op->dst, &values->sum);
}

static bool holds_elements(dist_value value)
{
    return value.kind == DIST_VALUE_ELEMENTS || value.kind == DIST_VALUE_FACTOR;
}

/* Whether one decodes what the other encodes. */
static bool same_codec(const dist_plan *a, const dist_plan *b)
{
    return a->codec.kind == b->codec.kind && a->codec.block == b->codec.block;
}

/* Between slices of one rank or of two. */
static dist_status move(dist_values *values, doing from, dist_slice src, doing to, dist_slice dst)
{
    uint64_t element = values->verifier->element;
    DIST_TRY(dist_values_read(values, from, src, &values->left));
    for (size_t i = 0; i < values->left.count; i++) {
        const dist_interval *item = &values->left.item[i];
        bool whole = (src.offset + item->begin) % element == 0 && (src.offset + item->end) % element == 0;
        if (holds_elements(item->value) && !whole)
            return dist_fault(from.plan, from.op, "moves a part of element %" PRIu64,
                              element_of(values, item->value.position + (item->end - item->begin) - 1));
        if (holds_elements(item->value) && (dst.offset + item->begin) % element != 0)
            return dist_fault(to.plan, to.op,
                              "puts an element at byte %" PRIu64 " of %s, not a multiple of %" PRIu64,
                              dst.offset + item->begin, to.plan->buffer[dst.buffer].name, element);
    }
    return dist_values_write(values, to, dst, &values->left);
}

/* A frame that is checked before it is copied is one, whole, of so many elements. */
static dist_status run_copy(dist_values *values, doing d)
{
    const dist_op *op = op_of(d);
    if (op->count == 0)
        return move(values, d, op->src, d, op->dst);
    DIST_TRY(dist_values_read(values, d, op->src, &values->bytes));
    const dist_value first = values->bytes.item[0].value;
    if (values->bytes.count > 1 || first.kind != DIST_VALUE_FRAME || first.position != 0)
        return dist_fault(d.plan, d.op, "checks its src, which is no whole frame");
    const dist_frame *frame = &values->frame[first.source];
    const dist_op *encode = &frame->plan->op[frame->op];
    if (!same_codec(d.plan, frame->plan) || encode->count != op->count)
        return dist_fault(d.plan, d.op,
                          "checks a frame of %" PRIu64 " elements, but rank %d op %" PRIu32
                          " encoded %" PRIu64 " or has another codec",
                          op->count, frame->plan->rank, frame->op, encode->count);
    return move(values, d, op->src, d, op->dst);
}

static void swap(dist_intervals *a, dist_intervals *b)
{
    dist_intervals c = *a;
    *a = *b;
    *b = c;
}

/* Every element of the list is divided by the op's divisor. */
static dist_status divide_list(const dist_values *values, doing d, dist_intervals *list)
{
    const uint32_t divisor = op_of(d)->divisor;
    for (size_t i = 0; i < list->count; i++) {
        dist_value *value = &list->item[i].value;
        if (value->kind == DIST_VALUE_UNDEFINED || divisor == 1)
            continue;
        if (value->detail != 1)
            return dist_fault(d.plan, d.op, "element %" PRIu64 " has already been divided by %" PRIu32,
                              element_of(values, value->position), value->detail);
        value->detail = divisor;
    }
    return DIST_OK;
}

static dist_status run_divide(dist_values *values, doing d)
{
    const dist_op *op = op_of(d);
    DIST_TRY(dist_values_read_elements(values, d, op->dst, (dist_type)op->type, &values->left));
    DIST_TRY(divide_list(values, d, &values->left));
    return dist_values_write(values, d, op->dst, &values->left);
}

/* Feedback takes fewer bytes than its elements, or more: here as many, which says the same of who has what. */
static dist_slice kept_by(doing d)
{
    const dist_op *op = op_of(d);
    const uint64_t element = dist_type_bytes((dist_type)op->type),
                   unit = dist_feedback_bytes(d.plan->codec.feedback, 256);
    return dist_slice_of(op->state.buffer, unit ? op->state.offset * 256 / unit * element : 0, op->src.bytes);
}

/* Error feedback that is kept for one element and set of contributors must not be added to another. */
static dist_status keep_feedback(dist_values *values, doing d)
{
    const dist_intervals *now = &values->left, *before = &values->right;
    uint64_t at = 0;
    DIST_TRY(dist_values_read(values, d, kept_by(d), &values->right));
    for (size_t i = 0, j = 0; i < now->count && j < before->count;) {
        const dist_interval *x = &now->item[i], *y = &before->item[j];
        dist_value mine = dist_value_after(x->value, at - x->begin);
        dist_value kept = dist_value_after(y->value, at - y->begin);
        if (kept.kind == DIST_VALUE_ELEMENTS && mine.kind == DIST_VALUE_ELEMENTS &&
            (kept.position != mine.position || kept.source != mine.source))
            return dist_fault(d.plan, d.op,
                              "takes the error feedback of element %" PRIu64
                              " for a different sum or element %" PRIu64,
                              element_of(values, kept.position), element_of(values, mine.position));
        at = x->end < y->end ? x->end : y->end;
        i += x->end == at;
        j += y->end == at;
    }
    return dist_values_write(values, d, kept_by(d), now);
}

static dist_status run_encode(dist_values *values, doing d)
{
    const dist_op *op = op_of(d);
    dist_intervals *elements = &values->left;
    if (!dist_grow(&values->frame, &values->frame_capacity, values->frames + 1, sizeof(dist_frame)))
        return no_memory(values);
    DIST_TRY(dist_values_read_elements(values, d, op->src, (dist_type)op->type, elements));
    if (op->state.buffer != DIST_NO_BUFFER)
        DIST_TRY(keep_feedback(values, d));
    for (size_t i = 0; i < elements->count; i++)
        if (elements->item[i].value.kind == DIST_VALUE_UNDEFINED) { /* spoils all that share its scale */
            elements->item[0] = (dist_interval){0, op->src.bytes, elements->item[i].value};
            elements->count = 1;
        }
    dist_frame *frame = &values->frame[values->frames++];
    *frame = (dist_frame){.plan = d.plan, .op = d.op};
    if (!dist_grow(&frame->elements.item, &frame->elements.capacity, elements->count, sizeof(dist_interval)))
        return no_memory(values);
    memcpy(frame->elements.item, elements->item, elements->count * sizeof(dist_interval));
    frame->elements.count = elements->count;
    values->sum.count = 0;
    dist_value value = {.kind = DIST_VALUE_FRAME, .source = (uint32_t)values->frames - 1};
    if (!dist_intervals_append(&values->sum, (dist_interval){0, op->dst.bytes, value}))
        return no_memory(values);
    return dist_values_write(values, d, op->dst, &values->sum);
}

/* What `bytes` decode to, in `elements`: a frame's, when they are all of it from its first byte on. */
static dist_status open_frame(dist_values *values, doing d, const dist_intervals *bytes,
                              dist_intervals *elements)
{
    const dist_op *op = op_of(d);
    const dist_value first = bytes->item[0].value;
    if (first.kind != DIST_VALUE_UNDEFINED && (first.kind != DIST_VALUE_FRAME || first.position != 0))
        return dist_fault(d.plan, d.op, "src does not begin with the first byte of an encoded frame");
    if (bytes->count > 1)
        return dist_fault(d.plan, d.op, "only the first %" PRIu64 " bytes of src belong together",
                          bytes->item[0].end);
    if (first.kind == DIST_VALUE_UNDEFINED) {
        elements->count = 0;
        return dist_intervals_append(elements, (dist_interval){0, op->dst.bytes, first}) ? DIST_OK
                                                                                         : no_memory(values);
    }
    const dist_frame *frame = &values->frame[first.source];
    const dist_op *encode = &frame->plan->op[frame->op];
    if (!same_codec(d.plan, frame->plan) || encode->count != op->count || encode->type != op->type)
        return dist_fault(d.plan, d.op,
                          "decodes %" PRIu64 " elements, but rank %d op %" PRIu32 " encoded %" PRIu64
                          " or has another codec",
                          op->count, frame->plan->rank, frame->op, encode->count);
    return dist_intervals_read(&frame->elements, 0, op->dst.bytes, elements) ? DIST_OK : no_memory(values);
}

static dist_status run_decode(dist_values *values, doing d)
{
    const dist_op *op = op_of(d);
    dist_intervals *sum = &values->left, *part = &values->right, *bytes = &values->bytes;
    const uint64_t size = dist_codec_bytes(&d.plan->codec, op->count);
    if (op->add)
        DIST_TRY(dist_values_read_elements(values, d, op->dst, (dist_type)op->type, sum));
    for (uint32_t f = 0; f < op->frames; f++) {
        const bool first = f == 0 && !op->add;
        DIST_TRY(dist_values_read(
            values, d, dist_slice_of(op->src.buffer, op->src.offset + f * dist_frame_stride(size), size),
            bytes));
        DIST_TRY(open_frame(values, d, bytes, first ? sum : part));
        if (first)
            continue;
        DIST_TRY(add_lists(values, d, sum, part));
        swap(sum, &values->sum);
    }
    DIST_TRY(divide_list(values, d, sum));
    return dist_values_write(values, d, op->dst, sum);
}

dist_status dist_values_local(dist_values *values, int rank, uint32_t number)
{
    doing d = {values->verifier->plan[rank], number};
    const dist_op *op = op_of(d);
    switch ((dist_op_kind)op->kind) {
    case DIST_OP_REDUCE:
        return run_reduce(values, d);
    case DIST_OP_COPY:
        return run_copy(values, d);
    case DIST_OP_DIVIDE:
        return run_divide(values, d);
    case DIST_OP_ENCODE:
        return run_encode(values, d);
    case DIST_OP_PROJECT:
        return dist_values_project(values, d);
    case DIST_OP_EXPAND:
        return dist_values_expand(values, d);
    case DIST_OP_CALL:
        return dist_fault(d.plan, d.op, "what the program computes has no contract");
    default:
        return run_decode(values, d);
    }
}

dist_status dist_values_message(dist_values *values, int sender, uint32_t send, int receiver, uint32_t recv)
{
    doing from = {values->verifier->plan[sender], send}, to = {values->verifier->plan[receiver], recv};
    return move(values, from, op_of(from)->src, to, op_of(to)->dst);
}

/* What member m does in a collective. */
static doing native_of(const dist_values *values, size_t number, int m)
{
    const dist_verifier *v = values->verifier;
    return (doing){v->plan[dist_native_rank(&v->natives, number, m)], dist_native_op(&v->natives, number, m)};
}

static int members_of(const dist_values *values, size_t number)
{
    return dist_native_group_of(&values->verifier->natives, number)->members;
}

/* The sum of every member's src; each takes its part of it, or all. */
static dist_status native_reduce(dist_values *values, size_t number, bool scatter)
{
    const int members = members_of(values, number);
    doing d = native_of(values, number, 0);
    dist_type type = (dist_type)op_of(d)->type;
    dist_intervals *total = &values->left, *part = &values->right;
    DIST_TRY(dist_values_read_elements(values, d, op_of(d)->src, type, total));
    for (int m = 1; m < members; m++) {
        d = native_of(values, number, m);
        DIST_TRY(dist_values_read_elements(values, d, op_of(d)->src, type, part));
        DIST_TRY(add_lists(values, d, total, part));
        swap(total, &values->sum);
    }
    for (int m = 0; m < members; m++) {
        d = native_of(values, number, m);
        uint64_t bytes = op_of(d)->dst.bytes, begin = scatter ? (uint64_t)m * bytes : 0;
        if (!dist_intervals_read(total, begin, begin + bytes, part))
            return no_memory(values);
        DIST_TRY(divide_list(values, d, part));
        DIST_TRY(dist_values_write(values, d, op_of(d)->dst, part));
    }
    return DIST_OK;
}

static dist_status native_gather(dist_values *values, size_t number)
{
    const int members = members_of(values, number);
    uint64_t bytes = op_of(native_of(values, number, 0))->src.bytes;
    dist_intervals *all = &values->sum, *part = &values->left;
    all->count = 0;
    for (int m = 0; m < members; m++) {
        doing d = native_of(values, number, m);
        DIST_TRY(dist_values_read_elements(values, d, op_of(d)->src, (dist_type)op_of(d)->type, part));
        if (!dist_intervals_write(all, (uint64_t)m * bytes, part, &values->spare))
            return no_memory(values);
    }
    for (int m = 0; m < members; m++) {
        doing d = native_of(values, number, m);
        DIST_TRY(dist_values_write(values, d, op_of(d)->dst, all));
    }
    return DIST_OK;
}

static dist_status native_broadcast(dist_values *values, size_t number)
{
    const dist_natives *natives = &values->verifier->natives;
    const int root = op_of(native_of(values, number, 0))->peer;
    int at = 0; /* the root is a member: verify_shape.c */
    while (dist_native_rank(natives, number, at) != root)
        at++;
    doing from = native_of(values, number, at);
    DIST_TRY(dist_values_read_elements(values, from, op_of(from)->dst, (dist_type)op_of(from)->type,
                                       &values->left));
    for (int m = 0; m < members_of(values, number); m++) {
        doing to = native_of(values, number, m);
        DIST_TRY(dist_values_write(values, to, op_of(to)->dst, &values->left));
    }
    return DIST_OK;
}

/* Nobody's dst is what he sends from (verify_shape.c), so parts can go over one by one. */
static dist_status native_exchange(dist_values *values, size_t number)
{
    const int members = members_of(values, number);
    for (int m = 0; m < members; m++) {
        const doing from = native_of(values, number, m);
        const dist_slice src = op_of(from)->src;
        const uint64_t bytes = src.bytes / (uint64_t)members;
        for (int k = 0; k < members; k++) {
            const doing to = native_of(values, number, k);
            const dist_slice dst = op_of(to)->dst;
            DIST_TRY(dist_values_read_elements(
                values, from, dist_slice_of(src.buffer, src.offset + (uint64_t)k * bytes, bytes),
                (dist_type)op_of(from)->type, &values->left));
            DIST_TRY(dist_values_write(values, to,
                                       dist_slice_of(dst.buffer, dst.offset + (uint64_t)m * bytes, bytes),
                                       &values->left));
        }
    }
    return DIST_OK;
}

dist_status dist_values_native(dist_values *values, size_t number)
{
    switch ((dist_native)op_of(native_of(values, number, 0))->native) {
    case DIST_NATIVE_ALL_REDUCE:
        return native_reduce(values, number, false);
    case DIST_NATIVE_REDUCE_SCATTER:
        return native_reduce(values, number, true);
    case DIST_NATIVE_ALL_GATHER:
        return native_gather(values, number);
    case DIST_NATIVE_BROADCAST:
        return native_broadcast(values, number);
    case DIST_NATIVE_ALL_TO_ALL:
        return native_exchange(values, number);
    default:
        return DIST_OK;
    }
}

dist_status dist_values_create(dist_values *values, const dist_verifier *verifier)
{
    *values = (dist_values){.verifier = verifier};
    values->first_buffer = calloc((size_t)verifier->ranks + 1, sizeof(size_t));
    if (!values->first_buffer || !dist_sets_create(&values->sets, verifier->ranks))
        return no_memory(values);
    for (int r = 0; r < verifier->ranks; r++)
        values->first_buffer[r + 1] = values->first_buffer[r] + verifier->plan[r]->buffers;
    values->memory = calloc(values->first_buffer[verifier->ranks] + 1, sizeof(dist_intervals));
    values->group = malloc(((size_t)verifier->ranks + 1) * sizeof *values->group);
    for (int g = 0; values->group && g <= verifier->ranks; g++)
        values->group[g] = DIST_NO_OP;
    return values->memory && values->group ? DIST_OK : no_memory(values);
}

void dist_values_destroy(dist_values *values)
{
    if (!values->verifier)
        return;
    size_t buffers = values->memory ? values->first_buffer[values->verifier->ranks] : 0;
    for (size_t b = 0; b < buffers; b++)
        free(values->memory[b].item);
    for (size_t f = 0; f < values->frames; f++)
        free(values->frame[f].elements.item);
    for (size_t m = 0; m < values->matrices; m++)
        free(values->matrix[m].elements.item);
    free(values->memory);
    free(values->matrix);
    free(values->first_buffer);
    free(values->group);
    free(values->frame);
    free(values->left.item);
    free(values->right.item);
    free(values->sum.item);
    free(values->bytes.item);
    free(values->spare.item);
    dist_sets_destroy(&values->sets);
}
