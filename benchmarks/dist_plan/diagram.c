/* The prediction as a diagram: ranks down, time across. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "axis.h"
#include "diagram.h"
#include "svg.h"

enum { WIDTH = 1400, LEFT = 64, RIGHT = 24, TOP = 78, BELOW = 84 };

/* The later a stage is among those of its rank, the paler. */
static bool shade_stages(diagram *v)
{
    const dist_plan_pipeline *p = &v->c->pipeline;
    int *held = calloc((size_t)p->ranks + 1, sizeof *held);
    v->shade = calloc((size_t)p->stages + 1, sizeof *v->shade);
    const bool whole = held && v->shade;
    for (int s = 0; whole && s < p->stages; s++)
        v->shade[s] = held[p->rank_of[s]]++ % DIAGRAM_PALES;
    free(held);
    return whole;
}

static void count_boxes(diagram *v)
{
    bool local = false;
    for (int r = 0; r < v->c->predicted.ranks; r++)
        for (size_t i = 0; i < dist_plan_set_ops(v->c->set, r); i++) {
            diagram_paint paint;
            int lane, pale;
            dist_plan_op op;
            if (dist_plan_set_op(v->c->set, r, i, &op) < 0 || !diagram_box(v, r, &op, &paint, &lane, &pale))
                continue;
            v->boxes++;
            local |= paint == DIAGRAM_CODEC || paint == DIAGRAM_REDUCE || paint == DIAGRAM_COPY;
        }
    if (!v->c->is_pipeline)
        v->lanes = local ? 3 : 2;
}

static void lay_out(diagram *v)
{
    enum { MANY_BOXES = 20000, MOST_ROWS = 64 };
    const int ranks = v->c->predicted.ranks;
    const double least = v->c->is_pipeline ? 9 : 12, most = v->c->is_pipeline ? 34 : 48;
    v->merged = v->boxes > MANY_BOXES;
    v->step = ranks > MOST_ROWS ? (ranks + MOST_ROWS - 1) / MOST_ROWS : 1;
    v->merged |= v->step > 1;
    v->rows = (ranks + v->step - 1) / v->step;
    v->row = fmax(least, fmin(most, 480.0 / v->rows));
    v->gap = fmax(2, v->row * 0.28);
    v->length = fmax(v->c->predicted.makespan, v->c->predicted.bound);
}

static double height_of(const diagram *v)
{
    return v->top + v->rows * (v->row + v->gap) + BELOW;
}

static svg_font font_of(double size, const char *anchor)
{
    return (svg_font){size, anchor, SVG_INK, 0};
}

static void write_head(const diagram *v)
{
    const dist_plan_prediction *p = &v->c->predicted;
    char text[256];
    int used = snprintf(text, sizeof text, "makespan %.6g", p->makespan);
    if (p->bound > 0)
        used +=
            snprintf(text + used, sizeof text - (size_t)used, ", bound %.6g, ratio %.4f", p->bound, p->ratio);
    if (v->step > 1)
        snprintf(text + used, sizeof text - (size_t)used, "; one rank in %d is shown", v->step);
    svg_begin(v->file, WIDTH, height_of(v));
    svg_head(v->file, v->left, 0, v->width, v->c->title, text);
}

/* What is not covered afterwards is idle. */
static void write_rows(const diagram *v)
{
    const double size = fmin(12, v->row + 1);
    fputs("<path fill=\"" SVG_EMPTY "\" d=\"", v->file);
    for (int row = 0; row < v->rows; row++)
        fprintf(v->file, "M%.2f %.2fH%.2fv%.2fH%.2fz", v->left, diagram_y(v, row),
                diagram_x(v, v->c->predicted.makespan), v->row, v->left);
    fputs("\"/>\n", v->file);
    for (int row = 0; row < v->rows; row++) {
        char label[32];
        snprintf(label, sizeof label, v->row < 14 ? "%d" : "rank %d", row * v->step);
        svg_text(v->file, v->left - 8, diagram_y(v, row) + v->row / 2 + size * 0.36, font_of(size, "end"),
                 label);
    }
}

static void write_axis(const diagram *v)
{
    const double base = diagram_y(v, v->rows) + 2;
    fprintf(v->file, "<path stroke=\"" SVG_AXIS "\" stroke-width=\"1\" fill=\"none\" d=\"M%.2f %.2fH%.2f",
            v->left, base, v->left + v->width);
    const double tick = v->length > 0 ? axis_step(v->length / 10) : 1;
    for (int i = 0; i * tick <= v->length * (1 + 1e-9); i++)
        fprintf(v->file, "M%.2f %.2fv5", diagram_x(v, i * tick), base);
    fputs("\"/>\n", v->file);
    for (int i = 0; i * tick <= v->length * (1 + 1e-9); i++) {
        char label[32];
        snprintf(label, sizeof label, "%.6g", i * tick);
        svg_text(v->file, diagram_x(v, i * tick), base + 18, font_of(11, "middle"), label);
    }
}

static void write_bound(const diagram *v)
{
    const double bound = v->c->predicted.bound, x = diagram_x(v, bound), top = v->top - 8;
    char label[64];
    if (!(bound > 0))
        return;
    svg_line(v->file, x, top, x, diagram_y(v, v->rows) + 2, SVG_ALERT, 1.6, SVG_DASH);
    snprintf(label, sizeof label, "bound %.6g", bound);
    svg_text(v->file, x, top - 4, font_of(11, x > v->left + v->width - 60 ? "end" : "middle"), label);
}

static const char *meaning(const diagram *v, diagram_paint paint)
{
    const bool split = v->c->pipeline.split;
    switch (paint) {
    case DIAGRAM_FORWARD:
        return "F forward";
    case DIAGRAM_BACKWARD:
        return split ? "B backward of the input" : "B backward";
    case DIAGRAM_WEIGHT:
        return "W backward of the weights";
    case DIAGRAM_FULL:
        return "B and W at once";
    default:
        return diagram_styles[paint].meaning;
    }
}

static void write_key(const diagram *v, double *x, double y, const char *text)
{
    svg_text(v->file, *x + 20, y + 10, font_of(12, "start"), text);
    *x += 20 + 7.2 * (double)strlen(text) + 26;
}

static void write_legend(const diagram *v)
{
    const double y = diagram_y(v, v->rows) + 44;
    double x = v->left;
    for (int paint = 0; paint < DIAGRAM_PAINTS; paint++) {
        if (!v->used[paint])
            continue;
        svg_rect(v->file, x, y, 14, 12, diagram_styles[paint].fill);
        write_key(v, &x, y, meaning(v, (diagram_paint)paint));
    }
    svg_rect(v->file, x, y, 14, 12, SVG_EMPTY);
    write_key(v, &x, y, "idle");
    if (v->c->pipeline.chunks > 1)
        write_key(v, &x, y, "paler: later stages of a rank");
    if (diagram_shows_messages(v)) {
        svg_line(v->file, x, y + 11, x + 14, y + 2, "#5a5a5a", 1, NULL);
        write_key(v, &x, y, "message");
    }
    if (v->c->predicted.bound > 0) {
        svg_line(v->file, x, y + 6, x + 16, y + 6, SVG_ALERT, 1.6, SVG_DASH);
        write_key(v, &x, y, "bound");
    }
}

static bool write_diagram(const plan_case *c, FILE *file)
{
    diagram v = {.c = c,
                 .file = file,
                 .left = LEFT,
                 .top = TOP,
                 .width = WIDTH - LEFT - RIGHT,
                 .lanes = c->is_pipeline ? 1 : 3};
    if (!shade_stages(&v)) {
        free(v.shade);
        return false;
    }
    count_boxes(&v);
    lay_out(&v);
    write_head(&v);
    write_rows(&v);
    diagram_write_boxes(&v);
    diagram_write_messages(&v);
    diagram_write_numbers(&v);
    write_axis(&v);
    write_bound(&v);
    write_legend(&v);
    svg_end(file);
    free(v.shade);
    return true;
}

bool plan_write_svg(const plan_case *c, const char *path)
{
    return plan_write_file(c, path, write_diagram);
}
