/* A quick look at the links between sites, at start: pairs of sites at the same time, both directions at once. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "collective/emit.h"
#include "collective/measure.h"

#define PINGS       4
#define WORD        ((uint64_t)8)
#define PROBE_PIECE ((uint64_t)64 << 10)
#define ROUNDS_MOST                                                                                          \
    2 /* of pairs: each site is measured with as many others, and the start takes as much longer */

/* The sizes in turn, while the one before took less than `quick` seconds: windows have to grow first, and a slow
 * link is not to be kept busy for long. */
static const struct {
    uint64_t bytes;
    double quick;
} sizes[] = {{(uint64_t)256 << 10, 0},
             {(uint64_t)1 << 20, 0.3},
             {(uint64_t)4 << 20, 0.15},
             {(uint64_t)16 << 20, 0.03}};
enum { SIZES = sizeof sizes / sizeof *sizes };

typedef struct probe {
    dist_engine *engine;
    const dist_topology *topology;
    int rank;
    int *partner; /* [sites] in this round; -1: none */
} probe;

/* Of the circle method: round r pairs each site with one other, and over sites - 1 rounds (sites, when odd) with all. */
static void pair_up(const probe *p, int round)
{
    const int sites = p->topology->sites, even = sites + sites % 2, wheel = even - 1;
    for (int s = 0; s < sites; s++)
        p->partner[s] = -1;
    for (int i = 0; i < even / 2; i++) {
        const int a = i == 0 ? wheel : (round + i) % wheel, b = (round + wheel - i) % wheel;
        if (a < sites && b < sites && a != b) {
            p->partner[a] = b;
            p->partner[b] = a;
        }
    }
}

/* The first ranks of two sites exchange `bytes`, after a word each way that brings them together. */
static dist_plan *exchange(const probe *p, int site, uint64_t bytes)
{
    const dist_topology *t = p->topology;
    dist_plan *plan =
        dist_plan_create(p->rank, t->ranks, "probe of %llu bytes between sites", (unsigned long long)bytes);
    const int partner = p->partner[site];
    if (!plan || partner < 0 || dist_topology_rank(t, site, 0) != p->rank)
        return plan;
    const int peer = dist_topology_rank(t, partner, 0);
    const dist_slice word =
        dist_slice_of(dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, WORD, "word"), 0, WORD);
    const dist_slice data =
        dist_slice_of(dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, bytes, "data"), 0, bytes);
    const dist_slice room =
        dist_slice_of(dist_plan_add_buffer(plan, DIST_BUFFER_SCRATCH, bytes, "room"), 0, bytes);
    if (site < partner) {
        dist_plan_send(plan, DIST_CHANNEL_ACROSS, peer, word);
        dist_plan_recv(plan, DIST_CHANNEL_ACROSS, peer, word);
    } else {
        dist_plan_recv(plan, DIST_CHANNEL_ACROSS, peer, word);
        dist_plan_send(plan, DIST_CHANNEL_ACROSS, peer, word);
    }
    if (bytes > 0)
        dist_plan_copy(plan, dist_part(data, 0, WORD), word); /* what is sent next waits for the word */
    DIST_PIECES(data, PROBE_PIECE, at)
    {
        const uint64_t piece = dist_least(PROBE_PIECE, bytes - at);
        if (at > 0)
            dist_plan_copy(plan, dist_part(data, at, WORD), dist_part(data, 0, WORD));
        dist_plan_recv(plan, DIST_CHANNEL_ACROSS, peer, dist_part(room, at, piece));
        dist_plan_send(plan, DIST_CHANNEL_ACROSS, peer, dist_part(data, at, piece));
    }
    return plan;
}

/* The shortest of `times` runs, in seconds, at [site * sites + partner] of `seconds` on that site's first rank. */
static dist_status shortest(const probe *p, uint64_t bytes, int times, double *seconds)
{
    const int sites = p->topology->sites, site = p->topology->place[p->rank].site;
    dist_task *task;
    dist_plan *plan = exchange(p, site, bytes);
    if (!plan)
        return DIST_ERR_MEMORY;
    DIST_TRY(dist_plan_finish(plan));
    DIST_TRY(dist_task_create(&task, p->engine, plan, NULL));
    dist_status status = DIST_OK;
    double least = 0;
    for (int i = 0; i < times && status >= 0; i++) {
        const int64_t began = dist_now();
        status = dist_task_run(task);
        const double took = dist_seconds(dist_now() - began);
        least = i == 0 || took < least ? took : least;
    }
    if (p->partner[site] >= 0 && dist_topology_rank(p->topology, site, 0) == p->rank)
        seconds[site * sites + p->partner[site]] = least;
    const dist_status ended = dist_task_destroy(task);
    return status < 0 ? status : ended;
}

static double least_of_pair(const double *seconds, int sites, int a, int b, bool larger)
{
    const double x = seconds[a * sites + b], y = seconds[b * sites + a];
    return (x < y) != larger ? x : y;
}

/* Pairs that took longer with the size before leave; false when none is left. */
static bool keep_quick(const probe *p, const double *seconds, double quick)
{
    const int sites = p->topology->sites;
    bool any = false;
    for (int a = 0; a < sites; a++) {
        if (p->partner[a] >= 0 && least_of_pair(seconds, sites, a, p->partner[a], true) >= quick) {
            p->partner[p->partner[a]] = -1;
            p->partner[a] = -1;
        }
        any |= p->partner[a] >= 0;
    }
    return any;
}

/* The rank that answers sees a ping start when the word comes: the other one's time is a round trip. */
static void note_latency(const probe *p, const double *seconds, dist_link *link)
{
    const int sites = p->topology->sites;
    for (int a = 0; a < sites; a++)
        if (p->partner[a] >= 0)
            link[a * sites + p->partner[a]].latency =
                (a < p->partner[a] ? seconds[a * sites + p->partner[a]]
                                   : seconds[p->partner[a] * sites + a]) /
                2;
}

static void note_bandwidth(const probe *p, const double *seconds, uint64_t bytes, dist_link *link)
{
    const int sites = p->topology->sites;
    for (int a = 0; a < sites; a++) {
        const int b = p->partner[a];
        if (b < 0)
            continue;
        const double took = least_of_pair(seconds, sites, a, b, true);
        const double moving =
            took - 3 * link[a * sites + b].latency; /* word, word, and the first piece's way */
        link[a * sites + b].bandwidth = (double)bytes / (moving > took / 4 ? moving : took / 4);
    }
}

/* What was measured on one rank each, and is zero elsewhere, to all. */
static dist_status share(const probe *p, double *seconds)
{
    const uint64_t pairs = (uint64_t)p->topology->sites * (uint64_t)p->topology->sites;
    return dist_measure_share(p->engine, p->topology, p->rank, seconds, pairs);
}

static dist_status run_round(const probe *p, bool latency_only, dist_link *link, double *seconds)
{
    const size_t pairs = (size_t)p->topology->sites * (size_t)p->topology->sites;
    memset(seconds, 0, sizeof *seconds * pairs);
    DIST_TRY(shortest(p, 0, PINGS, seconds));
    DIST_TRY(share(p, seconds));
    note_latency(p, seconds, link);
    for (int s = 0; s < SIZES && !latency_only; s++) {
        if (s > 0 && !keep_quick(p, seconds, sizes[s].quick))
            break;
        memset(seconds, 0, sizeof *seconds * pairs);
        DIST_TRY(shortest(p, sizes[s].bytes, 1, seconds));
        DIST_TRY(share(p, seconds));
        note_bandwidth(p, seconds, sizes[s].bytes, link);
    }
    return DIST_OK;
}

dist_status dist_measure_sites(dist_engine *engine, const dist_topology *topology, int rank,
                               bool latency_only, dist_link *link)
{
    const size_t sites = (size_t)topology->sites;
    const int rounds = topology->sites - 1 + topology->sites % 2;
    probe p = {engine, topology, rank, malloc(sizeof(int) * sites)};
    double *seconds = malloc(sizeof *seconds * sites * sites);
    dist_status status = DIST_OK;
    memset(link, 0, sizeof *link * sites * sites);
    if (!p.partner || !seconds)
        status = dist_fail(DIST_ERR_MEMORY, "no memory to look at the links of %zu sites", sites);
    for (int round = 0; round < rounds && round < ROUNDS_MOST && status >= 0; round++) {
        pair_up(&p, round);
        status = run_round(&p, latency_only, link, seconds);
    }
    free(p.partner);
    free(seconds);
    return status;
}
