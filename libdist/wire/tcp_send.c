/* Sends: those that may go are cut into pieces for the streams; the others wait for READY or for credit. */
#include <string.h>

#include "wire/tcp_internal.h"

static dist_tcp_list *waiting_room(dist_tcp_message *message)
{
    return message->what.bytes > DIST_TCP_AHEAD_MOST ? &message->peer->waiting : &message->peer->held;
}

static void permit(dist_tcp_message *message)
{
    dist_tcp_peer *peer = message->peer;
    dist_tcp_append(message->total <= DIST_TCP_SMALL ? &peer->small : &peer->large, message);
}

/* Messages of a match go in order, so what has credit must not overtake one that waits. */
static bool may_go_ahead(const dist_tcp_message *message)
{
    return message->what.bytes <= DIST_TCP_AHEAD_MOST &&
           message->peer->credit >= dist_tcp_cost(message->total);
}

static void go_ahead(dist_tcp_message *message)
{
    message->ahead = true;
    message->peer->credit -= dist_tcp_cost(message->total);
    permit(message);
}

static void hold(dist_tcp_message *message)
{
    dist_tcp_peer *peer = message->peer;
    dist_tcp_match *match = message->match;
    dist_tcp_append(waiting_room(message), message);
    if (match->holds++ == 0)
        match->held = message;
    peer->wire->counts.held++;
    /* receives of short messages are not announced unless asked for */
    message->needs = message->what.bytes <= DIST_WIRE_SHORT;
    peer->needs += message->needs;
}

/* The next send of the same match, which is behind it in the same list or among those of the other kind. */
static dist_tcp_message *next_held(const dist_tcp_message *message)
{
    const dist_tcp_peer *peer = message->peer;
    const dist_tcp_list *const list[] = {&peer->held, &peer->waiting};
    for (int l = 0; l < 2; l++)
        for (dist_tcp_message *other = list[l]->first; other; other = other->next)
            if (other->match == message->match && other->number == message->number + 1)
                return other;
    return NULL;
}

static void unhold(dist_tcp_message *message)
{
    dist_tcp_match *match = message->match;
    match->holds--;
    if (match->held == message)
        match->held = match->holds > 0 ? next_held(message) : NULL;
    message->peer->needs -= message->needs;
    message->needs = false;
    dist_tcp_remove(waiting_room(message), message);
}

dist_status dist_tcp_send(dist_tcp_message *message)
{
    dist_tcp_match *match = message->match;
    message->number = match->sent++;
    message->assigned = 0;
    message->ahead = false;
    if (dist_tcp_before(message->number, match->ready))
        permit(message);
    else if (match->holds == 0 && may_go_ahead(message))
        go_ahead(message);
    else
        hold(message);
    return dist_tcp_pump(message->peer);
}

void dist_tcp_hear_ready(dist_tcp_peer *peer, dist_tcp_match *match, uint32_t number)
{
    (void)peer;
    if (dist_tcp_before(match->ready, number))
        match->ready = number;
    while (match->held && dist_tcp_before(match->held->number, match->ready)) {
        dist_tcp_message *message = match->held;
        unhold(message);
        permit(message);
    }
}

void dist_tcp_hear_credit(dist_tcp_peer *peer, uint32_t credit)
{
    peer->credit += credit;
    for (dist_tcp_message *message = peer->held.first, *next; message && may_go_ahead(message);
         message = next) {
        next = message->next;
        if (message->match->held != message)
            continue;
        unhold(message);
        go_ahead(message);
    }
}

bool dist_tcp_next_piece(dist_tcp_stream *stream)
{
    dist_tcp_peer *peer = stream->peer;
    dist_tcp_list *list = stream->number == 0 && peer->small.first ? &peer->small : &peer->large;
    dist_tcp_message *message = list->first;
    if (!message)
        return false;
    const uint64_t left = message->total - message->assigned;
    const uint64_t length = left < DIST_TCP_PIECE ? left : DIST_TCP_PIECE;
    stream->out = (dist_tcp_head){.magic = DIST_TCP_MAGIC,
                                  .kind = DIST_TCP_DATA,
                                  .channel = message->match->channel,
                                  .tag = message->match->tag,
                                  .number = message->number,
                                  .total = message->total,
                                  .offset = message->assigned,
                                  .length = (uint32_t)length,
                                  .credit = (uint32_t)peer->owed,
                                  .flags = message->ahead ? DIST_TCP_AHEAD : 0};
    stream->out.check = dist_tcp_check_of(&stream->out, offsetof(dist_tcp_head, check));
    stream->out_head = 0;
    stream->out_data = (const char *)message->what.buffer + message->assigned;
    stream->out_left = length;
    stream->sending = message;
    peer->owed = 0;
    message->assigned += length;
    message->under_way++;
    if (message->assigned == message->total)
        dist_tcp_remove(list, message);
    return true;
}

void dist_tcp_piece_written(dist_tcp_stream *stream)
{
    dist_tcp_message *message = stream->sending;
    stream->sending = NULL;
    stream->peer->wire->counts.pieces_sent++;
    if (--message->under_way == 0 && message->assigned == message->total)
        dist_tcp_finished(message);
}

static void put_head(dist_tcp_stream *stream, dist_tcp_kind kind, const dist_tcp_match *match,
                     uint32_t number)
{
    dist_tcp_peer *peer = stream->peer;
    dist_tcp_head *head = &stream->batch[stream->batch_end / sizeof *head];
    *head = (dist_tcp_head){.magic = DIST_TCP_MAGIC,
                            .kind = (uint16_t)kind,
                            .channel = match ? match->channel : 0,
                            .tag = match ? match->tag : 0,
                            .number = number,
                            .credit = (uint32_t)peer->owed};
    head->check = dist_tcp_check_of(head, offsetof(dist_tcp_head, check));
    peer->owed = 0;
    stream->batch_end += sizeof *head;
}

void dist_tcp_fill_batch(dist_tcp_stream *stream)
{
    dist_tcp_peer *peer = stream->peer;
    stream->batch_begin = stream->batch_end = 0;
    while (peer->announce && stream->batch_end < sizeof stream->batch) {
        dist_tcp_match *match = peer->announce;
        peer->announce = match->next_announced;
        match->announced = false;
        put_head(stream, DIST_TCP_READY, match, match->received);
    }
    for (dist_tcp_message *message = peer->held.first;
         message && peer->needs > 0 && stream->batch_end < sizeof stream->batch; message = message->next)
        if (message->needs) {
            message->needs = false;
            peer->needs--;
            put_head(stream, DIST_TCP_NEED, message->match, message->number);
        }
    if (peer->owed >= DIST_TCP_ROOM / 4 && stream->batch_end == 0)
        put_head(stream, DIST_TCP_CREDIT, NULL, 0);
}

void dist_tcp_forget_send(dist_tcp_message *message)
{
    dist_tcp_peer *peer = message->peer;
    for (dist_tcp_message *held = waiting_room(message)->first; held; held = held->next)
        if (held == message) {
            unhold(message);
            return;
        }
    if (message->assigned < message->total || (message->total == 0 && message->under_way == 0))
        dist_tcp_remove(message->total <= DIST_TCP_SMALL ? &peer->small : &peer->large, message);
}
