/* PowerSGD (Vogels, Karimireddy and Jaggi 2019, arXiv:1905.13727) in its alternating form: a matrix is sent
 * as a factor.
 *
 * H = M + E is a gradient of rows x columns and what earlier steps did not send of it. A step has an
 * orthonormal basis on one side and computes the factor on the other, which is summed over all ranks; every
 * rank multiplies basis and sum, and the sum is what the next step makes its basis of. Even steps have the
 * basis on the side of the columns:
 *
 *     even   Q = orthonormal(previous)   P = H Q      E = H - P Q^T    M = sum(P) Q^T    previous = sum(P)
 *     odd    P = orthonormal(previous)   Q = H^T P    E = H - P Q^T    M = P sum(Q)^T    previous = sum(Q)
 *
 * Replicas stay bit-identical, because the bits depend on the values alone: float32, each sum in one order
 * that the source spells out and that no vector width changes, nothing contracted. Dot products have 32
 * partial sums, element i in number i mod 32, added up by halves; all other sums run by rising index.
 *
 * A factor is `rank` vectors, one behind the other, of as many elements as its side has: rows (P) or columns
 * (Q). */
#ifndef DIST_CODEC_LOWRANK_H
#define DIST_CODEC_LOWRANK_H

#include <stdbool.h>
#include <stdint.h>

/* A matrix, row by row, and the rank of what is sent of it; none is 0. */
typedef struct dist_lowrank {
    uint64_t rows, columns;
    uint32_t rank;
} dist_lowrank;

/* What a rank keeps from step to step, 0 at first. Behind it E, padded to 64 bytes, and room for a factor:
 * the previous one, or its basis. */
typedef struct dist_lowrank_state {
    uint64_t steps; /* that were finite */
    uint64_t unused[7];
} dist_lowrank_state;

/* Whether factors are less than half of the matrix. */
bool dist_lowrank_pays(const dist_lowrank *shape);

/* Elements of the larger factor: what is summed in each step. The smaller factor is filled up with zeros. */
static inline uint64_t dist_lowrank_count(const dist_lowrank *shape)
{
    return (shape->rows > shape->columns ? shape->rows : shape->columns) * shape->rank;
}

/* Bytes of the state, which begins at a cache line. */
uint64_t dist_lowrank_state_bytes(const dist_lowrank *shape);

/* E, and the factor or basis with the number of its elements: those of the side that the next step projects on. */
float *dist_lowrank_error(dist_lowrank_state *state);
float *dist_lowrank_factor(const dist_lowrank *shape, dist_lowrank_state *state);
uint64_t dist_lowrank_factor_count(const dist_lowrank *shape, uint64_t steps);

/* The first half of a step: `factor` gets dist_lowrank_count elements, E is updated. Where H is not finite,
 * or so large that the factor is not, the factor is NaN, E stays as it was, and the result is 1; else 0. */
uint64_t dist_lowrank_project(const dist_lowrank *shape, const float *matrix, dist_lowrank_state *state,
                              float *factor);

/* The second half: `matrix` gets what the summed factors stand for. When they are not finite, all of it is
 * NaN, and the next step has the basis of this one. */
void dist_lowrank_expand(const dist_lowrank *shape, const float *factor, dist_lowrank_state *state,
                         float *matrix);

/* Makes `count` vectors of `length` elements, one behind the other, orthonormal (modified Gram-Schmidt,
 * twice, in float64). One that is zero or a combination of those before it becomes a pseudo-random one that
 * is the same everywhere, or zero where more vectors than `length` leave no room for it. */
void dist_orthonormalize(float *vectors, uint64_t length, uint32_t count);

#endif
