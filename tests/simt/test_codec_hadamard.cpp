/* The kernels of int4:hadamard against the definition: every byte, in every order of threads. */
#define DIST_MOST_BLOCKS 3u
#include "codec_select.h"

#include "kernels/codec_seal.cu"
#include "kernels/codec_sum.cuh"
#include "kernels/codec_tile.cuh"
#include "kernels/hadamard.h"

/* In namespaces of their own, so that no call in one finds the functions of another. */
namespace right
{
#include "kernels/codec_hadamard.cu"
}
#undef HADAMARD_MOST_THREADS
#undef HADAMARD_LEAST_SHIFT
#undef HADAMARD_MOST_BLOCKS
namespace planted
{
#undef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 2
namespace stages
{
#include "kernels/codec_hadamard.cu"
}
#undef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 6
#undef HADAMARD_MOST_THREADS
#undef HADAMARD_LEAST_SHIFT
#undef HADAMARD_MOST_BLOCKS
namespace products
{
#include "kernels/codec_hadamard.cu"
}
} // namespace planted

static const char *const codecs[] = {"int4:hadamard",
                                     "int4:block=16:hadamard",
                                     "int4:block=64:hadamard",
                                     "int4:block=128:hadamard:seed=9",
                                     "int4:block=256:hadamard",
                                     "int4:block=512:hadamard",
                                     "int4:block=2048:hadamard",
                                     "int4:block=4096:hadamard",
                                     "int4:sr:hadamard",
                                     "int4:block=32:sr:hadamard",
                                     "int4:block=4096:sr:hadamard"};

static const uint64_t counts[] = {0, 1, 2, 3, 5, 9, 63, 64, 65, 1023, 1024, 1025, 4095, 4096, 4097};

static uint64_t workspace_of()
{
    return DIST_CUDA_WORK_BYTES + right::dist_workspace_hadamard({}, 0);
}

static void check(const dist_codec &codec, dist_type type, uint64_t count, uint64_t seed)
{
    check_encode(codec, type, count, seed, right::dist_launch_encode_hadamard, dist_launch_seal,
                 workspace_of());
}

static void encodes_what_the_definition_encodes(void **)
{
    uint64_t seed = 0;
    for (const char *text : codecs) {
        for (const char *feedback : run_feedbacks) {
            const dist_codec codec = scalar_codec(std::string(text) + feedback);
            for (uint64_t count : counts)
                check(codec, run_types[seed % 3], count, seed), seed++;
            for (uint64_t count = codec.block - 1; count <= codec.block + 1; count++)
                check(codec, run_types[seed % 3], count, seed), seed++;
            check(codec, run_types[seed % 3], 10007, seed), seed++;
        }
    }
    print_message("%llu frames\n", static_cast<unsigned long long>(seed));
}

/* Each size that a partial block can have, where it is padded most and least. */
static void pads_every_partial_block(void **)
{
    const dist_codec codec = scalar_codec("int4:block=256:hadamard:ef=fp32");
    for (uint64_t count = 1; count <= 256; count += count < 20 ? 1 : 7)
        check(codec, DIST_FLOAT32, 1024 + count, count);
}

static void takes_what_is_equal_or_alone(void **)
{
    uint64_t seed = 0;
    for (const char *feedback : run_feedbacks) {
        const dist_codec codec = scalar_codec(std::string("int4:hadamard") + feedback);
        for (int kind = 0; kind < static_cast<int>(picks::kinds); kind++) {
            for (uint64_t count : {uint64_t(65), uint64_t(1024), uint64_t(5003)}) {
                check_picks(codec, run_types[seed % 3], count, static_cast<picks>(kind), seed,
                            right::dist_launch_encode_hadamard, dist_launch_seal, workspace_of());
                seed++;
            }
        }
    }
}

static void decodes_what_the_definition_decodes(void **)
{
    uint64_t seed = 0;
    for (const char *text : codecs) {
        const dist_codec codec = scalar_codec(text);
        for (unsigned round = 0; round < 4; round++) {
            for (uint64_t count : counts)
                check_decode(codec, count, seed++, right::dist_launch_decode_hadamard);
            for (uint64_t count = codec.block - 1; count <= codec.block + 1; count++)
                check_decode(codec, count, seed++, right::dist_launch_decode_hadamard);
        }
        check_decode(codec, 20011, seed++, right::dist_launch_decode_hadamard);
    }
}

/* The test of the test. */
static void a_missing_barrier_is_found(void **)
{
    const encode_launcher launchers[] = {planted::stages::dist_launch_encode_hadamard,
                                         planted::products::dist_launch_encode_hadamard};
    const char *const text = "int4:hadamard:ef=int8";
    for (unsigned i = 0; i < 2; i++) {
        unsigned found = 0;
        for (const simt::named_order &order : simt::orders) {
            const unsigned wrong =
                misses_of(text, 5003, launchers[i], dist_launch_seal, workspace_of(), order);
            print_message("without barrier %u, %s: wrong in %u of 4\n", i ? 6 : 2, order.name, wrong);
            found += wrong;
            assert_int_equal(misses_of(text, 5003, right::dist_launch_encode_hadamard, dist_launch_seal,
                                       workspace_of(), order),
                             0);
        }
        assert_true(found > 0);
    }
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(encodes_what_the_definition_encodes),
        cmocka_unit_test(pads_every_partial_block),
        cmocka_unit_test(takes_what_is_equal_or_alone),
        cmocka_unit_test(decodes_what_the_definition_decodes),
        cmocka_unit_test(a_missing_barrier_is_found),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
