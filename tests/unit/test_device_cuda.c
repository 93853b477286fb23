/* The calls for CUDA devices where there is none: arguments are checked first, then the reason is said. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libdist/codec.h>

#include "device/cuda.h"

static _Alignas(16) unsigned char memory[4096];

static void says(const char *words)
{
    if (!strstr(dist_last_error(), words))
        fail_msg("says: %s", dist_last_error());
}

static dist_codec *create(const char *text)
{
    dist_codec *codec = NULL;
    assert_int_equal(dist_codec_create(&codec, text), DIST_OK);
    return codec;
}

static dist_status encode(const dist_codec *codec, dist_type type, size_t values, size_t feedback,
                          uint64_t count, size_t frame, size_t workspace)
{
    return dist_codec_cuda_encode(codec, type, memory + values, memory + feedback, count, NULL,
                                  memory + frame, NULL, memory + workspace, NULL);
}

static void encode_checks_its_arguments(void **state)
{
    (void)state;
    dist_codec *codec = create("int8:ef=fp32"), *linear = create("powersgd"), *half = create("int8:ef=bf16");
    assert_int_equal(encode(NULL, DIST_FLOAT32, 0, 0, 1, 0, 0), DIST_ERR_ARGUMENT);
    says("dist_codec_cuda_encode: codec is NULL");
    assert_int_equal(encode(linear, DIST_FLOAT32, 0, 0, 1, 0, 0), DIST_ERR_UNSUPPORTED);
    says("has no frames");
    assert_int_equal(encode(codec, DIST_INT32, 0, 0, 1, 0, 0), DIST_ERR_ARGUMENT);
    says("codecs take float32");
    assert_int_equal(encode(codec, DIST_FLOAT32, 0, 0, UINT64_MAX, 0, 0), DIST_ERR_ARGUMENT);
    says("more than a frame");
    assert_int_equal(encode(codec, DIST_FLOAT32, 2, 0, 1, 0, 0), DIST_ERR_ARGUMENT);
    says("are not aligned to their type, float32");
    assert_int_equal(encode(codec, DIST_FLOAT32, 4, 0, 1, 8, 0), DIST_ERR_ARGUMENT);
    says("the frame at");
    assert_int_equal(encode(codec, DIST_FLOAT32, 4, 0, 1, 16, 8), DIST_ERR_ARGUMENT);
    says("the workspace at");
    assert_int_equal(encode(codec, DIST_FLOAT32, 4, 2, 1, 16, 0), DIST_ERR_ARGUMENT);
    says("the feedback at");
    assert_int_equal(encode(half, DIST_BFLOAT16, 2, 1, 1, 16, 0), DIST_ERR_ARGUMENT);
    says("aligned to 2 bytes");
    assert_int_equal(
        dist_codec_cuda_encode(codec, DIST_FLOAT32, NULL, NULL, 1, NULL, memory, NULL, memory, NULL),
        DIST_ERR_ARGUMENT);
    says("values is NULL but count is 1");
    assert_int_equal(
        dist_codec_cuda_encode(codec, DIST_FLOAT32, NULL, NULL, 0, NULL, NULL, NULL, memory, NULL),
        DIST_ERR_ARGUMENT);
    says("the frame is NULL");
    assert_int_equal(
        dist_codec_cuda_encode(codec, DIST_FLOAT32, NULL, NULL, 0, NULL, memory, NULL, NULL, NULL),
        DIST_ERR_ARGUMENT);
    says("the workspace is NULL");
    assert_int_equal(dist_codec_cuda_encode(codec, DIST_FLOAT32, NULL, NULL, 0, NULL, memory,
                                            (uint64_t *)(void *)(memory + 4), memory, NULL),
                     DIST_ERR_ARGUMENT);
    says("nonfinite at");
    dist_codec_destroy(codec);
    dist_codec_destroy(linear);
    dist_codec_destroy(half);
}

static dist_status decode(const dist_codec *codec, const void *frame, int frames, int divisor, void *values)
{
    const void *const all[] = {memory, frame};
    return dist_codec_cuda_decode_sum(codec, frames ? all : NULL, frames, divisor, false, DIST_FLOAT16, 7,
                                      values, NULL);
}

static void decode_checks_its_arguments(void **state)
{
    (void)state;
    dist_codec *codec = create("int4");
    assert_int_equal(decode(NULL, memory, 2, 1, memory), DIST_ERR_ARGUMENT);
    says("dist_codec_cuda_decode_sum: codec is NULL");
    assert_int_equal(decode(codec, memory, 2, 1, NULL), DIST_ERR_ARGUMENT);
    says("values is NULL");
    assert_int_equal(decode(codec, memory, 2, 1, memory + 1), DIST_ERR_ARGUMENT);
    says("float16");
    assert_int_equal(decode(codec, memory, 0, 1, memory), DIST_ERR_ARGUMENT);
    says("1 to 64 frames");
    assert_int_equal(decode(codec, memory, 65, 1, memory), DIST_ERR_ARGUMENT);
    assert_int_equal(decode(codec, memory, 2, 0, memory), DIST_ERR_ARGUMENT);
    says("divisor 1 at least");
    assert_int_equal(decode(codec, NULL, 2, 1, memory), DIST_ERR_ARGUMENT);
    says("frame 1: dist_codec_cuda_decode_sum: the frame is NULL");
    assert_int_equal(decode(codec, memory + 4, 2, 1, memory), DIST_ERR_ARGUMENT);
    says("aligned to 16 bytes");
    dist_codec_destroy(codec);
}

/* DIST_CUDA_PLUGIN names no file here, so nothing depends on what is installed. */
static void says_why_there_is_none(void **state)
{
    (void)state;
    dist_codec *codec = create("int8");
    for (int again = 0; again < 2; again++) {
        assert_int_equal(dist_codec_cuda_available(), DIST_ERR_UNSUPPORTED);
        says("the CUDA plugin cannot be opened: /nowhere/libdist_cuda.so");
        assert_int_equal(encode(codec, DIST_FLOAT32, 4, 0, 1, 16, 0), DIST_ERR_UNSUPPORTED);
        says("DIST_CUDA_PLUGIN can name it");
        assert_int_equal(decode(codec, memory, 2, 1, memory), DIST_ERR_UNSUPPORTED);
        says("the CUDA plugin cannot be opened: /nowhere/libdist_cuda.so");
    }
    assert_int_equal(dist_codec_cuda_workspace_bytes(codec, 7), 0);
    assert_int_equal(dist_codec_cuda_workspace_bytes(NULL, 7), 0);
    dist_codec_destroy(codec);
}

static void refuses_what_is_no_plugin(void **state)
{
    (void)state;
    dist_cuda_plugin plugin = {.codec = (const dist_codec_cuda *)(const void *)memory};
    assert_int_equal(dist_cuda_plugin_open("libm.so.6", &plugin), DIST_ERR_UNSUPPORTED);
    says("libm.so.6: no plugin of this libdist: it has no devices of version 1");
    assert_null(plugin.codec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode_checks_its_arguments),
        cmocka_unit_test(decode_checks_its_arguments),
        cmocka_unit_test(says_why_there_is_none),
        cmocka_unit_test(refuses_what_is_no_plugin),
    };
    if (setenv("DIST_CUDA_PLUGIN", "/nowhere/libdist_cuda.so", 1) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
