/* dist_perf codec: what its files share. */
#ifndef DIST_PERF_CODEC_PERF_H
#define DIST_PERF_CODEC_PERF_H

#include "perf.h"

#define PERF_CODECS 64

/* What is encoded: standard normal, Student's t of 3 degrees (heavy tails), gradients from a file. */
typedef enum perf_data { PERF_NORMAL, PERF_STUDENT, PERF_GRADIENT, PERF_DATA } perf_data;

typedef struct perf_codec_options {
    size_t begin, end, step; /* bytes; step 0: multiply by factor */
    double factor;
    int iterations, warmup;
    dist_type type;
    uint64_t seed;
    bool data[PERF_DATA]; /* which are wanted */
    perf_data timed;      /* the first of them */
    const char *gradient; /* file, when they are */
    char list[2048];      /* backs codec[] */
    const char *codec[PERF_CODECS];
    int codecs;
    const char *json;
} perf_codec_options;

/* Vectors of the largest size; smaller sizes take their beginning. */
typedef struct perf_vectors {
    void *values[PERF_DATA]; /* of the type that is encoded; NULL: not wanted */
    float *exact[PERF_DATA]; /* the same values; the same memory when the type is float32 */
    size_t gradients;        /* elements in the file; they repeat when there are fewer than the size */
} perf_vectors;

/* An encode or a decode beside memcpy; all but `share` are medians. */
typedef struct perf_speed {
    double time, copy; /* seconds, of as many bytes moved */
    double share;      /* copy / time, the median of its rounds */
    double moved;      /* bytes read and written */
} perf_speed;

/* One line of the table. */
typedef struct perf_codec_row {
    size_t bytes, count;
    const char *codec;
    perf_speed encode, decode;
    double ratio;           /* bytes of the elements over bytes of the frame */
    double nmse[PERF_DATA]; /* < 0: not wanted */
    double bound;           /* HUGE_VAL: none */
    double most;            /* error, in the data that come closest to the bound */
    bool met;
} perf_codec_row;

extern const char perf_codec_help[];
/* PERF_FINE, or PERF_USAGE with a sentence on stderr. */
int perf_codec_options_read(perf_codec_options *options, int argc, char **argv);

/* `count` elements of each kind that is wanted. PERF_FINE, or another status with a sentence on stderr. */
int perf_vectors_make(perf_vectors *vectors, const perf_codec_options *options, size_t count);
void perf_vectors_free(perf_vectors *vectors);

/* At least 64 bytes that are in memory already, since a first touch would be timed; NULL when there are none. */
void *perf_allocate(size_t bytes);

void perf_codec_header(const perf_codec_options *options, const perf_vectors *vectors);
void perf_codec_print(const perf_codec_options *options, const perf_codec_row *row);
/* False when the file could not be written. */
bool perf_codec_json(FILE *file, const perf_codec_options *options, const perf_vectors *vectors,
                     const perf_codec_row *row, size_t rows);

#endif
