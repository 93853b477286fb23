/* Drives a fuzz target without libFuzzer: valid inputs, mutated a few bytes at a time.
 *
 *     fuzz_codec [-frames=N] [-seconds=S] [-subject=NAME] [-seed=K]
 *
 * N inputs for each subject, or S seconds shared by all of them. An input that ends the program is left in
 * fuzz-input in the current folder; `fuzz_codec FILE` runs it again.
 */
#include "fuzz.h"

#include <signal.h>
#include <string.h>
#include <time.h>

enum { FROM_ONE_SEED = 32 };

typedef struct options {
    uint64_t frames, seed;
    double seconds;
    const char *subject, *file;
} options;

static double now(void)
{
    struct timespec time;
    timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* What numbers at the edge of a range look like. */
static const uint8_t edges[] = {0x00, 0x01, 0x07, 0x08, 0x0f, 0x10, 0x7e,
                                0x7f, 0x80, 0x81, 0xf0, 0xf8, 0xfe, 0xff};

/* Mostly behind the header of a frame: what is before is refused at once. */
static size_t place_of(uint64_t *draw, size_t size)
{
    const size_t payload = 36;
    return size > payload && fuzz_draw(draw) % 8 ? payload + fuzz_draw(draw) % (size - payload)
                                                 : fuzz_draw(draw) % size;
}

static size_t mutate_once(uint64_t *draw, uint8_t *input, size_t size)
{
    const size_t at = place_of(draw, size), other = place_of(draw, size);
    const size_t least = size - (at > other ? at : other), length = least < 4 ? least : 4;
    const uint32_t bits = fuzz_draw(draw);
    uint8_t copy[4];
    switch (bits % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        input[at] ^= (uint8_t)(1u << (bits >> 8) % 8);
        return size;
    case 4:
    case 5:
    case 6:
        input[at] = (uint8_t)(bits >> 8);
        return size;
    case 7:
    case 8:
    case 9:
        input[at] = edges[(bits >> 8) % sizeof edges];
        return size;
    case 10:
        input[at]++;
        return size;
    case 11:
        input[at]--;
        return size;
    case 12: /* a word to another place */
        memmove(input + at, input + other, length);
        return size;
    case 13: /* two words change places */
        memcpy(copy, input + at, length);
        memmove(input + at, input + other, length);
        memcpy(input + other, copy, length);
        return size;
    case 14:
        memset(input + at, bits >> 8 & 1 ? 0xff : 0, length);
        return size;
    default:
        if ((bits >> 8) % 4 == 0 && size > 1)
            return size - 1 - (bits >> 10) % (size < 64 ? size - 1 : 63);
        if ((bits >> 8) % 4 == 1 && size + 16 <= DIST_FUZZ_ROOM) {
            memset(input + size, (int)(bits >> 16 & 0xff), 16);
            return size + 1 + (bits >> 10) % 16;
        }
        return size;
    }
}

static const uint8_t *current;
static size_t current_size;

static void keep_input(int signal_number)
{
    (void)signal_number;
    FILE *file = fopen("fuzz-input", "wb");
    if (!file)
        return;
    fwrite(current, 1, current_size, file);
    fclose(file);
    fprintf(stderr, "the input is in fuzz-input\n");
}

static void run_subject(unsigned subject, const options *asked, double seconds)
{
    static uint8_t input[DIST_FUZZ_ROOM], seed[DIST_FUZZ_ROOM];
    const double begin = now();
    uint64_t draw = asked->seed * 1000003 + subject, inputs = 0, accepted = 0;
    current = input;
    while (asked->frames ? inputs < asked->frames : now() - begin < seconds) {
        const size_t size = dist_fuzz_seed(subject, draw + (uint64_t)fuzz_draw(&draw), seed);
        for (int copy = 0; copy < FROM_ONE_SEED; copy++) {
            current_size = size;
            memcpy(input, seed, size);
            for (uint32_t i = fuzz_draw(&draw) % 4 + 1; i > 0; i--)
                current_size = mutate_once(&draw, input, current_size);
            accepted += (uint64_t)dist_fuzz_one(input, current_size).accepted;
            inputs++;
        }
    }
    printf("%-14s %10llu inputs, %10llu of them valid, %7.1f s\n", dist_fuzz_subject(subject),
           (unsigned long long)inputs, (unsigned long long)accepted, now() - begin);
    fflush(stdout);
}

static int run_file(const char *name)
{
    static uint8_t input[DIST_FUZZ_ROOM];
    FILE *file = fopen(name, "rb");
    if (!file) {
        fprintf(stderr, "%s cannot be read\n", name);
        return 2;
    }
    const size_t size = fread(input, 1, sizeof input, file);
    fclose(file);
    printf("%s: %s\n", name, dist_fuzz_one(input, size).accepted ? "valid" : "refused");
    return 0;
}

static options read_options(int count, char **text)
{
    options asked = {.seconds = 10};
    for (int i = 1; i < count; i++) {
        if (strncmp(text[i], "-frames=", 8) == 0)
            asked.frames = strtoull(text[i] + 8, NULL, 10);
        else if (strncmp(text[i], "-seconds=", 9) == 0)
            asked.seconds = strtod(text[i] + 9, NULL);
        else if (strncmp(text[i], "-subject=", 9) == 0)
            asked.subject = text[i] + 9;
        else if (strncmp(text[i], "-seed=", 6) == 0)
            asked.seed = strtoull(text[i] + 6, NULL, 10);
        else if (text[i][0] != '-')
            asked.file = text[i];
        else
            fprintf(stderr, "%s: unknown option %s\n", text[0], text[i]), exit(2);
    }
    return asked;
}

int main(int count, char **text)
{
    const options asked = read_options(count, text);
    unsigned subjects = 0, run = 0;
    if (asked.file)
        return run_file(asked.file);
    signal(SIGABRT, keep_input);
    while (dist_fuzz_subject(subjects))
        subjects++;
    for (unsigned s = 0; s < subjects; s++) {
        if (asked.subject && strcmp(asked.subject, dist_fuzz_subject(s)) != 0)
            continue;
        run_subject(s, &asked, asked.subject ? asked.seconds : asked.seconds / subjects);
        run++;
    }
    if (!run)
        fprintf(stderr, "%s: there is no subject %s\n", text[0], asked.subject);
    return run ? 0 : 2;
}
