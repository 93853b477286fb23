/* Buffers of dist_perf's collectives, and what cannot be measured. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "collective_internal.h"

void perf_bench_close_requests(perf_bench *b)
{
    for (int v = 0; v < b->variants; v++)
        for (int place = 0; place < PERF_PLACES; place++) {
            dist_request_destroy(b->sample[v][place].request);
            b->sample[v][place].request = NULL;
        }
}

/* ---- memory ---- */

bool perf_bench_allocate(perf_bench *b, size_t bytes)
{
    static const dist_memory kinds[PERF_BUFFERS] = {
        [PERF_PINNED] = DIST_MEMORY_PINNED, [PERF_CUDA] = DIST_MEMORY_CUDA};
    const size_t whole = bytes / 64 * 64 + 64;
    void *memory[2] = {NULL, NULL};
    bool good = true;
    for (int v = 0; v < b->variants; v++)
        for (int place = 0; place < PERF_PLACES; place++)
            if (b->options->placed[place] && b->operation->places[place])
                good &= (b->sample[v][place].time = calloc((size_t)b->options->iterations, sizeof(double))) !=
                        NULL;
    for (int i = 0; i < 2 && good; i++) {
        if (b->options->buffers == PERF_MALLOC)
            good = (memory[i] = aligned_alloc(64, whole)) != NULL;
        else
            good = dist_alloc_in(b->context, kinds[b->options->buffers], whole, &memory[i]) == DIST_OK;
        if (good && b->options->buffers == PERF_CUDA)
            good = (b->host[i] = calloc(1, whole)) != NULL;
        if (!good)
            fprintf(stderr, "dist_perf: %s\n", dist_last_error());
    }
    b->send = memory[0];
    b->receive = memory[1];
    return perf_all(good);
}

void perf_bench_free(perf_bench *b)
{
    perf_bench_close_requests(b);
    for (int v = 0; v < b->variants; v++)
        for (int place = 0; place < PERF_PLACES; place++)
            free(b->sample[v][place].time);
    if (b->options->buffers == PERF_MALLOC) {
        free(b->send);
        free(b->receive);
    } else {
        dist_free(b->context, b->send);
        dist_free(b->context, b->receive);
    }
    free(b->host[0]);
    free(b->host[1]);
    free(b);
}

/* ---- what cannot be ---- */

bool perf_uses_mpi(const perf_bench *b)
{
    for (int v = 0; v < b->variants; v++)
        if (b->variant[v].mpi)
            return true;
    return false;
}

/* A sentence where it is no use to begin; NULL otherwise. */
const char *perf_hindrance(const perf_bench *b, size_t most, char text[160])
{
    const perf_options *o = b->options;
    perf_memory worst;
    const bool any = (o->placed[0] && b->operation->places[0]) || (o->placed[1] && b->operation->places[1]);
    if (b->variants == 0 || !any)
        snprintf(text, 160, "none of these algorithms, codecs and places goes with it");
    else if (perf_uses_mpi(b) && perf_mpi_type(o->type) == MPI_DATATYPE_NULL)
        snprintf(text, 160, "MPI knows no %s; leave 'mpi' out of --algo", dist_type_name(o->type));
    else if (perf_uses_mpi(b) && o->buffers == PERF_CUDA)
        snprintf(text, 160, "MPI is not handed device memory; leave 'mpi' out of --algo");
    else if (perf_uses_mpi(b) && most / dist_type_bytes(o->type) > INT_MAX)
        snprintf(text, 160, "MPI counts up to 2^31 elements; leave 'mpi' out of --algo");
    else if (o->root >= dist_ranks(b->context))
        snprintf(text, 160, "root %d; ranks go from 0 to %d", o->root, dist_ranks(b->context) - 1);
    else if (!perf_memory_fits(2 * (double)most, &worst))
        snprintf(text, 160, "two buffers of %zu bytes a rank do not fit this memory; choose a smaller -e",
                 most);
    else
        return NULL;
    return text;
}
