/* dist_perf codec: how fast codecs are beside memcpy, what they save and what they lose. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec_perf.h"

typedef struct bench {
    const perf_codec_options *options;
    perf_vectors vectors;
    void *feedback, *frame, *decoded;
    void *from, *to;             /* of memcpy */
    double *time, *copy, *share; /* of each iteration */
    const void *values;          /* what is timed */
    const dist_codec *codec;     /* these are of the row at hand */
    size_t count, bytes, feedback_bytes, frame_bytes;
} bench;

typedef bool work(const bench *b, size_t bytes);

/* Of this core, not of those who take it away for a while. */
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool encode(const bench *b, size_t bytes)
{
    (void)bytes;
    return dist_codec_encode(b->codec, b->options->type, b->values, b->feedback_bytes ? b->feedback : NULL,
                             b->count, NULL, b->frame, NULL) == DIST_OK;
}

static bool decode(const bench *b, size_t bytes)
{
    (void)bytes;
    return dist_codec_decode(b->codec, b->frame, b->frame_bytes, b->options->type, b->count, b->decoded) ==
           DIST_OK;
}

/* Through a pointer that the compiler cannot see through, so that no copy is left out. */
static bool copy(const bench *b, size_t bytes)
{
    static void *(*const volatile by)(void *, const void *, size_t) = memcpy;
    by(b->to, b->from, bytes);
    return true;
}

/* Seconds of one run, of `repeats` in a row; < 0 when one failed. */
static double timed(const bench *b, work *run, size_t bytes, size_t repeats)
{
    const double began = seconds();
    for (size_t i = 0; i < repeats; i++)
        if (!run(b, bytes))
            return -1;
    return (seconds() - began) / (double)repeats;
}

/* A run and a copy that moves as many bytes take turns, so that whatever slows this core slows both. */
static bool measure(const bench *b, work *run, size_t moved, perf_speed *speed)
{
    const perf_codec_options *o = b->options;
    const double least = 2e-4; /* seconds of a round, far above the clock's own */
    const double once = timed(b, run, 0, 1);
    const size_t repeats = once >= least ? 1 : once > 0 ? (size_t)(least / once) + 1 : 1;
    for (int i = -o->warmup; i < o->iterations; i++) {
        const double time = timed(b, run, 0, repeats), copied = timed(b, copy, moved / 2, repeats);
        if (time < 0)
            return false;
        if (i < 0)
            continue;
        b->time[i] = time;
        b->copy[i] = copied;
        b->share[i] = copied / time;
    }
    *speed = (perf_speed){.time = perf_median(b->time, o->iterations),
                          .copy = perf_median(b->copy, o->iterations),
                          .share = perf_median(b->share, o->iterations),
                          .moved = (double)moved};
    return true;
}

static bool measure_speeds(bench *b, perf_codec_row *row)
{
    memset(b->feedback, 0, b->feedback_bytes);
    return measure(b, encode, b->bytes + 2 * b->feedback_bytes + b->frame_bytes, &row->encode) &&
           measure(b, decode, b->frame_bytes + b->bytes, &row->decode);
}

/* How close to its bound an error comes; above 1 is beyond. A bound of 0 is met by 0 alone. */
static double share_of(double error, double bound)
{
    return error <= bound ? (bound > 0 ? error / bound : 0) : bound > 0 ? error / bound : HUGE_VAL;
}

/* One encode of `kind` without feedback, decoded to float32, so that what is rounded is the codec's alone. */
static bool measure_error(const bench *b, perf_data kind, perf_codec_row *row)
{
    const float *exact = b->vectors.exact[kind], *decoded = b->decoded;
    double squares = 0, wrong = 0, most = 0, bound;
    if (dist_codec_encode(b->codec, b->options->type, b->vectors.values[kind], NULL, b->count, NULL, b->frame,
                          NULL) < 0 ||
        dist_codec_error_bound(b->codec, b->frame, b->frame_bytes, b->count, &bound) < 0 ||
        dist_codec_decode(b->codec, b->frame, b->frame_bytes, DIST_FLOAT32, b->count, b->decoded) < 0)
        return false;
    for (size_t i = 0; i < b->count; i++) {
        const double value = (double)exact[i], error = fabs((double)decoded[i] - value);
        squares += value * value;
        wrong += error * error;
        most = error <= most ? most : isnan(error) ? HUGE_VAL : error;
    }
    row->nmse[kind] = wrong > 0 ? wrong / squares : 0;
    if (row->bound < 0 || share_of(most, bound) > share_of(row->most, row->bound)) {
        row->bound = bound;
        row->most = most;
    }
    row->met &= most <= bound;
    return true;
}

/* False with a sentence when a call failed. */
static bool run_row(bench *b, const char *name, size_t bytes, perf_codec_row *row)
{
    dist_codec *codec;
    bool good = dist_codec_create(&codec, name) == DIST_OK;
    b->codec = codec;
    b->count = bytes / dist_type_bytes(b->options->type);
    b->bytes = b->count * dist_type_bytes(b->options->type);
    b->frame_bytes = dist_codec_encoded_bytes(codec, b->count);
    b->feedback_bytes = dist_codec_feedback_bytes(codec, b->count);
    *row = (perf_codec_row){.bytes = b->bytes,
                            .count = b->count,
                            .codec = name,
                            .ratio = (double)b->bytes / (double)b->frame_bytes,
                            .bound = -1,
                            .met = true};
    good = good && measure_speeds(b, row);
    for (perf_data kind = 0; kind < PERF_DATA; kind++) {
        row->nmse[kind] = -1;
        good = good && (!b->options->data[kind] || measure_error(b, kind, row));
    }
    if (!good)
        fprintf(stderr, "dist_perf: %s\n", dist_last_error());
    dist_codec_destroy(codec);
    return good;
}

static int run_rows(bench *b, perf_codec_row *row, FILE *json)
{
    const perf_codec_options *o = b->options;
    size_t rows = 0;
    int status = PERF_FINE;
    perf_codec_header(o, &b->vectors);
    for (size_t bytes = o->begin; bytes <= o->end; bytes = perf_next_size(bytes, o->step, o->factor))
        for (int c = 0; c < o->codecs; c++, rows++) {
            if (!run_row(b, o->codec[c], bytes, &row[rows]))
                return PERF_FAILED;
            perf_codec_print(o, &row[rows]);
            if (!row[rows].met)
                status = PERF_WRONG;
        }
    if (json && !perf_codec_json(json, o, &b->vectors, row, rows)) {
        fprintf(stderr, "dist_perf: -J %s cannot be written\n", o->json);
        return PERF_FAILED;
    }
    return status;
}

/* Room for the largest size of the codec that needs most. */
static bool allocate(bench *b, size_t count)
{
    const perf_codec_options *o = b->options;
    size_t frame = 0, feedback = 0, moved = 0;
    for (int c = 0; c < o->codecs; c++) {
        dist_codec *codec;
        if (dist_codec_create(&codec, o->codec[c]) < 0)
            return false;
        const uint64_t kept = dist_codec_feedback_bytes(codec, count);
        const uint64_t made = dist_codec_encoded_bytes(codec, count);
        dist_codec_destroy(codec);
        const size_t both = count * dist_type_bytes(o->type) + 2 * kept + made;
        if (made > SIZE_MAX / 2)
            return false;
        frame = made > frame ? made : frame;
        feedback = kept > feedback ? kept : feedback;
        moved = both > moved ? both : moved;
    }
    b->frame = perf_allocate(frame);
    b->feedback = perf_allocate(feedback);
    b->decoded = perf_allocate(count * sizeof(float));
    b->from = perf_allocate(moved / 2);
    b->to = perf_allocate(moved / 2);
    b->time = perf_allocate((size_t)o->iterations * sizeof(double));
    b->copy = perf_allocate((size_t)o->iterations * sizeof(double));
    b->share = perf_allocate((size_t)o->iterations * sizeof(double));
    return b->frame && b->feedback && b->decoded && b->from && b->to && b->time && b->copy && b->share;
}

static void release(bench *b)
{
    void *const all[] = {b->frame, b->feedback, b->decoded, b->from, b->to, b->time, b->copy, b->share};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    perf_vectors_free(&b->vectors);
}

static int run(const perf_codec_options *o, FILE *json)
{
    bench b = {.options = o};
    size_t sizes = 0, largest = o->begin;
    for (size_t bytes = o->begin; bytes <= o->end; bytes = perf_next_size(bytes, o->step, o->factor), sizes++)
        largest = bytes;
    const size_t count = largest / dist_type_bytes(o->type);
    perf_codec_row *rows = calloc(sizes * (size_t)o->codecs, sizeof *rows);
    int status = perf_vectors_make(&b.vectors, o, count);
    if (status == PERF_FINE && (!rows || !allocate(&b, count))) {
        fprintf(stderr, "dist_perf: no memory for %zu elements; lower -e\n", count);
        status = PERF_FAILED;
    }
    if (status == PERF_FINE) {
        b.values = b.vectors.values[o->timed];
        status = run_rows(&b, rows, json);
    }
    free(rows);
    release(&b);
    return status;
}

int perf_codec(int argc, char **argv)
{
    perf_codec_options options;
    FILE *json = NULL;
    if (argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        fputs(perf_codec_help, stdout);
        return PERF_FINE;
    }
    int status = perf_codec_options_read(&options, argc, argv);
    if (status != PERF_FINE)
        return status;
    if (options.json && !(json = fopen(options.json, "w"))) {
        fprintf(stderr, "dist_perf: -J %s cannot be written\n", options.json);
        return PERF_USAGE;
    }
    status = run(&options, json);
    if (json && fclose(json) != 0 && status != PERF_FAILED) {
        fprintf(stderr, "dist_perf: -J %s cannot be written\n", options.json);
        status = PERF_FAILED;
    }
    return status;
}
