/* Shared by the files of the shared-memory wire: shm.c (life, requests), shm_segment.c (what the ranks map), shm_heap.c (memory there for
 * the program), shm_run.c (one collective from begin to end), shm_reach.c (long vectors where they are), shm_lane.c (long vectors,
 * round by round). */
#ifndef DIST_WIRE_SHM_INTERNAL_H
#define DIST_WIRE_SHM_INTERNAL_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base/error.h"
#include "wire/shm.h"

#define DIST_SHM_GROWTH  ((size_t)256 << 10) /* bytes by which the room for entries grows */
#define DIST_SHM_ENTRIES ((size_t)256 << 20) /* address space for entries and what they stage */
#define DIST_SHM_INLINE  56                /* bytes that travel with the flag that says that they are there */
#define DIST_SHM_STEP    ((size_t)1 << 20) /* bytes of arithmetic before the engine looks elsewhere */
#define DIST_SHM_LANES   4
#define DIST_SHM_DEPTH   2 /* rounds of a lane that are under way at once */

/* How far a rank is with a run. */
enum { DIST_SHM_COME = 1, DIST_SHM_ASSIGNED, DIST_SHM_DONE };

/* What a rank says of a run: one cache line, so that one transfer brings all of it. Two take turns: a run is only begun when all
 * others have come to the one before, so nobody reads the line that is written. */
typedef struct dist_shm_line {
    _Alignas(64) _Atomic uint32_t state; /* run << 2 | stage */
    uint32_t reserved;
    union {
        char data[DIST_SHM_INLINE];
        struct {
            uint64_t staged;        /* where in that rank's segment */
            uint64_t send, receive; /* there too, or addresses of that rank's */
            uint32_t send_mapped, receive_mapped;
            int32_t lane; /* said by the first of the team when all have come */
        } at;
    };
} dist_shm_line;

/* A collective of a rank, known by its space and ticket on all ranks of the team. It stays when the request goes: the runs are counted
 * on when the numbers are used again. */
typedef struct dist_shm_entry {
    dist_shm_line line[2];
    uint64_t key;
    _Atomic uint64_t next; /* in this rank's segment; 0: none yet */
    /* the owner's own */
    uint32_t runs;
    uint64_t staging[2], staging_bytes;
} dist_shm_entry;

/* Room of a rank for a long vector, a round at a time. In each round every rank puts there what others are to add up, a part for each,
 * and the sum of its own part, or whatever all are to have. The counts are of rounds since the wire was opened: while a lane is idle
 * they are the same on all ranks. */
typedef struct dist_shm_lane {
    _Alignas(64) _Atomic uint32_t staged; /* its values are there for the others to add up */
    _Atomic uint32_t published; /* it has read the others' values, and what all are to have is there */
    _Atomic uint32_t taken;     /* it has read what the others have published */
} dist_shm_lane;

typedef struct dist_shm_head {
    uint64_t magic;
    _Atomic uint64_t first; /* entry; 0: none */
    dist_shm_lane lane[DIST_SHM_LANES];
} dist_shm_head;

/* A rank of the team as this one sees it. */
typedef struct dist_shm_peer {
    int rank;
    pid_t pid;
    char *segment;          /* mapped; this rank's own too */
    uint64_t seen;          /* the last entry that is in `entry` */
    dist_shm_entry **entry; /* a hash table by key, [room] */
    size_t entries, room;
} dist_shm_peer;

typedef struct dist_shm_wire {
    dist_wire base;
    const dist_log *log;
    int mates, me;                     /* ranks of the team, and this one's place among them */
    dist_shm_peer *mate;               /* [mates] */
    int file;                          /* of this rank's segment */
    uint64_t reserve;                  /* address space of a segment */
    struct dist_shm_heap *heap;        /* of this rank's segment */
    bool reads;                        /* all may read and write all others' memory, by address */
    char *sum, *other;                 /* a piece of each, for arithmetic on memory of others */
    size_t used, room;                 /* bytes of this rank's segment, but for the heap */
    uint64_t last;                     /* entry in its chain */
    uint64_t slots, slot;              /* where they begin in a segment; bytes of one */
    uint32_t lane_end[DIST_SHM_LANES]; /* of the first of the team: the round that ends its last use */
    struct dist_shm_request **active;
    dist_wire_request **done;
    size_t actives, existing, active_room, done_room;
} dist_shm_wire;

typedef enum dist_shm_way {
    DIST_SHM_BY_LINE,  /* the vector travels with the flag */
    DIST_SHM_BY_ENTRY, /* it is staged as a whole, and everybody adds up all */
    DIST_SHM_BY_REACH, /* it stays where it is, and everybody adds up a part and gives it to all */
    DIST_SHM_BY_LANE   /* it is staged round by round, and everybody adds up a part */
} dist_shm_way;

typedef struct dist_shm_request {
    dist_wire_request base;
    dist_wire_collective call;
    dist_shm_way way;
    uint64_t bytes; /* of the vector (all-reduce, broadcast) or of a rank's part of it */
    dist_shm_entry *mine;
    dist_shm_entry **theirs; /* [mates], NULL until found */
    uint32_t run;
    int at;   /* in wire->active while it runs; -1: does not */
    int mate; /* the first that has not come, or that is read from */
    /* by reach */
    int step;
    uint64_t done; /* bytes of the step */
    /* in a lane */
    int lane;               /* -1: none yet */
    uint32_t first, rounds; /* the count before it; how many it takes */
    uint32_t staged, published, taken;
} dist_shm_request;

/* ---- shm_segment.c ---- */

/* The segments of the whole team, each mapped by all. DIST_ERR_SYSTEM or DIST_ERR_MEMORY when this rank cannot. */
dist_status dist_shm_segment_create(dist_shm_wire *wire, uint64_t job);
dist_status dist_shm_segment_map(dist_shm_wire *wire, uint64_t job);
void dist_shm_segment_unlink(const dist_shm_wire *wire, uint64_t job);
void dist_shm_segment_close(dist_shm_wire *wire);
/* This rank's entry of a key with room for `staging` bytes twice, made when it is not there; NULL: no room, with the last error. */
dist_shm_entry *dist_shm_entry_make(dist_shm_wire *wire, uint64_t key, uint64_t staging);
/* A mate's entry; NULL: it has none yet. */
dist_shm_entry *dist_shm_entry_find(dist_shm_wire *wire, int mate, uint64_t key);
/* Bytes from a mate's memory, or to it, by address. */
dist_status dist_shm_read(const dist_shm_wire *wire, int mate, void *dst, uint64_t address, size_t bytes);
dist_status dist_shm_write(const dist_shm_wire *wire, int mate, uint64_t address, const void *src,
                           size_t bytes);

/* ---- shm_heap.c ---- */

/* Memory of this rank's segment at [begin, end). */
dist_status dist_shm_heap_create(dist_shm_wire *wire, uint64_t begin, uint64_t end);
void dist_shm_heap_destroy(dist_shm_wire *wire);
/* Zeroed, at a page; NULL: no room. From any thread. */
void *dist_shm_alloc(dist_wire *wire, size_t bytes);
bool dist_shm_free(dist_wire *wire, void *memory);

/* ---- shm_run.c ---- */

dist_shm_way dist_shm_way_of(const dist_shm_wire *wire, const dist_wire_collective *call);
void dist_shm_begin(dist_shm_wire *wire, dist_shm_request *request);
/* Goes on as far as it can, for about *budget bytes of arithmetic. DIST_OK: it has ended; DIST_IN_PROGRESS. */
dist_status dist_shm_advance(dist_shm_wire *wire, dist_shm_request *request, size_t *budget);
/* What a rank says of a run. */
dist_shm_line *dist_shm_line_of(dist_shm_entry *entry, uint32_t run);
void dist_shm_say(const dist_shm_request *request, uint32_t stage);
/* Whether a mate is so far in this run; whether all are, from request->mate on, which goes on to the first that is not. */
bool dist_shm_is_at(dist_shm_wire *wire, dist_shm_request *request, int mate, uint32_t stage);
bool dist_shm_all_at(dist_shm_wire *wire, dist_shm_request *request, uint32_t stage);

/* ---- shm_reach.c ---- */

#define DIST_SHM_PIECE ((size_t)256 << 10) /* bytes of wire->sum and wire->other */
/* Says where this rank's memory is. */
void dist_shm_reach_show(const dist_shm_wire *wire, const dist_shm_request *request, dist_shm_line *line);
/* Whether all that have come can be reached without asking the system. */
bool dist_shm_reach_maps(const dist_shm_wire *wire, const dist_shm_request *request);
dist_status dist_shm_reach_advance(dist_shm_wire *wire, dist_shm_request *request, size_t *budget);

/* ---- shm_lane.c ---- */

/* Bytes of a slot for teams of so many ranks, and of all slots of a segment. */
uint64_t dist_shm_slot_bytes(int mates);
uint64_t dist_shm_slots_bytes(int mates);
/* Of the first of the team: a lane that all have left, for a request of `rounds` rounds; -1: none. */
int dist_shm_lane_take(dist_shm_wire *wire, uint32_t rounds);
uint32_t dist_shm_lane_rounds(const dist_shm_wire *wire, const dist_shm_request *request);
void dist_shm_lane_begin(dist_shm_wire *wire, dist_shm_request *request, int lane);
bool dist_shm_lane_advance(dist_shm_wire *wire, dist_shm_request *request, size_t *budget);
/* Where a mate's part of the vector begins; mate wire->mates: where the last ends. */
uint64_t dist_shm_part_at(const dist_shm_wire *wire, const dist_shm_request *request, int mate);
/* A mate that a request in a lane waits for, and what it has not done yet; -1: none. */
int dist_shm_lane_awaits(const dist_shm_wire *wire, const dist_shm_request *request, const char **what);

#endif
