/* The table of an instruction set that has defined
 *
 *     VECTOR      the function attribute that turns its instructions on
 *     vec, ivec   16 float32 and 16 int32
 *     SETTLE      dist_codec_table.settle
 *     and the primitives on them that avx2.c, avx512.c and neon.c list
 */
#include "codec/sparse.h"
#include "codec/tables.h"
#include "codec/vector_blocks.h"
#include "codec/vector_hadamard.h"
#include "codec/vector_values.h"

static const dist_codec_table table = {
    .encode = {[DIST_CODEC_NONE] = none_encode,
               [DIST_CODEC_BF16] = bf16_encode,
               [DIST_CODEC_FP16] = fp16_encode,
               [DIST_CODEC_INT8] = int8_encode,
               [DIST_CODEC_INT4] = int4_encode,
               [DIST_CODEC_INT4_HADAMARD] = hadamard_encode,
               [DIST_CODEC_MXFP8] = mxfp8_encode,
               [DIST_CODEC_MXFP4] = mxfp4_encode,
               [DIST_CODEC_NVFP4] = nvfp4_encode,
               [DIST_CODEC_SPARSELOCO] = dist_sparse_encode},
    .decode = {[DIST_CODEC_NONE] = none_decode,
               [DIST_CODEC_BF16] = bf16_decode,
               [DIST_CODEC_FP16] = fp16_decode,
               [DIST_CODEC_INT8] = int8_decode,
               [DIST_CODEC_INT4] = int4_decode,
               [DIST_CODEC_INT4_HADAMARD] = hadamard_decode,
               [DIST_CODEC_MXFP8] = mxfp8_decode,
               [DIST_CODEC_MXFP4] = mxfp4_decode,
               [DIST_CODEC_NVFP4] = nvfp4_decode,
               [DIST_CODEC_SPARSELOCO] = dist_sparse_decode},
    .stage = stage,
    .unstage = unstage,
    .load_feedback = load_feedback,
    .store_feedback = store_feedback,
    .random = fill_random,
    .peak = finite_peak,
    .settle = SETTLE,
};
