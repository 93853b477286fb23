/* Every instruction set gives the bits of the scalar functions: encoded bytes, feedback, decoded values. */
#include "codec_data.h"

#include <stdio.h>

#include "codec/layout.h"
#include "codec/tables.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

typedef struct outcome {
    uint64_t nonfinite;
    uint8_t *encoded;
    float *feedback, *decoded, *added;
} outcome;

/* 0 is the usual mode; others are bits of the MXCSR. */
static void set_float_mode(unsigned bits)
{
#if defined(__x86_64__)
    _mm_setcsr(0x1f80u | bits);
#else
    (void)bits;
#endif
}

/* Arrays begin `offset` elements into their memory, so that no path may count on more than natural alignment.
 */
static outcome run(const dist_codec *codec, data kind, uint64_t count, uint64_t offset, unsigned mode)
{
    const uint64_t bytes = dist_codec_bytes(codec, count), all = 4 * (count + offset);
    outcome out = {0, exactly(bytes + 4 * offset), exactly(all), exactly(all), exactly(all)};
    float *x = exactly(all);
    fill(x + offset, count, kind, count);
    fill_feedback(out.feedback + offset, count, kind, count);
    fill(out.added + offset, count, kind, count + 1);
    uint8_t *encoded = out.encoded + 4 * offset;
    memset(encoded, 0xa5, bytes);
    float *feedback = codec->feedback ? out.feedback + offset : NULL;
    set_float_mode(mode);
    out.nonfinite = codec->ops->encode(codec, x + offset, feedback, count, encoded);
    codec->ops->decode(codec, encoded, count, out.decoded + offset);
    codec->ops->decode_add(codec, encoded, count, out.added + offset);
    set_float_mode(0);
    free(x);
    return out;
}

static void end(outcome out)
{
    free(out.encoded), free(out.feedback), free(out.decoded), free(out.added);
}

static void same(const dist_codec *codec, uint64_t count, uint64_t offset, outcome a, outcome b)
{
    assert_int_equal(a.nonfinite, b.nonfinite);
    assert_memory_equal(a.encoded, b.encoded, dist_codec_bytes(codec, count) + 4 * offset);
    assert_memory_equal(a.feedback, b.feedback, 4 * (count + offset));
    assert_memory_equal(a.decoded, b.decoded, 4 * (count + offset));
    assert_memory_equal(a.added, b.added, 4 * (count + offset));
    end(a), end(b);
}

static void compare(const char *text, dist_simd simd, data kind, uint64_t count, uint64_t offset)
{
    const dist_codec scalar = codec_of(text, DIST_SIMD_SCALAR), vector = codec_of(text, simd);
    assert_ptr_not_equal(scalar.ops, vector.ops);
    same(&scalar, count, offset, run(&scalar, kind, count, offset, 0), run(&vector, kind, count, offset, 0));
}

static void compare_all(dist_simd simd)
{
    if (!dist_codec_table(simd))
        skip();
    assert_ptr_equal(dist_codec_table(simd), simd == DIST_SIMD_AVX2 ? dist_codec_avx2 : dist_codec_avx512);
    for (unsigned c = 0; c < TEST_CODECS; c++)
        for (int kind = 0; kind < DATA_KINDS; kind++)
            for (unsigned n = 0; n < TEST_COUNTS; n++)
                compare(test_codecs[c], simd, (data)kind, test_counts[n], n % 4);
}

static void avx2_is_scalar(void **state)
{
    (void)state;
    compare_all(DIST_SIMD_AVX2);
}

static void avx512_is_scalar(void **state)
{
    (void)state;
    compare_all(DIST_SIMD_AVX512);
}

/* Every byte that may arrive decodes alike, those that no encoder writes too. */
static void any_bytes_decode_alike(void **state)
{
    (void)state;
    enum { COUNT = 1037 };
    for (int round = 0; round < 200; round++) {
        for (unsigned c = 0; c < TEST_CODECS; c++) {
            const dist_codec scalar = codec_of(test_codecs[c], DIST_SIMD_SCALAR);
            const uint64_t bytes = dist_codec_bytes(&scalar, COUNT);
            uint8_t *encoded = exactly(bytes);
            stream draw = {(uint64_t)round};
            for (uint64_t i = 0; i < bytes; i++)
                encoded[i] = (uint8_t)draw_bits(&draw);
            float wanted[2][COUNT], found[2][COUNT];
            fill(wanted[1], COUNT, DATA_UNIFORM, 3);
            scalar.ops->decode(&scalar, encoded, COUNT, wanted[0]);
            scalar.ops->decode_add(&scalar, encoded, COUNT, wanted[1]);
            for (dist_simd simd = DIST_SIMD_AVX2; simd <= DIST_SIMD_AVX512; simd++) {
                if (!dist_codec_table(simd))
                    continue;
                const dist_codec vector = codec_of(test_codecs[c], simd);
                fill(found[1], COUNT, DATA_UNIFORM, 3);
                vector.ops->decode(&vector, encoded, COUNT, found[0]);
                vector.ops->decode_add(&vector, encoded, COUNT, found[1]);
                assert_memory_equal(found, wanted, sizeof wanted);
            }
            free(encoded);
        }
    }
}

/* A program built with -ffast-math flushes subnormals; one may round upward. Neither reaches the bytes. */
static void float_mode_does_not_matter(void **state)
{
    (void)state;
    const unsigned modes[] = {0x8040, 0x4000, 0x6000}; /* flush to zero both ways; upward; toward zero */
    for (dist_simd simd = DIST_SIMD_SCALAR; simd <= DIST_SIMD_AVX512; simd++) {
        for (unsigned c = 0; c < TEST_CODECS && dist_codec_table(simd); c++) {
            const dist_codec codec = codec_of(test_codecs[c], simd);
            for (int kind = 0; kind < DATA_KINDS; kind++)
                for (int m = 0; m < 3; m++)
                    same(&codec, 531, 0, run(&codec, (data)kind, 531, 0, 0),
                         run(&codec, (data)kind, 531, 0, modes[m]));
        }
    }
}

static void float_mode_is_restored(void **state)
{
    (void)state;
#if defined(__x86_64__)
    for (unsigned c = 0; c < TEST_CODECS; c++) {
        const dist_codec codec = codec_of(test_codecs[c], DIST_SIMD_AUTO);
        float values[20] = {1};
        uint8_t encoded[80];
        _mm_setcsr(0xdfc0);
        codec.ops->encode(&codec, values, NULL, 20, encoded);
        codec.ops->decode(&codec, encoded, 20, values);
        codec.ops->decode_add(&codec, encoded, 20, values);
        const unsigned after = _mm_getcsr();
        set_float_mode(0);
        assert_int_equal(after, 0xdfc0);
    }
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avx2_is_scalar),         cmocka_unit_test(avx512_is_scalar),
        cmocka_unit_test(any_bytes_decode_alike), cmocka_unit_test(float_mode_does_not_matter),
        cmocka_unit_test(float_mode_is_restored),
    };
    if (!dist_codec_table(DIST_SIMD_AVX2)) {
        printf("this CPU has neither AVX2 nor AVX-512: nothing to compare\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
