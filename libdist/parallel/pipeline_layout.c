/* Where the stages lie: the order of the mesh's axes, what the edges between them cost, and the schedule for that. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/type.h"
#include "parallel/pipeline_internal.h"
#include "topology/group.h"

static uint64_t boundary_bytes(const dist_pipeline_options *options)
{
    return (uint64_t)options->boundary_count * dist_type_bytes(options->boundary_type);
}

/* Bytes of one message between two ranks. */
static uint64_t message_bytes(const dist_pipeline_setup *setup, bool across)
{
    const uint64_t bytes = boundary_bytes(setup->options);
    if (across && setup->codec.kind != DIST_CODEC_NONE)
        return dist_codec_bytes(&setup->codec, setup->options->boundary_count) + sizeof(dist_parcel);
    return bytes + sizeof(dist_parcel);
}

static const dist_link *link_between(const dist_topology *t, int a, int b)
{
    return t->link ? &t->link[t->place[a].site * t->sites + t->place[b].site] : NULL;
}

/* From the end of a call on rank a to the moment at which rank b may use what it made, where `sharing` pipelines send over the
 * same link at about the same time. */
static double edge_latency(const dist_pipeline_setup *setup, int a, int b, int sharing)
{
    const dist_link *link = link_between(setup->topology, a, b);
    const uint64_t bytes =
        message_bytes(setup, setup->topology->place[a].site != setup->topology->place[b].site);
    if (!link)
        return 0;
    return link->latency * (bytes > setup->one_way ? 3 : 1) +
           (link->bandwidth > 0 ? sharing * (double)bytes / link->bandwidth : 0);
}

/* How many pipelines go from the site of rank a to that of rank b behind position p. */
static int sharing(const dist_mesh *mesh, const dist_topology *t, int p, int a, int b)
{
    int count = 0;
    if (t->place[a].site == t->place[b].site)
        return 1; /* inside a site each has its own way */
    for (int r = 0; r < mesh->replicas; r++)
        count += t->place[dist_mesh_rank(mesh, p, r)].site == t->place[a].site &&
                 t->place[dist_mesh_rank(mesh, p + 1, r)].site == t->place[b].site;
    return count;
}

static bool allocate(dist_pipeline_layout *layout)
{
    const size_t positions = (size_t)layout->mesh.positions;
    layout->rank_at = calloc(positions, sizeof *layout->rank_at);
    layout->latency = calloc(positions, sizeof *layout->latency);
    layout->times = calloc(positions, sizeof *layout->times);
    return layout->rank_at && layout->latency && layout->times;
}

/* The slowest of the replicas' edges, so that all have the same schedule. */
static void place(dist_pipeline_layout *layout, const dist_pipeline_setup *setup)
{
    const dist_mesh *mesh = &layout->mesh;
    const int replica = dist_mesh_replica(mesh, setup->rank);
    for (int p = 0; p < mesh->positions; p++) {
        layout->rank_at[p] = dist_mesh_rank(mesh, p, replica);
        layout->times[p] =
            setup->options->times ? setup->options->times[p] : (dist_stage_times){1e-3, 1e-3, 1e-3};
        for (int r = 0; p + 1 < mesh->positions && r < mesh->replicas; r++) {
            const int a = dist_mesh_rank(mesh, p, r), b = dist_mesh_rank(mesh, p + 1, r);
            const int together = sharing(mesh, setup->topology, p, a, b);
            layout->latency[p] = fmax(layout->latency[p], fmax(edge_latency(setup, a, b, together),
                                                               edge_latency(setup, b, a, together)));
        }
    }
}

static dist_status read_schedule(dist_pipeline_layout *layout, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return dist_fail(DIST_ERR_IO, "schedule file:%s cannot be opened", path);
    const dist_status status = dist_schedule_read(&layout->schedule, file, path);
    fclose(file);
    return status;
}

static dist_status make_schedule(dist_pipeline_layout *layout, const dist_pipeline_setup *setup)
{
    const dist_pipeline_options *o = setup->options;
    const char *name = o->schedule ? o->schedule : "auto";
    const dist_schedule_request request = {
        .name = name,
        .ranks = layout->mesh.positions,
        .microbatches = o->microbatches,
        .times = layout->times,
        .latency = layout->latency,
        .memory = o->memory_bytes && o->stash_bytes ? (double)o->memory_bytes / (double)o->stash_bytes : 0,
        .fused = !o->backward_weight};
    const bool from_file = strncmp(name, "file:", 5) == 0;
    DIST_TRY(from_file ? read_schedule(layout, name + 5) : dist_schedule_create(&layout->schedule, &request));
    const dist_schedule *s = layout->schedule;
    if (s->ranks != request.ranks || s->microbatches != request.microbatches)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "schedule %s is for %d ranks and %d microbatches; the pipeline has %d and %d", name,
                         s->ranks, s->microbatches, request.ranks, request.microbatches);
    if (s->split && !o->backward_weight)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "schedule %s computes gradients of weights apart; it needs backward_weight",
                         s->name);
    return DIST_OK;
}

/* All pipelines share the links between sites: a step is no shorter than what has to cross the busiest one takes. */
static double crossing_time(const dist_pipeline_layout *layout, const dist_pipeline_setup *setup)
{
    const dist_topology *t = setup->topology;
    const dist_mesh *mesh = &layout->mesh;
    const dist_schedule *s = layout->schedule;
    double longest = 0;
    for (int from = 0; t->link && from < t->sites; from++)
        for (int to = 0; to < t->sites; to++) {
            int crossings =
                0; /* of one microbatch: forwards this way, gradients of the forwards that go the other way */
            for (int e = 0; e + 1 < s->stages; e++)
                for (int r = 0; r < mesh->replicas; r++) {
                    const int a = t->place[dist_mesh_rank(mesh, s->rank_of[e], r)].site;
                    const int b = t->place[dist_mesh_rank(mesh, s->rank_of[e + 1], r)].site;
                    crossings += (a == from && b == to) + (b == from && a == to);
                }
            const double bandwidth = t->link[from * t->sites + to].bandwidth;
            if (from != to && bandwidth > 0)
                longest = fmax(longest, crossings * (double)s->microbatches *
                                            (double)message_bytes(setup, true) / bandwidth);
        }
    return longest;
}

/* Averages of all stages at once over the links that they share. */
static dist_status averages_time(const dist_pipeline_layout *layout, const dist_pipeline_setup *setup,
                                 double *seconds)
{
    const dist_mesh *mesh = &layout->mesh;
    dist_spec spec = setup->spec;
    dist_topology *group;
    *seconds = 0;
    if (mesh->replicas == 1 || setup->options->gradient_bytes == 0)
        return DIST_OK;
    int *member = malloc((size_t)mesh->replicas * sizeof *member);
    if (!member)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a mesh of %d replicas", mesh->replicas);
    for (int r = 0; r < mesh->replicas; r++)
        member[r] = dist_mesh_rank(mesh, 0, r);
    dist_status status = dist_topology_group(&group, setup->topology, member, mesh->replicas);
    free(member);
    if (status < 0)
        return status;
    for (int l = 0; group->link && l < group->sites * group->sites; l++)
        if (l / group->sites != l % group->sites)
            group->link[l].bandwidth /= mesh->positions;
    spec.kind = DIST_ALL_REDUCE;
    spec.type = DIST_FLOAT32;
    spec.reduction = DIST_SUM;
    spec.in_place = true;
    spec.count = setup->options->gradient_bytes / sizeof(float);
    spec.topology = group;
    spec.rank = 0;
    spec.group = true;
    status = dist_choose(&spec);
    if (status == DIST_OK)
        *seconds = dist_predicted(&spec, spec.algo.kind);
    dist_topology_destroy(group);
    return status;
}

static dist_status lay_out(dist_pipeline_layout *layout, const dist_pipeline_setup *setup)
{
    dist_schedule_time time;
    if (!allocate(layout))
        return dist_fail(DIST_ERR_MEMORY, "no memory for a pipeline of %d ranks", layout->mesh.positions);
    place(layout, setup);
    DIST_TRY(make_schedule(layout, setup));
    DIST_TRY(dist_schedule_run(layout->schedule, layout->times, layout->latency, &time));
    layout->bound = time.bound;
    layout->predicted = fmax(time.makespan, crossing_time(layout, setup));
    dist_schedule_time_end(&time, layout->mesh.positions);
    return averages_time(layout, setup, &layout->averages);
}

void dist_pipeline_layout_end(dist_pipeline_layout *layout)
{
    free(layout->rank_at);
    free(layout->latency);
    free(layout->times);
    dist_schedule_destroy(layout->schedule);
    *layout = (dist_pipeline_layout){0};
}

static double step_time(const dist_pipeline_layout *layout)
{
    return layout->predicted + layout->averages;
}

/* Both orders, and the faster one; equal ones: pipelines inside a site. */
static dist_status choose_order(dist_pipeline_layout *layout, const dist_pipeline_setup *setup)
{
    dist_pipeline_layout other = {.mesh = layout->mesh};
    layout->mesh.outer = false;
    other.mesh.outer = true;
    dist_status status = lay_out(layout, setup);
    if (status == DIST_OK)
        status = lay_out(&other, setup);
    if (status == DIST_OK) {
        char why[sizeof layout->why];
        snprintf(why, sizeof why, "predicted: %.4g s with dp:%d,pp:%d, %.4g s with pp:%d,dp:%d",
                 step_time(layout), layout->mesh.replicas, layout->mesh.positions, step_time(&other),
                 layout->mesh.positions, layout->mesh.replicas);
        if (step_time(&other) < step_time(layout)) {
            const dist_pipeline_layout faster = other;
            other = *layout;
            *layout = faster;
        }
        memcpy(layout->why, why, sizeof why);
    }
    dist_pipeline_layout_end(&other);
    return status;
}

dist_status dist_pipeline_layout_choose(dist_pipeline_layout *layout, const dist_pipeline_setup *setup)
{
    *layout = (dist_pipeline_layout){0};
    DIST_TRY(dist_mesh_parse(setup->options->mesh, setup->topology->ranks, &layout->mesh));
    if (!layout->mesh.chosen)
        return choose_order(layout, setup);
    snprintf(layout->why, sizeof layout->why, "%s",
             setup->options->mesh ? "as asked for" : "one pipeline over all ranks");
    return lay_out(layout, setup);
}
