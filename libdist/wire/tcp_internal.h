/* Shared by the files of the TCP wire: tcp.c (life, poll), tcp_address.c (where ranks listen), tcp_connect.c (pairs meet),
 * tcp_stream.c (sockets), tcp_send.c and tcp_receive.c (messages each way), tcp_match.c (sends meet receives). */
#ifndef DIST_WIRE_TCP_INTERNAL_H
#define DIST_WIRE_TCP_INTERNAL_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/error.h"
#include "wire/tcp.h"
#include "wire/tcp_frame.h"

#define DIST_TCP_PIECE      ((uint64_t)64 << 10) /* bytes of a message that one stream takes at a time */
#define DIST_TCP_SMALL      ((uint64_t)4 << 10)  /* messages up to it go on the first stream, before others */
#define DIST_TCP_AHEAD_MOST ((uint64_t)64 << 10) /* longer messages are never sent ahead */
#define DIST_TCP_ROOM       ((int64_t)4 << 20)   /* bytes that a peer may send ahead */
#define DIST_TCP_COST_LEAST 256                  /* what the shortest message sent ahead takes of it */
#define DIST_TCP_ADDRESSES  8                    /* of a rank */
#define DIST_TCP_MEET                                                                                        \
    0.75 /* of the timeout: two ranks that do not meet say so before a task says that it waits */
#define DIST_TCP_GUESTS       256                 /* accepted, not yet greeted */
#define DIST_TCP_BATCH        64                  /* heads without payload that are written at once */
#define DIST_TCP_READ_AT_ONCE ((uint64_t)1 << 20) /* bytes, before other streams have their turn */

typedef struct dist_tcp_wire dist_tcp_wire;
typedef struct dist_tcp_peer dist_tcp_peer;
typedef struct dist_tcp_stream dist_tcp_stream;
typedef struct dist_tcp_match dist_tcp_match;

/* An address at which a rank listens; travels. */
typedef struct dist_tcp_address {
    uint8_t bytes[16]; /* network order */
    uint8_t family;    /* 4 or 6 */
    uint8_t prefix;    /* bits that name its network */
    uint8_t loopback;
    uint8_t reserved;
} dist_tcp_address;

/* What a rank tells all others when the wire is opened. */
typedef struct dist_tcp_card {
    uint64_t number; /* rank 0's is the job's */
    dist_tcp_address address[DIST_TCP_ADDRESSES];
    int32_t status;
    uint16_t port, addresses;
    char sentence[256];
} dist_tcp_card;

typedef struct dist_tcp_message {
    dist_wire_request base;
    dist_wire_message what;
    dist_tcp_peer *peer;
    dist_tcp_match *match;
    struct dist_tcp_message *next, *previous; /* in the one list that it is in */
    uint32_t number;
    bool running;
    bool posted;       /* of `post`: poll does not give it back */
    bool ahead;        /* went, or came, out of the credit */
    bool needs;        /* the peer is to be told that it waits */
    bool orphan;       /* released with a piece on a stream */
    uint64_t total;    /* bytes of this run */
    uint64_t assigned; /* sends: handed to streams */
    uint64_t arrived;  /* receives */
    int under_way;     /* sends: pieces on streams; receives: pieces being read */
} dist_tcp_message;

typedef struct dist_tcp_list {
    dist_tcp_message *first, *last;
} dist_tcp_list;

/* A message that came before its receive had started. */
typedef struct dist_tcp_arrival {
    struct dist_tcp_arrival *next;
    uint64_t total, arrived;
    uint32_t number;
    int under_way;
    bool ahead;
    char data[];
} dist_tcp_arrival;

/* Both directions of (peer, channel, tag). Lives as long as the wire: the numbers go on when tags are used again. */
struct dist_tcp_match {
    dist_tcp_peer *peer;
    dist_tcp_match *next_announced;
    uint16_t channel;
    uint32_t tag;
    uint32_t sent, received; /* messages started here, each way */
    uint32_t ready;          /* receives that the peer has announced */
    bool announced;          /* READY is to be sent */
    bool needed;             /* the peer waits for READY */
    dist_tcp_list receives;  /* started, by number */
    dist_tcp_arrival *arrivals;
    dist_tcp_message
        *held; /* the first of `holds` sends that wait; the others are behind it in the peer's list */
    uint32_t holds;
};

typedef enum dist_tcp_state {
    DIST_TCP_APART,
    DIST_TCP_CONNECTING, /* connect() is under way */
    DIST_TCP_GREETING,   /* waiting for the peer's greeting */
    DIST_TCP_OPEN
} dist_tcp_state;

struct dist_tcp_stream {
    dist_tcp_peer *peer;
    dist_tcp_stream *next_due; /* in wire->due */
    int fd, number;
    dist_tcp_state state;
    bool due, readable, blocked;

    /* leaving: heads without payload, then one piece */
    dist_tcp_head batch[DIST_TCP_BATCH];
    size_t batch_begin, batch_end; /* bytes */
    dist_tcp_message *sending;     /* NULL: no piece */
    dist_tcp_head out;
    size_t out_head; /* bytes of it that are written */
    const char *out_data;
    uint64_t out_left;

    /* arriving: what was read and not looked at, then straight to where it belongs */
    char stage[4096];
    size_t stage_begin, stage_end;
    dist_tcp_head in;
    bool in_piece; /* the payload of `in` is being read */
    char *in_data; /* NULL: nobody wants it any more */
    uint64_t in_left;
    dist_tcp_match *in_match;
    dist_tcp_message *receiving;
    dist_tcp_arrival *arriving;
};

struct dist_tcp_peer {
    dist_tcp_wire *wire;
    int rank;
    dist_tcp_stream *stream[DIST_TCP_STREAMS_MOST];
    int open;                   /* streams that are */
    int next;                   /* where the next piece goes */
    int running;                /* messages under way */
    int address;                /* being tried, or used */
    int64_t connect_by;         /* deadline of the attempt; 0: none under way */
    int64_t meet_by;            /* deadline of meeting at all, while messages wait for it */
    int64_t credit;             /* bytes that may be sent ahead */
    uint64_t owed;              /* bytes of the peer's credit to give back */
    dist_tcp_list small, large; /* sends that may go, not wholly handed to streams */
    dist_tcp_list held;         /* sends that wait for READY or credit */
    dist_tcp_list waiting;      /* sends too long to go ahead: they wait for READY */
    dist_tcp_match *announce, *announce_last;
    uint32_t needs;         /* held sends of which the peer has not been told */
    dist_tcp_match **match; /* a hash table, [match_room] */
    size_t matches, match_room;
    bool gone;
    char why[256]; /* when gone */
};

typedef struct dist_tcp_guest {
    int fd; /* -1: free */
    size_t got;
    int64_t deadline;
    dist_tcp_greeting greeting;
} dist_tcp_guest;

struct dist_tcp_wire {
    dist_wire base;
    dist_wire *control;
    const dist_log *log;
    int poller, listener; /* epoll; the socket that listens */
    int streams;
    double timeout;
    char congestion[32];
    char place[128];
    dist_tcp_address bound; /* connections leave from it; family 0: from any */
    uint64_t job;
    dist_tcp_card *card;  /* [ranks] */
    dist_tcp_peer **peer; /* [ranks], NULL until needed */
    bool *same_node;      /* [ranks] */
    dist_tcp_guest guest[DIST_TCP_GUESTS];
    dist_tcp_stream *due, *due_last; /* to be read or written */
    int guests;
    int64_t looked, minded; /* when the sockets, and deadlines, were last looked at */
    size_t running;         /* messages under way */
    dist_wire_request **finished, **done;
    size_t finished_count, finished_room, done_room, existing;
    dist_tcp_message *spare; /* for post */
    dist_tcp_peer *failed;   /* gone while messages were under way */
    dist_tcp_counts counts;
};

/* ---- tcp_address.c ---- */

/* The addresses of this host that others may use, chosen by `interface`; a sentence when there is none. */
dist_status dist_tcp_addresses(const char *interface, dist_tcp_card *card, char *name, size_t size);
/* A socket that listens on one of the ports; *port gets which. */
dist_status dist_tcp_listen(const dist_tcp_setup *setup, const dist_tcp_card *card, int *fd, uint16_t *port);
socklen_t dist_tcp_socket_address(const dist_tcp_address *address, uint16_t port,
                                  struct sockaddr_storage *out);
/* The addresses of a peer, the likeliest to reach it first. */
void dist_tcp_sort_addresses(const dist_tcp_card *mine, dist_tcp_card *peer, bool same_node);
void dist_tcp_format_address(const dist_tcp_address *address, uint16_t port, char *text, size_t size);

/* ---- tcp_connect.c ---- */

/* The peer's record; starts connecting when it is this side's turn. NULL: no memory. */
dist_tcp_peer *dist_tcp_meet(dist_tcp_wire *wire, int rank);
dist_status dist_tcp_accept(dist_tcp_wire *wire);
void dist_tcp_guest_speaks(dist_tcp_wire *wire, int guest);
/* A socket that was connecting can be written, or has failed. */
dist_status dist_tcp_connected(dist_tcp_stream *stream);
/* The peer's greeting can be read. */
dist_status dist_tcp_greeted(dist_tcp_stream *stream);
/* Deadlines of connections. */
dist_status dist_tcp_mind(dist_tcp_wire *wire, int64_t now);
/* Connects as many streams as wire->streams says, once the first is there. */
dist_status dist_tcp_more_streams(dist_tcp_peer *peer);

/* ---- tcp_stream.c ---- */

void dist_tcp_due(dist_tcp_stream *stream);
/* Reads and writes as much as can be now. */
dist_status dist_tcp_serve(dist_tcp_stream *stream);
/* Hands what the peer has to send to its streams. */
dist_status dist_tcp_pump(dist_tcp_peer *peer);
/* Ends all streams of a peer for a reason, as dist_fail does. */
dist_status dist_tcp_lose(dist_tcp_peer *peer, dist_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- tcp_describe.c ---- */

void dist_tcp_describe(dist_wire *wire, char *text, size_t size);

/* ---- tcp_send.c ---- */

dist_status dist_tcp_send(dist_tcp_message *message);
/* The next piece for a stream into stream->out; false: none. */
bool dist_tcp_next_piece(dist_tcp_stream *stream);
/* Its piece has been written. */
void dist_tcp_piece_written(dist_tcp_stream *stream);
/* Fills stream->batch with heads that wait. */
void dist_tcp_fill_batch(dist_tcp_stream *stream);
/* The peer has said so. */
void dist_tcp_hear_ready(dist_tcp_peer *peer, dist_tcp_match *match, uint32_t number);
void dist_tcp_hear_credit(dist_tcp_peer *peer, uint32_t credit);
void dist_tcp_forget_send(dist_tcp_message *message);

/* ---- tcp_receive.c ---- */

dist_status dist_tcp_receive(dist_tcp_message *message);
/* Where the piece behind stream->in belongs. */
dist_status dist_tcp_place_piece(dist_tcp_stream *stream);
dist_status dist_tcp_piece_read(dist_tcp_stream *stream);
dist_status dist_tcp_hear_need(dist_tcp_match *match, uint32_t number);
void dist_tcp_forget_receive(dist_tcp_message *message);

/* ---- tcp_match.c ---- */

/* The match of (channel, tag) with this peer, made when it is not there; NULL: no memory. */
dist_tcp_match *dist_tcp_find(dist_tcp_peer *peer, uint16_t channel, uint32_t tag);
void dist_tcp_free_matches(dist_tcp_peer *peer);
void dist_tcp_append(dist_tcp_list *list, dist_tcp_message *message);
void dist_tcp_remove(dist_tcp_list *list, dist_tcp_message *message);

/* ---- tcp.c ---- */

void dist_tcp_finished(dist_tcp_message *message);

/* Whether a comes before b, counted round. */
static inline bool dist_tcp_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* What a message sent ahead takes of the receiver's room. */
static inline int64_t dist_tcp_cost(uint64_t bytes)
{
    return bytes < DIST_TCP_COST_LEAST ? DIST_TCP_COST_LEAST : (int64_t)bytes;
}

#endif
