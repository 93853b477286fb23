/* Starting and ending: options, MPI, who is where, the engine. */
#define _POSIX_C_SOURCE 200809L

#include <mpi.h>

#include <libdist/mpi.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "collective/tuning.h"
#include "context_internal.h"
#include "devices.h"
#include "discover.h"
#include "tuned.h"
#include "wire/mpi.h"
#include "wire/route.h"
#include "wires.h"

extern char **environ;

static dist_status read_options(dist_context *context, const dist_context_options *options)
{
    const char *api[DIST_OPTIONS] = {0};
    char timeout[32];
    if (options && (options->size < sizeof *options || options->version != DIST_CONTEXT_OPTIONS_VERSION))
        return dist_fail(
            DIST_ERR_ARGUMENT,
            "dist_context_options has size %zu and version %d; start it with DIST_CONTEXT_OPTIONS_INIT",
            options->size, options->version);
    if (options) {
        api[DIST_OPTION_SITE] = options->site;
        api[DIST_OPTION_SITES] = options->sites;
        api[DIST_OPTION_ALGO] = options->algo;
        api[DIST_OPTION_CODEC] = options->codec;
        api[DIST_OPTION_PROGRESS] = options->progress;
        api[DIST_OPTION_LOG] = options->log;
        api[DIST_OPTION_TRACE] = options->trace;
        api[DIST_OPTION_TUNING] = options->tuning;
        if (options->timeout != 0) {
            snprintf(timeout, sizeof timeout, "%.17g", options->timeout);
            for (char *comma = timeout; (comma = strchr(comma, ',')) != NULL;)
                *comma = '.'; /* the program's locale may write it otherwise; options are read in C's */
            api[DIST_OPTION_TIMEOUT] = timeout;
        }
    }
    DIST_TRY(dist_options_begin(&context->options, api, environ));
    context->log = (dist_log){.level = (dist_log_level)dist_option_number(&context->options, DIST_OPTION_LOG),
                              .file = stderr,
                              .rank = -1};
    context->simd = (dist_simd)dist_option_number(&context->options, DIST_OPTION_SIMD);
    dist_spec spec; /* an unknown algorithm or codec is found here, not at the first call */
    return dist_context_spec(context, NULL, NULL, &spec);
}

dist_status dist_context_spec(dist_context *context, const char *algo, const char *codec, dist_spec *spec)
{
    const dist_options *options = &context->options;
    memset(spec, 0, sizeof *spec);
    DIST_TRY(dist_algo_parse(algo ? algo : dist_option_text(options, DIST_OPTION_ALGO), &spec->algo));
    DIST_TRY(dist_codec_parse(codec ? codec : dist_option_text(options, DIST_OPTION_CODEC), context->simd,
                              &spec->codec));
    spec->chunk_bytes = (uint64_t)dist_option_number(options, DIST_OPTION_CHUNK);
    spec->window_bytes = (uint64_t)dist_option_number(options, DIST_OPTION_WINDOW);
    spec->topology = context->topology;
    spec->team = context->team_wire != NULL;
    spec->rank = context->wire ? context->wire->rank : 0;
    spec->one_way = context->wire ? context->wire->one_way : 0;
    spec->tuning = context->tuning;
    return DIST_OK;
}

static void say_warnings(const dist_context *context)
{
    const char *line = context->options.warnings;
    while (line && *line) {
        int length = (int)strcspn(line, "\n");
        dist_log_write(&context->log, DIST_LOG_WARN, "%.*s", length, line);
        line += length + (line[length] == '\n');
    }
}

static dist_status start_engine(dist_context *context)
{
    const char *progress = dist_option_text(&context->options, DIST_OPTION_PROGRESS);
    if (dist_option_text(&context->options, DIST_OPTION_TRACE)[0] && !(context->trace = dist_trace_create()))
        return dist_fail(DIST_ERR_MEMORY, "no memory for the trace");
    dist_engine_options engine = {.wire = context->wire,
                                  .topology = context->topology,
                                  .log = &context->log,
                                  .trace = context->trace,
                                  .threaded = strcmp(progress, "inline") != 0,
                                  .timeout = dist_option_number(&context->options, DIST_OPTION_TIMEOUT)};
    if (engine.threaded && !context->wire->threaded)
        dist_log_write(&context->log, DIST_LOG_INFO,
                       "MPI grants less than MPI_THREAD_MULTIPLE: progress is made inside calls");
    return dist_engine_create(&context->engine, &engine);
}

/* What is wrong on one rank (`mine`) goes on to the exchange, so that all ranks learn of it instead of waiting. */
static dist_status discover(dist_context *context, dist_status mine)
{
    dist_tuning_file file = {.text = NULL};
    if (mine >= 0)
        mine = dist_tuned_load(context, &file);
    dist_status status = dist_discover(context, mine, &file.bytes);
    if (status >= 0) {
        say_warnings(context);
        dist_devices_find(context);
        status = start_engine(context);
    }
    if (status >= 0)
        status = dist_discover_sites(context);
    if (status >= 0)
        status = dist_tuned_spread(context, &file);
    free(file.text);
    return status;
}

static dist_status start(dist_context *context, MPI_Comm communicator, const dist_context_options *options)
{
    const dist_status mine = read_options(context, options);
    dist_wire *mpi;
    DIST_TRY(dist_wire_mpi_open(&mpi, communicator, DIST_CHANNELS));
    DIST_TRY(dist_wire_route_create(&context->wire, mpi));
    context->log.rank = context->wire->rank;
    DIST_TRY(discover(context, mine));
    return dist_wires_open(context);
}

static void free_context(dist_context *context, bool failed)
{
    dist_devices_release(context, failed);
    if (context->team_wire)
        context->team_wire->ops->close(context->team_wire, failed);
    if (context->wire)
        context->wire->ops->close(context->wire, failed);
    dist_trace_destroy(context->trace);
    dist_topology_destroy(context->topology);
    dist_tuning_free(context->tuning);
    dist_options_end(&context->options);
    free(context);
}

static dist_status open_context(dist_context **out, MPI_Comm communicator,
                                const dist_context_options *options, bool owns_mpi)
{
    dist_context *context = calloc(1, sizeof *context);
    if (!context)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a context");
    context->owns_mpi = owns_mpi;
    dist_status status = start(context, communicator, options);
    if (status < 0) {
        bool failed = status == DIST_ERR_TIMEOUT || status == DIST_ERR_MPI;
        if (context->engine)
            dist_engine_destroy(context->engine);
        free_context(context, failed);
        if (owns_mpi && !failed)
            dist_mpi_end();
        return status;
    }
    *out = context;
    return DIST_OK;
}

dist_status dist_init(dist_context **context, const dist_context_options *options)
{
    bool started;
    if (!context)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_init: the place for the context is NULL");
    *context = NULL;
    DIST_TRY(dist_mpi_begin(&started));
    return open_context(context, MPI_COMM_WORLD, options, started);
}

dist_status dist_init_mpi(dist_context **context, MPI_Comm communicator, const dist_context_options *options)
{
    int initialized = 0;
    if (!context)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_init_mpi: the place for the context is NULL");
    *context = NULL;
    MPI_Initialized(&initialized);
    if (!initialized)
        return dist_fail(DIST_ERR_STATE,
                         "dist_init_mpi: MPI is not initialized; call MPI_Init_thread first, or dist_init");
    if (communicator == MPI_COMM_NULL)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_init_mpi: the communicator is MPI_COMM_NULL");
    return open_context(context, communicator, options, false);
}

dist_status dist_finalize(dist_context *context)
{
    if (!context)
        return DIST_OK;
    bool owns_mpi = context->owns_mpi;
    dist_status status = dist_engine_status(context->engine);
    dist_context_forget(context);
    dist_status ended = dist_engine_destroy(context->engine);
    status = status < 0 ? status : ended;
    bool failed = status < 0;
    if (context->trace && !failed) {
        int64_t deadline = dist_deadline(dist_option_number(&context->options, DIST_OPTION_TIMEOUT));
        status = dist_trace_write(context->trace, context->wire, context->topology,
                                  dist_option_text(&context->options, DIST_OPTION_TRACE), deadline);
        failed = status == DIST_ERR_TIMEOUT || status == DIST_ERR_MPI;
    }
    free_context(context, failed);
    if (owns_mpi && !failed)
        dist_mpi_end();
    return status;
}
