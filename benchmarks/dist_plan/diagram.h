/* The diagram: what its files share. */
#ifndef DIST_PLAN_DIAGRAM_H
#define DIST_PLAN_DIAGRAM_H

#include "plan.h"

/* Colours; of a pipeline's boxes each chunk after the first is paler. */
typedef enum diagram_paint {
    DIAGRAM_FORWARD,
    DIAGRAM_BACKWARD,
    DIAGRAM_WEIGHT,
    DIAGRAM_FULL,
    DIAGRAM_CODEC,
    DIAGRAM_REDUCE,
    DIAGRAM_COPY,
    DIAGRAM_INSIDE,
    DIAGRAM_ACROSS,
    DIAGRAM_PAINTS
} diagram_paint;

typedef struct diagram_style {
    const char *fill, *text, *meaning;
} diagram_style;
extern const diagram_style diagram_styles[DIAGRAM_PAINTS];

enum { DIAGRAM_PALES = 3 }; /* shades of a colour */

typedef struct diagram {
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
    bool used[DIAGRAM_PAINTS];
} diagram;

static inline double diagram_x(const diagram *v, double time)
{
    return v->left + (v->length > 0 ? v->width * time / v->length : 0);
}

static inline double diagram_y(const diagram *v, int row)
{
    return v->top + row * (v->row + v->gap);
}

/* What an op looks like: false when it is no box. */
bool diagram_box(const diagram *v, int rank, const dist_plan_op *op, diagram_paint *paint, int *lane,
                 int *pale);

void diagram_write_boxes(diagram *v);
void diagram_write_numbers(const diagram *v);
bool diagram_shows_messages(const diagram *v);
void diagram_write_messages(const diagram *v);

#endif
