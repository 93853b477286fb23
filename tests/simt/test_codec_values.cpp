/* The kernels of none, bf16 and fp16 against the definition: every byte, in every order of threads. */
#define DIST_MOST_BLOCKS 3u
#include "codec_run.h"

#include "kernels/codec_seal.cu"
#include "kernels/codec_values.cu"

static const char *const codecs[] = {"none", "bf16", "bf16:sr:seed=3", "fp16"};

static const uint64_t counts[] = {0, 1, 2, 3, 4, 5, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 4097};

static void check_values(const dist_codec &codec, dist_type type, uint64_t count, uint64_t seed)
{
    check_encode(codec, type, count, seed, dist_launch_encode_values, dist_launch_seal, 64);
}

static void encodes_what_the_definition_encodes(void **)
{
    uint64_t seed = 0;
    for (const char *text : codecs) {
        for (const char *feedback : run_feedbacks) {
            const dist_codec codec = scalar_codec(std::string(text) + feedback);
            for (unsigned round = 0; round < 27; round++) {
                for (uint64_t count : counts)
                    check_values(codec, run_types[round % 3], count, seed++);
                seed += round;
            }
            for (dist_type type : run_types)
                check_values(codec, type, 20011, seed++);
        }
    }
}

static void decodes_what_the_definition_decodes(void **)
{
    uint64_t seed = 0;
    for (const char *text : codecs) {
        const dist_codec codec = scalar_codec(text);
        for (unsigned round = 0; round < 60; round++) {
            for (uint64_t count : counts)
                check_decode(codec, count, seed++, dist_launch_decode_values);
            seed += round;
        }
        check_decode(codec, 20011, seed++, dist_launch_decode_values);
    }
}

/* 65536 elements: each 16-bit pattern, in float32 as the high half with another for the low one. */
static region every_pattern(unsigned size)
{
    region made(65536 * size);
    for (uint32_t i = 0; i < 65536; i++) {
        const uint32_t word = size == 4 ? i << 16 | (i * 40503u & 0xffffu) : i;
        memcpy(made.data + size * i, &word, size);
    }
    return made;
}

static void takes_every_short_pattern(void **)
{
    for (unsigned i = 0; i < sizeof codecs / sizeof *codecs * 4; i++) {
        const dist_codec codec = scalar_codec(std::string(codecs[i / 4]) + run_feedbacks[i % 4]);
        for (dist_type type : run_types) {
            const region values = every_pattern(size_of(type));
            const region feedback = feedback_of(codec, 65536, inputs::DATA_ZEROS, 3);
            const region *const kept = codec.feedback ? &feedback : nullptr;
            const encoded wanted = encode_as_defined(codec, type, values, kept, 65536, {});
            const encoded found =
                encode_by_kernels(codec, type, values, kept, 65536, {}, dist_launch_encode_values,
                                  dist_launch_seal, course_of(0), 64);
            assert_true(is_same(wanted, found, codec.text));
        }
    }
}

/* Frames that hold every pattern, also those that no encoder writes, alone and in sums. */
static void decodes_every_pattern(void **)
{
    for (const char *text : codecs) {
        const dist_codec codec = scalar_codec(text);
        const region payload = every_pattern(codec.kind == DIST_CODEC_NONE ? 4 : 2);
        const region frame(DIST_FRAME_HEADER + payload.bytes), other(DIST_FRAME_HEADER + payload.bytes);
        for (uint64_t i = 0; i < payload.bytes; i++) {
            frame.data[DIST_FRAME_HEADER + i] = payload.data[i];
            other.data[DIST_FRAME_HEADER + i] = payload.data[payload.bytes - 1 - i];
        }
        const void *const frames[] = {frame.data, other.data};
        for (unsigned i = 0; i < 3 * 2 * 2 * 2; i++) {
            const summing how = {run_types[i % 3], 1 + static_cast<int>(i / 3 % 2), i / 6 % 2 ? 3 : 1,
                                 i / 12 == 1};
            const region before = values_of(how.type, 65536, inputs::DATA_BITS, i);
            const region wanted = decode_as_defined(codec, frames, how, 65536, before);
            const region found =
                decode_by_kernels(codec, frames, how, 65536, before, dist_launch_decode_values, course_of(i));
            if (!(wanted == found))
                fail_msg("%s, %d frames / %d, add %d, type %d: byte %llu differs", text, how.frames,
                         how.divisor, how.add, static_cast<int>(how.type),
                         static_cast<unsigned long long>(wanted.difference(found)));
        }
    }
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(encodes_what_the_definition_encodes),
        cmocka_unit_test(decodes_what_the_definition_decodes),
        cmocka_unit_test(takes_every_short_pattern),
        cmocka_unit_test(decodes_every_pattern),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
