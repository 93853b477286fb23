/* One step: the program's functions, called as the plan says. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "parallel/pipeline_internal.h"

static dist_parcel *parcel_at(const dist_task *task, dist_slice slice)
{
    if (slice.buffer == DIST_NO_BUFFER)
        return NULL;
    return (dist_parcel *)(void *)((char *)dist_task_buffer(task, slice.buffer) + slice.offset);
}

static void *data_of(dist_parcel *parcel)
{
    return parcel ? parcel + 1 : NULL;
}

static size_t bytes_of(const dist_parcel *parcel)
{
    return parcel ? (size_t)parcel->bytes : 0;
}

/* What one CALL works on. */
typedef struct work {
    dist_pipeline *pipeline;
    dist_pipeline_stage_state *state;
    dist_parcel *dst;
    dist_pipeline_call call;
} work;

static dist_status run(work *w, dist_pipeline_function *function, const char *name)
{
    const dist_status status = function(w->pipeline->options.user, &w->call);
    if (status < 0)
        return dist_fail(status, "%s of stage %d, microbatch %d, returned %s", name, w->call.stage,
                         w->call.microbatch, dist_status_name(status));
    return DIST_OK;
}

/* How much the program wrote is how much travels. */
static dist_status put_size(const work *w, size_t bytes, size_t room, const char *what)
{
    if (bytes > room)
        return dist_fail(DIST_ERR_ARGUMENT, "stage %d, microbatch %d: %zu bytes of %s; there is room for %zu",
                         w->call.stage, w->call.microbatch, bytes, what, room);
    if (w->dst)
        w->dst->bytes = bytes;
    if (w->dst && w->pipeline->setup.codec.kind != DIST_CODEC_NONE) /* all of it is encoded */
        memset((char *)data_of(w->dst) + bytes, 0, room - bytes);
    return DIST_OK;
}

/* What came says how long it is; it is not believed beyond the room. */
static dist_status check_size(const work *w, const dist_parcel *came, size_t room)
{
    if (!came || came->bytes <= room)
        return DIST_OK;
    return dist_fail(DIST_ERR_FRAME,
                     "stage %d, microbatch %d: what came says that it has %llu bytes; there is room for %zu",
                     w->call.stage, w->call.microbatch, (unsigned long long)came->bytes, room);
}

static dist_status forward(work *w, size_t room)
{
    w->call.output = data_of(w->dst);
    w->call.output_bytes = w->dst ? room : 0;
    *w->call.stash = NULL;
    DIST_TRY(run(w, w->pipeline->options.forward, "forward"));
    return w->dst ? put_size(w, w->call.output_bytes, room, "output") : DIST_OK;
}

static dist_status backward_input(work *w, const dist_op *op, const dist_task *task, size_t room)
{
    const dist_pipeline_options *o = &w->pipeline->options;
    dist_parcel *gradient = parcel_at(task, op->src);
    DIST_TRY(check_size(w, gradient, room));
    if (o->recompute)
        DIST_TRY(run(w, o->recompute, "recompute"));
    w->call.output_gradient = data_of(gradient);
    w->call.output_gradient_bytes = bytes_of(gradient);
    w->call.input_gradient = data_of(w->dst);
    w->call.input_gradient_bytes = w->dst ? w->call.input_bytes : 0;
    w->call.first = w->state->inputs == 0;
    w->call.last = ++w->state->inputs == o->microbatches;
    DIST_TRY(run(w, o->backward_input, "backward_input"));
    return w->dst ? put_size(w, w->call.input_gradient_bytes, room, "input gradient") : DIST_OK;
}

static dist_status backward_weight(work *w)
{
    const dist_pipeline_options *o = &w->pipeline->options;
    w->call.output_gradient = w->call.input_gradient = NULL;
    w->call.output_gradient_bytes = w->call.input_gradient_bytes = 0;
    w->call.first = w->state->weights == 0;
    w->call.last = ++w->state->weights == o->microbatches;
    return o->backward_weight ? run(w, o->backward_weight, "backward_weight") : DIST_OK;
}

/* After the last call of a microbatch its stash may go; after the last of all, the gradients. */
static dist_status end_microbatch(work *w)
{
    const dist_pipeline_options *o = &w->pipeline->options;
    dist_pipeline_stage_state *state = w->state;
    if (o->release)
        DIST_TRY(run(w, o->release, "release"));
    *w->call.stash = NULL;
    if (state->weights < o->microbatches)
        return DIST_OK;
    for (size_t i = 0; state->averages && i < state->parameters; i++)
        DIST_TRY(dist_dp_ready(state->averages, i));
    return DIST_OK;
}

/* Fused backwards count as both; schedules that split them call backward_weight in WEIGHT or FULL. */
static dist_status called(void *user, const dist_task *task, const dist_op *op)
{
    dist_pipeline *p = user;
    dist_pipeline_stage_state *state = &p->state[p->chunk_of[op->stage]];
    const bool is_forward = op->call == DIST_CALL_FORWARD, split = p->layout.schedule->split;
    const size_t room = (size_t)p->options.boundary_count * dist_type_bytes(p->options.boundary_type);
    dist_parcel *input = parcel_at(task, is_forward ? op->src : op->state);
    work w = {.pipeline = p,
              .state = state,
              .dst = parcel_at(task, op->dst),
              .call = {.stage = (int)op->stage,
                       .microbatch = (int)op->microbatch,
                       .input = data_of(input),
                       .input_bytes = bytes_of(input),
                       .stash = &state->stash[op->microbatch]}};
    DIST_TRY(check_size(&w, input, room));
    if (is_forward)
        return forward(&w, room);
    if (op->call != DIST_CALL_WEIGHT)
        DIST_TRY(backward_input(&w, op, task, room));
    if (split && op->call == DIST_CALL_BACKWARD)
        return DIST_OK;
    DIST_TRY(backward_weight(&w));
    return end_microbatch(&w);
}

static void begin(dist_pipeline *p)
{
    for (int c = 0; c < p->layout.schedule->chunks; c++)
        p->state[c].inputs = p->state[c].weights = 0;
}

static void count(dist_pipeline *p, int64_t began, int64_t served)
{
    const dist_task_stats *task = dist_task_stats_of(p->task);
    p->stats.steps++;
    p->stats.span = dist_seconds(served - began);
    p->stats.busy = dist_seconds(task->calls);
    p->stats.exposed = dist_seconds(dist_now() - served);
    p->stats.bytes_inside = task->bytes_inside;
    p->stats.bytes_across = task->bytes_across;
    for (int c = 0; c < p->layout.schedule->chunks; c++) {
        dist_data_parallel_stats averages;
        if (!p->state[c].averages)
            continue;
        dist_dp_stats(p->state[c].averages, &averages);
        p->stats.bytes_inside += averages.bytes_inside;
        p->stats.bytes_across += averages.bytes_across;
    }
}

dist_status dist_pp_step(dist_pipeline *p)
{
    const int64_t began = dist_now();
    begin(p);
    DIST_TRY(dist_task_serve(p->task, called, p));
    const int64_t served = dist_now();
    for (int c = 0; c < p->layout.schedule->chunks; c++)
        if (p->state[c].averages)
            DIST_TRY(dist_dp_wait(p->state[c].averages));
    count(p, began, served);
    return DIST_OK;
}
