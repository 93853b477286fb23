/* The kernels of int8, int4, mxfp8, mxfp4 and nvfp4 against the definition: every byte, in every order of threads. */
#define DIST_MOST_BLOCKS 3u
#include "codec_run.h"

#include "kernels/codec_blocks.cu"
#include "kernels/codec_seal.cu"

namespace first_missing
{
#undef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 1
#include "kernels/codec_blocks.cu"
} // namespace first_missing
namespace second_missing
{
#undef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 2
#include "kernels/codec_blocks.cu"
} // namespace second_missing

static const char *const codecs[] = {"int8",
                                     "int8:block=16",
                                     "int8:block=64",
                                     "int8:block=128",
                                     "int8:block=512",
                                     "mxfp8",
                                     "int8:block=1024",
                                     "int8:block=2048",
                                     "int8:block=4096",
                                     "int8:sr:seed=11",
                                     "mxfp4",
                                     "int4",
                                     "int4:block=16",
                                     "int4:block=128",
                                     "int8:block=4096:sr",
                                     "nvfp4",
                                     "int4:block=256",
                                     "int4:block=512",
                                     "int4:block=4096",
                                     "int4:sr:seed=5",
                                     "int4:block=2048:sr"};

static const uint64_t counts[] = {0, 1, 2, 1023, 1024, 1025, 4097};

static void check_blocks(const dist_codec &codec, dist_type type, uint64_t count, uint64_t seed)
{
    check_encode(codec, type, count, seed, dist_launch_encode_blocks, dist_launch_seal, 64);
}

static void encodes_what_the_definition_encodes(void **)
{
    uint64_t seed = 0;
    for (unsigned i = 0; i < sizeof codecs / sizeof *codecs * 4; i++) {
        const dist_codec codec = scalar_codec(std::string(codecs[i / 4]) + run_feedbacks[i % 4]);
        for (unsigned round = 0; round < 9; round++) {
            for (uint64_t count : counts)
                check_blocks(codec, run_types[round % 3], count, seed++);
            for (uint64_t count = codec.block - 1; count <= codec.block + 1; count++)
                check_blocks(codec, run_types[round % 3], count, seed++);
        }
        check_blocks(codec, run_types[i % 3], 20011, seed++);
    }
}

static void decodes_what_the_definition_decodes(void **)
{
    uint64_t seed = 0;
    for (const char *text : codecs) {
        const dist_codec codec = scalar_codec(text);
        for (unsigned round = 0; round < 12; round++) {
            for (uint64_t count : counts)
                check_decode(codec, count, seed++, dist_launch_decode_blocks);
            for (uint64_t count = codec.block - 1; count <= codec.block + 1; count++)
                check_decode(codec, count, seed++, dist_launch_decode_blocks);
        }
        check_decode(codec, 20011, seed++, dist_launch_decode_blocks);
    }
}

/* All 65536 patterns in turn as values. */
static void takes_every_short_pattern(void **)
{
    region values(2 * 65536);
    for (uint32_t i = 0; i < 65536; i++)
        memcpy(values.data + 2 * i, &i, 2);
    for (const char *text :
         {"int8:ef=none", "int4:ef=bf16", "mxfp8:ef=none", "mxfp4:ef=fp32", "nvfp4:ef=none"}) {
        const dist_codec codec = scalar_codec(text);
        for (dist_type type : {DIST_FLOAT16, DIST_BFLOAT16}) {
            const region feedback = feedback_of(codec, 65536, inputs::DATA_ZEROS, 3);
            const region *const kept = codec.feedback ? &feedback : nullptr;
            const encoded wanted = encode_as_defined(codec, type, values, kept, 65536, {});
            const encoded found =
                encode_by_kernels(codec, type, values, kept, 65536, {}, dist_launch_encode_blocks,
                                  dist_launch_seal, course_of(0), 64);
            assert_true(is_same(wanted, found, text));
        }
    }
}

/* How many of 4 frames differ from the definition. */
static unsigned misses(encode_launcher launch, const simt::named_order &order)
{
    const dist_codec codec = scalar_codec("int8:block=2048:ef=none");
    unsigned wrong = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        const uint64_t count = 30000 + seed;
        const region values = values_of(DIST_FLOAT32, count, inputs::DATA_HEAVY, seed);
        const encoded wanted = encode_as_defined(codec, DIST_FLOAT32, values, nullptr, count, {});
        course way = {order, 0};
        way.order.seed += seed;
        const encoded found = encode_by_kernels(codec, DIST_FLOAT32, values, nullptr, count, {}, launch,
                                                dist_launch_seal, way, 64);
        wrong += !(wanted.frame == found.frame);
    }
    return wrong;
}

/* The test of the test. */
static void a_missing_barrier_is_found(void **)
{
    const encode_launcher launchers[] = {first_missing::dist_launch_encode_blocks,
                                         second_missing::dist_launch_encode_blocks};
    for (unsigned i = 0; i < 2; i++) {
        unsigned found = 0;
        for (const simt::named_order &order : simt::orders) {
            const unsigned wrong = misses(launchers[i], order);
            print_message("without barrier %u, %s: wrong in %u of 4\n", i + 1, order.name, wrong);
            found += wrong;
            assert_int_equal(misses(dist_launch_encode_blocks, order), 0);
        }
        assert_true(found > 0);
    }
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(encodes_what_the_definition_encodes),
        cmocka_unit_test(decodes_what_the_definition_decodes),
        cmocka_unit_test(takes_every_short_pattern),
        cmocka_unit_test(a_missing_barrier_is_found),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
