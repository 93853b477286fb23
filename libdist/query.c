/* Questions to a context: who and where, links, counters, and what it is made of. */
#define _POSIX_C_SOURCE 200809L

#include "base/clock.h"
#include "collective/measure.h"
#include "context_internal.h"
#include "tuned.h"
#include "wires.h"

#define STRING_OF(x) #x
#define STRING(x)    STRING_OF(x)

extern char **environ;

static const dist_place *self(const dist_context *context)
{
    return &context->topology->place[context->wire->rank];
}

int dist_rank(const dist_context *context)
{
    return context ? context->wire->rank : -1;
}

int dist_ranks(const dist_context *context)
{
    return context ? context->wire->ranks : -1;
}

int dist_node(const dist_context *context)
{
    return context ? self(context)->node : -1;
}

int dist_nodes(const dist_context *context)
{
    return context ? context->topology->nodes : -1;
}

int dist_site(const dist_context *context)
{
    return context ? self(context)->site : -1;
}

int dist_sites(const dist_context *context)
{
    return context ? context->topology->sites : -1;
}

int dist_site_of(const dist_context *context, int rank)
{
    return context && rank >= 0 && rank < context->wire->ranks ? context->topology->place[rank].site : -1;
}

int dist_node_of(const dist_context *context, int rank)
{
    return context && rank >= 0 && rank < context->wire->ranks ? context->topology->place[rank].node : -1;
}

const char *dist_site_name(const dist_context *context, int site)
{
    return context && site >= 0 && site < context->topology->sites ? context->topology->site[site].name : "";
}

dist_status dist_links_measure(dist_context *context)
{
    DIST_CHECK_CONTEXT(context);
    dist_context_forget(context); /* what `auto` chose before may not be what it chooses now */
    DIST_TRY(dist_measure_links(context->engine, context->topology, context->wire->rank));
    context->links_read = false;
    return DIST_OK;
}

dist_status dist_link_get(const dist_context *context, int from, int to, dist_link *link)
{
    DIST_CHECK_CONTEXT(context);
    int sites = context->topology->sites;
    if (from < 0 || to < 0 || from >= sites || to >= sites || !link)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_link_get: sites %d and %d; they go from 0 to %d", from, to,
                         sites - 1);
    if (!context->topology->link)
        return dist_fail(DIST_ERR_STATE,
                         "the links have not been measured; call dist_links_measure on all ranks");
    *link = context->topology->link[from * sites + to];
    return DIST_OK;
}

dist_status dist_counters_get(dist_context *context, dist_counters *counters)
{
    DIST_CHECK_CONTEXT(context);
    if (!counters)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_counters_get: the place for the counters is NULL");
    dist_engine_counters(context->engine, counters);
    return DIST_OK;
}

dist_status dist_options_print(const dist_context *context, FILE *file)
{
    if (!file)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_options_print: the file is NULL");
    if (context) {
        dist_options_write(&context->options, file);
        return DIST_OK;
    }
    dist_options options;
    dist_status status = dist_options_begin(&options, NULL, environ);
    if (status >= 0)
        dist_options_write(&options, file);
    dist_options_end(&options);
    return status;
}

dist_status dist_topology_print(const dist_context *context, FILE *file)
{
    DIST_CHECK_CONTEXT(context);
    if (!file)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_topology_print: the file is NULL");
    char wires[512];
    dist_topology_write(context->topology, file);
    if (context->topology->sites > 1) {
        dist_wires_describe(context, wires, sizeof wires);
        fprintf(file, "between sites: %s\n", wires);
    }
    fprintf(file, "inside sites: %s\n", dist_wires_inside(context));
    dist_tuned_print(context, file);
    return DIST_OK;
}

dist_status dist_algorithms_print(const dist_context *context, FILE *file)
{
    DIST_CHECK_CONTEXT(context);
    if (!file)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_algorithms_print: the file is NULL");
    dist_choices_write(&(dist_spec){.topology = context->topology,
                                    .team = context->team_wire != NULL,
                                    .tuning = context->tuning},
                       file);
    return DIST_OK;
}

int64_t dist_trace_begin(const dist_context *context)
{
    return context && context->trace ? dist_now() : 0;
}

void dist_trace_end(dist_context *context, const char *name, int64_t begun)
{
    if (context && context->trace && name && begun)
        dist_trace_span(context->trace, name, begun, dist_now());
}

const char *dist_version(void)
{
    return STRING(DIST_VERSION_MAJOR) "." STRING(DIST_VERSION_MINOR) "." STRING(DIST_VERSION_PATCH);
}
