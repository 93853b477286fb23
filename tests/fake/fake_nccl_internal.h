/* Shared by the files of the fake NCCL. */
#ifndef DIST_TESTS_FAKE_NCCL_INTERNAL_H
#define DIST_TESTS_FAKE_NCCL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_cuda.h"
#include "fake_nccl.h"
#include "wire/nccl_internal.h" /* for the prototypes' types alone */

enum { FAKE_RANKS_MOST = 16, FAKE_CHUNK = 16384, FAKE_PIECE = 4096 };
enum { FAKE_SYSTEM_ERROR = 2, FAKE_INVALID_ARGUMENT = 4, FAKE_REMOTE_ERROR = 6 };

/* What libdist can do without. Built with FAKE_NCCL_OLD the library lacks these. */
#ifdef FAKE_NCCL_OLD
#define FAKE_NEWER_API __attribute__((visibility("hidden")))
#else
#define FAKE_NEWER_API FAKE_API
#endif

/* ---- fake_nccl_settings.c ---- */

FAKE_API long fake_nccl_exchange(fake_nccl_setting setting, long value);
FAKE_API long fake_nccl_value(fake_nccl_setting setting);
void fake_nccl_add(fake_nccl_setting setting, long more);
/* One more operation has been called; whether all is broken now. */
void fake_nccl_count_operation(void);
bool fake_nccl_broken(void);
/* Keeps a sentence for ncclGetLastError, and returns `result`. */
int fake_nccl_error(int result, const char *sentence);
/* Ends the process: a bug of the caller. */
void fake_nccl_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Lets others run: briefly at first, then for some microseconds. */
void fake_nccl_pause(unsigned *turns);

/* ---- fake_nccl_segment.c: what members share ---- */

/* What must be the same on both ends. */
typedef struct fake_what {
    int32_t kind, type, reduction, root;
    uint64_t count;
} fake_what;

/* From one member to another: one message at a time. */
typedef struct fake_box {
    uint32_t written, read; /* by atomic operations */
    uint64_t bytes;
    fake_what what;
    _Alignas(64) char data[FAKE_CHUNK];
} fake_box;

typedef struct fake_member {
    uint32_t joined, finalized; /* by atomic operations */
    uint8_t uuid[16];
} fake_member;

typedef struct fake_segment {
    uint64_t token;
    uint32_t ranks;
    fake_member member[FAKE_RANKS_MOST];
    fake_box box[]; /* [ranks * ranks] */
} fake_segment;

int fake_segment_create(dist_nccl_id *id);
/* Each member has a mapping of its own, so that threads share no more than processes do. NULL: whoever made the id is gone. */
fake_segment *fake_segment_join(const dist_nccl_id *id, int ranks, int rank, const uint8_t uuid[16]);
/* After all have joined, or when it will come to nothing: nobody else can join. */
void fake_segment_seal(const dist_nccl_id *id);
void fake_segment_leave(fake_segment *segment, int ranks);
bool fake_segment_complete(const fake_segment *segment, int ranks, bool finalized);

/* ---- fake_nccl_comm.c ---- */

typedef struct fake_device {
    uint8_t uuid[16];
    long resident; /* by relaxed atomic operations: kernels on a device are not ordered by it */
    struct fake_device *next;
} fake_device;

typedef struct fake_kernel fake_kernel;

typedef enum fake_phase { FAKE_HELD, FAKE_STARTING, FAKE_READY, FAKE_FINALIZING, FAKE_FINALIZED } fake_phase;

/* Stays until the process ends: kernels may still come to one that was aborted. */
typedef struct fake_comm {
    bool alive, blocking;
    int ranks, rank, error;
    fake_phase phase;
    dist_nccl_id id;
    fake_device *device;
    fake_segment *segment;
    fake_kernel *pending; /* called and not yet on the stream */
    int polls;            /* until something in progress is done */
    uint64_t random, launched;
    uint64_t finished; /* kernels: by atomic operations; one after the other, whatever their streams */
    uint32_t running, aborted; /* by atomic operations */
    struct fake_comm *next, *grouped;
} fake_comm;

fake_comm *fake_comm_of(void *given);
int fake_comm_state(fake_comm *comm);
/* 0, or why no operation can be called. */
int fake_comm_ready(fake_comm *comm);
/* Ends of ncclGroupEnd. */
void fake_comm_begin(fake_comm *comm);
void fake_comm_bury(fake_comm *comm);
/* Makes what was called be in progress for some polls, or not. */
bool fake_comm_dawdles(fake_comm *comm);

/* ---- fake_nccl_group.c ---- */

typedef enum fake_kind {
    FAKE_ALL_REDUCE,
    FAKE_REDUCE_SCATTER,
    FAKE_ALL_GATHER,
    FAKE_BROADCAST,
    FAKE_SEND,
    FAKE_RECEIVE
} fake_kind;

typedef struct fake_op {
    fake_kind kind;
    fake_what what;
    const char *send; /* bytes, not addresses of device memory */
    char *receive;
    uint64_t bytes; /* of `count` elements */
    int peer;
    uint64_t at; /* of a message: what has gone */
    bool begun, done;
} fake_op;

bool fake_group_open(void);
void fake_group_add_comm(fake_comm *comm); /* made, or aborted, in a group */
int fake_group_add(fake_comm *comm, void *stream, const fake_op *op);

/* ---- fake_nccl_kernel.c ---- */

struct fake_kernel {
    fake_comm *comm;
    void *stream;
    uint64_t number;
    fake_kernel *next;
    int ops; /* one collective, or any number of messages */
    fake_op op[];
};
void fake_kernel_launch(fake_kernel *kernel);

/* ---- fake_nccl_reduce.c ---- */

/* 0: a type that this NCCL has not. */
size_t fake_type_bytes(int type);
bool fake_reduces(int type, int reduction);
/* Elements of `ranks` arrays, of which `to` may be one. */
void fake_reduce(int type, int reduction, int ranks, const char *const from[], char *to, size_t count);

#endif
