/* Each way to CRC32C against the published answers and against kernels/crc32c.h, a bit at a time; and that header's
 * pieces against the whole. */
#define _POSIX_C_SOURCE 200809L
#include "codec_data.h"

#include "codec/crc32c.h"
#include "kernels/crc32c.h"

/* A copy without a byte after it, so that a sanitizer sees what is read beyond; `misaligned` by that much. */
typedef struct copy {
    uint8_t *memory, *bytes;
} copy;

static copy copy_of(const uint8_t *bytes, uint64_t n, uint64_t misaligned)
{
    copy made;
    void *memory;
    assert_int_equal(posix_memalign(&memory, 64, misaligned + n + (n == 0)), 0);
    made.memory = memory;
    made.bytes = made.memory + misaligned;
    memcpy(made.bytes, bytes, n);
    return made;
}

static uint8_t *random_bytes(uint64_t n, uint64_t seed)
{
    uint8_t *bytes = malloc(n);
    assert_non_null(bytes);
    stream draw = {seed};
    for (uint64_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)draw_bits(&draw);
    return bytes;
}

static uint64_t draw_below(stream *draw, uint64_t most)
{
    return ((uint64_t)draw_bits(draw) << 32 | draw_bits(draw)) % most;
}

static uint32_t state_of(uint32_t state, const uint8_t *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        state = dist_crc32c_byte(state, bytes[i]);
    return state;
}

/* The state of every way that this CPU has; they must agree with `wanted`. */
static void check_ways(uint32_t wanted, uint32_t state, const uint8_t *bytes, uint64_t n)
{
    for (int way = 0; way < DIST_CRC32C_WAYS; way++) {
        dist_crc32c_update *const update = dist_crc32c_update_by((dist_crc32c_way)way);
        const uint32_t found = update ? update(state, bytes, n) : wanted;
        if (found != wanted)
            fail_msg("way %d, %llu bytes: 0x%08x, not 0x%08x", way, (unsigned long long)n, found, wanted);
    }
}

/* RFC 3720, appendix B.4, and the check value of the catalogues. */
static void published_answers(void **state)
{
    (void)state;
    static const uint8_t read_pdu[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};
    uint8_t zeros[32], ones[32], up[32], down[32];
    for (int i = 0; i < 32; i++) {
        zeros[i] = 0;
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    const struct {
        const void *bytes;
        uint64_t n;
        uint32_t crc;
    } answers[] = {{zeros, 32, 0x8a9136aa},
                   {ones, 32, 0x62a8ab43},
                   {up, 32, 0x46dd794e},
                   {down, 32, 0x113fdb5c},
                   {read_pdu, 48, 0xd9963a56},
                   {"123456789", 9, 0xe3069283},
                   {"", 0, 0}};
    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
        assert_int_equal(dist_crc32c(0, answers[i].bytes, answers[i].n), answers[i].crc);
        assert_int_equal(~state_of(~0u, answers[i].bytes, answers[i].n), answers[i].crc);
        check_ways(~answers[i].crc, ~0u, answers[i].bytes, answers[i].n);
    }
}

static void best_way_of_this_cpu(void **state)
{
    (void)state;
    static const dist_crc32c_way best_first[] = {DIST_CRC32C_AVX512, DIST_CRC32C_SSE42, DIST_CRC32C_ARM,
                                                 DIST_CRC32C_SCALAR};
    dist_crc32c_update *best = NULL;
    for (unsigned i = 0; i < sizeof best_first / sizeof *best_first && !best; i++)
        best = dist_crc32c_update_by(best_first[i]);
    assert_non_null(dist_crc32c_update_by(DIST_CRC32C_SCALAR));
    assert_ptr_equal(dist_crc32c_update_by(DIST_CRC32C_AUTO), best);
    assert_null(dist_crc32c_update_by(DIST_CRC32C_WAYS));
}

static void every_short_length(void **state)
{
    (void)state;
    stream draw = {1};
    uint8_t *const bytes = random_bytes(600, 2);
    for (uint64_t n = 0; n <= 600; n++) {
        const uint32_t begin = draw_bits(&draw), wanted = state_of(begin, bytes, n);
        for (uint64_t misaligned = n % 7; misaligned < 64; misaligned += 7) {
            const copy made = copy_of(bytes, n, misaligned);
            check_ways(wanted, begin, made.bytes, n);
            free(made.memory);
        }
    }
    free(bytes);
}

/* Around the pieces that the ways work in, and anywhere. */
static void long_buffers(void **state)
{
    (void)state;
    enum { MOST = 1 << 20 };
    static const uint64_t pieces[] = {64, 256, 3 * 128, 3 * 1024, 3 * 4096, 65536};
    stream draw = {3};
    uint8_t *const bytes = random_bytes(MOST, 4);
    for (unsigned p = 0; p < sizeof pieces / sizeof *pieces; p++)
        for (uint64_t times = 1; times <= 3; times++)
            for (uint64_t n = times * pieces[p] - 1; n <= times * pieces[p] + 1; n++) {
                const uint32_t begin = draw_bits(&draw);
                check_ways(state_of(begin, bytes, n), begin, bytes, n);
            }
    for (int i = 0; i < 12; i++) {
        const uint64_t at = draw_below(&draw, 64), n = draw_below(&draw, MOST - at);
        const uint32_t begin = draw_bits(&draw);
        check_ways(state_of(begin, bytes + at, n), begin, bytes + at, n);
    }
    free(bytes);
}

static void every_split(void **state)
{
    (void)state;
    enum { N = 1500 };
    uint8_t *const bytes = random_bytes(N, 5);
    const uint32_t whole = dist_crc32c(0, bytes, N);
    assert_int_equal(whole, ~state_of(~0u, bytes, N));
    for (uint64_t n = 0; n <= N; n++) {
        const uint32_t first = dist_crc32c(0, bytes, n), second = dist_crc32c(0, bytes + n, N - n);
        assert_int_equal(dist_crc32c(first, bytes + n, N - n), whole);
        assert_int_equal(dist_crc32c_combine(first, second, N - n), whole);
        assert_int_equal(dist_crc32c_append(first, state_of(0, bytes + n, N - n), N - n), whole);
    }
    free(bytes);
}

static void flipped_bits_show(void **state)
{
    (void)state;
    enum { N = 601 };
    uint8_t *const bytes = random_bytes(N, 6);
    for (int way = 0; way < DIST_CRC32C_WAYS; way++) {
        dist_crc32c_update *const update = dist_crc32c_update_by((dist_crc32c_way)way);
        if (!update)
            continue;
        const uint32_t whole = update(~0u, bytes, N);
        for (unsigned bit = 0; bit < 8 * N; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(update(~0u, bytes, N), whole);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    free(bytes);
}

/* In the usual order of bits, by long division. */
static uint32_t reversed(uint32_t a)
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++)
        bits |= (a >> i & 1) << (31 - i);
    return bits;
}

static uint32_t product_by_division(uint32_t a, uint32_t b)
{
    uint64_t product = 0;
    for (int i = 0; i < 32; i++)
        product ^= reversed(a) >> i & 1 ? (uint64_t)reversed(b) << i : 0;
    for (int i = 63; i >= 32; i--)
        product ^= product >> i & 1 ? 0x11edc6f41u << (i - 32) : 0;
    return reversed((uint32_t)product);
}

static void multiplies(void **state)
{
    (void)state;
    stream draw = {7};
    for (int i = 0; i < 20000; i++) {
        const uint32_t a = draw_bits(&draw), b = draw_bits(&draw);
        assert_int_equal(dist_crc32c_multiply(a, b), product_by_division(a, b));
        assert_int_equal(dist_crc32c_multiply(a, DIST_CRC32C_ONE), a);
        assert_int_equal(dist_crc32c_times_x(a), product_by_division(a, DIST_CRC32C_ONE >> 1));
        assert_int_equal(dist_crc32c_word(a, b),
                         product_by_division(a ^ b, DIST_CRC32C_POLYNOMIAL)); /* x^32 */
        const uint8_t bytes[4] = {(uint8_t)b, (uint8_t)(b >> 8), (uint8_t)(b >> 16), (uint8_t)(b >> 24)};
        assert_int_equal(dist_crc32c_word(a, b), state_of(a, bytes, 4));
    }
}

static void shifts(void **state)
{
    (void)state;
    stream draw = {8};
    const uint32_t begin = draw_bits(&draw);
    uint32_t zeros = begin;
    for (uint64_t n = 0; n <= 5000; n++, zeros = dist_crc32c_byte(zeros, 0))
        assert_int_equal(dist_crc32c_shift(begin, n), zeros);
    uint32_t square = product_by_division(DIST_CRC32C_ONE, DIST_CRC32C_ONE >> 8);
    for (int k = 0; k < 64; k++, square = product_by_division(square, square))
        assert_int_equal(dist_crc32c_shift(begin, (uint64_t)1 << k), product_by_division(begin, square));
    for (int i = 0; i < 2000; i++) {
        const uint64_t total = draw_below(&draw, ((uint64_t)1 << 40) + 1), n = draw_below(&draw, total + 1);
        const uint32_t a = draw_bits(&draw);
        const uint32_t twice = dist_crc32c_shift(dist_crc32c_shift(a, n), total - n);
        assert_int_equal(dist_crc32c_shift(a, total), twice);
    }
}

/* 4 TiB and a few bytes, without summing them. */
static void combines_far(void **state)
{
    (void)state;
    uint8_t zeros[4096] = {0};
    uint32_t crc = dist_crc32c(0, zeros, sizeof zeros);
    for (uint64_t n = sizeof zeros; n < (uint64_t)1 << 42; n *= 2)
        crc = dist_crc32c_combine(crc, crc, n);
    assert_int_equal(crc, ~dist_crc32c_shift(~0u, (uint64_t)1 << 42));
    assert_int_equal(dist_crc32c_combine(crc, dist_crc32c(0, "123456789", 9), 9),
                     dist_crc32c(crc, "123456789", 9));
}

static void tables_multiply(void **state)
{
    (void)state;
    static const uint64_t distances[] = {0, 1, 4, 128, 1024, 12345, (uint64_t)1 << 40};
    stream draw = {9};
    for (unsigned d = 0; d < sizeof distances / sizeof *distances; d++) {
        uint32_t table[DIST_CRC32C_ENTRIES + 1] = {0};
        table[DIST_CRC32C_ENTRIES] = 0xdeadbeef;
        for (unsigned thread = 0; thread < 96; thread++)
            dist_crc32c_fill(table, distances[d], thread, 96);
        assert_int_equal(table[DIST_CRC32C_ENTRIES], 0xdeadbeef);
        for (int i = 0; i < 1000; i++) {
            const uint32_t a = draw_bits(&draw);
            assert_int_equal(dist_crc32c_by_table(table, a), dist_crc32c_shift(a, distances[d]));
        }
    }
}

/* As a block of a GPU sums its words: thread t takes words t, t + THREADS, ..., the block takes part of the whole. */
static uint32_t block_state(const uint8_t *bytes, uint64_t words)
{
    enum { THREADS = 96 };
    uint32_t table[DIST_CRC32C_ENTRIES], sum = 0;
    dist_crc32c_fill(table, 4 * THREADS, 0, 1);
    for (uint64_t thread = 0; thread < THREADS && thread < words; thread++) {
        uint32_t state = 0;
        uint64_t last = thread;
        for (uint64_t w = thread; w < words; last = w, w += THREADS) {
            uint32_t word;
            memcpy(&word, bytes + 4 * w, 4);
            state = dist_crc32c_by_table(table, state) ^ word;
        }
        sum ^= dist_crc32c_shift(state, 4 * (words - last));
    }
    return sum;
}

static void blocks_add_up(void **state)
{
    (void)state;
    enum { WORDS = 5000 };
    uint8_t *const bytes = random_bytes(4 * WORDS, 10);
    static const uint64_t sizes[] = {1, 50, 95, 96, 97, 192, 1000, WORDS};
    for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint32_t sum = 0;
        for (uint64_t at = 0; at < WORDS; at += sizes[s]) {
            const uint64_t n = WORDS - at < sizes[s] ? WORDS - at : sizes[s];
            sum ^= dist_crc32c_shift(block_state(bytes + 4 * at, n), 4 * (WORDS - at - n));
        }
        assert_int_equal(dist_crc32c_append(0, sum, 4 * WORDS), dist_crc32c(0, bytes, 4 * WORDS));
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_answers),  cmocka_unit_test(best_way_of_this_cpu),
        cmocka_unit_test(every_short_length), cmocka_unit_test(long_buffers),
        cmocka_unit_test(every_split),        cmocka_unit_test(flipped_bits_show),
        cmocka_unit_test(multiplies),         cmocka_unit_test(shifts),
        cmocka_unit_test(combines_far),       cmocka_unit_test(tables_multiply),
        cmocka_unit_test(blocks_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
