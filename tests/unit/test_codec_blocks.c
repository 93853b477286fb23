/* The bytes of the block codecs against the definition in <libdist/codec.h>, written once more and plainly. */
#include "codec_frames.h"

#include <math.h>

#include "kernels/half.h"

/* One rounding a step, whatever the compiler would like to fuse. */
static float rounded(float value)
{
    volatile float once = value;
    return once;
}

static bool is_finite(float value)
{
    return (bits_of(value) & 0x7f800000u) != 0x7f800000u;
}

/* A float of 1 sign, `exponent` and `fraction` bits, by the definition. */
static double small_float(unsigned code, int exponent, int fraction, int bias)
{
    const int e = (int)(code >> fraction) & ((1 << exponent) - 1);
    const double m = (double)(code & ((1u << fraction) - 1)) / (1 << fraction);
    const double magnitude = e ? ldexp(1 + m, e - bias) : ldexp(m, 1 - bias);
    return code >> (exponent + fraction) ? -magnitude : magnitude;
}

static double e4m3(unsigned code)
{
    return small_float(code, 4, 3, 7);
}

static double e2m1(unsigned code)
{
    return small_float(code, 2, 1, 1);
}

/* The code of the nearest number, the even code on a tie, the largest beyond it; the sign is that of v. */
static unsigned nearest(double (*value)(unsigned code), unsigned largest, float v)
{
    const double magnitude = fabs((double)v);
    unsigned best = 0;
    for (unsigned code = 1; code <= largest; code++) {
        const double here = fabs(value(code) - magnitude), there = fabs(value(best) - magnitude);
        if (here < there || (here == there && code % 2 == 0))
            best = code;
    }
    return best | (bits_of(v) >> 31 ? largest == 7 ? 8u : 0x80u : 0u);
}

static unsigned nearest_integer(float v, int qmax)
{
    if (v >= (float)qmax)
        return (unsigned)qmax;
    if (v <= (float)-qmax)
        return (unsigned)-qmax;
    int q = (int)v; /* toward zero */
    const double rest = (double)v - q, size = fabs(rest);
    if (size > 0.5 || (size == 0.5 && q % 2 != 0))
        q += rest < 0 ? -1 : 1;
    return (unsigned)q;
}

/* As the page says, of int8, int4, mxfp8, mxfp4 and nvfp4. */
typedef struct format {
    const dist_codec *codec;
    float global;
} format;

static unsigned scale_bytes(dist_codec_kind kind)
{
    return kind == DIST_CODEC_INT8 ? 4 : kind == DIST_CODEC_INT4 ? 2 : 1;
}

static float peak_of(const float *h, uint64_t n)
{
    float peak = 0;
    for (uint64_t i = 0; i < n; i++)
        peak = fabsf(h[i]) > peak && is_finite(h[i]) ? fabsf(h[i]) : peak;
    return peak;
}

static bool all_finite(const float *h, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (!is_finite(h[i]))
            return false;
    return true;
}

/* The least 2^x that is not below `least`, and x + 127. */
static float power_above(float least, uint32_t most, uint32_t *stored)
{
    int x = -127;
    while (ldexp(1, x) < (double)least && (uint32_t)(x + 127) < most)
        x++;
    *stored = (uint32_t)(x + 127);
    return (float)ldexp(1, x);
}

static float scale_of(const format *f, const float *h, uint64_t n, uint32_t *stored)
{
    const float peak = peak_of(h, n), nan = float_of(0x7fc00000);
    const bool finite = all_finite(h, n);
    float scale;
    switch (f->codec->kind) {
    case DIST_CODEC_INT8:
        scale = finite ? rounded(peak * (1.0f / 127.0f)) : nan;
        *stored = bits_of(scale);
        return scale;
    case DIST_CODEC_INT4:
        scale = rounded(peak * (1.0f / 7.0f));
        *stored = finite ? scale >= 65504.0f ? 0x7bffu : dist_half_from_float(scale) : 0x7e00u;
        return dist_half_to_float((uint16_t)*stored);
    case DIST_CODEC_MXFP8:
        scale = power_above(rounded(peak * (1.0f / 448.0f)), 246, stored);
        break;
    case DIST_CODEC_MXFP4:
        scale = power_above(rounded(peak * (1.0f / 6.0f)), 252, stored);
        break;
    default:
        *stored = f->global > 0 ? nearest(e4m3, 0x7e, rounded(rounded(peak * (1.0f / 6.0f)) / f->global)) : 0;
        scale = rounded((float)e4m3(*stored) * f->global);
    }
    if (!finite)
        *stored = f->codec->kind == DIST_CODEC_NVFP4 ? 0x7f : 0xff;
    return finite ? scale : nan;
}

static unsigned code_of(const format *f, float h, float scale)
{
    const float v = scale != 0 ? rounded(h / scale) : 0;
    switch (f->codec->kind) {
    case DIST_CODEC_INT8:
        return nearest_integer(v, 127) & 0xff;
    case DIST_CODEC_INT4:
        return nearest_integer(v, 7) & 0xf;
    case DIST_CODEC_MXFP8:
        return nearest(e4m3, 0x7e, v);
    default:
        return nearest(e2m1, 7, v);
    }
}

static float value_of(const format *f, unsigned code)
{
    switch (f->codec->kind) {
    case DIST_CODEC_INT8:
        return (float)(code < 128 ? (int)code : (int)code - 256);
    case DIST_CODEC_INT4:
        return (float)(code < 8 ? (int)code : (int)code - 16);
    case DIST_CODEC_MXFP8:
        return (float)e4m3(code);
    default:
        return (float)e2m1(code);
    }
}

static bool has_nibbles(const format *f)
{
    return f->codec->kind != DIST_CODEC_INT8 && f->codec->kind != DIST_CODEC_MXFP8;
}

/* One block of a frame, what it decodes to, and what is kept of it. */
static void check_block(const format *f, const float *h, uint64_t n, const uint8_t *stored,
                        const uint8_t *codes, const float *decoded, const float *before, const float *after)
{
    uint32_t pattern = 0, found = 0;
    const float scale = scale_of(f, h, n, &pattern);
    memcpy(&found, stored, scale_bytes(f->codec->kind));
    assert_int_equal(found, pattern);
    for (uint64_t i = 0; i < n; i++) {
        const unsigned code = is_finite(scale) ? code_of(f, h[i], scale) : 0;
        const float value = is_finite(scale) ? rounded(value_of(f, code) * scale) : float_of(0x7fc00000);
        assert_int_equal(has_nibbles(f) ? codes[i / 2] >> i % 2 * 4 & 15 : codes[i], code);
        assert_int_equal(bits_of(decoded[i]), bits_of(value));
        assert_int_equal(bits_of(after[i]), bits_of(is_finite(scale) ? rounded(h[i] - value) : before[i]));
    }
}

static void check_blocks(const char *text, uint64_t count, data kind)
{
    float *x = exactly(4 * count), *before = exactly(4 * count), *after = exactly(4 * count);
    float *h = exactly(4 * count), *decoded = exactly(4 * count);
    fill(x, count, kind, count);
    fill_feedback(before, count, kind, count);
    memcpy(after, before, 4 * count);
    for (uint64_t i = 0; i < count; i++)
        h[i] = rounded(x[i] + before[i]);
    const frame f = frame_of(text, DIST_FLOAT32, x, after, count, NULL);
    const dist_layout layout = dist_layout_of(dist_codec_coding(&f.codec, count), count);
    const int s = f.codec.kind == DIST_CODEC_NVFP4 ? 1 : 0;
    format as = {&f.codec, rounded(peak_of(h, count) * (1.0f / 2688.0f))};
    decoded_to(&f, decoded);
    uint64_t nonfinite = 0;
    if (s)
        assert_int_equal(word_of(f.at + 32), bits_of(as.global));
    for (uint64_t first = 0, b = 0; first < count; first += f.codec.block, b++) {
        const uint64_t n = count - first < f.codec.block ? count - first : f.codec.block;
        nonfinite += !all_finite(h + first, n);
        check_block(&as, h + first, n, f.at + layout.at[s] + b * scale_bytes(f.codec.kind),
                    f.at + layout.at[s + 1] + (has_nibbles(&as) ? first / 2 : first), decoded + first,
                    before + first, after + first);
    }
    assert_int_equal(f.nonfinite, nonfinite);
    assert_int_equal(f.at[6], nonfinite > 0);
    free(x), free(before), free(after), free(h), free(decoded), free(f.at);
}

static void blocks_follow_the_definition(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "int8:ef=fp32",  "int8:block=16:ef=fp32", "int8:block=4096:ef=fp32", "int4",
        "int4:block=16", "int4:block=4096",       "mxfp8:ef=fp32",           "mxfp4",
        "nvfp4",
    };
    for (unsigned c = 0; c < sizeof texts / sizeof *texts; c++)
        for (int kind = 0; kind < DATA_KINDS; kind++)
            for (unsigned n = 0; n < TEST_COUNTS; n++)
                if (test_counts[n] < 3000)
                    check_blocks(texts[c], test_counts[n], (data)kind);
}

/* What a second implementation has to write: payloads by hand. */
static void bytes_by_hand(void **state)
{
    (void)state;
    const float x[] = {7.0f, -7.0f, 1.0f, 0.5f, 1.5f, -0.5f, 2.5f};
    const uint8_t int4[] = {0x00, 0x3c, [16] = 0x97, 0x01, 0x02, 0x02};
    const float y[] = {127.0f, -127.0f, 1.0f, 0.5f, 1.5f, -0.5f, -2.5f};
    const uint8_t int8[] = {0x00, 0x00, 0x80, 0x3f, [16] = 0x7f, 0x81, 0x01, 0x00, 0x02, 0x00, 0xfe};
    const float z[] = {1.0f, -2.0f, 0x1.01p0f, 0x1.03p0f};
    const uint8_t bf16[] = {0x80, 0x3f, 0x00, 0xc0, 0x80, 0x3f, 0x82, 0x3f};
    const uint8_t fp16[] = {0x00, 0x3c, 0x00, 0xc0, 0x04, 0x3c, 0x0c, 0x3c};
    const float u[] = {448.0f, -1.0f, 0.0f, 0x1p-9f, -0x1p-10f, 17.0f};
    const uint8_t mxfp8[] = {0x7f, [16] = 0x7e, 0xb8, 0x00, 0x01, 0x80, 0x58};
    const float v[] = {12.0f, -1.0f, 2.5f, -0.0f, 100.0f};
    const uint8_t mxfp4[] = {0x84, [16] = 0x81, 0x80, 0x05};
    const float w[] = {2688.0f, -224.0f, 448.0f};
    const uint8_t nvfp4[] = {0x00, 0x00, 0x80, 0x3f, [16] = 0x7e, [32] = 0x97, 0x02};
    const float t[] = {1.0f, -8.0f, 3.0f, 4.0f, -4.0f};
    const uint8_t topk[] = {1, 0, 0, 0, 3, 0, 0, 0, [16] = 0, 0, 0, 0xc1, 0, 0, 0x80, 0x40};
    const float s[] = {0.0f, -2.0f, 1.0f};
    const uint8_t sparse[] = {0x00, 0x40, 0x00, 0x40, [16] = 1, 0, [32] = 3};
    const struct {
        const char *text;
        const float *values;
        uint64_t count, bytes;
        const uint8_t *payload;
    } rows[] = {
        {"int4", x, 7, sizeof int4, int4},           {"int8", y, 7, sizeof int8, int8},
        {"bf16", z, 4, sizeof bf16, bf16},           {"fp16", z, 4, sizeof fp16, fp16},
        {"mxfp8", u, 6, sizeof mxfp8, mxfp8},        {"mxfp4", v, 5, sizeof mxfp4, mxfp4},
        {"nvfp4", w, 3, sizeof nvfp4, nvfp4},        {"topk:density=0.4", t, 5, sizeof topk, topk},
        {"sparseloco", s, 3, sizeof sparse, sparse},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        const frame f = frame_of_floats(rows[r].text, rows[r].values, rows[r].count);
        assert_int_equal(f.bytes, 32 + rows[r].bytes);
        for (uint64_t i = 0; i < rows[r].bytes; i++)
            if (f.at[32 + i] != rows[r].payload[i])
                fail_msg("%s: byte %u of the payload is 0x%02x, not 0x%02x", rows[r].text, (unsigned)i,
                         f.at[32 + i], rows[r].payload[i]);
        free(f.at);
    }
}

/* -128 and -8 would decode to more than was put in. */
static void lowest_codes_are_never_written(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static float x[COUNT];
    static const char *const texts[] = {"int8", "int4", "int8:sr", "int4:sr"};
    for (int t = 0; t < 4; t++) {
        for (int kind = 0; kind < DATA_KINDS; kind++) {
            fill(x, COUNT, (data)kind, 8);
            for (int i = 0; i < COUNT; i++)
                x[i] = x[i] > 0 ? -x[i] : x[i];
            const frame f = frame_of_floats(texts[t], x, COUNT);
            const uint64_t codes = dist_layout_of(dist_codec_coding(&f.codec, COUNT), COUNT).at[1];
            for (uint64_t i = codes; i < f.bytes; i++)
                assert_true(t % 2 == 0 ? f.at[i] != 0x80 : (f.at[i] & 15) != 8 && f.at[i] >> 4 != 8);
            free(f.at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_follow_the_definition),
        cmocka_unit_test(bytes_by_hand),
        cmocka_unit_test(lowest_codes_are_never_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
