/* Generators: each collective and algorithm as a plan, and the table that chooses among them. */
#ifndef DIST_COLLECTIVE_COLLECTIVE_H
#define DIST_COLLECTIVE_COLLECTIVE_H

#include "plan/plan.h"
#include "plan/verify.h"
#include "topology/topology.h"

typedef enum dist_collective_kind {
    DIST_ALL_REDUCE,
    DIST_REDUCE_SCATTER,
    DIST_ALL_GATHER,
    DIST_BROADCAST,
    DIST_ALL_TO_ALL,
    DIST_SEND_RECV,
    DIST_BARRIER,
    DIST_COLLECTIVES
} dist_collective_kind;

typedef enum dist_algo_kind {
    DIST_ALGO_AUTO,
    DIST_ALGO_MPI,
    DIST_ALGO_RING,
    DIST_ALGO_HALVING,
    DIST_ALGO_DOUBLING,
    DIST_ALGO_HIER,
    DIST_ALGOS
} dist_algo_kind;

typedef struct dist_algo {
    dist_algo_kind kind;
    int shots; /* hier: how sites exchange, 1 direct, 2 two-shot, 0 by the number of sites and the codec */
} dist_algo;

const char *dist_collective_name(dist_collective_kind kind);
dist_status dist_collective_parse(const char *text, dist_collective_kind *kind);
const char *dist_algo_name(dist_algo_kind kind);
/* "hier", "hier:shots=2", ...; DIST_ERR_ARGUMENT naming the known ones otherwise. */
dist_status dist_algo_parse(const char *text, dist_algo *algo);

/* One collective, as one rank sees it. */
typedef struct dist_spec {
    dist_collective_kind kind;
    dist_algo algo; /* auto is replaced by dist_choose */
    dist_type type;
    dist_reduction reduction;
    int root;
    int to, from;   /* send-recv: whom this rank sends to and receives from; -1: nobody */
    uint64_t count; /* as the public call takes it: per rank for reduce-scatter, all-gather and all-to-all */
    bool in_place;
    bool device; /* the data is in device memory, on all ranks */
    bool
        team; /* a wire for memory of that kind connects the ranks of each site that has several: the same on all ranks */
    uint32_t stream; /* tells apart what is encoded in one step, for random numbers */
    bool feedback;   /* keep error feedback from run to run, if the codec wants it */
    dist_codec codec;
    uint64_t one_way; /* bytes up to which a message between sites takes one latency; 0: unknown */
    uint64_t chunk_bytes, window_bytes; /* of one message, and under way, between sites; 0: chosen */
    const dist_topology *topology;
    int rank;
    bool group; /* the ranks are a group of the job's, of which MPI's own collectives know nothing */
    const struct dist_tuning *tuning; /* measured choices, the same on all ranks; NULL: none */
} dist_spec;

/* The plan of spec->rank. Its USER buffers: "data" alone in place (all of the collective's larger side), else
 * "send" and "receive"; a barrier has none. DIST_ERR_UNSUPPORTED when the algorithm or codec does not fit. */
dist_status dist_collective_plan(dist_plan **plan, const dist_spec *spec);

/* What must hold at the end, for dist_verify. Free claims with dist_contract_end. Of a send-recv: as if every rank sent as far on
 * (to - rank) as this one. */
dist_status dist_contract_begin(dist_contract *contract, const dist_spec *spec);
/* Of a send-recv in which rank r receives what from[r] sends, or nothing: -1. */
dist_status dist_contract_begin_pairs(dist_contract *contract, const dist_spec *spec, const int *from);
void dist_contract_end(dist_contract *contract);

/* Tags that a send-recv like `spec` needs, whoever sends to whom. */
uint32_t dist_send_recv_sequences(const dist_spec *spec);

/* Replaces an auto algorithm by the one that spec->tuning names for it, or else the one with the smallest predicted time;
 * checks that algorithm, codec and type go together. */
dist_status dist_choose(dist_spec *spec);
/* Predicted seconds of spec with algorithm `kind` by latency and bandwidth of the links (defaults until
 * measured). */
double dist_predicted(const dist_spec *spec, dist_algo_kind kind);
/* Prints predicted times of every algorithm over sizes, which one auto takes, and what spec->tuning says. Of `spec` topology, team
 * and tuning are read. */
void dist_choices_write(const dist_spec *spec, FILE *file);

/* For generators of larger plans (data parallel): the ops of an all-reduce in place on `data` (whole
 * elements). spec->algo is not auto, spec->count is ignored. */
void dist_emit_all_reduce(dist_plan *plan, const dist_spec *spec, dist_slice data);

#endif
