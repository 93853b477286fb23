/* Which wire carries what crosses between sites. */
#ifndef DIST_WIRES_H
#define DIST_WIRES_H

#include "context_internal.h"

/* Opens the wires that DIST_WIRE asks for, or that a short measurement finds to be the best. The context has its engine and its
 * sites. Collective; blocks. */
dist_status dist_wires_open(dist_context *context);

/* A line for people: which wire, how many streams, what was measured. */
void dist_wires_describe(const dist_context *context, char *text, size_t size);

/* The same of what connects the ranks of a site. */
const char *dist_wires_inside(const dist_context *context);

#endif
