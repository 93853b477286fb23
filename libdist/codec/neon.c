/* tests/unit/test_codec_simd.c holds this to the scalar code; built by a cross compiler it runs under qemu-aarch64. */
#include "codec/tables.h"

#include <stddef.h>

#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/quantize.h"

#define VECTOR
#define PRIMITIVE static inline

typedef struct vec {
    float32x4_t q[4];
} vec;
typedef struct ivec {
    int32x4_t q[4];
} ivec;

/* All four quarters of a result. */
#define EACH(type, expression)                                                                               \
    do {                                                                                                     \
        type result;                                                                                         \
        for (int k = 0; k < 4; k++)                                                                          \
            result.q[k] = (expression);                                                                      \
        return result;                                                                                       \
    } while (0)

PRIMITIVE vec load(const float *from)
{
    EACH(vec, vld1q_f32(from + 4 * k));
}
PRIMITIVE void store(float *to, vec v)
{
    for (int k = 0; k < 4; k++)
        vst1q_f32(to + 4 * k, v.q[k]);
}
PRIMITIVE void store_past(float *to, vec v)
{
    store(to, v);
}
PRIMITIVE vec all(float value)
{
    EACH(vec, vdupq_n_f32(value));
}
PRIMITIVE ivec bits_of(vec v)
{
    EACH(ivec, vreinterpretq_s32_f32(v.q[k]));
}
PRIMITIVE vec of_bits(ivec v)
{
    EACH(vec, vreinterpretq_f32_s32(v.q[k]));
}
PRIMITIVE vec add(vec x, vec y)
{
    EACH(vec, vaddq_f32(x.q[k], y.q[k]));
}
PRIMITIVE vec subtract(vec x, vec y)
{
    EACH(vec, vsubq_f32(x.q[k], y.q[k]));
}
PRIMITIVE vec multiply(vec x, vec y)
{
    EACH(vec, vmulq_f32(x.q[k], y.q[k]));
}
PRIMITIVE vec divide(vec x, vec y)
{
    EACH(vec, vdivq_f32(x.q[k], y.q[k]));
}
PRIMITIVE vec smaller(vec x, vec y)
{
    EACH(vec, vminq_f32(x.q[k], y.q[k]));
}
PRIMITIVE vec larger(vec x, vec y)
{
    EACH(vec, vmaxq_f32(x.q[k], y.q[k]));
}
PRIMITIVE vec clamp(vec v, float most)
{
    return larger(smaller(v, all(most)), all(-most));
}
PRIMITIVE vec lower(vec v) /* floor */
{
    EACH(vec, vrndmq_f32(v.q[k]));
}
PRIMITIVE ivec rounded(vec v)
{
    EACH(ivec, vcvtnq_s32_f32(v.q[k]));
}
PRIMITIVE vec converted(ivec v)
{
    EACH(vec, vcvtq_f32_s32(v.q[k]));
}
PRIMITIVE bool any_above(vec v, float limit)
{
    uint32x4_t any = vdupq_n_u32(0);
    for (int k = 0; k < 4; k++)
        any = vorrq_u32(any, vcgtq_f32(v.q[k], vdupq_n_f32(limit)));
    return vmaxvq_u32(any) != 0;
}
PRIMITIVE vec select_less(vec x, vec y, vec yes, vec no)
{
    EACH(vec, vbslq_f32(vcltq_f32(x.q[k], y.q[k]), yes.q[k], no.q[k]));
}

PRIMITIVE ivec iall(int value)
{
    EACH(ivec, vdupq_n_s32(value));
}
PRIMITIVE ivec load_ints(const uint32_t *from)
{
    EACH(ivec, vreinterpretq_s32_u32(vld1q_u32(from + 4 * k)));
}
PRIMITIVE void store_ints(uint32_t *to, ivec v)
{
    for (int k = 0; k < 4; k++)
        vst1q_u32(to + 4 * k, vreinterpretq_u32_s32(v.q[k]));
}
PRIMITIVE ivec iadd(ivec x, ivec y)
{
    EACH(ivec, vaddq_s32(x.q[k], y.q[k]));
}
PRIMITIVE ivec isub(ivec x, ivec y)
{
    EACH(ivec, vsubq_s32(x.q[k], y.q[k]));
}
PRIMITIVE ivec iand(ivec x, ivec y)
{
    EACH(ivec, vandq_s32(x.q[k], y.q[k]));
}
PRIMITIVE ivec ior(ivec x, ivec y)
{
    EACH(ivec, vorrq_s32(x.q[k], y.q[k]));
}
PRIMITIVE ivec imost(ivec x, ivec y)
{
    EACH(ivec, vmaxq_s32(x.q[k], y.q[k]));
}
PRIMITIVE ivec shift_right(ivec v, int bits)
{
    EACH(ivec, vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v.q[k]), vdupq_n_s32(-bits))));
}
PRIMITIVE ivec shift_left(ivec v, int bits)
{
    EACH(ivec, vshlq_s32(v.q[k], vdupq_n_s32(bits)));
}
PRIMITIVE ivec iclamp(ivec v, int most)
{
    EACH(ivec, vmaxq_s32(vminq_s32(v.q[k], vdupq_n_s32(most)), vdupq_n_s32(-most)));
}
PRIMITIVE ivec iselect_less(vec x, vec y, ivec yes, ivec no)
{
    EACH(ivec, vbslq_s32(vcltq_f32(x.q[k], y.q[k]), yes.q[k], no.q[k]));
}
PRIMITIVE ivec iselect_below(ivec v, uint32_t limit, ivec yes, ivec no)
{
    EACH(ivec, vbslq_s32(vcltq_s32(v.q[k], vdupq_n_s32((int)limit)), yes.q[k], no.q[k]));
}
PRIMITIVE ivec iselect_nan(vec test, ivec yes, ivec no)
{
    EACH(ivec, vbslq_s32(vceqq_f32(test.q[k], test.q[k]), no.q[k], yes.q[k]));
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
    return (uint32_t)vmaxvq_s32(vmaxq_s32(vmaxq_s32(v.q[0], v.q[1]), vmaxq_s32(v.q[2], v.q[3])));
}
PRIMITIVE uint32x4_t finite4(float32x4_t v)
{
    const int32x4_t size = vandq_s32(vreinterpretq_s32_f32(v), vdupq_n_s32(0x7fffffff));
    return vcltq_s32(size, vdupq_n_s32(DIST_INFINITY_BITS));
}
PRIMITIVE vec where_finite(vec test, vec yes, vec no)
{
    EACH(vec, vbslq_f32(finite4(test.q[k]), yes.q[k], no.q[k]));
}
PRIMITIVE unsigned nonfinites(vec v)
{
    uint32x4_t finite = vdupq_n_u32(0);
    for (int k = 0; k < 4; k++)
        finite = vsubq_u32(finite, finite4(v.q[k]));
    return 16u - vaddvq_u32(finite);
}
PRIMITIVE vec sum(vec x, vec y) /* dist_sum */
{
    const vec s = add(x, y);
    return of_bits(iselect_nan(s, iall(DIST_NAN_BITS), bits_of(s)));
}
/* Each element's four bytes, looked up among the 64 of the table. */
PRIMITIVE int32x4_t table4(const float *values, int32x4_t index)
{
    const uint8x16x4_t bytes = vld1q_u8_x4((const uint8_t *)values);
    const uint32x4_t at = vmlaq_n_u32(vdupq_n_u32(0x03020100u), vreinterpretq_u32_s32(index), 0x04040404u);
    return vreinterpretq_s32_u8(vqtbl4q_u8(bytes, vreinterpretq_u8_u32(at)));
}
PRIMITIVE vec table16(const float *values, ivec index)
{
    EACH(vec, vreinterpretq_f32_s32(table4(values, index.q[k])));
}
PRIMITIVE int32x4_t flip4(unsigned signs)
{
    static const int32_t up[4] = {31, 30, 29, 28};
    return vandq_s32(vshlq_s32(vdupq_n_s32((int)signs), vld1q_s32(up)), vdupq_n_s32(INT32_MIN));
}
PRIMITIVE vec flipped(vec v, unsigned signs)
{
    EACH(vec, vreinterpretq_f32_s32(veorq_s32(vreinterpretq_s32_f32(v.q[k]), flip4(signs >> 4 * k))));
}
/* (a, b) -> (a + b, a - b) of elements that are 1, 2, 4 or 8 apart. */
PRIMITIVE float32x4_t butterfly_by(float32x4_t v, float32x4_t other, const uint32_t *upper)
{
    return vbslq_f32(vld1q_u32(upper), vsubq_f32(other, v), vaddq_f32(v, other));
}
PRIMITIVE vec butterfly1(vec v)
{
    static const uint32_t upper[4] = {0, ~0u, 0, ~0u};
    EACH(vec, butterfly_by(v.q[k], vrev64q_f32(v.q[k]), upper));
}
PRIMITIVE vec butterfly2(vec v)
{
    static const uint32_t upper[4] = {0, 0, ~0u, ~0u};
    EACH(vec, butterfly_by(v.q[k], vextq_f32(v.q[k], v.q[k], 2), upper));
}
PRIMITIVE vec butterfly4(vec v)
{
    EACH(vec, k % 2 ? vsubq_f32(v.q[k - 1], v.q[k]) : vaddq_f32(v.q[k], v.q[k + 1]));
}
PRIMITIVE vec butterfly8(vec v)
{
    EACH(vec, k / 2 ? vsubq_f32(v.q[k - 2], v.q[k]) : vaddq_f32(v.q[k], v.q[k + 2]));
}

PRIMITIVE void store_words(uint8_t *to, vec v)
{
    for (int k = 0; k < 4; k++)
        vst1q_u8(to + 16 * k, vreinterpretq_u8_f32(v.q[k]));
}
PRIMITIVE vec load_words(const uint8_t *from)
{
    EACH(vec, vreinterpretq_f32_u8(vld1q_u8(from + 16 * k)));
}
PRIMITIVE int8x16_t bytes_of(ivec q) /* saturating */
{
    const int16x8_t low = vcombine_s16(vqmovn_s32(q.q[0]), vqmovn_s32(q.q[1]));
    const int16x8_t high = vcombine_s16(vqmovn_s32(q.q[2]), vqmovn_s32(q.q[3]));
    return vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
}
PRIMITIVE ivec of_bytes(int8x16_t bytes)
{
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
    return (ivec){{vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)), vmovl_s16(vget_low_s16(high)),
                   vmovl_s16(vget_high_s16(high))}};
}
PRIMITIVE void store_bytes(uint8_t *to, ivec q)
{
    vst1q_u8(to, vreinterpretq_u8_s8(bytes_of(q)));
}
PRIMITIVE ivec load_bytes(const uint8_t *from)
{
    return of_bytes(vreinterpretq_s8_u8(vld1q_u8(from)));
}
PRIMITIVE void store_nibbles(uint8_t *to, ivec q)
{
    const uint8x16_t nibbles = vandq_u8(vreinterpretq_u8_s8(bytes_of(q)), vdupq_n_u8(15));
    const uint8x8_t even = vget_low_u8(vuzp1q_u8(nibbles, nibbles)),
                    odd = vget_low_u8(vuzp2q_u8(nibbles, nibbles));
    vst1_u8(to, vorr_u8(even, vshl_n_u8(odd, 4)));
}
PRIMITIVE ivec load_nibbles(const uint8_t *from)
{
    const uint8x8_t bytes = vld1_u8(from);
    const uint8x8x2_t pairs = vzip_u8(vand_u8(bytes, vdup_n_u8(15)), vshr_n_u8(bytes, 4));
    const uint8x16_t nibbles = veorq_u8(vcombine_u8(pairs.val[0], pairs.val[1]), vdupq_n_u8(8));
    return of_bytes(vsubq_s8(vreinterpretq_s8_u8(nibbles), vdupq_n_s8(8)));
}

PRIMITIVE int32x4_t bfloats4(float32x4_t v) /* dist_bfloat_from_float, in the low halves */
{
    const uint32x4_t bits = vreinterpretq_u32_f32(v);
    const uint32x4_t even = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t up = vshrq_n_u32(vaddq_u32(bits, vaddq_u32(even, vdupq_n_u32(0x7fff))), 16);
    return vreinterpretq_s32_u32(vbslq_u32(vceqq_f32(v, v), up, vdupq_n_u32(DIST_BFLOAT_NAN)));
}
PRIMITIVE ivec bfloats(vec v)
{
    EACH(ivec, bfloats4(v.q[k]));
}
PRIMITIVE vec from_bfloats(ivec codes)
{
    EACH(vec, vreinterpretq_f32_s32(vshlq_n_s32(codes.q[k], 16)));
}
PRIMITIVE void store_shorts(uint8_t *to, ivec v)
{
    for (int k = 0; k < 4; k++)
        vst1_u8(to + 8 * k, vreinterpret_u8_u16(vmovn_u32(vreinterpretq_u32_s32(v.q[k]))));
}
PRIMITIVE ivec load_shorts(const uint8_t *from)
{
    EACH(ivec, vreinterpretq_s32_u32(vmovl_u16(vreinterpret_u16_u8(vld1_u8(from + 8 * k)))));
}
PRIMITIVE int32x4_t halves4(float32x4_t v) /* dist_half_from_float */
{
    const uint32x4_t codes = vmovl_u16(vreinterpret_u16_f16(vcvt_f16_f32(v)));
    return vreinterpretq_s32_u32(vbslq_u32(vceqq_f32(v, v), codes, vdupq_n_u32(DIST_HALF_NAN)));
}
PRIMITIVE ivec halves(vec v)
{
    EACH(ivec, halves4(v.q[k]));
}
PRIMITIVE vec from_halves(ivec codes)
{
    EACH(vec, vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(vreinterpretq_u32_s32(codes.q[k])))));
}

#define SETTLE NULL

#include "codec/vector.h"

const dist_codec_table *const dist_codec_neon = &table;

#else

const dist_codec_table *const dist_codec_neon = NULL;

#endif
