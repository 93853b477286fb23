/* The canonical string of a codec: defaults left out, parameters in one order. */
#include "codec/names.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"

#define BLOCKS (DIST_TAKES_FEEDBACK | DIST_TAKES_BLOCK | DIST_TAKES_SR)

const dist_codec_name dist_codec_names[DIST_CODEC_KINDS] = {
    [DIST_CODEC_NONE] = {"none", 1, DIST_FEEDBACK_NONE, 0, DIST_TAKES_FEEDBACK},
    [DIST_CODEC_BF16] = {"bf16", 1, DIST_FEEDBACK_NONE, 0, DIST_TAKES_FEEDBACK | DIST_TAKES_SR},
    [DIST_CODEC_FP16] = {"fp16", 1, DIST_FEEDBACK_NONE, 0, DIST_TAKES_FEEDBACK},
    [DIST_CODEC_INT8] = {"int8", 256, DIST_FEEDBACK_NONE, 0, BLOCKS},
    [DIST_CODEC_INT4] = {"int4", 32, DIST_FEEDBACK_FP32, 0, BLOCKS | DIST_TAKES_HADAMARD},
    [DIST_CODEC_INT4_HADAMARD] = {"int4", 1024, DIST_FEEDBACK_NONE, 0, BLOCKS | DIST_TAKES_HADAMARD},
    [DIST_CODEC_MXFP8] = {"mxfp8", 32, DIST_FEEDBACK_NONE, 0, DIST_TAKES_FEEDBACK},
    [DIST_CODEC_MXFP4] = {"mxfp4", 32, DIST_FEEDBACK_FP32, 0, DIST_TAKES_FEEDBACK},
    [DIST_CODEC_NVFP4] = {"nvfp4", 16, DIST_FEEDBACK_FP32, 0, DIST_TAKES_FEEDBACK},
    [DIST_CODEC_TOPK] = {"topk", 1, DIST_FEEDBACK_FP32, 0,
                         DIST_TAKES_FEEDBACK | DIST_TAKES_DENSITY | DIST_TAKES_DENSE},
    [DIST_CODEC_SPARSELOCO] = {"sparseloco", DIST_SPARSE_CHUNK, DIST_FEEDBACK_FP32, 0,
                               DIST_TAKES_FEEDBACK | DIST_TAKES_DENSE},
    [DIST_CODEC_POWERSGD] = {"powersgd", 1, DIST_FEEDBACK_FP32, 10,
                             DIST_TAKES_FEEDBACK | DIST_TAKES_RANK | DIST_TAKES_DENSE},
};

const char *const dist_feedback_names[DIST_FEEDBACKS] = {
    [DIST_FEEDBACK_NONE] = "none",
    [DIST_FEEDBACK_FP32] = "fp32",
    [DIST_FEEDBACK_BF16] = "bf16",
    [DIST_FEEDBACK_INT8] = "int8",
};

static void append(dist_codec *codec, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(dist_codec *codec, const char *format, ...)
{
    const size_t used = strlen(codec->text);
    va_list list;
    va_start(list, format);
    vsnprintf(codec->text + used, sizeof codec->text - used, format, list);
    va_end(list);
}

/* The shortest decimal that reads back as the same number. */
static void append_density(dist_codec *codec)
{
    char word[32];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(word, sizeof word, "%.*g", digits, codec->density);
        char *comma = word + strspn(word, "0123456789e+-");
        if (*comma)
            *comma = '.'; /* the program's locale may write it otherwise */
        if (dist_strtod(word, NULL) == codec->density)
            break;
    }
    append(codec, ":density=%s", word);
}

void dist_codec_write_text(dist_codec *codec)
{
    const dist_codec_name *defaults = &dist_codec_names[codec->kind];
    snprintf(codec->text, sizeof codec->text, "%s", defaults->name);
    if (codec->block != defaults->block)
        append(codec, ":block=%u", codec->block);
    if (codec->stochastic)
        append(codec, ":sr");
    if (codec->kind == DIST_CODEC_INT4_HADAMARD)
        append(codec, ":hadamard");
    if (codec->kind == DIST_CODEC_TOPK)
        append_density(codec);
    if (codec->kind == DIST_CODEC_POWERSGD && codec->rank != DIST_RANK_DEFAULT)
        append(codec, ":rank=%u", codec->rank);
    if (codec->dense != defaults->dense)
        append(codec, ":dense=%u", codec->dense);
    if (codec->seed)
        append(codec, ":seed=%" PRIu64, codec->seed);
    if (codec->feedback != defaults->feedback)
        append(codec, ":ef=%s", dist_feedback_names[codec->feedback]);
}
