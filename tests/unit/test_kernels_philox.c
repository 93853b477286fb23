/* Philox4x32-10 against the known answers of Random123. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/philox.h"

typedef struct answer {
    uint32_t counter[4], key[2], out[4];
} answer;

/* philox4x32 10 in Random123's kat_vectors. */
static const answer answers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void known_answers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
        uint32_t out[4];
        dist_philox4x32(answers[i].counter, answers[i].key, out);
        assert_memory_equal(out, answers[i].out, sizeof out);
    }
}

static void output_may_be_the_counter(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
        uint32_t both[4];
        memcpy(both, answers[i].counter, sizeof both);
        dist_philox4x32(both, answers[i].key, both);
        assert_memory_equal(both, answers[i].out, sizeof both);
    }
}

static unsigned ones_of(uint32_t bits)
{
    unsigned ones = 0;
    for (; bits; bits &= bits - 1)
        ones++;
    return ones;
}

/* Each bit of the counter and of the key changes about half of the output. */
static void every_bit_matters(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 192; bit++) {
        unsigned changed = 0;
        for (uint32_t trial = 0; trial < 100; trial++) {
            uint32_t input[6] = {trial, 7 * trial, 1, 2, trial + 9, 3}, before[4], after[4];
            dist_philox4x32(input, input + 4, before);
            input[bit / 32] ^= 1u << bit % 32;
            dist_philox4x32(input, input + 4, after);
            for (unsigned word = 0; word < 4; word++)
                changed += ones_of(before[word] ^ after[word]);
        }
        assert_in_range(changed, 6400 - 283, 6400 + 283); /* 5 sigma of 12800 coins */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(output_may_be_the_counter),
        cmocka_unit_test(every_bit_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
