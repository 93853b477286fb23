#include "codec/crc32c.h"

#include <stddef.h>

#if defined(__aarch64__) && defined(__AARCH64EL__)

#if defined(__linux__)
#include <sys/auxv.h>
#endif

#include <string.h>

#include "kernels/crc32c.h"

/* The instructions by their names in the assembler: arm_acle.h declares them only to a compiler that may use them
 * everywhere. */
static inline uint32_t append(uint32_t state, const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(state) : "r"(word));
    return state;
}

static inline uint32_t append_byte(uint32_t state, uint8_t byte)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)byte));
    return state;
}

static uint32_t update_arm(uint32_t state, const uint8_t *data, uint64_t bytes)
{
    /* Three pieces side by side, since the instruction has a latency of two or three cycles. They are long: joining
     * them takes a few hundred cycles. */
    enum { PIECE = 4096 };
    for (; bytes >= 3 * PIECE; data += 3 * PIECE, bytes -= 3 * PIECE) {
        uint32_t second = 0, third = 0;
        for (uint64_t i = 0; i < PIECE; i += 8) {
            state = append(state, data + i);
            second = append(second, data + PIECE + i);
            third = append(third, data + 2 * PIECE + i);
        }
        state = dist_crc32c_shift(dist_crc32c_shift(state, PIECE) ^ second, PIECE) ^ third;
    }
    for (; bytes >= 8; data += 8, bytes -= 8)
        state = append(state, data);
    for (; bytes > 0; data++, bytes--)
        state = append_byte(state, *data);
    return state;
}

static int has_crc(void)
{
#if defined(__ARM_FEATURE_CRC32)
    return 1;
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#else
    return 0;
#endif
}

dist_crc32c_update *dist_crc32c_arm(dist_crc32c_way way)
{
    return (way == DIST_CRC32C_AUTO || way == DIST_CRC32C_ARM) && has_crc() ? update_arm : NULL;
}

#else

dist_crc32c_update *dist_crc32c_arm(dist_crc32c_way way)
{
    (void)way;
    return NULL;
}

#endif
