/* The prediction as a diagram: ranks down, time across. Attributes only, no scripts or style sheets, so that
 * converters show what browsers do. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "svg.h"

enum { WIDTH = 1400, LEFT = 64, RIGHT = 24, TOP = 78, BELOW = 84 };

/* The later a stage is among those of its rank, the paler. */
static bool shade_stages(svg_view *v)
{
    const dist_plan_pipeline *p = &v->c->pipeline;
    int *held = calloc((size_t)p->ranks + 1, sizeof *held);
    v->shade = calloc((size_t)p->stages + 1, sizeof *v->shade);
    const bool whole = held && v->shade;
    for (int s = 0; whole && s < p->stages; s++)
        v->shade[s] = held[p->rank_of[s]]++ % SVG_PALES;
    free(held);
    return whole;
}

static void count_boxes(svg_view *v)
{
    bool local = false;
    for (int r = 0; r < v->c->predicted.ranks; r++)
        for (size_t i = 0; i < dist_plan_set_ops(v->c->set, r); i++) {
            svg_paint paint;
            int lane, pale;
            dist_plan_op op;
            if (dist_plan_set_op(v->c->set, r, i, &op) < 0 || !svg_box(v, r, &op, &paint, &lane, &pale))
                continue;
            v->boxes++;
            local |= paint == SVG_CODEC || paint == SVG_REDUCE || paint == SVG_COPY;
        }
    if (!v->c->is_pipeline)
        v->lanes = local ? 3 : 2;
}

static void lay_out(svg_view *v)
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

static double height_of(const svg_view *v)
{
    return v->top + v->rows * (v->row + v->gap) + BELOW;
}

static void write_text(const svg_view *v, double x, double y, double size, const char *anchor,
                       const char *text)
{
    fprintf(v->file, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" text-anchor=\"%s\" fill=\"#1a1a1a\">", x,
            y, size, anchor);
    for (; *text; text++)
        if (*text == '<' || *text == '&')
            fputs(*text == '<' ? "&lt;" : "&amp;", v->file);
        else
            fputc((unsigned char)*text < 0x20 ? ' ' : *text, v->file);
    fputs("</text>\n", v->file);
}

static void write_head(const svg_view *v)
{
    const dist_plan_prediction *p = &v->c->predicted;
    char text[256];
    int used = snprintf(text, sizeof text, "makespan %.6g", p->makespan);
    if (p->bound > 0)
        used +=
            snprintf(text + used, sizeof text - (size_t)used, ", bound %.6g, ratio %.4f", p->bound, p->ratio);
    if (v->step > 1)
        snprintf(text + used, sizeof text - (size_t)used, "; one rank in %d is shown", v->step);
    const double height = height_of(v);
    fprintf(v->file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\" "
            "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n<rect width=\"%d\" height=\"%.0f\" "
            "fill=\"#ffffff\"/>\n",
            WIDTH, height, WIDTH, height, WIDTH, height);
    write_text(v, v->left, 28, 17, "start", v->c->title);
    write_text(v, v->left, 48, 13, "start", text);
}

/* What is not covered afterwards is idle. */
static void write_rows(const svg_view *v)
{
    const double size = fmin(12, v->row + 1);
    fputs("<path fill=\"#ececec\" d=\"", v->file);
    for (int row = 0; row < v->rows; row++)
        fprintf(v->file, "M%.2f %.2fH%.2fv%.2fH%.2fz", v->left, svg_y(v, row),
                svg_x(v, v->c->predicted.makespan), v->row, v->left);
    fputs("\"/>\n", v->file);
    for (int row = 0; row < v->rows; row++) {
        char label[32];
        snprintf(label, sizeof label, v->row < 14 ? "%d" : "rank %d", row * v->step);
        write_text(v, v->left - 8, svg_y(v, row) + v->row / 2 + size * 0.36, size, "end", label);
    }
}

/* 1, 2 or 5 times a power of ten, so that there are about ten. */
static double tick_of(double length)
{
    const double rough = length / 10, power = pow(10, floor(log10(rough)));
    const double mantissa = rough / power;
    return power * (mantissa < 1.5 ? 1 : mantissa < 3.5 ? 2 : mantissa < 7.5 ? 5 : 10);
}

static void write_axis(const svg_view *v)
{
    const double base = svg_y(v, v->rows) + 2;
    fprintf(v->file, "<path stroke=\"#707070\" stroke-width=\"1\" fill=\"none\" d=\"M%.2f %.2fH%.2f", v->left,
            base, v->left + v->width);
    const double tick = v->length > 0 ? tick_of(v->length) : 1;
    for (int i = 0; i * tick <= v->length * (1 + 1e-9); i++)
        fprintf(v->file, "M%.2f %.2fv5", svg_x(v, i * tick), base);
    fputs("\"/>\n", v->file);
    for (int i = 0; i * tick <= v->length * (1 + 1e-9); i++) {
        char label[32];
        snprintf(label, sizeof label, "%.6g", i * tick);
        write_text(v, svg_x(v, i * tick), base + 18, 11, "middle", label);
    }
}

static void write_bound(const svg_view *v)
{
    const double bound = v->c->predicted.bound, x = svg_x(v, bound), top = v->top - 8;
    char label[64];
    if (!(bound > 0))
        return;
    fprintf(v->file,
            "<path stroke=\"#c00020\" stroke-width=\"1.6\" stroke-dasharray=\"6 3\" fill=\"none\" d=\"M%.2f "
            "%.2fV%.2f\"/>\n",
            x, top, svg_y(v, v->rows) + 2);
    snprintf(label, sizeof label, "bound %.6g", bound);
    write_text(v, x, top - 4, 11, x > v->left + v->width - 60 ? "end" : "middle", label);
}

static const char *meaning(const svg_view *v, svg_paint paint)
{
    const bool split = v->c->pipeline.split;
    switch (paint) {
    case SVG_FORWARD:
        return "F forward";
    case SVG_BACKWARD:
        return split ? "B backward of the input" : "B backward";
    case SVG_WEIGHT:
        return "W backward of the weights";
    case SVG_FULL:
        return "B and W at once";
    default:
        return svg_styles[paint].meaning;
    }
}

static void write_key(const svg_view *v, double *x, double y, const char *text)
{
    write_text(v, *x + 20, y + 10, 12, "start", text);
    *x += 20 + 7.2 * (double)strlen(text) + 26;
}

static void write_legend(const svg_view *v)
{
    const double y = svg_y(v, v->rows) + 44;
    double x = v->left;
    for (int paint = 0; paint < SVG_PAINTS; paint++) {
        if (!v->used[paint])
            continue;
        fprintf(v->file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"12\" fill=\"%s\"/>\n", x, y,
                svg_styles[paint].fill);
        write_key(v, &x, y, meaning(v, (svg_paint)paint));
    }
    fprintf(v->file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"12\" fill=\"#ececec\"/>\n", x, y);
    write_key(v, &x, y, "idle");
    if (v->c->pipeline.chunks > 1)
        write_key(v, &x, y, "paler: later stages of a rank");
    if (svg_shows_messages(v)) {
        fprintf(v->file, "<path stroke=\"#5a5a5a\" stroke-width=\"1\" d=\"M%.1f %.1fl14 -9\"/>\n", x, y + 11);
        write_key(v, &x, y, "message");
    }
    if (v->c->predicted.bound > 0) {
        fprintf(
            v->file,
            "<path stroke=\"#c00020\" stroke-width=\"1.6\" stroke-dasharray=\"6 3\" d=\"M%.1f %.1fh16\"/>\n",
            x, y + 6);
        write_key(v, &x, y, "bound");
    }
}

static bool write_svg(const plan_case *c, FILE *file)
{
    svg_view v = {.c = c,
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
    svg_write_boxes(&v);
    svg_write_messages(&v);
    svg_write_numbers(&v);
    write_axis(&v);
    write_bound(&v);
    write_legend(&v);
    fputs("</svg>\n", file);
    free(v.shade);
    return true;
}

bool plan_write_svg(const plan_case *c, const char *path)
{
    return plan_write_file(c, path, write_svg);
}
