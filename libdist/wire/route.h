/* A wire made of wires: each message goes over the one that connects its two ranks. Collectives, exchanges and notes are the
 * first wire's. */
#ifndef DIST_WIRE_ROUTE_H
#define DIST_WIRE_ROUTE_H

#include "wire/wire.h"

/* Takes `first` over, also when it fails. At first all messages are its. */
dist_status dist_wire_route_create(dist_wire **route, dist_wire *first);

/* Messages between this rank and each rank r with reaches[r] go over `wire` from now on, which the route takes over. Once for a
 * route, while no request exists, and on both ranks of a pair. */
dist_status dist_wire_route_add(dist_wire *route, dist_wire *wire, const bool *reaches);

/* Closes the wire that was added, while no request exists: all messages are the first one's again. Collective. */
void dist_wire_route_drop(dist_wire *route);

/* The wire that was added; NULL: none. */
dist_wire *dist_wire_route_added(dist_wire *route);
dist_wire *dist_wire_route_first(dist_wire *route);

#endif
