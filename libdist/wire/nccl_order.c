/* One global order of all operations. Every rank tells the leader what it has started; the leader sends each operation
 * round once all who take part in it have told, and every rank launches in the order in which that comes. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "wire/nccl_internal.h"

#define PLACES_LEAST 256

static bool same_key(const dist_nccl_key *a, const dist_nccl_key *b)
{
    return a->number == b->number && a->space == b->space && a->from == b->from && a->to == b->to;
}

static size_t hash_key(const dist_nccl_key *key)
{
    uint64_t hash = ((uint64_t)key->space << 32 | key->number) * 0x9e3779b97f4a7c15u;
    hash ^= ((uint64_t)(uint32_t)key->from << 32 | (uint32_t)key->to) * 0xbf58476d1ce4e5b9u;
    hash *= 0x94d049bb133111ebu;
    return (size_t)(hash >> 29);
}

/* ---- what this rank has started, by key ---- */

static dist_status grow_buckets(dist_nccl_wire *wire, size_t needed)
{
    size_t buckets = wire->buckets ? wire->buckets : 16;
    while (buckets < needed)
        buckets *= 2;
    if (buckets == wire->buckets)
        return DIST_OK;
    dist_nccl_request **bucket = calloc(buckets, sizeof(dist_nccl_request *));
    if (!bucket)
        return dist_fail(DIST_ERR_MEMORY, "no memory for %zu requests of the NCCL wire", needed);
    for (size_t b = 0; b < wire->buckets; b++)
        while (wire->bucket[b]) {
            dist_nccl_request *request = wire->bucket[b];
            const size_t at = hash_key(&request->key) & (buckets - 1);
            wire->bucket[b] = request->same;
            request->same = bucket[at];
            bucket[at] = request;
        }
    free(wire->bucket);
    wire->bucket = bucket;
    wire->buckets = buckets;
    return DIST_OK;
}

void dist_nccl_order_start(dist_nccl_wire *wire, dist_nccl_request *request)
{
    const size_t at = hash_key(&request->key) & (wire->buckets - 1);
    request->same = wire->bucket[at];
    wire->bucket[at] = request;
    dist_nccl_append(&wire->telling, request);
}

/* It is this rank's turn to launch it. */
static dist_status order_here(dist_nccl_wire *wire, const dist_nccl_key *key)
{
    if (wire->buckets > 0)
        for (dist_nccl_request **link = &wire->bucket[hash_key(key) & (wire->buckets - 1)]; *link;
             link = &(*link)->same)
            if (same_key(&(*link)->key, key)) {
                dist_nccl_request *request = *link;
                *link = request->same;
                dist_nccl_append(&wire->ordered, request);
                return DIST_OK;
            }
    return dist_fail(
        DIST_ERR_MISMATCH,
        "the NCCL wire is to launch operation %u of space %u (ranks %d, %d), which was not started "
        "here",
        key->number, key->space, key->from, key->to);
}

/* ---- the leader: who has told of what ---- */

/* The place of a key, or the free one where it would be. */
static dist_nccl_told *find_told(const dist_nccl_wire *wire, const dist_nccl_key *key)
{
    size_t at = hash_key(key) & (wire->places - 1);
    while (wire->told[at].told && !same_key(&wire->told[at].key, key))
        at = (at + 1) & (wire->places - 1);
    return &wire->told[at];
}

/* At most half of the places are ever taken. */
static dist_status grow_told(dist_nccl_wire *wire, size_t needed)
{
    dist_nccl_told *before = wire->told;
    const size_t places_before = wire->places;
    size_t places = places_before ? places_before : PLACES_LEAST;
    while (places / 2 < needed)
        places *= 2;
    if (places == places_before)
        return DIST_OK;
    dist_nccl_told *told = calloc(places, sizeof *told);
    if (!told)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the order of %zu operations of the NCCL wire",
                         needed);
    wire->told = told;
    wire->places = places;
    for (size_t p = 0; p < places_before; p++)
        if (before[p].told)
            *find_told(wire, &before[p].key) = before[p];
    free(before);
    return DIST_OK;
}

/* Moves up what would not be found behind the place that becomes free. */
static void forget_told(dist_nccl_wire *wire, dist_nccl_told *told)
{
    const size_t mask = wire->places - 1;
    size_t hole = (size_t)(told - wire->told), at = hole;
    for (;;) {
        at = (at + 1) & mask;
        if (!wire->told[at].told)
            break;
        const size_t home = hash_key(&wire->told[at].key) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            wire->told[hole] = wire->told[at];
            hole = at;
        }
    }
    wire->told[hole].told = 0;
    wire->tolds--;
}

static dist_status grow_queue(dist_nccl_link *link, size_t needed)
{
    size_t capacity = link->capacity ? link->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    if (capacity == link->capacity)
        return DIST_OK;
    dist_nccl_key *queue = malloc(capacity * sizeof *queue);
    if (!queue)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the order of %zu operations of the NCCL wire",
                         needed);
    for (size_t i = link->head; i != link->tail; i++)
        queue[i & (capacity - 1)] = link->queue[i & (link->capacity - 1)];
    free(link->queue);
    link->queue = queue;
    link->capacity = capacity;
    return DIST_OK;
}

dist_status dist_nccl_order_reserve(dist_nccl_wire *wire)
{
    const size_t requests = wire->existing + 1;
    DIST_TRY(grow_buckets(wire, requests));
    if (!dist_nccl_leads(wire))
        return DIST_OK;
    /* Room for as many on every other member. One with more makes it grow once, when it tells. */
    DIST_TRY(grow_told(wire, requests * (size_t)wire->members));
    for (int l = 0; l < wire->links; l++)
        DIST_TRY(grow_queue(&wire->link[l], requests));
    return DIST_OK;
}

/* The next of the order: to all who take part. */
static dist_status send_round(dist_nccl_wire *wire, const dist_nccl_key *key)
{
    for (int l = 0; l < wire->links; l++) {
        dist_nccl_link *link = &wire->link[l];
        if (key->from < 0 || key->from == link->peer || key->to == link->peer) {
            DIST_TRY(grow_queue(link, link->tail - link->head + 1));
            link->queue[link->tail++ & (link->capacity - 1)] = *key;
        }
    }
    return key->from < 0 || key->from == wire->base.rank || key->to == wire->base.rank ? order_here(wire, key)
                                                                                       : DIST_OK;
}

static dist_status count(dist_nccl_wire *wire, const dist_nccl_key *key)
{
    const uint32_t all = key->from < 0 ? (uint32_t)wire->members : 2;
    DIST_TRY(grow_told(wire, wire->tolds + 1));
    dist_nccl_told *told = find_told(wire, key);
    if (told->told == 0) {
        told->key = *key;
        wire->tolds++;
    }
    if (++told->told < all)
        return DIST_OK;
    const dist_nccl_key complete = *key;
    forget_told(wire, told);
    return send_round(wire, &complete);
}

/* ---- letters ---- */

dist_status dist_nccl_order_hear(dist_nccl_wire *wire, dist_nccl_link *link, const dist_nccl_letter *letter)
{
    const bool leads = dist_nccl_leads(wire);
    if (letter->count > DIST_NCCL_KEYS)
        return dist_fail(DIST_ERR_MISMATCH, "rank %d: a letter of %u keys", link->peer, letter->count);
    for (int k = 0; k < letter->count; k++) {
        const dist_nccl_key *key = &letter->as.key[k];
        DIST_TRY(leads ? count(wire, key) : order_here(wire, key));
    }
    return DIST_OK;
}

/* The leader's queue for one member, as far as there is room for letters. */
static dist_status send_queue(dist_nccl_wire *wire, dist_nccl_link *link)
{
    while (link->head != link->tail) {
        dist_nccl_letter *letter;
        int keys = 0;
        DIST_TRY(dist_nccl_link_slot(wire, link, &letter));
        if (!letter)
            return DIST_OK;
        while (link->head != link->tail && keys < DIST_NCCL_KEYS)
            letter->as.key[keys++] = link->queue[link->head++ & (link->capacity - 1)];
        DIST_TRY(dist_nccl_link_send(wire, link, DIST_NCCL_WORDS, keys));
    }
    return DIST_OK;
}

static dist_status tell_leader(dist_nccl_wire *wire)
{
    while (wire->telling.first) {
        dist_nccl_letter *letter;
        int keys = 0;
        DIST_TRY(dist_nccl_link_slot(wire, dist_nccl_leader(wire), &letter));
        if (!letter)
            return DIST_OK;
        while (wire->telling.first && keys < DIST_NCCL_KEYS)
            letter->as.key[keys++] = dist_nccl_take(&wire->telling)->key;
        DIST_TRY(dist_nccl_link_send(wire, dist_nccl_leader(wire), DIST_NCCL_WORDS, keys));
    }
    return DIST_OK;
}

dist_status dist_nccl_order_tell(dist_nccl_wire *wire)
{
    if (!dist_nccl_leads(wire))
        return tell_leader(wire);
    for (dist_nccl_request *request; (request = dist_nccl_take(&wire->telling));) {
        const dist_nccl_key key = request->key; /* it may go to the list of what is to be launched */
        DIST_TRY(count(wire, &key));
    }
    for (int l = 0; l < wire->links; l++)
        DIST_TRY(send_queue(wire, &wire->link[l]));
    return DIST_OK;
}
