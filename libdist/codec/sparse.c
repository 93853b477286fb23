#include "codec/sparse.h"

#include <string.h>

#include "codec/elements.h"
#include "codec/select.h"
#include "kernels/sparse.h"

enum { PLACES = DIST_SPARSE_CHUNK / DIST_SPARSE_SHARE };

/* The elements of a chunk that are worth a place, by rising index. */
typedef struct candidates {
    uint32_t count;
    uint16_t index[PLACES];
    uint32_t magnitude[PLACES];
} candidates;

static candidates find(const float *h, uint64_t n)
{
    candidates found = {0};
    const dist_threshold threshold = dist_select(h, n, dist_sparse_kept(n));
    uint64_t ties = threshold.ties;
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t magnitude = dist_magnitude(h[i]);
        const bool tie = magnitude == threshold.magnitude;
        if (magnitude == 0 || magnitude < threshold.magnitude || (tie && ties == 0))
            continue;
        ties -= tie;
        found.index[found.count] = (uint16_t)i;
        found.magnitude[found.count++] = magnitude;
    }
    return found;
}

/* The `rank`-th largest, from 1. */
static uint32_t ranked(const candidates *found, uint32_t rank)
{
    uint32_t answer = 0;
    for (uint32_t i = 0; i < found->count; i++) {
        uint32_t above = 0, equal = 0;
        for (uint32_t j = 0; j < found->count; j++) {
            above += found->magnitude[j] > found->magnitude[i];
            equal += found->magnitude[j] == found->magnitude[i];
        }
        if (above < rank && rank <= above + equal)
            answer = found->magnitude[i];
    }
    return answer;
}

static void put_index(uint8_t *indices, uint32_t place, uint32_t index)
{
    uint8_t *pair = indices + place / 2 * 3;
    if (place % 2) {
        pair[1] = (uint8_t)(pair[1] | (index & 15u) << 4);
        pair[2] = (uint8_t)(index >> 4);
    } else {
        pair[0] = (uint8_t)index;
        pair[1] = (uint8_t)(index >> 8);
    }
}

typedef struct chunk {
    const float *h;
    float *kept;
    uint64_t n;
    uint8_t *scale, *indices, *codes;
} chunk;

static void send(const chunk *c, const candidates *found, dist_sparse_levels levels)
{
    uint32_t place = 0;
    for (uint32_t f = 0; f < found->count; f++) {
        const uint32_t i = found->index[f];
        if (!dist_sparse_is_sent(found->magnitude[f], levels))
            continue;
        const unsigned code = dist_sparse_code_of(c->h[i], levels);
        put_index(c->indices, place, i);
        c->codes[place / 4] = (uint8_t)(c->codes[place / 4] | code << place % 4 * 2);
        place++;
        if (c->kept)
            c->kept[i] = dist_sub(c->h[i], dist_sparse_value(code, levels));
    }
}

/* Whether the chunk is finite. */
static bool encode_chunk(const chunk *c)
{
    const uint32_t places = dist_sparse_kept(c->n), peak = dist_peak_elements(c->h, c->n);
    dist_sparse_levels levels = dist_sparse_levels_of(DIST_HALF_NAN, DIST_HALF_NAN);
    const bool finite = peak < DIST_INFINITY_BITS;
    memset(c->indices, 0, (places * 12 + 7) / 8);
    memset(c->codes, 0, (places * 2 + 7) / 8);
    if (finite) {
        const candidates found = find(c->h, c->n);
        levels = dist_sparse_levels_from(ranked(&found, (found.count + 1) / 2), peak);
        if (c->kept)
            memcpy(c->kept, c->h, c->n * sizeof *c->h);
        if (levels.hi > 0)
            send(c, &found, levels);
    }
    memcpy(c->scale, &levels.lo_bits, 2);
    memcpy(c->scale + 2, &levels.hi_bits, 2);
    return finite;
}

uint64_t dist_sparse_encode(const dist_encode_group *group)
{
    uint64_t nonfinite = 0, b = 0;
    for (uint64_t first = 0; first < group->n; first += DIST_SPARSE_CHUNK, b++) {
        const chunk c = {.h = group->h + first,
                         .kept = group->kept ? group->kept + first : NULL,
                         .n = dist_least(DIST_SPARSE_CHUNK, group->n - first),
                         .scale = group->section[0] + 4 * b,
                         .indices = group->section[1] + dist_sparse_bytes(first, PLACES * 12 / 8, 12),
                         .codes = group->section[2] + dist_sparse_bytes(first, PLACES * 2 / 8, 2)};
        nonfinite += !encode_chunk(&c);
    }
    return nonfinite;
}

static void decode_chunk(const uint8_t *scale, const uint8_t *indices, const uint8_t *codes, uint64_t n,
                         float *out, bool add)
{
    uint16_t bits[2];
    memcpy(bits, scale, 4);
    const dist_sparse_levels levels = dist_sparse_levels_of(bits[0], bits[1]);
    if (bits[1] == DIST_HALF_NAN) {
        for (uint64_t i = 0; i < n; i++)
            out[i] = dist_float_of(DIST_NAN_BITS);
        return;
    }
    if (!add)
        memset(out, 0, n * sizeof *out);
    for (uint32_t place = 0; levels.hi > 0 && place < dist_sparse_kept(n); place++) {
        const uint32_t i = dist_sparse_index(indices, place);
        if (i == 0 && place > 0)
            break;
        dist_put(out, i, dist_sparse_value(dist_sparse_code(codes, place), levels), add);
    }
}

void dist_sparse_decode(const dist_decode_group *group)
{
    uint64_t b = 0;
    for (uint64_t first = 0; first < group->n; first += DIST_SPARSE_CHUNK, b++)
        decode_chunk(group->section[0] + 4 * b,
                     group->section[1] + dist_sparse_bytes(first, PLACES * 12 / 8, 12),
                     group->section[2] + dist_sparse_bytes(first, PLACES * 2 / 8, 2),
                     dist_least(DIST_SPARSE_CHUNK, group->n - first), group->out + first, group->write == DIST_WRITE_ADD);
}
