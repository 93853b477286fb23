#include "codec/tables.h"

#include <stddef.h>

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/quantize.h"

#define VECTOR    __attribute__((target("avx2,popcnt")))
#define PRIMITIVE VECTOR static inline

typedef struct vec {
    __m256 a, b;
} vec;
typedef struct ivec {
    __m256i a, b;
} ivec;

PRIMITIVE vec load(const float *from)
{
    return (vec){_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
}
PRIMITIVE void store(float *to, vec v)
{
    _mm256_storeu_ps(to, v.a);
    _mm256_storeu_ps(to + 8, v.b);
}
PRIMITIVE vec all(float value)
{
    return (vec){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}
PRIMITIVE vec add(vec x, vec y)
{
    return (vec){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
PRIMITIVE vec subtract(vec x, vec y)
{
    return (vec){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
PRIMITIVE vec multiply(vec x, vec y)
{
    return (vec){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
PRIMITIVE vec divide(vec x, vec y)
{
    return (vec){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
PRIMITIVE __m256 clamp8(__m256 v, float most)
{
    return _mm256_max_ps(_mm256_min_ps(v, _mm256_set1_ps(most)), _mm256_set1_ps(-most));
}
PRIMITIVE vec clamp(vec v, float most)
{
    return (vec){clamp8(v.a, most), clamp8(v.b, most)};
}
PRIMITIVE ivec rounded(vec v)
{
    return (ivec){_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b)};
}
PRIMITIVE vec converted(ivec v)
{
    return (vec){_mm256_cvtepi32_ps(v.a), _mm256_cvtepi32_ps(v.b)};
}

PRIMITIVE ivec integer_zero(void)
{
    return (ivec){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
PRIMITIVE __m256i magnitude8(__m256 v)
{
    return _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
}
PRIMITIVE ivec peak_with(ivec most, vec v)
{
    return (ivec){_mm256_max_epi32(most.a, magnitude8(v.a)), _mm256_max_epi32(most.b, magnitude8(v.b))};
}
PRIMITIVE uint32_t greatest(ivec v)
{
    const __m256i eight = _mm256_max_epi32(v.a, v.b);
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(four);
}
PRIMITIVE __m256 finite8(__m256 v)
{
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(DIST_INFINITY_BITS), magnitude8(v)));
}
PRIMITIVE vec where_finite(vec test, vec yes, vec no)
{
    return (vec){_mm256_blendv_ps(no.a, yes.a, finite8(test.a)),
                 _mm256_blendv_ps(no.b, yes.b, finite8(test.b))};
}
PRIMITIVE unsigned nonfinites(vec v)
{
    const unsigned finite =
        (unsigned)_mm256_movemask_ps(finite8(v.a)) << 8 | (unsigned)_mm256_movemask_ps(finite8(v.b));
    return 16u - (unsigned)_mm_popcnt_u32(finite);
}
PRIMITIVE __m256 sum8(__m256 x, __m256 y) /* dist_sum */
{
    const __m256 s = _mm256_add_ps(x, y);
    const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32(DIST_NAN_BITS));
    return _mm256_blendv_ps(s, nan, _mm256_cmp_ps(s, s, _CMP_UNORD_Q));
}
PRIMITIVE vec sum(vec x, vec y)
{
    return (vec){sum8(x.a, y.a), sum8(x.b, y.b)};
}

PRIMITIVE void store_words(uint8_t *to, vec v)
{
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_castps_si256(v.a));
    _mm256_storeu_si256((__m256i *)(void *)(to + 32), _mm256_castps_si256(v.b));
}
PRIMITIVE vec load_words(const uint8_t *from)
{
    return (vec){_mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)from)),
                 _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)(from + 32)))};
}
/* The packs work within 128 bits; the permutation puts the quarters back in order. */
PRIMITIVE __m128i bytes_of(ivec q)
{
    const __m256i shorts = _mm256_permute4x64_epi64(_mm256_packs_epi32(q.a, q.b), 0xd8);
    return _mm_packs_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
}
PRIMITIVE ivec of_bytes(__m128i bytes)
{
    return (ivec){_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
}
PRIMITIVE void store_bytes(uint8_t *to, ivec q)
{
    _mm_storeu_si128((__m128i *)(void *)to, bytes_of(q));
}
PRIMITIVE ivec load_bytes(const uint8_t *from)
{
    return of_bytes(_mm_loadu_si128((const __m128i *)(const void *)from));
}
PRIMITIVE void store_nibbles(uint8_t *to, ivec q)
{
    const __m128i nibbles = _mm_and_si128(bytes_of(q), _mm_set1_epi8(15));
    const __m128i pairs = _mm_maddubs_epi16(nibbles, _mm_set1_epi16(0x1001)); /* even + 16 * odd */
    _mm_storel_epi64((__m128i *)(void *)to, _mm_packus_epi16(pairs, pairs));
}
PRIMITIVE ivec load_nibbles(const uint8_t *from)
{
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)from);
    const __m128i even = _mm_and_si128(bytes, _mm_set1_epi8(15));
    const __m128i odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
    const __m128i nibbles = _mm_xor_si128(_mm_unpacklo_epi8(even, odd), _mm_set1_epi8(8));
    return of_bytes(_mm_sub_epi8(nibbles, _mm_set1_epi8(8)));
}

PRIMITIVE __m256i bfloats8(__m256 v) /* dist_bfloat_from_float, in the low halves */
{
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff)));
    return _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), _mm256_set1_epi32(DIST_BFLOAT_NAN),
                              _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}
PRIMITIVE ivec bfloats(vec v)
{
    return (ivec){bfloats8(v.a), bfloats8(v.b)};
}
PRIMITIVE vec from_bfloats(ivec codes)
{
    return (vec){_mm256_castsi256_ps(_mm256_slli_epi32(codes.a, 16)),
                 _mm256_castsi256_ps(_mm256_slli_epi32(codes.b, 16))};
}
PRIMITIVE void store_shorts(uint8_t *to, ivec v)
{
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permute4x64_epi64(_mm256_packus_epi32(v.a, v.b), 0xd8));
}
PRIMITIVE ivec load_shorts(const uint8_t *from)
{
    const __m256i codes = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return (ivec){_mm256_cvtepu16_epi32(_mm256_castsi256_si128(codes)),
                  _mm256_cvtepu16_epi32(_mm256_extracti128_si256(codes, 1))};
}

#include "codec/vector16.h"

const dist_codec_ops *const dist_codec_avx2 = table;

#else

const dist_codec_ops *const dist_codec_avx2 = NULL;

#endif
