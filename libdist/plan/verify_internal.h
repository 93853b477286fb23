/* Shared by the files of the verifier: verify.c (driver), verify_shape.c, verify_messages.c, verify_races.c,
 * verify_natives.c (collectives), verify_run.c (order of execution), verify_values.c (what ops do to values), verify_lowrank.c (the same of PROJECT and
 * EXPAND), verify_claims.c (inputs and outputs), verify_intervals.c, verify_sets.c. None of them uses hazard.h:
 * what the builder derived is what they check. */
#ifndef DIST_PLAN_VERIFY_INTERNAL_H
#define DIST_PLAN_VERIFY_INTERNAL_H

#include "base/error.h"
#include "plan/verify.h"

struct dist_verifier;

/* What is followed while the plans run: values of elements, or which microbatch is where. */
typedef struct dist_domain {
    dist_status (*begin)(const struct dist_verifier *verifier,
                         void **state); /* *state is ended also when it fails */
    dist_status (*local)(void *state, int rank, uint32_t op);
    dist_status (*message)(void *state, int sender, uint32_t send, int receiver, uint32_t recv);
    dist_status (*native)(void *state, size_t number); /* a meeting */
    dist_status (*check)(void *state);                 /* when all ops are done */
    void (*end)(void *state);
} dist_domain;

extern const dist_domain dist_domain_values; /* verify_claims.c */
extern const dist_domain dist_domain_calls;  /* verify_calls.c */

/* ---- verify_natives.c: NATIVE ops that are one collective ---- */

/* Who takes part: all ranks of the job (group 0), or a team. */
typedef struct dist_native_group {
    const int *member; /* NULL: member i is rank i */
    int members;
    int founder,
        position; /* the lowest rank, with whose plan the others are compared, and its place among the members */
    uint32_t first; /* meeting, or DIST_NO_OP */
} dist_native_group;

typedef struct dist_native_meeting {
    uint32_t group;
    uint32_t next; /* of the same group, or DIST_NO_OP */
    size_t first;  /* into op: what member i does is at first + i */
} dist_native_meeting;

typedef struct dist_natives {
    int ranks;
    dist_native_group *group;
    size_t groups, group_capacity;
    dist_native_meeting *item;
    size_t count, capacity;
    uint32_t *op;
    size_t ops, op_capacity;
    uint32_t *team_of; /* [ranks] the group that is a rank's team; 0: none */
} dist_natives;

/* Overwrites *natives, which is to be ended also after a failure. DIST_ERR_PLAN when the plans' teams do not agree, or when a
 * collective differs from that of another member or meets none. */
dist_status dist_natives_match(dist_natives *natives, const dist_plan *const *plan, int ranks);
void dist_natives_end(dist_natives *natives);

static inline const dist_native_group *dist_native_group_of(const dist_natives *natives, size_t meeting)
{
    return &natives->group[natives->item[meeting].group];
}

static inline int dist_native_rank(const dist_natives *natives, size_t meeting, int member)
{
    const dist_native_group *group = dist_native_group_of(natives, meeting);
    return group->member ? group->member[member] : member;
}

static inline uint32_t dist_native_op(const dist_natives *natives, size_t meeting, int member)
{
    return natives->op[natives->item[meeting].first + (size_t)member];
}

/* Where a rank is in the team of a plan; -1: nowhere. */
int dist_team_position(const dist_plan *plan, int rank);

/* ---- the verifier ---- */

typedef struct dist_verifier {
    const dist_plan *const *plan;
    const dist_contract *contract;
    const dist_call_contract *calls; /* or NULL */
    const dist_domain *domain;
    int ranks;
    uint64_t element; /* bytes of one */
    size_t *first_op; /* [ranks + 1] ops of all ranks are numbered through from here */
    uint32_t
        *meets; /* of each op of all ranks. SEND, RECV: the peer's op that it meets; NATIVE: the meeting */
    dist_natives natives;
} dist_verifier;

/* DIST_ERR_PLAN with "rank 1 op 7 SEND ...: sentence". */
dist_status dist_fault(const dist_plan *plan, size_t op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
dist_status dist_verify_no_memory(const dist_verifier *verifier);

static inline const dist_op *dist_verify_op(const dist_verifier *verifier, int rank, size_t op)
{
    return &verifier->plan[rank]->op[op];
}

static inline bool dist_op_is_message(const dist_op *op)
{
    return op->kind == DIST_OP_SEND || op->kind == DIST_OP_RECV;
}

/* Whether it combines values by op->reduction. */
static inline bool dist_op_reduces(const dist_op *op)
{
    return op->kind == DIST_OP_REDUCE ||
           (op->kind == DIST_OP_NATIVE &&
            (op->native == DIST_NATIVE_ALL_REDUCE || op->native == DIST_NATIVE_REDUCE_SCATTER));
}

static inline bool dist_slices_overlap(dist_slice a, dist_slice b)
{
    return a.buffer != DIST_NO_BUFFER && a.buffer == b.buffer && a.offset < b.offset + b.bytes &&
           b.offset < a.offset + a.bytes;
}

dist_status dist_verify_contract(const dist_verifier *verifier);
dist_status dist_verify_shape(const dist_verifier *verifier);
/* Fills meets and natives. */
dist_status dist_verify_messages(dist_verifier *verifier);
dist_status dist_verify_races(const dist_verifier *verifier);
dist_status dist_verify_run(const dist_verifier *verifier);
dist_status dist_verify_order(const dist_verifier *verifier);

/* ---- verify_sets.c: sets of ranks, each kept once, so that equal sets have equal numbers ---- */

typedef struct dist_sets {
    int ranks;
    size_t words; /* of one set */
    uint64_t *bits;
    size_t count, capacity;
    uint32_t *slot; /* hash table of numbers plus 1; 0: free */
    size_t slots;
} dist_sets;

/* Sets 0 .. ranks - 1 hold one rank each. */
bool dist_sets_create(dist_sets *sets, int ranks);
void dist_sets_destroy(dist_sets *sets);
bool dist_sets_union(dist_sets *sets, uint32_t a, uint32_t b, uint32_t *result);
/* A rank that is in both; a rank that is not in it; -1 when there is none. */
int dist_sets_common(const dist_sets *sets, uint32_t a, uint32_t b);
/* The lowest rank that is in one of them only; -1 when they are equal. */
int dist_sets_differ(const dist_sets *sets, uint32_t a, uint32_t b);
int dist_sets_missing(const dist_sets *sets, uint32_t set);

/* ---- verify_intervals.c: what bytes hold ---- */

typedef enum dist_value_kind {
    DIST_VALUE_UNDEFINED,
    DIST_VALUE_ELEMENTS,
    DIST_VALUE_FRAME,
    DIST_VALUE_FACTOR /* each of its elements stems from all elements of a matrix */
} dist_value_kind;

typedef struct dist_value {
    uint64_t position; /* ELEMENTS: byte of the logical vector; FRAME, FACTOR: byte of it */
    uint32_t
        source; /* ELEMENTS, FACTOR: set of ranks that contributed; FRAME: its number; UNDEFINED: a rank ... */
    uint32_t
        detail; /* ELEMENTS, FACTOR: divided by this; UNDEFINED: ... and its op that read it first, or NO_OP */
    uint32_t matrix; /* FACTOR: the number of what it was made of */
    dist_value_kind kind;
} dist_value;

typedef struct dist_interval {
    uint64_t begin, end;
    dist_value value; /* of byte begin; positions count up from there */
} dist_interval;

/* Sorted and disjoint; neighbours that continue each other are one. What no interval covers is undefined. */
typedef struct dist_intervals {
    dist_interval *item;
    size_t count, capacity;
} dist_intervals;

dist_value dist_value_after(dist_value value, uint64_t bytes);
bool dist_intervals_append(dist_intervals *list, dist_interval item);
/* What [begin, end) holds, as intervals that cover [0, end - begin) without gaps. */
bool dist_intervals_read(const dist_intervals *from, uint64_t begin, uint64_t end, dist_intervals *to);
/* Replaces the bytes from `begin` on by `from`, which has no gaps and begins at 0. `spare` is overwritten. */
bool dist_intervals_write(dist_intervals *to, uint64_t begin, const dist_intervals *from,
                          dist_intervals *spare);

/* ---- verify_values.c ---- */

/* Encoded bytes, and the elements that they decode to. */
typedef struct dist_frame {
    const dist_plan *plan; /* of the ENCODE */
    uint32_t op;
    dist_intervals elements;
} dist_frame;

/* What a PROJECT took, whoever contributed to it: equal ones of all ranks have one number. */
typedef struct dist_projected {
    const dist_plan *plan; /* of the first PROJECT */
    uint32_t op;
    dist_intervals elements;
} dist_projected;

typedef struct dist_values {
    const dist_verifier *verifier;
    dist_sets sets;
    size_t *first_buffer; /* [ranks + 1] into memory */
    dist_intervals *memory;
    dist_frame *frame;
    size_t frames, frame_capacity;
    dist_projected *matrix;
    size_t matrices, matrix_capacity;
    uint32_t *group; /* [ranks + 1] the set of ranks with inputs of this group, or DIST_NO_OP */
    dist_intervals left, right, sum, bytes, spare;
} dist_values;

dist_status dist_values_create(dist_values *values, const dist_verifier *verifier);
void dist_values_destroy(dist_values *values);
dist_intervals *dist_values_memory(const dist_values *values, int rank, uint32_t buffer);

/* The op that is being carried out. */
typedef struct dist_doing {
    const dist_plan *plan;
    uint32_t op;
} dist_doing;

/* What a slice holds, and its new contents. _elements: for arithmetic on elements of `type`, so no encoded
 * bytes and no parts of elements. */
dist_status dist_values_read(const dist_values *values, dist_doing d, dist_slice slice, dist_intervals *to);
dist_status dist_values_read_elements(const dist_values *values, dist_doing d, dist_slice slice,
                                      dist_type type, dist_intervals *to);
dist_status dist_values_write(dist_values *values, dist_doing d, dist_slice slice,
                              const dist_intervals *from);

/* verify_lowrank.c */
dist_status dist_values_project(dist_values *values, dist_doing d);
dist_status dist_values_expand(dist_values *values, dist_doing d);

/* Carry out a local op, a message, a collective. */
dist_status dist_values_local(dist_values *values, int rank, uint32_t op);
dist_status dist_values_message(dist_values *values, int sender, uint32_t send, int receiver, uint32_t recv);
dist_status dist_values_native(dist_values *values, size_t number);

/* verify_claims.c. Puts the inputs into memory; compares memory with the outputs. */
dist_status dist_values_load(dist_values *values);
dist_status dist_values_check(dist_values *values);

#endif
