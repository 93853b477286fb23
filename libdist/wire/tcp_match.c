/* Sends meet receives: a hash table of (channel, tag) for each peer, and lists of messages. */
#include <stdlib.h>

#include "wire/tcp_internal.h"

static size_t place_of(uint16_t channel, uint32_t tag, size_t room)
{
    uint64_t hash = ((uint64_t)channel << 32 | tag) * 0x9e3779b97f4a7c15u;
    return (size_t)(hash >> 32) & (room - 1);
}

static void put(dist_tcp_match **table, size_t room, dist_tcp_match *match)
{
    size_t at = place_of(match->channel, match->tag, room);
    while (table[at])
        at = (at + 1) & (room - 1);
    table[at] = match;
}

/* Less than half full. */
static bool make_room(dist_tcp_peer *peer)
{
    if (2 * (peer->matches + 1) <= peer->match_room)
        return true;
    const size_t room = peer->match_room ? 2 * peer->match_room : 64;
    dist_tcp_match **table = calloc(room, sizeof(dist_tcp_match *));
    if (!table)
        return false;
    for (size_t i = 0; i < peer->match_room; i++)
        if (peer->match[i])
            put(table, room, peer->match[i]);
    free(peer->match);
    peer->match = table;
    peer->match_room = room;
    return true;
}

dist_tcp_match *dist_tcp_find(dist_tcp_peer *peer, uint16_t channel, uint32_t tag)
{
    if (peer->match_room > 0)
        for (size_t at = place_of(channel, tag, peer->match_room); peer->match[at];
             at = (at + 1) & (peer->match_room - 1))
            if (peer->match[at]->channel == channel && peer->match[at]->tag == tag)
                return peer->match[at];
    dist_tcp_match *match = make_room(peer) ? calloc(1, sizeof *match) : NULL;
    if (!match)
        return NULL;
    match->peer = peer;
    match->channel = channel;
    match->tag = tag;
    put(peer->match, peer->match_room, match);
    peer->matches++;
    return match;
}

void dist_tcp_free_matches(dist_tcp_peer *peer)
{
    for (size_t i = 0; i < peer->match_room; i++) {
        dist_tcp_match *match = peer->match[i];
        for (dist_tcp_arrival *next; match && match->arrivals; match->arrivals = next) {
            next = match->arrivals->next;
            free(match->arrivals);
        }
        free(match);
    }
    free(peer->match);
}

void dist_tcp_append(dist_tcp_list *list, dist_tcp_message *message)
{
    message->next = NULL;
    message->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = message;
    list->last = message;
}

void dist_tcp_remove(dist_tcp_list *list, dist_tcp_message *message)
{
    *(message->previous ? &message->previous->next : &list->first) = message->next;
    *(message->next ? &message->next->previous : &list->last) = message->previous;
    message->next = message->previous = NULL;
}
