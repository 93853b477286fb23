#include "parallel/feedback.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/fpmode.h"
#include "codec/tables.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What the ops of one task are visited with. */
typedef struct walk {
    const dist_data_parallel *dp;
    const dist_task *task;
    size_t bucket;
    dist_kept_visit *visit;
    void *argument;
} walk;

static dist_kept kept_of(const walk *w, const dist_op *op)
{
    const dist_plan *plan = dist_task_plan(w->task);
    return (dist_kept){.bucket = w->bucket,
                       .codec = &plan->codec,
                       .memory = (char *)dist_task_buffer(w->task, op->state.buffer) + op->state.offset,
                       .elements = op->count};
}

/* An encode takes its values from the bucket, where several parameters may lie in them. What is kept of the gap behind
 * one comes with it: a rotation moves a part of what it rounds away there. */
static void visit_encode(const walk *w, const dist_op *op)
{
    const dist_data_parallel *dp = w->dp;
    const uint64_t size = dist_type_bytes((dist_type)op->type);
    const uint64_t begin = op->src.offset / size, end = begin + op->count;
    dist_kept kept = kept_of(w, op);
    kept.segment.kind = op->stream & 1 ? DIST_KEPT_SUM : DIST_KEPT_SITE;
    if (kept.segment.kind == DIST_KEPT_SITE)
        kept.segment.owner = (uint64_t)dp->setup.spec.topology->place[dp->setup.spec.rank].site;
    for (uint64_t i = 0, first = 0, span; i < dp->parameters; i++, first += span) {
        span = dist_parameter_span(&dp->parameter[i]);
        const uint64_t here = dp->place[i].offset / size;
        const uint64_t from = begin > here ? begin : here, to = least(end, here + span);
        if (dp->place[i].bucket != w->bucket || from >= to)
            continue;
        kept.segment.first = first + from - here;
        kept.segment.count = to - from;
        kept.offset = from - begin;
        w->visit(w->argument, &kept);
    }
}

/* The first element of the matrix at `slice`: gradients of the program's are USER buffers from 1 on, in order. Those in device
 * memory are worked on in pinned copies. */
static uint64_t matrix_at(const walk *w, dist_slice slice)
{
    const dist_data_parallel *dp = w->dp;
    const uint32_t copies = dist_task_plan(w->task)->buffer[slice.buffer].copies;
    slice.buffer = copies ? copies - 1 : slice.buffer;
    uint64_t first = 0;
    uint32_t user = 0;
    for (size_t i = 0; i < dp->parameters; i++) {
        const dist_parameter *p = &dp->parameter[i];
        const bool here = dp->place[i].bucket == w->bucket && p->count > 0;
        user += here && p->gradient;
        if (here &&
            (p->gradient ? slice.buffer == user : slice.buffer == 0 && slice.offset == dp->place[i].offset))
            break;
        first += dist_parameter_span(p);
    }
    return first;
}

static void visit_project(const walk *w, const dist_op *op)
{
    dist_kept kept = kept_of(w, op);
    const dist_lowrank_state *state = kept.memory;
    kept.shape = dist_op_matrix(dist_task_plan(w->task), op);
    kept.segment = (dist_segment){.kind = DIST_KEPT_MATRIX,
                                  .owner = (uint64_t)w->dp->setup.spec.rank,
                                  .first = matrix_at(w, op->src),
                                  .count = op->count};
    w->visit(w->argument, &kept);
    kept.segment.kind = DIST_KEPT_FACTOR;
    kept.segment.width = kept.shape.rank;
    kept.segment.owner = state->steps;
    kept.segment.count = dist_lowrank_factor_count(&kept.shape, state->steps);
    w->visit(w->argument, &kept);
}

static void walk_task(const walk *w)
{
    const dist_plan *plan = w->task ? dist_task_plan(w->task) : NULL;
    for (size_t i = 0; plan && i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        if (op->kind == DIST_OP_ENCODE && op->state.buffer != DIST_NO_BUFFER && plan->codec.feedback)
            visit_encode(w, op);
        else if (op->kind == DIST_OP_PROJECT)
            visit_project(w, op);
    }
}

void dist_kept_walk(const dist_data_parallel *dp, dist_kept_visit *visit, void *argument)
{
    walk w = {.dp = dp, .visit = visit, .argument = argument};
    for (w.bucket = 0; w.bucket < dp->buckets; w.bucket++) {
        w.task = dp->bucket[w.bucket].task;
        walk_task(&w);
        w.task = dp->bucket[w.bucket].coded;
        walk_task(&w);
    }
}

static char *kept_at(const dist_kept *kept, uint64_t element)
{
    return (char *)kept->memory + dist_feedback_bytes(kept->codec->feedback, element);
}

static void read_feedback(const dist_kept *kept, char *values)
{
    const dist_feedback form = kept->codec->feedback;
    const uint64_t begin = kept->offset, end = begin + kept->segment.count;
    float e[DIST_FEEDBACK_BLOCK];
    if (form == DIST_FEEDBACK_FP32) {
        memcpy(values, kept_at(kept, begin), 4 * kept->segment.count);
        return;
    }
    for (uint64_t at = begin / DIST_FEEDBACK_BLOCK * DIST_FEEDBACK_BLOCK; at < end;
         at += DIST_FEEDBACK_BLOCK) {
        const uint64_t n = least(DIST_FEEDBACK_BLOCK, kept->elements - at);
        const uint64_t from = begin > at ? begin - at : 0, to = least(n, end - at);
        kept->codec->table->load_feedback(form, kept_at(kept, at), n, e);
        memcpy(values + 4 * (at + from - begin), e + from, 4 * (to - from));
    }
}

void dist_kept_read(const dist_kept *kept, void *values)
{
    const uint64_t mode = dist_fpmode_default();
    const uint64_t bytes = 4 * kept->segment.count;
    if (kept->segment.kind == DIST_KEPT_MATRIX)
        memcpy(values, dist_lowrank_error(kept->memory), bytes);
    else if (kept->segment.kind == DIST_KEPT_FACTOR)
        memcpy(values, dist_lowrank_factor(&kept->shape, kept->memory), bytes);
    else
        read_feedback(kept, values);
    dist_fpmode_set(mode);
}

/* Whether codes with this scale are exactly the values; then they are written. */
static bool store_scaled(float scale, const float *e, uint64_t n, char *at)
{
    int8_t code[DIST_FEEDBACK_BLOCK];
    for (uint64_t i = 0; i < n; i++) {
        const float exact = e[i] / scale;
        code[i] = (int8_t)(exact >= -127.5f && exact <= 127.5f ? lrintf(exact) : 0);
        if ((float)code[i] * scale != e[i])
            return false;
    }
    memcpy(at, &scale, sizeof scale);
    memcpy(at + sizeof scale, code, n);
    return true;
}

/* The scale of a block follows from its largest value, which is 127 times the scale, rounded: one that was kept
 * before may come out a unit in the last place off. */
static void store_block(const dist_codec *codec, const float *e, uint64_t n, char *at)
{
    float again[DIST_FEEDBACK_BLOCK], scale;
    codec->table->store_feedback(codec->feedback, e, n, at);
    codec->table->load_feedback(codec->feedback, at, n, again);
    if (codec->feedback != DIST_FEEDBACK_INT8 || memcmp(again, e, n * sizeof *e) == 0)
        return;
    memcpy(&scale, at, sizeof scale);
    if (scale > 0 && !store_scaled(nextafterf(scale, 0), e, n, at))
        store_scaled(nextafterf(scale, INFINITY), e, n, at);
}

void dist_kept_store(const dist_kept *kept, uint64_t from, uint64_t n, const float *values)
{
    const uint64_t mode = dist_fpmode_default();
    if (kept->codec->feedback == DIST_FEEDBACK_FP32)
        memcpy(kept_at(kept, from), values, n * sizeof *values);
    else
        for (uint64_t at = 0; at < n; at += DIST_FEEDBACK_BLOCK)
            store_block(kept->codec, values + at, least(DIST_FEEDBACK_BLOCK, n - at),
                        kept_at(kept, from + at));
    dist_fpmode_set(mode);
}

float dist_kept_share(const dist_part *from, const dist_segment *given, const dist_topology *to,
                      const dist_segment *kept, bool sums)
{
    const bool average = from->reduction == DIST_AVERAGE;
    const uint64_t ranks = (uint64_t)to->ranks, sites = (uint64_t)to->sites;
    const bool sum = given->kind == DIST_KEPT_SUM, matrix = given->kind == DIST_KEPT_MATRIX;
    float share = average ? (float)((double)ranks / (sum ? 1 : from->ranks)) : 1;
    uint64_t rank = matrix ? given->owner % ranks : 0, site;
    if (matrix) {
        site = (uint64_t)to->place[rank].site;
    } else {
        site = sum ? 0 : given->owner % sites;
        rank = (uint64_t)dist_topology_rank(to, (int)site, 0);
    }
    if (given->kind == DIST_KEPT_FACTOR)
        return 0;
    switch (kept->kind) {
    case DIST_KEPT_SITE:
        return kept->owner == site && !(sum && sums) ? share : 0;
    case DIST_KEPT_SUM:
        return sum ? 1 : 0;
    case DIST_KEPT_MATRIX:
        return kept->owner == rank ? share : 0;
    default:
        return 0;
    }
}

static uint64_t hash_word(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

dist_part dist_part_of(const dist_data_parallel *dp)
{
    const dist_spec *spec = &dp->setup.spec;
    dist_part part = {.hash = hash_word(1, dp->parameters),
                      .steps = dp->steps,
                      .ranks = (uint32_t)spec->topology->ranks,
                      .rank = (uint32_t)spec->rank,
                      .sites = (uint32_t)spec->topology->sites,
                      .reduction = spec->reduction,
                      .parameters = (uint32_t)dp->parameters};
    for (size_t i = 0; i < dp->parameters; i++) {
        part.elements += dist_parameter_span(&dp->parameter[i]);
        part.hash = hash_word(hash_word(part.hash, dp->parameter[i].count), dp->parameter[i].type);
        for (const char *c = dp->name[i]; *c; c++)
            part.hash = hash_word(part.hash, (unsigned char)*c);
    }
    return part;
}

bool dist_dp_is_between_steps(const dist_data_parallel *dp)
{
    for (size_t i = 0; i < dp->parameters; i++)
        if (dp->ready[i] || dp->round[i] > 0)
            return false;
    return true;
}

/* The same on all ranks: one without feedback of its own writes a part too, so that none is missed. */
static bool keeps(const dist_data_parallel *dp)
{
    const dist_codec *codec = &dp->setup.spec.codec;
    bool coded = false;
    for (size_t i = 0; i < dp->parameters; i++) {
        const dist_type type = dp->parameter[i].type;
        coded |= dp->parameter[i].count > 0 &&
                 (type == DIST_FLOAT32 || type == DIST_FLOAT16 || type == DIST_BFLOAT16);
    }
    return coded && dp->setup.spec.topology->sites > 1 && codec->kind != DIST_CODEC_NONE &&
           (codec->feedback || codec->stochastic || codec->kind == DIST_CODEC_INT4_HADAMARD ||
            codec->dense > 0 || codec->kind == DIST_CODEC_POWERSGD);
}

static void add_bytes(void *argument, const dist_kept *kept)
{
    *(uint64_t *)argument += DIST_SEGMENT_HEADER + 4 * kept->segment.count;
}

uint64_t dist_dp_state_bytes(const dist_data_parallel *dp)
{
    uint64_t bytes = DIST_PART_HEADER;
    if (!keeps(dp))
        return 0;
    dist_kept_walk(dp, add_bytes, &bytes);
    return bytes;
}

typedef struct writing {
    char *at;
    uint32_t segments;
} writing;

static void write_kept(void *argument, const dist_kept *kept)
{
    writing *w = argument;
    dist_segment_write(w->at, &kept->segment);
    dist_kept_read(kept, w->at + DIST_SEGMENT_HEADER);
    w->at += DIST_SEGMENT_HEADER + 4 * kept->segment.count;
    w->segments++;
}

dist_status dist_dp_state_save(dist_data_parallel *dp, void *state, uint64_t bytes)
{
    dist_part part = dist_part_of(dp);
    writing w = {.at = (char *)state + DIST_PART_HEADER};
    part.bytes = dist_dp_state_bytes(dp);
    if (!dist_dp_is_between_steps(dp))
        return dist_fail(DIST_ERR_STATE, "the state is saved while gradients are being averaged; call "
                                         "dist_data_parallel_wait first");
    if (part.bytes == 0)
        return DIST_OK;
    if (dp->setup.member)
        return dist_fail(DIST_ERR_UNSUPPORTED, "the state of averages in groups of ranks cannot be saved");
    if (!state || bytes != part.bytes)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "the state takes %" PRIu64 " bytes (dist_data_parallel_state_bytes), not %" PRIu64
                         "%s",
                         part.bytes, bytes, state ? "" : ", and a place for them");
    DIST_TRY(dist_dp_pull(dp));
    dist_kept_walk(dp, write_kept, &w);
    part.segments = w.segments;
    dist_part_seal(state, &part);
    return DIST_OK;
}
