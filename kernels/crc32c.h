/* CRC32C (Castagnoli; RFC 3720, appendix B.4) in pieces: the arithmetic shared by C and CUDA.
 *
 * A state is a polynomial over GF(2) modulo P of degree below 32; bit 31 is the coefficient of x^0. Appending
 * bytes to what a state stands for is linear in state and bytes: the pieces of a buffer are summed side by side,
 * each from state 0, shifted by the bytes that follow it and added by XOR, in any order. dist_crc32c_append gives
 * the CRC itself, which has a state of ones before the first byte and is inverted at the end.
 */
#ifndef DIST_KERNELS_CRC32C_H
#define DIST_KERNELS_CRC32C_H

#include "kernels/arithmetic.h"

#define DIST_CRC32C_POLYNOMIAL 0x82f63b78u
#define DIST_CRC32C_ONE        0x80000000u /* the polynomial 1 */

static inline DIST_HD uint32_t dist_crc32c_times_x(uint32_t a)
{
    return a >> 1 ^ (DIST_CRC32C_POLYNOMIAL & (0u - (a & 1u)));
}

/* The state after one more byte. */
static inline DIST_HD uint32_t dist_crc32c_byte(uint32_t state, uint8_t byte)
{
    state ^= byte;
    for (int bit = 0; bit < 8; bit++)
        state = dist_crc32c_times_x(state);
    return state;
}

/* The state after four more bytes, the first of them the lowest of `word`. */
static inline DIST_HD uint32_t dist_crc32c_word(uint32_t state, uint32_t word)
{
    state ^= word;
    for (int bit = 0; bit < 32; bit++)
        state = dist_crc32c_times_x(state);
    return state;
}

/* a * b mod P */
static inline DIST_HD uint32_t dist_crc32c_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (int bit = 31; bit >= 0; bit--) {
        product ^= b & (0u - (a >> bit & 1u));
        b = dist_crc32c_times_x(b);
    }
    return product;
}

/* state * x^(8 bytes) mod P: the state after that many zeros; one multiplication for each bit set in `bytes`. */
static inline DIST_HD uint32_t dist_crc32c_shift(uint32_t state, uint64_t bytes)
{
    /* x^(8 * 2^k) mod P. P is x + 1 times a primitive polynomial of degree 31, so k = 31 is k = 0 again. */
    static const uint32_t squares[31] = {
        0x00800000u, 0x00008000u, 0x82f63b78u, 0x6ea2d55cu, 0x18b8ea18u, 0x510ac59au, 0xb82be955u,
        0xb8fdb1e7u, 0x88e56f72u, 0x74c360a4u, 0xe4172b16u, 0x0d65762au, 0x35d73a62u, 0x28461564u,
        0xbf455269u, 0xe2ea32dcu, 0xfe7740e6u, 0xf946610bu, 0x3c204f8fu, 0x538586e3u, 0x59726915u,
        0x734d5309u, 0xbc1ac763u, 0x7d0722ccu, 0xd289cabeu, 0xe94ca9bcu, 0x05b74f3fu, 0xa51e1f42u,
        0x40000000u, 0x20000000u, 0x08000000u};
    for (int k = 0; bytes; bytes >>= 1) {
        if (bytes & 1)
            state = dist_crc32c_multiply(state, squares[k]);
        k = k == 30 ? 0 : k + 1;
    }
    return state;
}

/* Multiplication by x^(8 bytes) for one number of bytes, by one look-up a nibble. On a GPU the table belongs in
 * shared memory, where the 16 entries of a nibble lie in 16 banks: a warp's look-ups never conflict. */
#define DIST_CRC32C_ENTRIES 128

/* Fills the entries first, first + step, ...: thread `first` of `step`. A barrier must follow. */
static inline DIST_HD void dist_crc32c_fill(uint32_t *table, uint64_t bytes, unsigned first, unsigned step)
{
    const uint32_t power = dist_crc32c_shift(DIST_CRC32C_ONE, bytes);
    for (unsigned i = first; i < DIST_CRC32C_ENTRIES; i += step)
        table[i] = dist_crc32c_multiply((i & 15u) << (i >> 4) * 4, power);
}

/* state * x^(8 bytes), of a table filled for these bytes. With a table for 4 bytes,
 *     state = dist_crc32c_by_table(table, state ^ word)
 * is dist_crc32c_word; with one for 4 n bytes,
 *     state = dist_crc32c_by_table(table, state) ^ word
 * sums every n-th word of a buffer, and dist_crc32c_shift by the bytes from that thread's last word to the end,
 * that word among them, completes it. */
static inline DIST_HD uint32_t dist_crc32c_by_table(const uint32_t *table, uint32_t state)
{
    uint32_t sum = 0;
    for (unsigned nibble = 0; nibble < 8; nibble++)
        sum ^= table[nibble * 16 + (state >> nibble * 4 & 15u)];
    return sum;
}

/* The CRC of what `crc` is of (0: of nothing), followed by `bytes` bytes whose state from 0 is `state`. */
static inline DIST_HD uint32_t dist_crc32c_append(uint32_t crc, uint32_t state, uint64_t bytes)
{
    return ~(dist_crc32c_shift(~crc, bytes) ^ state);
}

#endif
