#include "plan/embed.h"

#include "base/error.h"
#include "topology/group.h"

static dist_status check(const dist_plan *plan, const int *member, int ranks)
{
    if (plan->group != 0)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: already a plan of the group of rank %u", plan->label,
                         plan->group - 1);
    DIST_TRY(dist_group_check(member, plan->ranks, ranks));
    for (size_t i = 0; i < plan->ops; i++)
        if (plan->op[i].kind == DIST_OP_NATIVE && !plan->op[i].device)
            return dist_fail(
                DIST_ERR_UNSUPPORTED,
                "%s: algorithm 'mpi' takes all ranks of the job and cannot run among %d of %d; use "
                "another one, such as 'auto' or 'ring'",
                plan->label, plan->ranks, ranks);
    return DIST_OK;
}

dist_status dist_plan_embed(dist_plan *plan, const int *member, int ranks)
{
    DIST_TRY(check(plan, member, ranks));
    for (size_t i = 0; i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        if (op->kind == DIST_OP_SEND || op->kind == DIST_OP_RECV ||
            (op->kind == DIST_OP_NATIVE && op->native == DIST_NATIVE_BROADCAST))
            plan->op[i].peer = member[op->peer];
    }
    for (int m = 0; m < plan->teammates; m++)
        plan->team[m] = member[plan->team[m]];
    plan->rank = member[plan->rank];
    plan->ranks = ranks;
    plan->group = (uint32_t)member[0] + 1;
    return DIST_OK;
}
