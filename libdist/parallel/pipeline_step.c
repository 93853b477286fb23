/* One step: the program's functions, called as the plan says. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "parallel/pipeline_internal.h"

/* A boundary: its head, which is the host's, and the bytes behind it, which may be in device memory. */
typedef struct boundary {
    dist_parcel *head; /* NULL: there is none */
    void *data;
} boundary;

static boundary boundary_at(const dist_task *task, dist_slice slice)
{
    if (slice.buffer == DIST_NO_BUFFER)
        return (boundary){NULL, NULL};
    const uint32_t copy = dist_task_plan(task)->buffer[slice.buffer].copy;
    char *const whole = (char *)dist_task_buffer(task, slice.buffer) + slice.offset;
    char *const head = copy ? (char *)dist_task_buffer(task, copy - 1) + slice.offset : whole;
    return (boundary){(dist_parcel *)(void *)head, whole + sizeof(dist_parcel)};
}

static size_t bytes_of(boundary b)
{
    return b.head ? (size_t)b.head->bytes : 0;
}

/* What one CALL works on. */
typedef struct work {
    dist_pipeline *pipeline;
    dist_pipeline_stage_state *state;
    boundary dst;
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

/* Zeros behind what the program wrote, where all of it is encoded. */
static dist_status clear_rest(const work *w, size_t bytes, size_t room)
{
    const dist_pipeline *p = w->pipeline;
    char *const rest = (char *)w->dst.data + bytes;
    if (p->setup.codec.kind == DIST_CODEC_NONE || bytes == room)
        return DIST_OK;
    if (dist_pp_on_device(p))
        return dist_gpu_check(p->setup.gpu, p->setup.gpu->cuda->zero(rest, room - bytes, p->options.stream),
                              "clearing the rest of a boundary");
    memset(rest, 0, room - bytes);
    return DIST_OK;
}

/* How much the program wrote is how much travels. */
static dist_status put_size(const work *w, size_t bytes, size_t room, const char *what)
{
    if (bytes > room)
        return dist_fail(DIST_ERR_ARGUMENT, "stage %d, microbatch %d: %zu bytes of %s; there is room for %zu",
                         w->call.stage, w->call.microbatch, bytes, what, room);
    w->dst.head->bytes = bytes;
    return clear_rest(w, bytes, room);
}

/* What came says how long it is; it is not believed beyond the room. */
static dist_status check_size(const work *w, boundary came, size_t room)
{
    if (bytes_of(came) <= room)
        return DIST_OK;
    return dist_fail(DIST_ERR_FRAME,
                     "stage %d, microbatch %d: what came says that it has %llu bytes; there is room for %zu",
                     w->call.stage, w->call.microbatch, (unsigned long long)came.head->bytes, room);
}

static dist_status forward(work *w, size_t room)
{
    w->call.output = w->dst.data;
    w->call.output_bytes = w->dst.head ? room : 0;
    *w->call.stash = NULL;
    DIST_TRY(run(w, w->pipeline->options.forward, "forward"));
    return w->dst.head ? put_size(w, w->call.output_bytes, room, "output") : DIST_OK;
}

static dist_status backward_input(work *w, const dist_op *op, const dist_task *task, size_t room)
{
    const dist_pipeline_options *o = &w->pipeline->options;
    const boundary gradient = boundary_at(task, op->src);
    DIST_TRY(check_size(w, gradient, room));
    if (o->recompute)
        DIST_TRY(run(w, o->recompute, "recompute"));
    w->call.output_gradient = gradient.data;
    w->call.output_gradient_bytes = bytes_of(gradient);
    w->call.input_gradient = w->dst.data;
    w->call.input_gradient_bytes = w->dst.head ? w->call.input_bytes : 0;
    w->call.first = w->state->inputs == 0;
    w->call.last = ++w->state->inputs == o->microbatches;
    DIST_TRY(run(w, o->backward_input, "backward_input"));
    return w->dst.head ? put_size(w, w->call.input_gradient_bytes, room, "input gradient") : DIST_OK;
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
        DIST_TRY(dist_dp_ready(state->averages, i, o->stream));
    return DIST_OK;
}

/* Fused backwards count as both; schedules that split them call backward_weight in WEIGHT or FULL. */
static dist_status called(void *user, const dist_task *task, const dist_op *op)
{
    dist_pipeline *p = user;
    dist_pipeline_stage_state *state = &p->state[p->chunk_of[op->stage]];
    const bool is_forward = op->call == DIST_CALL_FORWARD, split = p->layout.schedule->split;
    const size_t room = (size_t)p->options.boundary_count * dist_type_bytes(p->options.boundary_type);
    const boundary input = boundary_at(task, is_forward ? op->src : op->state);
    work w = {.pipeline = p,
              .state = state,
              .dst = boundary_at(task, op->dst),
              .call = {.stage = (int)op->stage,
                       .microbatch = (int)op->microbatch,
                       .input = input.data,
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
    DIST_TRY(dist_task_serve_stream(p->task, called, p, p->options.stream));
    const int64_t served = dist_now();
    for (int c = 0; c < p->layout.schedule->chunks; c++)
        if (p->state[c].averages)
            DIST_TRY(dist_dp_wait(p->state[c].averages, p->options.stream));
    count(p, began, served);
    return DIST_OK;
}
