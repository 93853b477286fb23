/* The diagram: what its files share. */
#ifndef DIST_PLAN_SVG_H
#define DIST_PLAN_SVG_H

#include "plan.h"

/* Colours; of a pipeline's boxes each chunk after the first is paler. */
typedef enum svg_paint {
    SVG_FORWARD,
    SVG_BACKWARD,
    SVG_WEIGHT,
    SVG_FULL,
    SVG_CODEC,
    SVG_REDUCE,
    SVG_COPY,
    SVG_INSIDE,
    SVG_ACROSS,
    SVG_PAINTS
} svg_paint;

typedef struct svg_style {
    const char *fill, *text, *meaning;
} svg_style;
extern const svg_style svg_styles[SVG_PAINTS];

enum { SVG_PALES = 3 }; /* shades of a colour */

typedef struct svg_view {
    const plan_case *c;
    FILE *file;
    double left, top, width; /* of the plot */
    double row, gap;         /* height of a rank's row; free below it */
    double length;           /* time from left to right */
    int step, rows;          /* every step-th rank has a row */
    int lanes;               /* in a row */
    int *shade;              /* [stages] 0 is the colour itself */
    size_t boxes;            /* ops that have a duration, in all rows */
    bool merged;             /* too many: drawn by pixels, without numbers and messages */
    bool used[SVG_PAINTS];
} svg_view;

static inline double svg_x(const svg_view *v, double time)
{
    return v->left + (v->length > 0 ? v->width * time / v->length : 0);
}

static inline double svg_y(const svg_view *v, int row)
{
    return v->top + row * (v->row + v->gap);
}

/* What an op looks like: false when it is no box. */
bool svg_box(const svg_view *v, int rank, const dist_plan_op *op, svg_paint *paint, int *lane, int *pale);

void svg_write_boxes(svg_view *v);
void svg_write_numbers(const svg_view *v);
bool svg_shows_messages(const svg_view *v);
void svg_write_messages(const svg_view *v);

#endif
