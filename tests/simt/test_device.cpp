/* What a kernel finds on a device: its indices, shared memory, what lanes exchange, atomics, any order. */
#include "simt_test.h"

#include <algorithm>
#include <vector>

#include "kernels/launch.h"

static const unsigned full = 0xffffffffu;

static void in_each_order(void (*check)(const simt::named_order &))
{
    for (const simt::named_order &order : simt::orders) {
        simt::set_order(order.by, order.seed);
        check(order);
    }
}

static __global__ void note_order(unsigned *list, unsigned *count)
{
    const unsigned me = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned at = *count; /* not atomic: that would let random order switch here */
    *count = at + 1;
    list[at] = me;
}

static std::vector<unsigned> order_of(simt::order by, uint64_t seed)
{
    std::vector<unsigned> list(5 * 70);
    unsigned count = 0;
    simt::set_order(by, seed);
    DIST_LAUNCH(note_order, 5, 70, 0, nullptr, list.data(), &count);
    assert_int_equal(count, list.size());
    return list;
}

static void threads_without_a_barrier_run_in_all_orders(void **)
{
    std::vector<unsigned> forward(5 * 70);
    for (unsigned i = 0; i < forward.size(); i++)
        forward[i] = i;
    std::vector<unsigned> reverse(forward.rbegin(), forward.rend());
    assert_true(order_of(simt::order::forward, 0) == forward);
    assert_true(order_of(simt::order::reverse, 0) == reverse);

    std::vector<unsigned> random = order_of(simt::order::random, 1);
    assert_true(random == order_of(simt::order::random, 1));
    assert_true(random != order_of(simt::order::random, 2));
    assert_true(random != forward && random != reverse);
    assert_false(std::is_sorted(random.begin(), random.begin() + 70)); /* not the blocks alone */
    std::sort(random.begin(), random.end());
    assert_true(random == forward);
}

static __global__ void note_indices(uint4 *seen)
{
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    const unsigned lane = thread % warpSize;
    const unsigned mask = threads - (thread - lane) >= 32 ? full : (1u << threads % 32) - 1;
    seen[block * threads + thread] = make_uint4(block, thread, __shfl_sync(mask, thread, 0), 1);
}

static void check_indices(const simt::named_order &)
{
    const dim3 grid(2, 3, 4), block(5, 3, 7);
    std::vector<uint4> seen(24 * 105);
    DIST_LAUNCH(note_indices, grid, block, 0, nullptr, seen.data());
    for (unsigned i = 0; i < seen.size(); i++) {
        assert_int_equal(seen[i].x, i / 105);
        assert_int_equal(seen[i].y, i % 105);
        assert_int_equal(seen[i].z, i % 105 / 32 * 32);
        assert_int_equal(seen[i].w, 1);
    }
}

static void indices_have_three_dimensions(void **)
{
    in_each_order(check_indices);
}

/* Each lane's value is told from the others' in all 8 bytes. */
static __host__ __device__ unsigned long long value_of(unsigned lane)
{
    return 0x0123456789abcdefull * (lane + 1);
}

template <typename type, int width> static __global__ void shuffle(type *given, type *found)
{
    const unsigned lane = threadIdx.x;
    const type mine = given[lane];
    const int from = static_cast<int>(lane * 5 + 3) % width;
    found[lane] = static_cast<type>(__shfl_sync(full, mine, from, width));
    found[32 + lane] = static_cast<type>(__shfl_xor_sync(full, mine, width - 1, width));
    found[64 + lane] = static_cast<type>(__shfl_down_sync(full, mine, 3 % width, width));
    found[96 + lane] = static_cast<type>(__shfl_up_sync(full, mine, 3 % width, width));
}

template <typename type, int width> static void check_shuffle(const simt::named_order &)
{
    type given[32], found[128];
    for (unsigned lane = 0; lane < 32; lane++)
        given[lane] = static_cast<type>(value_of(lane));
    DIST_LAUNCH((shuffle<type, width>), 1, 32, 0, nullptr, given, found);
    for (int lane = 0; lane < 32; lane++) {
        const int first = lane / width * width, step = 3 % width;
        assert_true(found[lane] == given[first + (lane * 5 + 3) % width]);
        assert_true(found[32 + lane] == given[lane ^ (width - 1)]);
        assert_true(found[64 + lane] == given[lane + step < first + width ? lane + step : lane]);
        assert_true(found[96 + lane] == given[lane - step >= first ? lane - step : lane]);
    }
}

static void lanes_shuffle(void **)
{
    in_each_order(check_shuffle<int, 32>);
    in_each_order(check_shuffle<unsigned, 8>);
    in_each_order(check_shuffle<unsigned long long, 16>);
    in_each_order(check_shuffle<float, 32>);
    in_each_order(check_shuffle<double, 4>);
    in_each_order(check_shuffle<uint16_t, 2>);
}

/* The halves of a warp go separate ways, and meet again. */
static __global__ void vote(unsigned *found)
{
    const unsigned lane = threadIdx.x % 32;
    unsigned *const mine = found + threadIdx.x * 4;
    if (lane < 16) {
        mine[0] = __ballot_sync(0x0000ffffu, lane % 3 == 0);
        mine[1] = static_cast<unsigned>(__all_sync(0x0000ffffu, lane < 15));
    } else {
        mine[1] = static_cast<unsigned>(__all_sync(0xffff0000u, lane >= 16));
        mine[0] = __ballot_sync(0xffff0000u, 2);
    }
    __syncwarp();
    mine[2] = static_cast<unsigned>(__any_sync(full, lane == 31));
    mine[3] = static_cast<unsigned>(__any_sync(full, lane == 32));
}

static void check_vote(const simt::named_order &)
{
    unsigned found[64][4];
    DIST_LAUNCH(vote, 1, 64, 0, nullptr, found[0]);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(found[i][0], i % 32 < 16 ? 0x9249u : 0xffff0000u);
        assert_int_equal(found[i][1], i % 32 < 16 ? 0 : 1);
        assert_int_equal(found[i][2], 1);
        assert_int_equal(found[i][3], 0);
    }
}

static void lanes_vote(void **)
{
    in_each_order(check_vote);
}

template <typename type> static __global__ void show_shared(unsigned *bad)
{
    DIST_SHARED(type, numbers, [3][100]);
    DIST_SHARED(unsigned, count, );
    DIST_SHARED_DYNAMIC(unsigned char, bytes);
    bool filled = reinterpret_cast<unsigned char *>(&count)[3] == bytes[0];
    for (unsigned i = 0; i < sizeof numbers; i++)
        filled = filled && reinterpret_cast<unsigned char *>(numbers)[i] == bytes[0];
    for (unsigned i = 0; i < 77; i++)
        filled = filled && bytes[i] == bytes[0];
    filled = filled && (bytes[0] == 0xff || bytes[0] == 0x7b);
    __syncthreads();
    numbers[2][threadIdx.x] = static_cast<type>(threadIdx.x);
    bytes[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
    if (threadIdx.x == 0)
        count = 5;
    __syncthreads();
    const unsigned other = 63 - threadIdx.x;
    if (!filled || numbers[2][other] != static_cast<type>(other) || bytes[other] != other || count != 5)
        atomicAdd(bad, 1);
}

static void check_shared(const simt::named_order &)
{
    unsigned bad = 0;
    DIST_LAUNCH(show_shared<float>, 3, 64, 77, nullptr, &bad);
    DIST_LAUNCH(show_shared<uint16_t>, 3, 64, 77, nullptr, &bad);
    assert_int_equal(bad, 0);
}

static void shared_memory_is_filled_before_each_block(void **)
{
    in_each_order(check_shared);
}

static __global__ void use_atomics(unsigned *sums, unsigned long long *wide, float *real, int *largest)
{
    const unsigned me = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(&sums[0], 2);
    atomicOr(&sums[1], 1u << me % 32);
    atomicXor(&sums[2], me);
    for (unsigned before = sums[3], seen; (seen = atomicCAS(&sums[3], before, before + 3)) != before;)
        before = seen;
    atomicAdd(wide, 0x100000000ull);
    atomicAdd(real, 0.5f);
    atomicMax(largest, static_cast<int>(me) - 100);
}

static void check_atomics(const simt::named_order &)
{
    unsigned sums[4] = {};
    unsigned long long wide = 0;
    float real = 0;
    int largest = -1000;
    DIST_LAUNCH(use_atomics, 3, 64, 0, nullptr, sums, &wide, &real, &largest);
    assert_int_equal(sums[0], 384);
    assert_int_equal(sums[1], full);
    assert_int_equal(sums[2], 0); /* of 0 to 191 */
    assert_int_equal(sums[3], 576);
    assert_true(wide == 192 * 0x100000000ull && real == 96.0f);
    assert_int_equal(largest, 91);
}

static void atomics_lose_nothing(void **)
{
    in_each_order(check_atomics);
}

static __global__ void add_without_atomics(unsigned *sum)
{
    const unsigned before = *sum;
    __threadfence();
    *sum = before + 1;
}

static void random_order_switches_at_a_fence(void **)
{
    unsigned sum = 0;
    simt::set_order(simt::order::random, 1);
    DIST_LAUNCH(add_without_atomics, 1, 256, 0, nullptr, &sum);
    assert_in_range(sum, 1, 255);
}

static void bits_are_counted_as_on_a_device(void **)
{
    assert_int_equal(__popc(0xf0f00001u), 9);
    assert_int_equal(__popcll(0xf0f0000100000001ull), 10);
    assert_int_equal(__ffs(0), 0);
    assert_int_equal(__ffs(0x50), 5);
    assert_int_equal(__clz(0), 32);
    assert_int_equal(__clz(-1), 0);
    assert_int_equal(__clz(0x00010000), 15);
    assert_int_equal(__clzll(0), 64);
    assert_int_equal(__ffsll(1ll << 40), 41);
    assert_int_equal(__brev(0x00000001u), 0x80000000u);
    assert_int_equal(__brev(0x12345678u), 0x1e6a2c48u);
    const float value = 2.5f;
    assert_true(__ldg(&value) == 2.5f);
}

static void launches_are_checked_as_on_a_device(void **)
{
    unsigned count = 0, list[1];
    DIST_LAUNCH(note_order, 0, 1, 0, nullptr, list, &count);
    assert_int_equal(cudaPeekAtLastError(), cudaErrorInvalidConfiguration);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    DIST_LAUNCH(note_order, 1, 1025, 0, nullptr, list, &count);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    DIST_LAUNCH(note_order, dim3(1, 65536), 1, 0, nullptr, list, &count);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    DIST_LAUNCH(note_order, 1, 1, 48 * 1024 + 1, nullptr, list, &count);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    assert_int_equal(count, 0);

    DIST_LAUNCH(note_order, 1, 1, 48 * 1024, nullptr, list, &count);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    assert_int_equal(count, 1);
    assert_int_equal(cudaMemsetAsync(list, 0x11, sizeof list, nullptr), cudaSuccess);
    assert_int_equal(cudaMemcpyAsync(&count, list, sizeof list, cudaMemcpyDefault, nullptr), cudaSuccess);
    assert_int_equal(count, 0x11111111);
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(threads_without_a_barrier_run_in_all_orders),
        cmocka_unit_test(indices_have_three_dimensions),
        cmocka_unit_test(lanes_shuffle),
        cmocka_unit_test(lanes_vote),
        cmocka_unit_test(shared_memory_is_filled_before_each_block),
        cmocka_unit_test(atomics_lose_nothing),
        cmocka_unit_test(random_order_switches_at_a_fence),
        cmocka_unit_test(bits_are_counted_as_on_a_device),
        cmocka_unit_test(launches_are_checked_as_on_a_device),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
