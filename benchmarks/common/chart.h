/* Charts as SVG files, without a plotting library: curves, heat maps, timelines.
 *
 * Each file has attributes only, no scripts and no style sheets, on a white background of its own, in colours that
 * colour-blind readers tell apart. What does not fit is shortened or left out, and is a tooltip all the same. The same
 * input gives the same bytes in every locale. Values that are not finite are no figures: they are not drawn.
 *
 * All return 0, or -1 with errno. On failure no half file is left, and a file that was there before stays as it
 * was. Texts are UTF-8, and may be NULL where there is nothing to say. */
#ifndef DIST_BENCHMARKS_CHART_H
#define DIST_BENCHMARKS_CHART_H

#include <stdbool.h>

/* ---- curves ---- */

typedef struct chart_point {
    double x, y; /* NAN y: no figure there, the line is broken */
} chart_point;

typedef struct chart_line {
    const char *name;
    const chart_point *point; /* by ascending x */
    int points;
    bool dashed;
} chart_line;

/* On a logarithmic axis there is no room for 0 and less: such points break the line, and a note counts them. */
typedef struct chart_curves {
    const char *title, *subtitle, *x_label, *y_label;
    bool x_bytes; /* ticks as 4K, 1M */
    bool x_log, y_log;
    const chart_line *line;
    int lines;
} chart_curves;

int chart_write_curves(const char *path, const chart_curves *chart);

/* ---- heat maps ---- */

/* The worse, the darker. The scale is logarithmic when the values span more than 20 times, and never
 * narrower than 1.25 times, so that noise stays pale. */
typedef struct chart_matrix {
    const char *title, *subtitle, *unit;
    const char *const *row, *const *column; /* names; NULL: numbers from 0 */
    int rows, columns;
    const double *value; /* [rows*columns], NAN: none (the diagonal) */
    bool low_is_bad;
    const bool *marked; /* [rows*columns] outlined: named as bad; may be NULL */
} chart_matrix;

/* One below the other in one file, each with a legend of its scale. Numbers stand in the cells while they fit. */
int chart_write_matrices(const char *path, const chart_matrix *matrix, int matrices);

/* ---- timelines ---- */

typedef struct chart_span {
    double begin, end;
    const char *name;
    int kind; /* colour: 0 compute, 1 communication, 2 exposed/waiting, 3 other */
} chart_span;

/* Spans in any order; those that overlap are drawn below each other. */
typedef struct chart_lane {
    const char *name;
    const chart_span *span;
    int spans;
} chart_lane;

typedef struct chart_timeline {
    const char *title, *subtitle, *unit;
    const chart_lane *lane;
    int lanes;
    const double *mark; /* vertical lines, e.g. predicted end */
    const char *const *mark_name;
    int marks;
} chart_timeline;

int chart_write_timeline(const char *path, const chart_timeline *chart);

#endif
