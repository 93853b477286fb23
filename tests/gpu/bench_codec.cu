/* What the kernels of codecs move in a second, beside a copy on the device in the same run.
 *
 *   bench_codec [--quick] [--json FILE]
 *
 * Bytes moved are those that must be: an encode reads values and feedback, writes feedback and the frame; a decode
 * reads the frame and writes values. A copy of the same number of bytes (half read, half written) is timed before
 * each; the figures are medians of rounds, by events. Up to the size of the L2 cache both find their data there.
 */
#include <algorithm>
#include <vector>

extern "C" {
#include "base/error.h"
#include "codec/codec.h"
#include "codec/frame.h"
}
#include "gpu.h"
#include "kernels/codec_kernels.cuh"

static const char *const codecs[] = {
    "bf16",  "fp16",  "int8",          "int8:ef=fp32",          "int8:sr",           "int4",      "mxfp8",
    "mxfp4", "nvfp4", "int4:hadamard", "int4:hadamard:ef=fp32", "topk:density=0.01", "sparseloco"};
static const uint64_t sizes[] = {1u << 20, 16u << 20, 64u << 20};

struct arrays {
    float *values;
    void *feedback, *frame, *workspace, *from, *to;
    cudaStream_t stream;
    cudaEvent_t begin, end;
};

struct figure {
    const char *codec, *call;
    uint64_t elements, bytes;
    double microseconds, copied;

    double rate() const
    {
        return static_cast<double>(bytes) / microseconds * 1e-3;
    }
    double ratio() const
    {
        return copied / microseconds;
    }
};

static double median(std::vector<double> samples)
{
    std::sort(samples.begin(), samples.end());
    return samples[samples.size() / 2];
}

/* Microseconds of one call, in a row of them that is long enough for the events' resolution. */
template <typename work> static double timed(const arrays &a, int times, work call)
{
    float milliseconds = 0;
    GPU(cudaEventRecord(a.begin, a.stream));
    for (int i = 0; i < times; i++)
        call();
    GPU(cudaEventRecord(a.end, a.stream));
    GPU(cudaEventSynchronize(a.end));
    GPU(cudaEventElapsedTime(&milliseconds, a.begin, a.end));
    return static_cast<double>(milliseconds) * 1e3 / times;
}

template <typename work>
static figure measure(const arrays &a, const char *codec, const char *call_name, uint64_t elements,
                      uint64_t bytes, int rounds, work call)
{
    const int times = elements > (8u << 20) ? 5 : 50;
    std::vector<double> calls, copies;
    const auto copy = [&] {
        GPU(cudaMemcpyAsync(a.to, a.from, bytes / 2, cudaMemcpyDeviceToDevice, a.stream));
    };
    timed(a, times, call); /* not counted */
    timed(a, times, copy);
    for (int round = 0; round < rounds; round++) {
        copies.push_back(timed(a, times, copy));
        calls.push_back(timed(a, times, call));
    }
    return {codec, call_name, elements, bytes, median(calls), median(copies)};
}

static void require(int error, const char *call)
{
    if (error == 0)
        return;
    fprintf(stderr, "%s: CUDA error %d, %s\n", call, error,
            cudaGetErrorName(static_cast<cudaError_t>(error)));
    exit(1);
}

static dist_cuda_encode encoding_of(const dist_codec &codec, const arrays &a, uint64_t count)
{
    dist_cuda_encode encode = {};
    encode.coding = dist_codec_coding(&codec, count);
    encode.type = DIST_CUDA_FLOAT32;
    encode.keep = static_cast<uint32_t>(codec.feedback);
    encode.stochastic = codec.stochastic;
    encode.decay = dist_codec_decay(&codec);
    encode.values = a.values;
    encode.feedback = codec.feedback ? a.feedback : nullptr;
    encode.count = count;
    encode.frame = a.frame;
    encode.workspace = a.workspace;
    return encode;
}

static dist_cuda_decode decoding_of(const dist_codec &codec, const arrays &a, uint64_t count,
                                    const void *const *frame)
{
    dist_cuda_decode decode = {};
    decode.coding = dist_codec_coding(&codec, count);
    decode.type = DIST_CUDA_FLOAT32;
    decode.frame = frame;
    decode.frames = 1;
    decode.divisor = 1;
    decode.count = count;
    decode.values = static_cast<float *>(a.to);
    return decode;
}

/* Encode, the seal alone, and decode of one codec at one size. */
static void bench(const dist_codec &codec, const char *name, const arrays &a, uint64_t count, int rounds,
                  std::vector<figure> &figures)
{
    const dist_codec_cuda *const table = dist_codec_cuda_table(DIST_CODEC_CUDA_VERSION);
    const uint64_t frame_bytes = dist_codec_bytes(&codec, count),
                   kept_bytes = dist_feedback_bytes(codec.feedback, count);
    const dist_cuda_encode encode = encoding_of(codec, a, count);
    const void *const frame = a.frame;
    const dist_cuda_decode decode = decoding_of(codec, a, count, &frame);
    GPU(cudaMemsetAsync(a.feedback, 0, 4 * count, a.stream));
    figures.push_back(measure(a, name, "encode", count, 4 * count + 2 * kept_bytes + frame_bytes, rounds,
                              [&] { require(table->encode(&encode, a.stream), "encode"); }));
    figures.push_back(measure(a, name, "seal", count, frame_bytes, rounds, [&] {
        GPU(cudaMemsetAsync(a.workspace, 0, DIST_CUDA_WORK_BYTES, a.stream));
        require(dist_launch_seal(&encode, a.stream), "seal");
    }));
    figures.push_back(measure(a, name, "decode", count, 4 * count + frame_bytes, rounds,
                              [&] { require(table->decode(&decode, a.stream), "decode"); }));
}

static arrays arrays_of(uint64_t count)
{
    arrays a = {};
    uint64_t workspace = 0, state = 1;
    std::vector<float> values(count);
    for (float &value : values)
        value = draw_normal(&state) * 1e-3f;
    for (const char *text : codecs) {
        dist_codec codec;
        if (dist_codec_parse(text, DIST_SIMD_AUTO, &codec) < 0) {
            fprintf(stderr, "%s\n", dist_last_error());
            exit(1);
        }
        const uint64_t bytes = dist_codec_cuda_table(DIST_CODEC_CUDA_VERSION)
                                   ->workspace(dist_codec_coding(&codec, count), count);
        workspace = bytes > workspace ? bytes : workspace;
    }
    void *device = nullptr;
    GPU(cudaMalloc(&device, 4 * count));
    a.values = static_cast<float *>(device);
    GPU(cudaMalloc(&a.feedback, 4 * count));
    GPU(cudaMalloc(&a.frame, 4 * count + 4096));
    GPU(cudaMalloc(&a.workspace, workspace));
    GPU(cudaMalloc(&a.from, 8 * count)); /* half of 16 bytes an element, the most that is moved, and some */
    GPU(cudaMalloc(&a.to, 8 * count));
    GPU(cudaMemset(a.from, 0, 8 * count));
    GPU(cudaMemcpy(a.values, values.data(), 4 * count, cudaMemcpyHostToDevice));
    GPU(cudaStreamCreateWithFlags(&a.stream, cudaStreamNonBlocking));
    GPU(cudaEventCreate(&a.begin));
    GPU(cudaEventCreate(&a.end));
    GPU(cudaDeviceSynchronize());
    return a;
}

static bool write_json(const char *path, const std::vector<figure> &figures)
{
    FILE *const file = fopen(path, "w");
    if (!file)
        return false;
    fputs("[\n", file);
    for (const figure &f : figures)
        fprintf(
            file,
            "    {\"codec\": \"%s\", \"call\": \"%s\", \"elements\": %llu, \"bytes_moved\": %llu, "
            "\"microseconds\": %.2f, \"GB_per_s\": %.1f, \"copy_microseconds\": %.2f, \"of_copy\": %.3f}%s\n",
            f.codec, f.call, static_cast<unsigned long long>(f.elements),
            static_cast<unsigned long long>(f.bytes), f.microseconds, f.rate(), f.copied, f.ratio(),
            &f == &figures.back() ? "" : ",");
    fputs("]\n", file);
    return fclose(file) == 0;
}

int main(int arguments, char **argument)
{
    int devices = 0, rounds = 21;
    const char *json = nullptr;
    for (int i = 1; i < arguments; i++) {
        rounds = strcmp(argument[i], "--quick") == 0 ? 3 : rounds;
        json = strcmp(argument[i], "--json") == 0 && i + 1 < arguments ? argument[i + 1] : json;
    }
    const cudaError_t found = cudaGetDeviceCount(&devices);
    if (found != cudaSuccess || devices == 0) {
        printf("skipped: no CUDA device: %s\n", cudaGetErrorString(found));
        return 77;
    }
    std::vector<figure> figures;
    const arrays a = arrays_of(sizes[2]);
    printf("%-24s %-7s %9s %10s %9s %8s\n", "codec", "call", "Mi elem", "us", "GB/s", "of copy");
    for (const char *text : codecs) {
        dist_codec codec;
        if (dist_codec_parse(text, DIST_SIMD_AUTO, &codec) < 0)
            return 1;
        for (const uint64_t count : sizes) {
            const size_t before = figures.size();
            bench(codec, text, a, count, rounds, figures);
            for (size_t i = before; i < figures.size(); i++)
                printf("%-24s %-7s %9.0f %10.1f %9.1f %8.3f\n", figures[i].codec, figures[i].call,
                       static_cast<double>(figures[i].elements) / 1048576.0, figures[i].microseconds,
                       figures[i].rate(), figures[i].ratio());
        }
    }
    GPU(cudaDeviceSynchronize());
    if (json && !write_json(json, figures)) {
        perror(json);
        return 1;
    }
    return 0;
}
