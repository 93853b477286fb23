/* Proves properties of all ranks' plans together. */
#ifndef DIST_PLAN_VERIFY_H
#define DIST_PLAN_VERIFY_H

#include "plan/plan.h"

/* `count` elements at byte `offset` of a user buffer of `rank`, standing for the logical elements first,
 * first + 1, ... of the collective. At the start an input holds rank's own contribution to them; at the end
 * an output must hold the contributions of all ranks of its group (from < 0), each exactly once and no other's, or
 * that of rank `from` alone. */
typedef struct dist_claim {
    int rank;
    uint32_t buffer;
    uint64_t offset;
    uint64_t count;
    uint64_t first;
    int from;  /* outputs only */
    int group; /* 0: all ranks are in it; up to `ranks`: those with an input of the same number are */
} dist_claim;

typedef struct dist_contract {
    dist_type type; /* of all claimed elements */
    const dist_claim *input;
    size_t inputs;
    const dist_claim *output;
    size_t outputs;
    int divisor;            /* every output has been divided by this exactly once (DIVIDE); 1: never */
    uint64_t scratch_limit; /* no plan's scratch exceeds this many bytes; 0: no limit */
} dist_contract;

/* Checks `ranks` plans (plan[r] is rank r's):
 *   shape     slices lie inside their buffers, waits point backwards, sizes of src and dst agree, codec sizes are right;
 *   messages  every SEND meets exactly one RECV (same peer, channel, sequence) of the same size and wire, in op order;
 *   natives   the members of each team agree on who they are, and all members of the job, and of each team, on each of its
 *             collectives, in op order;
 *   races     two ops of a rank that touch the same bytes, one of them writing, are ordered by their waits;
 *   order     short plans (dist_plan_is_short) run to their end op after op, too;
 *   deadlock  everything runs to its end when no SEND completes before its RECV has started (rendezvous);
 *   values    run symbolically, every output holds what the contract says; a frame that is checked is one;
 *   memory    scratch is within the limit.
 * DIST_OK, or DIST_ERR_PLAN with a sentence that names rank, op and what is wrong; DIST_ERR_MEMORY. Blocking, no MPI. */
dist_status dist_verify(const dist_plan *const *plan, int ranks, const dist_contract *contract);

/* What the CALLs of all ranks must come to: every microbatch through every stage, forward and back. */
typedef struct dist_call_contract {
    int stages, microbatches;
    bool split;         /* weight gradients have calls of their own, or FULL has both */
    const int *rank_of; /* [stages] */
    uint64_t limit;     /* most bytes of scratch and of what CALLs take, on one rank; 0: none */
} dist_call_contract;

/* As dist_verify, with this in place of values:
 *   calls     each CALL finds in its slices what it needs, of the right stage and microbatch: a forward what the stage before
 *             made of it, a backward that and the gradient from the stage after; nothing that it needs is overwritten before;
 *   complete  each stage is called for each microbatch as the contract says, once, in order, on its rank; none is left out;
 *   release   what a forward takes is given back by the last backward of its stage and microbatch, and by nothing else;
 *   memory    no rank is above the limit. */
dist_status dist_verify_calls(const dist_plan *const *plan, int ranks, const dist_call_contract *contract);

#endif
