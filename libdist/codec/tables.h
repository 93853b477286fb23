/* The functions of one instruction set: what each codec does to one group of elements in float32. */
#ifndef DIST_CODEC_TABLES_H
#define DIST_CODEC_TABLES_H

#include "codec/codec.h"
#include "kernels/stochastic.h"

/* A group is a part of a frame that begins at a multiple of this and of the codec's block. */
enum { DIST_GROUP = 1024, DIST_GROUP_MOST = 4096 };

/* Elements [first, first + n) of a frame on their way to its bytes. */
typedef struct dist_encode_group {
    const dist_codec *codec;
    const float *h; /* n values with their feedback added */
    float *kept;    /* NULL, or n floats: the old feedback, to be replaced by h - decoded where h is finite */
    const uint32_t *random;          /* n words, for stochastic rounding; else NULL */
    uint8_t *section[DIST_SECTIONS]; /* where this group's bytes of each section go */
    uint64_t n;
    float global;          /* nvfp4: the frame's scale */
    const uint32_t *signs; /* int4:hadamard: a bit for each element of a block */
} dist_encode_group;

/* How decoded values are written. */
typedef enum dist_write {
    DIST_WRITE_SET,
    DIST_WRITE_ADD,
    DIST_WRITE_PAST, /* set, past the caches where the processor can: to multiples of 64 bytes */
} dist_write;

/* And back. */
typedef struct dist_decode_group {
    const dist_codec *codec;
    const uint8_t *section[DIST_SECTIONS];
    float *out; /* n values */
    uint64_t n;
    dist_write write;
    float global;
    const uint32_t *signs;
} dist_decode_group;

typedef struct dist_codec_table {
    /* Returns the number of blocks with a NaN or an infinity. NULL where frame.c has a way of its own (topk). */
    uint64_t (*encode[DIST_CODEC_KINDS])(const dist_encode_group *group);
    void (*decode[DIST_CODEC_KINDS])(const dist_decode_group *group);
    /* h = x + decay * e, with e in float32; e may be NULL. `type` is the type of the values at x. */
    void (*stage)(dist_type type, const void *x, const float *e, float decay, uint64_t n, float *h);
    /* values = sum / divisor, or values = values + sum / divisor, in `type`. */
    void (*unstage)(dist_type type, const float *sum, int divisor, bool add, uint64_t n, void *values);
    /* Feedback between its kept form and float32. n begins at a multiple of 256. */
    void (*load_feedback)(dist_feedback feedback, const void *kept, uint64_t n, float *e);
    void (*store_feedback)(dist_feedback feedback, const float *e, uint64_t n, void *kept);
    /* The words of dist_random_at for elements first to first + n; first is a multiple of 4. */
    void (*random)(dist_random_key key, uint64_t first, uint64_t n, uint32_t *words);
    /* max of dist_magnitude over the finite of n elements */
    uint32_t (*peak)(const float *h, uint64_t n);
    /* Orders what was written past the caches before all writes that follow; NULL where that needs nothing. */
    void (*settle)(void);
} dist_codec_table;

extern const dist_codec_table dist_codec_scalar;

/* NULL where the compiler does not target the CPU. */
extern const dist_codec_table *const dist_codec_avx2;
extern const dist_codec_table *const dist_codec_avx512;
extern const dist_codec_table *const dist_codec_neon;

/* The functions of `simd` for this CPU; NULL when it has not those instructions. */
const dist_codec_table *dist_codec_table_of(dist_simd simd);

#endif
