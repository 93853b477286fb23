#include "parallel/feedback_part.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "codec/crc32c.h"
#include "codec/names.h"

#define MAGIC   0x45534944u /* "DISE" */
#define VERSION 1

/* Where the fields are. */
enum {
    AT_VERSION = 4,
    AT_BYTES = 8,
    AT_HASH = 16,
    AT_ELEMENTS = 24,
    AT_STEPS = 32,
    AT_RANKS = 40,
    AT_RANK = 44,
    AT_SITES = 48,
    AT_REDUCTION = 52,
    AT_PARAMETERS = 56,
    AT_SEGMENTS = 60,
    AT_CRC = 64,
    AT_ZERO = 68
};

static void put(char *at, uint64_t value, int bytes)
{
    for (int b = 0; b < bytes; b++)
        at[b] = (char)(value >> 8 * b & 0xff);
}

static uint64_t get(const char *at, int bytes)
{
    uint64_t value = 0;
    for (int b = bytes; b-- > 0;)
        value = value << 8 | (unsigned char)at[b];
    return value;
}

static uint32_t get32(const char *at)
{
    return (uint32_t)get(at, 4);
}

static uint32_t crc_of(const char *data, uint64_t bytes)
{
    const uint32_t head = dist_crc32c(0, data, AT_CRC);
    return dist_crc32c(head, data + DIST_PART_HEADER, bytes - DIST_PART_HEADER);
}

void dist_segment_write(char *at, const dist_segment *segment)
{
    put(at, segment->kind, 4);
    put(at + 4, segment->width, 4);
    put(at + 8, segment->owner, 8);
    put(at + 16, segment->first, 8);
    put(at + 24, segment->count, 8);
}

void dist_part_seal(char *data, const dist_part *part)
{
    put(data, MAGIC, 4);
    put(data + AT_VERSION, VERSION, 4);
    put(data + AT_BYTES, part->bytes, 8);
    put(data + AT_HASH, part->hash, 8);
    put(data + AT_ELEMENTS, part->elements, 8);
    put(data + AT_STEPS, part->steps, 8);
    put(data + AT_RANKS, part->ranks, 4);
    put(data + AT_RANK, part->rank, 4);
    put(data + AT_SITES, part->sites, 4);
    put(data + AT_REDUCTION, part->reduction == DIST_AVERAGE, 4);
    put(data + AT_PARAMETERS, part->parameters, 4);
    put(data + AT_SEGMENTS, part->segments, 4);
    put(data + AT_ZERO, 0, 4);
    put(data + AT_CRC, crc_of(data, part->bytes), 4);
}

static dist_segment read_segment(const char *at)
{
    return (dist_segment){.kind = (dist_kept_kind)get32(at),
                          .width = get32(at + 4),
                          .owner = get(at + 8, 8),
                          .first = get(at + 16, 8),
                          .count = get(at + 24, 8)};
}

static dist_status check_header(const char *data, uint64_t bytes, dist_part *part)
{
    if (bytes < DIST_PART_HEADER || get32(data) != MAGIC)
        return dist_fail(DIST_ERR_FRAME,
                         "%" PRIu64
                         " bytes that are no part of a saved state: they do not begin with the magic "
                         "that dist_data_parallel_state_save writes",
                         bytes);
    if (get32(data + AT_VERSION) != VERSION)
        return dist_fail(DIST_ERR_FRAME, "version %" PRIu32 " of saved states; this library reads version %d",
                         get32(data + AT_VERSION), VERSION);
    *part = (dist_part){.bytes = get(data + AT_BYTES, 8),
                        .hash = get(data + AT_HASH, 8),
                        .elements = get(data + AT_ELEMENTS, 8),
                        .steps = get(data + AT_STEPS, 8),
                        .ranks = get32(data + AT_RANKS),
                        .rank = get32(data + AT_RANK),
                        .sites = get32(data + AT_SITES),
                        .reduction = get32(data + AT_REDUCTION) == 1 ? DIST_AVERAGE : DIST_SUM,
                        .parameters = get32(data + AT_PARAMETERS),
                        .segments = get32(data + AT_SEGMENTS)};
    if (part->bytes != bytes)
        return dist_fail(DIST_ERR_FRAME,
                         "%" PRIu64 " bytes of a part of %" PRIu64
                         ": it is truncated, or more was given than "
                         "was saved",
                         bytes, part->bytes);
    if (get32(data + AT_CRC) != crc_of(data, bytes))
        return dist_fail(DIST_ERR_FRAME, "a part of %" PRIu64 " bytes fails its checksum: it is damaged",
                         bytes);
    if (part->ranks == 0 || part->rank >= part->ranks || part->sites == 0 || part->sites > part->ranks ||
        get32(data + AT_REDUCTION) > 1 || get32(data + AT_ZERO) != 0)
        return dist_fail(DIST_ERR_FRAME,
                         "the part of rank %" PRIu32 " of %" PRIu32 " on %" PRIu32 " sites: no such job",
                         part->rank, part->ranks, part->sites);
    return DIST_OK;
}

static bool owner_fits(const dist_part *part, const dist_segment *s)
{
    switch (s->kind) {
    case DIST_KEPT_SITE:
        return s->owner < part->sites && s->width == 0;
    case DIST_KEPT_SUM:
        return s->owner == 0 && s->width == 0;
    case DIST_KEPT_MATRIX:
        return s->owner == part->rank && s->width == 0;
    case DIST_KEPT_FACTOR:
        return s->width >= 1 && s->width <= DIST_RANK_MOST;
    default:
        return false;
    }
}

static bool all_finite(const char *values, uint64_t count)
{
    uint32_t bad = 0, bits;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(&bits, values + 4 * i, 4);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

/* A segment whose header begins at `data` and which has `left` bytes with all that follows. */
static dist_status check_segment(const dist_part *part, uint32_t number, const char *data, uint64_t left,
                                 uint64_t *bytes)
{
    if (left < DIST_SEGMENT_HEADER)
        return dist_fail(DIST_ERR_FRAME, "segment %" PRIu32 " of %" PRIu32 " is missing", number,
                         part->segments);
    const dist_segment s = read_segment(data);
    const uint64_t room = (left - DIST_SEGMENT_HEADER) / 4;
    const bool inside =
        s.first < part->elements && (s.kind == DIST_KEPT_FACTOR || s.count <= part->elements - s.first);
    if (s.count == 0 || s.count > room || !inside || !owner_fits(part, &s))
        return dist_fail(DIST_ERR_FRAME,
                         "segment %" PRIu32 ": %" PRIu64 " values of kind %d from element %" PRIu64
                         " on do not fit a part of %" PRIu64 " elements",
                         number, s.count, (int)s.kind, s.first, part->elements);
    if (!all_finite(data + DIST_SEGMENT_HEADER, s.count))
        return dist_fail(DIST_ERR_FRAME,
                         "segment %" PRIu32 ": a value from element %" PRIu64 " on is not finite", number,
                         s.first);
    *bytes = DIST_SEGMENT_HEADER + 4 * s.count;
    return DIST_OK;
}

dist_status dist_part_check(const void *data, uint64_t bytes, dist_part *part)
{
    uint64_t at = DIST_PART_HEADER, used = 0;
    DIST_TRY(check_header(data, bytes, part));
    for (uint32_t s = 0; s < part->segments; s++, at += used)
        DIST_TRY(check_segment(part, s, (const char *)data + at, bytes - at, &used));
    if (at != bytes)
        return dist_fail(DIST_ERR_FRAME, "%" PRIu64 " bytes behind the last segment of a part", bytes - at);
    return DIST_OK;
}

const char *dist_part_next(const void *data, const dist_part *part, uint64_t *at, dist_segment *segment)
{
    const char *here = (const char *)data + *at;
    if (*at >= part->bytes)
        return NULL;
    *segment = read_segment(here);
    *at += DIST_SEGMENT_HEADER + 4 * segment->count;
    return here + DIST_SEGMENT_HEADER;
}
