#include "parallel/pipeline.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "parallel/pipeline_internal.h"
#include "plan/stage.h"
#include "topology/group.h"

#define VERIFIED_SLOTS 200000 /* of all ranks: what takes a fraction of a second to prove */

static dist_lowering lowering_of(const dist_pipeline *p)
{
    const dist_pipeline_setup *s = &p->setup;
    return (dist_lowering){.schedule = p->layout.schedule,
                           .topology = s->topology,
                           .ranks = s->topology->ranks,
                           .rank_at = p->layout.rank_at,
                           .boundary_bytes = (uint64_t)p->options.boundary_count *
                                             dist_type_bytes(p->options.boundary_type),
                           .boundary_type = p->options.boundary_type,
                           .device = dist_pp_on_device(p),
                           .codec = &s->codec,
                           .times = p->layout.times,
                           .stash_bytes = p->options.stash_bytes};
}

/* All positions' plans, by themselves. What schedules promise is tested; a schedule from a file is not. */
static dist_status verify_group(const dist_pipeline *p, const dist_topology *alone)
{
    dist_lowering l = lowering_of(p);
    const int ranks = p->layout.mesh.positions;
    dist_plan **plan = calloc((size_t)ranks, sizeof *plan);
    dist_status status = plan ? DIST_OK : dist_fail(DIST_ERR_MEMORY, "no memory for %d plans", ranks);
    l.topology = alone;
    l.ranks = ranks;
    l.rank_at = NULL;
    for (int r = 0; status == DIST_OK && r < ranks; r++)
        status = dist_lower(&plan[r], &l, r);
    uint64_t scratch = 0;
    for (int r = 0; status == DIST_OK && r < ranks; r++) {
        const uint64_t bytes = dist_plan_bytes(plan[r], DIST_BUFFER_SCRATCH);
        scratch = bytes > scratch ? bytes : scratch;
    }
    if (status == DIST_OK) /* what the program keeps is limited, not the library's buffers */
        status = dist_lower_verify((const dist_plan *const *)plan, &l,
                                   p->options.memory_bytes ? p->options.memory_bytes + scratch : 0);
    for (int r = 0; plan && r < ranks; r++)
        dist_plan_destroy(plan[r]);
    free(plan);
    return status;
}

static dist_status verify(const dist_pipeline *p)
{
    const dist_schedule *s = p->layout.schedule;
    dist_topology *alone;
    if ((uint64_t)s->stages * (uint64_t)s->microbatches * 3 > VERIFIED_SLOTS)
        return DIST_OK;
    DIST_TRY(dist_topology_group(&alone, p->setup.topology, p->layout.rank_at, p->layout.mesh.positions));
    const dist_status status = verify_group(p, alone);
    dist_topology_destroy(alone);
    return status;
}

static dist_status make_states(dist_pipeline *p)
{
    const dist_schedule *s = p->layout.schedule;
    const dist_mesh *mesh = &p->layout.mesh;
    p->state = calloc((size_t)s->chunks, sizeof *p->state);
    p->chunk_of = calloc((size_t)s->stages, sizeof *p->chunk_of);
    p->member = calloc((size_t)mesh->replicas, sizeof *p->member);
    bool whole = p->state && p->chunk_of && p->member;
    int chunk = 0;
    for (int stage = 0; whole && stage < s->stages; stage++) {
        p->chunk_of[stage] = -1;
        if (s->rank_of[stage] != p->position)
            continue;
        p->state[chunk].stage = stage;
        p->state[chunk].stash = calloc((size_t)s->microbatches, sizeof(void *));
        whole = p->state[chunk].stash != NULL;
        p->chunk_of[stage] = chunk++;
    }
    if (!whole)
        return dist_fail(DIST_ERR_MEMORY, "no memory for %d stages of %d microbatches", s->chunks,
                         s->microbatches);
    for (int r = 0; r < mesh->replicas; r++)
        p->member[r] = dist_mesh_rank(mesh, p->position, r);
    return dist_topology_group(&p->group, p->setup.topology, p->member, mesh->replicas);
}

/* All that this rank can do alone. */
static dist_status prepare(dist_pipeline *p, dist_plan **plan)
{
    DIST_TRY(dist_pipeline_layout_choose(&p->layout, &p->setup));
    p->position = dist_mesh_position(&p->layout.mesh, p->setup.rank);
    p->stats.predicted = p->layout.predicted;
    p->stats.bound = p->layout.bound;
    DIST_TRY(make_states(p));
    DIST_TRY(verify(p));
    dist_lowering lowering = lowering_of(p);
    lowering.nccl = p->setup.team;
    DIST_TRY(dist_lower(plan, &lowering, p->position));
    return dist_plan_stage(plan, &(dist_staging){.calls = dist_pp_on_device(p)});
}

/* A rank that failed says so before the others wait for it. */
static dist_status agree(const dist_pipeline *p, dist_status mine)
{
    char sentence[DIST_ERROR_MAX];
    uint64_t worst = 0;
    int rank = 0;
    snprintf(sentence, sizeof sentence, "%s", mine < 0 ? dist_last_error() : "");
    const dist_status status = dist_engine_most(p->setup.engine, "pipeline", mine < 0, &worst, &rank);
    if (mine < 0)
        return dist_fail(mine, "%s", sentence);
    if (status >= 0 && worst)
        return dist_fail(DIST_ERR_MISMATCH,
                         "pipeline: rank %d could not make its part; its own error says why", rank);
    return status;
}

dist_status dist_pp_create(dist_pipeline **out, const dist_pipeline_setup *setup)
{
    dist_pipeline *p = calloc(1, sizeof *p);
    dist_plan *plan = NULL;
    *out = NULL;
    dist_status status = p ? DIST_OK : dist_fail(DIST_ERR_MEMORY, "no memory for a pipeline");
    if (!p)
        return status;
    p->setup = *setup;
    p->options = *setup->options;
    status = agree(p, prepare(p, &plan));
    if (status >= 0 && dist_pp_on_device(p))
        status = dist_pipeline_edges_open(p);
    if (status < 0)
        dist_plan_destroy(plan);
    else
        status = dist_task_create(&p->task, setup->engine, plan, NULL);
    if (status < 0) {
        dist_pp_destroy(p);
        return status;
    }
    p->setup.options = NULL; /* the caller's */
    *out = p;
    return DIST_OK;
}

dist_context *dist_pp_context(const dist_pipeline *p)
{
    return p->setup.context;
}

void dist_pp_shape(const dist_pipeline *p, dist_pipeline_shape *shape)
{
    const dist_mesh *mesh = &p->layout.mesh;
    *shape = (dist_pipeline_shape){.positions = mesh->positions,
                                   .position = p->position,
                                   .replicas = mesh->replicas,
                                   .replica = dist_mesh_replica(mesh, p->setup.rank),
                                   .stages = p->layout.schedule->stages,
                                   .local = p->layout.schedule->chunks};
}

int dist_pp_stage(const dist_pipeline *p, int i)
{
    return i >= 0 && i < p->layout.schedule->chunks ? p->state[i].stage : -1;
}

dist_status dist_pp_register(dist_pipeline *p, int stage, const dist_parameter *parameters, size_t n,
                             const dist_data_parallel_setup *averages)
{
    if (p->registered == p->layout.schedule->chunks)
        return dist_fail(DIST_ERR_STATE, "all %d stages of this rank have been registered", p->registered);
    dist_pipeline_stage_state *state = &p->state[p->registered];
    if (state->stage != stage)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "stage %d is registered, but stage %d is this rank's next one (dist_pipeline_stage)",
                         stage, state->stage);
    dist_data_parallel_setup setup = *averages;
    setup.spec.topology = p->group;
    setup.spec.rank = dist_mesh_replica(&p->layout.mesh, p->setup.rank);
    setup.member = p->member;
    DIST_TRY(dist_dp_create(&state->averages, &setup, parameters, n));
    state->parameters = n;
    p->registered++;
    return DIST_OK;
}

/* NULL: not a stage of this rank's, or not registered. */
static dist_data_parallel *averages_of(const dist_pipeline *p, int stage)
{
    const int chunk = stage >= 0 && stage < p->layout.schedule->stages ? p->chunk_of[stage] : -1;
    return chunk >= 0 ? p->state[chunk].averages : NULL;
}

void *dist_pp_gradient(const dist_pipeline *p, int stage, size_t i)
{
    const dist_data_parallel *averages = averages_of(p, stage);
    return averages ? dist_dp_gradient(averages, i) : NULL;
}

dist_status dist_pp_bucket(const dist_pipeline *p, int stage, size_t i, dist_bucket_info *info)
{
    dist_data_parallel *averages = averages_of(p, stage);
    if (!averages)
        return dist_fail(DIST_ERR_ARGUMENT, "stage %d is not one of this rank's that have been registered",
                         stage);
    return dist_dp_bucket(averages, i, info);
}

void dist_pp_stats(const dist_pipeline *p, dist_pipeline_stats *stats)
{
    *stats = p->stats;
}

void dist_pp_write(const dist_pipeline *p, FILE *file)
{
    const dist_pipeline_layout *l = &p->layout;
    const dist_schedule *s = l->schedule;
    fprintf(file, "mesh      %s:%d,%s:%d (%s)\n", l->mesh.outer ? "pp" : "dp",
            l->mesh.outer ? l->mesh.positions : l->mesh.replicas, l->mesh.outer ? "dp" : "pp",
            l->mesh.outer ? l->mesh.replicas : l->mesh.positions, l->why);
    fprintf(file, "schedule  %s: %d stages, %d microbatches of at most %zu %s\n", s->name, s->stages,
            s->microbatches, p->options.boundary_count, dist_type_name(p->options.boundary_type));
    fprintf(file, "predicted %.4g s a step, bound %.4g s, ratio %.3f; averages after it %.4g s\n",
            l->predicted, l->bound, l->bound > 0 ? l->predicted / l->bound : 1.0, l->averages);
    fprintf(file, "rank at   forward   backward  weight    latency to the next (s)\n");
    for (int i = 0; i < l->mesh.positions; i++) {
        const dist_place *place = &p->setup.topology->place[l->rank_at[i]];
        fprintf(file, "%-9d %-9.4g %-9.4g %-9.4g ", l->rank_at[i], l->times[i].forward, l->times[i].backward,
                l->times[i].weight);
        if (i + 1 < l->mesh.positions)
            fprintf(file, "%.4g", l->latency[i]);
        fprintf(file, "  # site %s\n", p->setup.topology->site[place->site].name);
    }
}

dist_status dist_pp_destroy(dist_pipeline *p)
{
    dist_status status = DIST_OK;
    if (!p)
        return DIST_OK;
    const int chunks = p->state ? p->layout.schedule->chunks : 0;
    for (int c = 0; c < chunks; c++) {
        const dist_status ended = dist_dp_destroy(p->state[c].averages);
        status = status < 0 ? status : ended;
        free(p->state[c].stash);
    }
    const dist_status ended = dist_task_destroy(p->task);
    status = status < 0 ? status : ended;
    dist_topology_destroy(p->group);
    dist_pipeline_layout_end(&p->layout);
    free(p->state);
    free(p->chunk_of);
    free(p->member);
    free(p);
    return status;
}
