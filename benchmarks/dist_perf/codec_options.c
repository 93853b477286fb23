/* The command line of dist_perf codec. */
#include <stdlib.h>
#include <string.h>

#include "codec_perf.h"

#define PERF_DEFAULT_CODECS                                                                                  \
    "none,bf16,bf16:sr,fp16,int8,int8:ef=fp32,int8:sr,int4,int4:ef=none,int4:hadamard,mxfp8,mxfp4,nvfp4,"    \
    "topk:density=0.01,sparseloco"

const char perf_codec_help[] =
    "usage: dist_perf codec [flags]\n"
    "  -b BYTES       smallest size of the elements (4M); K, M, G are binary\n"
    "  -e BYTES       largest size (64M)              -i BYTES   add this to sizes\n"
    "  -f FACTOR      or multiply them by this (16)   -J FILE    write JSON too\n"
    "  -n N           iterations (15)                 -w N       warm-up iterations (1)\n"
    "  -d, --type T   float32, bfloat16, float16      --seed N   of the random data (1)\n"
    "  --codec LIST   separated by commas (one of each kind)\n"
    "  --data LIST    what errors are measured on, and speeds on the first of it: normal, student (t\n"
    "                 of 3 degrees), and one FILE of float32, such as train_gpt --dump-gradients\n"
    "                 writes, repeated where it is short (normal,student)\n"
    "Needs no MPI; times are processor time of one core. Columns: enc, dec: GB/s of the elements, into a\n"
    "frame and out of it with all checks; /copy: bytes moved a second over those of memcpy, which takes\n"
    "turns with it (moved are the elements, the frame, and twice the error feedback, which is on where\n"
    "the codec has it); ratio: bytes of the elements over those of the frame; nmse: of one encode\n"
    "without feedback; bound: of its frame, and the largest error, for the data that come closest.\n"
    "Exit status: 0 fine, 1 an error beyond its bound, 2 usage, 4 a call failed.\n";

static bool complain(const char *flag, const char *takes, const char *value)
{
    fprintf(stderr, "dist_perf: %s takes %s, not '%s'\n", flag, takes, value);
    return false;
}

static bool read_type(const char *flag, const char *text, dist_type *type)
{
    if (perf_read_type(text, type) &&
        (*type == DIST_FLOAT32 || *type == DIST_BFLOAT16 || *type == DIST_FLOAT16))
        return true;
    return complain(flag, "float32, bfloat16 or float16", text);
}

static bool read_seed(const char *text, uint64_t *seed)
{
    char *end;
    *seed = strtoull(text, &end, 10);
    return (*text >= '0' && *text <= '9' && *end == '\0') || complain("--seed", "a whole number", text);
}

static bool read_data(perf_codec_options *o, char *text)
{
    bool first = true;
    memset(o->data, 0, sizeof o->data);
    o->gradient = NULL;
    for (char *word = strtok(text, ","); word; word = strtok(NULL, ","), first = false) {
        const perf_data kind = strcmp(word, "normal") == 0    ? PERF_NORMAL
                               : strcmp(word, "student") == 0 ? PERF_STUDENT
                                                              : PERF_GRADIENT;
        if (kind == PERF_GRADIENT && o->gradient) {
            fprintf(stderr, "dist_perf: --data names two files, %s and %s; give one\n", o->gradient, word);
            return false;
        }
        o->data[kind] = true;
        o->gradient = kind == PERF_GRADIENT ? word : o->gradient;
        o->timed = first ? kind : o->timed;
    }
    return !first || complain("--data", "normal, student and one file", text);
}

static bool read_codec(const char *text)
{
    dist_codec *codec;
    if (dist_codec_create(&codec, text) < 0) {
        fprintf(stderr, "dist_perf: %s\n", dist_last_error());
        return false;
    }
    const bool frames = dist_codec_encoded_bytes(codec, 1) > 0;
    if (!frames)
        fprintf(stderr,
                "dist_perf: codec %s sums matrices and has no frames to measure; leave it out of --codec\n",
                dist_codec_text(codec));
    dist_codec_destroy(codec);
    return frames;
}

static bool read_codecs(perf_codec_options *o, const char *text)
{
    if (strlen(text) >= sizeof o->list)
        return complain("--codec", "a list of fewer than 2048 characters", text);
    strcpy(o->list, text);
    o->codecs = 0;
    for (char *word = strtok(o->list, ","); word; word = strtok(NULL, ",")) {
        if (o->codecs == PERF_CODECS)
            return complain("--codec", "64 codecs at most", text);
        if (!read_codec(word))
            return false;
        o->codec[o->codecs++] = word;
    }
    return o->codecs > 0 || complain("--codec", "names of codecs", text);
}

static bool read_flag(perf_codec_options *o, const char *flag, char *value)
{
    static const char size[] = "a size in bytes (K, M or G may follow)";
    if (strcmp(flag, "-b") == 0)
        return perf_read_bytes(value, &o->begin) || complain(flag, size, value);
    if (strcmp(flag, "-e") == 0)
        return perf_read_bytes(value, &o->end) || complain(flag, size, value);
    if (strcmp(flag, "-i") == 0)
        return (perf_read_bytes(value, &o->step) && o->step > 0) || complain(flag, size, value);
    if (strcmp(flag, "-f") == 0)
        return (perf_read_number(value, 1, &o->factor) && o->factor > 1) ||
               complain(flag, "a number above 1", value);
    if (strcmp(flag, "-n") == 0)
        return perf_read_count(value, 1, &o->iterations) || complain(flag, "a number of iterations", value);
    if (strcmp(flag, "-w") == 0)
        return perf_read_count(value, 0, &o->warmup) || complain(flag, "a number of iterations", value);
    if (strcmp(flag, "-J") == 0)
        return (o->json = value) != NULL;
    if (strcmp(flag, "-d") == 0 || strcmp(flag, "--type") == 0)
        return read_type(flag, value, &o->type);
    if (strcmp(flag, "--seed") == 0)
        return read_seed(value, &o->seed);
    if (strcmp(flag, "--data") == 0)
        return read_data(o, value);
    if (strcmp(flag, "--codec") == 0)
        return read_codecs(o, value);
    fprintf(stderr, "dist_perf: '%s' is no flag; dist_perf codec --help lists them\n", flag);
    return false;
}

static bool sizes_fit(const perf_codec_options *o)
{
    const size_t width = dist_type_bytes(o->type);
    if (o->begin < width) {
        fprintf(stderr, "dist_perf: -b %zu is 0 elements of %s; take %zu bytes or more\n", o->begin,
                dist_type_name(o->type), width);
        return false;
    }
    if (o->begin > o->end) {
        fprintf(stderr, "dist_perf: the smallest size (-b %zu) is larger than the largest (-e %zu)\n",
                o->begin, o->end);
        return false;
    }
    return true;
}

int perf_codec_options_read(perf_codec_options *o, int argc, char **argv)
{
    *o = (perf_codec_options){.begin = 4 << 20,
                              .end = 64 << 20,
                              .factor = 16,
                              .iterations = 15,
                              .warmup = 1,
                              .type = DIST_FLOAT32,
                              .seed = 1,
                              .data = {[PERF_NORMAL] = true, [PERF_STUDENT] = true}};
    if (!read_codecs(o, PERF_DEFAULT_CODECS))
        return PERF_FAILED;
    for (int i = 0; i < argc; i += 2) {
        if (i + 1 == argc) {
            fprintf(stderr, "dist_perf: '%s' needs a value; dist_perf codec --help lists the flags\n",
                    argv[i]);
            return PERF_USAGE;
        }
        if (!read_flag(o, argv[i], argv[i + 1]))
            return PERF_USAGE;
    }
    return sizes_fit(o) ? PERF_FINE : PERF_USAGE;
}
