/* The NCCL wire: collectives and messages of device memory between the ranks of one site, each with a GPU of its own.
 *
 * NCCL is opened at run time through prototypes of our own (2.18 and later; a missing symbol takes away only what needs
 * it), so that building needs none and a machine without it loses nothing but this wire. Every communicator is made
 * without blocking, against a deadline, and is ended with finalize; after a failure all are aborted together.
 *
 * Order. Kernels of NCCL that two GPUs run in different orders can wait for each other for ever, also those of
 * different communicators. So there is one global order of all operations of this wire: a request that is started tells
 * the first member (the leader); once all who take part have told, the leader sends its number round; and every rank
 * launches in the order in which numbers arrive. What has been launched was therefore started everywhere. The words
 * travel in short messages of the control wire, several at once, while requests are polled.
 *
 * Every operation is a launch of its own, on one stream: NCCL chooses the algorithm, and so the order of a sum, for all
 * that it finds in a group together, and which operations would come together depends on time. A launch that NCCL has
 * not yet put onto the stream holds up those behind it, and is looked at again by the next poll.
 *
 * A request is started when what it reads is there: nothing on the device is waited for but the wire's own stream. It
 * is done when its event says so. No call waits for the device. One that is released while it runs still takes its
 * turn.
 *
 * Close ends the communicators of all members together; with `failed` it aborts them and returns within seconds,
 * whatever NCCL does: a thread is left behind if it must be. After that it may be called again.
 */
#ifndef DIST_WIRE_NCCL_H
#define DIST_WIRE_NCCL_H

#include "base/log.h"
#include "kernels/device_cuda.h"
#include "wire/wire.h"

typedef struct dist_nccl_setup {
    /* Between all ranks of the job; stays the caller's and outlives this wire. Its post and finish are used. */
    dist_wire *control;
    int channel;       /* of the control wire, open, on which nobody else sends */
    const int *member; /* ranks of the job in ascending order, this one among them; copied */
    int members;
    const dist_cuda *cuda;
    int device;          /* of this rank; selected by the caller around all calls */
    const char *library; /* a path or a name for the loader; NULL or "": libnccl.so.2 */
    const dist_log *log;
} dist_nccl_setup;

/* What NCCL there is. DIST_ERR_UNSUPPORTED, with the reason, where it cannot be opened or is older than 2.18. *version
 * gets 22809 for 2.28.9. Creates no communicator. Local. */
dist_status dist_nccl_available(const char *library, int *version);

/* Opens the wire with one communicator for collectives of all members. Collective over the members; blocks until the
 * deadline. All members succeed or all fail: with the first failure that the first member hears of, or their own.
 * DIST_ERR_NCCL with NCCL's own words when it refuses, DIST_ERR_UNSUPPORTED as above, DIST_ERR_MISMATCH when members,
 * edges or versions of NCCL differ. After DIST_ERR_TIMEOUT nothing of the wire is left but the room for a short message
 * of each peer, which may still come: that channel is then used up.
 *
 * The wire's rank and ranks are the control wire's, and so is `peer` of messages: a member. Collectives are over all
 * members: "rank r's part" of dist_native is that of member[r]; `root` is a rank of the job. post, finish, exchange,
 * open_channels, tell and hear are NULL; open_space does nothing. Sums are in an order that NCCL fixes for a
 * communicator; its minimum and maximum of floats pass over a NaN, unlike those of libdist. */
dist_status dist_wire_nccl_open(dist_wire **wire, const dist_nccl_setup *setup,
                                const dist_patience *patience);

/* A communicator for each directed edge between two members that messages use; `edge` is the same on all members,
 * without repetition, and adds to those that there are. Collective over the members; blocks; fails as open does, and
 * the wire goes on without these edges. Where requests run, patience->idle polls this wire. A message on an edge that
 * is not there is DIST_ERR_ARGUMENT when it is made. */
typedef struct dist_nccl_edge {
    int from, to; /* ranks of the job */
} dist_nccl_edge;
dist_status dist_wire_nccl_edges(dist_wire *wire, const dist_nccl_edge *edge, int edges,
                                 const dist_patience *patience);

#endif
