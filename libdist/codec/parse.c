/* From codec strings to their parameters. text.c goes the other way. */
#include "codec/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "codec/names.h"
#include "codec/tables.h"

/* A part of the text, up to the next ':' or the end. */
typedef struct piece {
    const char *at;
    int length;
    bool cut; /* it is longer than any that is right */
} piece;

static piece piece_at(const char *at)
{
    const size_t length = strcspn(at, ":");
    return (piece){at, length < 64 ? (int)length : 64, length > 64}; /* the sentence has to hold it */
}

static bool piece_is(piece text, const char *word)
{
    return !text.cut && strlen(word) == (size_t)text.length &&
           memcmp(text.at, word, (size_t)text.length) == 0;
}

static dist_status read_name(piece name, dist_codec *codec)
{
    for (unsigned kind = 0; kind < DIST_CODEC_KINDS; kind++) {
        const dist_codec_name *known = &dist_codec_names[kind];
        if (kind != DIST_CODEC_INT4_HADAMARD && piece_is(name, known->name)) {
            codec->kind = (dist_codec_kind)kind;
            codec->block = known->block;
            codec->feedback = known->feedback;
            codec->dense = known->dense;
            return DIST_OK;
        }
    }
    return dist_fail(DIST_ERR_ARGUMENT, "unknown codec \"%.*s\"; known are " DIST_CODEC_KNOWN, name.length,
                     name.at);
}

static const char *name_of(const dist_codec *codec)
{
    return dist_codec_names[codec->kind].name;
}

static dist_status read_block(piece value, dist_codec *codec)
{
    for (unsigned block = DIST_BLOCK_LEAST; block <= DIST_BLOCK_MOST; block *= 2) {
        char word[16];
        snprintf(word, sizeof word, "%u", block);
        if (piece_is(value, word)) {
            codec->block = block;
            return DIST_OK;
        }
    }
    return dist_fail(DIST_ERR_ARGUMENT, "codec %s: block=%.*s; it must be a power of two from %d to %d",
                     name_of(codec), value.length, value.at, DIST_BLOCK_LEAST, DIST_BLOCK_MOST);
}

static dist_status read_sr(piece value, dist_codec *codec)
{
    (void)value;
    codec->stochastic = true;
    return DIST_OK;
}

/* The rotation has a default block of its own: the block is looked at again when all is read. */
static dist_status read_hadamard(piece value, dist_codec *codec)
{
    (void)value;
    codec->kind = DIST_CODEC_INT4_HADAMARD;
    return DIST_OK;
}

static dist_status read_density(piece value, dist_codec *codec)
{
    char word[65], *end;
    snprintf(word, sizeof word, "%.*s", value.length, value.at);
    codec->density = dist_strtod(word, &end);
    if (value.cut || end == word || *end || strspn(word, "0123456789.eE-+") != strlen(word) ||
        !(codec->density > 0 && codec->density <= 1))
        return dist_fail(DIST_ERR_ARGUMENT, "codec topk: density=%s; it must be a number above 0, up to 1",
                         word);
    return DIST_OK;
}

/* A whole number in decimal digits from `least` to `most`. */
static dist_status read_whole(piece value, const char *what, const dist_codec *codec, uint64_t least,
                              uint64_t most, uint64_t *number)
{
    char word[65];
    snprintf(word, sizeof word, "%.*s", value.length, value.at);
    errno = 0;
    *number = strtoull(word, NULL, 10);
    if (value.cut || !*word || strspn(word, "0123456789") != strlen(word) || errno || *number < least ||
        *number > most)
        return dist_fail(DIST_ERR_ARGUMENT, "codec %s: %s=%s; it must be a whole number from %llu to %llu",
                         name_of(codec), what, word, (unsigned long long)least, (unsigned long long)most);
    return DIST_OK;
}

static dist_status read_rank(piece value, dist_codec *codec)
{
    uint64_t rank;
    DIST_TRY(read_whole(value, "rank", codec, 1, DIST_RANK_MOST, &rank));
    codec->rank = (unsigned)rank;
    return DIST_OK;
}

static dist_status read_dense(piece value, dist_codec *codec)
{
    uint64_t dense;
    DIST_TRY(read_whole(value, "dense", codec, 0, 1000000000, &dense));
    codec->dense = (unsigned)dense;
    return DIST_OK;
}

static dist_status read_seed(piece value, dist_codec *codec)
{
    return read_whole(value, "seed", codec, 0, UINT64_MAX, &codec->seed);
}

static dist_status read_feedback(piece value, dist_codec *codec)
{
    for (int kept = 0; kept < DIST_FEEDBACKS; kept++) {
        if (piece_is(value, dist_feedback_names[kept])) {
            codec->feedback = (dist_feedback)kept;
            return DIST_OK;
        }
    }
    return dist_fail(DIST_ERR_ARGUMENT, "codec %s: ef=%.*s; it must be fp32, bf16, int8 or none",
                     name_of(codec), value.length, value.at);
}

/* A name that ends in '=' takes a value. */
static const struct parameter {
    const char *name;
    unsigned bit;
    dist_status (*read)(piece value, dist_codec *codec);
} parameters[] = {
    {"block=", DIST_TAKES_BLOCK, read_block},
    {"sr", DIST_TAKES_SR, read_sr},
    {"hadamard", DIST_TAKES_HADAMARD, read_hadamard},
    {"density=", DIST_TAKES_DENSITY, read_density},
    {"rank=", DIST_TAKES_RANK, read_rank},
    {"dense=", DIST_TAKES_DENSE, read_dense},
    {"seed=", DIST_TAKES_SR, read_seed},
    {"ef=", DIST_TAKES_FEEDBACK, read_feedback},
};

enum { PARAMETERS = sizeof parameters / sizeof *parameters };

static const struct parameter *parameter_of(piece text, piece *value)
{
    for (int p = 0; p < PARAMETERS; p++) {
        const int length = (int)strlen(parameters[p].name);
        const bool takes_value = parameters[p].name[length - 1] == '=';
        if (text.length < length || memcmp(text.at, parameters[p].name, (size_t)length) != 0 ||
            (!takes_value && text.length != length))
            continue;
        *value = (piece){text.at + length, text.length - length, text.cut};
        return &parameters[p];
    }
    return NULL;
}

static dist_status read_parameter(piece text, bool *seen, dist_codec *codec)
{
    piece value;
    const struct parameter *parameter = parameter_of(text, &value);
    if (!parameter || !(dist_codec_names[codec->kind].takes & parameter->bit))
        return dist_fail(DIST_ERR_ARGUMENT, "codec %s: %s parameter \"%.*s\"; known are " DIST_CODEC_KNOWN,
                         name_of(codec), parameter ? "it has no" : "unknown", text.length, text.at);
    if (seen[parameter - parameters])
        return dist_fail(DIST_ERR_ARGUMENT, "codec %s: \"%s\" is given twice; keep one", name_of(codec),
                         parameter->name);
    seen[parameter - parameters] = true;
    return parameter->read(value, codec);
}

/* What only shows when all parameters are read. */
static dist_status settle(dist_codec *codec, dist_codec_kind named, const bool *seen)
{
    if (codec->kind != named) { /* a rotation */
        if (!seen[0])
            codec->block = dist_codec_names[codec->kind].block;
        if (!seen[PARAMETERS - 1])
            codec->feedback = dist_codec_names[codec->kind].feedback;
    }
    if (codec->kind == DIST_CODEC_TOPK && codec->density == 0)
        return dist_fail(DIST_ERR_ARGUMENT, "codec topk needs a density, such as topk:density=0.01");
    if (codec->seed && !codec->stochastic && codec->kind != DIST_CODEC_INT4_HADAMARD)
        return dist_fail(DIST_ERR_ARGUMENT, "codec %s: a seed means nothing without sr or hadamard",
                         name_of(codec));
    if (codec->kind == DIST_CODEC_POWERSGD && codec->feedback != DIST_FEEDBACK_FP32)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "codec powersgd does not converge without its error feedback in fp32");
    return DIST_OK;
}

dist_status dist_codec_parse(const char *text, dist_simd simd, dist_codec *codec)
{
    if (!text)
        return dist_fail(DIST_ERR_ARGUMENT, "the codec is NULL; name one of " DIST_CODEC_KNOWN);
    *codec = (dist_codec){.rank = DIST_RANK_DEFAULT};
    DIST_TRY(read_name(piece_at(text), codec));
    const dist_codec_kind named = codec->kind;
    bool seen[PARAMETERS] = {false};
    for (const char *at = text + strcspn(text, ":"); *at; at += strcspn(at, ":")) {
        at++;
        DIST_TRY(read_parameter(piece_at(at), seen, codec));
    }
    DIST_TRY(settle(codec, named, seen));
    dist_codec_write_text(codec);
    codec->table = dist_codec_table_of(simd);
    if (!codec->table)
        return dist_fail(DIST_ERR_UNSUPPORTED, "this CPU has not the instructions of %s; set simd to auto",
                         simd == DIST_SIMD_AVX512 ? "avx512"
                         : simd == DIST_SIMD_AVX2 ? "avx2"
                                                  : "neon");
    return DIST_OK;
}
