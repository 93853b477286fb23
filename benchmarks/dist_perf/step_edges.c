/* What messages between neighbouring stages take, from pipelines that compute nothing: on each rank the time from the end of
 * forward to the call of backward is that of all edges behind it, there and back. All replicas send at once, as in a step. */
#include <math.h>
#include <stdlib.h>

#include "step_pipeline.h"

#define LONGEST_REST 1.0 /* seconds between two steps that are measured */

dist_status step_edges_open(dist_context *context, const step_options *o, const step_places *places,
                            step_edges *edges)
{
    dist_status status = DIST_OK;
    edges->rest = fmin(o->compute / o->microbatches, LONGEST_REST);
    edges->sizes = step_sizes(o->boundary, sizeof(float), edges->size);
    for (int i = 0; i < edges->sizes && status == DIST_OK; i++) {
        const step_shape shape = {
            .mesh = places->mesh, .schedule = "gpipe", .microbatches = 1, .boundary = edges->size[i]};
        edges->trip[i] = calloc((size_t)(STEP_SAMPLES * o->positions), sizeof(double));
        status = edges->trip[i] ? step_actor_open(context, o, &shape, &edges->actor[i]) : DIST_ERR_MEMORY;
    }
    return status;
}

/* times 0: once, unseen. */
dist_status step_edges_sample(dist_context *context, const step_places *places, step_edges *edges, int times)
{
    const int me = places->position[dist_rank(context)];
    dist_status status = DIST_OK;
    for (int t = 0; t < (times ? times : 1); t++) {
        for (int i = edges->sizes; i-- > 0 && status == DIST_OK;) {
            step_actor *a = &edges->actor[i];
            int64_t debt = 0;
            perf_wait(&debt, edges->rest);
            status = dist_barrier(context);
            if (status == DIST_OK)
                status = dist_pipeline_step(a->pipeline);
            if (me + 1 < a->shape.positions) /* the last one turns round at once */
                edges->trip[i][edges->samples * a->shape.positions + me] = a->trip / a->shape.replicas;
        }
        edges->samples += times > 0;
    }
    return status;
}

/* The median over samples of one edge's time. */
static double edge_of(const double *trip, int samples, int positions, int edge)
{
    double value[STEP_SAMPLES];
    for (int s = 0; s < samples; s++) {
        const double *all = &trip[s * positions];
        value[s] = fmax(0, (all[edge] - all[edge + 1]) / 2);
    }
    return perf_median(value, samples);
}

dist_status step_edges_fit(dist_context *context, const step_options *o, step_edges *edges, step_line *line)
{
    double bytes[STEP_SIZES], seconds[STEP_SIZES];
    for (int i = 0; i < edges->sizes; i++) {
        const dist_status status =
            dist_reduce_scalars(context, edges->trip[i], (size_t)(edges->samples * o->positions), DIST_SUM);
        bytes[i] = (double)edges->size[i];
        if (status < 0)
            return status;
    }
    for (int e = 0; e + 1 < o->positions; e++) {
        for (int i = 0; i < edges->sizes; i++)
            seconds[i] = edge_of(edges->trip[i], edges->samples, o->positions, e);
        line[e] = step_line_through(bytes, seconds, edges->sizes);
        if (edges->sizes == 1) /* too small to occupy anything */
            line[e] = (step_line){seconds[0], 0};
    }
    return DIST_OK;
}

dist_status step_edges_close(step_edges *edges, dist_status status)
{
    for (int i = 0; i < STEP_SIZES; i++) {
        const dist_status ended = dist_pipeline_destroy(edges->actor[i].pipeline);
        status = status < 0 ? status : ended;
        free(edges->trip[i]);
    }
    return status;
}
