/* The kernels of sparseloco against the definition: every byte, in every order of threads. */
#define DIST_MOST_BLOCKS 2u
#include "codec_select.h"

#include "kernels/codec_rows.cuh"
#include "kernels/codec_seal.cu"
#include "kernels/codec_select.cuh"
#include "kernels/codec_sum.cuh"
#include "kernels/sparse.h"

/* In namespaces of their own, so that no call in one finds the functions of another. */
namespace right
{
#include "kernels/codec_sparse.cu"
}
namespace planted
{
#undef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 3
namespace bins
{
#include "kernels/codec_sparse.cu"
}
#undef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 8
namespace first_warp
{
#include "kernels/codec_sparse.cu"
}
} // namespace planted

static const uint64_t counts[] = {0, 1, 2, 63, 64, 65, 129, 255, 256, 257, 4095, 4096, 4097, 12345};

static uint64_t workspace_of()
{
    return DIST_CUDA_WORK_BYTES + right::dist_workspace_sparse({}, 0);
}

static void encodes_what_the_definition_encodes(void **)
{
    uint64_t seed = 0;
    for (unsigned round = 0; round < 4; round++) {
        for (const char *feedback : run_feedbacks) {
            const dist_codec codec = scalar_codec(std::string("sparseloco") + feedback);
            for (dist_type type : run_types) {
                for (uint64_t count : counts)
                    check_encode(codec, type, count, seed++, right::dist_launch_encode_sparse,
                                 dist_launch_seal, workspace_of());
            }
            check_encode(codec, run_types[seed % 3], 20011, seed, right::dist_launch_encode_sparse,
                         dist_launch_seal, workspace_of());
            seed++;
        }
    }
    print_message("%llu frames\n", static_cast<unsigned long long>(seed));
}

static void takes_the_first_of_equal_ones(void **)
{
    uint64_t seed = 0;
    for (const char *feedback : run_feedbacks) {
        const dist_codec codec = scalar_codec(std::string("sparseloco") + feedback);
        for (int kind = 0; kind < static_cast<int>(picks::kinds); kind++) {
            for (uint64_t count : {uint64_t(65), uint64_t(4096), uint64_t(5003), uint64_t(8193)}) {
                check_picks(codec, run_types[seed % 3], count, static_cast<picks>(kind), seed,
                            right::dist_launch_encode_sparse, dist_launch_seal, workspace_of());
                seed++;
            }
        }
    }
}

static void decodes_what_the_definition_decodes(void **)
{
    const dist_codec codec = scalar_codec("sparseloco");
    uint64_t seed = 0;
    for (unsigned round = 0; round < 40; round++) {
        for (uint64_t count : counts)
            check_decode(codec, count, seed++, right::dist_launch_decode_sparse);
    }
    check_decode(codec, 40009, seed, right::dist_launch_decode_sparse);
}

/* The test of the test. */
static void a_missing_barrier_is_found(void **)
{
    const encode_launcher launchers[] = {planted::bins::dist_launch_encode_sparse,
                                         planted::first_warp::dist_launch_encode_sparse};
    const char *const text = "sparseloco:ef=int8";
    for (unsigned i = 0; i < 2; i++) {
        unsigned found = 0;
        for (const simt::named_order &order : simt::orders) {
            const unsigned wrong =
                misses_of(text, 12345, launchers[i], dist_launch_seal, workspace_of(), order);
            print_message("without barrier %u, %s: wrong in %u of 4\n", i ? 8 : 3, order.name, wrong);
            found += wrong;
            assert_int_equal(misses_of(text, 12345, right::dist_launch_encode_sparse, dist_launch_seal,
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
        cmocka_unit_test(takes_the_first_of_equal_ones),
        cmocka_unit_test(decodes_what_the_definition_decodes),
        cmocka_unit_test(a_missing_barrier_is_found),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
