#include "codec/crc32c.h"

#include <stddef.h>

#include "kernels/crc32c.h"

/* A byte's 256 multiples of a power of x are the sums of eight: those of its bits. */
#define SUMS1(s, a)                      (s), (s) ^ (a)
#define SUMS2(s, a, b)                   SUMS1(s, a), SUMS1((s) ^ (b), a)
#define SUMS3(s, a, b, c)                SUMS2(s, a, b), SUMS2((s) ^ (c), a, b)
#define SUMS4(s, a, b, c, d)             SUMS3(s, a, b, c), SUMS3((s) ^ (d), a, b, c)
#define SUMS5(s, a, b, c, d, e)          SUMS4(s, a, b, c, d), SUMS4((s) ^ (e), a, b, c, d)
#define SUMS6(s, a, b, c, d, e, f)       SUMS5(s, a, b, c, d, e), SUMS5((s) ^ (f), a, b, c, d, e)
#define SUMS7(s, a, b, c, d, e, f, g)    SUMS6(s, a, b, c, d, e, f), SUMS6((s) ^ (g), a, b, c, d, e, f)
#define SUMS8(s, a, b, c, d, e, f, g, h) SUMS7(s, a, b, c, d, e, f, g), SUMS7((s) ^ (h), a, b, c, d, e, f, g)
#define SLICE(...)                                                                                           \
    {                                                                                                        \
        SUMS8(0u, __VA_ARGS__)                                                                               \
    }

/* slices[k][b]: the state after byte b and k zeros. The constants are x^39 to x^32, x^47 to x^40, and so on. */
static const uint32_t slices[8][256] = {
    SLICE(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu,
          0x82f63b78u),
    SLICE(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u, 0xff17c604u,
          0xfbc3faf9u),
    SLICE(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u, 0xc76580d9u,
          0x8b277743u),
    SLICE(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu, 0xaba65fe7u,
          0x52a0c93fu),
    SLICE(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu,
          0x6ea2d55cu),
    SLICE(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du, 0x0e045bebu,
          0x1c08b7d6u),
    SLICE(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au,
          0xf56e0ef4u),
    SLICE(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u, 0x1a00cb32u,
          0x34019664u),
};

static uint32_t load_word(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Slicing-by-8 (Kounavis and Berry, 2005). */
static uint32_t update_scalar(uint32_t state, const uint8_t *data, uint64_t bytes)
{
    for (; bytes >= 8; data += 8, bytes -= 8) {
        const uint32_t low = state ^ load_word(data), high = load_word(data + 4);
        state = slices[7][low & 255] ^ slices[6][low >> 8 & 255] ^ slices[5][low >> 16 & 255] ^
                slices[4][low >> 24] ^ slices[3][high & 255] ^ slices[2][high >> 8 & 255] ^
                slices[1][high >> 16 & 255] ^ slices[0][high >> 24];
    }
    for (; bytes > 0; data++, bytes--)
        state = state >> 8 ^ slices[0][(state ^ *data) & 255];
    return state;
}

dist_crc32c_update *dist_crc32c_update_by(dist_crc32c_way way)
{
    if (way == DIST_CRC32C_SCALAR)
        return update_scalar;
    dist_crc32c_update *update = dist_crc32c_x86(way);
    if (!update)
        update = dist_crc32c_arm(way);
    return update || way != DIST_CRC32C_AUTO ? update : update_scalar;
}

uint32_t dist_crc32c(uint32_t crc, const void *data, uint64_t bytes)
{
    return ~dist_crc32c_update_by(DIST_CRC32C_AUTO)(~crc, data, bytes);
}

uint32_t dist_crc32c_combine(uint32_t first, uint32_t second, uint64_t second_bytes)
{
    return dist_crc32c_shift(first, second_bytes) ^ second; /* the inversions cancel */
}
