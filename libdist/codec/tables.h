/* The tables of functions, one for each instruction set, indexed by dist_codec_kind. */
#ifndef DIST_CODEC_TABLES_H
#define DIST_CODEC_TABLES_H

#include "codec/codec.h"

#define DIST_CODEC_KINDS 4

extern const dist_codec_ops dist_codec_scalar[DIST_CODEC_KINDS];

/* NULL where the compiler does not target x86-64. */
extern const dist_codec_ops *const dist_codec_avx2;
extern const dist_codec_ops *const dist_codec_avx512;

/* The functions of `simd` for this CPU; NULL when it has not those instructions. */
const dist_codec_ops *dist_codec_table(dist_simd simd);

#endif
