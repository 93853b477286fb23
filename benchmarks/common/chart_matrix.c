/* Heat maps, one below the other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "axis.h"
#include "chart.h"
#include "svg.h"

enum { MARGIN = 24, NARROWEST = 640, HEAD = 58, KEY = 170, LONGEST = 180, MAP = 640, BAR = 14 };

#define MARK "#0050c8"

static const svg_font small = {11, "start", SVG_INK, 0}, soft = {11, "start", SVG_SOFT, 0};

typedef struct view {
    const chart_matrix *m;
    FILE *file;
    double left, top, width, height; /* of a cell: width, height */
    double names;                    /* height of the columns' names */
    bool turned;                     /* they are */
    axis scale;                      /* 0 is pale, 1 is dark */
    int figures;                     /* how many values are some */
} view;

static double value_at(const chart_matrix *m, int row, int column)
{
    return m->value[(size_t)row * (size_t)m->columns + (size_t)column];
}

static const char *name_of(const char *const *names, int index, char number[16])
{
    if (names)
        return names[index] ? names[index] : "";
    snprintf(number, 16, "%d", index);
    return number;
}

static double widest(const char *const *names, int count)
{
    double width = 0;
    char number[16];
    for (int i = 0; i < count; i++)
        width = fmax(width, svg_text_width(name_of(names, i, number), small.size));
    return fmin(width, LONGEST);
}

/* ---- scale ---- */

static void measure(view *v)
{
    const chart_matrix *m = v->m;
    const axis any = {.log = false};
    double least = INFINITY, most = -INFINITY;
    v->figures = 0;
    for (int i = 0; i < m->rows; i++)
        for (int k = 0; k < m->columns; k++)
            if (axis_holds(&any, value_at(m, i, k))) {
                least = fmin(least, value_at(m, i, k));
                most = fmax(most, value_at(m, i, k));
                v->figures++;
            }
    if (v->figures == 0)
        least = most = 0;
    v->scale = (axis){.log = least > 0 && most / least > 20, .from = least, .to = most, .at = 0, .length = 1};
    if (least > 0 && most / least < 1.25) { /* noise stays pale */
        v->scale.from = m->low_is_bad ? most / 1.25 : least;
        v->scale.to = m->low_is_bad ? most : least * 1.25;
    } else if (!(most > least)) {
        v->scale.from = m->low_is_bad ? least - 1 : least;
        v->scale.to = m->low_is_bad ? least : least + 1;
    }
}

static double badness(const view *v, double value)
{
    const double part = axis_at(&v->scale, value);
    return fmin(1, fmax(0, v->m->low_is_bad ? 1 - part : part));
}

/* From pale to dark, evenly in lightness, so that it is read without colours too. */
static void colour_of(double bad, char text[8])
{
    static const unsigned char stops[5][3] = {
        {0xfd, 0xf3, 0xda}, {0xf8, 0xc7, 0x75}, {0xe6, 0x7f, 0x3c}, {0xb0, 0x32, 0x4c}, {0x4f, 0x10, 0x46}};
    const int stop = bad < 1 ? (int)(bad * 4) : 3;
    int rgb[3];
    for (int i = 0; i < 3; i++)
        rgb[i] = (int)lround(stops[stop][i] + (bad * 4 - stop) * (stops[stop + 1][i] - stops[stop][i]));
    snprintf(text, 8, "#%02x%02x%02x", rgb[0] & 255, rgb[1] & 255, rgb[2] & 255);
}

/* ---- layout ---- */

static void lay_out(view *v)
{
    const chart_matrix *m = v->m;
    v->width = floor(fmax(4, fmin(84, MAP / fmax(1, m->columns)))); /* whole pixels: no seams */
    v->height = floor(fmax(fmin(10, v->width), fmin(fmin(34, v->width), MAP / fmax(1, m->rows))));
    const double longest = widest(m->column, m->columns);
    v->turned = longest > v->width - 6;
    v->names = v->turned ? ceil(longest * 0.71) + 16 : 20;
}

static double bar_height(const view *v)
{
    return fmin(220, fmax(90, v->m->rows * v->height - 12));
}

static bool has_marks(const view *v)
{
    bool any = false;
    for (size_t i = 0; v->m->marked && i < (size_t)v->m->rows * (size_t)v->m->columns; i++)
        any |= v->m->marked[i];
    return any;
}

static int keys_of(const view *v)
{
    return 1 + has_marks(v) + (v->figures < v->m->rows * v->m->columns);
}

static double block_height(const view *v)
{
    const double map = v->m->rows * v->height, key = bar_height(v) + 14 + keys_of(v) * 18;
    return HEAD + v->names + fmax(map, key) + 24;
}

static double block_width(const view *v)
{
    return v->left + v->m->columns * v->width + KEY + MARGIN;
}

/* ---- cells ---- */

/* Of names that are too close only each 2nd, 4th, ... is written. */
static int every(double needed)
{
    int step = 1;
    while (step < needed)
        step *= 2;
    return step;
}

static void write_names(const view *v)
{
    const chart_matrix *m = v->m;
    const int rows = every(12 / v->height), columns = v->turned ? every(17 / v->width) : 1;
    char number[16];
    for (int i = 0; i < m->rows; i += rows)
        svg_text_in(v->file, v->left - 8, v->top + (i + 0.5) * v->height + 4,
                    (svg_font){small.size, "end", SVG_INK, 0}, name_of(m->row, i, number), LONGEST);
    for (int k = 0; k < m->columns; k += columns) {
        const double x = v->left + (k + 0.5) * v->width;
        if (v->turned)
            svg_text_in(v->file, x + 3, v->top - 6, (svg_font){small.size, "start", SVG_INK, -45},
                        name_of(m->column, k, number), LONGEST);
        else
            svg_text(v->file, x, v->top - 7, (svg_font){small.size, "middle", SVG_INK, 0},
                     name_of(m->column, k, number));
    }
}

/* The size of the numbers in the cells, 0 when they do not fit. */
static double number_size(const view *v)
{
    const axis any = {.log = false};
    double width = 1;
    for (int i = 0; i < v->m->rows; i++)
        for (int k = 0; k < v->m->columns; k++) {
            char text[32];
            axis_figure(text, sizeof text, value_at(v->m, i, k));
            if (axis_holds(&any, value_at(v->m, i, k)))
                width = fmax(width, svg_text_width(text, 1));
        }
    const double size = fmin(fmin(12, v->height - 5), (v->width - 5) / width);
    return size >= 8 ? size : 0;
}

static void write_tooltip(const view *v, int row, int column, const char *value)
{
    char number[16];
    fputs("<title>", v->file);
    svg_escaped(v->file, name_of(v->m->row, row, number));
    fputs(" \xE2\x86\x92 ", v->file);
    svg_escaped(v->file, name_of(v->m->column, column, number));
    fprintf(v->file, ": %s", value);
    if (v->m->unit && *v->m->unit) {
        fputc(' ', v->file);
        svg_escaped(v->file, v->m->unit);
    }
    fputs("</title>", v->file);
}

static void write_cell(const view *v, int row, int column, double size)
{
    const axis any = {.log = false};
    const double value = value_at(v->m, row, column), gap = v->width >= 16 ? 1 : 0;
    const bool figure = axis_holds(&any, value);
    const double x = v->left + column * v->width, y = v->top + row * v->height;
    char text[32] = "no figure", colour[8] = SVG_EMPTY;
    if (figure) {
        axis_number(text, sizeof text, value, 6);
        colour_of(badness(v, value), colour);
    }
    fputs("<g>", v->file);
    write_tooltip(v, row, column, text);
    svg_rect(v->file, x, y, v->width - gap, v->height - gap, colour);
    if (figure && size > 0) {
        axis_figure(text, sizeof text, value);
        svg_text(v->file, x + (v->width - gap) / 2, y + (v->height - gap) / 2 + size * 0.36,
                 (svg_font){size, "middle", badness(v, value) > 0.55 ? "#ffffff" : SVG_INK, 0}, text);
    }
    fputs("</g>\n", v->file);
}

/* White around it shows it on dark cells too. */
static void write_outline(FILE *file, double x, double y, double width, double height)
{
    const double out = width < 16 ? 1.2 : 0.5, line = width < 16 ? 1.6 : 2.2;
    for (int i = 0; i < 2; i++)
        fprintf(file,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"%s\" "
                "stroke-width=\"%.1f\" pointer-events=\"none\"/>\n",
                x - out, y - out, width + 2 * out, height + 2 * out, i == 0 ? "#ffffff" : MARK,
                i == 0 ? line + 2 : line);
}

static void write_outlines(const view *v)
{
    for (int i = 0; v->m->marked && i < v->m->rows; i++)
        for (int k = 0; k < v->m->columns; k++)
            if (v->m->marked[(size_t)i * (size_t)v->m->columns + (size_t)k])
                write_outline(v->file, v->left + k * v->width, v->top + i * v->height, v->width, v->height);
}

/* ---- legend ---- */

static void write_bar(const view *v, double x, double y, double height)
{
    enum { STEPS = 64 };
    axis bar = v->scale;
    axis_tick tick[AXIS_TICKS];
    bar.at = y + height;
    bar.length = -height;
    for (int i = 0; i < STEPS; i++) {
        const double part = (i + 0.5) / STEPS;
        char colour[8];
        colour_of(v->m->low_is_bad ? part : 1 - part, colour);
        /* One over the other, so that no seams show. */
        svg_rect(v->file, x, y + i * height / STEPS, BAR, (STEPS - i) * height / STEPS, colour);
    }
    const int ticks = axis_ticks(&bar, height > 120 ? 6 : 4, tick);
    for (int i = 0; i < ticks; i++) {
        const double at = axis_at(&bar, tick[i].value);
        svg_line(v->file, x + BAR, at, x + BAR + 4, at, SVG_AXIS, 1, NULL);
        svg_text(v->file, x + BAR + 8, at + 4, small, tick[i].label);
    }
}

static void write_key(const view *v)
{
    const double x = v->left + v->m->columns * v->width + 32, room = KEY - 32;
    double y = v->top + 12 + bar_height(v) + 22;
    svg_text_in(v->file, x, v->top + 2, (svg_font){small.size, "start", SVG_INK, 0}, v->m->unit, room);
    if (v->figures > 0)
        write_bar(v, x, v->top + 12, bar_height(v));
    svg_text(v->file, x, y, soft, v->scale.log ? "darker is worse; log scale" : "darker is worse");
    if (has_marks(v)) {
        y += 18;
        write_outline(v->file, x + 1, y - 10, 12, 10);
        svg_text(v->file, x + BAR + 8, y, soft, "named as bad");
    }
    if (v->figures < v->m->rows * v->m->columns) {
        y += 18;
        svg_rect(v->file, x, y - 10, BAR, 11, SVG_EMPTY);
        svg_text(v->file, x + BAR + 8, y, soft, "no figure");
    }
}

static void write_matrix(view *v, double top, double width)
{
    svg_head(v->file, MARGIN, top, width - 2 * MARGIN, v->m->title, v->m->subtitle);
    v->top = top + HEAD + v->names;
    if (v->m->rows == 0 || v->m->columns == 0) {
        svg_text(v->file, MARGIN, v->top, soft, "no figures");
        return;
    }
    write_names(v);
    const double size = number_size(v);
    for (int i = 0; i < v->m->rows; i++)
        for (int k = 0; k < v->m->columns; k++)
            write_cell(v, i, k, size);
    write_outlines(v);
    write_key(v);
}

typedef struct matrices {
    const chart_matrix *matrix;
    int count;
} matrices;

static bool write_matrices(FILE *file, const void *what)
{
    const matrices *all = what;
    double left = 40, width = NARROWEST, height = 0, top = 0;
    for (int i = 0; i < all->count; i++)
        left = fmax(left, ceil(widest(all->matrix[i].row, all->matrix[i].rows)) + 10);
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1)
            svg_begin(file, width, fmax(height, HEAD));
        for (int i = 0; i < all->count; i++) {
            view v = {.m = &all->matrix[i], .file = file, .left = MARGIN + left};
            measure(&v);
            lay_out(&v);
            width = fmax(width, block_width(&v));
            height += pass == 0 ? block_height(&v) : 0;
            if (pass == 1)
                write_matrix(&v, top, width);
            top += pass == 1 ? block_height(&v) : 0;
        }
    }
    svg_end(file);
    return true;
}

int chart_write_matrices(const char *path, const chart_matrix *matrix, int count)
{
    return svg_write_file(path, write_matrices, &(matrices){matrix, count});
}
