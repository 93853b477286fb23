/* What a message between neighbouring stages takes, from a pipeline that computes nothing: on each rank the time from the end of
 * forward to the call of backward is that of all edges behind it, there and back. All replicas send at once, as in a step.
 * Smaller messages tell nothing of it: MPI may send them in another way, in a third of the latency. */
#include <math.h>
#include <stdlib.h>

#include "step_pipeline.h"

#define LONGEST_REST 1.0 /* seconds between two steps that are measured */

dist_status step_edges_open(dist_context *context, const step_options *o, const step_places *places,
                            step_edges *edges)
{
    const step_shape shape = {
        .mesh = places->mesh, .schedule = "gpipe", .microbatches = 1, .boundary = o->boundary};
    edges->rest = fmin(o->compute / o->microbatches, LONGEST_REST);
    edges->trip = calloc((size_t)(STEP_SAMPLES * o->positions), sizeof(double));
    return edges->trip ? step_actor_open(context, o, &shape, &edges->actor) : DIST_ERR_MEMORY;
}

/* times 0: once, unseen. */
dist_status step_edges_sample(dist_context *context, const step_places *places, step_edges *edges, int times)
{
    const dist_pipeline_shape *shape = &edges->actor.shape;
    const int me = places->position[dist_rank(context)];
    dist_status status = DIST_OK;
    for (int t = 0; t < (times ? times : 1) && status == DIST_OK; t++) {
        int64_t debt = 0;
        perf_wait(&debt, edges->rest);
        status = dist_barrier(context);
        if (status == DIST_OK)
            status = dist_pipeline_step(edges->actor.pipeline);
        if (me + 1 < shape->positions) /* the last one turns round at once */
            edges->trip[edges->samples * shape->positions + me] = edges->actor.trip / shape->replicas;
        edges->samples += times > 0;
    }
    return status;
}

/* Seconds that a byte takes of the slowest link behind a position, which replicas that cross it share. */
static double slope_of(dist_context *context, const step_options *o, const step_places *places, int edge)
{
    double slope = 0;
    for (int r = 0; r < o->replicas; r++) {
        int sharing = 0;
        dist_link link = {0, 0};
        const int from = dist_site_of(context, step_rank_at(places, edge, r)),
                  to = dist_site_of(context, step_rank_at(places, edge + 1, r));
        for (int other = 0; other < o->replicas; other++)
            sharing += dist_site_of(context, step_rank_at(places, edge, other)) == from &&
                       dist_site_of(context, step_rank_at(places, edge + 1, other)) == to;
        if (dist_link_get(context, from, to, &link) == DIST_OK && link.bandwidth > 0)
            slope = fmax(slope, (from == to ? 1 : sharing) / link.bandwidth);
    }
    return slope;
}

/* Half of what the trips of two neighbours differ by: the median over samples. */
static double seconds_of(const step_edges *edges, int positions, int edge)
{
    double value[STEP_SAMPLES];
    for (int s = 0; s < edges->samples; s++) {
        const double *trip = &edges->trip[s * positions];
        value[s] = fmax(0, (trip[edge] - trip[edge + 1]) / 2);
    }
    return perf_median(value, edges->samples);
}

dist_status step_edges_fit(dist_context *context, const step_options *o, const step_places *places,
                           step_edges *edges, step_line *line)
{
    const double bytes = (double)o->boundary;
    const dist_status status =
        dist_reduce_scalars(context, edges->trip, (size_t)(edges->samples * o->positions), DIST_SUM);
    for (int e = 0; e + 1 < o->positions && status == DIST_OK; e++) {
        const double seconds = seconds_of(edges, o->positions, e);
        const double slope = fmin(slope_of(context, o, places, e), seconds / bytes);
        line[e] = (step_line){seconds - slope * bytes, slope};
    }
    return status;
}

dist_status step_edges_close(step_edges *edges, dist_status status)
{
    const dist_status ended = dist_pipeline_destroy(edges->actor.pipeline);
    free(edges->trip);
    return status < 0 ? status : ended;
}
