#include "codec/tables.h"

#include <stddef.h>

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/quantize.h"

#define VECTOR    __attribute__((target("avx512f,avx512bw,popcnt")))
#define PRIMITIVE VECTOR static inline

typedef __m512 vec;
typedef __m512i ivec;

PRIMITIVE vec load(const float *from)
{
    return _mm512_loadu_ps(from);
}
PRIMITIVE void store(float *to, vec v)
{
    _mm512_storeu_ps(to, v);
}
PRIMITIVE vec all(float value)
{
    return _mm512_set1_ps(value);
}
PRIMITIVE vec add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
PRIMITIVE vec subtract(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
PRIMITIVE vec multiply(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
PRIMITIVE vec divide(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
PRIMITIVE vec clamp(vec v, float most)
{
    return _mm512_max_ps(_mm512_min_ps(v, all(most)), all(-most));
}
PRIMITIVE ivec rounded(vec v)
{
    return _mm512_cvtps_epi32(v);
}
PRIMITIVE vec converted(ivec v)
{
    return _mm512_cvtepi32_ps(v);
}

PRIMITIVE ivec integer_zero(void)
{
    return _mm512_setzero_si512();
}
PRIMITIVE ivec magnitude(vec v)
{
    return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
}
PRIMITIVE ivec peak_with(ivec most, vec v)
{
    return _mm512_max_epi32(most, magnitude(v));
}
PRIMITIVE uint32_t greatest(ivec v)
{
    return (uint32_t)_mm512_reduce_max_epi32(v);
}
PRIMITIVE __mmask16 finite_lanes(vec v)
{
    return _mm512_cmplt_epi32_mask(magnitude(v), _mm512_set1_epi32(DIST_INFINITY_BITS));
}
PRIMITIVE vec where_finite(vec test, vec yes, vec no)
{
    return _mm512_mask_mov_ps(no, finite_lanes(test), yes);
}
PRIMITIVE unsigned nonfinites(vec v)
{
    return 16u - (unsigned)_mm_popcnt_u32(finite_lanes(v));
}
PRIMITIVE vec sum(vec a, vec b) /* dist_sum */
{
    const vec s = add(a, b);
    return _mm512_mask_mov_ps(s, _mm512_cmp_ps_mask(s, s, _CMP_UNORD_Q),
                              _mm512_castsi512_ps(_mm512_set1_epi32(DIST_NAN_BITS)));
}

PRIMITIVE void store_words(uint8_t *to, vec v)
{
    _mm512_storeu_ps(to, v);
}
PRIMITIVE vec load_words(const uint8_t *from)
{
    return _mm512_loadu_ps(from);
}
PRIMITIVE void store_bytes(uint8_t *to, ivec q)
{
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8(q));
}
PRIMITIVE ivec load_bytes(const uint8_t *from)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
}
PRIMITIVE void store_nibbles(uint8_t *to, ivec q)
{
    const __m512i nibbles = _mm512_and_si512(q, _mm512_set1_epi32(15));
    const __m512i pairs = _mm512_or_si512(nibbles, _mm512_srli_epi64(nibbles, 28));
    _mm_storel_epi64((__m128i *)(void *)to, _mm512_cvtepi64_epi8(pairs));
}
PRIMITIVE ivec load_nibbles(const uint8_t *from)
{
    /* The low nibble to the top of the even element, the high one to the top of the odd. */
    const __m512i pairs = _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(const void *)from));
    const __m512i odd = _mm512_slli_epi64(pairs, 56);
    const __m512i top = _mm512_mask_slli_epi32(odd, 0x5555, pairs, 28);
    return _mm512_srai_epi32(top, 28);
}

PRIMITIVE ivec bfloats(vec v) /* dist_bfloat_from_float, in the low halves */
{
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
    return _mm512_mask_mov_epi32(_mm512_srli_epi32(up, 16), _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
                                 _mm512_set1_epi32(DIST_BFLOAT_NAN));
}
PRIMITIVE vec from_bfloats(ivec codes)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(codes, 16));
}
PRIMITIVE void store_shorts(uint8_t *to, ivec v)
{
    _mm256_storeu_si256((__m256i *)(void *)to, _mm512_cvtepi32_epi16(v));
}
PRIMITIVE ivec load_shorts(const uint8_t *from)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

#include "codec/vector16.h"

const dist_codec_ops *const dist_codec_avx512 = table;

#else

const dist_codec_ops *const dist_codec_avx512 = NULL;

#endif
