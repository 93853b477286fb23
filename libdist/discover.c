#define _POSIX_C_SOURCE 200809L

#include "discover.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "collective/measure.h"
#include "wire/mpi.h"
#include "wire/route.h"

#define START_TIMEOUT 60.0 /* while the option that says otherwise may be what is wrong */

typedef struct introduction {
    dist_rank_record record;
    int32_t status;
    uint64_t bytes; /* of what rank 0 has to tell all */
    char sentence[512];
} introduction;

static bool measures_sites(const dist_context *context)
{
    return strcmp(dist_option_text(&context->options, DIST_OPTION_SITES), "auto") == 0;
}

static dist_status find_own_site(const dist_context *context, dist_rank_record *record)
{
    const char *site = dist_option_text(&context->options, DIST_OPTION_SITE);
    const char *file = dist_option_text(&context->options, DIST_OPTION_SITES);
    if (site[0]) {
        if (strlen(site) >= DIST_NAME_MAX)
            return dist_fail(DIST_ERR_CONFIG, "DIST_SITE has %zu characters; at most %d fit", strlen(site),
                             DIST_NAME_MAX - 1);
        snprintf(record->site, sizeof record->site, "%s", site);
        return DIST_OK;
    }
    if (file[0] && !measures_sites(context))
        return dist_site_from_file(file, record->host, record->site);
    return DIST_OK;
}

static dist_status introduce(dist_context *context, dist_status mine, introduction *self)
{
    int lowest = 0;
    memset(self, 0, sizeof *self);
    if (gethostname(self->record.host, sizeof self->record.host - 1) != 0)
        snprintf(self->record.host, sizeof self->record.host, "unknown");
    if (mine >= 0)
        mine = find_own_site(context, &self->record);
    self->status = mine;
    if (mine < 0)
        snprintf(self->sentence, sizeof self->sentence, "%s", dist_last_error());
    DIST_TRY(dist_wire_mpi_node(dist_wire_route_first(context->wire), &lowest));
    self->record.node = lowest;
    return DIST_OK;
}

static const char *where_from(const dist_context *context, const introduction *all)
{
    if (!all[0].record.site[0])
        return "one site: neither DIST_SITE nor DIST_SITES is set";
    return dist_option_text(&context->options, DIST_OPTION_SITE)[0] ? "from DIST_SITE"
                                                                    : "from the file of DIST_SITES";
}

static dist_status build(dist_context *context, const introduction *all)
{
    int ranks = context->wire->ranks;
    for (int r = 0; r < ranks; r++)
        if (all[r].status < 0)
            return dist_fail((dist_status)all[r].status, "rank %d on %s: %s", r, all[r].record.host,
                             all[r].sentence);
    dist_rank_record *record = malloc(sizeof *record * (size_t)ranks);
    if (!record)
        return dist_fail(DIST_ERR_MEMORY, "no memory for %d ranks", ranks);
    for (int r = 0; r < ranks; r++)
        record[r] = all[r].record;
    dist_status status = dist_topology_create(&context->topology, record, ranks, where_from(context, all));
    free(record);
    return status;
}

dist_status dist_discover(dist_context *context, dist_status mine, uint64_t *bytes)
{
    dist_wire *wire = context->wire;
    dist_patience patience = {.deadline = dist_deadline(START_TIMEOUT)};
    introduction self;
    introduction *all = malloc(sizeof *all * (size_t)wire->ranks);
    if (!all)
        return dist_fail(DIST_ERR_MEMORY, "no memory for %d ranks", wire->ranks);
    dist_status status = introduce(context, mine, &self);
    self.bytes = *bytes;
    if (status >= 0)
        status = wire->ops->exchange(wire, &self, all, sizeof self, &patience);
    if (status >= 0)
        status = build(context, all);
    if (status >= 0)
        *bytes = all[0].bytes;
    free(all);
    return status;
}

dist_status dist_discover_sites(dist_context *context)
{
    const dist_topology *old = context->topology;
    if (!measures_sites(context) || dist_option_text(&context->options, DIST_OPTION_SITE)[0] ||
        old->nodes == 1)
        return DIST_OK;
    size_t nodes = (size_t)old->nodes, ranks = (size_t)old->ranks;
    double *latency = calloc(nodes * nodes, sizeof *latency);
    int *site = calloc(nodes, sizeof *site);
    dist_rank_record *record = calloc(ranks, sizeof *record);
    dist_topology *found = NULL;
    dist_status status =
        latency && site && record ? DIST_OK : dist_fail(DIST_ERR_MEMORY, "no memory for %zu nodes", nodes);
    if (status >= 0)
        status = dist_measure_nodes(context->engine, old, context->wire->rank, latency);
    if (status >= 0) {
        dist_sites_from_latency(latency, old->nodes, site);
        for (size_t r = 0; r < ranks; r++) {
            snprintf(record[r].host, sizeof record[r].host, "%s", old->place[r].host);
            snprintf(record[r].site, sizeof record[r].site, "site%d", site[old->place[r].node]);
            record[r].node = old->place[r].node;
        }
        status =
            dist_topology_create(&found, record, old->ranks, "from measured latencies (DIST_SITES=auto)");
    }
    if (status >= 0)
        status = dist_engine_locate(context->engine, found);
    if (status >= 0) {
        dist_topology_destroy(context->topology);
        context->topology = found;
    }
    free(latency);
    free(site);
    free(record);
    return status;
}
