/* libdist: data-parallel and pipeline-parallel training across machines and sites. This header is all that
 * most programs need.
 *
 *     #include <libdist/dist.h>
 *
 * Read context.h first, then data_parallel.h; collective.h and codec.h when you need them; plan.h to look
 * inside, and tuning.h to keep what was measured. */
#ifndef LIBDIST_DIST_H
#define LIBDIST_DIST_H

#include <libdist/status.h>
#include <libdist/context.h>
#include <libdist/memory.h>
#include <libdist/collective.h>
#include <libdist/data_parallel.h>
#include <libdist/pipeline.h>
#include <libdist/codec.h>
#include <libdist/plan.h>
#include <libdist/tuning.h>

#endif
