/* What is too large for the caches is written past them: the same values, and not a byte beyond. */
#include "codec_data.h"

#include "codec/frame.h"

enum { COUNT = (8 << 20) / 4 + 16 * 4096 + 5, MARGIN = 64 };

static const char *const codecs[] = {"none",          "bf16",  "fp16",  "int8",  "int8:block=16", "int4",
                                     "int4:block=16", "mxfp8", "mxfp4", "nvfp4", "int4:hadamard"};

static float *aligned(void)
{
    float *values = aligned_alloc(64, ((COUNT + 2 * MARGIN) * sizeof *values + 63) / 64 * 64);
    assert_non_null(values);
    return values;
}

static void decode(const dist_codec *codec, const void *frame, float *values, float *to)
{
    const void *frames[] = {frame};
    memset(values, 0xa5, (COUNT + 2 * MARGIN) * sizeof *values);
    dist_frame_decode(codec, frames, 1, 1, false, DIST_FLOAT32, COUNT, to);
}

/* `expected` has the values of the scalar table; `at` is where the vectors' begin. */
static void expect(const float *expected, const float *values, const float *at, const char *name, int shift)
{
    static const unsigned char untouched[4] = {0xa5, 0xa5, 0xa5, 0xa5};
    if (memcmp(expected, at, COUNT * sizeof *at) != 0)
        fail_msg("%s, %d floats beyond a line: other values than the scalar table's", name, shift);
    for (const float *v = values; v < at; v++)
        assert_memory_equal(v, untouched, 4);
    for (const float *v = at + COUNT; v < values + COUNT + 2 * MARGIN; v++)
        assert_memory_equal(v, untouched, 4);
}

static void values_past_the_caches(void **unused)
{
    (void)unused;
    float *in = aligned(), *scalar = aligned(), *vector = aligned();
    for (uint64_t i = 0; i < COUNT; i++)
        in[i] = (float)((int)(i * 2654435761u % 2001) - 1000) * 0x1p-7f;
    for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++) {
        const dist_codec one = codec_of(codecs[c], DIST_SIMD_SCALAR),
                         best = codec_of(codecs[c], DIST_SIMD_AUTO);
        void *frame = malloc(dist_codec_bytes(&one, COUNT));
        assert_non_null(frame);
        dist_frame_encode(&best, DIST_FLOAT32, in, NULL, COUNT, NULL, frame);
        decode(&one, frame, scalar, scalar + MARGIN);
        for (int shift = 0; shift < 2; shift++) {
            float *at = vector + MARGIN + 3 * shift;
            decode(&best, frame, vector, at);
            expect(scalar + MARGIN, vector, at, codecs[c], 3 * shift);
        }
        free(frame);
    }
    free(in);
    free(scalar);
    free(vector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_past_the_caches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
