/* Axes: values to pixels, and few round ticks with short labels. */
#ifndef DIST_BENCHMARKS_AXIS_H
#define DIST_BENCHMARKS_AXIS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct axis {
    bool log, bytes;   /* bytes: ticks are powers of two, named 4K, 1M */
    double from, to;   /* values at the ends */
    double at, length; /* pixel of `from`, and from there to that of `to`; < 0 upwards */
} axis;

enum { AXIS_TICKS = 24 };

typedef struct axis_tick {
    double value;
    char label[32];
} axis_tick;

/* Whether it is a figure, and an axis of this kind has a place for it. */
bool axis_holds(const axis *a, double value);
double axis_at(const axis *a, double value);

/* 1, 2 or 5 times a power of ten: the one nearest to `rough` > 0. */
double axis_step(double rough);

/* Ends that show values from `least` to `most`; none where `least` > `most`. Zero is shown when it is near. */
void axis_span(axis *a, double least, double most);
/* The same ends with some room beyond the values, or further out to round ticks, at most `ticks` <= AXIS_TICKS. */
void axis_widen(axis *a, int ticks);

/* At most `most` <= AXIS_TICKS ticks. */
int axis_ticks(const axis *a, int most, axis_tick *tick);

/* "12", "0.0045", "1.5e7": at most `digits` that count. "12.0", "0.00450", "15000": three that count, zeros
 * too. "64", "4K", "1.5M". */
void axis_number(char *text, size_t size, double value, int digits);
void axis_figure(char *text, size_t size, double value);
void axis_bytes(char *text, size_t size, double value);

#endif
