#include "wires.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "collective/measure.h"
#include "collective/tuning.h"
#include "tuned.h"
#include "wire/route.h"
#include "wire/shm.h"
#include "wire/tcp.h"

#define WISH_TIMEOUT  60.0
#define START_STREAMS 16 /* while measuring */
/* MPI over TCP has at least TCP's latency: with less than half of it, it has another way between the sites. */
#define FABRIC 0.5
/* A stream's share of rate x round trip. One loss in p packets leaves a stream a window of sqrt(3 / (2 p)) packets on average
 * (Mathis, Semke, Mahdavi and Ott 1997): 55 packets of 1448 bytes, 78 KiB, at the 0.05 % of a bad long-distance link. With twice this
 * share 16 MiB take 12 % longer there, and a training step across a clean link 2 % less. */
#define STREAM_SHARE (48.0 * 1024)

/* What must be the same on all ranks. */
typedef struct wish {
    int32_t wire, streams;
    char text[32];
} wish;

static wish wish_of(const dist_context *context)
{
    wish w;
    memset(&w, 0, sizeof w); /* it travels */
    w.wire = (int32_t)dist_option_number(&context->options, DIST_OPTION_WIRE);
    w.streams = (int32_t)dist_option_number(&context->options, DIST_OPTION_STREAMS);
    snprintf(w.text, sizeof w.text, "%.8s and %.8s", dist_option_text(&context->options, DIST_OPTION_WIRE),
             dist_option_text(&context->options, DIST_OPTION_STREAMS));
    return w;
}

static dist_status compare_wishes(dist_context *context)
{
    dist_wire *wire = context->wire;
    const wish mine = wish_of(context);
    const dist_patience patience = {.deadline = dist_deadline(WISH_TIMEOUT)};
    wish *all = calloc((size_t)wire->ranks, sizeof *all);
    if (!all)
        return dist_fail(DIST_ERR_MEMORY, "no memory for %d ranks", wire->ranks);
    dist_status status = wire->ops->exchange(wire, &mine, all, sizeof mine, &patience);
    for (int r = 1; r < wire->ranks && status >= 0; r++)
        if (all[r].wire != all[0].wire || all[r].streams != all[0].streams)
            status = dist_fail(
                DIST_ERR_MISMATCH,
                "DIST_WIRE and DIST_STREAMS are %s on rank 0, but %s on rank %d; give all ranks the same",
                all[0].text, all[r].text, r);
    free(all);
    return status;
}

/* Ranks of other sites; for `auto` those on other nodes only. False: there is none on some rank, which all know. */
static bool find_reach(const dist_context *context, bool other_nodes, bool *reaches)
{
    const dist_topology *t = context->topology;
    const dist_place *me = &t->place[context->wire->rank];
    bool all = true;
    for (int r = 0; r < t->ranks; r++) {
        const dist_place *place = &t->place[r];
        reaches[r] = place->site != me->site;
        for (int q = 0; q < t->ranks; q++)
            all &= t->place[q].site == place->site || t->place[q].node != place->node || !other_nodes;
    }
    return all;
}

static dist_status open_tcp(dist_context *context, const bool *reaches, int streams, dist_wire **tcp)
{
    const dist_options *options = &context->options;
    const int ports = (int)dist_option_number(options, DIST_OPTION_PORTS);
    const dist_tcp_setup setup = {.control = dist_wire_route_first(context->wire),
                                  .topology = context->topology,
                                  .log = &context->log,
                                  .streams = streams,
                                  .interface = dist_option_text(options, DIST_OPTION_IFACE),
                                  .congestion = dist_option_text(options, DIST_OPTION_CONGESTION),
                                  .first_port = ports >> 16,
                                  .last_port = ports & 0xffff,
                                  .timeout = dist_option_number(options, DIST_OPTION_TIMEOUT)};
    DIST_TRY(dist_wire_tcp_open(tcp, &setup));
    return dist_wire_route_add(context->wire, *tcp, reaches);
}

/* The smallest power of two that gives each stream no more than its share, for the longest of the links. */
static int streams_for(const dist_topology *topology)
{
    double most = 0;
    for (int i = 0; i < topology->sites * topology->sites; i++)
        if (i / topology->sites != i % topology->sites)
            most = fmax(most, topology->probed[i].bandwidth * 2 * topology->probed[i].latency);
    int streams = 1;
    while (streams < DIST_TCP_STREAMS_MOST && streams * STREAM_SHARE < most)
        streams *= 2;
    return streams;
}

static double least_latency(const dist_link *link, int sites)
{
    double least = INFINITY;
    for (int i = 0; i < sites * sites; i++)
        if (link[i].latency > 0 && link[i].latency < least)
            least = link[i].latency;
    return least;
}

static dist_status look(dist_context *context, bool latency_only, dist_link *link)
{
    return dist_measure_sites(context->engine, context->topology, context->wire->rank, latency_only, link);
}

/* TCP, unless MPI has something faster. */
static dist_status choose(dist_context *context, const bool *reaches, bool keep_tcp, int streams)
{
    dist_topology *t = context->topology;
    const size_t pairs = (size_t)t->sites * (size_t)t->sites;
    dist_link *by_mpi = calloc(pairs, sizeof *by_mpi);
    dist_wire *tcp = NULL;
    dist_status status = by_mpi ? DIST_OK : dist_fail(DIST_ERR_MEMORY, "no memory for %zu links", pairs);
    if (status >= 0 && !keep_tcp)
        status = look(context, true, by_mpi);
    if (status >= 0)
        status = open_tcp(context, reaches, streams > 0 ? streams : START_STREAMS, &tcp);
    if (status >= 0 && (t->probed = calloc(pairs, sizeof *t->probed)) == NULL)
        status = dist_fail(DIST_ERR_MEMORY, "no memory for %zu links", pairs);
    if (status >= 0)
        status = look(context, false, t->probed);
    if (status >= 0 && !keep_tcp &&
        least_latency(by_mpi, t->sites) < FABRIC * least_latency(t->probed, t->sites)) {
        dist_wire_route_drop(context->wire);
        dist_log_write(&context->log, DIST_LOG_INFO,
                       "between sites: MPI, which has a latency of %.1f us; TCP has %.1f",
                       1e6 * least_latency(by_mpi, t->sites), 1e6 * least_latency(t->probed, t->sites));
        status = look(context, false, t->probed);
    } else if (status >= 0 && streams == 0) {
        dist_wire_tcp_use_streams(tcp, streams_for(t));
    }
    context->looked = "measured at the start";
    free(by_mpi);
    return status;
}

static dist_status open_team(dist_context *context)
{
    static const dist_shm_wish wishes[] = {[DIST_SHM_CHOICE_AUTO] = DIST_SHM_REACHED,
                                           [DIST_SHM_CHOICE_STAGE] = DIST_SHM_STAGED,
                                           [DIST_SHM_CHOICE_OFF] = DIST_SHM_NONE};
    const dist_shm_wish wanted = wishes[(int)dist_option_number(&context->options, DIST_OPTION_SHM)];
    DIST_TRY(dist_wire_shm_open(&context->team_wire, wanted, dist_wire_route_first(context->wire),
                                context->topology, &context->log));
    dist_engine_use_team_wire(context->engine, context->team_wire);
    return DIST_OK;
}

/* What the options leave to `auto`, by the tuning file; false: it is of another wire than the options want, or there is none. */
static bool tune(const dist_tuning *tuning, int *wire, int *streams)
{
    if (!tuning ||
        (*wire != DIST_WIRE_CHOICE_AUTO && tuning->wire != DIST_WIRE_CHOICE_AUTO && *wire != tuning->wire))
        return false;
    *wire = *wire == DIST_WIRE_CHOICE_AUTO ? tuning->wire : *wire;
    *streams = *streams == 0 ? tuning->streams : *streams;
    return true;
}

/* The links are the file's, and with them the number of streams. */
static dist_status open_tcp_by_links(dist_context *context, const bool *reaches)
{
    dist_wire *tcp;
    DIST_TRY(dist_tuned_links(context));
    return open_tcp(context, reaches, streams_for(context->topology), &tcp);
}

static dist_status open_between(dist_context *context, int wire, int streams, bool tuned)
{
    const bool automatic = wire == DIST_WIRE_CHOICE_AUTO;
    bool *reaches = calloc((size_t)context->wire->ranks, sizeof *reaches);
    if (!reaches)
        return dist_fail(DIST_ERR_MEMORY, "no memory for %d ranks", context->wire->ranks);
    dist_wire *tcp;
    dist_status status = DIST_OK;
    if (!find_reach(context, automatic, reaches))
        ; /* sites that share a node are a rehearsal: they stay with MPI's shared memory */
    else if (!automatic && streams > 0)
        status = open_tcp(context, reaches, streams, &tcp);
    else if (!automatic && tuned && dist_tuning_has_links(context->tuning))
        status = open_tcp_by_links(context, reaches);
    else
        status = choose(context, reaches, !automatic, streams);
    free(reaches);
    return status;
}

dist_status dist_wires_open(dist_context *context)
{
    const wish mine = wish_of(context);
    int wire = mine.wire, streams = mine.streams;
    DIST_TRY(open_team(context));
    DIST_TRY(compare_wishes(context));
    const bool tuned = tune(context->tuning, &wire, &streams);
    if (context->topology->sites > 1 && wire != DIST_WIRE_CHOICE_MPI)
        DIST_TRY(open_between(context, wire, streams, tuned));
    return tuned ? dist_tuned_links(context) : DIST_OK;
}

void dist_wires_describe(const dist_context *context, char *text, size_t size)
{
    const dist_topology *t = context->topology;
    dist_wire *added = dist_wire_route_added(context->wire);
    size_t used = (size_t)(added ? snprintf(text, size, "tcp, %d streams a pair of ranks, this one at %s",
                                            dist_wire_tcp_streams(added), dist_wire_tcp_place(added))
                                 : snprintf(text, size, "mpi"));
    for (int i = 0; t->probed && i < t->sites * t->sites && used < size; i++)
        if (t->probed[i].bandwidth > 0 && i / t->sites < i % t->sites)
            used += (size_t)snprintf(text + used, size - used, "; %s to %s %.2f ms, %.1f MB/s",
                                     t->site[i / t->sites].name, t->site[i % t->sites].name,
                                     1e3 * t->probed[i].latency, 1e-6 * t->probed[i].bandwidth);
}

const char *dist_wires_inside(const dist_context *context)
{
    if (!context->team_wire)
        return "mpi";
    return dist_wire_shm_reaches(context->team_wire)
               ? "shared memory, and each other's own (process_vm_readv)"
               : "shared memory, in which vectors that are not there are staged";
}
