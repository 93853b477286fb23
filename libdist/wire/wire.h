/* A wire moves bytes between ranks. One table of functions, so that a plan runs over any.
 *
 * The engine makes all calls, one at a time (it holds its lock), except open and close. No call blocks but
 * exchange, open and close. A request is made once and started many times; starting and polling allocate
 * nothing.
 */
#ifndef DIST_WIRE_WIRE_H
#define DIST_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libdist/collective.h>

#define DIST_NOTE_MAX 512

typedef struct dist_wire dist_wire;

/* Embedded at the head of a wire's own request. `owner` and `number` are the engine's: poll hands requests
 * back. */
typedef struct dist_wire_request {
    dist_wire *wire;
    void *owner;
    uint32_t number;
} dist_wire_request;

/* What a message of variable size begins with: only it and the `bytes` that follow travel, whatever the room. */
typedef struct dist_parcel {
    uint64_t bytes;
    uint64_t reserved[7];
} dist_parcel;

typedef struct dist_wire_message {
    bool send;
    int peer;
    int channel;  /* below the number of channels that the wire was opened with */
    uint32_t tag; /* below dist_wire.tags; matches a send with its receive on (channel, peer) */
    void *buffer;
    uint64_t bytes; /* the same on both sides; of a variable message the most, the dist_parcel included */
    bool variable;  /* buffer holds a dist_parcel, whose size is read at each start. Not for `post` */
} dist_wire_message;

/* A whole collective that a wire does by itself, over all ranks. */
typedef enum dist_native {
    DIST_NATIVE_ALL_REDUCE,     /* receive (count elements) = reduction of every send */
    DIST_NATIVE_REDUCE_SCATTER, /* receive (count) = this rank's part of the reduction of every send (ranks *
                                   count) */
    DIST_NATIVE_ALL_GATHER,     /* receive (ranks * count) = every send (count) */
    DIST_NATIVE_BROADCAST,      /* receive (count) of the root -> receive of all */
    DIST_NATIVE_ALL_TO_ALL,     /* part r of receive (ranks * count) = this rank's part of rank r's send (ranks * count). The
                                   MPI wire has it, wires of a team have not */
    DIST_NATIVE_BARRIER
} dist_native;

typedef struct dist_wire_collective {
    dist_native kind;
    dist_type type;
    dist_reduction reduction; /* sum, min or max */
    int root;
    int space; /* collectives of different spaces may start in different orders on different ranks */
    uint32_t
        ticket; /* which one of its space, the same number on all ranks. A wire that agrees on an order by itself
                        (nccl) lets those of one space start in different orders too */
    uint64_t count;
    int divisor;      /* of the sum; 1: it is what is wanted. Another only for a team's wire of host memory */
    const void *send; /* DIST_IN_PLACE: all-reduce and all-gather, where the input is in receive */
    void *receive;
} dist_wire_collective;

/* How a blocking call waits: until the deadline, calling idle again and again; false from it ends the wait.
 */
typedef struct dist_patience {
    int64_t deadline;
    bool (*idle)(void *argument); /* NULL: rests */
    void *argument;
} dist_patience;

/* A short message under way; room for what a wire needs to know it by. */
#define DIST_WIRE_SHORT 1024 /* bytes at most: such a message is sent at once, without asking the peer */
typedef struct dist_wire_token {
    void *opaque[2];
    dist_wire *wire; /* of a route: the one that the message took */
} dist_wire_token;

typedef struct dist_wire_ops {
    const char *name;

    /* Make a request; *out is freed with release. */
    dist_status (*message)(dist_wire *wire, const dist_wire_message *message, dist_wire_request **out);
    dist_status (*collective)(dist_wire *wire, const dist_wire_collective *call, dist_wire_request **out);

    /* Starts a request that is not running. */
    dist_status (*start)(dist_wire_request *request);
    /* Makes progress; *done gets the *count requests that have finished since the last poll (valid until the
     * next call). On an error *failed gets the request that it happened on, if one is known. */
    dist_status (*poll)(dist_wire *wire, dist_wire_request *const **done, int *count,
                        dist_wire_request **failed);
    /* Frees a request. One that runs is given up: its memory may be touched until the process ends. */
    void (*release)(dist_wire_request *request);

    /* The quick way for short messages: starts one without a request made before; *done: it is complete. It
     * meets messages of either way on the other side. */
    dist_status (*post)(dist_wire *wire, const dist_wire_message *message, dist_wire_token *token);
    dist_status (*finish)(dist_wire *wire, dist_wire_token *token, bool *done);

    /* Every rank's `bytes` at `mine` to every rank's `all` (ranks * bytes), in rank order. Blocks until the
     * deadline. */
    dist_status (*exchange)(dist_wire *wire, const void *mine, void *all, size_t bytes,
                            const dist_patience *patience);
    /* Makes sure that there are `channels` channels on all ranks; those that exist stay. Collective; blocks. */
    dist_status (*open_channels)(dist_wire *wire, int channels, const dist_patience *patience);
    /* Makes sure that collective space number `space` (at most one more than there are) exists on all ranks.
     * Collective; blocks. */
    dist_status (*open_space)(dist_wire *wire, int space, const dist_patience *patience);

    /* Best effort, for diagnosis: a note to all other ranks, and the next note that came in (false: none). */
    void (*tell)(dist_wire *wire, const char note[DIST_NOTE_MAX]);
    bool (*hear)(dist_wire *wire, char note[DIST_NOTE_MAX], int *from);

    /* Sleeps until something may have come, at most so long; from any thread, beside other calls. False: it did not sleep, as
     * nothing would wake it. NULL: never does. */
    bool (*rest)(dist_wire *wire, int64_t nanoseconds);

    /* What a deadline may have passed for: whom the wire waits for, and since when. "" when there is nothing to say. NULL: never
     * says anything. */
    void (*describe)(dist_wire *wire, char *text, size_t size);

    /* Memory that the other ranks reach at less cost, zeroed (NULL: no room), and giving it back (false: it is none of the wire's).
     * From any thread, beside other calls. NULL: there is no such memory. */
    void *(*allocate)(dist_wire *wire, size_t bytes);
    bool (*free)(dist_wire *wire, void *memory);

    /* Ends the wire. `failed`: leave requests that may never finish alone. */
    void (*close)(dist_wire *wire, bool failed);
} dist_wire_ops;

/* Zeroed memory of the wire, or else like any other; NULL: there is none. `wire` may be NULL. */
void *dist_wire_alloc(dist_wire *wire, size_t bytes);
void dist_wire_free(dist_wire *wire, void *memory);

struct dist_wire {
    const dist_wire_ops *ops;
    int rank, ranks;
    uint32_t tags; /* tags are below this */
    int spaces;    /* collective spaces so far */
    uint64_t
        one_way;   /* bytes up to which a message takes one latency; the peers of longer ones agree first */
    bool threaded; /* calls may come from a thread of the library's own */
    bool device;   /* messages may be in device memory */
    bool crowded;  /* ranks that it connects may wait for the same processor */
};

#endif
