/* What the bytes of a payload may be: every form that the format forbids is refused though its checksum is right. */
#include "codec_frames.h"

/* A frame of `count` ones, twos and so on, of which blocks of 16 are: finite, zeros, finite, NaN, finite ... */
static frame frame_of_parts(const char *text, uint64_t count)
{
    float x[200];
    for (uint64_t i = 0; i < count; i++)
        x[i] = i / 16 % 4 == 1 ? 0.0f : i / 16 % 4 == 3 ? float_of(0x7fc00000) : (float)(i % 16) - 7.5f;
    return frame_of_floats(text, x, count);
}

typedef struct change {
    const char *text;
    uint64_t count;
    unsigned at, length;
    uint32_t value; /* little endian */
    const char *says;
} change;

static void put(uint8_t *at, unsigned length, uint32_t value)
{
    for (unsigned i = 0; i < length; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void refuses_changes(const change *changes, unsigned n)
{
    for (unsigned c = 0; c < n; c++) {
        const frame f = frame_of_parts(changes[c].text, changes[c].count);
        assert_int_equal(dist_codec_check(&f.codec, f.at, f.bytes, f.count), DIST_OK);
        put(f.at + changes[c].at, changes[c].length, changes[c].value);
        seal(f.at, f.bytes);
        refuses(&f.codec, f.at, f.bytes, f.count, changes[c].says);
        free(f.at);
    }
}

#define SCALE      "a scale that no encoder writes"
#define SILENT     "a block with scale 0 or NaN has codes"
#define FLAG       "but its flags say otherwise"
#define NOT_RISING "indices do not rise"
#define UNUSED     "the unused bits of a chunk are not 0"

/* 72 elements are 5 blocks of 16: scales at 32, codes from the next multiple of 16 on. */
static void block_codecs(void **state)
{
    (void)state;
    static const change changes[] = {
        {"int8:block=16", 72, 64, 1, 0x80, "a code is -128"},
        {"int8:block=16", 72, 64 + 71, 1, 0x80, "a code is -128, near element 0"},
        {"int8:block=16", 72, 32, 4, 0x80000000, SCALE ", near element 0"},
        {"int8:block=16", 72, 40, 4, 0xbf800000, SCALE ", near element 32"},
        {"int8:block=16", 72, 32, 4, 0x7f800000, SCALE},
        {"int8:block=16", 72, 32, 4, 0xff800000, SCALE},
        {"int8:block=16", 72, 44, 4, 0xffc00000, SCALE ", near element 48"},
        {"int8:block=16", 72, 44, 4, 0x7fc00001, SCALE},
        {"int8:block=16", 72, 44, 4, 0x7f800001, SCALE},
        {"int8:block=16", 72, 32, 4, 0x7c010204, SCALE},
        {"int8:block=16", 72, 32, 4, 0, SILENT ", near element 0"},
        {"int8:block=16", 72, 32, 4, 0x7fc00000, SILENT},
        {"int8:block=16", 72, 64 + 16, 1, 1, SILENT ", near element 16"},
        {"int8:block=16", 72, 64 + 63, 1, 0xff, SILENT ", near element 48"},
        {"int8:block=16", 72, 44, 4, 0, "the frame has not a block that is not finite, " FLAG},
        {"int8:block=16", 72, 6, 1, 0, "the frame has a block that is not finite, " FLAG},
        {"int8:block=16", 72, 52, 1, 1, "byte 52 of the frame, between two sections, is not 0"},
        {"int8:block=16", 72, 63, 1, 0x80, "byte 63 of the frame, between two sections, is not 0"},
        {"int4:block=16", 71, 48, 1, 0x81, "a code is -8"},
        {"int4:block=16", 71, 48, 1, 0x18, "a code is -8"},
        {"int4:block=16", 71, 48 + 35, 1, 0x11, "the unused half of the last byte is not 0, near element 70"},
        {"int4:block=16", 71, 48 + 8, 1, 0x10, SILENT ", near element 16"},
        {"int4:block=16", 71, 32, 2, 0x8000, SCALE},
        {"int4:block=16", 71, 42, 1, 1, "byte 42 of the frame, between two sections, is not 0"},
        {"int4:block=16:hadamard", 71, 32, 4, 0x80000000, SCALE},
        {"int4:block=16:hadamard", 71, 32, 4, 0x7f800000, SCALE},
        {"int4:block=16:hadamard", 71, 44, 4, 0x7fc00001, SCALE},
        {"int4:block=16:hadamard", 71, 64 + 8, 1, 8, SILENT ", near element 16"},
        {"int4:block=16:hadamard", 71, 44, 4, 0, FLAG},
        {"mxfp8", 72, 48, 1, 0x7f, "a code is NaN"},
        {"mxfp8", 72, 48 + 71, 1, 0xff, "a code is NaN"},
        {"mxfp8", 72, 48 + 32, 1, 1, SILENT ", near element 32"},
        {"mxfp4", 71, 48 + 16, 1, 1, SILENT ", near element 32"},
        {"mxfp4", 71, 48 + 35, 1, 0x10, "the unused half of the last byte is not 0"},
        {"mxfp4", 71, 35, 1, 1, "between two sections"},
        {"nvfp4", 71, 64 + 8, 1, 8, SILENT ", near element 16"},
        {"nvfp4", 71, 64 + 24, 1, 8, SILENT ", near element 48"},
        {"nvfp4", 71, 64 + 35, 1, 0x10, "the unused half of the last byte is not 0"},
        {"nvfp4", 71, 36, 1, 1, "byte 36 of the frame, between two sections"},
        {"nvfp4", 71, 53, 1, 1, "byte 53 of the frame, between two sections"},
        {"nvfp4", 71, 32, 4, 0x80000000, "the frame's scale is one that no encoder writes"},
        {"nvfp4", 71, 32, 4, 0x7fc00000, "the frame's scale is one that no encoder writes"},
        {"nvfp4", 71, 32, 4, 0x7f800000, "the frame's scale is one that no encoder writes"},
        {"nvfp4", 71, 32, 4, 0x7a430c31, "the frame's scale is one that no encoder writes"},
        {"nvfp4", 71, 32, 4, 0, SILENT},
    };
    refuses_changes(changes, sizeof changes / sizeof *changes);
}

/* 40 elements of which 12 are kept: indices at 32, values at 80. */
static void topk_pairs(void **state)
{
    (void)state;
    static const change changes[] = {
        {"topk:density=0.3", 40, 32 + 44, 4, 40, "an index lies beyond the end, near element 40"},
        {"topk:density=0.3", 40, 32 + 44, 4, 0xffffffff, "an index lies beyond the end"},
        {"topk:density=0.3", 40, 32, 4, 39, NOT_RISING},
        {"topk:density=0.3", 40, 36, 4, 0, NOT_RISING ", near element 0"},
        {"topk:density=0.3", 40, 80, 4, 0x7fc00001, "a NaN that no encoder writes"},
        {"topk:density=0.3", 40, 80, 4, 0xffc00000, "a NaN that no encoder writes"},
        {"topk:density=0.3", 40, 80, 4, 0x7fc00000, FLAG},
        {"topk:density=0.3", 40, 80, 4, 0xff800000, FLAG},
        {"topk:density=0.3", 40, 6, 1, 1, FLAG},
    };
    refuses_changes(changes, sizeof changes / sizeof *changes);
}

/* A chunk of 200 elements has 4 places: levels at 32, indices at 48 (6 bytes), codes at 64. One of 130 has 3, one
 * of 64 has 1. */
static frame chunk_of(uint64_t n, unsigned sent)
{
    float x[200] = {0};
    for (unsigned i = 0; i < sent; i++)
        x[7 * i + 5] = i % 2 ? -2.0f : 2.0f;
    return frame_of_floats("sparseloco", x, n);
}

static void sparse_chunks(void **state)
{
    (void)state;
    static const struct row {
        uint64_t n;
        unsigned sent, at, length;
        uint32_t value;
        const char *says;
    } rows[] = {
        {200, 4, 32, 2, 0x4001, SCALE}, /* lo > hi */
        {200, 4, 34, 2, 0x7c00, SCALE}, /* infinity */
        {200, 4, 34, 2, 0xc000, SCALE}, /* negative */
        {200, 4, 34, 2, 0x7e01, SCALE}, /* another NaN */
        {200, 4, 34, 2, 0x7e00, SCALE}, /* only hi is NaN */
        {200, 4, 32, 2, 0x7e00, SCALE}, /* only lo is */
        {200, 4, 34, 2, 0, SCALE},      /* hi is 0, lo is not */
        {200, 4, 32, 4, 0, SILENT},     /* both are */
        {200, 4, 32, 4, 0x7e007e00, SILENT},
        {200, 4, 48, 1, 12, NOT_RISING}, /* the first is the second */
        {200, 4, 48, 1, 13, NOT_RISING},
        {200, 4, 49, 1, 0xc1, "an index lies beyond the end of its chunk"},
        {200, 4, 52, 2, 0x0c80, "an index lies beyond the end of its chunk"}, /* 200 */
        {200, 2, 64, 1, 0x15, NOT_RISING},                                    /* a code where no index is */
        {200, 2, 64, 1, 0x80, NOT_RISING},
        {130, 3, 52, 1, 0x10, UNUSED},
        {130, 3, 64, 1, 0x40, UNUSED},
        {64, 1, 49, 1, 0x10, UNUSED},
        {64, 1, 64, 1, 0x04, UNUSED},
        {200, 0, 48, 1, 1, SILENT},
        {200, 0, 64, 1, 1, SILENT},
        {200, 4, 6, 1, 1, FLAG},
        {200, 4, 36, 1, 1, "byte 36 of the frame, between two sections"},
        {200, 4, 54, 1, 1, "byte 54 of the frame, between two sections"},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        const frame f = chunk_of(rows[r].n, rows[r].sent);
        put(f.at + rows[r].at, rows[r].length, rows[r].value);
        seal(f.at, f.bytes);
        refuses(&f.codec, f.at, f.bytes, f.count, rows[r].says);
        free(f.at);
    }
}

/* lo may be 0, but then no code sends it. */
static void nothing_is_sent_as_zero(void **state)
{
    (void)state;
    const frame f = chunk_of(200, 4);
    put(f.at + 32, 2, 0);
    put(f.at + 64, 1, 0xdd); /* hi, -hi, hi, -hi */
    seal(f.at, f.bytes);
    assert_int_equal(dist_codec_check(&f.codec, f.at, f.bytes, f.count), DIST_OK);
    put(f.at + 64, 1, 0xdc);
    seal(f.at, f.bytes);
    refuses(&f.codec, f.at, f.bytes, f.count, "a code sends lo, which is 0");
    free(f.at);
}

/* A scale of the frame so small that its product with a block's is 0: no codes. */
static void products_that_underflow(void **state)
{
    (void)state;
    float x[16];
    for (int i = 0; i < 16; i++)
        x[i] = float_of((uint32_t)i << 12);
    const frame f = frame_of_floats("nvfp4", x, 16);
    assert_true(word_of(f.at + 32) > 0 && word_of(f.at + 32) < 0x800000);
    put(f.at + 48, 1, 1);    /* 2^-9 of it */
    put(f.at + 32, 4, 0x90); /* 144 units */
    memset(f.at + 64, 0, 8);
    seal(f.at, f.bytes);
    assert_int_equal(dist_codec_check(&f.codec, f.at, f.bytes, f.count), DIST_OK);
    put(f.at + 64, 1, 1);
    seal(f.at, f.bytes);
    refuses(&f.codec, f.at, f.bytes, f.count, SILENT);
    put(f.at + 32, 4, 0x101); /* more than half a unit: 1 */
    seal(f.at, f.bytes);
    assert_int_equal(dist_codec_check(&f.codec, f.at, f.bytes, f.count), DIST_OK);
    free(f.at);
}

static bool is_accepted(const frame *f)
{
    seal(f->at, f->bytes);
    return dist_codec_check(&f->codec, f->at, f->bytes, f->count) == DIST_OK;
}

/* Every pattern of a scale of one or two bytes, with and without the flag, in a block without codes. */
static void every_scale(void **state)
{
    (void)state;
    static const struct row {
        const char *text;
        unsigned at, bytes;
        uint32_t most, nan;
    } rows[] = {
        {"int4:block=16", 32, 2, 0x7bff, 0x7e00},
        {"mxfp8", 32, 1, 246, 0xff},
        {"mxfp4", 32, 1, 252, 0xff},
        {"nvfp4", 48, 1, 0x7e, 0x7f},
    };
    const float zeros[16] = {0};
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        const frame f = frame_of_floats(rows[r].text, zeros, 16);
        for (uint32_t scale = 0; scale < 1u << 8 * rows[r].bytes; scale++) {
            put(f.at + rows[r].at, rows[r].bytes, scale);
            f.at[6] = 0;
            assert_int_equal(is_accepted(&f), scale <= rows[r].most);
            f.at[6] = 1;
            assert_int_equal(is_accepted(&f), scale == rows[r].nan);
        }
        free(f.at);
    }
}

/* Float32 scales around every edge. */
static void edges_of_float_scales(void **state)
{
    (void)state;
    static const uint32_t edges[] = {0,          1,          0x7fffff,   0x800000,   0x7c010203,
                                     0x7c010204, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fbfffff,
                                     0x7fc00000, 0x7fc00001, 0x7fffffff, 0x80000000};
    static const char *const texts[] = {"int8", "int4:hadamard"};
    const float zeros[16] = {0};
    for (int t = 0; t < 2; t++) {
        const frame f = frame_of_floats(texts[t], zeros, 16);
        for (unsigned e = 0; e < sizeof edges / sizeof *edges; e++) {
            put_word(f.at + 32, edges[e]);
            f.at[6] = 0;
            assert_int_equal(is_accepted(&f), edges[e] < (t ? 0x7f800000u : 0x7c010204u));
            f.at[6] = 1;
            assert_int_equal(is_accepted(&f), edges[e] == 0x7fc00000);
        }
        free(f.at);
    }
}

/* Every byte of codes in a block that has some. */
static void every_code(void **state)
{
    (void)state;
    static const char *const texts[] = {"int8", "int4", "int4:hadamard", "mxfp8", "mxfp4", "nvfp4"};
    float x[16];
    fill(x, 16, DATA_UNIFORM, 1);
    for (int t = 0; t < 6; t++) {
        const frame f = frame_of_floats(texts[t], x, 16);
        const uint64_t codes = t == 5 ? 64 : 48;
        for (unsigned code = 0; code < 256; code++) {
            const bool wrong = t == 0   ? code == 0x80
                               : t == 1 ? code >> 4 == 8 || (code & 15) == 8
                                        : t == 3 && (code & 0x7f) == 0x7f;
            f.at[codes + 3] = (uint8_t)code;
            assert_int_equal(is_accepted(&f), !wrong);
        }
        free(f.at);
    }
}

/* Faults beyond the first window of a long frame, and in its last block. */
static void long_frames(void **state)
{
    (void)state;
    enum { COUNT = 70001 };
    static float x[COUNT];
    fill(x, COUNT, DATA_UNIFORM, 9);
    const frame f = frame_of_floats("int8:block=16", x, COUNT);
    const uint64_t blocks = (COUNT + 15) / 16, codes = (32 + 4 * blocks + 15) / 16 * 16;
    for (uint64_t i = 0; i < COUNT; i += i < COUNT - 300 ? 4999 : 1) {
        const uint8_t before = f.at[codes + i];
        f.at[codes + i] = 0x80;
        assert_false(is_accepted(&f));
        f.at[codes + i] = before;
    }
    for (uint64_t b = 0; b < blocks; b += b < blocks - 30 ? 333 : 1) {
        const uint32_t before = word_of(f.at + 32 + 4 * b);
        put_word(f.at + 32 + 4 * b, 0x80000000);
        assert_false(is_accepted(&f));
        put_word(f.at + 32 + 4 * b, before);
    }
    assert_true(is_accepted(&f));
    free(f.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_codecs),
        cmocka_unit_test(topk_pairs),
        cmocka_unit_test(sparse_chunks),
        cmocka_unit_test(nothing_is_sent_as_zero),
        cmocka_unit_test(products_that_underflow),
        cmocka_unit_test(every_scale),
        cmocka_unit_test(edges_of_float_scales),
        cmocka_unit_test(every_code),
        cmocka_unit_test(long_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
