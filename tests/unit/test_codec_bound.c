/* The error bound that a frame states: it holds for every element, and it is not far from what is reached. */
#include "codec_frames.h"

#include <float.h>
#include <math.h>

enum { COUNT = 4099 };

typedef enum shape {
    SHAPE_DATA, /* those of codec_data.h come first */
    SHAPE_NORMAL = DATA_KINDS,
    SHAPE_HEAVY_TAIL, /* Student t with 2 degrees of freedom */
    SHAPE_MAGNITUDES, /* every exponent alike */
    SHAPE_LARGEST,    /* FLT_MAX of both signs, some of it less */
    SHAPE_TINY,       /* a few units of the least subnormal */
    SHAPE_ONE_OF_MANY,
    SHAPE_TIES_127, /* halfway between codes, and a few units beside */
    SHAPE_TIES_7,
    SHAPE_HALF_TINY, /* around the subnormals of float16 */
    SHAPE_RAMP,      /* just below and above powers of two */
    SHAPES
} shape;

static float normal(stream *draw)
{
    const double u = ((double)draw_bits(draw) + 0.5) * 0x1p-32,
                 angle = (double)draw_bits(draw) * 0x1p-31 * 3.14159265358979;
    return (float)(sqrt(-2 * log(u)) * cos(angle));
}

static float beside(stream *draw, float value)
{
    return float_of(bits_of(value) + draw_bits(draw) % 9 - 4);
}

static float shaped(stream *draw, shape kind, uint64_t i)
{
    const uint32_t bits = draw_bits(draw), sign = bits & 0x80000000u;
    switch (kind) {
    case SHAPE_NORMAL:
        return normal(draw);
    case SHAPE_HEAVY_TAIL: {
        const float a = normal(draw), b = normal(draw);
        return normal(draw) / sqrtf((a * a + b * b) / 2);
    }
    case SHAPE_MAGNITUDES:
        return float_of(sign | draw_bits(draw) % 0x7f800000u);
    case SHAPE_LARGEST:
        return bits % 7 ? float_of(sign | 0x7f7fffffu) : draw_unit(draw) * FLT_MAX;
    case SHAPE_TINY:
        return float_of(sign | (i / 16 % 2 ? draw_bits(draw) % 1400 : draw_bits(draw) % 4100));
    case SHAPE_ONE_OF_MANY:
        return i % 1024 == 77 ? 1.0f : 0.0f;
    case SHAPE_TIES_127:
        return i % 16 == 0 ? 127.0f : beside(draw, (float)(int)(bits % 127) + 0.5f) * (sign ? -1.0f : 1.0f);
    case SHAPE_TIES_7:
        return i % 16 == 0 ? 7.0f : beside(draw, (float)(int)(bits % 7) + 0.5f) * (sign ? -1.0f : 1.0f);
    case SHAPE_HALF_TINY:
        return draw_unit(draw) * ldexpf(1, (int)(i / 32 % 12) - 26);
    default:
        return beside(draw, ldexpf(1, (int)(bits % 5))) * (sign ? -1.0f : 1.0f);
    }
}

static void fill_shape(float *x, uint64_t count, shape kind, uint64_t seed)
{
    stream draw = {seed * 31 + (uint64_t)kind};
    if (kind < SHAPE_NORMAL) {
        fill(x, count, (data)kind, seed);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        x[i] = shaped(&draw, kind, i);
}

/* The largest error of a finite element as a part of the bound; -1 where there is no bound. */
static double part_of_bound(const char *text, const float *x, uint64_t count, const char *what)
{
    static float decoded[COUNT];
    const frame f = frame_of_floats(text, x, count);
    double bound = -1, worst = 0;
    assert_int_equal(dist_codec_error_bound(&f.codec, f.at, f.bytes, count, &bound), DIST_OK);
    assert_true(bound >= 0);
    decoded_to(&f, decoded);
    free(f.at);
    if (bound == HUGE_VAL)
        return -1;
    for (uint64_t i = 0; i < count; i++) {
        if (!isfinite(decoded[i]) || !isfinite(x[i]))
            continue;
        const double error = fabs((double)decoded[i] - (double)x[i]);
        worst = error > worst ? error : worst;
        if (error > bound)
            fail_msg("%s, %s of %u: %a is sent as %a: the error is %.9g of the bound, %a", text, what,
                     (unsigned)count, (double)x[i], (double)decoded[i], error / bound, bound);
    }
    return bound > 0 ? worst / bound : 0;
}

/* Over all shapes, the part of its bound that a codec comes to at most. */
static double closest_of(const char *text)
{
    static float x[COUNT];
    static const uint64_t counts[] = {1, 2, 3, 16, 33, 100, 1000, 1025, COUNT};
    double closest = 0;
    for (int kind = 0; kind < SHAPES; kind++) {
        for (unsigned n = 0; n < sizeof counts / sizeof *counts; n++) {
            for (uint64_t seed = 0; seed < (counts[n] < 50 ? 20 : 3); seed++) {
                char what[16];
                snprintf(what, sizeof what, "shape %d", kind);
                fill_shape(x, counts[n], (shape)kind, 100 * counts[n] + seed);
                const double part = part_of_bound(text, x, counts[n], what);
                closest = part > closest ? part : closest;
            }
        }
    }
    return closest;
}

/* The bound of a rotation is one on the length of a block's error, which its elements share. */
static void bounds_hold_and_are_near(void **state)
{
    (void)state;
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        const double closest = closest_of(test_codecs[c]);
        const bool exact = !strncmp(test_codecs[c], "none", 4) || !strcmp(test_codecs[c], "topk:density=1");
        const double least = exact ? 0 : strstr(test_codecs[c], "hadamard") ? 0.05 : 0.9;
        if (closest < least || (exact && closest > 0))
            fail_msg("%s comes to %.3f of its bound", test_codecs[c], closest);
    }
}

/* Halfway between the two largest codes, where a quotient of 126.5 and its product are rounded the most: beyond half a
 * scale, and within the bound. */
static void ties_of_large_codes(void **state)
{
    (void)state;
    stream draw = {3};
    unsigned beyond = 0;
    for (int round = 0; round < 4000; round++) {
        float x[16];
        x[0] = 1.5f + draw_unit(&draw) * 0.5f;
        for (int i = 1; i < 16; i++)
            x[i] = beside(&draw, x[0] / 127.0f * (126.5f - (float)(i % 3)));
        beyond += part_of_bound("int8", x, 16, "ties") > 1 / (1 + 0x1p-15);
        part_of_bound("int8:sr", x, 16, "ties");
        part_of_bound("int4", x, 16, "ties");
    }
    assert_true(beyond > 0);
}

/* The page's formulas, for one block each. */
static void bounds_follow_from_scales(void **state)
{
    (void)state;
    const struct row {
        const char *text;
        float peak;
        double bound;
    } rows[] = {
        {"none", 127.0f, 0},         {"bf16", 127.0f, 0.25},  {"bf16:sr", 127.0f, 0.5},
        {"fp16", 127.0f, 0x1p-5},    {"int8", 127.0f, 0.5},   {"int8:sr", 127.0f, 1},
        {"int4", 7.0f, 0.5},         {"int4:sr", 7.0f, 1},    {"mxfp8", 448.0f, 16},
        {"mxfp4", 6.0f, 1},          {"nvfp4", 2688.0f, 448}, {"topk:density=0.5", 9.0f, 9},
        {"topk:density=1", 9.0f, 0}, {"sparseloco", 9.0f, 9},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        const float x[2] = {rows[r].peak, 0};
        double bound = -1;
        const frame f = frame_of_floats(rows[r].text, x, 2);
        assert_int_equal(dist_codec_error_bound(&f.codec, f.at, f.bytes, 2, &bound), DIST_OK);
        if (bound < rows[r].bound || bound > rows[r].bound * 1.001)
            fail_msg("%s: %.9g, not %.9g", rows[r].text, bound, rows[r].bound);
        free(f.at);
    }
}

/* A scale that could not grow any more says nothing of what it was for. */
static void saturated_scales_have_none(void **state)
{
    (void)state;
    const struct row {
        const char *text;
        float peak;
        bool none;
    } rows[] = {
        {"int4", 1e6f, true},
        {"int4", 7 * 65000.0f, false},
        {"mxfp8", FLT_MAX, true},
        {"mxfp8", 0x1p126f, false},
        {"mxfp4", FLT_MAX, true},
        {"mxfp4", 0x1p126f, false},
        {"sparseloco", 1e6f, true},
        {"sparseloco", 65000.0f, false},
        {"int8", FLT_MAX, false},
        {"nvfp4", FLT_MAX, false},
        {"topk:density=0.5", FLT_MAX, false},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        double bound = -1;
        const frame f = frame_of_floats(rows[r].text, &rows[r].peak, 1);
        assert_int_equal(dist_codec_error_bound(&f.codec, f.at, f.bytes, 1, &bound), DIST_OK);
        assert_int_equal(bound == HUGE_VAL, rows[r].none);
        free(f.at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_hold_and_are_near),
        cmocka_unit_test(ties_of_large_codes),
        cmocka_unit_test(bounds_follow_from_scales),
        cmocka_unit_test(saturated_scales_have_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
