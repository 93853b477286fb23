/* Frames made by kernels beside frames made by the definition, for tests that include the kernels. */
#ifndef CODEC_RUN_H
#define CODEC_RUN_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <string>

#include "simt_test.h"

extern "C" {
#include "codec/frame.h"
#include "codec/tables.h"
}

/* What it includes is there already. */
namespace inputs
{
#include "../unit/codec_data.h"
}

#include "kernels/codec_cuda.h"

/* Memory of exactly so many bytes from an address that is `offset` bytes beyond a multiple of 64: a sanitizer sees
 * what lies beyond. */
class region
{
  public:
    explicit region(uint64_t size, uint64_t offset = 0) : bytes(size)
    {
        void *at = nullptr;
        assert_int_equal(posix_memalign(&at, 64, size + offset ? size + offset : 1), 0);
        memory.reset(static_cast<uint8_t *>(at));
        data = memory.get() + offset;
        memset(memory.get(), 0xa5, size + offset);
    }
    region(const region &other, uint64_t offset) : region(other.bytes, offset)
    {
        if (bytes)
            memcpy(data, other.data, bytes);
    }
    bool operator==(const region &other) const
    {
        return bytes == other.bytes && (bytes == 0 || memcmp(data, other.data, bytes) == 0);
    }
    /* The first byte that differs. */
    uint64_t difference(const region &other) const
    {
        uint64_t i = 0;
        while (i < bytes && data[i] == other.data[i])
            i++;
        return i;
    }
    uint8_t *data;
    uint64_t bytes;

  private:
    struct freed {
        void operator()(uint8_t *at) const
        {
            free(at);
        }
    };
    std::unique_ptr<uint8_t, freed> memory;
};

typedef int (*encode_launcher)(const dist_cuda_encode *, cudaStream_t);
typedef int (*decode_launcher)(const dist_cuda_decode *, cudaStream_t);

/* One way through the kernels: the order, and where arrays begin. */
struct course {
    simt::named_order order;
    unsigned shift; /* elements by which values and feedback begin beyond a multiple of 64 bytes */
};

static const dist_type run_types[] = {DIST_FLOAT32, DIST_FLOAT16, DIST_BFLOAT16};
static const char *const run_feedbacks[] = {":ef=none", ":ef=fp32", ":ef=bf16", ":ef=int8"};

static inline uint32_t cuda_type_of(dist_type type)
{
    return type == DIST_FLOAT32   ? DIST_CUDA_FLOAT32
           : type == DIST_FLOAT16 ? DIST_CUDA_FLOAT16
                                  : DIST_CUDA_BFLOAT16;
}

static inline unsigned size_of(dist_type type)
{
    return type == DIST_FLOAT32 ? 4 : 2;
}

static inline dist_codec scalar_codec(const std::string &text)
{
    return inputs::codec_of(text.c_str(), DIST_SIMD_SCALAR);
}

/* Values of `type`. 16-bit ones get patterns of their own where any bits are wanted. */
static inline region values_of(dist_type type, uint64_t count, inputs::data kind, uint64_t seed)
{
    region made(count * size_of(type));
    inputs::stream draw = {seed * 31 + 7};
    std::unique_ptr<float[]> wide(new float[count + 1]);
    inputs::fill(wide.get(), count, kind, seed);
    for (uint64_t i = 0; i < count; i++) {
        if (type == DIST_FLOAT32) {
            memcpy(made.data + 4 * i, &wide[i], 4);
            continue;
        }
        uint16_t bits = static_cast<uint16_t>(inputs::draw_bits(&draw));
        if (kind != inputs::DATA_BITS)
            bits = type == DIST_FLOAT16 ? dist_half_from_float(wide[i]) : dist_bfloat_from_float(wide[i]);
        memcpy(made.data + 2 * i, &bits, 2);
    }
    return made;
}

static inline region feedback_of(const dist_codec &codec, uint64_t count, inputs::data kind, uint64_t seed)
{
    region made(dist_feedback_bytes(codec.feedback, count));
    std::unique_ptr<float[]> wide(new float[count + 1]);
    inputs::fill_feedback(wide.get(), count, kind, seed);
    if (codec.feedback == DIST_FEEDBACK_FP32) {
        if (kind == inputs::DATA_BITS) /* a NaN or an infinity in the feedback too */
            inputs::fill(wide.get(), count, kind, seed + 2000);
        memcpy(made.data, wide.get(), made.bytes);
    } else if (codec.feedback != DIST_FEEDBACK_NONE) {
        dist_codec_scalar.store_feedback(codec.feedback, wide.get(), count, made.data);
    }
    return made;
}

/* A frame and what encoding left besides. */
struct encoded {
    region frame, feedback;
    uint64_t nonfinite;
};

static inline encoded encode_as_defined(const dist_codec &codec, dist_type type, const region &values,
                                        const region *feedback, uint64_t count, dist_codec_position position)
{
    encoded made = {region(dist_codec_bytes(&codec, count)), feedback ? region(*feedback, 0) : region(0), 0};
    made.nonfinite = dist_frame_encode(&codec, type, values.data, feedback ? made.feedback.data : nullptr,
                                       count, &position, made.frame.data);
    return made;
}

static inline encoded encode_by_kernels(const dist_codec &codec, dist_type type, const region &values,
                                        const region *feedback, uint64_t count, dist_codec_position position,
                                        encode_launcher launch, encode_launcher seal, const course &way,
                                        uint64_t workspace_bytes)
{
    const region shifted(values, way.shift * size_of(type)), workspace(workspace_bytes);
    const unsigned size = codec.feedback == DIST_FEEDBACK_BF16 ? 2 : 4;
    encoded made = {region(dist_codec_bytes(&codec, count)),
                    feedback ? region(*feedback, way.shift * size) : region(0), 77};
    dist_cuda_encode encode = {};
    encode.coding = dist_codec_coding(&codec, count);
    encode.type = cuda_type_of(type);
    encode.keep = feedback ? static_cast<uint32_t>(codec.feedback) : 0u;
    encode.stochastic = codec.stochastic;
    encode.seed = codec.seed;
    encode.step = position.step;
    encode.first = position.first;
    encode.stream_number = position.stream;
    encode.decay = dist_codec_decay(&codec);
    encode.values = shifted.data;
    encode.feedback = feedback ? made.feedback.data : nullptr;
    encode.count = count;
    encode.frame = made.frame.data;
    encode.workspace = workspace.data;
    encode.nonfinite = &made.nonfinite;
    memset(workspace.data, 0, 64);
    simt::set_order(way.order.by, way.order.seed);
    if (count)
        assert_int_equal(launch(&encode, nullptr), cudaSuccess);
    assert_int_equal(seal(&encode, nullptr), cudaSuccess);
    return made;
}

/* Whether the two are the same, with a message where they are not. */
static inline bool is_same(const encoded &wanted, const encoded &found, const char *what)
{
    const bool same = wanted.frame == found.frame && wanted.feedback == found.feedback &&
                      wanted.nonfinite == found.nonfinite;
    if (!same)
        print_message(
            "%s: frame differs at byte %llu of %llu, feedback at %llu of %llu, %llu blocks for %llu\n", what,
            static_cast<unsigned long long>(wanted.frame.difference(found.frame)),
            static_cast<unsigned long long>(wanted.frame.bytes),
            static_cast<unsigned long long>(wanted.feedback.difference(found.feedback)),
            static_cast<unsigned long long>(wanted.feedback.bytes),
            static_cast<unsigned long long>(found.nonfinite),
            static_cast<unsigned long long>(wanted.nonfinite));
    return same;
}

/* How a sum of frames becomes values. */
struct summing {
    dist_type type;
    int frames, divisor;
    bool add;
};

static inline region decode_as_defined(const dist_codec &codec, const void *const *frame, summing how,
                                       uint64_t count, const region &before)
{
    region values(before, 0);
    dist_frame_decode(&codec, frame, how.frames, how.divisor, how.add, how.type, count, values.data);
    return values;
}

static inline region decode_by_kernels(const dist_codec &codec, const void *const *frame, summing how,
                                       uint64_t count, const region &before, decode_launcher launch,
                                       const course &way)
{
    region values(before, way.shift * size_of(how.type));
    dist_cuda_decode decode = {};
    decode.coding = dist_codec_coding(&codec, count);
    decode.type = cuda_type_of(how.type);
    decode.add = how.add;
    decode.frame = frame;
    decode.frames = how.frames;
    decode.divisor = how.divisor;
    decode.count = count;
    decode.values = values.data;
    simt::set_order(way.order.by, way.order.seed);
    if (count)
        assert_int_equal(launch(&decode, nullptr), cudaSuccess);
    return values;
}

/* The choice of what need not be combined with all else. */
static inline course course_of(uint64_t i)
{
    static const unsigned shifts[] = {0, 1, 0, 2, 0, 3};
    course way = {simt::orders[i % 4], shifts[i % 6]};
    way.order.seed += i;
    return way;
}

/* Runs one case both ways; seed chooses data, order, where arrays begin and the position. */
static inline void check_encode(const dist_codec &codec, dist_type type, uint64_t count, uint64_t seed,
                                encode_launcher launch, encode_launcher seal, uint64_t workspace_bytes)
{
    const inputs::data kind = static_cast<inputs::data>(seed % inputs::DATA_KINDS);
    const region values = values_of(type, count, kind, seed),
                 feedback = feedback_of(codec, count, kind, seed);
    const region *const kept = codec.feedback ? &feedback : nullptr;
    const dist_codec_position position = {seed, seed % 3 ? seed * 5 : 0, static_cast<uint32_t>(seed % 7)};
    const encoded wanted = encode_as_defined(codec, type, values, kept, count, position);
    const course way = course_of(seed);
    const encoded found =
        encode_by_kernels(codec, type, values, kept, count, position, launch, seal, way, workspace_bytes);
    char what[200];
    snprintf(what, sizeof what, "%s, type %d, %llu elements of data %d, %s, shift %u", codec.text,
             static_cast<int>(type), static_cast<unsigned long long>(count), static_cast<int>(kind),
             way.order.name, way.shift);
    if (!is_same(wanted, found, what))
        fail_msg("%s: not what the definition gives", what);
}

/* Sums of 1 to 5 frames of different data, into each type. */
static inline void check_decode(const dist_codec &codec, uint64_t count, uint64_t seed,
                                decode_launcher launch)
{
    static const int numbers[] = {1, 2, 5, 1}, divisors[] = {1, 1, 3, 2, 7};
    const summing how = {run_types[seed % 3], numbers[seed / 3 % 4], divisors[seed % 5], seed / 2 % 2 == 1};
    std::unique_ptr<encoded> made[5];
    const void *frame[5];
    for (uint64_t f = 0; f < static_cast<uint64_t>(how.frames); f++) {
        const region values = values_of(
            DIST_FLOAT32, count, static_cast<inputs::data>((seed + f * 4) % inputs::DATA_KINDS), seed + f);
        made[f].reset(new encoded(encode_as_defined(codec, DIST_FLOAT32, values, nullptr, count, {})));
        frame[f] = made[f]->frame.data;
    }
    const region before =
        values_of(how.type, count, seed % 4 ? inputs::DATA_UNIFORM : inputs::DATA_BITS, seed + 9);
    const course way = course_of(seed);
    const region wanted = decode_as_defined(codec, frame, how, count, before);
    const region found = decode_by_kernels(codec, frame, how, count, before, launch, way);
    if (!(wanted == found))
        fail_msg("%s: %d frames of %llu elements / %d, add %d, type %d, %s, shift %u: byte %llu differs",
                 codec.text, how.frames, static_cast<unsigned long long>(count), how.divisor, how.add,
                 static_cast<int>(how.type), way.order.name, way.shift,
                 static_cast<unsigned long long>(wanted.difference(found)));
}

#endif
