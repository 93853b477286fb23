/* The test of the test: a kernel that is right passes in every order, and one that lacks a barrier is found. */
#include "simt_test.h"

#include <vector>

#include "kernels/launch.h"
#include "kernels/quantize.h"

namespace right
{
#include "example.cu"
}
namespace without_first
{
#undef EXAMPLE_WITHOUT
#define EXAMPLE_WITHOUT 1
#include "example.cu"
} // namespace without_first
namespace without_second
{
#undef EXAMPLE_WITHOUT
#define EXAMPLE_WITHOUT 2
#include "example.cu"
} // namespace without_second

typedef cudaError_t (*launcher)(const float *, int8_t *, float *, unsigned, cudaStream_t);

struct outcome {
    std::vector<int8_t> q;
    std::vector<float> scales;
};

/* Heights that differ from segment to segment and from warp to warp, so that a stale or unwritten peak shows. */
static std::vector<float> input_of(unsigned segments)
{
    std::vector<float> x(segments * 256);
    uint32_t state = segments;
    for (size_t i = 0; i < x.size(); i++) {
        state = state * 1664525u + 1013904223u;
        const float height = static_cast<float>(1 + (i / 32 * 7 + i / 256 * 3) % 11);
        x[i] = height * (static_cast<float>(state >> 8) / 8388608.0f - 1.0f);
    }
    return x;
}

static outcome scalar(const std::vector<float> &x)
{
    outcome made = {std::vector<int8_t>(x.size()), std::vector<float>(x.size() / 256)};
    for (size_t segment = 0; segment < made.scales.size(); segment++) {
        uint32_t peak = 0;
        for (size_t i = segment * 256; i < segment * 256 + 256; i++)
            peak = dist_magnitude(x[i]) > peak ? dist_magnitude(x[i]) : peak;
        made.scales[segment] = dist_scale8(peak);
        for (size_t i = segment * 256; i < segment * 256 + 256; i++)
            made.q[i] =
                static_cast<int8_t>(dist_quantize(x[i], dist_divisor(made.scales[segment]), DIST_QMAX8));
    }
    return made;
}

static bool agrees(launcher launch, unsigned segments)
{
    const std::vector<float> x = input_of(segments);
    const outcome wanted = scalar(x);
    outcome found = {std::vector<int8_t>(x.size()), std::vector<float>(segments)};
    assert_int_equal(launch(x.data(), found.q.data(), found.scales.data(), segments, nullptr), cudaSuccess);
    return found.q == wanted.q &&
           memcmp(found.scales.data(), wanted.scales.data(), segments * sizeof(float)) == 0;
}

static void is_right_in_every_order(void **)
{
    for (const simt::named_order &order : simt::orders) {
        for (unsigned segments = 1; segments <= 9; segments++) {
            simt::set_order(order.by, order.seed);
            if (!agrees(right::launch_quantize, segments))
                fail_msg("%s, %u segments: not what the scalar code gives", order.name, segments);
        }
    }
}

/* How many of 4 launches in this order differ from the scalar code. */
static unsigned misses(launcher launch, const simt::named_order &order)
{
    unsigned wrong = 0;
    simt::set_order(order.by, order.seed);
    for (unsigned segments = 6; segments <= 9; segments++)
        wrong += !agrees(launch, segments);
    return wrong;
}

static void a_missing_barrier_is_found(void **)
{
    const launcher planted[] = {without_first::launch_quantize, without_second::launch_quantize};
    for (unsigned i = 0; i < 2; i++) {
        unsigned found = 0;
        for (const simt::named_order &order : simt::orders) {
            const unsigned wrong = misses(planted[i], order);
            print_message("without barrier %u, %s: wrong in %u of 4\n", i + 1, order.name, wrong);
            found += wrong;
        }
        assert_true(found > 0);
    }
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(is_right_in_every_order),
        cmocka_unit_test(a_missing_barrier_is_found),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
