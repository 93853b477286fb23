/* What a collective must bring: inputs are small whole numbers, so that sums are exact in every type. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "operation.h"

/* bfloat16 has all whole numbers up to 256. */
static int largest(int ranks)
{
    return 7 * ranks <= 256 ? 7 : 1;
}

static int value_at(int rank, size_t i, int most)
{
    return (int)((i * 7 + (size_t)rank * 3) % (size_t)(2 * most + 1)) - most;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Of a whole number. */
static uint16_t half_of(int value)
{
    const uint32_t bits = bits_of((float)value);
    return (uint16_t)(value == 0
                          ? 0
                          : (bits >> 16 & 0x8000) | ((bits >> 23 & 0xff) - 112) << 10 | (bits >> 13 & 0x3ff));
}

static double value_of_half(uint16_t half)
{
    const int exponent = half >> 10 & 31, mantissa = half & 0x3ff;
    const double sign = half & 0x8000 ? -1 : 1;
    if (exponent == 31)
        return mantissa ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24));
}

static double value_of_brain(uint16_t brain)
{
    const uint32_t bits = (uint32_t)brain << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static void set(void *data, dist_type type, size_t i, int value)
{
    switch (type) {
    case DIST_FLOAT32:
        ((float *)data)[i] = (float)value;
        break;
    case DIST_FLOAT64:
        ((double *)data)[i] = value;
        break;
    case DIST_INT32:
        ((int32_t *)data)[i] = value;
        break;
    case DIST_INT64:
        ((int64_t *)data)[i] = value;
        break;
    case DIST_BFLOAT16:
        ((uint16_t *)data)[i] = (uint16_t)(bits_of((float)value) >> 16);
        break;
    default:
        ((uint16_t *)data)[i] = half_of(value);
    }
}

void perf_fill(void *data, dist_type type, size_t count, int rank, int ranks)
{
    const int most = largest(ranks);
    for (size_t i = 0; i < count; i++)
        set(data, type, i, value_at(rank, i, most));
}

void perf_fill_input(const perf_operation *operation, const perf_call *c)
{
    const int rank = dist_rank(c->context), ranks = dist_ranks(c->context);
    char *input = c->place == PERF_IN_PLACE ? c->receive : c->send;
    if (c->place == PERF_IN_PLACE && operation->wide_output && !operation->wide_input)
        input += c->count * dist_type_bytes(c->type) * (size_t)rank;
    perf_fill(input, c->type, c->count * (operation->wide_input ? (size_t)ranks : 1), rank, ranks);
}

static double element(const void *data, dist_type type, size_t i)
{
    switch (type) {
    case DIST_FLOAT32:
        return (double)((const float *)data)[i];
    case DIST_FLOAT64:
        return ((const double *)data)[i];
    case DIST_INT32:
        return ((const int32_t *)data)[i];
    case DIST_INT64:
        return (double)((const int64_t *)data)[i];
    case DIST_BFLOAT16:
        return value_of_brain(((const uint16_t *)data)[i]);
    default:
        return value_of_half(((const uint16_t *)data)[i]);
    }
}

/* Element i of the reduction over all ranks. */
static double reduced(const perf_call *c, size_t i)
{
    const int ranks = dist_ranks(c->context), most = largest(ranks);
    const bool whole = c->type == DIST_INT32 || c->type == DIST_INT64;
    int sum = 0, least = most + 1, highest = -most - 1;
    for (int r = 0; r < ranks; r++) {
        const int value = value_at(r, i, most);
        sum += value;
        least = value < least ? value : least;
        highest = value > highest ? value : highest;
    }
    if (c->op == DIST_AVERAGE)
        return whole ? sum / ranks : (double)sum / ranks;
    return c->op == DIST_MIN ? least : c->op == DIST_MAX ? highest : sum;
}

/* Element i of this rank's output. */
static double wanted(const perf_operation *operation, const perf_call *c, size_t i)
{
    const int rank = dist_rank(c->context), ranks = dist_ranks(c->context), most = largest(ranks);
    const size_t mine = (size_t)rank * c->count;
    if (operation->reduces)
        return reduced(c, operation->wide_input ? mine + i : i);
    if (operation->rooted)
        return value_at(c->root, i, most);
    if (!operation->wide_output) /* from the rank before */
        return value_at((rank + ranks - 1) % ranks, i, most);
    return value_at((int)(i / c->count), (operation->wide_input ? mine : 0) + i % c->count, most);
}

/* The bound of a frame of elements as large as any sum of this pattern, which no smaller ones exceed. */
static double bound_of_frame(const char *name, float value)
{
    enum { COUNT = 4096 };
    float values[COUNT];
    double bound = 0;
    dist_codec *codec;
    if (dist_codec_create(&codec, name) < 0)
        return 0;
    const uint64_t bytes = dist_codec_encoded_bytes(codec, COUNT);
    void *frame = bytes ? calloc(1, bytes) : NULL;
    for (int i = 0; i < COUNT; i++)
        values[i] = value;
    if (frame && dist_codec_encode(codec, DIST_FLOAT32, values, NULL, COUNT, NULL, frame, NULL) == DIST_OK)
        dist_codec_error_bound(codec, frame, bytes, COUNT, &bound);
    free(frame);
    dist_codec_destroy(codec);
    return bound;
}

/* Of one rounding to the type, of a number up to `size`. */
static double rounding(dist_type type, double size)
{
    const double step = type == DIST_BFLOAT16 ? 0x1p-8 : type == DIST_FLOAT16 ? 0x1p-11 : 0x1p-20;
    return step * fmax(size, 1);
}

/* The largest error that an element may have: the codec's for the sum of each site, and for the sum of all where that is encoded
 * again; a rounding for each, and for an average. Sums alone are exact. */
static double slack(const perf_call *c, const perf_expectation *e)
{
    const int ranks = dist_ranks(c->context);
    const float size = (float)(largest(ranks) * ranks);
    const double divisor = c->op == DIST_AVERAGE ? ranks : 1;
    double error = c->op == DIST_AVERAGE ? 2 * rounding(c->type, (double)largest(ranks)) : 0;
    if (e->sites > 1 && strcmp(e->codec, "none") != 0)
        error +=
            (e->sites + 1) * (bound_of_frame(e->codec, size) + rounding(c->type, (double)size)) / divisor;
    return error;
}

/* Where the output is: of MPI's reduce-scatter in place at the beginning, of libdist's at this rank's part. */
static const char *output_of(const perf_operation *operation, const perf_call *c)
{
    const bool shifted =
        operation->wide_input && !operation->wide_output && c->place == PERF_IN_PLACE && !c->by_mpi;
    return c->receive + (shifted ? c->count * dist_type_bytes(c->type) * (size_t)dist_rank(c->context) : 0);
}

long long perf_count_wrong(const perf_operation *operation, const perf_call *c, const perf_expectation *e)
{
    const double allowed = operation->reduces ? slack(c, e) : 0;
    const size_t count = c->count * (operation->wide_output ? (size_t)dist_ranks(c->context) : 1);
    const char *got = output_of(operation, c);
    long long wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong += !(fabs(element(got, c->type, i) - wanted(operation, c, i)) <= allowed);
    return wrong;
}
