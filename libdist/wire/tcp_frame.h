/* What a stream of the TCP wire carries: at first a greeting each way, then frames: a head, and of DATA the piece behind it.
 * Numbers are little-endian, as all machines are that libdist runs on. */
#ifndef DIST_WIRE_TCP_FRAME_H
#define DIST_WIRE_TCP_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "codec/crc32c.h"

#define DIST_TCP_MAGIC   0x50435444u /* "DTCP" */
#define DIST_TCP_VERSION 1

typedef struct dist_tcp_greeting {
    uint32_t magic, version;
    uint64_t job;     /* a number that all ranks of a job, and of no other, know */
    int32_t from, to; /* ranks */
    int32_t stream;   /* which of the pair's */
    uint32_t check;   /* CRC-32C of what is before it */
} dist_tcp_greeting;

typedef enum dist_tcp_kind {
    DIST_TCP_DATA = 1,
    DIST_TCP_READY, /* receives numbered below `number` have started */
    DIST_TCP_NEED,  /* send `number` waits, having no room ahead */
    DIST_TCP_CREDIT /* nothing but `credit` */
} dist_tcp_kind;

#define DIST_TCP_AHEAD                                                                                       \
    1u /* flags: this message was sent without waiting for READY, out of the sender's credit */

typedef struct dist_tcp_head {
    uint32_t magic;
    uint16_t kind, channel;
    uint32_t tag;
    uint32_t number; /* how many messages went before on (channel, tag), in this direction */
    uint64_t total;  /* bytes of the message */
    uint64_t offset; /* of this piece in it */
    uint32_t length; /* of this piece, which follows */
    uint32_t credit; /* bytes that the peer may send ahead again */
    uint32_t flags;
    uint32_t check; /* CRC-32C of what is before it */
} dist_tcp_head;

_Static_assert(sizeof(dist_tcp_greeting) == 32 && sizeof(dist_tcp_head) == 48, "no padding travels");

static inline uint32_t dist_tcp_check_of(const void *bytes, size_t size)
{
    return dist_crc32c(0, bytes, size);
}

#endif
