/* Shared by the files of the NCCL wire. */
#ifndef DIST_WIRE_NCCL_INTERNAL_H
#define DIST_WIRE_NCCL_INTERNAL_H

#include "base/error.h"
#include "wire/nccl.h"

/* ---- nccl_library.c: NCCL through prototypes of our own ---- */

enum { /* ncclResult_t */
       DIST_NCCL_SUCCESS = 0,
       DIST_NCCL_INVALID_USAGE = 5,
       DIST_NCCL_IN_PROGRESS = 7
};

typedef struct dist_nccl_id { /* ncclUniqueId */
    char bytes[128];
} dist_nccl_id;

/* ncclConfig_t as 2.18 has it. Later versions have appended fields; NCCL reads as many bytes as `size` says and takes
 * its own defaults for what came after `version`, so that this one serves all. */
typedef struct dist_nccl_config {
    size_t size;
    unsigned magic, version;
    int blocking, cga_cluster_size, least_ctas, most_ctas;
    const char *net_name;
    int split_share;
    int padding; /* trafficClass since 2.25 */
} dist_nccl_config;

/* A communicator (ncclComm_t) and a stream (cudaStream_t) are void *, enums are int. NULL: this NCCL has it not. */
typedef struct dist_nccl_library {
    int version; /* 22809 for 2.28.9 */
    int (*get_version)(int *version);
    int (*get_unique_id)(dist_nccl_id *id);
    int (*init_rank)(void **comm, int ranks, dist_nccl_id id, int rank, dist_nccl_config *config);
    int (*async_error)(void *comm, int *state);
    int (*abort)(void *comm);
    int (*finalize)(void *comm);
    int (*destroy)(void *comm);
    int (*group_start)(void);
    int (*group_end)(void);
    const char *(*error_string)(int result);
    const char *(*last_error)(void *comm);
    int (*all_reduce)(const void *send, void *receive, size_t count, int type, int op, void *comm,
                      void *stream);
    int (*reduce_scatter)(const void *send, void *receive, size_t count, int type, int op, void *comm,
                          void *stream);
    int (*all_gather)(const void *send, void *receive, size_t count, int type, void *comm, void *stream);
    int (*broadcast)(const void *send, void *receive, size_t count, int type, int root, void *comm,
                     void *stream);
    int (*send)(const void *data, size_t count, int type, int peer, void *comm, void *stream);
    int (*receive)(void *data, size_t count, int type, int peer, void *comm, void *stream);
} dist_nccl_library;

/* Opens a library that stays open as long as the process runs: NCCL has threads of its own. */
dist_status dist_nccl_library_open(dist_nccl_library *library, const char *name);

/* DIST_ERR_NCCL with NCCL's own words; `comm` may be NULL. */
dist_status dist_nccl_fail(const dist_nccl_library *library, void *comm, int result, const char *what);

/* ---- what travels between a member and the leader ---- */

/* Which operation: the same on all ranks that take part in it. */
typedef struct dist_nccl_key {
    uint32_t number;  /* ticket or tag */
    uint32_t space;   /* of collectives; of messages the channel */
    int32_t from, to; /* ranks of a message; -1: a collective of all members */
} dist_nccl_key;

typedef enum dist_nccl_kind {
    DIST_NCCL_WORDS,   /* keys: started (to the leader), or to be launched in this order (from it) */
    DIST_NCCL_REPORT,  /* how a member fared in a round of open or edges */
    DIST_NCCL_VERDICT, /* how all did */
    DIST_NCCL_IDS,     /* of the communicators that are being made, those in which the member takes part */
    DIST_NCCL_BYE      /* the last letter */
} dist_nccl_kind;

#define DIST_NCCL_KEYS     63 /* of a letter */
#define DIST_NCCL_IDS_MOST 7
#define DIST_NCCL_TEXT     976

/* One short message of the control wire. */
typedef struct dist_nccl_letter {
    uint32_t sequence; /* of its link */
    uint16_t kind, count;
    uint64_t round; /* REPORT, VERDICT, IDS */
    union {
        dist_nccl_key key[DIST_NCCL_KEYS];
        dist_nccl_id id[DIST_NCCL_IDS_MOST];
        struct {
            uint64_t check; /* of what is being made, which must be the same everywhere */
            int32_t status, version;
            char text[DIST_NCCL_TEXT];
        } fare;
    } as;
} dist_nccl_letter;

_Static_assert(sizeof(dist_nccl_letter) <= DIST_WIRE_SHORT, "a letter is a short message");

/* ---- nccl_link.c: letters between two ranks, in order ---- */

#define DIST_NCCL_SLOTS 4 /* letters under way at once; slot i travels with tag i */

typedef struct dist_nccl_link {
    int peer; /* rank of the job */
    uint32_t sent, heard;
    dist_nccl_letter out[DIST_NCCL_SLOTS], in;
    dist_wire_token sending[DIST_NCCL_SLOTS], receiving;
    bool busy[DIST_NCCL_SLOTS];
    bool parted; /* its BYE has come */

    /* the leader's: keys to be launched by the peer that have not been sent */
    dist_nccl_key *queue; /* a ring of `capacity`, a power of two or 0 */
    size_t head, tail, capacity;
    int ids; /* sent in this round */
} dist_nccl_link;

struct dist_nccl_wire;

/* Begins to listen. */
dist_status dist_nccl_link_open(struct dist_nccl_wire *wire, dist_nccl_link *link, int peer);
/* Room for the next letter, or NULL while all slots are busy. */
dist_status dist_nccl_link_slot(struct dist_nccl_wire *wire, dist_nccl_link *link, dist_nccl_letter **letter);
/* Sends the letter that was written into the room. */
dist_status dist_nccl_link_send(struct dist_nccl_wire *wire, dist_nccl_link *link, dist_nccl_kind kind,
                                int count);
/* Takes in what has come on all links and does what it says. */
dist_status dist_nccl_hear(struct dist_nccl_wire *wire);
/* Takes leave of all peers: true when their last letters have come and ours are gone. */
bool dist_nccl_part(struct dist_nccl_wire *wire, int64_t deadline);

/* ---- nccl_agree.c ---- */

/* What the leader has heard from a member, or a member from the leader. */
typedef struct dist_nccl_fare {
    uint64_t round, check;
    dist_status status;
    int version;
    char text[DIST_NCCL_TEXT];
} dist_nccl_fare;

void dist_nccl_note_fare(dist_nccl_fare *fare, const dist_nccl_letter *letter);

/* One round: each member calls `step` until it is no longer DIST_IN_PROGRESS. DIST_OK when it was so for all; else the
 * first failure that the leader heard of, at once, though `step` may not have come to an end here. */
typedef struct dist_nccl_step {
    dist_status (*step)(struct dist_nccl_wire *wire, void *argument);
    void *argument;
    uint64_t check; /* DIST_ERR_MISMATCH where it differs */
    const char *what;
    bool all; /* the verdict waits for all members, also where one has failed */
} dist_nccl_step;
dist_status dist_nccl_agree(struct dist_nccl_wire *wire, const dist_nccl_step *step,
                            const dist_patience *patience);

/* ---- nccl_open.c, nccl_close.c: communicators ---- */

typedef struct dist_nccl_comm {
    void *handle; /* NULL: this rank is not in it */
    int from, to; /* ranks of a directed edge; -1: all members */
    dist_nccl_id id;
} dist_nccl_comm;

/* Ends communicators, within `seconds`; what is not done by then is left to a thread. Aborted all together, or each
 * finalized and destroyed. */
void dist_nccl_end(const struct dist_nccl_wire *wire, const dist_nccl_comm *comm, int comms, bool abort,
                   double seconds);
void dist_nccl_close(dist_wire *wire, bool failed);
/* Frees all but the links, which a wire between ranks may still write to. */
void dist_nccl_free(struct dist_nccl_wire *wire, bool links);

/* ---- the wire ---- */

typedef struct dist_nccl_request {
    dist_wire_request base;
    dist_nccl_key key;
    dist_wire_message message; /* of a message; else without peer */
    dist_wire_collective call;
    void *comm, *event;
    int type, op, root;             /* as NCCL numbers them; root or peer, as a rank of comm */
    bool running, abandoned;        /* abandoned: released while it ran; freed when it ends */
    bool in_place;                  /* the input is where this rank's part of the output will be */
    struct dist_nccl_request *next; /* in the list that it is in */
    struct dist_nccl_request *same; /* started, of the same bucket */
} dist_nccl_request;

typedef struct dist_nccl_list {
    dist_nccl_request *first, *last;
} dist_nccl_list;

/* Operations that some have told of and not all; the leader's. told is 0 where a place is free. */
typedef struct dist_nccl_told {
    dist_nccl_key key;
    uint32_t told;
} dist_nccl_told;

typedef struct dist_nccl_wire {
    dist_wire base;
    dist_nccl_library library;
    dist_wire *control;
    const dist_cuda *cuda;
    const dist_log *log;
    int channel, device;
    int *member; /* [members] */
    int members, position;
    void *stream, *word; /* word: in device memory, what barriers reduce */

    dist_nccl_comm *comm; /* [comms] the first is of all members */
    int comms;
    size_t comm_capacity;

    dist_nccl_link *link; /* the leader's to each other member; a member's to the leader */
    int links;
    uint64_t round;
    dist_nccl_fare *fare; /* [links] what each said last */
    dist_nccl_id *id;     /* that came in this round */
    int ids;
    size_t id_capacity;

    dist_nccl_request **bucket; /* [buckets] started and not yet ordered, by key; a power of two */
    size_t buckets, existing;
    dist_nccl_told *told; /* [places] open addressing; a power of two */
    size_t places, tolds;

    dist_nccl_list telling, ordered, launched; /* started; to be launched; on the stream, in its order */
    dist_nccl_request *launching;              /* NCCL has not yet put it on the stream */
    dist_wire_request **done;                  /* what poll returned */
    size_t done_capacity;
    int64_t looked; /* when errors were last asked for */
} dist_nccl_wire;

static inline bool dist_nccl_leads(const dist_nccl_wire *wire)
{
    return wire->position == 0;
}

static inline dist_nccl_link *dist_nccl_leader(const dist_nccl_wire *wire)
{
    return &wire->link[0];
}

/* The position of a rank among the members; -1: not one. */
int dist_nccl_position(const dist_nccl_wire *wire, int rank);

/* ---- nccl_request.c ---- */

dist_status dist_nccl_message(dist_wire *wire, const dist_wire_message *message, dist_wire_request **out);
dist_status dist_nccl_collective(dist_wire *wire, const dist_wire_collective *call, dist_wire_request **out);
dist_status dist_nccl_start(dist_wire_request *request);
void dist_nccl_release(dist_wire_request *request);
void dist_nccl_release_abandoned(dist_nccl_wire *wire);

void dist_nccl_append(dist_nccl_list *list, dist_nccl_request *request);
dist_nccl_request *dist_nccl_take(dist_nccl_list *list);

/* ---- nccl_order.c ---- */

/* Makes room for one more request. */
dist_status dist_nccl_order_reserve(dist_nccl_wire *wire);
/* Notes that a request has been started here; poll tells it. */
void dist_nccl_order_start(dist_nccl_wire *wire, dist_nccl_request *request);
/* Tells what has been started here, and hands on the order. */
dist_status dist_nccl_order_tell(dist_nccl_wire *wire);
/* What a letter of keys says. */
dist_status dist_nccl_order_hear(dist_nccl_wire *wire, dist_nccl_link *link, const dist_nccl_letter *letter);

/* ---- nccl_launch.c ---- */

dist_status dist_nccl_poll(dist_wire *wire, dist_wire_request *const **done, int *count,
                           dist_wire_request **failed);

#endif
