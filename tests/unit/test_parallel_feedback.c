/* Parts: their bytes, and that no change of one is taken for another; what a job of other ranks and sites owes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "parallel/feedback.h"

enum {
    SEGMENTS = 4,
    VALUES = 3 + 2 + 4 + 2,
    BYTES = DIST_PART_HEADER + SEGMENTS * DIST_SEGMENT_HEADER + 4 * VALUES
};

static const dist_segment segments[SEGMENTS] = {
    {.kind = DIST_KEPT_SITE, .owner = 1, .first = 16, .count = 3},
    {.kind = DIST_KEPT_SUM, .first = 0x20, .count = 2},
    {.kind = DIST_KEPT_MATRIX, .owner = 2, .first = 48, .count = 4},
    {.kind = DIST_KEPT_FACTOR, .width = 1, .owner = 7, .first = 48, .count = 2},
};

static const dist_part header = {.bytes = BYTES,
                                 .hash = 0x1122334455667788,
                                 .elements = 64,
                                 .steps = 300,
                                 .ranks = 3,
                                 .rank = 2,
                                 .sites = 2,
                                 .reduction = DIST_AVERAGE,
                                 .parameters = 5,
                                 .segments = SEGMENTS};

/* Parts lie at any address: this one at an odd one. */
static char memory[BYTES + 65];
static char *const part = memory + 1;

/* Where segment s begins. */
static size_t begin_of(size_t s)
{
    size_t at = DIST_PART_HEADER;
    for (size_t i = 0; i < s; i++)
        at += DIST_SEGMENT_HEADER + 4 * segments[i].count;
    return at;
}

static void write_part(void)
{
    float value = 0.5f;
    memset(memory, 0, sizeof memory);
    for (size_t s = 0; s < SEGMENTS; s++) {
        dist_segment_write(part + begin_of(s), &segments[s]);
        for (uint64_t i = 0; i < segments[s].count; i++, value = -value - 1)
            memcpy(part + begin_of(s) + DIST_SEGMENT_HEADER + 4 * i, &value, 4);
    }
    dist_part_seal(part, &header);
}

/* CRC32C (RFC 3720), a bit at a time. */
static uint32_t crc_of(uint32_t crc, const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

static void test_bytes_are_as_documented(void **state)
{
    (void)state;
    static const unsigned char head[64] = {
        'D',  'I',  'S',  'E',  1,    0,    0,    0,    BYTES & 255, BYTES >> 8, 0, 0, 0, 0, 0, 0,
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 64,          0,          0, 0, 0, 0, 0, 0,
        44,   1,    0,    0,    0,    0,    0,    0,    3,           0,          0, 0, 2, 0, 0, 0,
        2,    0,    0,    0,    1,    0,    0,    0,    5,           0,          0, 0, 4};
    static const unsigned char first[36] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0,
                                            0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0x3f};
    write_part();
    assert_memory_equal(part, head, sizeof head);
    assert_memory_equal(part + DIST_PART_HEADER, first, sizeof first);
    uint32_t crc = crc_of(UINT32_MAX, part, 64);
    crc = ~crc_of(crc, part + DIST_PART_HEADER, BYTES - DIST_PART_HEADER);
    for (int b = 0; b < 8; b++)
        assert_int_equal((unsigned char)part[64 + b], b < 4 ? crc >> 8 * b & 255 : 0);
}

static void test_reads_what_was_written(void **state)
{
    (void)state;
    dist_part read;
    dist_segment segment;
    uint64_t at = DIST_PART_HEADER;
    write_part();
    assert_int_equal(dist_part_check(part, BYTES, &read), DIST_OK);
    assert_memory_equal(&read, &header, sizeof header);
    for (size_t s = 0; s < SEGMENTS; s++) {
        assert_ptr_equal(dist_part_next(part, &read, &at, &segment),
                         part + begin_of(s) + DIST_SEGMENT_HEADER);
        assert_memory_equal(&segment, &segments[s], sizeof segment);
    }
    assert_null(dist_part_next(part, &read, &at, &segment));
}

static void assert_refused(uint64_t bytes, const char *words)
{
    dist_part read;
    assert_int_equal(dist_part_check(part, bytes, &read), DIST_ERR_FRAME);
    assert_non_null(strstr(dist_last_error(), words));
}

static void test_every_changed_bit_is_refused(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 8 * BYTES; bit++) {
        write_part();
        part[bit / 8] = (char)(part[bit / 8] ^ 1 << bit % 8);
        assert_refused(BYTES, bit < 32 ? "magic" : bit < 64 ? "version" : bit < 128 ? "truncated" : "");
    }
    for (uint64_t bytes = 0; bytes < BYTES + 64; bytes++) {
        write_part();
        if (bytes != BYTES)
            assert_refused(bytes, bytes < DIST_PART_HEADER ? "magic" : "truncated");
    }
}

/* A checksum that is right does not make the rest so. */
static void seal_as(dist_part changed, const char *words)
{
    write_part();
    dist_part_seal(part, &changed);
    assert_refused(changed.bytes, words);
}

static void test_headers_that_no_job_writes(void **state)
{
    (void)state;
    dist_part p = header;
    p.ranks = p.rank = p.sites = 0, seal_as(p, "no such job");
    p = header, p.rank = 3, seal_as(p, "no such job");
    p = header, p.sites = 0, seal_as(p, "no such job");
    p = header, p.sites = 4, seal_as(p, "no such job");
    p = header, p.segments = 3, seal_as(p, "behind the last segment");
    p = header, p.segments = 5, seal_as(p, "segment 4 of 5 is missing");
    p = header, p.bytes = BYTES - 4, seal_as(p, "segment 3");
    p = header, p.bytes = BYTES + 4, seal_as(p, "behind the last segment");
    p = header, p.bytes = DIST_PART_HEADER, seal_as(p, "segment 0 of 4 is missing");
    p = header, p.elements = 51, seal_as(p, "segment 2");
}

static void change_segment(size_t s, dist_segment changed)
{
    write_part();
    dist_segment_write(part + begin_of(s), &changed);
    dist_part_seal(part, &header);
    char words[32];
    snprintf(words, sizeof words, "segment %zu: ", s);
    assert_refused(BYTES, words);
}

static void test_segments_that_no_job_writes(void **state)
{
    (void)state;
    dist_segment s = segments[0];
    s.kind = DIST_KEPT_KINDS, change_segment(0, s);
    s = segments[0], s.width = 1, change_segment(0, s);
    s = segments[0], s.owner = 2, change_segment(0, s);
    s = segments[0], s.count = 0, change_segment(0, s);
    s = segments[0], s.count = UINT64_MAX / 4, change_segment(0, s);
    s = segments[0], s.first = 62, change_segment(0, s);
    s = segments[0], s.first = UINT64_MAX - 1, change_segment(0, s);
    s = segments[1], s.owner = 1, change_segment(1, s);
    s = segments[2], s.owner = 1, change_segment(2, s);
    s = segments[3], s.width = 0, change_segment(3, s);
    s = segments[3], s.width = 65, change_segment(3, s);
    s = segments[3], s.first = 64, change_segment(3, s);
    s = segments[3], s.count = 3, change_segment(3, s);
}

static void test_values_that_are_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    for (size_t s = 0; s < SEGMENTS; s++)
        for (uint64_t i = 0; i < segments[s].count; i++)
            for (size_t b = 0; b < 3; b++) {
                write_part();
                memcpy(part + begin_of(s) + DIST_SEGMENT_HEADER + 4 * i, &bad[b], 4);
                dist_part_seal(part, &header);
                assert_refused(BYTES, "not finite");
            }
}

/* What one unit of what is kept is worth in the result. */
static double worth(const dist_part *job, dist_kept_kind kind)
{
    return kind == DIST_KEPT_SUM || job->reduction == DIST_SUM ? 1 : 1.0 / job->ranks;
}

/* What the places of a job together take of a unit that another kept, in units of the result. `form`: 0 one shot, 1 two
 * shots, 2 factors. */
static double taken(const dist_part *from, const dist_segment *given, const dist_topology *to, int form)
{
    const dist_part job = {.ranks = (uint32_t)to->ranks, .reduction = from->reduction};
    double sum = 0;
    dist_segment kept = {.kind = DIST_KEPT_SITE};
    for (kept.owner = 0; form < 2 && kept.owner < (uint64_t)to->sites; kept.owner++)
        sum += (double)dist_kept_share(from, given, to, &kept, form == 1) * worth(&job, kept.kind);
    kept = (dist_segment){.kind = DIST_KEPT_SUM};
    if (form == 1)
        sum += (double)dist_kept_share(from, given, to, &kept, true);
    kept = (dist_segment){.kind = DIST_KEPT_MATRIX};
    for (kept.owner = 0; form == 2 && kept.owner < (uint64_t)to->ranks; kept.owner++)
        sum += (double)dist_kept_share(from, given, to, &kept, false) * worth(&job, kept.kind);
    return sum;
}

static void test_any_job_owes_the_same(void **state)
{
    (void)state;
    static const char *const clusters[] = {"1,1", "2x2", "3,1", "3x2", "2,1,4", "5x3", "1,1,1,1,1"};
    enum { CLUSTERS = sizeof clusters / sizeof *clusters };
    for (int reduction = DIST_SUM; reduction <= DIST_AVERAGE; reduction++)
        for (int a = 0; a < CLUSTERS; a++)
            for (int b = 0; b < CLUSTERS; b++) {
                dist_topology *old, *new;
                assert_int_equal(dist_topology_describe(&old, clusters[a]), DIST_OK);
                assert_int_equal(dist_topology_describe(&new, clusters[b]), DIST_OK);
                const dist_part from = {.ranks = (uint32_t)old->ranks,
                                        .sites = (uint32_t)old->sites,
                                        .reduction = (dist_reduction)reduction};
                for (int form = 0; form < 3; form++)
                    for (dist_segment s = {.kind = DIST_KEPT_SITE}; s.kind <= DIST_KEPT_MATRIX; s.kind++)
                        for (s.owner = 0; s.owner < (s.kind == DIST_KEPT_SITE  ? (uint64_t)old->sites
                                                     : s.kind == DIST_KEPT_SUM ? 1
                                                                               : (uint64_t)old->ranks);
                             s.owner++)
                            assert_true(fabs(taken(&from, &s, new, form) - worth(&from, s.kind)) < 1e-6);
                dist_topology_destroy(old);
                dist_topology_destroy(new);
            }
}

/* The rules by number: 4 ranks on 2 sites, and 6 on 3 or 2 on 2. */
static void test_who_owes_what(void **state)
{
    (void)state;
    dist_topology *six, *two;
    const dist_part average = {.ranks = 4, .sites = 2, .reduction = DIST_AVERAGE},
                    sum = {.ranks = 4, .sites = 2, .reduction = DIST_SUM};
    const dist_segment site0 = {.kind = DIST_KEPT_SITE}, site1 = {.kind = DIST_KEPT_SITE, .owner = 1},
                       sums = {.kind = DIST_KEPT_SUM}, rank0 = {.kind = DIST_KEPT_MATRIX},
                       rank3 = {.kind = DIST_KEPT_MATRIX, .owner = 3}, factor = {.kind = DIST_KEPT_FACTOR};
    assert_int_equal(dist_topology_describe(&six, "2x3"), DIST_OK);
    assert_int_equal(dist_topology_describe(&two, "1,1"), DIST_OK);
    assert_true(dist_kept_share(&average, &site1, six, &site1, false) == 1.5f);
    assert_true(dist_kept_share(&average, &site1, six, &site0, false) == 0);
    assert_true(dist_kept_share(&average, &site1, two, &site1, false) == 0.5f);
    assert_true(dist_kept_share(&sum, &site1, two, &site1, false) == 1);
    assert_true(dist_kept_share(&average, &sums, two, &site0, false) == 2);
    assert_true(dist_kept_share(&sum, &sums, two, &site0, false) == 1);
    assert_true(dist_kept_share(&average, &sums, two, &site0, true) == 0);
    assert_true(dist_kept_share(&average, &sums, two, &sums, true) == 1);
    assert_true(dist_kept_share(&average, &site0, two, &sums, true) == 0);
    assert_true(dist_kept_share(&average, &rank3, six, &rank3, false) == 1.5f);
    assert_true(dist_kept_share(&average, &rank3, two, &rank0, false) == 0);
    assert_true(dist_kept_share(&average, &rank3, two, &site1, false) == 0.5f);
    assert_true(dist_kept_share(&average, &rank3, six, &site1, false) == 1.5f); /* its ranks are 3, 4 and 5 */
    assert_true(dist_kept_share(&average, &site1, six, &rank3, false) == 1.5f); /* by the first of them */
    assert_true(dist_kept_share(&average, &sums, six, &rank0, false) == 6);
    assert_true(dist_kept_share(&average, &factor, six, &rank0, false) == 0);
    assert_true(dist_kept_share(&average, &factor, six, &site0, false) == 0);
    dist_topology_destroy(six);
    dist_topology_destroy(two);
}

static uint32_t random_state = 1;

static uint32_t draw(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

/* What was kept once is kept again without a further change, so that a job that goes on sends the same bits. */
static void test_kept_again_is_the_same(void **state)
{
    (void)state;
    static const char *const codecs[] = {"int8:ef=int8", "int8:ef=bf16", "int8:ef=fp32"};
    enum { N = 1000 };
    float values[N], once[N], again[N];
    char kept[4 * N];
    for (int c = 0; c < 3; c++)
        for (int simd = DIST_SIMD_AUTO; simd <= DIST_SIMD_SCALAR; simd++)
            for (int round = 0; round < 400; round++) {
                dist_codec codec;
                assert_int_equal(dist_codec_parse(codecs[c], (dist_simd)simd, &codec), DIST_OK);
                const dist_kept all = {.segment.count = N,
                                       .segment.kind = DIST_KEPT_SITE,
                                       .codec = &codec,
                                       .memory = kept,
                                       .elements = N};
                for (int i = 0; i < N; i++)
                    values[i] = ldexpf((float)draw() * 0x1p-23f - 1, round % 2 ? 0 : round % 100 - 120);
                dist_kept_store(&all, 0, N, values);
                dist_kept_read(&all, once);
                dist_kept_store(&all, 0, N, once);
                dist_kept_read(&all, again);
                assert_memory_equal(once, again, sizeof once);
            }
}

/* A part of what an op keeps, from any element to any other. */
static void test_reads_any_part(void **state)
{
    (void)state;
    static const char *const codecs[] = {"int8:ef=int8", "int8:ef=bf16", "int8:ef=fp32"};
    enum { N = 700 };
    float values[N], whole[N], some[N + 1];
    char kept[4 * N];
    for (int c = 0; c < 3; c++) {
        dist_codec codec;
        assert_int_equal(dist_codec_parse(codecs[c], DIST_SIMD_AUTO, &codec), DIST_OK);
        dist_kept k = {.segment.count = N,
                       .segment.kind = DIST_KEPT_SUM,
                       .codec = &codec,
                       .memory = kept,
                       .elements = N};
        for (int i = 0; i < N; i++)
            values[i] = (float)draw() * 0x1p-23f - 1;
        dist_kept_store(&k, 0, N, values);
        dist_kept_read(&k, whole);
        for (int round = 0; round < 500; round++) {
            k.offset = draw() % N;
            k.segment.count = 1 + draw() % (N - k.offset);
            some[k.segment.count] = 42;
            dist_kept_read(&k, some);
            assert_memory_equal(some, whole + k.offset, 4 * k.segment.count);
            assert_true(some[k.segment.count] == 42);
        }
        memset(values, 0, sizeof values);
        k.offset = 0;
        k.segment.count = N;
        dist_kept_store(&k, 256, 256, values); /* a block in the middle, and only that */
        dist_kept_read(&k, some);
        memset(whole + 256, 0, 256 * sizeof *whole);
        assert_memory_equal(some, whole, sizeof whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_as_documented),
        cmocka_unit_test(test_reads_what_was_written),
        cmocka_unit_test(test_every_changed_bit_is_refused),
        cmocka_unit_test(test_headers_that_no_job_writes),
        cmocka_unit_test(test_segments_that_no_job_writes),
        cmocka_unit_test(test_values_that_are_not_finite),
        cmocka_unit_test(test_any_job_owes_the_same),
        cmocka_unit_test(test_who_owes_what),
        cmocka_unit_test(test_kept_again_is_the_same),
        cmocka_unit_test(test_reads_any_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
