/* Pipeline schedules as data: in which order each rank runs the forwards and backwards of its stages.
 *
 * p ranks hold `stages` = p * chunks stages of the model, in the order of its layers. Generators write the order;
 * dist_schedule_check proves it sound; dist_schedule_run tells what it costs by given times; parallel/pipeline makes
 * plans of it. Pure data: nothing here knows of messages, memory or MPI. Definitions: each generator's file.
 */
#ifndef DIST_PARALLEL_SCHEDULE_H
#define DIST_PARALLEL_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <libdist/pipeline.h>

typedef enum dist_slot_kind {
    DIST_SLOT_FORWARD,
    DIST_SLOT_BACKWARD, /* of the input only when the schedule is split, else of input and weights */
    DIST_SLOT_WEIGHT,   /* only in split schedules */
    DIST_SLOT_FULL,     /* split schedules: BACKWARD and WEIGHT at once */
    DIST_SLOT_KINDS
} dist_slot_kind;

typedef struct dist_slot {
    uint8_t kind;   /* dist_slot_kind */
    uint16_t stage; /* of the model, not of the rank */
    uint32_t microbatch;
} dist_slot;

typedef struct dist_schedule {
    char name[64]; /* canonical: "1f1b", "interleaved:v=2", "eager1f1b:cap=5" */
    int ranks, chunks, stages, microbatches;
    bool split;
    int *rank_of;     /* [stages] */
    dist_slot **slot; /* [ranks][slots[rank]] in the order in which the rank runs them */
    size_t *slots;    /* [ranks] */
} dist_schedule;

/* What a schedule is made for. Times are of one microbatch in any one unit; they are read by the wan and auto
 * schedules only, and may be NULL for the others. */
typedef struct dist_schedule_request {
    const char *name; /* as in <libdist/pipeline.h> */
    int ranks, microbatches;
    /* [ranks]: of all chunks of a rank together, spread evenly over them; NULL: 1, 1, 1 */
    const dist_stage_times *times;
    const double *latency; /* [ranks - 1]: one way between rank j and j + 1; NULL: 0 */
    double memory; /* most activations that a rank may hold, in microbatches of the whole rank; 0: no limit */
    bool fused;    /* auto: only schedules that do not split backwards */
} dist_schedule_request;

/* DIST_ERR_ARGUMENT with a sentence for an unknown name, a bad parameter, a shape that the definition does not allow
 * (interleaved needs m % p == 0, dualpipev m >= 2p), or a schedule that holds more than `memory` (the wan ones run less
 * far ahead instead, and fail below 1 only); DIST_ERR_MEMORY. `auto` becomes the schedule with the smallest makespan
 * within `memory`, of equals the first in dist_schedule_names, and takes its name; it has one or two chunks. */
dist_status dist_schedule_create(dist_schedule **schedule, const dist_schedule_request *request);
void dist_schedule_destroy(dist_schedule *schedule);

/* The names that dist_schedule_create takes, for help texts: "gpipe", "1f1b", ..., NULL. */
extern const char *const dist_schedule_names[];

/* Sound: every stage has one rank and every rank `chunks` stages; every (stage, microbatch) has its forward once, then
 * its backward once, then its weight gradient once (split: WEIGHT after BACKWARD, or FULL), all on the rank of its
 * stage; and all ranks come to their end when each runs its slots in order and a slot waits for the stage before it
 * (forward) or after it (backward): no deadlock. DIST_ERR_PLAN with rank, slot and reason; "rank 1 slot 4 B(1,0): its
 * forward has not run". Linear in the number of slots. */
dist_status dist_schedule_check(const dist_schedule *schedule);

/* Text, a line a rank; read back by dist_schedule_read and fit to be written by hand:
 *
 *     schedule 1f1b ranks 2 chunks 1 microbatches 3 fused
 *     stages 0 1                  # the rank of each stage
 *     0: F0.0 F0.1 B0.0 F0.2 B0.1 B0.2
 *     1: F1.0 B1.0 F1.1 B1.1 F1.2 B1.2
 *
 * A slot is its kind (F, B, W, or D for a backward of both), stage and microbatch. # starts a comment. Errors of read:
 * DIST_ERR_ARGUMENT with line and reason. What was read has been checked. */
dist_status dist_schedule_write(const dist_schedule *schedule, FILE *file);
dist_status dist_schedule_read(dist_schedule **schedule, FILE *file, const char *name);

/* When everything happens if each rank starts each slot as soon as it is free and what the slot needs has arrived.
 * Sends do not block and take the latency of the ranks between (latency[a] + ... + latency[b - 1] for ranks a < b) and
 * no bandwidth. */
typedef struct dist_schedule_time {
    double makespan; /* first slot to last over all ranks */
    double span;     /* longest first to last of one rank */
    double *busy;    /* [ranks] */
    /* [ranks] most activations held at once, in microbatches of the whole rank: a chunk counts 1 / chunks, from the
     * start of its forward to the end of its last backward slot */
    double *peak;
    double **start; /* [ranks][slots] */
    double bound;   /* of dist_schedule_bound */
} dist_schedule_time;

/* As request's times and latency, of which NULL means the same. DIST_ERR_PLAN for a schedule that deadlocks. Free with
 * dist_schedule_time_end. Linear in the number of slots. */
dist_status dist_schedule_run(const dist_schedule *schedule, const dist_stage_times *times,
                              const double *latency, dist_schedule_time *time);
void dist_schedule_time_end(dist_schedule_time *time, int ranks);

/* No order of these slots is faster, with the stages on their ranks as they are: bound (c) where backwards are fused,
 * (d) where they are split (schedule_bound.c). With more chunks than one the stages on the way to a rank cost their own
 * share and not all of their rank's, so that it is lower than with one. */
double dist_schedule_bound(const dist_schedule *schedule, const dist_stage_times *times,
                           const double *latency);

#endif
