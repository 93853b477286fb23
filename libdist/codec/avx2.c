#include "codec/tables.h"

#include <stddef.h>

#if defined(__x86_64__)

#include <immintrin.h>

#include "kernels/quantize.h"

#define VECTOR    __attribute__((target("avx2,f16c,popcnt")))
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
PRIMITIVE void store_past(float *to, vec v)
{
    _mm256_stream_ps(to, v.a);
    _mm256_stream_ps(to + 8, v.b);
}
PRIMITIVE vec all(float value)
{
    return (vec){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}
PRIMITIVE ivec bits_of(vec v)
{
    return (ivec){_mm256_castps_si256(v.a), _mm256_castps_si256(v.b)};
}
PRIMITIVE vec of_bits(ivec v)
{
    return (vec){_mm256_castsi256_ps(v.a), _mm256_castsi256_ps(v.b)};
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
PRIMITIVE vec smaller(vec x, vec y)
{
    return (vec){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
PRIMITIVE vec larger(vec x, vec y)
{
    return (vec){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
PRIMITIVE vec clamp(vec v, float most)
{
    return larger(smaller(v, all(most)), all(-most));
}
PRIMITIVE vec lower(vec v) /* floor */
{
    return (vec){_mm256_floor_ps(v.a), _mm256_floor_ps(v.b)};
}
PRIMITIVE ivec rounded(vec v)
{
    return (ivec){_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b)};
}
PRIMITIVE vec converted(ivec v)
{
    return (vec){_mm256_cvtepi32_ps(v.a), _mm256_cvtepi32_ps(v.b)};
}
PRIMITIVE bool any_above(vec v, float limit)
{
    const vec l = all(limit);
    const __m256 above =
        _mm256_or_ps(_mm256_cmp_ps(v.a, l.a, _CMP_GT_OQ), _mm256_cmp_ps(v.b, l.b, _CMP_GT_OQ));
    return _mm256_movemask_ps(above) != 0;
}
PRIMITIVE vec select_less(vec x, vec y, vec yes, vec no)
{
    return (vec){_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
                 _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}

PRIMITIVE ivec iall(int value)
{
    return (ivec){_mm256_set1_epi32(value), _mm256_set1_epi32(value)};
}
PRIMITIVE ivec load_ints(const uint32_t *from)
{
    return (ivec){_mm256_loadu_si256((const __m256i *)(const void *)from),
                  _mm256_loadu_si256((const __m256i *)(const void *)(from + 8))};
}
PRIMITIVE void store_ints(uint32_t *to, ivec v)
{
    _mm256_storeu_si256((__m256i *)(void *)to, v.a);
    _mm256_storeu_si256((__m256i *)(void *)(to + 8), v.b);
}
PRIMITIVE ivec iadd(ivec x, ivec y)
{
    return (ivec){_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
PRIMITIVE ivec isub(ivec x, ivec y)
{
    return (ivec){_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
PRIMITIVE ivec iand(ivec x, ivec y)
{
    return (ivec){_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
PRIMITIVE ivec ior(ivec x, ivec y)
{
    return (ivec){_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
PRIMITIVE ivec imost(ivec x, ivec y)
{
    return (ivec){_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)};
}
PRIMITIVE ivec shift_right(ivec v, int bits)
{
    return (ivec){_mm256_srl_epi32(v.a, _mm_cvtsi32_si128(bits)),
                  _mm256_srl_epi32(v.b, _mm_cvtsi32_si128(bits))};
}
PRIMITIVE ivec shift_left(ivec v, int bits)
{
    return (ivec){_mm256_sll_epi32(v.a, _mm_cvtsi32_si128(bits)),
                  _mm256_sll_epi32(v.b, _mm_cvtsi32_si128(bits))};
}
PRIMITIVE __m256i iclamp8(__m256i v, int most)
{
    return _mm256_max_epi32(_mm256_min_epi32(v, _mm256_set1_epi32(most)), _mm256_set1_epi32(-most));
}
PRIMITIVE ivec iclamp(ivec v, int most)
{
    return (ivec){iclamp8(v.a, most), iclamp8(v.b, most)};
}
PRIMITIVE ivec iselect_less(vec x, vec y, ivec yes, ivec no)
{
    return bits_of(select_less(x, y, of_bits(yes), of_bits(no)));
}
PRIMITIVE __m256i iselect_below8(__m256i v, __m256i limit, __m256i yes, __m256i no)
{
    return _mm256_blendv_epi8(no, yes, _mm256_cmpgt_epi32(limit, v));
}
PRIMITIVE ivec iselect_below(ivec v, uint32_t limit, ivec yes, ivec no)
{
    const __m256i l = _mm256_set1_epi32((int)limit);
    return (ivec){iselect_below8(v.a, l, yes.a, no.a), iselect_below8(v.b, l, yes.b, no.b)};
}
PRIMITIVE __m256i iselect_nan8(__m256 test, __m256i yes, __m256i no)
{
    return _mm256_blendv_epi8(no, yes, _mm256_castps_si256(_mm256_cmp_ps(test, test, _CMP_UNORD_Q)));
}
PRIMITIVE ivec iselect_nan(vec test, ivec yes, ivec no)
{
    return (ivec){iselect_nan8(test.a, yes.a, no.a), iselect_nan8(test.b, yes.b, no.b)};
}
PRIMITIVE ivec magnitude(vec v)
{
    return iand(bits_of(v), iall(0x7fffffff));
}
PRIMITIVE vec absolute(vec v)
{
    return of_bits(magnitude(v));
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
    const __m256i size = _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(DIST_INFINITY_BITS), size));
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
PRIMITIVE vec sum(vec x, vec y) /* dist_sum */
{
    const vec s = add(x, y);
    return of_bits(iselect_nan(s, iall(DIST_NAN_BITS), bits_of(s)));
}
PRIMITIVE __m256 table8(const float *values, __m256i index)
{
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values), index);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values + 8), index);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}
PRIMITIVE vec table16(const float *values, ivec index)
{
    return (vec){table8(values, index.a), table8(values, index.b)};
}
PRIMITIVE __m256 flipped8(__m256 v, unsigned signs)
{
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)signs), bit), bit);
    return _mm256_xor_ps(v, _mm256_castsi256_ps(_mm256_and_si256(set, _mm256_set1_epi32(INT32_MIN))));
}
PRIMITIVE vec flipped(vec v, unsigned signs)
{
    return (vec){flipped8(v.a, signs), flipped8(v.b, signs >> 8)};
}
/* (a, b) -> (a + b, a - b) of elements that are 1, 2, 4 or 8 apart. */
PRIMITIVE vec butterfly1(vec v)
{
    const vec other = {_mm256_permute_ps(v.a, 0xb1), _mm256_permute_ps(v.b, 0xb1)};
    const vec s = add(v, other), d = subtract(other, v);
    return (vec){_mm256_blend_ps(s.a, d.a, 0xaa), _mm256_blend_ps(s.b, d.b, 0xaa)};
}
PRIMITIVE vec butterfly2(vec v)
{
    const vec other = {_mm256_permute_ps(v.a, 0x4e), _mm256_permute_ps(v.b, 0x4e)};
    const vec s = add(v, other), d = subtract(other, v);
    return (vec){_mm256_blend_ps(s.a, d.a, 0xcc), _mm256_blend_ps(s.b, d.b, 0xcc)};
}
PRIMITIVE vec butterfly4(vec v)
{
    const vec other = {_mm256_permute2f128_ps(v.a, v.a, 1), _mm256_permute2f128_ps(v.b, v.b, 1)};
    const vec s = add(v, other), d = subtract(other, v);
    return (vec){_mm256_blend_ps(s.a, d.a, 0xf0), _mm256_blend_ps(s.b, d.b, 0xf0)};
}
PRIMITIVE vec butterfly8(vec v)
{
    return (vec){_mm256_add_ps(v.a, v.b), _mm256_sub_ps(v.a, v.b)};
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

PRIMITIVE __m256i halves8(__m256 v)
{
    return _mm256_cvtepu16_epi32(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
PRIMITIVE ivec halves(vec v) /* dist_half_from_float */
{
    return iselect_nan(v, iall(DIST_HALF_NAN), (ivec){halves8(v.a), halves8(v.b)});
}
PRIMITIVE vec from_halves(ivec codes)
{
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(codes.a, codes.b), 0xd8);
    return (vec){_mm256_cvtph_ps(_mm256_castsi256_si128(packed)),
                 _mm256_cvtph_ps(_mm256_extracti128_si256(packed, 1))};
}

static void settle(void)
{
    _mm_sfence();
}
#define SETTLE settle

#include "codec/vector.h"

const dist_codec_table *const dist_codec_avx2 = &table;

#else

const dist_codec_table *const dist_codec_avx2 = NULL;

#endif
