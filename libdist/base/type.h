/* Element types and reductions: checks and parsing beyond what <libdist/collective.h> offers. */
#ifndef DIST_BASE_TYPE_H
#define DIST_BASE_TYPE_H

#include <stdbool.h>

#include <libdist/collective.h>

bool dist_type_valid(dist_type type);
bool dist_reduction_valid(dist_reduction reduction);

#endif
