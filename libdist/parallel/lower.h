/* From a pipeline schedule to plans: messages between stages, the buffers they travel in, and the calls of the program.
 *
 * Every directed edge between two stages on different ranks has a channel of its own between its two ranks: the
 * forwards of a sender's chunk k use channel DIST_CHANNELS + 2k, its backwards DIST_CHANNELS + 2k + 1. A receive waits for
 * nothing but a free slot of its buffer, of which there are `ahead` more than the schedule holds at once; so messages
 * are received while the rank computes. Between stages on one rank nothing is sent.
 *
 * Slots begin with a dist_parcel, which says how many bytes the program wrote; only those travel, unless the message goes
 * through a codec (between sites): then the frame of the whole slot does. Over the device wire, which moves what was agreed on, the
 * parcel goes by itself and then the whole slot.
 */
#ifndef DIST_PARALLEL_LOWER_H
#define DIST_PARALLEL_LOWER_H

#include "parallel/schedule.h"
#include "plan/plan.h"
#include "plan/verify.h"
#include "topology/topology.h"

typedef struct dist_lowering {
    const dist_schedule *schedule;
    const dist_topology *topology; /* of the job; NULL: `ranks` ranks on one site */
    int ranks;                     /* of the job */
    const int *rank_at;            /* [schedule->ranks]: the job's rank at each position; NULL: 0, 1, ... */
    uint64_t boundary_bytes;       /* most bytes that a stage hands to the next, without the dist_parcel */
    dist_type boundary_type;
    const dist_codec *codec; /* between sites; NULL or none: as it is */
    bool device;             /* for the label: slots are in device memory */
    bool
        nccl; /* slots are in device memory, and between ranks of a site what is in them goes over the device wire */
    const dist_stage_times *times; /* [positions], seconds; NULL: the calls cost nothing */
    uint64_t stash_bytes;          /* of the program, for one microbatch on a rank, all its chunks */
    int ahead;                     /* 0: 2, and between sites all that can be under way */
    const char *label;             /* the same on all ranks of the job; NULL: from the schedule */
} dist_lowering;

/* The plan of the rank at `position`. DIST_ERR_UNSUPPORTED when an edge's messages would be received in another order than
 * they are sent. */
dist_status dist_lower(dist_plan **plan, const dist_lowering *lowering, int position);

/* What a CALL of such a plan finds at its slices: the parcel, and the bytes after it. NULL without one. */
#define DIST_PARCEL_DATA(parcel) ((void *)((dist_parcel *)(parcel) + 1))

/* All positions' plans together: what dist_verify proves without values (shape, messages, races, order, deadlock under
 * rendezvous), that every CALL finds the microbatch it needs in its buffers, that every (stage, microbatch) is called as
 * the schedule says, once each, that what a CALL takes is given back once, and that no rank holds more than `limit`
 * bytes of scratch and stash (0: no limit). plan[i] is that of position i; ranks are those of the job. */
dist_status dist_lower_verify(const dist_plan *const *plan, const dist_lowering *lowering, uint64_t limit);

#endif
