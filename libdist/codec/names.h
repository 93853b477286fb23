/* The words of codec strings, read by parse.c and written by text.c. */
#ifndef DIST_CODEC_NAMES_H
#define DIST_CODEC_NAMES_H

#include "codec/codec.h"

#define DIST_CODEC_KNOWN                                                                                     \
    "none, bf16[:sr], fp16, int8[:block=N][:sr], int4[:block=N][:sr][:hadamard], mxfp8, mxfp4, nvfp4, "      \
    "topk:density=D[:dense=S], sparseloco[:dense=S] and powersgd[:rank=R][:dense=S], each with :ef=fp32, "   \
    "bf16, int8 or none"

enum { DIST_BLOCK_LEAST = 16, DIST_BLOCK_MOST = 4096, DIST_RANK_DEFAULT = 4, DIST_RANK_MOST = 64 };

/* Parameters that a codec takes. */
enum {
    DIST_TAKES_FEEDBACK = 1,
    DIST_TAKES_BLOCK = 2,
    DIST_TAKES_SR = 4,
    DIST_TAKES_HADAMARD = 8,
    DIST_TAKES_DENSITY = 16,
    DIST_TAKES_RANK = 32,
    DIST_TAKES_DENSE = 64
};

typedef struct dist_codec_name {
    const char *name;
    unsigned block;         /* the default */
    dist_feedback feedback; /* the default */
    unsigned dense;         /* the default */
    unsigned takes;
} dist_codec_name;

enum { DIST_FEEDBACKS = DIST_FEEDBACK_INT8 + 1 };

extern const dist_codec_name dist_codec_names[DIST_CODEC_KINDS];
extern const char *const dist_feedback_names[DIST_FEEDBACKS];

#endif
