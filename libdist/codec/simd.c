#include "codec/tables.h"

#include <stddef.h>

const dist_codec_table *dist_codec_table_of(dist_simd simd)
{
    return simd == DIST_SIMD_AUTO || simd == DIST_SIMD_SCALAR ? &dist_codec_scalar : NULL;
}
