/* The TCP wire: messages between ranks of different sites over many parallel streams (sockets) a pair of ranks.
 *
 * MPI over TCP gives a pair of ranks one connection, and a lossy long link carries a fraction of its rate in one: each loss
 * halves a window that takes hundreds of round trips to grow back. With n streams a loss costs a part of an n-th.
 *
 * Addresses are exchanged over the control wire when the wire is opened; a pair connects when its first message is made. A message
 * is cut into pieces, each of which goes to whichever stream takes it. Receives that have started are announced to the sender, whose
 * pieces then go straight to where they belong; what is not awaited yet is sent ahead as far as the receiver's room for it goes,
 * and kept there. So no message waits behind another one, and no peer's memory fills up.
 *
 * It carries messages only: collectives, exchanges and notes stay with the control wire.
 */
#ifndef DIST_WIRE_TCP_H
#define DIST_WIRE_TCP_H

#include "base/log.h"
#include "topology/topology.h"
#include "wire/wire.h"

#define DIST_TCP_STREAMS_MOST 64

typedef struct dist_tcp_setup {
    dist_wire *control;            /* not owned; connects the same ranks and outlives this wire */
    const dist_topology *topology; /* read while opening */
    const dist_log *log;
    int streams;               /* sockets a pair of ranks, 1 to DIST_TCP_STREAMS_MOST */
    const char *interface;     /* the name of one, or an address; "": all that are up */
    const char *congestion;    /* TCP's congestion control; "": the system's */
    int first_port, last_port; /* to listen on; 0: any */
    double
        timeout; /* seconds: a connection that takes longer, or a stream on which nothing is taken so long, fails */
} dist_tcp_setup;

/* What went over a wire so far. */
typedef struct dist_tcp_counts {
    uint64_t bytes_sent, bytes_received; /* with the heads of pieces */
    uint64_t pieces_sent, unexpected;    /* messages that came before their receive had started */
    uint64_t held;                       /* sends that had to wait for the receiver */
} dist_tcp_counts;

/* Collective over the control wire's ranks; blocks. An error of one rank is an error on all. */
dist_status dist_wire_tcp_open(dist_wire **wire, const dist_tcp_setup *setup);

/* How many streams a pair uses from now on. Not collective: each side stripes what it sends. */
void dist_wire_tcp_use_streams(dist_wire *wire, int streams);
int dist_wire_tcp_streams(const dist_wire *wire);

void dist_wire_tcp_counts(const dist_wire *wire, dist_tcp_counts *counts);

/* "10.0.0.1:41234 eth0", where this rank listens. */
const char *dist_wire_tcp_place(const dist_wire *wire);

#endif
