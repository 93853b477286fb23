/* CRC32C of bytes in host memory, at the speed of memory. The arithmetic is in kernels/crc32c.h. */
#ifndef DIST_CODEC_CRC32C_H
#define DIST_CODEC_CRC32C_H

#include <stdint.h>

/* The CRC of what `crc` is of, followed by `data`; 0 is the CRC of nothing. */
uint32_t dist_crc32c(uint32_t crc, const void *data, uint64_t bytes);

/* The CRC of two pieces one after the other, from the CRC of each. */
uint32_t dist_crc32c_combine(uint32_t first, uint32_t second, uint64_t second_bytes);

/* What dist_crc32c chooses among by CPU; the tests hold each to the definition. */
typedef enum dist_crc32c_way {
    DIST_CRC32C_AUTO,
    DIST_CRC32C_SCALAR, /* eight tables */
    DIST_CRC32C_SSE42,  /* the CPU's CRC instruction in three streams, PCLMULQDQ to join them */
    DIST_CRC32C_AVX512, /* VPCLMULQDQ on 256 bytes at a time */
    DIST_CRC32C_ARM,    /* the CPU's CRC instruction in three streams */
    DIST_CRC32C_WAYS
} dist_crc32c_way;

/* The state after `bytes` bytes: the CRC's inverse, as kernels/crc32c.h defines it. */
typedef uint32_t dist_crc32c_update(uint32_t state, const uint8_t *data, uint64_t bytes);

/* NULL when this CPU has not those instructions. */
dist_crc32c_update *dist_crc32c_update_by(dist_crc32c_way way);

/* The same for the ways of one architecture, AUTO being its best; NULL on another. */
dist_crc32c_update *dist_crc32c_x86(dist_crc32c_way way);
dist_crc32c_update *dist_crc32c_arm(dist_crc32c_way way);

#endif
