/* What a job keeps, filled with what another kept: in float32 and apart, so that nothing changes before all has come. */
#ifndef DIST_PARALLEL_FEEDBACK_PLACES_H
#define DIST_PARALLEL_FEEDBACK_PLACES_H

#include "parallel/feedback.h"

/* Values [from, from + n) of a segment, under way. */
typedef struct dist_kept_slice {
    dist_segment segment;
    uint64_t from, n;
} dist_kept_slice;

/* A place for what one op keeps of one parameter. */
typedef struct dist_kept_place {
    dist_kept kept;
    uint64_t at, room; /* in dist_kept_places.values */
    bool given;        /* a factor came */
} dist_kept_place;

typedef struct dist_kept_places {
    const dist_data_parallel *dp;
    dist_kept_place *place;
    size_t places, capacity;
    float *values;
    uint64_t count;
    /* [2 * buckets] whether feedback of sites, and of sums, is kept in a bucket: of this rank at first. The caller makes
     * it that of all ranks. */
    int32_t *kept_in;
    bool *matrix;     /* [parameters] sent as factors */
    uint64_t dropped; /* values that came and have no place on any rank */
    bool failed;
} dist_kept_places;

/* The places of this rank, empty. Free them also when this fails. */
dist_status dist_kept_places_create(dist_kept_places *places, const dist_data_parallel *dp);
void dist_kept_places_free(dist_kept_places *places);

/* Adds what of a slice that job `from` wrote belongs to this rank; `values` may lie at any address. */
void dist_kept_give(dist_kept_places *places, const dist_part *from, const dist_kept_slice *slice,
                    const char *values);

/* Puts all in place of what is kept. */
void dist_kept_places_store(const dist_kept_places *places);

#endif
