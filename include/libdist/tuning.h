/* A tuning file: what a measurement found for one cluster, which `auto` reads back.
 *
 *     dist_tuning *tuning;
 *     dist_tuning_create(context, &tuning);
 *     dist_tuning_add(tuning, "all-reduce", "none", 0, 65536, "doubling");
 *     dist_tuning_add(tuning, "all-reduce", "none", 65537, UINT64_MAX, "hier");
 *     if (dist_rank(context) == 0)
 *         dist_tuning_write(tuning, "cluster.tuning", "measured on Monday");
 *     dist_tuning_destroy(tuning);
 *
 * A job on the same cluster that is started with DIST_TUNING=cluster.tuning (or dist_context_options.tuning) takes these
 * algorithms where `auto` is asked for, and the wire, the streams and the links between sites as they are written instead of
 * looking for them: with these in the file, dist_init measures nothing (but what DIST_SITES=auto finds the sites by).
 *
 * Rank 0 reads the file for all; other hosts need not have it. A file that cannot be read, is not understood, or is of another
 * cluster is DIST_ERR_CONFIG on all ranks. The same cluster is: sites of the same names, and the same ranks on each of their nodes;
 * hosts may be others. What is set by the program, the environment or the configuration file (DIST_WIRE, DIST_STREAMS, an
 * algorithm) comes before the file; `auto`, from wherever, asks the file.
 *
 * The file is text, a few words a line, with # comments:
 *
 *     libdist-tuning 1
 *     cluster sites east:0-3/4-7 west:8-9       # a site's nodes are split by /; 0-6:2 would be ranks 0, 2, 4 and 6
 *     wire tcp                                  # between sites: tcp or mpi
 *     streams 16
 *     link east west 0.01503 23810000           # seconds one way, bytes a second
 *     link west east 0.01503 23810000
 *     all-reduce none 0 65536 doubling          # collective, codec, sizes in bytes, algorithm
 *     all-reduce none 65537 max hier
 *
 * In the name of a site, other characters than letters, digits and - . _ are written as % and two hexadecimal digits.
 */
#ifndef LIBDIST_TUNING_H
#define LIBDIST_TUNING_H

#include <libdist/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dist_tuning dist_tuning;

/* A tuning of the context's cluster, with the choices of the file that it was started with, if any, and what its start found: the wire
 * between sites, its streams, and the links (those of dist_links_measure, where that was called). Local; the context may end before the
 * tuning. On error *tuning is NULL. */
DIST_API dist_status dist_tuning_create(const dist_context *context, dist_tuning **tuning);

/* Adds a row: `algo` for this collective ("all-reduce", ...) with this codec ("none", "int8", ...) and sizes from `from` to `to`
 * bytes, both included; UINT64_MAX: without end. Sizes are counted as nccl-tests do: count elements for all-reduce and broadcast,
 * ranks * count for the others. `algo` is one of collective.h but auto; with a codec, hier. Where rows overlap, the later one
 * counts; an earlier one goes, or keeps the sizes that are left to it. A row that does not fit a call (a device collective inside a site is NCCL's) leaves it to the prediction. Local.
 * DIST_ERR_ARGUMENT, with nothing added, for unknown words, for from > to, and for send-recv, which has one way. */
DIST_API dist_status dist_tuning_add(dist_tuning *tuning, const char *collective, const char *codec,
                                     uint64_t from, uint64_t to, const char *algo);

/* TCP connections of two ranks, 1 to 64; replaces what the start found. Local. */
DIST_API dist_status dist_tuning_set_streams(dist_tuning *tuning, int streams);

/* The link from one site to another, or between two ranks of one site where from == to; replaces what the start found. A latency
 * from 0 to 3600 seconds, and a bandwidth from 1 to 1e15 bytes a second. Local. */
DIST_API dist_status dist_tuning_set_link(dist_tuning *tuning, int from, int to, const dist_link *link);

/* Replaces the file as a whole, or leaves it as it was (DIST_ERR_IO): the text is written beside it and then renamed. `comment`:
 * lines that are put behind a #; may be NULL. Local: let one rank write, such as rank 0. */
DIST_API dist_status dist_tuning_write(const dist_tuning *tuning, const char *path, const char *comment);

/* NULL is legal. */
DIST_API void dist_tuning_destroy(dist_tuning *tuning);

#ifdef __cplusplus
}
#endif
#endif
