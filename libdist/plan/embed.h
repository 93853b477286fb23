/* From a plan of some ranks to one of the job. */
#ifndef DIST_PLAN_EMBED_H
#define DIST_PLAN_EMBED_H

#include "plan/plan.h"

/* A finished plan of rank r of `plan->ranks` becomes that of rank member[r] in a job of `ranks`, and may run there beside
 * plans of other groups: peers, roots and its team are renumbered, and dist_plan.group is set. `member` ascends and has
 * plan->ranks ranks.
 *
 * DIST_ERR_UNSUPPORTED when it has a NATIVE op (algorithm 'mpi') that takes all ranks of the job, not a team; DIST_ERR_ARGUMENT
 * for other members, or a plan that is in a group already. The plan is as it was then. */
dist_status dist_plan_embed(dist_plan *plan, const int *member, int ranks);

#endif
