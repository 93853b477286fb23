/* Timelines: lanes down, time across. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "axis.h"
#include "chart.h"
#include "svg.h"

enum { WIDTH = 1200, MARGIN = 24, HEAD = 64, LONGEST = 150, MOST_TRACKS = 12, MOST_ROWS = 6, KINDS = 4 };

static const svg_font small = {11, "start", SVG_INK, 0}, soft = {11, "start", SVG_SOFT, 0};

static const struct {
    const char *fill, *text, *meaning;
} kinds[KINDS] = {
    {"#3d6fb6", "#ffffff", "compute"},
    {"#e5a23a", "#2c1c00", "communication"},
    {"#b0243f", "#ffffff", "exposed, waiting"},
    {"#9a9a9a", "#1a1a1a", "other"},
};

typedef struct box {
    const chart_span *span;
    int lane, track; /* those of a lane that overlap are on tracks below each other */
} box;

typedef struct view {
    const chart_timeline *c;
    FILE *file;
    axis x;
    double left, right, top, track, gap;
    int *tracks; /* [lanes] */
    int *row;    /* [marks] of its name, above the plot; -1: no room */
    int *order;  /* [marks] those that are figures, from left to right */
    int marks;   /* how many these are */
    int rows;    /* of these */
    box *box;    /* by lane, then by begin */
    size_t boxes;
    bool used[KINDS];
} view;

static int kind_of(const chart_span *span)
{
    return span->kind >= 0 && span->kind < KINDS ? span->kind : KINDS - 1;
}

static int by_lane_and_begin(const void *a, const void *b)
{
    const box *p = a, *q = b;
    if (p->lane != q->lane)
        return p->lane - q->lane;
    if (p->span->begin < q->span->begin || p->span->begin > q->span->begin)
        return p->span->begin < q->span->begin ? -1 : 1;
    return p->span < q->span ? -1 : p->span > q->span;
}

static void collect(view *v)
{
    double least = INFINITY, most = -INFINITY;
    for (int l = 0; l < v->c->lanes; l++)
        for (int i = 0; i < v->c->lane[l].spans; i++) {
            const chart_span *span = &v->c->lane[l].span[i];
            if (!axis_holds(&v->x, span->begin) || !axis_holds(&v->x, span->end) || span->end < span->begin)
                continue;
            v->box[v->boxes++] = (box){.span = span, .lane = l};
            v->used[kind_of(span)] = true;
            least = fmin(least, span->begin);
            most = fmax(most, span->end);
        }
    for (int i = 0; i < v->c->marks; i++)
        if (axis_holds(&v->x, v->c->mark[i])) {
            int at = v->marks++; /* they are few */
            for (; at > 0 && v->c->mark[v->order[at - 1]] > v->c->mark[i]; at--)
                v->order[at] = v->order[at - 1];
            v->order[at] = i;
            least = fmin(least, v->c->mark[i]);
            most = fmax(most, v->c->mark[i]);
        }
    qsort(v->box, v->boxes, sizeof *v->box, by_lane_and_begin);
    axis_span(&v->x, least, most);
}

/* The first track that is free again. What touches does not overlap, whatever rounding did to it. */
static void find_tracks(view *v)
{
    const double touch = (v->x.to - v->x.from) * 1e-4;
    double until[MOST_TRACKS];
    int used = 0;
    for (size_t i = 0; i < v->boxes; i++) {
        box *b = &v->box[i];
        if (i == 0 || b->lane != v->box[i - 1].lane)
            used = 0;
        while (b->track < used && b->track < MOST_TRACKS - 1 && until[b->track] > b->span->begin + touch)
            b->track++;
        if (b->track == used)
            until[used++] = -INFINITY;
        until[b->track] = fmax(until[b->track], b->span->end);
        v->tracks[b->lane] = used;
    }
}

static const char *mark_name(const view *v, int mark)
{
    return v->c->mark_name && v->c->mark_name[mark] ? v->c->mark_name[mark] : "";
}

static double mark_width(const view *v, int mark)
{
    return fmin(svg_text_width(mark_name(v, mark), small.size), 260);
}

static bool is_right(const view *v, int mark)
{
    return axis_at(&v->x, v->c->mark[mark]) + 4 + mark_width(v, mark) <= WIDTH - 6;
}

/* Where a mark's name begins: beside its line, to the right where there is room. */
static double mark_left(const view *v, int mark)
{
    const double width = mark_width(v, mark), x = axis_at(&v->x, v->c->mark[mark]);
    return is_right(v, mark) ? x + 4 : x - 4 - width;
}

/* Whether the line of mark `line`, whose name is in row `row`, crosses the name of `mark`. */
static bool crosses(const view *v, int line, int row, int mark)
{
    const double x = axis_at(&v->x, v->c->mark[line]), left = mark_left(v, mark);
    return row >= v->row[mark] && x > left - 3 && x < left + mark_width(v, mark) + 3;
}

static bool is_free(view *v, int mark, int row)
{
    bool free = true;
    v->row[mark] = row;
    for (int k = 0; k < v->c->marks; k++) {
        if (k == mark || v->row[k] < 0)
            continue;
        const double mine = mark_left(v, mark), other = mark_left(v, k);
        free &= v->row[k] != row || mine > other + mark_width(v, k) + 10 ||
                other > mine + mark_width(v, mark) + 10;
        free &= !crosses(v, mark, row, k) && !crosses(v, k, v->row[k], mark);
    }
    v->row[mark] = -1;
    return free;
}

/* Names to the right of their lines from right to left, then the others from left to right: so lines end below
 * the names that reach over them. */
static void place_mark_names(view *v)
{
    for (int i = 0; i < v->c->marks; i++)
        v->row[i] = -1;
    for (int pass = 0; pass < 2; pass++)
        for (int n = 0; n < v->marks; n++) {
            const int mark = v->order[pass == 0 ? v->marks - 1 - n : n];
            int row = 0;
            if (is_right(v, mark) != (pass == 0) || !*mark_name(v, mark))
                continue;
            while (row < MOST_ROWS && !is_free(v, mark, row))
                row++;
            if (row == MOST_ROWS)
                continue;
            v->row[mark] = row;
            v->rows = row >= v->rows ? row + 1 : v->rows;
        }
}

static double lane_top(const view *v, int lane)
{
    double y = v->top;
    for (int l = 0; l < lane; l++)
        y += fmax(1, v->tracks[l]) * v->track + v->gap;
    return y;
}

static void lay_out(view *v)
{
    double name = 20;
    int tracks = 0;
    for (int l = 0; l < v->c->lanes; l++) {
        name = fmax(name, svg_text_width(v->c->lane[l].name, small.size));
        tracks += v->tracks[l] > 1 ? v->tracks[l] : 1;
    }
    v->left = MARGIN + fmin(name, LONGEST) + 10;
    v->right = WIDTH - MARGIN;
    v->x.at = v->left;
    v->x.length = v->right - v->left;
    place_mark_names(v);
    v->top = HEAD + 8 + v->rows * 15;
    v->track = fmax(13, fmin(26, 420.0 / fmax(1, tracks)));
    v->gap = fmax(4, v->track * 0.3);
}

/* ---- drawing ---- */

static void write_lanes(const view *v, double bottom)
{
    axis_tick tick[AXIS_TICKS];
    const int ticks = axis_ticks(&v->x, 10, tick);
    char unit[96];
    for (int l = 0; l < v->c->lanes; l++) {
        const double y = lane_top(v, l), height = fmax(1, v->tracks[l]) * v->track;
        svg_rect(v->file, v->left, y, v->right - v->left, height, "#f3f3f3");
        svg_text_in(v->file, v->left - 8, y + height / 2 + 4, (svg_font){small.size, "end", SVG_INK, 0},
                    v->c->lane[l].name, LONGEST);
    }
    svg_line(v->file, v->left, bottom, v->right, bottom, SVG_AXIS, 1, NULL);
    for (int i = 0; i < ticks; i++) {
        const double x = axis_at(&v->x, tick[i].value), half = svg_text_width(tick[i].label, small.size) / 2;
        svg_line(v->file, x, bottom, x, bottom + 5, SVG_AXIS, 1, NULL);
        svg_text(v->file, fmin(x, WIDTH - 4 - half), bottom + 18,
                 (svg_font){small.size, "middle", SVG_INK, 0}, tick[i].label);
    }
    snprintf(unit, sizeof unit, v->c->unit && *v->c->unit ? "time, %.64s" : "time", v->c->unit);
    svg_text(v->file, (v->left + v->right) / 2, bottom + 38, (svg_font){12, "middle", SVG_INK, 0}, unit);
}

static void write_tooltip(const view *v, const chart_span *span)
{
    char begin[32], end[32], length[32];
    axis_number(begin, sizeof begin, span->begin, 6);
    axis_number(end, sizeof end, span->end, 6);
    axis_number(length, sizeof length, span->end - span->begin, 4);
    fputs("<title>", v->file);
    svg_escaped(v->file, span->name && *span->name ? span->name : kinds[kind_of(span)].meaning);
    fprintf(v->file, ": %s to %s, that is %s ", begin, end, length);
    svg_escaped(v->file, v->c->unit);
    fputs("</title>", v->file);
}

/* Short ones stay visible, and long ones keep apart. */
static void write_box(const view *v, const box *b)
{
    enum { SHORTEST_NAME = 44 };
    const int kind = kind_of(b->span);
    const double x = axis_at(&v->x, b->span->begin), full = axis_at(&v->x, b->span->end) - x;
    const double width = full > 3 ? full - 0.8 : fmax(full, 1),
                 y = lane_top(v, b->lane) + b->track * v->track;
    const double size = fmin(11, v->track - 3), text = svg_text_width(b->span->name, size);
    fputs("<g>", v->file);
    write_tooltip(v, b->span);
    svg_rect(v->file, fmin(x, v->right - 1), y + 0.5, width, v->track - 1, kinds[kind].fill);
    /* On the last track they may lie over each other. */
    if (b->track < MOST_TRACKS - 1 && (text <= width - 6 || width >= SHORTEST_NAME))
        svg_text_in(v->file, x + width / 2, y + v->track / 2 + size * 0.36,
                    (svg_font){size, "middle", kinds[kind].text, 0}, b->span->name, width - 6);
    fputs("</g>\n", v->file);
}

static void write_marks(const view *v, double bottom)
{
    for (int n = 0; n < v->marks; n++) {
        const int i = v->order[n];
        const double x = axis_at(&v->x, v->c->mark[i]);
        const double above = v->row[i] < 0 ? v->top - 4 : v->top - 16 - v->row[i] * 15;
        char number[32];
        fputs("<g><title>", v->file);
        svg_escaped(v->file, mark_name(v, i));
        axis_number(number, sizeof number, v->c->mark[i], 6);
        fprintf(v->file, "%s%s ", *mark_name(v, i) ? ": " : "", number);
        svg_escaped(v->file, v->c->unit);
        fputs("</title>", v->file);
        svg_line(v->file, x, above, x, bottom, SVG_ALERT, 1.4, SVG_DASH);
        fputs("</g>\n", v->file);
        if (v->row[i] >= 0)
            svg_text_in(v->file, mark_left(v, i), above + 9, (svg_font){small.size, "start", SVG_ALERT, 0},
                        mark_name(v, i), mark_width(v, i) + 0.1);
    }
}

static void write_legend(const view *v, double y)
{
    double x = v->left;
    for (int kind = 0; kind < KINDS; kind++) {
        if (!v->used[kind])
            continue;
        svg_rect(v->file, x, y, 14, 12, kinds[kind].fill);
        svg_text(v->file, x + 20, y + 10, (svg_font){12, "start", SVG_INK, 0}, kinds[kind].meaning);
        x += 20 + svg_text_width(kinds[kind].meaning, 12) + 24;
    }
    if (v->boxes == 0)
        svg_text(v->file, x, y + 10, soft, "no figures");
}

static void draw(view *v)
{
    collect(v);
    find_tracks(v);
    lay_out(v);
    const double bottom = lane_top(v, v->c->lanes) + 2;
    svg_begin(v->file, WIDTH, bottom + 84);
    svg_head(v->file, MARGIN, 0, WIDTH - 2 * MARGIN, v->c->title, v->c->subtitle);
    write_lanes(v, bottom);
    for (size_t i = 0; i < v->boxes; i++)
        write_box(v, &v->box[i]);
    write_marks(v, bottom);
    write_legend(v, bottom + 54);
    svg_end(v->file);
}

static bool write_timeline(FILE *file, const void *what)
{
    view v = {.c = what, .file = file};
    size_t spans = 1;
    for (int l = 0; l < v.c->lanes; l++)
        spans += (size_t)v.c->lane[l].spans;
    v.tracks = calloc((size_t)v.c->lanes + 1, sizeof *v.tracks);
    v.row = calloc((size_t)v.c->marks + 1, sizeof *v.row);
    v.order = calloc((size_t)v.c->marks + 1, sizeof *v.order);
    v.box = calloc(spans, sizeof *v.box);
    const bool whole = v.tracks && v.row && v.order && v.box;
    if (whole)
        draw(&v);
    free(v.tracks);
    free(v.row);
    free(v.order);
    free(v.box);
    return whole;
}

int chart_write_timeline(const char *path, const chart_timeline *chart)
{
    return svg_write_file(path, write_timeline, chart);
}
