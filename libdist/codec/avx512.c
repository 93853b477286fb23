#include "codec/tables.h"

#include <stddef.h>

#if defined(__x86_64__)

#include <immintrin.h>

/* Without optimization GCC's intrinsics are macros, and convert masks in sight of the warning. */
#pragma GCC diagnostic ignored "-Wsign-conversion"

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
PRIMITIVE void store_past(float *to, vec v)
{
    _mm512_stream_ps(to, v);
}
PRIMITIVE vec all(float value)
{
    return _mm512_set1_ps(value);
}
PRIMITIVE ivec bits_of(vec v)
{
    return _mm512_castps_si512(v);
}
PRIMITIVE vec of_bits(ivec v)
{
    return _mm512_castsi512_ps(v);
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
PRIMITIVE vec smaller(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
PRIMITIVE vec larger(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
PRIMITIVE vec clamp(vec v, float most)
{
    return larger(smaller(v, all(most)), all(-most));
}
PRIMITIVE vec lower(vec v) /* floor */
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
PRIMITIVE ivec rounded(vec v)
{
    return _mm512_cvtps_epi32(v);
}
PRIMITIVE vec converted(ivec v)
{
    return _mm512_cvtepi32_ps(v);
}
PRIMITIVE bool any_above(vec v, float limit)
{
    return _mm512_cmp_ps_mask(v, all(limit), _CMP_GT_OQ) != 0;
}
PRIMITIVE vec select_less(vec a, vec b, vec yes, vec no)
{
    return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), yes);
}

PRIMITIVE ivec iall(int value)
{
    return _mm512_set1_epi32(value);
}
PRIMITIVE ivec load_ints(const uint32_t *from)
{
    return _mm512_loadu_si512(from);
}
PRIMITIVE void store_ints(uint32_t *to, ivec v)
{
    _mm512_storeu_si512(to, v);
}
PRIMITIVE ivec iadd(ivec a, ivec b)
{
    return _mm512_add_epi32(a, b);
}
PRIMITIVE ivec isub(ivec a, ivec b)
{
    return _mm512_sub_epi32(a, b);
}
PRIMITIVE ivec iand(ivec a, ivec b)
{
    return _mm512_and_si512(a, b);
}
PRIMITIVE ivec ior(ivec a, ivec b)
{
    return _mm512_or_si512(a, b);
}
PRIMITIVE ivec shift_right(ivec v, int bits)
{
    return _mm512_srl_epi32(v, _mm_cvtsi32_si128(bits));
}
PRIMITIVE ivec shift_left(ivec v, int bits)
{
    return _mm512_sll_epi32(v, _mm_cvtsi32_si128(bits));
}
PRIMITIVE ivec imost(ivec a, ivec b)
{
    return _mm512_max_epi32(a, b);
}
PRIMITIVE ivec iclamp(ivec v, int most)
{
    return _mm512_max_epi32(_mm512_min_epi32(v, iall(most)), iall(-most));
}
PRIMITIVE ivec iselect_less(vec a, vec b, ivec yes, ivec no)
{
    return _mm512_mask_mov_epi32(no, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), yes);
}
PRIMITIVE ivec iselect_below(ivec v, uint32_t limit, ivec yes, ivec no)
{
    return _mm512_mask_mov_epi32(no, _mm512_cmplt_epi32_mask(v, iall((int)limit)), yes);
}
PRIMITIVE ivec iselect_nan(vec test, ivec yes, ivec no)
{
    return _mm512_mask_mov_epi32(no, _mm512_cmp_ps_mask(test, test, _CMP_UNORD_Q), yes);
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
    return (uint32_t)_mm512_reduce_max_epi32(v);
}
PRIMITIVE __mmask16 finite_lanes(vec v)
{
    return _mm512_cmplt_epi32_mask(magnitude(v), iall(DIST_INFINITY_BITS));
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
    return of_bits(iselect_nan(s, iall(DIST_NAN_BITS), bits_of(s)));
}
PRIMITIVE vec table16(const float *values, ivec index)
{
    return _mm512_permutexvar_ps(index, load(values));
}
PRIMITIVE vec flipped(vec v, unsigned signs)
{
    return of_bits(_mm512_mask_xor_epi32(bits_of(v), (__mmask16)signs, bits_of(v), iall(INT32_MIN)));
}
/* (a, b) -> (a + b, a - b) of elements that are 1, 2, 4 or 8 apart. */
PRIMITIVE vec butterfly(vec v, vec other, __mmask16 upper)
{
    return _mm512_mask_sub_ps(add(v, other), upper, other, v);
}
PRIMITIVE vec butterfly1(vec v)
{
    return butterfly(v, _mm512_permute_ps(v, 0xb1), 0xaaaa);
}
PRIMITIVE vec butterfly2(vec v)
{
    return butterfly(v, _mm512_permute_ps(v, 0x4e), 0xcccc);
}
PRIMITIVE vec butterfly4(vec v)
{
    return butterfly(v, _mm512_shuffle_f32x4(v, v, 0xb1), 0xf0f0);
}
PRIMITIVE vec butterfly8(vec v)
{
    return butterfly(v, _mm512_shuffle_f32x4(v, v, 0x4e), 0xff00);
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

PRIMITIVE ivec halves(vec v) /* dist_half_from_float */
{
    const ivec codes =
        _mm512_cvtepu16_epi32(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    return iselect_nan(v, iall(DIST_HALF_NAN), codes);
}
PRIMITIVE vec from_halves(ivec codes)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(codes));
}

static void settle(void)
{
    _mm_sfence();
}
#define SETTLE settle

#include "codec/vector.h"

const dist_codec_table *const dist_codec_avx512 = &table;

#else

const dist_codec_table *const dist_codec_avx512 = NULL;

#endif
