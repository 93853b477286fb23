/* What a fuzz target and what drives it know of each other: libFuzzer where clang builds them, driver.c elsewhere. */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A target has subjects, such as decoders, that are mutated and counted apart. NULL beyond the last. */
const char *dist_fuzz_subject(unsigned subject);

enum { DIST_FUZZ_ROOM = 8192 };

/* Writes a valid input of the subject, which follows from `draw`, and returns its bytes. */
size_t dist_fuzz_seed(unsigned subject, uint64_t draw, uint8_t input[DIST_FUZZ_ROOM]);

/* The result of one input, for counting. */
typedef struct dist_fuzz_result {
    unsigned subject;
    int accepted;
} dist_fuzz_result;

dist_fuzz_result dist_fuzz_one(const uint8_t *data, size_t size);

static inline uint32_t fuzz_draw(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

/* Not assert(), which NDEBUG takes away. */
#define FUZZ_REQUIRE(condition)                                                                              \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                   \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
