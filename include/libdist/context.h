/* The context: who and where this process is, and the engine that runs plans.
 *
 *     dist_context *context;
 *     if (dist_init(&context, NULL) < 0) { ... dist_last_error() ... }
 *     printf("rank %d of %d, site %s\n", dist_rank(context), dist_ranks(context),
 *            dist_site_name(context, dist_site(context)));
 *     ... collectives, data parallel ...
 *     dist_finalize(context);
 *
 * A context may be used by one thread at a time. Calls marked "collective" must be made by every rank, in the
 * same order.
 */
#ifndef LIBDIST_CONTEXT_H
#define LIBDIST_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <libdist/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DIST_VERSION_MAJOR 0
#define DIST_VERSION_MINOR 1
#define DIST_VERSION_PATCH 0

typedef struct dist_context dist_context;

/* How to start. Make one with DIST_CONTEXT_OPTIONS_INIT, then set what you need. A field left at NULL or 0 is
 * taken from the environment, then from the configuration file (DIST_CONFIG), then from the default;
 * `dist_info -c` prints the table. */
typedef struct dist_context_options {
    size_t size;       /* set by the initializer */
    int version;       /* set by the initializer */
    const char *site;  /* DIST_SITE: this process's site; the same on every process of a site */
    const char *sites; /* DIST_SITES: a file of `host-pattern site` lines, or "auto" (measured latencies) */
    const char
        *algo; /* DIST_ALGO: default algorithm of all-reduce: auto, mpi, ring, halving, doubling, hier */
    const char *codec; /* DIST_CODEC: default codec between sites for data parallel: none, bf16, int8, int4 */
    const char *progress; /* DIST_PROGRESS: "thread" (default) or "inline" (progress only inside calls) */
    double timeout;       /* DIST_TIMEOUT: seconds after which a wait fails; default 60 */
    const char *log;      /* DIST_LOG: none (default), error, warn, info, debug; to stderr */
    const char *trace;    /* DIST_TRACE: file for a Chrome trace of all ranks, written by dist_finalize */
    const char *tuning;   /* DIST_TUNING: file of measured choices (tuning.h), read by rank 0 for all */
} dist_context_options;

#define DIST_CONTEXT_OPTIONS_VERSION 1
#define DIST_CONTEXT_OPTIONS_INIT                                                                            \
    {                                                                                                        \
        .size = sizeof(dist_context_options), .version = DIST_CONTEXT_OPTIONS_VERSION                        \
    }

/* Starts libdist on all processes of the job. Collective over MPI_COMM_WORLD; blocking. Initializes MPI with
 * MPI_THREAD_MULTIPLE when the program has not; then dist_finalize ends it. `options` may be NULL and is not
 * kept. On error *context is NULL. A program that is started without mpirun becomes a job of one rank. */
DIST_API dist_status dist_init(dist_context **context, const dist_context_options *options);

/* Ends libdist: waits for work in flight (up to the timeout), writes the trace, frees everything. Collective;
 * blocking. NULL is legal. After a failure (a timeout, a lost peer) MPI is left as it is, because ending it
 * could wait for ever: exit with a nonzero code and mpirun ends the job. */
DIST_API dist_status dist_finalize(dist_context *context);

/* Who and where. These never fail; a NULL context gives -1, or "" for names. */
DIST_API int dist_rank(const dist_context *context);
DIST_API int dist_ranks(const dist_context *context);
DIST_API int dist_node(const dist_context *context);
DIST_API int dist_nodes(const dist_context *context);
DIST_API int dist_site(const dist_context *context);
DIST_API int dist_sites(const dist_context *context);
/* The site, and the node, that `rank` is on; -1 when there is no such rank. */
DIST_API int dist_site_of(const dist_context *context, int rank);
DIST_API int dist_node_of(const dist_context *context, int rank);
/* The name of site number `site`; "" when there is no such site. Valid until dist_finalize. */
DIST_API const char *dist_site_name(const dist_context *context, int site);

/* One-way latency and bandwidth between two sites, and between two ranks of one site where from == to. */
typedef struct dist_link {
    double latency;   /* seconds, half of the smallest round trip */
    double bandwidth; /* bytes a second, one direction */
} dist_link;

/* Measures the links between all pairs of sites (between their first ranks). Collective; blocking; about a
 * tenth of a second a pair. Later calls of `auto` choose by these figures. */
DIST_API dist_status dist_links_measure(dist_context *context);

/* The link between two sites as measured. DIST_ERR_STATE before dist_links_measure, unless a tuning file has all links. */
DIST_API dist_status dist_link_get(const dist_context *context, int from, int to, dist_link *link);

/* What this rank has done since dist_init. Bytes are payload handed to the wire, without its headers. */
typedef struct dist_counters {
    uint64_t bytes_inside; /* sent to ranks of the same site */
    uint64_t bytes_across; /* sent to ranks of other sites */
    uint64_t messages;
    uint64_t ops;          /* plan ops run */
    uint64_t nonfinite;    /* encoded blocks that held a NaN or an infinity */
    double seconds_codec;  /* in ENCODE and DECODE */
    double seconds_reduce; /* in REDUCE and COPY */
    double seconds_busy;   /* with at least one plan in flight */
} dist_counters;

/* Reads the counters; may be called while work is in flight. */
DIST_API dist_status dist_counters_get(dist_context *context, dist_counters *counters);

/* Prints the option table with the source of each value, or the topology with how it was found. `context` may
 * be NULL for the options (then: as dist_init would find them now). */
DIST_API dist_status dist_options_print(const dist_context *context, FILE *file);
DIST_API dist_status dist_topology_print(const dist_context *context, FILE *file);
/* Prints the predicted time of every algorithm of all-reduce and all-to-all over sizes, and which one `auto` takes. */
DIST_API dist_status dist_algorithms_print(const dist_context *context, FILE *file);
/* Prints what this process runs on: the MPI library and the thread level that it grants, the instruction sets that codecs
 * and sums were built for and which of them are taken, and the NUMA nodes that it may run on. Not collective; takes some
 * milliseconds. DIST_ERR_ARGUMENT when `file` or the context is NULL. */
DIST_API dist_status dist_machine_print(const dist_context *context, FILE *file);

/* A span of the program's own in the trace, beside the library's ops: begun = dist_trace_begin(c); ...;
 * dist_trace_end(c, "forward", begun). Cheap, and nothing without a trace. The name is copied. */
DIST_API int64_t dist_trace_begin(const dist_context *context);
DIST_API void dist_trace_end(dist_context *context, const char *name, int64_t begun);

/* Library version, as "0.1.0", and a line on what it was built with: MPI, compiler, vector instructions, hwloc, sanitizers, the
 * CUDA plugin. Both may be called at any time, also without a context. */
DIST_API const char *dist_version(void);
DIST_API const char *dist_build_info(void);

#ifdef __cplusplus
}
#endif
#endif
