/* Letters between a member and the leader: short messages of the control wire, several under way, read in order. */
#include <sched.h>
#include <string.h>

#include "base/clock.h"
#include "wire/nccl_internal.h"

static dist_wire_message short_message(const dist_nccl_wire *wire, const dist_nccl_link *link, bool send,
                                       dist_nccl_letter *letter, uint32_t slot)
{
    return (dist_wire_message){.send = send,
                               .peer = link->peer,
                               .channel = wire->channel,
                               .tag = slot,
                               .buffer = letter,
                               .bytes = sizeof *letter};
}

static dist_status listen_again(dist_nccl_wire *wire, dist_nccl_link *link)
{
    const dist_wire_message message =
        short_message(wire, link, false, &link->in, link->heard % DIST_NCCL_SLOTS);
    return wire->control->ops->post(wire->control, &message, &link->receiving);
}

dist_status dist_nccl_link_open(dist_nccl_wire *wire, dist_nccl_link *link, int peer)
{
    link->peer = peer;
    return listen_again(wire, link);
}

dist_status dist_nccl_link_slot(dist_nccl_wire *wire, dist_nccl_link *link, dist_nccl_letter **letter)
{
    const uint32_t slot = link->sent % DIST_NCCL_SLOTS;
    *letter = NULL;
    if (link->busy[slot]) {
        bool gone = false;
        DIST_TRY(wire->control->ops->finish(wire->control, &link->sending[slot], &gone));
        if (!gone)
            return DIST_OK;
        link->busy[slot] = false;
    }
    *letter = &link->out[slot];
    return DIST_OK;
}

dist_status dist_nccl_link_send(dist_nccl_wire *wire, dist_nccl_link *link, dist_nccl_kind kind, int count)
{
    const uint32_t slot = link->sent % DIST_NCCL_SLOTS;
    dist_nccl_letter *letter = &link->out[slot];
    const dist_wire_message message = short_message(wire, link, true, letter, slot);
    letter->sequence = link->sent++;
    letter->kind = (uint16_t)kind;
    letter->count = (uint16_t)count;
    letter->round = wire->round;
    DIST_TRY(wire->control->ops->post(wire->control, &message, &link->sending[slot]));
    link->busy[slot] = true;
    return DIST_OK;
}

/* Ids of a round that was given up are dropped. */
static dist_status take_ids(dist_nccl_wire *wire, const dist_nccl_letter *letter)
{
    if (letter->round < wire->round)
        return DIST_OK;
    if (letter->count > DIST_NCCL_IDS_MOST || (size_t)wire->ids + letter->count > wire->id_capacity)
        return dist_fail(DIST_ERR_MISMATCH, "the first member of the NCCL wire sends %d ids too many",
                         wire->ids + letter->count - (int)wire->id_capacity);
    memcpy(&wire->id[wire->ids], letter->as.id, letter->count * sizeof *wire->id);
    wire->ids += letter->count;
    return DIST_OK;
}

static dist_status take_letter(dist_nccl_wire *wire, dist_nccl_link *link)
{
    const dist_nccl_letter *letter = &link->in;
    if (letter->sequence != link->heard++)
        return dist_fail(
            DIST_ERR_MISMATCH,
            "rank %d: letter %u of the NCCL wire came in place of number %u: something else sends on "
            "channel %d",
            link->peer, letter->sequence, link->heard - 1, wire->channel);
    switch ((dist_nccl_kind)letter->kind) {
    case DIST_NCCL_WORDS:
        return dist_nccl_order_hear(wire, link, letter);
    case DIST_NCCL_REPORT:
    case DIST_NCCL_VERDICT:
        dist_nccl_note_fare(&wire->fare[link - wire->link], letter);
        return DIST_OK;
    case DIST_NCCL_IDS:
        return take_ids(wire, letter);
    case DIST_NCCL_BYE:
        link->parted = true;
        return DIST_OK;
    }
    return dist_fail(DIST_ERR_MISMATCH, "rank %d: letter of unknown kind %u on channel %d", link->peer,
                     letter->kind, wire->channel);
}

static dist_status hear_link(dist_nccl_wire *wire, dist_nccl_link *link)
{
    while (!link->parted) {
        bool arrived = false;
        dist_status status = wire->control->ops->finish(wire->control, &link->receiving, &arrived);
        if (status >= 0 && !arrived)
            return DIST_OK;
        if (status >= 0)
            status = take_letter(wire, link);
        if (status >= 0 && !link->parted)
            status = listen_again(wire, link);
        if (status < 0) {
            link->parted = true; /* nothing is listened for any more */
            return status;
        }
    }
    return DIST_OK;
}

dist_status dist_nccl_hear(dist_nccl_wire *wire)
{
    for (int l = 0; l < wire->links; l++)
        DIST_TRY(hear_link(wire, &wire->link[l]));
    return DIST_OK;
}

/* True when nothing of the link is under way any more. */
static bool take_leave(dist_nccl_wire *wire, dist_nccl_link *link, bool *told)
{
    dist_nccl_letter *letter;
    bool quiet = link->parted;
    if (!*told && dist_nccl_link_slot(wire, link, &letter) >= 0 && letter)
        *told = dist_nccl_link_send(wire, link, DIST_NCCL_BYE, 0) >= 0;
    for (int s = 0; s < DIST_NCCL_SLOTS; s++) {
        bool gone = false;
        if (link->busy[s] && wire->control->ops->finish(wire->control, &link->sending[s], &gone) >= 0 && gone)
            link->busy[s] = false;
        quiet &= !link->busy[s];
    }
    return quiet && *told;
}

bool dist_nccl_part(dist_nccl_wire *wire, int64_t deadline)
{
    bool quiet = true;
    for (int l = 0; l < wire->links; l++) {
        bool told = false, gone = false;
        while (!gone && dist_nccl_hear(wire) >= 0 && dist_now() <= deadline) {
            gone = take_leave(wire, &wire->link[l], &told);
            if (!gone)
                sched_yield();
        }
        quiet &= gone;
    }
    return quiet;
}
