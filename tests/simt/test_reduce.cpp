/* The kernels of sums, minima, maxima and divisions against the host's: every byte, in every order of threads. */
#define DIST_REDUCE_BLOCKS 3u
#include "codec_run.h"

extern "C" {
#include "device/device.h"
}

#include "kernels/reduce.cu"

typedef int (*reduce_launcher)(uint32_t type, uint32_t reduction, void *dst, const void *src, uint64_t count,
                               cudaStream_t stream);
typedef int (*divide_launcher)(uint32_t type, void *data, uint64_t count, int divisor, cudaStream_t stream);

static const unsigned sizes[DIST_TYPES] = {4, 2, 2, 8, 4, 8};
static const dist_reduction reductions[] = {DIST_SUM, DIST_MIN, DIST_MAX}; /* by DIST_CUDA_SUM and so on */

/* By which the two buffers begin beyond a multiple of 64 bytes, in elements. */
static const unsigned shifts[][2] = {{0, 0}, {1, 1}, {3, 3}, {7, 7}, {8, 0}, {0, 1}, {2, 0}, {5, 4}, {1, 6}};
static const uint64_t courses = 4 * sizeof shifts / sizeof *shifts;

static const int divisors[] = {1, 2, 3, 7, 10, 1000003, 16777217, INT32_MAX};

enum class data { bits, common, ones };

/* Zeros, NaNs that are quiet, that signal and with payloads, infinities, the ends of the subnormal numbers, ends of the
 * range, and neighbours of 1: what a pattern of `bits` bits with `mantissa` of them for the fraction can be. */
static std::string special_values(unsigned size, unsigned mantissa)
{
    const uint64_t one = 1, sign = one << (8 * size - 1), infinity = sign - (one << mantissa);
    const uint64_t unit = (infinity >> 1) & ~((one << mantissa) - 1);
    const uint64_t magnitudes[] = {0,
                                   1,
                                   2,
                                   (one << mantissa) - 1,
                                   one << mantissa,
                                   unit - 1,
                                   unit,
                                   unit + 1,
                                   unit + (one << mantissa),
                                   infinity - 1,
                                   infinity - (one << (mantissa - 1)),
                                   infinity,
                                   infinity + 1,
                                   infinity + (one << (mantissa - 1)),
                                   infinity + (one << (mantissa - 1)) + 5,
                                   sign - 1};
    std::string made;
    for (uint64_t i = 0; i < 32; i++) {
        const uint64_t value = magnitudes[i / 2] | (i % 2 ? sign : 0);
        made.append(reinterpret_cast<const char *>(&value), size);
    }
    return made;
}

static std::string specials_of(dist_type type)
{
    static const unsigned mantissas[DIST_TYPES] = {23, 10, 7, 52, 23, 52}; /* integers: as good as any bits */
    return special_values(sizes[type], mantissas[type]);
}

/* 1 for each type, whose sums and quotients by 2 differ from it. */
static void write_one(dist_type type, uint8_t *at)
{
    const float one = 1;
    const double wide = 1;
    const uint16_t half = 0x3c00, bfloat = 0x3f80;
    const int32_t number = 1;
    const int64_t large = 1;
    const void *const ones[DIST_TYPES] = {&one, &half, &bfloat, &wide, &number, &large};
    memcpy(at, ones[type], sizes[type]);
}

/* Numbers between -8 and 8, integers of 20 bits. */
static void write_common(dist_type type, inputs::stream *draw, uint8_t *at)
{
    const int32_t number = static_cast<int32_t>(inputs::draw_bits(draw) >> 12) - (1 << 19);
    const float value = static_cast<float>(number) / 65536;
    const double wide = static_cast<double>(number) / 65537;
    const uint16_t half = dist_half_from_float(value), bfloat = dist_bfloat_from_float(value);
    const int64_t large = static_cast<int64_t>(number) * (1 << 20);
    const void *const all[DIST_TYPES] = {&value, &half, &bfloat, &wide, &number, &large};
    memcpy(at, all[type], sizes[type]);
}

static region fill(dist_type type, uint64_t count, data kind, uint64_t seed)
{
    const unsigned size = sizes[type];
    region made(count * size);
    inputs::stream draw = {seed * 2654435761u + 11};
    const std::string specials = specials_of(type);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *const at = made.data + i * size;
        const uint64_t bits =
            static_cast<uint64_t>(inputs::draw_bits(&draw)) << 32 | inputs::draw_bits(&draw);
        memcpy(at, &bits, size);
        if (kind == data::ones)
            write_one(type, at);
        else if (kind == data::common)
            write_common(type, &draw, at);
        else if (bits >> 7 & 1)
            memcpy(at, specials.data() + bits % 32 * size, size);
    }
    return made;
}

/* The orders and the beginnings of the buffers in all pairs, as i counts. */
struct way {
    explicit way(uint64_t i)
        : order(simt::orders[i % 4]), dst(shifts[i / 4 % (courses / 4)][0]),
          src(shifts[i / 4 % (courses / 4)][1])
    {
        simt::set_order(order.by, order.seed + i);
    }
    simt::named_order order;
    unsigned dst, src;
};

static bool reduces(dist_type type, uint32_t reduction, const region &dst, const region &src, uint64_t i,
                    reduce_launcher launch)
{
    const uint64_t count = dst.bytes / sizes[type];
    const way by(i);
    const region wanted(dst, 0), found(dst, by.dst * sizes[type]), from(src, by.src * sizes[type]);
    dist_device_host.reduce(type, reductions[reduction], wanted.data, src.data, count);
    assert_int_equal(launch(type, reduction, found.data, from.data, count, nullptr), cudaSuccess);
    if (wanted == found && from == src)
        return true;
    if (launch == dist_launch_reduce) /* else it should be */
        print_message("type %d, reduction %u of %llu elements, %s, shifts %u and %u: byte %llu differs\n",
                      static_cast<int>(type), reduction, static_cast<unsigned long long>(count),
                      by.order.name, by.dst, by.src,
                      static_cast<unsigned long long>(wanted.difference(found)));
    return false;
}

static bool divides(dist_type type, const region &data, int divisor, uint64_t i, divide_launcher launch)
{
    const uint64_t count = data.bytes / sizes[type];
    const way by(i);
    const region wanted(data, 0), found(data, by.dst * sizes[type]);
    dist_device_host.divide(type, wanted.data, count, divisor);
    assert_int_equal(launch(type, found.data, count, divisor, nullptr), cudaSuccess);
    if (wanted == found)
        return true;
    if (launch == dist_launch_divide)
        print_message("type %d, %llu elements / %d, %s, shift %u: byte %llu differs\n",
                      static_cast<int>(type), static_cast<unsigned long long>(count), divisor, by.order.name,
                      by.dst, static_cast<unsigned long long>(wanted.difference(found)));
    return false;
}

static dist_type type_of(unsigned i)
{
    return static_cast<dist_type>(i);
}

/* Every special value with every other. */
static void special_values_are_the_host_s(void **)
{
    for (unsigned t = 0; t < DIST_TYPES; t++) {
        const unsigned size = sizes[t];
        const std::string specials = specials_of(type_of(t));
        const region dst(32 * 32 * size), src(32 * 32 * size);
        for (unsigned i = 0; i < 32 * 32; i++) {
            memcpy(dst.data + i * size, specials.data() + i / 32 * size, size);
            memcpy(src.data + i * size, specials.data() + i % 32 * size, size);
        }
        for (uint64_t i = 0; i < courses; i++) {
            for (uint32_t reduction = 0; reduction < 3; reduction++)
                assert_true(reduces(type_of(t), reduction, dst, src, i, dist_launch_reduce));
            for (int divisor : divisors)
                assert_true(divides(type_of(t), dst, divisor, i, dist_launch_divide));
        }
    }
}

/* Ends of blocks and of vectors, one block, more blocks than are launched. */
static const uint64_t counts[] = {0,    1,    2,    3,     5,     7,     8,     9,     15,   16,   17,
                                  31,   33,   127,  1000,  2048,  4095,  4096,  4097,  8191, 8192, 8195,
                                  8200, 8223, 9001, 12288, 12299, 24576, 24593, 30011, 70001};

static void all_counts_are_the_host_s(void **)
{
    uint64_t i = 0;
    for (unsigned t = 0; t < DIST_TYPES; t++) {
        for (uint64_t count : counts) {
            const unsigned rounds = count < 100 ? courses : count < 10000 ? 5 : 2;
            for (unsigned round = 0; round < rounds; round++, i++) {
                const data kind = round % 2 ? data::common : data::bits;
                const region dst = fill(type_of(t), count, kind, 2 * i);
                const region src = fill(type_of(t), count, kind, 2 * i + 1);
                for (uint32_t reduction = 0; reduction < 3; reduction++)
                    assert_true(reduces(type_of(t), reduction, dst, src, i, dist_launch_reduce));
                assert_true(divides(type_of(t), dst, divisors[i % 8], i, dist_launch_divide));
            }
        }
    }
}

/* Leave out one element. */
static uint64_t left_out;

static int reduce_but_one(uint32_t type, uint32_t reduction, void *dst, const void *src, uint64_t count,
                          cudaStream_t stream)
{
    const uint64_t begin = left_out * sizes[type], end = begin + sizes[type];
    const int error = dist_launch_reduce(type, reduction, dst, src, left_out, stream);
    return error ? error
                 : dist_launch_reduce(type, reduction, static_cast<uint8_t *>(dst) + end,
                                      static_cast<const uint8_t *>(src) + end, count - left_out - 1, stream);
}

static int divide_but_one(uint32_t type, void *data, uint64_t count, int divisor, cudaStream_t stream)
{
    const uint64_t end = (left_out + 1) * sizes[type];
    const int error = dist_launch_divide(type, data, left_out, divisor, stream);
    return error ? error
                 : dist_launch_divide(type, static_cast<uint8_t *>(data) + end, count - left_out - 1, divisor,
                                      stream);
}

static void a_missing_element_is_found(void **)
{
    for (unsigned t = 0; t < DIST_TYPES; t++) {
        const region dst = fill(type_of(t), 5003, data::ones, 0), src = fill(type_of(t), 5003, data::ones, 0);
        for (uint64_t missing : {0, 1, 4095, 5002}) {
            left_out = missing;
            assert_false(reduces(type_of(t), DIST_CUDA_SUM, dst, src, missing, reduce_but_one));
            assert_false(divides(type_of(t), dst, 2, missing, divide_but_one));
            assert_true(reduces(type_of(t), DIST_CUDA_SUM, dst, src, missing, dist_launch_reduce));
        }
    }
}

static void refuses_what_there_is_not(void **)
{
    alignas(16) uint8_t a[64] = {0}, b[64] = {0};
    assert_int_equal(dist_launch_reduce(DIST_CUDA_TYPES, DIST_CUDA_SUM, a, b, 1, nullptr),
                     cudaErrorInvalidValue);
    assert_int_equal(dist_launch_reduce(DIST_CUDA_INT32, DIST_CUDA_MAX + 1, a, b, 1, nullptr),
                     cudaErrorInvalidValue);
    assert_int_equal(dist_launch_divide(DIST_CUDA_TYPES, a, 1, 1, nullptr), cudaErrorInvalidValue);
    assert_int_equal(dist_launch_divide(DIST_CUDA_INT32, a, 1, 0, nullptr), cudaErrorInvalidValue);
    for (unsigned t = 0; t < DIST_TYPES; t++) {
        const unsigned half = sizes[t] / 2;
        assert_int_equal(dist_launch_reduce(t, DIST_CUDA_SUM, a + half, b, 1, nullptr),
                         cudaErrorInvalidValue);
        assert_int_equal(dist_launch_reduce(t, DIST_CUDA_SUM, a, b + half, 1, nullptr),
                         cudaErrorInvalidValue);
        assert_int_equal(dist_launch_divide(t, a + half, 1, 1, nullptr), cudaErrorInvalidValue);
        assert_int_equal(dist_launch_reduce(t, DIST_CUDA_SUM, nullptr, nullptr, 0, nullptr), cudaSuccess);
        assert_int_equal(dist_launch_divide(t, nullptr, 0, 3, nullptr), cudaSuccess);
    }
}

/* Types are numbered as dist_type is; each kernel is another one. */
static void kernels_are_listed(void **)
{
    const unsigned types[] = {DIST_CUDA_FLOAT32, DIST_CUDA_FLOAT16, DIST_CUDA_BFLOAT16,
                              DIST_CUDA_FLOAT64, DIST_CUDA_INT32,   DIST_CUDA_INT64};
    const unsigned wanted[] = {DIST_FLOAT32, DIST_FLOAT16, DIST_BFLOAT16,
                               DIST_FLOAT64, DIST_INT32,   DIST_INT64};
    assert_memory_equal(types, wanted, sizeof types);
    unsigned number = 0;
    for (; dist_reduce_kernel(number); number++) {
        for (unsigned i = 0; i < number; i++)
            assert_ptr_not_equal(dist_reduce_kernel(i), dist_reduce_kernel(number));
    }
    assert_int_equal(number, 4 * DIST_TYPES);
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(special_values_are_the_host_s),
        cmocka_unit_test(all_counts_are_the_host_s),
        cmocka_unit_test(a_missing_element_is_found),
        cmocka_unit_test(refuses_what_there_is_not),
        cmocka_unit_test(kernels_are_listed),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
