/* The k-th largest magnitude, by three looks at 11, 10 and 10 bits of it: exact, and without a sort. */
#ifndef DIST_CODEC_SELECT_H
#define DIST_CODEC_SELECT_H

#include <stdint.h>

/* An element is among the k largest when its magnitude is above `magnitude`, or when it is one of the first
 * `ties` that are equal to it. */
typedef struct dist_threshold {
    uint32_t magnitude;
    uint64_t ties;
} dist_threshold;

/* A selection over several passes: begin; then DIST_SELECT_PASSES times count all elements and narrow. */
enum { DIST_SELECT_PASSES = 3, DIST_SELECT_BINS = 2048, DIST_SELECT_MOST = 4096 };

typedef struct dist_selection {
    uint32_t prefix; /* the bits of the threshold that are known */
    int pass;
    uint64_t wanted; /* rank among the elements with this prefix */
    uint64_t bin[DIST_SELECT_BINS];
} dist_selection;

void dist_select_begin(dist_selection *selection, uint64_t k);
void dist_select_count(dist_selection *selection, const float *h, uint64_t n);
void dist_select_narrow(dist_selection *selection);
dist_threshold dist_select_end(const dist_selection *selection);

/* All of it, for elements in one place. 0 < k <= n <= DIST_SELECT_MOST. */
dist_threshold dist_select(const float *h, uint64_t n, uint64_t k);

#endif
