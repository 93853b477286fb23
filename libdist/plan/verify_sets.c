#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "plan/verify_internal.h"

static uint64_t hash_of(const uint64_t *bits, size_t words)
{
    uint64_t hash = 0;
    for (size_t w = 0; w < words; w++) {
        hash = (hash ^ bits[w]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

static uint64_t *bits_of(const dist_sets *sets, size_t set)
{
    return sets->bits + set * sets->words;
}

/* The slot that holds these bits, or the free one where they belong. */
static uint32_t *slot_of(const dist_sets *sets, const uint64_t *bits)
{
    size_t at = hash_of(bits, sets->words) & (sets->slots - 1);
    while (sets->slot[at] != 0 &&
           memcmp(bits_of(sets, sets->slot[at] - 1), bits, sets->words * sizeof *bits) != 0)
        at = (at + 1) & (sets->slots - 1);
    return &sets->slot[at];
}

static bool widen(dist_sets *sets)
{
    size_t slots = sets->slots ? 2 * sets->slots : 64;
    uint32_t *slot = calloc(slots, sizeof *slot);
    if (!slot)
        return false;
    free(sets->slot);
    sets->slot = slot;
    sets->slots = slots;
    for (size_t set = 0; set < sets->count; set++)
        *slot_of(sets, bits_of(sets, set)) = (uint32_t)set + 1;
    return true;
}

/* Room for one more set, whose zeroed bits are behind the last. */
static uint64_t *begin_set(dist_sets *sets)
{
    if (2 * sets->count >= sets->slots && !widen(sets))
        return NULL;
    if (!dist_grow(&sets->bits, &sets->capacity, sets->count + 1, sets->words * sizeof(uint64_t)))
        return NULL;
    return memset(bits_of(sets, sets->count), 0, sets->words * sizeof(uint64_t));
}

/* The number of the set that was begun: a new one, if there is none like it. */
static uint32_t end_set(dist_sets *sets)
{
    uint32_t *slot = slot_of(sets, bits_of(sets, sets->count));
    if (*slot == 0)
        *slot = (uint32_t)++sets->count;
    return *slot - 1;
}

bool dist_sets_create(dist_sets *sets, int ranks)
{
    *sets = (dist_sets){.ranks = ranks, .words = ((size_t)ranks + 63) / 64};
    for (int r = 0; r < ranks; r++) {
        uint64_t *bits = begin_set(sets);
        if (!bits)
            return false;
        bits[r / 64] = (uint64_t)1 << (r % 64);
        end_set(sets);
    }
    return true;
}

void dist_sets_destroy(dist_sets *sets)
{
    free(sets->bits);
    free(sets->slot);
}

bool dist_sets_union(dist_sets *sets, uint32_t a, uint32_t b, uint32_t *result)
{
    uint64_t *bits = begin_set(sets);
    if (!bits)
        return false;
    for (size_t w = 0; w < sets->words; w++)
        bits[w] = bits_of(sets, a)[w] | bits_of(sets, b)[w];
    *result = end_set(sets);
    return true;
}

int dist_sets_common(const dist_sets *sets, uint32_t a, uint32_t b)
{
    for (size_t w = 0; w < sets->words; w++) {
        uint64_t both = bits_of(sets, a)[w] & bits_of(sets, b)[w];
        if (both)
            return (int)(64 * w) + __builtin_ctzll(both);
    }
    return -1;
}

int dist_sets_differ(const dist_sets *sets, uint32_t a, uint32_t b)
{
    for (size_t w = 0; w < sets->words; w++) {
        uint64_t one = bits_of(sets, a)[w] ^ bits_of(sets, b)[w];
        if (one)
            return (int)(64 * w) + __builtin_ctzll(one);
    }
    return -1;
}

int dist_sets_missing(const dist_sets *sets, uint32_t set)
{
    for (int r = 0; r < sets->ranks; r++)
        if (!(bits_of(sets, set)[r / 64] >> (r % 64) & 1))
            return r;
    return -1;
}
