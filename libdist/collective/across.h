/* What the ranks of one rail do with their shard between sites. */
#ifndef DIST_COLLECTIVE_ACROSS_H
#define DIST_COLLECTIVE_ACROSS_H

#include "collective/emit.h"

typedef struct dist_across {
    const dist_spec *spec;
    int rail; /* local index of the ranks that exchange */
    int site; /* this rank's */
    int sites;
    bool two_shot;
    uint64_t piece;        /* largest piece of the shard in bytes; a whole number of codec blocks */
    dist_slots incoming;   /* what arrives without a codec */
    dist_slots frames;     /* with one: the frames of all sites, side by side */
    dist_slots own, total; /* two-shot: frames for others, frames of sums */
    uint32_t feedback, feedback_total; /* STATE buffers or DIST_NO_BUFFER */
} dist_across;

/* Prepares the exchange of a shard of at most `shard` bytes, piece by piece. */
void dist_across_begin(dist_across *across, dist_plan *plan, const dist_spec *spec, int rail, uint64_t piece,
                       uint64_t shard);

/* `piece` becomes the reduction (divided for an average) over the sites of what this rail's ranks hold in it;
 * `at` is its byte offset in the shard, where its error feedback is kept. */
void dist_across_piece(dist_across *across, dist_plan *plan, dist_slice piece, uint64_t at);

/* Bytes of the pieces that a shard travels in, and how many may be under way. */
uint64_t dist_across_piece_bytes(const dist_spec *spec, uint64_t shard);

/* Of what only passes from rank to rank: the bytes of a message between sites, of `bytes` for one peer, and how many bytes a rank has
 * under way there. */
uint64_t dist_across_message_bytes(const dist_spec *spec, uint64_t bytes);
uint64_t dist_across_window_bytes(const dist_spec *spec);

#endif
