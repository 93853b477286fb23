/* Waits derived from bytes: exactly those that the bytes ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "plan/hazard.h"

static dist_slice at(uint64_t offset, uint64_t bytes)
{
    return dist_slice_of(0, offset, bytes);
}

/* Touches and checks what the op must wait for. */
static void expect(dist_hazards *h, uint32_t op, dist_slice slice, bool write, const uint32_t *wanted,
                   size_t n)
{
    size_t count;
    assert_true(dist_hazards_touch(h, op, slice, write));
    const uint32_t *found = dist_hazards_take(h, &count);
    assert_int_equal(count, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(found[i], wanted[i]);
}

#define EXPECT(h, op, slice, write, ...)                                                                     \
    expect(h, op, slice, write, (uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4)
#define EXPECT_FREE(h, op, slice, write) expect(h, op, slice, write, NULL, 0)

static void test_kinds_of_waits(void **state)
{
    (void)state;
    dist_hazards *h = dist_hazards_create();
    EXPECT_FREE(h, 0, at(0, 100), true);
    EXPECT(h, 1, at(0, 100), false, 0);    /* read after write */
    EXPECT(h, 2, at(50, 10), false, 0);    /* readers do not wait for readers */
    EXPECT(h, 3, at(0, 100), true, 1, 2);  /* write after reads; the first write was waited for by them */
    EXPECT(h, 4, at(0, 100), true, 3);     /* write after write */
    EXPECT_FREE(h, 5, at(100, 100), true); /* next to it, not in it */
    EXPECT(h, 6, at(90, 20), false, 4, 5); /* over a border */
    EXPECT(h, 7, at(0, 90), true, 4);      /* what 6 did not read */
    EXPECT(h, 8, at(80, 15), true, 6, 7);
    EXPECT_FREE(h, 9, dist_slice_of(1, 0, 100), true); /* another buffer */
    EXPECT_FREE(h, 10, at(0, 0), true);
    EXPECT_FREE(h, 11, dist_slice_of(DIST_NO_BUFFER, 0, 8), true);
    dist_hazards_destroy(h);
    dist_hazards_destroy(NULL);
}

/* Against every byte remembered by itself. */
enum { BYTES = 64, OPS = 400 };

typedef struct oracle {
    uint32_t writer[BYTES];
    bool reader[BYTES][OPS];
    bool reaches[OPS][OPS]; /* b waits for a, directly or not */
} oracle;

static void must(oracle *o, bool *needed, uint32_t byte, bool write)
{
    if (o->writer[byte] != DIST_NO_OP)
        needed[o->writer[byte]] = true;
    for (int r = 0; write && r < OPS; r++)
        needed[r] |= o->reader[byte][r];
}

static void record(oracle *o, uint32_t op, uint32_t byte, bool write)
{
    if (write) {
        memset(o->reader[byte], 0, sizeof o->reader[byte]);
        o->writer[byte] = op;
    } else {
        o->reader[byte][op] = true;
    }
}

static void test_random_against_bytes(void **state)
{
    (void)state;
    static oracle o;
    for (unsigned seed = 1; seed <= 20; seed++) {
        dist_hazards *h = dist_hazards_create();
        memset(&o, 0, sizeof o);
        memset(o.writer, 0xff, sizeof o.writer);
        srand(seed);
        for (uint32_t op = 0; op < OPS; op++) {
            bool needed[OPS] = {false}, write = rand() % 2;
            uint32_t begin = (uint32_t)(rand() % BYTES), length = 1 + (uint32_t)(rand() % 20);
            length = begin + length > BYTES ? BYTES - begin : length;
            for (uint32_t b = begin; b < begin + length; b++)
                must(&o, needed, b, write);
            for (uint32_t b = begin; b < begin + length; b++)
                record(&o, op, b, write);
            size_t count;
            assert_true(dist_hazards_touch(h, op, at(begin, length), write));
            const uint32_t *found = dist_hazards_take(h, &count);
            for (size_t i = 0; i < count; i++) {
                assert_true(needed[found[i]]); /* no wait that the bytes do not ask for */
                o.reaches[op][found[i]] = true;
                for (uint32_t a = 0; a < OPS; a++)
                    o.reaches[op][a] |= o.reaches[found[i]][a];
            }
            for (uint32_t a = 0; a < op; a++)
                assert_true(!needed[a] || o.reaches[op][a]); /* and none missing */
        }
        dist_hazards_destroy(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_of_waits),
        cmocka_unit_test(test_random_against_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
