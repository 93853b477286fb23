/* The plugin's table, with every codec behind it: what libdist calls, from workspace to sealed frame. */
#define DIST_MOST_BLOCKS 5u
#include "codec_run.h"

#include "kernels/launch.h"

static int device_count = 1;

static cudaError_t cudaGetDeviceCount(int *number)
{
    if (device_count < 0)
        return cudaErrorInvalidValue;
    *number = device_count;
    return cudaSuccess;
}

static const char *cudaGetErrorName(cudaError_t error)
{
    return error == cudaSuccess ? "cudaSuccess" : "cudaErrorInvalidValue";
}

#include "kernels/codec_blocks.cu"
#include "kernels/codec_cuda.cu"
#include "kernels/codec_hadamard.cu"
#include "kernels/codec_seal.cu"
#include "kernels/codec_sparse.cu"
#include "kernels/codec_topk.cu"
#include "kernels/codec_values.cu"

static const dist_codec_cuda *table()
{
    const dist_codec_cuda *const made = dist_codec_cuda_table(DIST_CODEC_CUDA_VERSION);
    assert_non_null(made);
    return made;
}

static int encode(const dist_cuda_encode *given, cudaStream_t stream)
{
    return table()->encode(given, stream);
}

static int decode(const dist_cuda_decode *given, cudaStream_t stream)
{
    return table()->decode(given, stream);
}

/* The table's encode seals by itself. */
static int nothing(const dist_cuda_encode *, cudaStream_t)
{
    return cudaSuccess;
}

static const char *const codecs[] = {
    "none",           "bf16:sr", "fp16",  "int8:ef=fp32", "int8:block=4096:ef=int8", "int4",
    "int4:hadamard",  "mxfp8",   "mxfp4", "nvfp4",        "topk:density=0.1",        "sparseloco",
    "int4:sr:ef=bf16"};

static const uint64_t counts[] = {1, 2, 255, 1025, 4096, 10007};

static void every_codec_is_behind_it(void **)
{
    uint64_t seed = 0;
    for (const char *text : codecs) {
        const dist_codec codec = scalar_codec(text);
        for (uint64_t count : counts) {
            const uint64_t bytes = table()->workspace(dist_codec_coding(&codec, count), count);
            assert_true(bytes >= sizeof(dist_cuda_work));
            for (unsigned round = 0; round < 4; round++)
                check_encode(codec, run_types[seed % 3], count, seed, encode, nothing, bytes), seed++;
            check_decode(codec, count, seed, decode);
        }
    }
}

/* One encode into a workspace that holds anything; true if the frame is that of the definition. */
static bool encodes(const dist_codec &codec, uint64_t count, uint32_t keep, void *feedback)
{
    const region values = values_of(DIST_FLOAT32, count, inputs::DATA_UNIFORM, 1);
    const region frame(dist_codec_bytes(&codec, count));
    const region workspace(table()->workspace(dist_codec_coding(&codec, count), count));
    dist_cuda_encode given = {};
    given.coding = dist_codec_coding(&codec, count);
    given.keep = keep;
    given.feedback = feedback;
    given.decay = dist_codec_decay(&codec);
    given.values = values.data;
    given.count = count;
    given.frame = frame.data;
    given.workspace = workspace.data;
    assert_int_equal(table()->encode(&given, nullptr), cudaSuccess);
    return encode_as_defined(codec, DIST_FLOAT32, values, nullptr, count, {}).frame == frame;
}

static void empty_frames_are_sealed(void **)
{
    for (const char *text : codecs) {
        if (strstr(text, "sr") == nullptr)
            assert_true(encodes(scalar_codec(text), 0, DIST_CUDA_KEEP_NONE, nullptr));
    }
}

static void feedback_needs_a_kind_and_a_place(void **)
{
    float kept[300] = {0};
    kept[7] = 5;
    assert_true(encodes(scalar_codec("int8"), 300, DIST_CUDA_KEEP_FP32, nullptr));
    assert_true(encodes(scalar_codec("int8"), 300, DIST_CUDA_KEEP_NONE, kept));
    assert_false(encodes(scalar_codec("int8"), 300, DIST_CUDA_KEEP_FP32, kept));
}

static void refuses_what_it_has_not(void **)
{
    assert_null(dist_codec_cuda_table(DIST_CODEC_CUDA_VERSION + 1));
    dist_cuda_encode given = {};
    given.coding.kind = DIST_CODEC_POWERSGD;
    assert_int_equal(table()->encode(&given, nullptr), cudaErrorInvalidValue);
    dist_cuda_decode sum = {};
    sum.coding.kind = DIST_CODEC_POWERSGD;
    sum.frames = sum.divisor = 1;
    assert_int_equal(table()->decode(&sum, nullptr), cudaErrorInvalidValue);
    sum.coding.kind = DIST_CODEC_NONE;
    assert_int_equal(table()->decode(&sum, nullptr), cudaSuccess); /* of no elements */
    sum.frames = 0;
    assert_int_equal(table()->decode(&sum, nullptr), cudaErrorInvalidValue);
    sum.frames = DIST_CUDA_FRAMES + 1;
    assert_int_equal(table()->decode(&sum, nullptr), cudaErrorInvalidValue);
    sum.frames = 1;
    sum.divisor = 0;
    assert_int_equal(table()->decode(&sum, nullptr), cudaErrorInvalidValue);
}

static void counts_devices(void **)
{
    int found = 9;
    assert_int_equal(table()->devices(&found), cudaSuccess);
    assert_int_equal(found, 1);
    device_count = -1;
    assert_int_equal(table()->devices(&found), cudaErrorInvalidValue);
    assert_int_equal(found, 0);
    assert_string_equal(table()->error_name(cudaErrorInvalidValue), "cudaErrorInvalidValue");
    device_count = 1;
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_is_behind_it),
        cmocka_unit_test(empty_frames_are_sealed),
        cmocka_unit_test(feedback_needs_a_kind_and_a_place),
        cmocka_unit_test(refuses_what_it_has_not),
        cmocka_unit_test(counts_devices),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
