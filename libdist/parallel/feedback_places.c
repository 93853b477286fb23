#include "parallel/feedback_places.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static void add_place(void *argument, const dist_kept *kept)
{
    dist_kept_places *p = argument;
    if (p->places == p->capacity) {
        const size_t capacity = p->capacity ? 2 * p->capacity : 64;
        dist_kept_place *grown = realloc(p->place, capacity * sizeof *grown);
        if (!grown) {
            p->failed = true;
            return;
        }
        p->place = grown;
        p->capacity = capacity;
    }
    const bool factor = kept->segment.kind == DIST_KEPT_FACTOR; /* the next may be that of the other side */
    const uint64_t room = factor ? dist_lowrank_count(&kept->shape) : kept->segment.count;
    p->place[p->places++] = (dist_kept_place){.kept = *kept, .at = p->count, .room = room};
    p->count += room;
}

/* Which elements have a place at all. */
static void note_kept(dist_kept_places *p)
{
    for (size_t t = 0; t < p->places; t++) {
        const dist_kept *kept = &p->place[t].kept;
        if (kept->segment.kind == DIST_KEPT_SITE || kept->segment.kind == DIST_KEPT_SUM)
            p->kept_in[2 * kept->bucket + (kept->segment.kind == DIST_KEPT_SUM)] = 1;
        for (uint64_t i = 0, first = 0; i < p->dp->parameters;
             first += dist_parameter_span(&p->dp->parameter[i++]))
            if (kept->segment.kind == DIST_KEPT_MATRIX && first == kept->segment.first &&
                p->dp->parameter[i].count == kept->segment.count)
                p->matrix[i] = true;
    }
}

dist_status dist_kept_places_create(dist_kept_places *p, const dist_data_parallel *dp)
{
    *p = (dist_kept_places){.dp = dp};
    dist_kept_walk(dp, add_place, p);
    p->values = malloc((p->count ? p->count : 1) * sizeof *p->values);
    p->kept_in = calloc(2 * dp->buckets + 1, sizeof *p->kept_in);
    p->matrix = calloc(dp->parameters + 1, sizeof *p->matrix);
    if (p->failed || !p->values || !p->kept_in || !p->matrix)
        return dist_fail(DIST_ERR_MEMORY, "no memory to load a state of %" PRIu64 " values", p->count);
    for (uint64_t i = 0; i < p->count; i++)
        p->values[i] = -0.0f; /* what changes nothing that is added to it, not even the sign of a zero */
    note_kept(p);
    return DIST_OK;
}

void dist_kept_places_free(dist_kept_places *p)
{
    free(p->place);
    free(p->values);
    free(p->kept_in);
    free(p->matrix);
}

/* All ranks wrote the same one. */
static void take_factor(const dist_kept_places *p, dist_kept_place *to, const dist_kept_slice *slice,
                        const char *values)
{
    const dist_segment *given = &slice->segment;
    if (given->first != to->kept.segment.first || given->width != to->kept.shape.rank ||
        given->count != dist_lowrank_factor_count(&to->kept.shape, given->owner))
        return;
    memcpy(p->values + to->at + slice->from, values, slice->n * sizeof(float));
    to->kept.segment.owner = given->owner;
    to->given = true;
}

/* Adds the values of elements [first, first + n) to what of them lies at a place. */
static void add(float *sum, const dist_segment *kept, float share, uint64_t first, uint64_t n,
                const char *values)
{
    const uint64_t from = first > kept->first ? first : kept->first;
    for (uint64_t i = from; i < first + n && i < kept->first + kept->count; i++) {
        float value;
        memcpy(&value, values + sizeof value * (i - first), sizeof value);
        sum[i - kept->first] += share * value;
    }
}

/* Counts what has no place in this job, so that it can be said. */
static void count_dropped(dist_kept_places *p, uint64_t first, uint64_t n, const char *values)
{
    const dist_data_parallel *dp = p->dp;
    float value;
    for (uint64_t i = 0, begin = 0, end; i < dp->parameters; i++, begin = end) {
        end = begin + dist_parameter_span(&dp->parameter[i]);
        for (uint64_t at = first > begin ? first : begin;
             !p->matrix[i] && !p->kept_in[2 * dp->place[i].bucket] && at < end && at < first + n; at++) {
            memcpy(&value, values + sizeof value * (at - first), sizeof value);
            p->dropped += value != 0;
        }
    }
}

void dist_kept_give(dist_kept_places *p, const dist_part *from, const dist_kept_slice *slice,
                    const char *values)
{
    const bool factor = slice->segment.kind == DIST_KEPT_FACTOR;
    const uint64_t first = slice->segment.first + slice->from;
    for (size_t t = 0; t < p->places; t++) {
        dist_kept_place *to = &p->place[t];
        const bool sums = p->kept_in[2 * to->kept.bucket + 1];
        if ((to->kept.segment.kind == DIST_KEPT_FACTOR) != factor)
            continue;
        if (factor) {
            take_factor(p, to, slice, values);
            continue;
        }
        const float share =
            dist_kept_share(from, &slice->segment, p->dp->setup.spec.topology, &to->kept.segment, sums);
        if (share != 0)
            add(p->values + to->at, &to->kept.segment, share, first, slice->n, values);
    }
    if (!factor)
        count_dropped(p, first, slice->n, values);
}

/* One too large for float32 is dropped, because it would never go away. */
static float bounded(float value)
{
    return isfinite(value) ? value : 0;
}

/* Places [begin, end) are all of one op. What no parameter gave is 0. */
static void store_op(const dist_kept_places *p, size_t begin, size_t end)
{
    const dist_kept *kept = &p->place[begin].kept;
    float block[DIST_FEEDBACK_BLOCK];
    for (uint64_t at = 0; at < kept->elements; at += DIST_FEEDBACK_BLOCK) {
        const uint64_t left = kept->elements - at,
                       n = left < DIST_FEEDBACK_BLOCK ? left : DIST_FEEDBACK_BLOCK;
        memset(block, 0, sizeof block);
        for (size_t t = begin; t < end; t++) {
            const dist_kept *k = &p->place[t].kept;
            const float *values = p->values + p->place[t].at;
            for (uint64_t i = k->offset > at ? k->offset : at; i < at + n && i < k->offset + k->segment.count;
                 i++)
                block[i - at] = bounded(values[i - k->offset]);
        }
        dist_kept_store(kept, at, n, block);
    }
}

static void store_matrix(const dist_kept_places *p, const dist_kept_place *error,
                         const dist_kept_place *factor)
{
    dist_lowrank_state *state = error->kept.memory;
    const uint64_t room = dist_lowrank_count(&error->kept.shape);
    float *kept = dist_lowrank_error(state), *basis = dist_lowrank_factor(&error->kept.shape, state);
    for (uint64_t i = 0; i < error->room; i++)
        kept[i] = bounded(p->values[error->at + i]);
    memset(basis, 0, room * sizeof *basis);
    state->steps = factor->given ? factor->kept.segment.owner : 0;
    if (factor->given)
        memcpy(basis, p->values + factor->at,
               dist_lowrank_factor_count(&factor->kept.shape, state->steps) * sizeof *basis);
}

void dist_kept_places_store(const dist_kept_places *p)
{
    for (size_t t = 0, end; t < p->places; t = end) {
        end = t + 1;
        while (end < p->places && p->place[end].kept.memory == p->place[t].kept.memory)
            end++;
        if (p->place[t].kept.segment.kind == DIST_KEPT_MATRIX)
            store_matrix(p, &p->place[t], &p->place[t + 1]);
        else
            store_op(p, t, end);
    }
}
