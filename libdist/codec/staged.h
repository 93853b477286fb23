/* The values of a frame with their feedback added, a group at a time. */
#ifndef DIST_CODEC_STAGED_H
#define DIST_CODEC_STAGED_H

#include "codec/tables.h"

typedef struct dist_staged {
    const dist_codec *codec;
    dist_type type;
    const char *values;
    char *feedback; /* or NULL */
} dist_staged;

static inline dist_staged dist_staged_of(const dist_codec *codec, dist_type type, const void *values,
                                         void *feedback)
{
    return (dist_staged){codec, type, values, codec->feedback ? feedback : NULL};
}

/* Where the feedback of the elements from `first` on is kept; NULL without. */
static inline char *dist_staged_feedback(const dist_staged *staged, uint64_t first)
{
    return staged->feedback ? staged->feedback + dist_feedback_bytes(staged->codec->feedback, first) : NULL;
}

/* Elements [first, first + n), in h or, when nothing has to be computed, where they are. *old gets their feedback
 * in float32: NULL, where it is kept, or in e. */
static inline const float *dist_stage(const dist_staged *staged, uint64_t first, uint64_t n, float *h,
                                      float *e, float **old)
{
    const dist_codec *codec = staged->codec;
    const char *x = staged->values + first * (staged->type == DIST_FLOAT32 ? 4 : 2);
    char *kept = dist_staged_feedback(staged, first);
    *old = codec->feedback == DIST_FEEDBACK_FP32 ? (float *)(void *)kept : kept ? e : NULL;
    if (*old == e)
        codec->table->load_feedback(codec->feedback, kept, n, e);
    if (!*old && staged->type == DIST_FLOAT32)
        return (const float *)(const void *)x;
    codec->table->stage(staged->type, x, *old, dist_codec_decay(codec), n, h);
    return h;
}

/* Keeps what is in `old` by now. */
static inline void dist_stage_keep(const dist_staged *staged, uint64_t first, uint64_t n, const float *old)
{
    if (old && staged->codec->feedback != DIST_FEEDBACK_FP32)
        staged->codec->table->store_feedback(staged->codec->feedback, old, n,
                                             dist_staged_feedback(staged, first));
}

#endif
