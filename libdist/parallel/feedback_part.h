/* The bytes of a part: what one rank of a job kept in its averages from step to step.
 *
 * A part is read by jobs of any number of ranks and sites, so it names elements by their index when all parameters
 * are laid out in the order of registration, each with the gap that fills up its last 64 bytes. All integers are
 * little endian.
 *
 *     byte  0  4  magic       "DISE"
 *           4  4  version     1
 *           8  8  bytes       of the part
 *          16  8  hash        of the parameters: counts, types and names
 *          24  8  elements    of all parameters, with gaps
 *          32  8  steps       averaged so far
 *          40  4  ranks       of the job that wrote it
 *          44  4  rank        which of them wrote it
 *          48  4  sites       of that job
 *          52  4  reduction   0 sum, 1 average
 *          56  4  parameters  how many
 *          60  4  segments    how many
 *          64  4  crc         CRC32C (RFC 3720) of bytes 0 to 63 and 72 to the end
 *          68  4  zero
 *
 * Then the segments, one behind the other:
 *
 *     byte  0  4  kind        below
 *           4  4  width       factor: how many vectors it is, else 0
 *           8  8  owner       below
 *          16  8  first       element of the first value
 *          24  8  count       of values, at least 1
 *          32     values      float32, finite
 *
 *     kind       owner                          values
 *     0 site     a site                         what its encodes rounded away, in units of a site's sum
 *     1 sum      0                              what encodes of sums did (two shots), in units of the result
 *     2 matrix   the rank that wrote the part   what its factors left out, in units of its gradient
 *     3 factor   steps of the matrix so far     the factor that the next step begins with; first: of the matrix */
#ifndef DIST_PARALLEL_FEEDBACK_PART_H
#define DIST_PARALLEL_FEEDBACK_PART_H

#include <stdbool.h>
#include <stdint.h>

#include <libdist/collective.h>

typedef enum dist_kept_kind {
    DIST_KEPT_SITE,
    DIST_KEPT_SUM,
    DIST_KEPT_MATRIX,
    DIST_KEPT_FACTOR,
    DIST_KEPT_KINDS
} dist_kept_kind;

enum { DIST_PART_HEADER = 72, DIST_SEGMENT_HEADER = 32 };

typedef struct dist_part {
    uint64_t bytes, hash, elements, steps;
    uint32_t ranks, rank, sites;
    dist_reduction reduction; /* DIST_SUM or DIST_AVERAGE */
    uint32_t parameters, segments;
} dist_part;

typedef struct dist_segment {
    dist_kept_kind kind;
    uint32_t width;
    uint64_t owner, first, count;
} dist_segment;

/* Writes a segment's header; its values come behind it. Headers and values may lie at any address. */
void dist_segment_write(char *at, const dist_segment *segment);
/* Writes the header once the segments are in place. */
void dist_part_seal(char *data, const dist_part *part);

/* Checks all of `bytes` bytes. DIST_ERR_FRAME with a sentence when they are no part, or damaged. */
dist_status dist_part_check(const void *data, uint64_t bytes, dist_part *part);

/* Walks the segments of a part that was checked: *at begins at DIST_PART_HEADER and gets where the next one is.
 * The segment's values, or NULL after the last. */
const char *dist_part_next(const void *data, const dist_part *part, uint64_t *at, dist_segment *segment);

#endif
