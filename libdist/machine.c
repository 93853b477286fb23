/* What this libdist was built with, and what this process runs on. */
#define _GNU_SOURCE

#include <mpi.h>

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "codec/tables.h"
#include "context_internal.h"
#include "device/host_loops.h"
#include "device/numa.h"

#define STRING_OF(x) #x
#define STRING(x)    STRING_OF(x)

#ifndef DIST_BUILT_WITH /* cmake/build_info.cmake says it */
#define DIST_BUILT_WITH "not built by its CMakeLists.txt"
#endif

#ifdef OMPI_MAJOR_VERSION
#define MPI_OF_BUILD                                                                                         \
    "Open MPI " STRING(OMPI_MAJOR_VERSION) "." STRING(OMPI_MINOR_VERSION) "." STRING(OMPI_RELEASE_VERSION)
#elif defined(MPICH_VERSION)
#define MPI_OF_BUILD "MPICH " MPICH_VERSION
#else
#define MPI_OF_BUILD "MPI"
#endif

#if defined(__x86_64__)
#define VECTORS "scalar, avx2 and avx512"
#elif defined(__aarch64__)
#define VECTORS "scalar and neon"
#else
#define VECTORS "scalar"
#endif

const char *dist_build_info(void)
{
    return MPI_OF_BUILD " (MPI " STRING(MPI_VERSION) "." STRING(MPI_SUBVERSION) "), compiler " __VERSION__
                                                                                ", " VECTORS
                                                                                " loops, " DIST_BUILT_WITH;
}

/* ---- MPI ---- */

static const char *level_name(int level)
{
    return level == MPI_THREAD_MULTIPLE     ? "MPI_THREAD_MULTIPLE"
           : level == MPI_THREAD_SERIALIZED ? "MPI_THREAD_SERIALIZED"
           : level == MPI_THREAD_FUNNELED   ? "MPI_THREAD_FUNNELED"
                                            : "MPI_THREAD_SINGLE";
}

static void print_mpi(const dist_context *context, FILE *file)
{
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0, level = MPI_THREAD_SINGLE;
    MPI_Get_library_version(library, &length);
    MPI_Query_thread(&level);
    library[strcspn(library, "\n")] = '\0'; /* MPICH goes on for many lines */
    fprintf(file, "MPI library: %s\n", library);
    fprintf(file, "MPI threads: %s%s\n", level_name(level),
            context->wire->threaded
                ? ""
                : "; progress is made inside calls (MPI_THREAD_MULTIPLE is needed for a thread)");
}

/* ---- vector instructions ---- */

typedef struct vectors {
    const char *name;
    dist_simd simd;
    const dist_codec_table *built;
} vectors;

static void print_simd(const dist_context *context, FILE *file)
{
    const vectors all[] = {{"scalar", DIST_SIMD_SCALAR, &dist_codec_scalar},
                           {"avx2", DIST_SIMD_AVX2, dist_codec_avx2},
                           {"avx512", DIST_SIMD_AVX512, dist_codec_avx512},
                           {"neon", DIST_SIMD_NEON, dist_codec_neon}};
    const dist_codec_table *taken = dist_codec_table_of(context->simd);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const dist_codec_table *usable = all[i].built ? dist_codec_table_of(all[i].simd) : NULL;
        const char *state = !all[i].built ? "not built in" : usable ? "runs here" : "this CPU lacks it";
        const char *why = !usable || usable != taken        ? ""
                          : context->simd == DIST_SIMD_AUTO ? "; codecs take it: the best that runs here"
                                                            : "; codecs take it: DIST_SIMD asks for it";
        fprintf(file, "SIMD %-6s: %s%s\n", all[i].name, state, why);
    }
    fprintf(file,
            "SIMD of sums: %s, the best that runs here (DIST_SIMD is for codecs; the bits are the same)\n",
            dist_host_avx512() ? "avx512"
            : dist_host_avx2() ? "avx2"
                               : "scalar");
}

/* ---- processors and NUMA ---- */

static void print_numa(FILE *file)
{
    dist_numa numa;
    cpu_set_t mine;
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof mine, &mine) == 0)
        fprintf(file, "processors: this process may run on %d of %ld\n", CPU_COUNT(&mine), online);
    else
        fprintf(file, "processors: %ld\n", online);
    if (dist_numa_find(&numa) < 0) {
        fprintf(file, "NUMA: not known: %s\n", dist_last_error());
        return;
    }
    fprintf(file, "NUMA: %d node%s%s; ", numa.nodes, numa.nodes == 1 ? "" : "s",
            numa.real ? "" : " (described by HWLOC_SYNTHETIC or HWLOC_XMLFILE)");
    if (numa.nodes < 2)
        fprintf(file, "nothing to choose\n");
    else if (numa.node >= 0)
        fprintf(file, "this process is bound to node %d, so its shared memory is placed there\n", numa.node);
    else
        fprintf(
            file,
            "this process may run near %d of them, so its shared memory is placed where it is first touched; "
            "mpirun --bind-to numa binds it\n",
            numa.usable);
}

dist_status dist_machine_print(const dist_context *context, FILE *file)
{
    DIST_CHECK_CONTEXT(context);
    if (!file)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_machine_print: the file is NULL");
    print_mpi(context, file);
    print_simd(context, file);
    print_numa(file);
    return DIST_OK;
}
