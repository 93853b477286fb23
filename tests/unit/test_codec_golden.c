/* Frames that were written once and must be read for ever: tests/golden holds one for each codec, of the same input.
 *
 *     test_codec_golden --write    makes the files anew, which only a new version of the format may need
 */
#include "codec_frames.h"

#include <inttypes.h>
#include <stdio.h>

enum { COUNT = 4500, NAME_MOST = 64 };

static const char *const golden_codecs[] = {
    "none",
    "bf16",
    "bf16:sr",
    "fp16",
    "int8",
    "int8:block=16",
    "int8:block=4096",
    "int8:sr:seed=9",
    "int4",
    "int4:block=16",
    "int4:block=4096",
    "int4:sr",
    "int4:hadamard",
    "int4:block=16:hadamard",
    "int4:block=4096:hadamard:seed=9",
    "int4:block=128:sr:hadamard",
    "mxfp8",
    "mxfp4",
    "nvfp4",
    "topk:density=0.01",
    "topk:density=0.25",
    "sparseloco",
};
enum { GOLDEN_CODECS = sizeof golden_codecs / sizeof *golden_codecs };

static const dist_codec_position position = {7, 12, 3};

/* A hash of i: no arithmetic on floats, whose rounding might differ. */
static uint32_t mixed(uint32_t i)
{
    i = (i ^ i >> 16) * 0x7feb352du;
    i = (i ^ i >> 15) * 0x846ca68bu;
    return i ^ i >> 16;
}

/* Runs of 16 elements share a magnitude; some runs are zeros, subnormals or multiples of one value. In the end lie a
 * NaN and an infinity. */
static uint32_t input_bits(uint32_t i)
{
    const uint32_t run = mixed(i / 16 + 1000003), own = mixed(i), sign = own & 0x80000000u,
                   fraction = own & 0x7fffffu;
    const uint32_t exponent = 105 + run % 36 - (own >> 23 & 3u);
    if (i == 4410)
        return 0xffc12345u;
    if (i == 4420)
        return 0x7f800000u;
    if (i / 16 % 11 == 3 || own % 61 == 0)
        return sign;
    if (i / 16 % 11 == 5)
        return sign | exponent << 23 | (fraction & 0x600000u);
    if (i >= 3000 && i < 3100)
        return sign | fraction >> run % 8;
    return sign | exponent << 23 | fraction;
}

static void fill_input(float *x)
{
    for (uint32_t i = 0; i < COUNT; i++)
        x[i] = float_of(input_bits(i));
}

/* FNV-1a over the bits of what a frame decodes to, with either set of functions. */
static uint64_t hash_of(const dist_codec *codec, const uint8_t *at, uint64_t bytes)
{
    static float decoded[COUNT];
    uint64_t hash = 0xcbf29ce484222325u;
    if (dist_codec_decode(codec, at, bytes, DIST_FLOAT32, COUNT, decoded) != DIST_OK)
        fail_msg("%s: %s", codec->text, dist_last_error());
    for (int i = 0; i < COUNT; i++)
        for (int b = 0; b < 4; b++)
            hash = (hash ^ (bits_of(decoded[i]) >> 8 * b & 0xffu)) * 0x100000001b3u;
    return hash;
}

/* tests/golden, beside the folder of this file. */
static void path_of(const char *name, const char *end, char path[1024])
{
    const char *slash = strrchr(__FILE__, '/');
    char file[NAME_MOST];
    snprintf(file, sizeof file, "%s", name);
    for (char *at = file; *at; at++)
        *at = *at == ':' || *at == '=' ? '-' : *at;
    snprintf(path, 1024, "%.*s/../golden/%s%s", slash ? (int)(slash - __FILE__) : 1, slash ? __FILE__ : ".",
             file, end);
}

static FILE *opened(const char *name, const char *end, const char *mode)
{
    char path[1024];
    path_of(name, end, path);
    FILE *file = fopen(path, mode);
    if (!file)
        fail_msg("%s cannot be opened", path);
    return file;
}

static void write_all(void **state)
{
    (void)state;
    static float x[COUNT];
    FILE *hashes = opened("decoded", ".txt", "w");
    fill_input(x);
    for (int g = 0; g < GOLDEN_CODECS; g++) {
        const frame f = frame_of(golden_codecs[g], DIST_FLOAT32, x, NULL, COUNT, &position);
        FILE *file = opened(golden_codecs[g], ".bin", "wb");
        assert_int_equal(fwrite(f.at, 1, f.bytes, file), f.bytes);
        assert_int_equal(fclose(file), 0);
        fprintf(hashes, "%s %016" PRIx64 "\n", golden_codecs[g], hash_of(&f.codec, f.at, f.bytes));
        free(f.at);
    }
    assert_int_equal(fclose(hashes), 0);
}

static frame read_golden(const char *name)
{
    frame f = {.codec = codec_of(name, DIST_SIMD_AUTO), .count = COUNT};
    FILE *file = opened(name, ".bin", "rb");
    f.at = exactly(64 * 1024);
    f.bytes = fread(f.at, 1, 64 * 1024, file);
    fclose(file);
    return f;
}

static uint64_t read_hash(const char *name)
{
    FILE *file = opened("decoded", ".txt", "r");
    char codec[NAME_MOST];
    uint64_t hash = 0;
    while (fscanf(file, "%63s %" SCNx64, codec, &hash) == 2 && strcmp(codec, name) != 0)
        hash = 0;
    fclose(file);
    assert_true(hash != 0);
    return hash;
}

/* What the scalars and the best vectors of this CPU write today. */
static void same_bytes_are_written(void **state)
{
    (void)state;
    static float x[COUNT];
    fill_input(x);
    for (int g = 0; g < GOLDEN_CODECS; g++) {
        const frame golden = read_golden(golden_codecs[g]);
        for (dist_simd simd = DIST_SIMD_AUTO; simd <= DIST_SIMD_SCALAR; simd++) {
            const dist_codec codec = codec_of(golden_codecs[g], simd);
            uint8_t *at = exactly(golden.bytes);
            assert_int_equal(dist_codec_encoded_bytes(&codec, COUNT), golden.bytes);
            assert_int_equal(dist_codec_encode(&codec, DIST_FLOAT32, x, NULL, COUNT, &position, at, NULL),
                             DIST_OK);
            for (uint64_t i = 0; i < golden.bytes; i++)
                if (at[i] != golden.at[i])
                    fail_msg("%s: byte %u is 0x%02x, not 0x%02x", golden_codecs[g], (unsigned)i, at[i],
                             golden.at[i]);
            free(at);
        }
        free(golden.at);
    }
}

static void same_values_are_read(void **state)
{
    (void)state;
    for (int g = 0; g < GOLDEN_CODECS; g++) {
        const frame golden = read_golden(golden_codecs[g]);
        const dist_codec scalar = codec_of(golden_codecs[g], DIST_SIMD_SCALAR);
        const uint64_t hash = read_hash(golden_codecs[g]);
        dist_codec_frame info;
        assert_true(hash_of(&golden.codec, golden.at, golden.bytes) == hash);
        assert_true(hash_of(&scalar, golden.at, golden.bytes) == hash);
        assert_int_equal(dist_codec_frame_read(golden.at, golden.bytes, &info), DIST_OK);
        assert_true(info.nonfinite && info.bytes == golden.bytes && info.count == COUNT);
        const dist_codec named = codec_of(info.codec, DIST_SIMD_AUTO);
        assert_true(hash_of(&named, golden.at, golden.bytes) == hash);
        free(golden.at);
    }
}

int main(int count, char **text)
{
    const struct CMUnitTest writing[] = {cmocka_unit_test(write_all)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_are_written),
        cmocka_unit_test(same_values_are_read),
    };
    if (count > 1 && strcmp(text[1], "--write") == 0)
        return cmocka_run_group_tests(writing, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
