/* Which NATIVE ops of different ranks are one collective: the n-th of all ranks of the job, or the n-th of a team. Verifier
 * and prediction both go by it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "plan/verify_internal.h"

static dist_status no_memory(const dist_natives *natives)
{
    return dist_fail(DIST_ERR_MEMORY, "no memory for the collectives of %d ranks", natives->ranks);
}

int dist_team_position(const dist_plan *plan, int rank)
{
    for (int m = 0; m < plan->teammates && plan->team; m++)
        if (plan->team[m] == rank)
            return m;
    return -1;
}

/* ---- teams ---- */

/* The plan with the lowest rank of a team says who is in it. */
static dist_status found_team(dist_natives *natives, const dist_plan *plan)
{
    const int position = dist_team_position(plan, plan->rank);
    if (position < 0)
        return dist_fail(DIST_ERR_PLAN, "rank %d is not in the team of its own plan", plan->rank);
    if (!dist_grow(&natives->group, &natives->group_capacity, natives->groups + 1, sizeof *natives->group))
        return no_memory(natives);
    for (int m = 0; m < plan->teammates; m++) {
        const int rank = plan->team[m];
        if (rank < 0 || rank >= natives->ranks)
            return dist_fail(DIST_ERR_PLAN, "the team of rank %d has rank %d; there are %d ranks", plan->rank,
                             rank, natives->ranks);
        const uint32_t other = natives->team_of[rank];
        if (other == natives->groups)
            return dist_fail(DIST_ERR_PLAN, "the team of rank %d has rank %d twice", plan->rank, rank);
        if (rank < plan->rank || other != 0)
            return dist_fail(DIST_ERR_PLAN,
                             "the team of rank %d has rank %d, whose plan is of another team or none",
                             plan->rank, rank);
        natives->team_of[rank] = (uint32_t)natives->groups;
    }
    natives->group[natives->groups++] = (dist_native_group){.member = plan->team,
                                                            .members = plan->teammates,
                                                            .founder = plan->rank,
                                                            .position = position,
                                                            .first = DIST_NO_OP};
    return DIST_OK;
}

static dist_status join_team(dist_natives *natives, const dist_plan *plan)
{
    const uint32_t team = natives->team_of[plan->rank];
    if (team == 0)
        return plan->team ? found_team(natives, plan) : DIST_OK;
    const dist_native_group *group = &natives->group[team];
    if (!plan->team)
        return dist_fail(DIST_ERR_PLAN, "rank %d is in the team of rank %d, but its plan has no team",
                         plan->rank, group->founder);
    if (plan->teammates != group->members)
        return dist_fail(DIST_ERR_PLAN, "the team of rank %d has %d ranks; that of rank %d, which has it, %d",
                         plan->rank, plan->teammates, group->founder, group->members);
    for (int m = 0; m < group->members; m++)
        if (plan->team[m] != group->member[m])
            return dist_fail(
                DIST_ERR_PLAN,
                "member %d of a team is rank %d in the plan of rank %d, but rank %d in that of rank %d", m,
                group->member[m], group->founder, plan->team[m], plan->rank);
    return DIST_OK;
}

/* ---- collectives ---- */

/* Where a rank has got to in a group. */
typedef struct cursor {
    uint32_t group, last; /* the collective that it took part in last, or DIST_NO_OP */
    size_t number;        /* how many so far */
    int position;         /* of the rank among the members */
} cursor;

static bool same_collective(const dist_op *a, const dist_op *b)
{
    if (a->native != b->native)
        return false;
    if (a->native == DIST_NATIVE_BARRIER)
        return true;
    return a->type == b->type && a->count == b->count &&
           (!dist_op_reduces(a) || (a->reduction == b->reduction && a->divisor == b->divisor)) &&
           (a->native != DIST_NATIVE_BROADCAST || a->peer == b->peer);
}

/* The collective that comes next for the cursor, or DIST_NO_OP. */
static uint32_t next_of(const dist_natives *natives, const cursor *c)
{
    return c->last == DIST_NO_OP ? natives->group[c->group].first : natives->item[c->last].next;
}

/* The founder's plans decide how many there are. */
static dist_status add_next(dist_natives *natives, const cursor *c)
{
    dist_native_group *group = &natives->group[c->group];
    const size_t members = (size_t)group->members;
    if (!dist_grow(&natives->item, &natives->capacity, natives->count + 1, sizeof *natives->item) ||
        !dist_grow(&natives->op, &natives->op_capacity, natives->ops + members, sizeof *natives->op))
        return no_memory(natives);
    natives->item[natives->count] =
        (dist_native_meeting){.group = c->group, .next = DIST_NO_OP, .first = natives->ops};
    *(c->last == DIST_NO_OP ? &group->first : &natives->item[c->last].next) = (uint32_t)natives->count++;
    natives->ops += members;
    return DIST_OK;
}

static uint32_t founders_op(const dist_natives *natives, uint32_t meeting)
{
    const dist_native_meeting *m = &natives->item[meeting];
    return natives->op[m->first + (size_t)natives->group[m->group].position];
}

static dist_status meet(dist_natives *natives, const dist_plan *const *plan, int rank, uint32_t op, cursor *c)
{
    const dist_plan *founder = plan[natives->group[c->group].founder];
    uint32_t next = next_of(natives, c);
    if (next == DIST_NO_OP && rank != founder->rank)
        return dist_fault(plan[rank], op, "is collective number %zu of its %s; rank %d has only %zu",
                          c->number + 1, c->group ? "team" : "rank", founder->rank, c->number);
    if (next == DIST_NO_OP) {
        DIST_TRY(add_next(natives, c));
        next = next_of(natives, c);
    }
    natives->op[natives->item[next].first + (size_t)c->position] = op;
    c->last = next;
    c->number++;
    const uint32_t first = founders_op(natives, next);
    if (same_collective(&plan[rank]->op[op], &founder->op[first]))
        return DIST_OK;
    char text[256];
    dist_op_format(founder, first, text, sizeof text);
    return dist_fault(plan[rank], op, "differs from the collective that it meets, rank %d op %" PRIu32 " %s",
                      founder->rank, first, text);
}

static dist_status check_all_met(const dist_natives *natives, const dist_plan *const *plan, int rank,
                                 const cursor *c)
{
    const uint32_t next = next_of(natives, c);
    if (next == DIST_NO_OP)
        return DIST_OK;
    const dist_plan *founder = plan[natives->group[c->group].founder];
    return dist_fault(founder, founders_op(natives, next),
                      "is collective number %zu of its %s; rank %d has only %zu", c->number + 1,
                      c->group ? "team" : "rank", rank, c->number);
}

static dist_status match_rank(dist_natives *natives, const dist_plan *const *plan, int rank)
{
    const dist_plan *mine = plan[rank];
    DIST_TRY(join_team(natives, mine));
    cursor job = {.group = 0, .last = DIST_NO_OP, .position = rank};
    cursor team = {.group = natives->team_of[rank],
                   .last = DIST_NO_OP,
                   .position = mine->team ? dist_team_position(mine, rank) : 0};
    for (uint32_t i = 0; i < mine->ops; i++) {
        if (mine->op[i].kind != DIST_OP_NATIVE)
            continue;
        if (mine->op[i].native > DIST_NATIVE_BARRIER)
            return dist_fault(mine, i, "there is no collective number %u", mine->op[i].native);
        if (mine->op[i].device && !mine->team)
            return dist_fault(mine, i, "is of the team, but the plan has none");
        DIST_TRY(meet(natives, plan, rank, i, mine->op[i].device ? &team : &job));
    }
    DIST_TRY(check_all_met(natives, plan, rank, &job));
    return team.group ? check_all_met(natives, plan, rank, &team) : DIST_OK;
}

dist_status dist_natives_match(dist_natives *natives, const dist_plan *const *plan, int ranks)
{
    *natives = (dist_natives){.ranks = ranks};
    natives->team_of = calloc((size_t)ranks, sizeof *natives->team_of);
    if (!natives->team_of || !dist_grow(&natives->group, &natives->group_capacity, 1, sizeof *natives->group))
        return no_memory(natives);
    natives->group[natives->groups++] = (dist_native_group){.members = ranks, .first = DIST_NO_OP};
    for (int r = 0; r < ranks; r++)
        DIST_TRY(match_rank(natives, plan, r));
    return DIST_OK;
}

void dist_natives_end(dist_natives *natives)
{
    free(natives->group);
    free(natives->item);
    free(natives->op);
    free(natives->team_of);
    *natives = (dist_natives){0};
}
