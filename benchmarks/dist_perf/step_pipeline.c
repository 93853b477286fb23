/* A step of a pipeline: edges and averages measured one at a time, the schedule on paper, and the real thing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "step_pipeline.h"

#define CALLS 3  /* of a stage for a microbatch */
#define HEAD  64 /* bytes of a message before the boundary */

/* All that a step is made of. */
typedef struct bench {
    dist_context *context;
    const step_options *o;
    step_actor actor;
    step_places places;
    step_edges edges;
    step_shared shared;
    double *bytes, *buckets; /* [stages]: of its gradients */
    double *time;            /* [steps] */
    size_t largest;          /* bytes of a bucket */
} bench;

/* ---- what there is ---- */

static dist_status register_stage(bench *b, int stage)
{
    const int n = step_tensors(b->o, b->places.stages);
    const dist_data_parallel_options options = step_averages(b->o);
    dist_parameter *tensor = calloc((size_t)n, sizeof *tensor);
    if (!tensor)
        return DIST_ERR_MEMORY;
    step_tensors_fill(b->o, stage, b->places.stages, tensor);
    dist_status status = step_actor_register(b->context, &b->actor, b->o, stage, tensor, n, &options);
    free(tensor);
    dist_bucket_info info;
    for (size_t i = 0; status == DIST_OK; i++) {
        if (dist_pipeline_bucket_get(b->actor.pipeline, stage, i, &info) < 0)
            break;
        b->bytes[stage] += (double)info.bytes / b->o->replicas;
        b->buckets[stage] += 1.0 / b->o->replicas;
        b->largest = info.bytes > b->largest ? info.bytes : b->largest;
    }
    return status;
}

static dist_status register_stages(bench *b, step_result *r)
{
    const size_t stages = (size_t)b->places.stages;
    double largest;
    dist_status status = DIST_OK;
    b->bytes = calloc(stages, sizeof(double));
    b->buckets = calloc(stages, sizeof(double));
    if (!b->bytes || !b->buckets)
        return DIST_ERR_MEMORY;
    for (int i = 0; i < b->actor.shape.local && status == DIST_OK; i++)
        status = register_stage(b, dist_pipeline_stage(b->actor.pipeline, i));
    largest = (double)b->largest;
    for (size_t s = 0; s < stages; s++)
        r->buckets += (size_t)(b->buckets[s] * b->o->replicas + 0.5);
    if (status == DIST_OK)
        status = dist_reduce_scalars(b->context, b->bytes, stages, DIST_SUM);
    if (status == DIST_OK)
        status = dist_reduce_scalars(b->context, b->buckets, stages, DIST_SUM);
    if (status == DIST_OK)
        status = dist_reduce_scalars(b->context, &largest, 1, DIST_MAX);
    r->largest = b->largest = (size_t)largest;
    return status;
}

/* What auto has taken is only told to people. */
static void find_schedule(const bench *b, step_result *r)
{
    FILE *file = tmpfile();
    char line[256];
    snprintf(r->schedule, sizeof r->schedule, "%s", b->o->schedule ? b->o->schedule : "auto");
    if (file && dist_pipeline_print(b->actor.pipeline, file) == DIST_OK) {
        rewind(file);
        while (fgets(line, sizeof line, file))
            if (sscanf(line, "schedule %63s", r->schedule) == 1)
                break;
    }
    if (file)
        fclose(file);
    const size_t length = strlen(r->schedule);
    if (length > 0 && r->schedule[length - 1] == ':')
        r->schedule[length - 1] = '\0';
}

static dist_status open_all(bench *b, step_result *r)
{
    const step_options *o = b->o;
    const step_shape shape = {
        .mesh = o->mesh, .schedule = o->schedule, .microbatches = o->microbatches, .boundary = o->boundary};
    dist_status status = step_actor_open(b->context, o, &shape, &b->actor);
    if (status == DIST_OK)
        status = step_places_find(b->context, &b->actor, &b->places);
    if (status < 0)
        return status;
    find_schedule(b, r);
    b->actor.seconds = o->compute / o->microbatches / 3 / b->actor.shape.local;
    b->actor.room = b->actor.shape.local * o->microbatches * CALLS;
    b->actor.call = calloc((size_t)b->actor.room, sizeof(step_call));
    b->time = calloc((size_t)o->steps, sizeof *b->time);
    status = b->actor.call && b->time ? register_stages(b, r) : DIST_ERR_MEMORY;
    if (status == DIST_OK)
        status = step_edges_open(b->context, o, &b->places, &b->edges);
    if (status == DIST_OK)
        status = step_shared_open(b->context, o, &b->places, b->largest, r->buckets, &b->shared);
    return status;
}

static dist_status close_all(bench *b, dist_status status)
{
    status = step_edges_close(&b->edges, status);
    status = step_shared_close(&b->shared, status);
    const dist_status ended = dist_pipeline_destroy(b->actor.pipeline);
    step_places_end(&b->places);
    free(b->actor.call);
    free(b->bytes);
    free(b->buckets);
    free(b->time);
    return status < 0 ? status : ended;
}

/* ---- on paper ---- */

/* Edges between neighbours are measured. Others are as bad as the worst of those between sites, or as good as the best inside. */
static step_line edge_between(const bench *b, const step_line *line, int from, int to)
{
    const step_places *p = &b->places;
    const int apart = from - to, near = from < to ? from : to;
    if (apart == 1 || apart == -1)
        return line[near];
    const bool across = dist_site_of(b->context, step_rank_at(p, from, 0)) !=
                        dist_site_of(b->context, step_rank_at(p, to, 0));
    int chosen = 0;
    for (int e = 1; e + 1 < b->o->positions; e++) {
        const double here = step_line_at(&line[e], (double)b->o->boundary),
                     best = step_line_at(&line[chosen], (double)b->o->boundary);
        chosen = (across ? here > best : here < best) ? e : chosen;
    }
    return line[chosen];
}

/* All that goes from a site to another one shares a link; inside a site each has its own. */
static int link_between(const bench *b, int from, int to)
{
    const int n = b->o->positions;
    int site[2] = {dist_site_of(b->context, step_rank_at(&b->places, from, 0)),
                   dist_site_of(b->context, step_rank_at(&b->places, to, 0))};
    for (int i = 0; i < n * n && site[0] != site[1]; i++)
        if (dist_site_of(b->context, step_rank_at(&b->places, i / n, 0)) == site[0] &&
            dist_site_of(b->context, step_rank_at(&b->places, i % n, 0)) == site[1])
            return i;
    return from * n + to;
}

static void fill_edges(const bench *b, const step_line *line, step_line *edge, int *link)
{
    const int n = b->o->positions;
    for (int from = 0; from < n; from++)
        for (int to = 0; to < n; to++) {
            edge[from * n + to] = from == to ? (step_line){0, 0} : edge_between(b, line, from, to);
            link[from * n + to] = link_between(b, from, to);
        }
}

/* What crosses: each microbatch and its gradient on edges between sites, and the averages of positions on several sites. */
static double bytes_across(const bench *b, const step_line *across)
{
    const step_places *p = &b->places;
    double sum = 0;
    for (int s = 0; s + 1 < p->stages; s++)
        for (int r = 0; r < b->o->replicas; r++)
            if (dist_site_of(b->context, step_rank_at(p, p->position_of[s], r)) !=
                dist_site_of(b->context, step_rank_at(p, p->position_of[s + 1], r)))
                sum += 2.0 * b->o->microbatches * (double)((b->o->boundary + 3) / 4 * 4 + HEAD);
    for (int s = 0; s < p->stages; s++)
        if (step_sites_of(b->context, p, p->position_of[s]) > 1)
            sum += across->slope * b->bytes[s] + across->start * b->buckets[s];
    return sum;
}

/* The plans of the schedule that the library has taken; of a file, of that file. */
static dist_status open_set(const bench *b, const step_result *r, dist_plan_set **set)
{
    dist_plan_pipeline_request request = DIST_PLAN_PIPELINE_REQUEST_INIT;
    request.schedule =
        b->o->schedule && strncmp(b->o->schedule, "file:", 5) == 0 ? b->o->schedule : r->schedule;
    request.ranks = b->o->positions;
    request.microbatches = b->o->microbatches;
    return dist_plan_set_create_pipeline(set, &request);
}

/* Whether a backward call and that of the weights behind it are one op. */
static bool is_whole(const dist_plan_set *set, int position, const step_call *call)
{
    dist_plan_pipeline pipeline;
    if (dist_plan_set_pipeline(set, &pipeline) == DIST_OK && !pipeline.split)
        return true;
    for (size_t i = 0; i < dist_plan_set_ops(set, position); i++) {
        dist_plan_op op;
        if (dist_plan_set_op(set, position, i, &op) == DIST_OK && op.kind == DIST_PLAN_FULL &&
            op.stage == call->stage && op.microbatch == call->microbatch)
            return true;
    }
    return false;
}

/* The order of the calls is that of the first step; it is the same in every step. */
static void find_calls(const bench *b, const dist_plan_set *set, const step_call *made, int position,
                       step_call *call, int *calls)
{
    *calls = 0;
    for (int i = 0; i < b->actor.room; i++) {
        const bool whole = made[i].kind == STEP_BACKWARD && is_whole(set, position, &made[i]);
        call[*calls] = made[i];
        call[(*calls)++].kind = whole ? STEP_WHOLE : made[i].kind;
        i += whole; /* the weights' */
    }
}

static double run_flow(const bench *b, const step_call *const *call, const int *calls, const step_line *edge,
                       const int *link, double *work, const step_result *r)
{
    for (int s = 0; s < b->places.stages; s++)
        work[s] = b->o->replicas > 1 ? r->average.slope * b->bytes[s] : 0;
    return step_flow_run(&(step_flow){.positions = b->o->positions,
                                      .stages = b->places.stages,
                                      .microbatches = b->o->microbatches,
                                      .call = call,
                                      .calls = calls,
                                      .position_of = b->places.position_of,
                                      .seconds = b->actor.seconds,
                                      .edge = edge,
                                      .link = link,
                                      .bytes = (double)b->o->boundary,
                                      .work = work,
                                      .start = r->average.start,
                                      .sharing = r->sharing,
                                      .watched = b->actor.shape.position,
                                      .timeline = r->timeline});
}

/* What predicts needs beside the figures. */
typedef struct paper {
    step_call *made, *all; /* [ranks][room] */
    const step_call **call;
    int *calls, *link;
    step_line *edge;
    double *work;
} paper;

static bool open_paper(const bench *b, paper *p)
{
    const size_t n = (size_t)b->o->positions, room = (size_t)b->actor.room;
    *p = (paper){.made = calloc((size_t)b->places.ranks * room, sizeof *p->made),
                 .all = calloc(n * room, sizeof *p->all),
                 .call = calloc(n, sizeof *p->call),
                 .calls = calloc(n, sizeof *p->calls),
                 .link = calloc(n * n, sizeof *p->link),
                 .edge = calloc(n * n, sizeof *p->edge),
                 .work = calloc((size_t)b->places.stages, sizeof *p->work)};
    return p->made && p->all && p->call && p->calls && p->link && p->edge && p->work;
}

static void close_paper(paper *p)
{
    free(p->made);
    free(p->all);
    free(p->call);
    free(p->calls);
    free(p->link);
    free(p->edge);
    free(p->work);
}

static dist_status predict_on(bench *b, paper *p, const step_line *line, const step_line *across,
                              step_result *r)
{
    const size_t room = (size_t)b->actor.room;
    const int bytes = (int)(room * sizeof(step_call));
    dist_plan_set *set;
    const dist_status status = open_set(b, r, &set);
    if (status < 0)
        return status;
    MPI_Allgather(b->actor.call, bytes, MPI_BYTE, p->made, bytes, MPI_BYTE, MPI_COMM_WORLD);
    for (int i = 0; i < b->o->positions; i++) {
        step_call *const call = &p->all[(size_t)i * room];
        find_calls(b, set, &p->made[(size_t)step_rank_at(&b->places, i, 0) * room], i, call, &p->calls[i]);
        p->call[i] = call;
    }
    dist_plan_set_destroy(set);
    fill_edges(b, line, p->edge, p->link);
    r->predicted.step = run_flow(b, p->call, p->calls, p->edge, p->link, p->work, r);
    r->predicted.across = bytes_across(b, across);
    return r->predicted.step >= 0 ? DIST_OK : DIST_ERR_MEMORY;
}

static dist_status predict(bench *b, const step_line *line, const step_line *across, step_result *r)
{
    paper p;
    const dist_status status = open_paper(b, &p) ? predict_on(b, &p, line, across, r) : DIST_ERR_MEMORY;
    close_paper(&p);
    return status;
}

/* ---- the real thing ---- */

static dist_status run_step(bench *b, double *seconds)
{
    const int64_t began = perf_now();
    b->actor.began = began;
    b->actor.debt = b->actor.calls = 0;
    const dist_status status = dist_pipeline_step(b->actor.pipeline);
    *seconds = (double)(perf_now() - began) * 1e-9;
    return status;
}

static dist_status replay_round(bench *b, int round)
{
    double unseen;
    const int first = round ? step_steps_until(b->o, round - 1) : 0, end = step_steps_until(b->o, round);
    dist_status status = DIST_OK;
    for (int s = 0; s < (round || b->o->warmup == 0 ? 1 : b->o->warmup) && status == DIST_OK; s++)
        status = run_step(b, &unseen);
    for (int s = first; s < end && status == DIST_OK; s++)
        status = run_step(b, &b->time[s]);
    return status;
}

static dist_status run_rounds(bench *b)
{
    const int rank = dist_rank(b->context);
    int each = 1;
    const int64_t began = perf_now();
    dist_status status = step_edges_sample(b->context, &b->places, &b->edges, 0);
    if (status == DIST_OK)
        status = step_shared_sample(&b->places, rank, &b->shared, 0);
    if (status == DIST_OK)
        status = step_samples(b->context, (double)(perf_now() - began) * 1e-9, &each);
    for (int round = 0; round < STEP_ROUNDS && status == DIST_OK; round++) {
        status = step_edges_sample(b->context, &b->places, &b->edges, each);
        if (status == DIST_OK)
            status = step_shared_sample(&b->places, rank, &b->shared, each);
        if (status == DIST_OK)
            status = replay_round(b, round);
    }
    return status;
}

/* The last step. */
static void draw(bench *b, step_result *r)
{
    for (int i = 0; i < b->actor.calls; i++) {
        const step_call *c = &b->actor.call[i];
        step_span(r->timeline, STEP_REPLAYED, c->begin, c->end, STEP_COMPUTES, "%c%d", "FBW"[c->kind],
                  c -> microbatch);
    }
    for (int i = 0; i < b->actor.shape.local && r->timeline; i++) {
        const int stage = dist_pipeline_stage(b->actor.pipeline, i);
        const double began = (double)b->actor.began * 1e-9;
        dist_bucket_info info;
        for (size_t k = 0; dist_pipeline_bucket_get(b->actor.pipeline, stage, k, &info) == DIST_OK; k++)
            step_span(r->timeline, STEP_REPLAYED_AVERAGES, info.began - began, info.ended - began,
                      STEP_COMMUNICATES, "stage %d: %zu", stage, k);
    }
}

static dist_status take_figures(bench *b, step_result *r)
{
    dist_pipeline_stats stats;
    dist_status status = dist_pipeline_stats_get(b->actor.pipeline, &stats);
    if (status == DIST_OK)
        status = step_median(b->context, b->time, b->o->steps, &r->replayed.step);
    if (status < 0)
        return status;
    r->replayed.across = (double)stats.bytes_across;
    return dist_reduce_scalars(b->context, &r->replayed.across, 1, DIST_SUM);
}

static dist_status run(bench *b, step_line *line, step_result *r)
{
    step_line across = {0, 0};
    dist_status status = open_all(b, r);
    if (status == DIST_OK)
        status = run_rounds(b);
    if (status == DIST_OK)
        status = step_edges_fit(b->context, b->o, &b->places, &b->edges, line);
    if (status == DIST_OK)
        status = step_shared_fit(b->context, &b->shared, r, &across);
    if (status == DIST_OK)
        status = predict(b, line, &across, r);
    for (int e = 0; e + 1 < b->o->positions; e++)
        if (step_line_at(&line[e], (double)b->o->boundary) >
            step_line_at(&r->boundary, (double)b->o->boundary))
            r->boundary = line[e];
    if (status == DIST_OK)
        draw(b, r);
    return status == DIST_OK ? take_figures(b, r) : status;
}

dist_status step_pipeline(dist_context *context, const step_options *o, step_result *r)
{
    bench b = {.context = context, .o = o};
    step_line *line = calloc((size_t)o->positions, sizeof *line);
    const dist_status status = line ? run(&b, line, r) : DIST_ERR_MEMORY;
    free(line);
    return close_all(&b, status);
}
