#include "codec/crc32c.h"

#include <stddef.h>

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define SSE42  __attribute__((target("sse4.2,pclmul")))
#define AVX512 __attribute__((target("avx512f,vpclmulqdq,sse4.2,pclmul")))

SSE42 static inline uint64_t append(uint64_t state, const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
    return _mm_crc32_u64(state, word);
}

SSE42 static inline uint32_t update_words(uint32_t state, const uint8_t *data, uint64_t bytes)
{
    uint64_t sum = state;
    for (; bytes >= 8; data += 8, bytes -= 8)
        sum = append(sum, data);
    state = (uint32_t)sum;
    if (bytes & 4) {
        uint32_t word;
        memcpy(&word, data, 4);
        state = _mm_crc32_u32(state, word);
        data += 4;
    }
    if (bytes & 2) {
        uint16_t word;
        memcpy(&word, data, 2);
        state = _mm_crc32_u16(state, word);
        data += 2;
    }
    return bytes & 1 ? _mm_crc32_u8(state, *data) : state;
}

/* A carry-less product of two states, and the CRC instruction that reduces it, multiply by x^33 too many. */
SSE42 static inline __m128i product(uint64_t state, uint32_t power)
{
    return _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)state), _mm_cvtsi32_si128((int)power), 0);
}

/* Three pieces of n bytes side by side, since the instruction has a latency of three cycles. `once` and `twice` are
 * x^(8 n - 33) and x^(16 n - 33). */
SSE42 static inline uint32_t update_three(uint32_t state, const uint8_t *data, uint64_t n, uint32_t once,
                                          uint32_t twice)
{
    uint64_t first = state, second = 0, third = 0;
    for (uint64_t i = 0; i < n; i += 8) {
        first = append(first, data + i);
        second = append(second, data + n + i);
        third = append(third, data + 2 * n + i);
    }
    const __m128i both = _mm_xor_si128(product(first, twice), product(second, once));
    return (uint32_t)(_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(both)) ^ third);
}

SSE42 static uint32_t update_sse42(uint32_t state, const uint8_t *data, uint64_t bytes)
{
    enum { LONG = 1024, SHORT = 128 };
    for (; bytes >= 3 * LONG; data += 3 * LONG, bytes -= 3 * LONG)
        state = update_three(state, data, LONG, 0x170076fau, 0xa51b6135u);
    for (; bytes >= 3 * SHORT; data += 3 * SHORT, bytes -= 3 * SHORT)
        state = update_three(state, data, SHORT, 0x0d3b6092u, 0xb9e02b86u);
    return update_words(state, data, bytes);
}

/* Folding (Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", 2009): 16 bytes, as a
 * polynomial, may be replaced by their product with x^d mod P, d bits further on. A lane's first 8 bytes take
 * x^(d + 31), its last 8 x^(d - 33). */
#define POWERS_2048          0xb9e02b86, 0xdcb17aa4
#define POWERS_1536          0xab7aff2a, 0xa87ab8a8
#define POWERS_1024          0x0d3b6092, 0x6992cea2
#define POWERS_512           0x9e4addf8, 0x740eef02
#define POWERS_384           0xddc0152b, 0x1c291d04
#define POWERS_256           0xba4fc28e, 0x3da6d0cb
#define POWERS_128           0x493c7d27, 0xf20c0dfe
#define ALL(...)             ALL_LANES(__VA_ARGS__)
#define ALL_LANES(high, low) _mm512_set_epi64(high, low, high, low, high, low, high, low)
#define EACH(...)            _mm512_set_epi64(__VA_ARGS__)

AVX512 static inline __m512i load(const uint8_t *at)
{
    return _mm512_loadu_si512((const void *)at);
}

/* `lanes` moved on by the powers' distance, added to what is there. */
AVX512 static inline __m512i fold(__m512i lanes, __m512i powers, __m512i there)
{
    const __m512i first = _mm512_clmulepi64_epi128(lanes, powers, 0x00);
    const __m512i last = _mm512_clmulepi64_epi128(lanes, powers, 0x11);
    return _mm512_ternarylogic_epi64(first, last, there, 0x96);
}

/* The state of four lanes, that is, of 64 bytes that stand for all before them. */
AVX512 static inline uint32_t state_of(__m512i lanes)
{
    const __m512i powers = EACH(0, 0, POWERS_128, POWERS_256, POWERS_384);
    const __m512i last = _mm512_maskz_mov_epi64(0xc0, lanes);
    const __m512i folded = fold(lanes, powers, last);
    const __m256i half =
        _mm256_xor_si256(_mm512_castsi512_si256(folded), _mm512_extracti64x4_epi64(folded, 1));
    const __m128i lane = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const uint64_t state = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(lane));
    return (uint32_t)_mm_crc32_u64(state, (uint64_t)_mm_extract_epi64(lane, 1));
}

AVX512 static uint32_t update_avx512(uint32_t state, const uint8_t *data, uint64_t bytes)
{
    if (bytes < 256)
        return update_words(state, data, bytes);
    __m512i a = _mm512_xor_si512(load(data), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
    __m512i b = load(data + 64), c = load(data + 128), d = load(data + 192);
    const __m512i far = ALL(POWERS_2048);
    for (data += 256, bytes -= 256; bytes >= 256; data += 256, bytes -= 256) {
        a = fold(a, far, load(data));
        b = fold(b, far, load(data + 64));
        c = fold(c, far, load(data + 128));
        d = fold(d, far, load(data + 192));
    }
    const __m512i near = ALL(POWERS_512);
    d = fold(a, ALL(POWERS_1536), fold(b, ALL(POWERS_1024), fold(c, near, d)));
    for (; bytes >= 64; data += 64, bytes -= 64)
        d = fold(d, near, load(data));
    return update_words(state_of(d), data, bytes);
}

static int has_sse42(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq") && has_sse42();
}

dist_crc32c_update *dist_crc32c_x86(dist_crc32c_way way)
{
    if ((way == DIST_CRC32C_AUTO || way == DIST_CRC32C_AVX512) && has_avx512())
        return update_avx512;
    if ((way == DIST_CRC32C_AUTO || way == DIST_CRC32C_SSE42) && has_sse42())
        return update_sse42;
    return NULL;
}

#else

dist_crc32c_update *dist_crc32c_x86(dist_crc32c_way way)
{
    (void)way;
    return NULL;
}

#endif
