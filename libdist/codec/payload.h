/* What the bytes of a payload may be: an encoder's own output and nothing else. */
#ifndef DIST_CODEC_PAYLOAD_H
#define DIST_CODEC_PAYLOAD_H

#include "codec/sections.h"

typedef struct dist_payload_faults {
    const char *what;      /* the first fault, or NULL */
    uint64_t element;      /* of the block where it is */
    uint64_t nonfinite;    /* blocks so far */
    bool counts_nonfinite; /* whether the codec's payload tells */
} dist_payload_faults;

/* Elements [first, first + n): first is a multiple of every block, and n too unless the frame ends there. */
void dist_payload_check(const dist_sections *sections, uint64_t first, uint64_t n,
                        dist_payload_faults *faults);

/* The codec that a header names; DIST_ERR_FRAME when there is none such. codec->text is not written. */
dist_status dist_payload_codec(const dist_frame_header *header, dist_codec *codec);

#endif
