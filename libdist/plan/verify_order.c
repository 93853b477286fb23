/* Short plans are run op after op (express.c): that order must come to an end too, with sends that do not
 * wait. */
#include <stdlib.h>

#include "plan/verify_internal.h"

/* Runs rank r on from next[r] as far as it goes; true when it moved. */
static bool advance(const dist_verifier *verifier, size_t *next, int r)
{
    size_t began = next[r];
    const dist_plan *plan = verifier->plan[r];
    for (; next[r] < plan->ops; next[r]++) {
        const dist_op *op = &plan->op[next[r]];
        if (op->kind == DIST_OP_RECV && verifier->meets[verifier->first_op[r] + next[r]] >= next[op->peer])
            break;
    }
    return next[r] > began;
}

dist_status dist_verify_order(const dist_verifier *verifier)
{
    bool moved = true;
    size_t *next = calloc((size_t)verifier->ranks, sizeof *next);
    if (!next)
        return dist_verify_no_memory(verifier);
    for (int r = 0; r < verifier->ranks; r++)
        moved &= dist_plan_is_short(verifier->plan[r]);
    bool all_short = moved;
    while (moved) {
        moved = false;
        for (int r = 0; r < verifier->ranks; r++)
            moved |= advance(verifier, next, r);
    }
    dist_status status = DIST_OK;
    for (int r = 0; r < verifier->ranks && all_short && status >= 0; r++)
        if (next[r] < verifier->plan[r]->ops)
            status = dist_fault(verifier->plan[r], next[r],
                                "run in the order of the ops it waits for ever: rank %d "
                                "does not come to the SEND that it meets",
                                verifier->plan[r]->op[next[r]].peer);
    free(next);
    return status;
}
