/* The option table: one list of every setting, and where each value came from.
 *
 * Precedence: API, then DIST_* in the environment, then the configuration file, then the default. An empty
 * text says nothing, wherever it stands.
 */
#ifndef DIST_BASE_OPTIONS_H
#define DIST_BASE_OPTIONS_H

#include <stdint.h>
#include <stdio.h>

#include <libdist/status.h>

/* id, name in the environment, kind, default, help */
#define DIST_OPTION_LIST(X)                                                                                  \
    X(DIST_OPTION_CONFIG, "DIST_CONFIG", TEXT, "", "configuration file: lines of NAME = value")              \
    X(DIST_OPTION_LOG, "DIST_LOG", LOG, "none", "none, error, warn, info or debug, to stderr")               \
    X(DIST_OPTION_SITE, "DIST_SITE", TEXT, "", "the site that this process is on")                           \
    X(DIST_OPTION_SITES, "DIST_SITES", TEXT, "",                                                             \
      "file of `host-pattern site` lines, or auto (from measured latencies)")                                \
    X(DIST_OPTION_ALGO, "DIST_ALGO", TEXT, "auto", "auto, mpi, ring, halving, doubling or hier")             \
    X(DIST_OPTION_CODEC, "DIST_CODEC", TEXT, "none", "between sites: none, bf16, int8 or int4")              \
    X(DIST_OPTION_PROGRESS, "DIST_PROGRESS", PROGRESS, "thread", "thread or inline")                         \
    X(DIST_OPTION_TIMEOUT, "DIST_TIMEOUT", SECONDS, "60", "seconds after which a wait fails")                \
    X(DIST_OPTION_CHUNK, "DIST_CHUNK", BYTES, "0", "bytes of one message between sites; 0: chosen")          \
    X(DIST_OPTION_WINDOW, "DIST_WINDOW", BYTES, "0", "bytes in flight to one peer; 0: chosen")               \
    X(DIST_OPTION_BUCKET, "DIST_BUCKET", BYTES, "25M", "data parallel: bytes of a bucket")                   \
    X(DIST_OPTION_MESH, "DIST_MESH", TEXT, "",                                                               \
      "pipelines: pp:4,dp:2, the outer axis first; empty: one pipeline")                                     \
    X(DIST_OPTION_SCHEDULE, "DIST_SCHEDULE", TEXT, "auto", "pipelines: 1f1b, zb-h1, wan-1f1b, auto, ...")    \
    X(DIST_OPTION_SIMD, "DIST_SIMD", SIMD, "auto", "auto, scalar, avx2, avx512 or neon")                     \
    X(DIST_OPTION_CUDA, "DIST_CUDA", TEXT, "auto", "auto, or off: host memory only")                         \
    X(DIST_OPTION_CUDA_PLUGIN, "DIST_CUDA_PLUGIN", TEXT, "",                                                 \
      "the file of libdist_cuda; else beside libdist")                                                       \
    X(DIST_OPTION_NCCL, "DIST_NCCL", TEXT, "auto", "auto, off, or the file of libnccl")                      \
    X(DIST_OPTION_CUDA_AWARE, "DIST_CUDA_AWARE", TEXT, "auto",                                               \
      "auto: hand device memory to an MPI that says it takes it; off: never")                                \
    X(DIST_OPTION_CUDA_WAIT, "DIST_CUDA_WAIT", TEXT, "stream",                                               \
      "averages on devices: stream (the stream waits for them) or host (the call does)")                     \
    X(DIST_OPTION_WIRE, "DIST_WIRE", WIRE, "auto", "between sites: auto, mpi or tcp")                        \
    X(DIST_OPTION_STREAMS, "DIST_STREAMS", STREAMS, "auto",                                                  \
      "tcp: connections of two ranks, 1 to 64, or auto")                                                     \
    X(DIST_OPTION_SHM, "DIST_SHM", SHM, "auto",                                                              \
      "inside a node: auto, stage (no process_vm_readv) or off (messages only)")                             \
    X(DIST_OPTION_IFACE, "DIST_IFACE", TEXT, "",                                                             \
      "tcp: the interface or address to use; empty: any that connects")                                      \
    X(DIST_OPTION_PORTS, "DIST_PORTS", PORTS, "0", "tcp: the port to listen on, or FIRST-LAST; 0: any")      \
    X(DIST_OPTION_CONGESTION, "DIST_CONGESTION", TEXT, "",                                                   \
      "tcp: congestion control, such as bbr; empty: the system's")                                           \
    X(DIST_OPTION_TUNING, "DIST_TUNING", TEXT, "",                                                           \
      "file of measured choices that auto takes, read by rank 0 for all")                                    \
    X(DIST_OPTION_TRACE, "DIST_TRACE", TEXT, "", "file for a Chrome trace of all ranks")

typedef enum dist_option {
#define DIST_OPTION_ENUM(id, name, kind, value, help) id,
    DIST_OPTION_LIST(DIST_OPTION_ENUM)
#undef DIST_OPTION_ENUM
        DIST_OPTIONS
} dist_option;

/* What DIST_SHM may say, in the order of its words. */
enum { DIST_SHM_CHOICE_AUTO, DIST_SHM_CHOICE_STAGE, DIST_SHM_CHOICE_OFF };
/* What DIST_WIRE may say, in the order of its words. */
enum { DIST_WIRE_CHOICE_AUTO, DIST_WIRE_CHOICE_MPI, DIST_WIRE_CHOICE_TCP };

typedef enum dist_option_source {
    DIST_FROM_DEFAULT,
    DIST_FROM_FILE,
    DIST_FROM_ENVIRONMENT,
    DIST_FROM_API
} dist_option_source;

typedef struct dist_option_value {
    char *text; /* owned; never NULL */
    double
        number; /* SECONDS: seconds; BYTES: bytes; LOG, PROGRESS, SIMD, WIRE, SHM: position in their list of words; STREAMS: 0: auto;
                      PORTS: the first * 65536 + the last */
    dist_option_source source;
} dist_option_value;

typedef struct dist_options {
    dist_option_value value[DIST_OPTIONS];
    char *warnings; /* owned; lines about unknown DIST_* variables and file entries; "" when there are none */
} dist_options;

/* Fills *options from `api` (DIST_OPTIONS texts; NULL or "" where the program said nothing; may itself be
 * NULL), the environment and the file that DIST_CONFIG names. A value that does not parse is DIST_ERR_CONFIG
 * with a sentence that names the option, its source and what is allowed; an unknown DIST_* name is a warning
 * only. End with dist_options_end, also after an error. */
dist_status dist_options_begin(dist_options *options, const char *const *api, char *const *environment);
void dist_options_end(dist_options *options);

/* One line an option: name, value, source, help; then the warnings. */
void dist_options_write(const dist_options *options, FILE *file);

static inline const char *dist_option_text(const dist_options *options, dist_option option)
{
    return options->value[option].text;
}
static inline double dist_option_number(const dist_options *options, dist_option option)
{
    return options->value[option].number;
}

#endif
