/* Curves. Each line is named at its end, or below the plot when there are too many. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "axis.h"
#include "chart.h"
#include "svg.h"

enum {
    WIDTH = 960,
    MARGIN = 24,
    TOP = 92,
    HEIGHT = 360,  /* of the plot */
    PITCH = 17,    /* of names */
    SAMPLE = 26,   /* length of a line beside its name */
    LEADER = 26,   /* between the plot and that */
    LONGEST = 190, /* name */
    COLOURS = 8,
    MARKERS = 6,
    MOST_MARKERS = 64 /* a line */
};

/* Okabe and Ito's without the yellow, which is pale on white. */
static const char *const colours[COLOURS] = {"#0072b2", "#d55e00", "#009e73", "#b8578f",
                                             "#e69f00", "#56b4e9", "#4d4d4d", "#7a1f4b"};

/* Around a point: circle, square, triangle, diamond, triangle upside down, plus. */
static const char *const markers[MARKERS] = {
    "m-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0z",
    "m-3 -3h6v6h-6z",
    "m0 -4l3.8 6.8h-7.6z",
    "m0 -4.3l4.3 4.3l-4.3 4.3l-4.3 -4.3z",
    "m0 4l3.8 -6.8h-7.6z",
    "m-1.3 -4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z",
};

static const svg_font small = {11, "start", SVG_INK, 0}, soft = {11, "start", SVG_SOFT, 0};

typedef struct name_place {
    int line;
    double want, y; /* where the line ends, or below the plot; where its name is */
    bool right;     /* it ends at the right */
} name_place;

typedef struct view {
    const chart_curves *c;
    FILE *file;
    axis x, y;
    double left, right, top, bottom; /* of the plot */
    bool any;                        /* there are figures */
    bool direct;                     /* names stand at the ends of lines */
    long lost;                       /* points that a logarithmic axis has no place for */
    name_place *place;               /* [lines] */
} view;

static bool shows(const view *v, const chart_point *p)
{
    return axis_holds(&v->x, p->x) && axis_holds(&v->y, p->y);
}

static double at_x(const view *v, const chart_point *p)
{
    return axis_at(&v->x, p->x);
}

static double at_y(const view *v, const chart_point *p)
{
    return axis_at(&v->y, p->y);
}

static void measure(view *v)
{
    double least[2] = {INFINITY, INFINITY}, most[2] = {-INFINITY, -INFINITY};
    for (int l = 0; l < v->c->lines; l++)
        for (int i = 0; i < v->c->line[l].points; i++) {
            const chart_point *p = &v->c->line[l].point[i];
            if (!shows(v, p)) {
                v->lost += isfinite(p->x) && isfinite(p->y) &&
                           ((v->c->x_log && p->x <= 0) || (v->c->y_log && p->y <= 0));
                continue;
            }
            v->any = true;
            least[0] = fmin(least[0], p->x);
            most[0] = fmax(most[0], p->x);
            least[1] = fmin(least[1], p->y);
            most[1] = fmax(most[1], p->y);
        }
    axis_span(&v->x, least[0], most[0]);
    axis_span(&v->y, least[1], most[1]);
}

static int columns_below(const view *v)
{
    return (int)((v->right - v->left) / (SAMPLE + LONGEST + 30));
}

static void lay_out(view *v)
{
    enum { TICKS = 7 };
    axis_tick tick[AXIS_TICKS];
    axis_widen(&v->y, TICKS);
    const int ticks = axis_ticks(&v->y, TICKS, tick);
    double widest = 24, name = 0;
    for (int i = 0; i < ticks; i++)
        widest = fmax(widest, svg_text_width(tick[i].label, small.size));
    for (int l = 0; l < v->c->lines; l++)
        name = fmax(name, svg_text_width(v->c->line[l].name, small.size));
    v->direct = v->c->lines <= HEIGHT / PITCH;
    v->left = MARGIN + widest + 10;
    v->right = WIDTH - MARGIN;
    if (v->direct && name > 0)
        v->right -= LEADER + SAMPLE + 6 + fmin(name, LONGEST);
    v->top = TOP;
    v->bottom = TOP + HEIGHT;
    v->x.at = v->left + 8;
    v->x.length = v->right - v->left - 16;
    v->y.at = v->bottom;
    v->y.length = v->top - v->bottom;
}

static int rows_below(const view *v)
{
    return v->direct ? 0 : (v->c->lines + columns_below(v) - 1) / columns_below(v);
}

static double height_of(const view *v)
{
    const double names = rows_below(v) > 0 ? 14 + rows_below(v) * PITCH : 0;
    return v->bottom + 24 + (v->c->x_label ? 22 : 0) + names + (v->lost ? 20 : 0) + 14;
}

/* ---- axes ---- */

static void write_y_axis(const view *v)
{
    enum { TICKS = 7 };
    axis_tick tick[AXIS_TICKS];
    const int ticks = axis_ticks(&v->y, TICKS, tick);
    for (int i = 0; i < ticks; i++) {
        const double y = axis_at(&v->y, tick[i].value);
        svg_line(v->file, v->left, y, v->right, y, SVG_GRID, 1, NULL);
        svg_text(v->file, v->left - 8, y + 4, (svg_font){small.size, "end", SVG_INK, 0}, tick[i].label);
    }
    svg_text_in(v->file, MARGIN, v->top - 14, (svg_font){12, "start", SVG_INK, 0}, v->c->y_label,
                WIDTH - 2 * MARGIN);
}

static bool labels_fit(const view *v, const axis_tick *tick, int ticks)
{
    for (int i = 1; i < ticks; i++)
        if (axis_at(&v->x, tick[i].value) - axis_at(&v->x, tick[i - 1].value) <
            (svg_text_width(tick[i].label, small.size) + svg_text_width(tick[i - 1].label, small.size)) / 2 +
                12)
            return false;
    return true;
}

static void write_x_axis(const view *v)
{
    axis_tick tick[AXIS_TICKS];
    int most = 10, ticks = axis_ticks(&v->x, most, tick);
    while (most > 2 && !labels_fit(v, tick, ticks))
        ticks = axis_ticks(&v->x, --most, tick);
    svg_line(v->file, v->left, v->bottom, v->right, v->bottom, SVG_AXIS, 1, NULL);
    for (int i = 0; i < ticks; i++) {
        const double x = axis_at(&v->x, tick[i].value);
        svg_line(v->file, x, v->bottom, x, v->bottom + 5, SVG_AXIS, 1, NULL);
        svg_text(v->file, x, v->bottom + 18, (svg_font){small.size, "middle", SVG_INK, 0}, tick[i].label);
    }
    svg_text_in(v->file, (v->left + v->right) / 2, v->bottom + 40, (svg_font){12, "middle", SVG_INK, 0},
                v->c->x_label, v->right - v->left);
}

/* ---- lines ---- */

static const char *colour_of(int line)
{
    return colours[line % COLOURS];
}

/* Shapes shift when colours repeat, so that the pair does not. */
static void begin_marker(const view *v, int line, double x, double y)
{
    fprintf(v->file, "<path fill=\"%s\" stroke=\"#ffffff\" stroke-width=\"0.8\" d=\"M%.2f %.2f%s\"",
            colour_of(line), x, y, markers[(line + line / COLOURS) % MARKERS]);
}

static void write_point(const view *v, int line, const chart_point *p)
{
    char x[32], y[32];
    if (v->c->x_bytes)
        axis_bytes(x, sizeof x, p->x);
    else
        axis_number(x, sizeof x, p->x, 6);
    axis_number(y, sizeof y, p->y, 6);
    begin_marker(v, line, at_x(v, p), at_y(v, p));
    fputs("><title>", v->file);
    svg_escaped(v->file, v->c->line[line].name);
    fprintf(v->file, " at %s: %s</title></path>\n", x, y);
}

static void write_line(const view *v, int l)
{
    const chart_line *line = &v->c->line[l];
    bool pen = false, any = false;
    for (int i = 0; i < line->points; i++) {
        const bool here = shows(v, &line->point[i]);
        const bool next = i + 1 < line->points && shows(v, &line->point[i + 1]);
        if (here && (pen || next)) {
            if (!any)
                fprintf(
                    v->file,
                    "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-linejoin=\"round\"%s d=\"",
                    colour_of(l), line->dashed ? " stroke-dasharray=\"6 4\"" : "");
            fprintf(v->file, "%c%.2f %.2f", pen ? 'L' : 'M', at_x(v, &line->point[i]),
                    at_y(v, &line->point[i]));
            any = true;
        }
        pen = here;
    }
    if (!any)
        return;
    fputs("\">", v->file);
    svg_title(v->file, line->name);
    fputs("</path>\n", v->file);
}

/* All, or of a long line those that stand alone. */
static void write_markers(const view *v, int l)
{
    const chart_line *line = &v->c->line[l];
    for (int i = 0; i < line->points; i++) {
        const bool alone = (i == 0 || !shows(v, &line->point[i - 1])) &&
                           (i + 1 == line->points || !shows(v, &line->point[i + 1]));
        if (shows(v, &line->point[i]) && (alone || line->points <= MOST_MARKERS))
            write_point(v, l, &line->point[i]);
    }
}

/* ---- names ---- */

static void write_name(const view *v, int l, double x, double y, bool any)
{
    const chart_line *line = &v->c->line[l];
    if (!line->name || !*line->name)
        return;
    svg_line(v->file, x, y, x + SAMPLE, y, colour_of(l), 2, line->dashed ? "6 4" : NULL);
    if (line->points <= MOST_MARKERS) {
        begin_marker(v, l, x + SAMPLE / 2.0, y);
        fputs("/>\n", v->file);
    }
    svg_text_in(v->file, x + SAMPLE + 6, y + 4, any ? small : soft, line->name, LONGEST);
}

static int by_want(const void *a, const void *b)
{
    const name_place *p = a, *q = b;
    return p->want < q->want ? -1 : p->want > q->want ? 1 : p->line - q->line;
}

static void find_ends(const view *v)
{
    for (int l = 0; l < v->c->lines; l++) {
        const chart_line *line = &v->c->line[l];
        int last = line->points - 1;
        while (last >= 0 && !shows(v, &line->point[last]))
            last--;
        v->place[l] = (name_place){.line = l, .want = v->bottom};
        if (last >= 0) {
            v->place[l].want = at_y(v, &line->point[last]);
            v->place[l].right = at_x(v, &line->point[last]) > v->right - 14;
        }
    }
    qsort(v->place, (size_t)v->c->lines, sizeof *v->place, by_want);
}

/* As near as can be to where lines end: names that would overlap stand together around the middle of their ends. */
static void place_names(const view *v)
{
    const int count = v->c->lines;
    for (int first = 0, end; first < count; first = end) {
        double sum = v->place[first].want;
        end = first + 1;
        for (int i = end; i < count; i++) {
            const double mine = v->place[i].want - (i - first) * PITCH;
            if (mine < sum / (end - first)) {
                for (int k = end; k <= i; k++)
                    sum += v->place[k].want - (k - first) * PITCH;
                end = i + 1;
            }
        }
        for (int i = first; i < end; i++)
            v->place[i].y = sum / (end - first) + (i - first) * PITCH;
    }
    double least = v->top;
    for (int i = 0; i < count; i++, least = v->place[i - 1].y + PITCH)
        v->place[i].y = fmax(v->place[i].y, least);
    double most = v->bottom;
    for (int i = count - 1; i >= 0; i--, most = v->place[i + 1].y - PITCH)
        v->place[i].y = fmin(v->place[i].y, most);
}

static void write_names_beside(const view *v)
{
    find_ends(v);
    place_names(v);
    for (int i = 0; i < v->c->lines; i++) {
        const name_place *p = &v->place[i];
        if (p->right)
            svg_line(v->file, v->right + 2, p->want, v->right + LEADER - 4, p->y, "#b0b0b0", 0.8, NULL);
        write_name(v, p->line, v->right + LEADER, p->y, p->want < v->bottom || p->right);
    }
}

static void write_names_below(const view *v)
{
    const double y = v->bottom + 24 + (v->c->x_label ? 22 : 0) + 14;
    const int columns = columns_below(v);
    for (int l = 0; l < v->c->lines; l++)
        write_name(v, l, v->left + l % columns * (v->right - v->left) / columns, y + l / columns * PITCH,
                   true);
}

static bool write_curves(FILE *file, const void *what)
{
    const chart_curves *c = what;
    view v = {.c = c, .file = file, .x = {.log = c->x_log, .bytes = c->x_bytes}, .y = {.log = c->y_log}};
    v.place = calloc((size_t)c->lines + 1, sizeof *v.place);
    if (!v.place)
        return false;
    measure(&v);
    lay_out(&v);
    svg_begin(file, WIDTH, height_of(&v));
    svg_head(file, MARGIN, 0, WIDTH - 2 * MARGIN, c->title, c->subtitle);
    write_y_axis(&v);
    write_x_axis(&v);
    for (int l = 0; l < c->lines; l++)
        write_line(&v, l);
    for (int l = 0; l < c->lines; l++)
        write_markers(&v, l);
    if (!v.any)
        svg_text(file, (v.left + v.right) / 2, (v.top + v.bottom) / 2 - 12,
                 (svg_font){13, "middle", SVG_SOFT, 0}, "no figures");
    if (v.direct)
        write_names_beside(&v);
    else
        write_names_below(&v);
    if (v.lost) {
        char text[128];
        snprintf(text, sizeof text, "%ld %s at or below 0 %s no place on a logarithmic axis.", v.lost,
                 v.lost == 1 ? "figure" : "figures", v.lost == 1 ? "has" : "have");
        svg_text(file, v.left, height_of(&v) - 14, soft, text);
    }
    svg_end(file);
    free(v.place);
    return true;
}

int chart_write_curves(const char *path, const chart_curves *chart)
{
    return svg_write_file(path, write_curves, chart);
}
