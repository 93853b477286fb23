/* Collectives of one site over its team's wire: each is one op, which the wire does by itself. */
#include "collective/emit.h"

bool dist_is_of_team(const dist_spec *spec)
{
    return spec->algo.kind == DIST_ALGO_HIER && spec->team && spec->topology->sites == 1;
}

static void native(dist_plan *plan, const dist_spec *spec, dist_native kind, dist_slice output,
                   dist_slice input, uint64_t bytes)
{
    const dist_site_ranks *site = &spec->topology->site[0];
    dist_plan_set_team(plan, site->rank, site->count);
    dist_plan_native_team(plan, kind, spec->type, spec->reduction, spec->root,
                          bytes / dist_type_bytes(spec->type), output, input);
}

/* The wire of host memory divides what it has just added up, in the cache; a device's does not. */
static void divide(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    if (spec->reduction != DIST_AVERAGE)
        return;
    if (spec->device)
        dist_plan_divide(plan, spec->type, data, spec->topology->ranks);
    else
        dist_plan_native_divide(plan, spec->topology->ranks);
}

void dist_emit_team_all_reduce(dist_plan *plan, const dist_spec *spec, dist_slice output, dist_slice input)
{
    if (output.bytes == 0)
        return;
    native(plan, spec, DIST_NATIVE_ALL_REDUCE, output, input, output.bytes);
    divide(plan, spec, output);
}

void dist_emit_team_reduce_scatter(dist_plan *plan, const dist_spec *spec, dist_slice output,
                                   dist_slice input)
{
    if (output.bytes == 0)
        return;
    native(plan, spec, DIST_NATIVE_REDUCE_SCATTER, output, input, output.bytes);
    divide(plan, spec, output);
}

void dist_emit_team_all_gather(dist_plan *plan, const dist_spec *spec, dist_slice output, dist_slice input)
{
    native(plan, spec, DIST_NATIVE_ALL_GATHER, output, input, input.bytes);
}

void dist_emit_team_broadcast(dist_plan *plan, const dist_spec *spec, dist_slice data)
{
    native(plan, spec, DIST_NATIVE_BROADCAST, data, dist_slice_of(DIST_NO_BUFFER, 0, 0), data.bytes);
}

void dist_emit_team_barrier(dist_plan *plan, const dist_spec *spec, dist_slice word)
{
    native(plan, spec, DIST_NATIVE_BARRIER, word, word, 0);
}
