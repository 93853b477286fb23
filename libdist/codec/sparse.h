/* sparseloco, one chunk after another. */
#ifndef DIST_CODEC_SPARSE_H
#define DIST_CODEC_SPARSE_H

#include "codec/tables.h"

uint64_t dist_sparse_encode(const dist_encode_group *group);
void dist_sparse_decode(const dist_decode_group *group);

#endif
