/* What an all-reduce must bring: inputs are small whole numbers, so that sums are exact in every type. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "perf.h"

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

void perf_fill(void *data, dist_type type, size_t count, int rank, int ranks)
{
    for (size_t i = 0; i < count; i++) {
        const int value = value_at(rank, i, largest(ranks));
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

static double wanted(const perf_expectation *e, size_t i)
{
    const int most = largest(e->ranks);
    const bool whole = e->type == DIST_INT32 || e->type == DIST_INT64;
    int sum = 0, least = most + 1, highest = -most - 1;
    for (int r = 0; r < e->ranks; r++) {
        const int value = value_at(r, i, most);
        sum += value;
        least = value < least ? value : least;
        highest = value > highest ? value : highest;
    }
    if (e->op == DIST_AVERAGE)
        return whole ? sum / e->ranks : (double)sum / e->ranks;
    return e->op == DIST_MIN ? least : e->op == DIST_MAX ? highest : sum;
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
static double slack(const perf_expectation *e)
{
    const float size = (float)(largest(e->ranks) * e->ranks);
    const double divisor = e->op == DIST_AVERAGE ? e->ranks : 1;
    double error = e->op == DIST_AVERAGE ? 2 * rounding(e->type, (double)largest(e->ranks)) : 0;
    if (e->sites > 1 && strcmp(e->codec, "none") != 0)
        error +=
            (e->sites + 1) * (bound_of_frame(e->codec, size) + rounding(e->type, (double)size)) / divisor;
    return error;
}

long long perf_count_wrong(const void *got, size_t count, const perf_expectation *e)
{
    const double allowed = slack(e);
    long long wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong += !(fabs(element(got, e->type, i) - wanted(e, i)) <= allowed);
    return wrong;
}
