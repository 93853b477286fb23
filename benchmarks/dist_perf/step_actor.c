/* A pipeline whose functions wait, and who is where in it. */
#include <stdlib.h>

#include "step_pipeline.h"

static void act(step_actor *a, int kind, const dist_pipeline_call *call)
{
    const int64_t begin = perf_now(), end = a->seconds > 0 ? perf_wait(&a->debt, a->seconds) : begin;
    if (a->calls < a->room)
        a->call[a->calls++] = (step_call){kind, call->stage, call->microbatch,
                                          (double)(begin - a->began) * 1e-9, (double)(end - a->began) * 1e-9};
}

static dist_status forward(void *user, dist_pipeline_call *call)
{
    step_actor *a = user;
    act(a, STEP_FORWARD, call);
    a->forwarded = perf_now();
    return DIST_OK;
}

static dist_status backward_input(void *user, dist_pipeline_call *call)
{
    step_actor *a = user;
    a->trip = (double)(perf_now() - a->forwarded) * 1e-9;
    act(a, STEP_BACKWARD, call);
    return DIST_OK;
}

static dist_status backward_weight(void *user, dist_pipeline_call *call)
{
    act(user, STEP_WEIGHT, call);
    return DIST_OK;
}

dist_status step_actor_open(dist_context *context, const step_options *o, const step_shape *shape,
                            step_actor *actor)
{
    dist_pipeline_options options = DIST_PIPELINE_OPTIONS_INIT;
    const double third = o->compute / o->microbatches / 3;
    dist_stage_times *times = calloc((size_t)o->positions, sizeof *times);
    *actor = (step_actor){.seconds = shape->seconds};
    if (!times)
        return DIST_ERR_MEMORY;
    for (int p = 0; p < o->positions; p++)
        times[p] = (dist_stage_times){third, third, third};
    options.mesh = shape->mesh;
    options.schedule = shape->schedule;
    options.microbatches = shape->microbatches;
    options.boundary_count = (shape->boundary + sizeof(float) - 1) / sizeof(float);
    options.times = times;
    options.gradient_bytes = (size_t)(o->params / o->positions) * dist_type_bytes(o->type);
    options.forward = forward;
    options.backward_input = backward_input;
    options.backward_weight = backward_weight;
    options.user = actor;
    const dist_status status = dist_pipeline_create(context, &options, &actor->pipeline);
    free(times);
    return status < 0 ? status : dist_pipeline_shape_get(actor->pipeline, &actor->shape);
}

dist_status step_actor_register(dist_context *context, const step_actor *actor, const step_options *o,
                                int stage, const dist_parameter *parameter, int n,
                                const dist_data_parallel_options *options)
{
    const dist_status status = dist_pipeline_register(actor->pipeline, stage, parameter, (size_t)n, options);
    for (int i = 0; i < n && status == DIST_OK; i++)
        step_gradient_fill(context, dist_pipeline_gradient(actor->pipeline, stage, (size_t)i),
                           parameter[i].count * dist_type_bytes(o->type), o->type);
    return status;
}

int step_rank_at(const step_places *places, int position, int replica)
{
    for (int r = 0; r < places->ranks; r++)
        if (places->position[r] == position && places->replica[r] == replica)
            return r;
    return 0;
}

int step_sites_of(const dist_context *context, const step_places *places, int position)
{
    int sites = 0;
    for (int site = 0; site < dist_sites(context); site++)
        for (int r = 0; r < places->ranks; r++)
            if (places->position[r] == position && dist_site_of(context, r) == site) {
                sites++;
                break;
            }
    return sites;
}

static void find_crossing(const dist_context *context, const step_actor *actor, step_places *places)
{
    int most = 0;
    for (int p = 0; p < actor->shape.positions; p++) {
        const int sites = step_sites_of(context, places, p);
        places->positions_crossing += sites > 1;
        places->crossing = sites > most ? p : places->crossing;
        most = sites > most ? sites : most;
    }
}

/* The order that the library has chosen, for pipelines that must lie as this one does. */
static void write_mesh(const step_actor *actor, step_places *places)
{
    const dist_pipeline_shape *s = &actor->shape;
    const bool outer = places->ranks > 1 && s->replicas > 1 && places->position[1] == places->position[0];
    snprintf(places->mesh, sizeof places->mesh, outer ? "pp:%d,dp:%d" : "dp:%d,pp:%d",
             outer ? s->positions : s->replicas, outer ? s->replicas : s->positions);
}

dist_status step_places_find(dist_context *context, const step_actor *actor, step_places *places)
{
    const dist_pipeline_shape *s = &actor->shape;
    const size_t ranks = (size_t)dist_ranks(context), stages = (size_t)s->stages;
    *places = (step_places){.ranks = (int)ranks,
                            .position = calloc(ranks, sizeof(int)),
                            .replica = calloc(ranks, sizeof(int)),
                            .stages = s->stages,
                            .position_of = calloc(stages, sizeof(int))};
    if (!places->position || !places->replica || !places->position_of)
        return DIST_ERR_MEMORY;
    MPI_Allgather(&s->position, 1, MPI_INT, places->position, 1, MPI_INT, MPI_COMM_WORLD);
    MPI_Allgather(&s->replica, 1, MPI_INT, places->replica, 1, MPI_INT, MPI_COMM_WORLD);
    for (int i = 0; i < s->local; i++)
        places->position_of[dist_pipeline_stage(actor->pipeline, i)] = s->position;
    MPI_Allreduce(MPI_IN_PLACE, places->position_of, s->stages, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    write_mesh(actor, places);
    find_crossing(context, actor, places);
    return DIST_OK;
}

void step_places_end(step_places *places)
{
    free(places->position);
    free(places->replica);
    free(places->position_of);
    *places = (step_places){0};
}
