/* Receives: pieces go straight to those that have started; what comes before is kept until they do. */
#include <stdlib.h>
#include <string.h>

#include "wire/tcp_internal.h"

static void announce(dist_tcp_match *match)
{
    dist_tcp_peer *peer = match->peer;
    match->needed = false;
    if (match->announced)
        return;
    match->announced = true;
    match->next_announced = NULL;
    *(peer->announce ? &peer->announce_last->next_announced : &peer->announce) = match;
    peer->announce_last = match;
}

static dist_status check_size(const dist_tcp_message *message, uint64_t total)
{
    const dist_wire_message *what = &message->what;
    if (what->variable ? total <= what->bytes : total == what->bytes)
        return DIST_OK;
    return dist_fail(DIST_ERR_FRAME, "rank %d sent %llu bytes where %s%llu are expected (channel %d, tag %u)",
                     what->peer, (unsigned long long)total, what->variable ? "at most " : "",
                     (unsigned long long)what->bytes, what->channel, what->tag);
}

/* Gives room back that the message took. */
static void owe(dist_tcp_peer *peer, uint64_t bytes)
{
    peer->owed += (uint64_t)dist_tcp_cost(bytes);
}

static dist_status deliver(dist_tcp_message *message, dist_tcp_arrival *arrival)
{
    DIST_TRY(check_size(message, arrival->total));
    memcpy(message->what.buffer, arrival->data, arrival->total);
    for (dist_tcp_arrival **link = &message->match->arrivals; *link; link = &(*link)->next)
        if (*link == arrival) {
            *link = arrival->next;
            break;
        }
    owe(message->peer, arrival->total);
    free(arrival);
    dist_tcp_finished(message);
    return DIST_OK;
}

static dist_tcp_arrival *find_arrival(const dist_tcp_match *match, uint32_t number)
{
    dist_tcp_arrival *arrival = match->arrivals;
    while (arrival && arrival->number != number)
        arrival = arrival->next;
    return arrival;
}

static dist_tcp_message *find_receive(const dist_tcp_match *match, uint32_t number)
{
    dist_tcp_message *message = match->receives.first;
    while (message && message->number != number)
        message = message->next;
    return message;
}

dist_status dist_tcp_receive(dist_tcp_message *message)
{
    dist_tcp_match *match = message->match;
    message->number = match->received++;
    message->arrived = 0;
    message->ahead = false;
    dist_tcp_arrival *arrival = find_arrival(match, message->number);
    if (arrival && arrival->arrived == arrival->total && arrival->under_way == 0)
        return deliver(message, arrival);
    dist_tcp_append(&match->receives, message);
    if (!arrival && (match->needed || message->what.bytes > DIST_WIRE_SHORT)) {
        announce(match);
        return dist_tcp_pump(message->peer);
    }
    return DIST_OK;
}

static dist_status bad_head(const dist_tcp_stream *stream, const char *why)
{
    const dist_tcp_head *in = &stream->in;
    return dist_fail(
        DIST_ERR_FRAME,
        "rank %d sent a piece that %s: bytes %llu to %llu of %llu (channel %u, tag %u, number %u)",
        stream->peer->rank, why, (unsigned long long)in->offset, (unsigned long long)in->offset + in->length,
        (unsigned long long)in->total, in->channel, in->tag, in->number);
}

static dist_tcp_arrival *make_arrival(dist_tcp_stream *stream)
{
    dist_tcp_match *match = stream->in_match;
    dist_tcp_arrival *arrival = malloc(sizeof *arrival + stream->in.total);
    if (!arrival)
        return NULL;
    *arrival =
        (dist_tcp_arrival){.next = match->arrivals, .total = stream->in.total, .number = stream->in.number};
    match->arrivals = arrival;
    stream->peer->wire->counts.unexpected++;
    return arrival;
}

static dist_status place_early(dist_tcp_stream *stream, dist_tcp_arrival *arrival)
{
    const dist_tcp_head *in = &stream->in;
    if (!(in->flags & DIST_TCP_AHEAD) || in->total > DIST_TCP_AHEAD_MOST)
        return bad_head(stream, "nobody has asked for");
    if (!arrival && !(arrival = make_arrival(stream)))
        return dist_fail(DIST_ERR_MEMORY, "no memory for %llu bytes from rank %d",
                         (unsigned long long)in->total, stream->peer->rank);
    if (arrival->total != in->total)
        return bad_head(stream, "disagrees with another of its message");
    arrival->under_way++;
    stream->arriving = arrival;
    stream->receiving = NULL;
    stream->in_data = arrival->data + in->offset;
    return DIST_OK;
}

dist_status dist_tcp_place_piece(dist_tcp_stream *stream)
{
    const dist_tcp_head *in = &stream->in;
    dist_tcp_match *match = stream->in_match;
    if (in->length > in->total || in->offset > in->total - in->length)
        return bad_head(stream, "is longer than its message");
    dist_tcp_arrival *arrival = find_arrival(match, in->number);
    if (arrival || !dist_tcp_before(in->number, match->received))
        return place_early(stream, arrival);
    dist_tcp_message *message = find_receive(match, in->number);
    if (!message)
        return bad_head(stream, "is of an earlier run");
    DIST_TRY(check_size(message, in->total));
    message->total = in->total;
    message->ahead = in->flags & DIST_TCP_AHEAD;
    message->under_way++;
    stream->receiving = message;
    stream->arriving = NULL;
    stream->in_data = (char *)message->what.buffer + in->offset;
    return DIST_OK;
}

dist_status dist_tcp_piece_read(dist_tcp_stream *stream)
{
    dist_tcp_message *message = stream->receiving;
    dist_tcp_arrival *arrival = stream->arriving;
    stream->receiving = NULL;
    stream->arriving = NULL;
    if (message) {
        message->under_way--;
        message->arrived += stream->in.length;
        if (message->arrived < message->total)
            return DIST_OK;
        dist_tcp_remove(&message->match->receives, message);
        if (message->ahead)
            owe(message->peer, message->total);
        dist_tcp_finished(message);
    } else if (arrival) {
        arrival->under_way--;
        arrival->arrived += stream->in.length;
        if (arrival->arrived < arrival->total)
            return DIST_OK;
        message = find_receive(stream->in_match, arrival->number);
        if (message) { /* it has started in the meantime */
            dist_tcp_remove(&message->match->receives, message);
            return deliver(message, arrival);
        }
    }
    return DIST_OK;
}

dist_status dist_tcp_hear_need(dist_tcp_match *match, uint32_t number)
{
    if (dist_tcp_before(number, match->received))
        announce(match);
    else
        match->needed = true;
    return DIST_OK;
}

void dist_tcp_forget_receive(dist_tcp_message *message)
{
    dist_tcp_peer *peer = message->peer;
    if (find_receive(message->match, message->number) == message)
        dist_tcp_remove(&message->match->receives, message);
    for (int s = 0; s < DIST_TCP_STREAMS_MOST; s++)
        if (peer->stream[s] && peer->stream[s]->receiving == message) {
            peer->stream[s]->receiving = NULL;
            peer->stream[s]->in_data = NULL;
        }
}
