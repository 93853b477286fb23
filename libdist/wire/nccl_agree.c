/* Rounds in which all members do a step of making communicators, and learn how the others fared. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <libdist/status.h>

#include "base/clock.h"
#include "wire/nccl_internal.h"

typedef struct round_state {
    dist_status own; /* DIST_IN_PROGRESS: the step is not done */
    bool told;       /* the leader knows */
    char text[DIST_NCCL_TEXT];
} round_state;

void dist_nccl_note_fare(dist_nccl_fare *fare, const dist_nccl_letter *letter)
{
    fare->round = letter->round;
    fare->check = letter->as.fare.check;
    fare->status = (dist_status)letter->as.fare.status;
    fare->version = letter->as.fare.version;
    snprintf(fare->text, sizeof fare->text, "%.*s", DIST_NCCL_TEXT - 1, letter->as.fare.text);
}

/* False when there is no room for a letter now. */
static dist_status send_fare(dist_nccl_wire *wire, dist_nccl_link *link, dist_nccl_kind kind,
                             const dist_nccl_fare *fare, bool *sent)
{
    dist_nccl_letter *letter;
    *sent = false;
    DIST_TRY(dist_nccl_link_slot(wire, link, &letter));
    if (!letter)
        return DIST_OK;
    memset(&letter->as.fare, 0, sizeof letter->as.fare);
    letter->as.fare.check = fare->check;
    letter->as.fare.status = fare->status;
    letter->as.fare.version = fare->version;
    snprintf(letter->as.fare.text, sizeof letter->as.fare.text, "%s", fare->text);
    DIST_TRY(dist_nccl_link_send(wire, link, kind, 0));
    *sent = true;
    return DIST_OK;
}

/* What the leader makes of one member's report. */
static dist_status judge_member(const dist_nccl_wire *wire, const dist_nccl_step *step, int l)
{
    const dist_nccl_fare *fare = &wire->fare[l];
    if (fare->round != wire->round)
        return DIST_IN_PROGRESS;
    if (fare->status < 0)
        return dist_fail(fare->status, "rank %d: %s", wire->link[l].peer, fare->text);
    if (fare->check != step->check)
        return dist_fail(DIST_ERR_MISMATCH, "%s: rank %d names other members or edges than rank %d",
                         step->what, wire->link[l].peer, wire->base.rank);
    if (fare->version != wire->library.version)
        return dist_fail(DIST_ERR_MISMATCH,
                         "%s: rank %d has NCCL of version code %d, rank %d of %d; the same is needed on all",
                         step->what, wire->link[l].peer, fare->version, wire->base.rank,
                         wire->library.version);
    return DIST_OK;
}

/* The leader must not be rounds ahead of a member that has not yet read an earlier verdict. */
static bool all_have_come(const dist_nccl_wire *wire)
{
    for (int l = 0; l < wire->links; l++)
        if (wire->fare[l].round != wire->round)
            return false;
    return true;
}

static dist_status judge(const dist_nccl_wire *wire, const dist_nccl_step *step, const round_state *state)
{
    dist_status status = state->own;
    if (step->all && !all_have_come(wire))
        return DIST_IN_PROGRESS;
    if (status < 0)
        return dist_fail(status, "%s", state->text);
    for (int l = 0; l < wire->links; l++) {
        const dist_status one = judge_member(wire, step, l);
        if (one < 0)
            return one;
        if (one == DIST_IN_PROGRESS)
            status = one;
    }
    return status;
}

static dist_status too_late(const dist_nccl_wire *wire, const dist_nccl_step *step, const round_state *state)
{
    if (state->own < 0)
        return dist_fail(state->own, "%s", state->text);
    if (state->own == DIST_IN_PROGRESS)
        return dist_fail(DIST_ERR_TIMEOUT,
                         "%s: NCCL was not ready in time; a rank may be missing or unreachable "
                         "(NCCL_DEBUG=INFO says more)",
                         step->what);
    for (int l = 0; dist_nccl_leads(wire) && l < wire->links; l++)
        if (wire->fare[l].round != wire->round)
            return dist_fail(DIST_ERR_TIMEOUT, "%s: rank %d did not take part in time", step->what,
                             wire->link[l].peer);
    return dist_fail(DIST_ERR_TIMEOUT,
                     "%s: not all ranks took part in time; rank %d has not said how it went", step->what,
                     wire->member[0]);
}

static dist_status wait_a_little(const dist_nccl_wire *wire, const dist_nccl_step *step,
                                 const round_state *state, const dist_patience *patience)
{
    if (dist_now() > patience->deadline)
        return too_late(wire, step, state);
    if (!patience->idle)
        sched_yield();
    else if (!patience->idle(patience->argument))
        return dist_fail(DIST_ERR_STATE, "%s: given up", step->what);
    return DIST_OK;
}

static void go_on(dist_nccl_wire *wire, const dist_nccl_step *step, round_state *state)
{
    if (state->own != DIST_IN_PROGRESS)
        return;
    state->own = step->step(wire, step->argument);
    if (state->own < 0)
        snprintf(state->text, sizeof state->text, "%.*s", DIST_NCCL_TEXT - 1, dist_last_error());
}

/* The leader's: hears all, then tells all, each as soon as there is room. */
static dist_status lead(dist_nccl_wire *wire, const dist_nccl_step *step, round_state *state,
                        const dist_patience *patience)
{
    dist_status verdict = DIST_IN_PROGRESS;
    dist_nccl_fare fare = {.check = step->check, .version = wire->library.version};
    while (verdict == DIST_IN_PROGRESS) {
        go_on(wire, step, state);
        DIST_TRY(dist_nccl_hear(wire));
        verdict = judge(wire, step, state);
        if (verdict == DIST_IN_PROGRESS)
            DIST_TRY(wait_a_little(wire, step, state, patience));
    }
    fare.status = verdict;
    if (verdict < 0)
        snprintf(fare.text, sizeof fare.text, "%.*s", DIST_NCCL_TEXT - 1, dist_last_error());
    for (int l = 0; l < wire->links;) {
        bool sent;
        DIST_TRY(send_fare(wire, &wire->link[l], DIST_NCCL_VERDICT, &fare, &sent));
        if (sent)
            l++;
        else
            DIST_TRY(wait_a_little(wire, step, state, patience));
    }
    return verdict < 0 ? dist_fail(verdict, "%s", fare.text) : verdict;
}

static dist_status follow(dist_nccl_wire *wire, const dist_nccl_step *step, round_state *state,
                          const dist_patience *patience)
{
    const dist_nccl_fare *verdict = &wire->fare[0];
    for (;;) {
        go_on(wire, step, state);
        if (state->own != DIST_IN_PROGRESS && !state->told) {
            dist_nccl_fare fare = {
                .check = step->check, .status = state->own, .version = wire->library.version};
            memcpy(fare.text, state->text, sizeof fare.text);
            DIST_TRY(send_fare(wire, dist_nccl_leader(wire), DIST_NCCL_REPORT, &fare, &state->told));
        }
        DIST_TRY(dist_nccl_hear(wire));
        if (verdict->round >= wire->round)
            break;
        DIST_TRY(wait_a_little(wire, step, state, patience));
    }
    if (state->own < 0)
        return dist_fail(state->own, "%s", state->text);
    if (verdict->round > wire->round) /* the leader is at the second round, so the first went well */
        return DIST_OK;
    return verdict->status < 0 ? dist_fail(verdict->status, "%s", verdict->text) : DIST_OK;
}

dist_status dist_nccl_agree(dist_nccl_wire *wire, const dist_nccl_step *step, const dist_patience *patience)
{
    round_state state = {.own = DIST_IN_PROGRESS};
    wire->round++;
    return dist_nccl_leads(wire) ? lead(wire, step, &state, patience) : follow(wire, step, &state, patience);
}
