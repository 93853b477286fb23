#include "collective/tuning.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/options.h"

#define STREAMS_MOST   64
#define LATENCY_MOST   3600.0
#define BANDWIDTH_MOST 1e15

dist_status dist_tuning_new(dist_tuning **out, const dist_topology *topology)
{
    const size_t sites = (size_t)topology->sites;
    dist_tuning *tuning = calloc(1, sizeof *tuning);
    *out = NULL;
    if (tuning) {
        tuning->cluster = dist_tuning_cluster(topology);
        tuning->site = calloc(sites, sizeof *tuning->site);
        tuning->link = calloc(sites * sites, sizeof *tuning->link);
    }
    if (!tuning || !tuning->cluster || !tuning->site || !tuning->link) {
        dist_tuning_free(tuning);
        return dist_fail(DIST_ERR_MEMORY, "no memory for a tuning of %zu sites", sites);
    }
    tuning->ranks = topology->ranks;
    tuning->sites = topology->sites;
    for (size_t s = 0; s < sites; s++)
        memcpy(tuning->site[s], topology->site[s].name, DIST_NAME_MAX);
    *out = tuning;
    return DIST_OK;
}

void dist_tuning_free(dist_tuning *tuning)
{
    if (!tuning)
        return;
    free(tuning->file);
    free(tuning->cluster);
    free(tuning->site);
    free(tuning->link);
    free(tuning->row);
    free(tuning);
}

/* What can be said of a row without knowing the call. */
static dist_status check_row(const dist_tuning_row *row, const dist_codec *codec)
{
    if (row->algo.kind == DIST_ALGO_AUTO)
        return dist_fail(DIST_ERR_ARGUMENT, "a choice cannot be 'auto', which asks for a choice");
    if (row->kind == DIST_SEND_RECV)
        return dist_fail(DIST_ERR_ARGUMENT, "there is nothing to choose for a send-recv: it has one way");
    if (row->from > row->to)
        return dist_fail(DIST_ERR_ARGUMENT, "sizes go from the smaller to the larger, not from %llu to %llu",
                         (unsigned long long)row->from, (unsigned long long)row->to);
    if (codec->kind == DIST_CODEC_POWERSGD)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "codec '%s' is none of a collective: what it sends has codec 'none'", codec->text);
    if (codec->kind == DIST_CODEC_NONE)
        return DIST_OK;
    if (row->kind != DIST_ALL_REDUCE)
        return dist_fail(DIST_ERR_ARGUMENT, "codec '%s' works in an all-reduce alone; say 'none'",
                         codec->text);
    if (row->algo.kind != DIST_ALGO_HIER)
        return dist_fail(DIST_ERR_ARGUMENT, "codec '%s' needs algorithm 'hier', not '%s'", codec->text,
                         dist_algo_name(row->algo.kind));
    return DIST_OK;
}

/* The later row counts: what an earlier one says of the same sizes goes, unless it goes on at both ends. */
static void give_way(dist_tuning *tuning, const dist_tuning_row *row)
{
    size_t kept = 0;
    for (size_t r = 0; r < tuning->rows; r++) {
        dist_tuning_row old = tuning->row[r];
        if (old.kind == row->kind && strcmp(old.codec, row->codec) == 0) {
            if (old.from >= row->from && old.to <= row->to)
                continue;
            if (old.from >= row->from && old.from <= row->to)
                old.from = row->to + 1;
            else if (old.to >= row->from && old.to <= row->to)
                old.to = row->from - 1;
        }
        tuning->row[kept++] = old;
    }
    tuning->rows = kept;
}

dist_status dist_tuning_add_row(dist_tuning *tuning, const char *collective, const char *codec, uint64_t from,
                                uint64_t to, const char *algo)
{
    dist_codec parsed;
    dist_tuning_row row = {.from = from, .to = to};
    DIST_TRY(dist_collective_parse(collective, &row.kind));
    DIST_TRY(dist_codec_parse(codec, DIST_SIMD_SCALAR, &parsed));
    DIST_TRY(dist_algo_parse(algo, &row.algo));
    DIST_TRY(check_row(&row, &parsed));
    snprintf(row.codec, sizeof row.codec, "%s", parsed.kind == DIST_CODEC_NONE ? "none" : parsed.text);
    if (!dist_grow(&tuning->row, &tuning->row_room, tuning->rows + 1, sizeof row))
        return dist_fail(DIST_ERR_MEMORY, "no memory for %zu choices", tuning->rows + 1);
    give_way(tuning, &row);
    tuning->row[tuning->rows++] = row;
    return DIST_OK;
}

dist_status dist_tuning_copy_rows(dist_tuning *tuning, const dist_tuning *from)
{
    if (from->rows == 0)
        return DIST_OK;
    if (!dist_grow(&tuning->row, &tuning->row_room, from->rows, sizeof *tuning->row))
        return dist_fail(DIST_ERR_MEMORY, "no memory for %zu choices", from->rows);
    memcpy(tuning->row, from->row, from->rows * sizeof *from->row);
    tuning->rows = from->rows;
    return DIST_OK;
}

dist_status dist_tuning_put_streams(dist_tuning *tuning, int streams)
{
    if (streams < 1 || streams > STREAMS_MOST)
        return dist_fail(DIST_ERR_ARGUMENT, "%d streams; there can be 1 to %d", streams, STREAMS_MOST);
    tuning->streams = streams;
    return DIST_OK;
}

dist_status dist_tuning_put_link(dist_tuning *tuning, int from, int to, const dist_link *link)
{
    if (from < 0 || to < 0 || from >= tuning->sites || to >= tuning->sites)
        return dist_fail(DIST_ERR_ARGUMENT, "a link between sites %d and %d; they go from 0 to %d", from, to,
                         tuning->sites - 1);
    if (!(link->latency >= 0 && link->latency <= LATENCY_MOST))
        return dist_fail(DIST_ERR_ARGUMENT, "a latency of %g seconds; it can be 0 to %g", link->latency,
                         LATENCY_MOST);
    if (!(link->bandwidth >= 1 && link->bandwidth <= BANDWIDTH_MOST))
        return dist_fail(DIST_ERR_ARGUMENT, "a bandwidth of %g bytes a second; it can be 1 to %g",
                         link->bandwidth, BANDWIDTH_MOST);
    tuning->link[from * tuning->sites + to] = *link;
    return DIST_OK;
}

/* As nccl-tests counts: the larger side. */
static uint64_t size_of(const dist_spec *spec)
{
    const uint64_t part = spec->count * dist_type_bytes(spec->type);
    const bool one =
        spec->kind == DIST_ALL_REDUCE || spec->kind == DIST_BROADCAST || spec->kind == DIST_BARRIER;
    return one ? part : part * (uint64_t)spec->topology->ranks;
}

/* Devices that NCCL connects are left to it, whatever was measured of host memory; it has no all-to-all. */
static bool fits(const dist_spec *spec, dist_algo_kind kind)
{
    const bool nccl = spec->device && spec->team && spec->kind != DIST_ALL_TO_ALL;
    if (spec->codec.kind != DIST_CODEC_NONE || nccl)
        return kind == DIST_ALGO_HIER;
    return kind != DIST_ALGO_MPI || !spec->group;
}

/* A group that lacks some ranks is another cluster. */
bool dist_tuning_choice(const dist_spec *spec, dist_algo *algo)
{
    const dist_tuning *tuning = spec->tuning;
    const char *codec = spec->codec.kind == DIST_CODEC_NONE ? "none" : spec->codec.text;
    if (!tuning || spec->topology->ranks != tuning->ranks)
        return false;
    const uint64_t bytes = size_of(spec);
    for (size_t r = tuning->rows; r-- > 0;) {
        const dist_tuning_row *row = &tuning->row[r];
        if (row->kind != spec->kind || bytes < row->from || bytes > row->to || strcmp(row->codec, codec) != 0)
            continue;
        if (!fits(spec, row->algo.kind))
            return false;
        *algo = row->algo;
        return true;
    }
    return false;
}

static bool is_there(const dist_tuning *tuning, int from, int to)
{
    return tuning->link[from * tuning->sites + to].bandwidth > 0;
}

bool dist_tuning_has_links(const dist_tuning *tuning)
{
    bool all = tuning->sites > 1;
    for (int a = 0; a < tuning->sites; a++) {
        bool some = false;
        for (int b = 0; b < tuning->sites; b++)
            some |= a != b && (is_there(tuning, a, b) || is_there(tuning, b, a));
        all &= some;
    }
    return all;
}

bool dist_tuning_has_all_links(const dist_tuning *tuning, const dist_topology *topology)
{
    for (int a = 0; a < tuning->sites; a++)
        for (int b = 0; b < tuning->sites; b++)
            if (!is_there(tuning, a, b) && (a != b || topology->site[a].count > 1))
                return false;
    return true;
}
