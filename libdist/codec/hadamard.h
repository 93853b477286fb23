/* int4:hadamard, one block after another. */
#ifndef DIST_CODEC_HADAMARD_H
#define DIST_CODEC_HADAMARD_H

#include "codec/tables.h"

uint64_t dist_hadamard_encode(const dist_encode_group *group);
void dist_hadamard_decode(const dist_decode_group *group);

#endif
