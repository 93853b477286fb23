#include "plan/predict_internal.h"

#include <inttypes.h>

/* `op` of `rank` can start, but the op that it meets cannot: says so, and what that one waits for. */
static dist_status stuck_at(const dist_simulation *s, uint32_t rank, uint32_t op, uint32_t peer,
                            uint32_t partner)
{
    const dist_plan *mine = s->plan[rank], *other = s->plan[peer];
    const dist_op *stuck = &other->op[partner];
    char first[256], second[256], third[256];
    uint32_t before = 0;
    for (uint32_t w = 0; w < stuck->waits; w++) {
        before = other->wait[stuck->first_wait + w];
        if (s->phase[dist_number_of(s, peer, before)] != DIST_PHASE_DONE)
            break;
    }
    dist_op_format(mine, op, first, sizeof first);
    dist_op_format(other, partner, second, sizeof second);
    dist_op_format(other, before, third, sizeof third);
    return dist_fail(
        DIST_ERR_PLAN,
        "deadlock with %zu ops left: rank %" PRIu32 " waits at op %" PRIu32 " %s for rank %" PRIu32
        ", whose op %" PRIu32 " %s is not reached: it waits for op %" PRIu32 " %s",
        (size_t)s->first_op[s->ranks] - s->done, rank, op, first, peer, partner, second, before, third);
}

dist_status dist_predict_deadlock(const dist_simulation *s)
{
    for (uint32_t r = 0; r < (uint32_t)s->ranks; r++)
        for (uint32_t i = 0; i < s->plan[r]->ops; i++) {
            size_t number = dist_number_of(s, r, i);
            const dist_op *op = &s->plan[r]->op[i];
            if (s->phase[number] != DIST_PHASE_ARRIVED)
                continue;
            if (op->kind != DIST_OP_NATIVE)
                return stuck_at(s, r, i, (uint32_t)op->peer, s->meets[number]);
            const size_t meeting = s->meets[number];
            int m = -1; /* the first member that has not come to the collective */
            uint32_t peer, partner;
            do {
                m++;
                peer = (uint32_t)dist_native_rank(&s->natives, meeting, m);
                partner = dist_native_op(&s->natives, meeting, m);
            } while (s->phase[dist_number_of(s, peer, partner)] == DIST_PHASE_ARRIVED);
            return stuck_at(s, r, i, peer, partner);
        }
    /* Waits point backwards, so some op that has not been done can start: not reached. */
    return dist_fail(DIST_ERR_STATE, "deadlock with %zu ops left, of which none can start",
                     (size_t)s->first_op[s->ranks] - s->done);
}
