/* The frame as <libdist/codec.h> describes it: where everything lies, and what is refused. */
#include "codec_frames.h"

static uint64_t up_to_16(uint64_t n)
{
    return n + (16 - n % 16) % 16;
}

static uint64_t over(uint64_t n, uint64_t by)
{
    return (n + by - 1) / by;
}

static uint64_t rotated_code_bytes(uint64_t n, uint64_t block)
{
    uint64_t padded = 2;
    while (padded < n % block)
        padded *= 2;
    return n / block * (block / 2) + (n % block ? padded / 2 : 0);
}

/* Bytes of a section of all chunks, `bits` for each place. */
static uint64_t sparse_bytes(uint64_t n, uint64_t bits)
{
    uint64_t bytes = 0;
    for (; n > 0; n -= n < 4096 ? n : 4096)
        bytes += over(over(n < 4096 ? n : 4096, 64) * bits, 8);
    return bytes;
}

/* The page's list of sections, once more. */
static void sections_of(const dist_codec *codec, uint64_t n, uint64_t kept, uint64_t bytes[3])
{
    const uint64_t blocks = over(n, codec->block);
    bytes[0] = bytes[1] = bytes[2] = 0;
    switch (codec->kind) {
    case DIST_CODEC_NONE:
        bytes[0] = 4 * n;
        break;
    case DIST_CODEC_BF16:
    case DIST_CODEC_FP16:
        bytes[0] = 2 * n;
        break;
    case DIST_CODEC_INT8:
        bytes[0] = 4 * blocks, bytes[1] = n;
        break;
    case DIST_CODEC_INT4:
        bytes[0] = 2 * blocks, bytes[1] = over(n, 2);
        break;
    case DIST_CODEC_INT4_HADAMARD:
        bytes[0] = 4 * blocks, bytes[1] = rotated_code_bytes(n, codec->block);
        break;
    case DIST_CODEC_MXFP8:
        bytes[0] = blocks, bytes[1] = n;
        break;
    case DIST_CODEC_MXFP4:
        bytes[0] = blocks, bytes[1] = over(n, 2);
        break;
    case DIST_CODEC_NVFP4:
        bytes[0] = n ? 4 : 0, bytes[1] = blocks, bytes[2] = over(n, 2);
        break;
    case DIST_CODEC_TOPK:
        bytes[0] = 4 * kept, bytes[1] = 4 * kept;
        break;
    case DIST_CODEC_SPARSELOCO:
        bytes[0] = 4 * blocks, bytes[1] = sparse_bytes(n, 12), bytes[2] = sparse_bytes(n, 2);
        break;
    default:
        fail();
    }
}

static void check_layout(const char *text, uint64_t count)
{
    float *x = exactly(4 * count);
    uint64_t size[3], end = 32;
    fill(x, count, DATA_UNIFORM, count);
    const frame f = frame_of_floats(text, x, count);
    const uint64_t kept = f.codec.kind == DIST_CODEC_TOPK ? word_of(f.at + 24) : 0;
    assert_memory_equal(f.at, "DISF", 4);
    assert_int_equal(f.at[4], 1);
    assert_int_equal(f.at[5], f.codec.kind);
    assert_int_equal(f.at[6], f.codec.stochastic ? 2 : 0);
    assert_int_equal(f.at[7], 0);
    assert_int_equal(word_of(f.at + 8), f.codec.block);
    assert_int_equal(f.codec.kind == DIST_CODEC_INT4_HADAMARD ? 0 : word_of(f.at + 12), 0);
    assert_int_equal(word_of(f.at + 16), count);
    assert_int_equal(word_of(f.at + 20), 0);
    assert_int_equal(word_of(f.at + 24), kept);
    assert_int_equal(word_of(f.at + 28), dist_crc32c(dist_crc32c(0, f.at, 28), f.at + 32, f.bytes - 32));
    sections_of(&f.codec, count, kept, size);
    for (int s = 0; s < 3; s++) {
        const uint64_t begin = size[s] ? up_to_16(end) : end;
        for (; end < begin; end++)
            assert_int_equal(f.at[end], 0);
        end += size[s];
    }
    assert_int_equal(f.bytes, end);
    assert_int_equal(dist_codec_check(&f.codec, f.at, f.bytes, count), DIST_OK);
    free(f.at), free(x);
}

static void everything_has_its_place(void **state)
{
    (void)state;
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        check_layout(test_codecs[c], 0);
        for (unsigned n = 0; n < TEST_COUNTS; n++)
            check_layout(test_codecs[c], test_counts[n]);
    }
}

/* ceil(density * count), at least 1: what decimal fractions of a count are, in spite of their binary form. */
static void kept_is_exact(void **state)
{
    (void)state;
    const struct row {
        const char *density;
        uint64_t count, kept;
    } rows[] = {
        {"0.01", 100, 1},    {"0.01", 99, 1},
        {"0.01", 101, 2},    {"0.01", 1, 1},
        {"0.1", 30, 3},      {"0.1", 70, 7},
        {"0.07", 100, 7},    {"0.29", 100, 29},
        {"0.29", 101, 30},   {"0.001", 1, 1},
        {"1", 12345, 12345}, {"0.01", 4000000000, 40000000},
        {"1e-9", 1000, 1},   {"0.3333", 10, 4},
        {"0.9999", 10, 10},  {"0.01", 4000000001, 40000001},
        {"1", 0, 0},         {"0.5", 16777217, 8388609},
    };
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        char text[32];
        snprintf(text, sizeof text, "topk:density=%s", rows[r].density);
        const dist_codec codec = codec_of(text, DIST_SIMD_AUTO);
        assert_int_equal(dist_codec_coding(&codec, rows[r].count).kept, rows[r].kept);
    }
}

/* The density that a header's two numbers make gives the same two numbers. */
static void kept_survives_its_density(void **state)
{
    (void)state;
    stream draw = {12};
    uint8_t header[32] = {'D', 'I', 'S', 'F', 1, DIST_CODEC_TOPK, 0, 0, 1};
    for (int i = 0; i < 100000; i++) {
        const uint32_t count = (draw_bits(&draw) | 1u << 31) >> draw_bits(&draw) % 31;
        const uint32_t kept = draw_bits(&draw) % count + 1;
        dist_codec_frame info;
        put_word(header + 16, count);
        put_word(header + 24, kept);
        assert_int_equal(dist_codec_frame_read(header, 32, &info), DIST_OK);
        const dist_codec codec = codec_of(info.codec, DIST_SIMD_AUTO);
        assert_int_equal(dist_codec_coding(&codec, count).kept, kept);
        assert_int_equal(dist_codec_bytes(&codec, count), info.bytes);
    }
}

/* One field of the header, with the checksum made right again. */
static void each_field_is_checked(void **state)
{
    (void)state;
    const struct row {
        unsigned at;
        uint8_t flip;
        const char *text, *says;
    } rows[] = {
        {0, 1, "int8", "no frame: it begins with 0x46534945, not with \"DISF\""},
        {3, 0x80, "int8", "not with \"DISF\""},
        {4, 3, "int8", "the frame has version 2 of the format; this library reads version 1"},
        {4, 1, "int8", "the frame has version 0"},
        {5, 1, "int8",
         "the frame was written by codec number 2, not by int8; both ends must use the same codec"},
        {5, 0x80, "int8", "codec number 131"},
        {6, 4, "int8", "the frame has unknown flags, 0x0004"},
        {7, 0x80, "int8", "the frame has unknown flags, 0x8000"},
        {6, 1, "int8", "the frame has not a block that is not finite, but its flags say otherwise"},
        {6, 2, "fp16", "the frame is said to be rounded stochastically, which its codec cannot do"},
        {6, 2, "mxfp8", "rounded stochastically"},
        {6, 2, "topk:density=0.3", "rounded stochastically"},
        {9, 3, "int8",
         "the frame has blocks of 512 elements, codec int8 has 256; both ends must use the same codec"},
        {8, 1, "none", "the frame has blocks of 0 elements"},
        {12, 1, "int8", "the frame has a seed, but only int4:hadamard has one"},
        {15, 1, "sparseloco", "has a seed"},
        {16, 1, "int8", "the frame has 51 elements, 50 are expected"},
        {23, 0x80, "int8", "the frame has 9223372036854775858 elements, 50 are expected"},
        {24, 1, "int8", "the frame keeps 1 elements, codec int8 keeps 0 of 50"},
        {24, 1, "topk:density=0.3", "the frame keeps 14 elements, codec topk:density=0.3 keeps 15 of 50"},
    };
    float x[50];
    fill(x, 50, DATA_UNIFORM, 3);
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        const frame f = frame_of_floats(rows[r].text, x, 50);
        f.at[rows[r].at] ^= rows[r].flip;
        seal(f.at, f.bytes);
        refuses(&f.codec, f.at, f.bytes, 50, rows[r].says);
        free(f.at);
    }
}

/* The seed of a rotation is the frame's own: any is right. */
static void any_rotation_is_right(void **state)
{
    (void)state;
    float x[50], one[50], other[50];
    fill(x, 50, DATA_UNIFORM, 3);
    const frame f = frame_of_floats("int4:hadamard", x, 50);
    decoded_to(&f, one);
    put_word(f.at + 12, word_of(f.at + 12) + 1);
    seal(f.at, f.bytes);
    decoded_to(&f, other);
    assert_memory_not_equal(one, other, sizeof one);
    free(f.at);
}

static void any_other_length_is_refused(void **state)
{
    (void)state;
    float x[70];
    fill(x, 70, DATA_UNIFORM, 4);
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        const frame f = frame_of_floats(test_codecs[c], x, 70);
        for (uint64_t bytes = 0; bytes < f.bytes; bytes++) {
            uint8_t *at = exactly(bytes);
            memcpy(at, f.at, bytes);
            refuses(&f.codec, at, bytes, 70,
                    bytes < 32 ? "too few for the header of a frame, 32" : "it was cut short");
            free(at);
        }
        for (uint64_t more = 1; more < 20; more++) {
            uint8_t *at = exactly(f.bytes + more);
            memcpy(at, f.at, f.bytes);
            refuses(&f.codec, at, f.bytes + more, 70, "it was made longer");
            free(at);
        }
        refuses(&f.codec, f.at, UINT64_MAX, 70, "it was made longer");
        free(f.at);
    }
}

static void any_flipped_bit_is_seen(void **state)
{
    (void)state;
    float x[70];
    fill(x, 70, DATA_UNIFORM, 5);
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        const frame f = frame_of_floats(test_codecs[c], x, 70);
        for (uint64_t bit = 0; bit < 8 * f.bytes; bit++) {
            f.at[bit / 8] ^= (uint8_t)(1u << bit % 8);
            refuses(&f.codec, f.at, f.bytes, 70,
                    bit < 8 * 28 || bit >= 8 * 32 ? "" : "the frame's checksum is");
            f.at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(dist_codec_check(&f.codec, f.at, f.bytes, 70), DIST_OK);
        free(f.at);
    }
}

static void frames_say_what_they_are(void **state)
{
    (void)state;
    float x[400];
    fill(x, 400, DATA_UNIFORM, 6);
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        for (int bad = 0; bad < 2; bad++) {
            dist_codec_frame info;
            x[3] = bad ? float_of(0x7f800000) : 1.0f;
            const frame f = frame_of_floats(test_codecs[c], x, 400);
            assert_int_equal(dist_codec_frame_read(f.at, 32, &info), DIST_OK);
            assert_int_equal(info.count, 400);
            assert_int_equal(info.bytes, f.bytes);
            assert_int_equal(info.nonfinite, bad);
            assert_int_equal(info.stochastic, f.codec.stochastic);
            const dist_codec named = codec_of(info.codec, DIST_SIMD_AUTO);
            assert_int_equal(dist_codec_check(&named, f.at, f.bytes, 400), DIST_OK);
            assert_int_equal(dist_codec_frame_read(f.at, 31, &info), DIST_ERR_FRAME);
            free(f.at);
        }
    }
}

/* frame_read has no codec to compare with: it refuses what no codec can be. */
static void headers_that_no_codec_has(void **state)
{
    (void)state;
    const struct row {
        unsigned at;
        uint8_t value;
        const char *text, *says;
    } rows[] = {
        {0, 'X', "int8", "no frame"},
        {4, 9, "int8", "version 9"},
        {5, 11, "int8", "codec number 11, which this library does not know"},
        {5, 255, "int8", "codec number 255"},
        {6, 8, "int8", "unknown flags"},
        {6, 2, "mxfp4", "rounded stochastically"},
        {8, 3, "int8", "blocks of 259 elements, which its codec cannot have"},
        {9, 32, "int8", "blocks of 8192 elements"},
        {9, 0, "int8", "blocks of 0 elements"},
        {8, 16, "mxfp8", "blocks of 16 elements"},
        {12, 1, "none", "has a seed"},
        {23, 0xff, "int8", "more than any memory holds"},
        {20, 1, "topk:density=0.3", "topk sends 32 bits of an index"},
        {24, 5, "none", "keeps 5 of 50 elements"},
        {24, 51, "topk:density=0.3", "keeps 51 of 50 elements"},
        {24, 0, "topk:density=0.3", "keeps 0 of 50 elements"},
    };
    float x[50];
    fill(x, 50, DATA_UNIFORM, 3);
    for (unsigned r = 0; r < sizeof rows / sizeof *rows; r++) {
        dist_codec_frame info;
        memset(&info, 0x5a, sizeof info);
        const dist_codec_frame untouched = info;
        const frame f = frame_of_floats(rows[r].text, x, 50);
        f.at[rows[r].at] = rows[r].value;
        assert_int_equal(dist_codec_frame_read(f.at, f.bytes, &info), DIST_ERR_FRAME);
        says(rows[r].says);
        assert_memory_equal(&info, &untouched, sizeof info);
        free(f.at);
    }
}

/* A frame of nothing has a header, and no block that could be bad. */
static void empty_frames(void **state)
{
    (void)state;
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        const frame f = frame_of_floats(test_codecs[c], NULL, 0);
        double bound = -1;
        assert_int_equal(f.bytes, 32);
        assert_int_equal(f.nonfinite, 0);
        assert_int_equal(dist_codec_decode(&f.codec, f.at, 32, DIST_FLOAT32, 0, NULL), DIST_OK);
        assert_int_equal(dist_codec_decode_add(&f.codec, f.at, 32, DIST_BFLOAT16, 0, NULL), DIST_OK);
        assert_int_equal(dist_codec_error_bound(&f.codec, f.at, 32, 0, &bound), DIST_OK);
        assert_true(bound == 0);
        f.at[6] |= 1;
        seal(f.at, 32);
        refuses(&f.codec, f.at, 32, 0, "its flags say otherwise");
        free(f.at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_has_its_place),  cmocka_unit_test(kept_is_exact),
        cmocka_unit_test(kept_survives_its_density), cmocka_unit_test(each_field_is_checked),
        cmocka_unit_test(any_rotation_is_right),     cmocka_unit_test(any_other_length_is_refused),
        cmocka_unit_test(any_flipped_bit_is_seen),   cmocka_unit_test(frames_say_what_they_are),
        cmocka_unit_test(headers_that_no_codec_has), cmocka_unit_test(empty_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
