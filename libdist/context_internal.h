/* What a context holds. */
#ifndef DIST_CONTEXT_INTERNAL_H
#define DIST_CONTEXT_INTERNAL_H

#include <libdist/data_parallel.h>

#include "base/error.h"
#include "base/log.h"
#include "base/options.h"
#include "collective/collective.h"
#include "device/gpu.h"
#include "plan/engine.h"
#include "plan/trace.h"
#include "topology/topology.h"
#include "wire/wire.h"

/* Collectives called without a request, the most recently used first (call_cache.c). */
#define DIST_CACHE_MOST 64
typedef struct dist_cached dist_cached;

struct dist_context {
    dist_options options;
    dist_log log;
    dist_wire *wire;
    dist_topology *topology;
    dist_engine *engine;
    dist_trace *trace;
    bool owns_mpi;
    dist_simd simd;
    dist_cached *cache;
    const dist_cuda *cuda; /* NULL: host memory only */
    const dist_codec_cuda *cuda_codec;
    dist_gpu *gpu;          /* NULL until the first call with device memory */
    dist_wire *device_wire; /* NCCL inside this site; NULL: none */
    dist_wire *team_wire;   /* shared memory inside this site; NULL: none, on all ranks */
    bool team; /* NCCL connects the devices of each site that has several; the same on all ranks */
    struct dist_tuning
        *tuning;        /* what the file of DIST_TUNING says, the same on all ranks; NULL: there is none */
    const char *looked; /* for people: how topology->probed came; NULL: it did not */
    bool links_read;    /* topology->link is the tuning file's */
};

/* The defaults of the context's options, then what the call's options say. */
dist_status dist_context_spec(dist_context *context, const char *algo, const char *codec, dist_spec *spec);

/* Checks what data parallel is given, and adds the context's defaults. */
struct dist_data_parallel_setup;
dist_status dist_data_parallel_setup_of(dist_context *context, const dist_parameter *parameters, size_t n,
                                        const dist_data_parallel_options *given,
                                        struct dist_data_parallel_setup *setup);

/* Forgets the tasks of collectives called so far; the next call of each makes a new plan. */
void dist_context_forget(dist_context *context);

#define DIST_CHECK_CONTEXT(context)                                                                          \
    do {                                                                                                     \
        if (!(context))                                                                                      \
            return dist_fail(DIST_ERR_ARGUMENT, "%s: the context is NULL; make one with dist_init",          \
                             __func__);                                                                      \
    } while (0)

#endif
