/* Codec strings that nobody meant. A string that is taken has a canonical form, which is taken too and is its own. */
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "codec/codec.h"

enum { TEXT_MOST = 300 };

const char *dist_fuzz_subject(unsigned subject)
{
    return subject == 0 ? "text" : NULL;
}

static void check_taken(dist_codec *codec)
{
    dist_codec *again;
    FUZZ_REQUIRE(strlen(dist_codec_text(codec)) < sizeof codec->text - 1);
    FUZZ_REQUIRE(dist_codec_create(&again, dist_codec_text(codec)) == DIST_OK);
    FUZZ_REQUIRE(strcmp(dist_codec_text(codec), dist_codec_text(again)) == 0);
    FUZZ_REQUIRE(again->kind == codec->kind && again->block == codec->block && again->seed == codec->seed);
    FUZZ_REQUIRE(again->stochastic == codec->stochastic && again->feedback == codec->feedback);
    FUZZ_REQUIRE(again->density >= codec->density && again->density <= codec->density);
    FUZZ_REQUIRE(again->rank == codec->rank && again->dense == codec->dense);
    FUZZ_REQUIRE(dist_codec_encoded_bytes(codec, 1000) == dist_codec_encoded_bytes(again, 1000));
    FUZZ_REQUIRE(dist_codec_feedback_bytes(codec, 1000) == dist_codec_feedback_bytes(again, 1000));
    dist_codec_destroy(again);
}

dist_fuzz_result dist_fuzz_one(const uint8_t *data, size_t size)
{
    char *text = malloc(TEXT_MOST + 1);
    const size_t length = size < TEXT_MOST ? size : TEXT_MOST;
    dist_codec *codec;
    FUZZ_REQUIRE(text);
    char *begin = text + TEXT_MOST - length; /* what reads beyond its end leaves the memory */
    memcpy(begin, data, length);
    text[TEXT_MOST] = 0;
    const dist_status status = dist_codec_create(&codec, begin);
    FUZZ_REQUIRE(status == DIST_OK || status == DIST_ERR_ARGUMENT);
    FUZZ_REQUIRE((status == DIST_OK) == (codec != NULL));
    if (status == DIST_OK)
        check_taken(codec);
    else
        FUZZ_REQUIRE(strstr(dist_last_error(), "codec"));
    dist_codec_destroy(codec);
    free(text);
    return (dist_fuzz_result){0, status == DIST_OK};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dist_fuzz_one(data, size);
    return 0;
}

/* Words in any order, most of them in their place. */
size_t dist_fuzz_seed(unsigned subject, uint64_t draw, uint8_t input[DIST_FUZZ_ROOM])
{
    static const char *const words[] = {
        "none",
        "bf16",
        "fp16",
        "int8",
        "int4",
        "mxfp8",
        "mxfp4",
        "nvfp4",
        "topk",
        "sparseloco",
        "powersgd",
        ":block=",
        ":block=64",
        ":sr",
        ":hadamard",
        ":density=",
        ":density=0.1",
        ":density=1e-5",
        ":rank=",
        ":rank=4",
        ":dense=7",
        ":seed=",
        ":seed=18446744073709551615",
        ":ef=",
        ":ef=fp32",
        ":ef=bf16",
        ":ef=int8",
        ":ef=none",
        ":",
        "0",
        "999999999",
        "00000000000000000000000000000000",
        "4096",
        "=",
    };
    enum { WORDS = sizeof words / sizeof *words, NAMES = 11 };
    size_t length = 0;
    (void)subject;
    for (uint32_t i = 0, n = 1 + fuzz_draw(&draw) % 6; i < n; i++) {
        const char *word = words[i ? NAMES + fuzz_draw(&draw) % (WORDS - NAMES) : fuzz_draw(&draw) % NAMES];
        memcpy(input + length, word, strlen(word));
        length += strlen(word);
    }
    return length;
}
