/* The kernels of topk against the definition: every byte, in every order of threads. */
#define DIST_MOST_BLOCKS 3u
#include "codec_select.h"

#include "kernels/codec_rows.cuh"
#include "kernels/codec_seal.cu"
#include "kernels/codec_select.cuh"
#include "kernels/codec_sum.cuh"

/* In namespaces of their own, so that no call in one finds the functions of another. */
namespace right
{
#include "kernels/codec_topk.cu"
}
namespace planted
{
#undef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 6
namespace votes
{
#include "kernels/codec_topk.cu"
}
#undef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 7
namespace places
{
#include "kernels/codec_topk.cu"
}
} // namespace planted

static const char *const codecs[] = {"topk:density=0.01", "topk:density=0.25", "topk:density=1",
                                     "topk:density=0.0001"};
static const uint64_t counts[] = {0, 1, 2, 63, 64, 65, 255, 256, 257, 2047, 2048, 2049, 4095, 4096, 4097};

static uint64_t workspace_of(const dist_codec &codec, uint64_t count)
{
    return DIST_CUDA_WORK_BYTES + right::dist_workspace_topk(dist_codec_coding(&codec, count), count);
}

static void check(const dist_codec &codec, dist_type type, uint64_t count, uint64_t seed)
{
    check_encode(codec, type, count, seed, right::dist_launch_encode_topk, dist_launch_seal,
                 workspace_of(codec, count));
}

static void encodes_what_the_definition_encodes(void **)
{
    uint64_t seed = 0;
    for (const char *text : codecs) {
        for (const char *feedback : run_feedbacks) {
            const dist_codec codec = scalar_codec(std::string(text) + feedback);
            for (uint64_t count : counts) {
                check(codec, run_types[seed % 3], count, seed);
                seed++;
            }
            check(codec, run_types[seed % 3], 20011, seed);
            seed++;
        }
    }
    print_message("%llu frames\n", static_cast<unsigned long long>(seed));
}

static void takes_the_first_of_equal_ones(void **)
{
    uint64_t seed = 0;
    for (const char *text : codecs) {
        for (const char *feedback : run_feedbacks) {
            const dist_codec codec = scalar_codec(std::string(text) + feedback);
            for (int kind = 0; kind < static_cast<int>(picks::kinds); kind++) {
                for (uint64_t count : {uint64_t(65), uint64_t(2049), uint64_t(5003)}) {
                    check_picks(codec, run_types[seed % 3], count, static_cast<picks>(kind), seed,
                                right::dist_launch_encode_topk, dist_launch_seal, workspace_of(codec, count));
                    seed++;
                }
            }
        }
    }
}

/* More tiles than the block that places them has threads: it goes round, and each of its threads has several. */
static void places_many_tiles(void **)
{
    const uint64_t tiles = 3 * 4 * right::TOPK_PLACERS + 5;
    uint64_t above = 0, equal = 0;
    for (const simt::named_order &order : simt::orders) {
        std::unique_ptr<right::dist_topk_tile[]> tile(new right::dist_topk_tile[tiles]);
        for (uint64_t t = 0; t < tiles; t++)
            tile[t] = {static_cast<uint32_t>(t * 7 % 2049), static_cast<uint32_t>(t * 13 % 2049)};
        simt::set_order(order.by, order.seed);
        DIST_LAUNCH(right::topk_place_tiles, 1, right::TOPK_PLACERS, 0, nullptr, tile.get(), tiles);
        above = equal = 0;
        for (uint64_t t = 0; t < tiles; t++) {
            assert_int_equal(tile[t].above, above);
            assert_int_equal(tile[t].equal, equal);
            above += t * 7 % 2049;
            equal += t * 13 % 2049;
        }
    }
    assert_true(above > 0 && equal > 0);
}

static void decodes_what_the_definition_decodes(void **)
{
    uint64_t seed = 0;
    for (const char *text : codecs) {
        const dist_codec codec = scalar_codec(text);
        for (unsigned round = 0; round < 12; round++) {
            for (uint64_t count : counts)
                check_decode(codec, count, seed++, right::dist_launch_decode_topk);
        }
        check_decode(codec, 20011, seed++, right::dist_launch_decode_topk);
    }
}

/* The test of the test. */
static void a_missing_barrier_is_found(void **)
{
    const encode_launcher launchers[] = {planted::votes::dist_launch_encode_topk,
                                         planted::places::dist_launch_encode_topk};
    const char *const text = "topk:density=0.01:ef=int8";
    const uint64_t count = 20011, bytes = workspace_of(scalar_codec(text), count);
    for (unsigned i = 0; i < 2; i++) {
        unsigned found = 0;
        for (const simt::named_order &order : simt::orders) {
            const unsigned wrong = misses_of(text, count, launchers[i], dist_launch_seal, bytes, order);
            print_message("without barrier %u, %s: wrong in %u of 4\n", 6 + i, order.name, wrong);
            found += wrong;
            assert_int_equal(
                misses_of(text, count, right::dist_launch_encode_topk, dist_launch_seal, bytes, order), 0);
        }
        assert_true(found > 0);
    }
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(encodes_what_the_definition_encodes),
        cmocka_unit_test(takes_the_first_of_equal_ones),
        cmocka_unit_test(places_many_tiles),
        cmocka_unit_test(decodes_what_the_definition_decodes),
        cmocka_unit_test(a_missing_barrier_is_found),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
