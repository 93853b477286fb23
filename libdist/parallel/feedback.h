/* What averages keep from step to step: error feedback and factors, which survive the job as parts
 * (feedback_part.h).
 *
 * What was rounded away is still owed to the weights. A job with other ranks or sites owes the same: old site s is
 * paid by new site s mod sites, old rank r by new rank r mod ranks. An average divides by the number of ranks, so what
 * is added before that division is worth new ranks / old ranks times as much. What encodes of sums (two shots) left is
 * added after it: a job that encodes no sums gives it, times its ranks, to its first site. */
#ifndef DIST_PARALLEL_FEEDBACK_H
#define DIST_PARALLEL_FEEDBACK_H

#include "parallel/data_parallel_internal.h"
#include "parallel/feedback_part.h"

/* What one op keeps of one parameter. */
typedef struct dist_kept {
    dist_segment segment; /* as a part calls it */
    size_t bucket;
    const dist_codec *codec;
    dist_lowrank shape; /* of a matrix or factor */
    void *memory;       /* the op's */
    uint64_t elements;  /* of the op */
    uint64_t offset;    /* in these, of the first value */
} dist_kept;

/* Calls `visit` for all that this rank keeps; what one op keeps comes one after the other. */
typedef void dist_kept_visit(void *argument, const dist_kept *kept);
void dist_kept_walk(const dist_data_parallel *dp, dist_kept_visit *visit, void *argument);

/* The values as they are kept, in float32 at any address. */
void dist_kept_read(const dist_kept *kept, void *values);
/* Replaces what the op keeps of elements [from, from + n) by `values`: `from` is a multiple of DIST_FEEDBACK_BLOCK,
 * and n is one, or reaches to the last element. Values that dist_kept_read gave read the same again. */
void dist_kept_store(const dist_kept *kept, uint64_t from, uint64_t n, const float *values);

/* How much of a segment that job `from` wrote is added to what `kept` names in job `to`: 0, nothing. `sums`: job
 * `to` keeps feedback of sums too there. Factors are not added: 0. */
float dist_kept_share(const dist_part *from, const dist_segment *given, const dist_topology *to,
                      const dist_segment *kept, bool sums);

/* What a part of this rank says of job and parameters; bytes and segments are 0. */
dist_part dist_part_of(const dist_data_parallel *dp);

/* Whether a gradient was made ready since the last average. */
bool dist_dp_is_between_steps(const dist_data_parallel *dp);

#endif
