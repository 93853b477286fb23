/* PROJECT and EXPAND: a factor stems from all elements of a matrix and from those who contributed to it, so it is worth
 * something only as a whole, with the state of the same matrix. */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "plan/verify_internal.h"

static const dist_op *op_of(dist_doing d)
{
    return &d.plan->op[d.op];
}

static bool same_elements(const dist_intervals *a, const dist_intervals *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->item[i].begin != b->item[i].begin || a->item[i].end != b->item[i].end ||
            a->item[i].value.position != b->item[i].value.position)
            return false;
    return true;
}

static bool same_shape(const dist_projected *matrix, dist_doing d)
{
    const dist_lowrank a = dist_op_matrix(matrix->plan, &matrix->plan->op[matrix->op]),
                       b = dist_op_matrix(d.plan, op_of(d));
    return a.rows == b.rows && a.columns == b.columns && a.rank == b.rank;
}

/* The number of the matrix of these elements. */
static dist_status number_matrix(dist_values *values, dist_doing d, const dist_intervals *elements,
                                 uint32_t *number)
{
    for (size_t m = 0; m < values->matrices; m++)
        if (same_shape(&values->matrix[m], d) && same_elements(&values->matrix[m].elements, elements)) {
            *number = (uint32_t)m;
            return DIST_OK;
        }
    if (!dist_grow(&values->matrix, &values->matrix_capacity, values->matrices + 1, sizeof(dist_projected)))
        return dist_verify_no_memory(values->verifier);
    dist_projected *matrix = &values->matrix[values->matrices];
    *matrix = (dist_projected){.plan = d.plan, .op = d.op};
    if (!dist_grow(&matrix->elements.item, &matrix->elements.capacity, elements->count,
                   sizeof(dist_interval)))
        return dist_verify_no_memory(values->verifier);
    memcpy(matrix->elements.item, elements->item, elements->count * sizeof(dist_interval));
    matrix->elements.count = elements->count;
    *number = (uint32_t)values->matrices++;
    return DIST_OK;
}

/* The first undefined piece: it spoils all that is computed from the list. */
static const dist_value *undefined_in(const dist_intervals *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->item[i].value.kind == DIST_VALUE_UNDEFINED)
            return &list->item[i].value;
    return NULL;
}

/* All bytes of the slice come to hold `value`, counted from its first. */
static dist_status write_value(dist_values *values, dist_doing d, dist_slice slice, dist_value value)
{
    values->sum.count = 0;
    if (!dist_intervals_append(&values->sum, (dist_interval){0, slice.bytes, value}))
        return dist_verify_no_memory(values->verifier);
    return dist_values_write(values, d, slice, &values->sum);
}

/* One set of contributors and one divisor for all elements, of which *value gets those. */
static dist_status check_alike(const dist_values *values, dist_doing d, const dist_intervals *elements,
                               dist_value *value)
{
    const dist_value first = elements->item[0].value;
    const uint64_t element = values->verifier->element;
    for (size_t i = 0; i < elements->count; i++) {
        const dist_value v = elements->item[i].value;
        if (v.kind != DIST_VALUE_ELEMENTS)
            return dist_fault(d.plan, d.op, "takes a factor for elements of a matrix");
        if (v.source != first.source || v.detail != first.detail)
            return dist_fault(d.plan, d.op,
                              "element %" PRIu64
                              " of its matrix has other contributions than element %" PRIu64
                              ", or another divisor",
                              v.position / element, first.position / element);
    }
    *value = (dist_value){.kind = DIST_VALUE_FACTOR, .source = first.source, .detail = first.detail};
    return DIST_OK;
}

/* The feedback of one matrix and set of contributors must not be added to another. */
static dist_status keep_state(dist_values *values, dist_doing d, dist_value value)
{
    DIST_TRY(dist_values_read(values, d, op_of(d)->state, &values->right));
    for (size_t i = 0; i < values->right.count; i++) {
        const dist_value v = values->right.item[i].value;
        if (v.kind != DIST_VALUE_UNDEFINED && (v.matrix != value.matrix || v.source != value.source ||
                                               v.position != values->right.item[i].begin))
            return dist_fault(d.plan, d.op, "its state is that of another matrix or sum");
    }
    return write_value(values, d, op_of(d)->state, value);
}

dist_status dist_values_project(dist_values *values, dist_doing d)
{
    const dist_op *op = op_of(d);
    dist_intervals *elements = &values->left;
    dist_value value;
    DIST_TRY(dist_values_read_elements(values, d, op->src, DIST_FLOAT32, elements));
    const dist_value *undefined = undefined_in(elements);
    if (undefined)
        return write_value(values, d, op->dst, *undefined);
    DIST_TRY(check_alike(values, d, elements, &value));
    DIST_TRY(number_matrix(values, d, elements, &value.matrix));
    DIST_TRY(keep_state(values, d, value));
    return write_value(values, d, op->dst, value);
}

/* `factor` is a whole factor of a matrix of this shape, all of whose elements have the same contributions. */
static dist_status check_factor(const dist_values *values, dist_doing d, const dist_intervals *factor)
{
    const dist_value first = factor->item[0].value;
    if (first.kind != DIST_VALUE_FACTOR)
        return dist_fault(d.plan, d.op, "takes elements for a factor");
    if (first.position != 0)
        return dist_fault(d.plan, d.op, "src begins at byte %" PRIu64 " of a factor", first.position);
    if (factor->count > 1)
        return dist_fault(d.plan, d.op,
                          "the factor's elements from byte %" PRIu64
                          " on have other contributions, or are of another matrix",
                          factor->item[0].end);
    const dist_projected *matrix = &values->matrix[first.matrix];
    if (!same_shape(matrix, d))
        return dist_fault(d.plan, d.op,
                          "its matrix has another shape or rank than that which rank %d op %" PRIu32
                          " projected",
                          matrix->plan->rank, matrix->op);
    return DIST_OK;
}

dist_status dist_values_expand(dist_values *values, dist_doing d)
{
    const dist_op *op = op_of(d);
    dist_intervals *factor = &values->left, *state = &values->right;
    DIST_TRY(dist_values_read_elements(values, d, op->src, DIST_FLOAT32, factor));
    const dist_value *undefined = undefined_in(factor);
    if (undefined)
        return write_value(values, d, op->dst, *undefined);
    DIST_TRY(check_factor(values, d, factor));
    const dist_value value = factor->item[0].value;
    DIST_TRY(dist_values_read(values, d, op->state, state));
    if (state->count != 1 || state->item[0].value.kind != DIST_VALUE_FACTOR ||
        state->item[0].value.matrix != value.matrix || state->item[0].value.position != 0)
        return dist_fault(d.plan, d.op, "its state is not that of the matrix whose factor it takes");
    const dist_intervals *elements = &values->matrix[value.matrix].elements;
    values->sum.count = 0;
    for (size_t i = 0; i < elements->count; i++) {
        dist_interval item = elements->item[i];
        item.value.source = value.source;
        item.value.detail = value.detail;
        if (!dist_intervals_append(&values->sum, item))
            return dist_verify_no_memory(values->verifier);
    }
    return dist_values_write(values, d, op->dst, &values->sum);
}
