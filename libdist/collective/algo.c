/* Names. */
#include <string.h>

#include "base/error.h"
#include "collective/collective.h"

static const char *const collective_names[DIST_COLLECTIVES] = {
    [DIST_ALL_REDUCE] = "all-reduce", [DIST_REDUCE_SCATTER] = "reduce-scatter",
    [DIST_ALL_GATHER] = "all-gather", [DIST_BROADCAST] = "broadcast",
    [DIST_ALL_TO_ALL] = "all-to-all", [DIST_SEND_RECV] = "send-recv",
    [DIST_BARRIER] = "barrier",
};

static const char *const algo_names[DIST_ALGOS] = {
    [DIST_ALGO_AUTO] = "auto",       [DIST_ALGO_MPI] = "mpi",           [DIST_ALGO_RING] = "ring",
    [DIST_ALGO_HALVING] = "halving", [DIST_ALGO_DOUBLING] = "doubling", [DIST_ALGO_HIER] = "hier",
};

const char *dist_collective_name(dist_collective_kind kind)
{
    return kind < DIST_COLLECTIVES ? collective_names[kind] : "unknown";
}

const char *dist_algo_name(dist_algo_kind kind)
{
    return kind < DIST_ALGOS ? algo_names[kind] : "unknown";
}

dist_status dist_collective_parse(const char *text, dist_collective_kind *kind)
{
    for (int k = 0; text && k < DIST_COLLECTIVES; k++)
        if (strcmp(text, collective_names[k]) == 0) {
            *kind = (dist_collective_kind)k;
            return DIST_OK;
        }
    return dist_fail(DIST_ERR_ARGUMENT,
                     "'%s' is not a collective; use all-reduce, reduce-scatter, all-gather, broadcast, "
                     "all-to-all, send-recv or barrier",
                     text ? text : "(null)");
}

dist_status dist_algo_parse(const char *text, dist_algo *algo)
{
    *algo = (dist_algo){0};
    if (strcmp(text, "hier:shots=1") == 0 || strcmp(text, "hier:shots=2") == 0) {
        *algo = (dist_algo){.kind = DIST_ALGO_HIER, .shots = text[strlen(text) - 1] - '0'};
        return DIST_OK;
    }
    for (int k = 0; k < DIST_ALGOS; k++)
        if (strcmp(text, algo_names[k]) == 0) {
            algo->kind = (dist_algo_kind)k;
            return DIST_OK;
        }
    return dist_fail(DIST_ERR_ARGUMENT,
                     "'%s' is not an algorithm; use auto, mpi, ring, halving, doubling, hier, hier:shots=1 "
                     "or hier:shots=2",
                     text);
}
