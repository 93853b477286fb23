#include "codec/codec.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "codec/tables.h"

#define KNOWN "none, bf16, int8[:block=N] and int4[:block=N], each with :ef=fp32 or :ef=none"

enum { LEAST_BLOCK = 16, MOST_BLOCK = 4096 };

static const struct known {
    const char *name;
    unsigned block; /* the default; 1: has no blocks */
    bool feedback;  /* the default */
} known[DIST_CODEC_KINDS] = {
    [DIST_CODEC_NONE] = {"none", 1, false},
    [DIST_CODEC_BF16] = {"bf16", 1, false},
    [DIST_CODEC_INT8] = {"int8", 256, true},
    [DIST_CODEC_INT4] = {"int4", 32, true},
};

/* A part of the text, up to the next ':' or the end. */
typedef struct piece {
    const char *at;
    int length;
} piece;

static piece piece_at(const char *at)
{
    const size_t length = strcspn(at, ":");
    return (piece){at, length < 64 ? (int)length : 64}; /* the sentence has to hold it */
}

static bool piece_is(piece text, const char *word)
{
    return strlen(word) == (size_t)text.length && memcmp(text.at, word, (size_t)text.length) == 0;
}

static dist_status read_name(piece name, dist_codec *codec)
{
    for (unsigned kind = 0; kind < DIST_CODEC_KINDS; kind++) {
        if (piece_is(name, known[kind].name)) {
            codec->kind = (dist_codec_kind)kind;
            codec->block = known[kind].block;
            codec->feedback = known[kind].feedback;
            return DIST_OK;
        }
    }
    return dist_fail(DIST_ERR_ARGUMENT, "unknown codec \"%.*s\"; known are " KNOWN, name.length, name.at);
}

static dist_status read_block(piece value, dist_codec *codec)
{
    const char *name = known[codec->kind].name;
    if (codec->block == 1)
        return dist_fail(DIST_ERR_ARGUMENT, "codec %s has no blocks; leave \":block=\" out", name);
    for (unsigned block = LEAST_BLOCK; block <= MOST_BLOCK; block *= 2) {
        char word[16];
        snprintf(word, sizeof word, "%u", block);
        if (piece_is(value, word)) {
            codec->block = block;
            return DIST_OK;
        }
    }
    return dist_fail(DIST_ERR_ARGUMENT, "codec %s: block=%.*s; it must be a power of two from %d to %d", name,
                     value.length, value.at, LEAST_BLOCK, MOST_BLOCK);
}

static dist_status read_feedback(piece value, dist_codec *codec)
{
    if (!piece_is(value, "fp32") && !piece_is(value, "none"))
        return dist_fail(DIST_ERR_ARGUMENT, "codec %s: ef=%.*s; it must be fp32 or none",
                         known[codec->kind].name, value.length, value.at);
    codec->feedback = piece_is(value, "fp32");
    return DIST_OK;
}

static const struct parameter {
    const char *prefix;
    dist_status (*read)(piece value, dist_codec *codec);
} parameters[] = {{"block=", read_block}, {"ef=", read_feedback}};

enum { PARAMETERS = sizeof parameters / sizeof *parameters };

static dist_status read_parameter(piece text, bool *seen, dist_codec *codec)
{
    const char *name = known[codec->kind].name;
    for (int p = 0; p < PARAMETERS; p++) {
        const int prefix = (int)strlen(parameters[p].prefix);
        if (text.length < prefix || memcmp(text.at, parameters[p].prefix, (size_t)prefix) != 0)
            continue;
        if (seen[p])
            return dist_fail(DIST_ERR_ARGUMENT, "codec %s: \"%s\" is given twice; keep one", name,
                             parameters[p].prefix);
        seen[p] = true;
        return parameters[p].read((piece){text.at + prefix, text.length - prefix}, codec);
    }
    return dist_fail(DIST_ERR_ARGUMENT, "codec %s: unknown parameter \"%.*s\"; known are " KNOWN, name,
                     text.length, text.at);
}

static void write_text(dist_codec *codec)
{
    const struct known *defaults = &known[codec->kind];
    char block[16] = "";
    if (codec->block != defaults->block)
        snprintf(block, sizeof block, ":block=%u", codec->block);
    const char *feedback = "";
    if (codec->feedback != defaults->feedback)
        feedback = codec->feedback ? ":ef=fp32" : ":ef=none";
    snprintf(codec->text, sizeof codec->text, "%s%s%s", defaults->name, block, feedback);
}

dist_status dist_codec_parse(const char *text, dist_simd simd, dist_codec *codec)
{
    if (!text)
        return dist_fail(DIST_ERR_ARGUMENT, "the codec is NULL; name one of " KNOWN);
    *codec = (dist_codec){0};
    DIST_TRY(read_name(piece_at(text), codec));
    bool seen[PARAMETERS] = {false};
    for (const char *at = text + strcspn(text, ":"); *at; at += strcspn(at, ":")) {
        at++;
        DIST_TRY(read_parameter(piece_at(at), seen, codec));
    }
    write_text(codec);
    const dist_codec_ops *table = dist_codec_table(simd);
    if (!table)
        return dist_fail(DIST_ERR_UNSUPPORTED, "this CPU has not the instructions of %s; set simd to auto",
                         simd == DIST_SIMD_AVX512 ? "avx512" : "avx2");
    codec->ops = &table[codec->kind];
    return DIST_OK;
}
