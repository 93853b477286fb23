/* The contract: what memory holds at the start, and what it must hold at the end. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/type.h"
#include "plan/verify_internal.h"

static dist_status check_claim(const dist_verifier *verifier, const char *which, size_t number,
                               const dist_claim *claim)
{
    const dist_plan *plan;
    uint64_t element = verifier->element;
    if (claim->rank < 0 || claim->rank >= verifier->ranks || claim->from >= verifier->ranks)
        return dist_fail(DIST_ERR_PLAN, "%s %zu of the contract names rank %d or %d; there are %d ranks",
                         which, number, claim->rank, claim->from, verifier->ranks);
    if (claim->group < 0 || claim->group > verifier->ranks)
        return dist_fail(DIST_ERR_PLAN, "%s %zu of the contract is in group %d; there are at most %d", which,
                         number, claim->group, verifier->ranks);
    plan = verifier->plan[claim->rank];
    if (claim->buffer >= plan->buffers || plan->buffer[claim->buffer].kind == DIST_BUFFER_STATE)
        return dist_fail(DIST_ERR_PLAN,
                         "%s %zu of the contract is in buffer %" PRIu32
                         " of rank %d, which is none or a state",
                         which, number, claim->buffer, claim->rank);
    uint64_t bytes = plan->buffer[claim->buffer].bytes;
    if (claim->offset > bytes || claim->count > (bytes - claim->offset) / element ||
        claim->offset % element != 0 || claim->first > UINT64_MAX / element - claim->count)
        return dist_fail(DIST_ERR_PLAN,
                         "%s %zu of the contract, %" PRIu64 " %s at byte %" PRIu64
                         ", does not fit %s of rank %d with %" PRIu64 " bytes",
                         which, number, claim->count, dist_type_name(verifier->contract->type), claim->offset,
                         plan->buffer[claim->buffer].name, claim->rank, bytes);
    return DIST_OK;
}

dist_status dist_verify_contract(const dist_verifier *verifier)
{
    const dist_contract *contract = verifier->contract;
    if (!dist_type_valid(contract->type) || contract->divisor < 1)
        return dist_fail(DIST_ERR_PLAN,
                         "the contract has type %s and divisor %d; it needs a type and at least 1",
                         dist_type_name(contract->type), contract->divisor);
    for (size_t i = 0; i < contract->inputs; i++)
        DIST_TRY(check_claim(verifier, "input", i, &contract->input[i]));
    for (size_t i = 0; i < contract->outputs; i++)
        DIST_TRY(check_claim(verifier, "output", i, &contract->output[i]));
    return DIST_OK;
}

static bool join_group(dist_values *values, const dist_claim *claim)
{
    uint32_t *group = &values->group[claim->group], rank = (uint32_t)claim->rank;
    return dist_sets_union(&values->sets, *group == DIST_NO_OP ? rank : *group, rank, group);
}

dist_status dist_values_load(dist_values *values)
{
    const dist_verifier *verifier = values->verifier;
    for (size_t i = 0; i < verifier->contract->inputs; i++) {
        const dist_claim *claim = &verifier->contract->input[i];
        dist_value value = {.kind = DIST_VALUE_ELEMENTS,
                            .position = claim->first * verifier->element,
                            .source = (uint32_t)claim->rank,
                            .detail = 1};
        values->left.count = 0;
        if (claim->group > 0 && !join_group(values, claim))
            return dist_verify_no_memory(verifier);
        if (!dist_intervals_append(&values->left,
                                   (dist_interval){0, claim->count * verifier->element, value}) ||
            !dist_intervals_write(dist_values_memory(values, claim->rank, claim->buffer), claim->offset,
                                  &values->left, &values->spare))
            return dist_verify_no_memory(verifier);
    }
    return DIST_OK;
}

/* The first byte of an output that is wrong. */
typedef struct wrong {
    const dist_claim *claim;
    const dist_plan *plan;
    uint64_t byte;    /* of the buffer */
    uint64_t element; /* the logical element that belongs there */
} wrong;

/* Blames the op that wrote the byte last. */
static dist_status __attribute__((format(printf, 2, 3))) blame(const wrong *w, const char *format, ...)
{
    char sentence[DIST_ERROR_MAX];
    const char *name = w->plan->buffer[w->claim->buffer].name;
    dist_slice byte = dist_slice_of(w->claim->buffer, w->byte, 1);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    for (size_t i = w->plan->ops; i-- > 0;)
        if (dist_slices_overlap(w->plan->op[i].dst, byte))
            return dist_fault(w->plan, i,
                              "is the last to write output element %" PRIu64 " (byte %" PRIu64
                              " of %s), which %s",
                              w->element, w->byte, name, sentence);
    return dist_fail(DIST_ERR_PLAN,
                     "rank %d: no op writes output element %" PRIu64 " (byte %" PRIu64 " of %s), which %s",
                     w->plan->rank, w->element, w->byte, name, sentence);
}

static dist_status blame_undefined(const dist_values *values, const wrong *w, dist_value value)
{
    if (value.detail == DIST_NO_OP)
        return blame(w, "holds nothing defined");
    char text[256];
    dist_op_format(values->verifier->plan[value.source], value.detail, text, sizeof text);
    return blame(w, "stems from undefined bytes that rank %" PRIu32 " op %" PRIu32 " %s reads", value.source,
                 value.detail, text);
}

static dist_status check_group(const dist_values *values, const wrong *w, uint32_t set)
{
    const uint32_t group = values->group[w->claim->group];
    if (group == DIST_NO_OP)
        return blame(w, "is of group %d, of which there is no input", w->claim->group);
    const int rank = dist_sets_differ(&values->sets, set, group);
    if (rank < 0)
        return DIST_OK;
    if (dist_sets_common(&values->sets, group, (uint32_t)rank) < 0)
        return blame(w, "holds the contribution of rank %d, which is not in group %d", rank, w->claim->group);
    return blame(w, "lacks the contribution of rank %d", rank);
}

static dist_status check_contributors(const dist_values *values, const wrong *w, uint32_t set)
{
    int from = w->claim->from;
    if (from < 0 && w->claim->group > 0)
        return check_group(values, w, set);
    if (from < 0) {
        int missing = dist_sets_missing(&values->sets, set);
        return missing < 0 ? DIST_OK : blame(w, "lacks the contribution of rank %d", missing);
    }
    if (set == (uint32_t)from)
        return DIST_OK;
    if (dist_sets_common(&values->sets, set, (uint32_t)from) < 0)
        return blame(w, "should hold the contribution of rank %d, but does not", from);
    return blame(w, "should hold the contribution of rank %d alone", from);
}

static dist_status check_piece(const dist_values *values, const dist_claim *claim, const dist_interval *item)
{
    const dist_verifier *v = values->verifier;
    const wrong w = {claim, v->plan[claim->rank], claim->offset + item->begin,
                     claim->first + item->begin / v->element};
    dist_value value = item->value;
    if (value.kind == DIST_VALUE_UNDEFINED)
        return blame_undefined(values, &w, value);
    if (value.kind == DIST_VALUE_FRAME)
        return blame(&w, "holds encoded bytes");
    if (value.kind == DIST_VALUE_FACTOR)
        return blame(&w, "holds a factor");
    if (value.position != w.element * v->element)
        return blame(&w, "holds element %" PRIu64, value.position / v->element);
    DIST_TRY(check_contributors(values, &w, value.source));
    if (value.detail != (uint32_t)v->contract->divisor)
        return blame(&w, "is divided by %" PRIu32 " instead of %d", value.detail, v->contract->divisor);
    return DIST_OK;
}

dist_status dist_values_check(dist_values *values)
{
    const dist_verifier *v = values->verifier;
    for (size_t i = 0; i < v->contract->outputs; i++) {
        const dist_claim *claim = &v->contract->output[i];
        const dist_intervals *memory = dist_values_memory(values, claim->rank, claim->buffer);
        if (!dist_intervals_read(memory, claim->offset, claim->offset + claim->count * v->element,
                                 &values->left))
            return dist_verify_no_memory(v);
        for (size_t p = 0; p < values->left.count; p++)
            DIST_TRY(check_piece(values, claim, &values->left.item[p]));
    }
    return DIST_OK;
}

static dist_status begin(const dist_verifier *verifier, void **state)
{
    dist_values *values = *state = calloc(1, sizeof *values);
    if (!values)
        return dist_verify_no_memory(verifier);
    DIST_TRY(dist_values_create(values, verifier));
    return dist_values_load(values);
}

static dist_status local(void *state, int rank, uint32_t op)
{
    return dist_values_local(state, rank, op);
}

static dist_status message(void *state, int sender, uint32_t send, int receiver, uint32_t recv)
{
    return dist_values_message(state, sender, send, receiver, recv);
}

static dist_status native(void *state, size_t number)
{
    return dist_values_native(state, number);
}

static dist_status check(void *state)
{
    return dist_values_check(state);
}

static void end(void *state)
{
    if (state)
        dist_values_destroy(state);
    free(state);
}

const dist_domain dist_domain_values = {begin, local, message, native, check, end};
