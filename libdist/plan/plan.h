/* A plan: the program of one rank for one piece of work, as data.
 *
 * An op names slices of the plan's buffers and the earlier ops that it waits for. A generator writes ops as
 * if they ran one after the other; the waits are derived from the bytes they touch (hazard.h), so two ops
 * that share bytes are always ordered and all others are free to run at once. Nothing in a plan depends on
 * addresses: run binds it to memory.
 */
#ifndef DIST_PLAN_PLAN_H
#define DIST_PLAN_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <libdist/collective.h>
#include <libdist/memory.h>

#include "codec/codec.h"
#include "codec/lowrank.h"
#include "wire/wire.h"

typedef enum dist_op_kind {
    DIST_OP_SEND,    /* src -> rank peer */
    DIST_OP_RECV,    /* dst <- rank peer */
    DIST_OP_REDUCE,  /* dst = dst (reduction) src */
    DIST_OP_COPY,    /* dst = src */
    DIST_OP_DIVIDE,  /* dst = dst / divisor */
    DIST_OP_ENCODE,  /* dst = frame of (src + state); state = what was rounded away */
    DIST_OP_DECODE,  /* dst = or += sum of the frames at src in order, divided by divisor */
    DIST_OP_PROJECT, /* dst = the low-rank factor of (src + state); state = what it leaves out */
    DIST_OP_EXPAND,  /* dst = the matrix that the summed factor at src and state stand for */
    DIST_OP_NATIVE,  /* a whole collective of the wire, over all ranks or over the plan's team */
    DIST_OP_CALL, /* a function of the program: reads src and state, writes dst; one at a time, in op order */
    DIST_OP_KINDS
} dist_op_kind;

/* Which function a CALL calls, and what a pipeline's schedule calls its slots. */
typedef enum dist_call_kind {
    DIST_CALL_FORWARD,
    DIST_CALL_BACKWARD, /* of the input, or of input and weights where there is no WEIGHT */
    DIST_CALL_WEIGHT,
    DIST_CALL_FULL, /* BACKWARD and WEIGHT at once */
    DIST_CALL_KINDS
} dist_call_kind;

#define DIST_NO_BUFFER UINT32_MAX
#define DIST_NO_OP     UINT32_MAX

/* Bytes [offset, offset + bytes) of a buffer of the plan. */
typedef struct dist_slice {
    uint64_t offset;
    uint64_t bytes;
    uint32_t buffer;
} dist_slice;

typedef struct dist_op {
    uint8_t kind;      /* dist_op_kind */
    uint8_t type;      /* dist_type of the elements: all but SEND, RECV, COPY */
    uint8_t reduction; /* dist_reduction: REDUCE, NATIVE; never DIST_AVERAGE */
    union {
        uint8_t native; /* dist_native: NATIVE */
        uint8_t call;   /* dist_call_kind: CALL, staged */
    };
    bool add : 1;      /* DECODE: dst += */
    bool variable : 1; /* SEND, RECV: a dist_parcel, of which only what it says travels */
    bool head : 1;     /* COPY: of heads of parcels */
    bool staged : 1;   /* SEND, RECV: of the CALL named by call, stage and microbatch; for people to read */
    bool device : 1;  /* SEND, RECV, NATIVE: over the device wire, in device memory; NATIVE: of the team, in any memory */
    uint16_t channel; /* SEND, RECV: messages of different channels are independent */
    int32_t peer;     /* SEND, RECV: a rank; NATIVE: the root */
    uint32_t
        sequence; /* SEND, RECV: how many of this plan's messages went before on (peer, channel, direction) */
    uint32_t divisor; /* DIVIDE, DECODE, NATIVE: of the team's sums in host memory */
    union {
        uint32_t frames;     /* DECODE: how many; they lie dist_frame_stride apart */
        uint32_t microbatch; /* CALL, staged */
    };
    union {
        uint32_t stream; /* ENCODE: which vector, for random numbers */
        uint32_t stage;  /* CALL, staged: of the model */
    };
    union {
        double cost;    /* CALL: declared seconds */
        uint64_t first; /* ENCODE: index of the first element in that vector */
        uint64_t rows;  /* PROJECT, EXPAND: of the matrix of `count` elements; its rank is the codec's */
    };
    uint32_t first_wait, waits; /* into plan->wait: ops (all earlier) that must be done first */
    union {
        uint64_t
            count; /* elements: all but SEND, RECV, CALL; COPY: of the frame at src, which is checked first; 0: none */
        int64_t
            held; /* CALL: bytes that the program takes at its start (> 0), or gives back at its end (< 0) */
    };
    dist_slice dst, src, state;
} dist_op;

typedef enum dist_buffer_kind {
    DIST_BUFFER_USER,    /* bound by whoever runs the plan */
    DIST_BUFFER_SCRATCH, /* the plan's own; contents mean nothing between runs */
    DIST_BUFFER_STATE    /* the plan's own; zero at first, kept from run to run (error feedback) */
} dist_buffer_kind;

typedef struct dist_plan_buffer {
    dist_buffer_kind kind;
    dist_memory memory; /* AUTO counts as HOST */
    uint32_t copies;    /* 1 + the buffer in device memory whose pinned copy it is; 0: none */
    uint32_t copy;      /* 1 + the buffer that is its pinned copy; 0: none */
    uint64_t bytes;
    char name[16];
} dist_plan_buffer;

/* Frames that one DECODE takes: what one sum of the codec room takes. */
#define DIST_FRAMES_MOST 64

/* Channels that collectives use; a wire keeps their messages apart. Plans with other messages add channels of their own. */
enum {
    DIST_CHANNEL_INSIDE,
    DIST_CHANNEL_ACROSS,
    DIST_CHANNEL_ORDER, /* of the NCCL wire's own words; no plan's */
    DIST_CHANNELS
};
#define DIST_CHANNELS_MOST 256

typedef struct dist_plan {
    char label[224]; /* what was asked for, in words: compared between ranks, printed in errors */
    int rank, ranks;
    uint32_t group; /* 0: of all ranks; else 1 + the lowest rank of the group whose plans belong together */
    int *team;      /* [teammates] ranks that the device wire connects, this one among them; NULL: none */
    int teammates;
    dist_codec codec; /* of ENCODE, DECODE, PROJECT and EXPAND */
    dist_op *op;
    size_t ops, op_capacity;
    uint32_t *wait;
    size_t waits, wait_capacity;
    dist_plan_buffer *buffer;
    size_t buffers, buffer_capacity;
    int channels;                 /* that its messages may use */
    uint32_t sequences;           /* one more than the largest op.sequence: how many tags a run needs */
    uint32_t last_call;           /* the CALL that was added last, or DIST_NO_OP */
    dist_status status;           /* the first failure while building; checked by dist_plan_finish */
    struct dist_hazards *hazards; /* only while building */
    uint32_t
        *sequencer; /* only while building: messages so far, [(channel * 2 + direction) * ranks + peer] */
} dist_plan;

/* An empty plan; `label` is printf-formatted. NULL when there is no memory (with the last error set). */
dist_plan *dist_plan_create(int rank, int ranks, const char *label, ...)
    __attribute__((format(printf, 3, 4)));
void dist_plan_destroy(dist_plan *plan);

/* Lets messages use `channels` channels, DIST_CHANNELS to DIST_CHANNELS_MOST. Before the first message. */
void dist_plan_set_channels(dist_plan *plan, int channels);

/* Says which ranks the device wire connects; the array is copied. Before the first op that is of the team. */
void dist_plan_set_team(dist_plan *plan, const int *rank, int ranks);

/* Adds a buffer and returns its number. */
uint32_t dist_plan_add_buffer(dist_plan *plan, dist_buffer_kind kind, uint64_t bytes, const char *name);

static inline dist_slice dist_slice_of(uint32_t buffer, uint64_t offset, uint64_t bytes)
{
    return (dist_slice){.offset = offset, .bytes = bytes, .buffer = buffer};
}

/* Append ops. Ops over zero bytes are left out. */
void dist_plan_send(dist_plan *plan, int channel, int peer, dist_slice src);
void dist_plan_recv(dist_plan *plan, int channel, int peer, dist_slice dst);
/* Says of the message just added for which call of the program it is, and whether it is a parcel. */
void dist_plan_label(dist_plan *plan, dist_call_kind call, uint32_t stage, uint32_t microbatch,
                     bool variable);
void dist_plan_reduce(dist_plan *plan, dist_type type, dist_reduction reduction, dist_slice dst,
                      dist_slice src);
void dist_plan_copy(dist_plan *plan, dist_slice dst, dist_slice src);
void dist_plan_copy_head(dist_plan *plan, dist_slice dst, dist_slice src);
void dist_plan_divide(dist_plan *plan, dist_type type, dist_slice dst, int divisor);
/* `frame` has the size that the plan's codec gives to the values, which are float32, float16 or bfloat16.
 * state.buffer may be DIST_NO_BUFFER, and has dist_feedback_bytes otherwise. `first` and `stream` place the
 * values for random numbers. */
void dist_plan_encode(dist_plan *plan, dist_type type, dist_slice frame, dist_slice values, dist_slice state,
                      uint64_t first, uint32_t stream);
/* `encoded` holds that many frames, dist_frame_stride apart: all that a sum consists of, so that it is made in
 * one pass. */
void dist_plan_decode(dist_plan *plan, dist_type type, dist_slice values, dist_slice encoded, int frames,
                      int divisor, bool add);

/* The two halves of a step of PowerSGD (codec/lowrank.h), between which the factors of all ranks are summed.
 * The matrix of float32 has `rows` rows; `factor` and `state` have the sizes that its shape and the codec's
 * rank give. */
void dist_plan_project(dist_plan *plan, uint64_t rows, dist_slice factor, dist_slice matrix,
                       dist_slice state);
void dist_plan_expand(dist_plan *plan, uint64_t rows, dist_slice matrix, dist_slice factor, dist_slice state);

/* Bytes from one frame to the next where a DECODE takes several: frames begin at cache lines. */
static inline uint64_t dist_frame_stride(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}
void dist_plan_native(dist_plan *plan, dist_native native, dist_type type, dist_reduction reduction, int root,
                      uint64_t count, dist_slice dst, dist_slice src);
/* Says that the message just added goes over the device wire. */
void dist_plan_on_device_wire(dist_plan *plan);
/* The same over the team: parts of a reduce-scatter or an all-gather are those of its ranks in their order. */
void dist_plan_native_team(dist_plan *plan, dist_native native, dist_type type, dist_reduction reduction,
                           int root, uint64_t count, dist_slice dst, dist_slice src);
/* Has the collective of the team just added, a sum, divide its result too. */
void dist_plan_native_divide(dist_plan *plan, int divisor);

/* Has the op that is added next wait for an earlier one as well, whatever bytes they touch; DIST_NO_OP: for none. For how much is
 * under way at once, never for what is right: staging, which derives all waits anew, drops it. */
void dist_plan_after(dist_plan *plan, uint32_t op);

/* Adds an op made elsewhere, but for its waits, which are derived anew. */
void dist_plan_append(dist_plan *plan, const dist_op *op);

/* A CALL waits for the CALL before it, besides whoever touched its slices. Heads of parcels (dist_parcel) are the host's: those of
 * slices in device memory are in the pinned copies, and a CALL reads and writes them too. */
typedef struct dist_stage_call {
    dist_call_kind kind;
    uint32_t stage, microbatch;
    double cost;                /* seconds, for predict and print */
    int64_t held;               /* as dist_op.held */
    dist_slice dst, src, state; /* may be without buffer */
} dist_stage_call;
void dist_plan_call(dist_plan *plan, const dist_stage_call *call);

/* Ends building; returns the first failure while building. The plan is read-only from then on. */
dist_status dist_plan_finish(dist_plan *plan);

/* The bytes of all buffers of a kind. */
uint64_t dist_plan_bytes(const dist_plan *plan, dist_buffer_kind kind);

/* The same ops, buffers and label give the same number on any machine. */
uint64_t dist_plan_hash(const dist_plan *plan);

/* Whether it has so few ops on so few bytes that running them one after the other beats the bookkeeping of running
 * them at once. */
bool dist_plan_is_short(const dist_plan *plan);

/* The matrix of a PROJECT or EXPAND. */
static inline dist_lowrank dist_op_matrix(const dist_plan *plan, const dist_op *op)
{
    return (dist_lowrank){
        .rows = op->rows, .columns = op->rows ? op->count / op->rows : 0, .rank = plan->codec.rank};
}

/* Whether a slice is in device memory. */
static inline bool dist_slice_on_device(const dist_plan *plan, dist_slice slice)
{
    return slice.buffer < plan->buffers && plan->buffer[slice.buffer].memory == DIST_MEMORY_CUDA;
}

/* Whether the device does the op, queued on a stream: any but those of a wire that has a slice in device memory. A CALL is queued by
 * the program. */
bool dist_op_on_device(const dist_plan *plan, const dist_op *op);

/* Whether an op reads its dst as well as writing it. */
static inline bool dist_op_updates(const dist_op *op)
{
    return op->kind == DIST_OP_REDUCE || op->kind == DIST_OP_DIVIDE ||
           (op->kind == DIST_OP_DECODE && op->add) ||
           (op->kind == DIST_OP_NATIVE && op->native == DIST_NATIVE_BROADCAST);
}

/* Whether its time counts as the codec's. */
static inline bool dist_op_is_coded(const dist_op *op)
{
    return op->kind == DIST_OP_ENCODE || op->kind == DIST_OP_DECODE || op->kind == DIST_OP_PROJECT ||
           op->kind == DIST_OP_EXPAND;
}

const char *dist_op_name(dist_op_kind kind);
/* "F2.7", the forward of stage 2 on microbatch 7; of a CALL, or a message that is staged. */
void dist_call_format(const dist_op *op, char *text, size_t size);
/* "SEND inout[0:4096] to 3 #2" into text; what print, errors and traces show. */
void dist_op_format(const dist_plan *plan, size_t op, char *text, size_t size);
void dist_plan_write(const dist_plan *plan, FILE *file);

#endif
