/* What a test can plant in the kernels of examples/train_gpt_cuda and in the stand-in for cuBLAS, and what it learns
 * of them. */
#ifndef SIMT_GPT_STAND_IN_H
#define SIMT_GPT_STAND_IN_H

#ifdef __cplusplus
extern "C" {
#endif

/* Calls for a product, from 0 on, and the one that leaves out the last term of each sum; negative: none. */
extern int stand_in_products, stand_in_short_product;

enum { STAND_IN_BARRIERS = 64 };
/* The barriers that were reached, by a number each, and the one that is left out; negative: none. */
extern int stand_in_barrier_reached[STAND_IN_BARRIERS], stand_in_missing_barrier;

#ifdef __cplusplus
}
#endif
#endif
