/* The diagram's rows: boxes of ops, numbers in them, and lines of messages between them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "svg.h"

const svg_style svg_styles[SVG_PAINTS] = {
    [SVG_FORWARD] = {"#3d6fb6", "#ffffff", "F"},
    [SVG_BACKWARD] = {"#3a9a74", "#ffffff", "B"},
    [SVG_WEIGHT] = {"#e5a23a", "#402800", "W"},
    [SVG_FULL] = {"#8a9a2f", "#ffffff", "BW"},
    [SVG_CODEC] = {"#8659a8", "#ffffff", "codec"},
    [SVG_REDUCE] = {"#3a9a74", "#ffffff", "reduction"},
    [SVG_COPY] = {"#9a9a9a", "#ffffff", "copy"},
    [SVG_INSIDE] = {"#3d6fb6", "#ffffff", "message inside a site"},
    [SVG_ACROSS] = {"#d0563c", "#ffffff", "message between sites"},
};

static const svg_paint paint_of[DIST_PLAN_OP_KINDS] = {
    [DIST_PLAN_SEND] = SVG_INSIDE,   [DIST_PLAN_RECV] = SVG_PAINTS,     [DIST_PLAN_REDUCE] = SVG_REDUCE,
    [DIST_PLAN_COPY] = SVG_COPY,     [DIST_PLAN_DIVIDE] = SVG_REDUCE,   [DIST_PLAN_ENCODE] = SVG_CODEC,
    [DIST_PLAN_DECODE] = SVG_CODEC,  [DIST_PLAN_PROJECT] = SVG_CODEC,   [DIST_PLAN_EXPAND] = SVG_CODEC,
    [DIST_PLAN_NATIVE] = SVG_INSIDE, [DIST_PLAN_FORWARD] = SVG_FORWARD, [DIST_PLAN_BACKWARD] = SVG_BACKWARD,
    [DIST_PLAN_WEIGHT] = SVG_WEIGHT, [DIST_PLAN_FULL] = SVG_FULL,
};

bool svg_box(const svg_view *v, int rank, const dist_plan_op *op, svg_paint *paint, int *lane, int *pale)
{
    *paint = paint_of[op->kind];
    *lane = *pale = 0;
    if (*paint == SVG_PAINTS || !(op->end > op->start))
        return false;
    if (v->c->is_pipeline) {
        if (op->kind < DIST_PLAN_FORWARD)
            return false;
        *pale = v->shade[op->stage];
        return true;
    }
    if (*paint == SVG_INSIDE) {
        if (op->peer >= 0 && v->c->site_of[op->peer] != v->c->site_of[rank])
            *paint = SVG_ACROSS;
        *lane = v->lanes - (*paint == SVG_INSIDE ? 2 : 1);
    }
    return true;
}

static double lane_height(const svg_view *v)
{
    return v->row / v->lanes;
}

/* One group for each paint and shade, so that colours are written once. */
static void write_group(svg_view *v, svg_paint paint, int pale)
{
    const double height = lane_height(v);
    bool begun = false;
    for (int row = 0; row < v->rows; row++) {
        const int rank = row * v->step;
        for (size_t i = 0; i < dist_plan_set_ops(v->c->set, rank); i++) {
            svg_paint has;
            int lane, shade;
            dist_plan_op op;
            if (dist_plan_set_op(v->c->set, rank, i, &op) < 0 ||
                !svg_box(v, rank, &op, &has, &lane, &shade) || has != paint || shade != pale)
                continue;
            if (!begun)
                fprintf(v->file, "<path fill=\"%s\" fill-opacity=\"%.2f\" d=\"", svg_styles[paint].fill,
                        1 - 0.28 * pale);
            begun = v->used[paint] = true;
            /* A little free on the right keeps boxes apart; thin ones have none to spare. */
            const double x = svg_x(v, op.start), width = svg_x(v, op.end) - x;
            fprintf(v->file, "M%.2f %.2fh%.2fv%.2fh-%.2fz", x, svg_y(v, row) + lane * height,
                    fmax(width > 3 ? width - 0.7 : width, 0.3), height,
                    fmax(width > 3 ? width - 0.7 : width, 0.3));
        }
    }
    if (begun)
        fputs("\"/>\n", v->file);
}

/* ---- too many boxes: what half a pixel shows ---- */

enum { NOTHING = 255, FINENESS = 2 };

/* Paints one rank's ops on a canvas of lanes * columns cells. */
static void paint_row(const svg_view *v, int rank, unsigned char *cell, int columns)
{
    memset(cell, NOTHING, (size_t)v->lanes * (size_t)columns);
    for (size_t i = 0; i < dist_plan_set_ops(v->c->set, rank); i++) {
        svg_paint paint;
        int lane, pale;
        dist_plan_op op;
        if (dist_plan_set_op(v->c->set, rank, i, &op) < 0 || !svg_box(v, rank, &op, &paint, &lane, &pale))
            continue;
        const int from = (int)((svg_x(v, op.start) - v->left) * FINENESS);
        const int to = (int)ceil((svg_x(v, op.end) - v->left) * FINENESS);
        for (int x = from; x < to && x < columns; x++)
            cell[lane * columns + x] = (unsigned char)((int)paint * SVG_PALES + pale);
    }
}

static void write_runs(svg_view *v, int row, const unsigned char *cell, int columns, int colour)
{
    const double height = lane_height(v);
    for (int lane = 0; lane < v->lanes; lane++)
        for (int x = 0, end; x < columns; x = end) {
            for (end = x + 1; end < columns && cell[lane * columns + end] == cell[lane * columns + x]; end++)
                ;
            if (cell[lane * columns + x] != colour)
                continue;
            v->used[colour / SVG_PALES] = true;
            fprintf(v->file, "M%.6g %.2fh%.6gv%.2fh-%.6gz", v->left + (double)x / FINENESS,
                    svg_y(v, row) + lane * height, (double)(end - x) / FINENESS, height,
                    (double)(end - x) / FINENESS);
        }
}

static void write_merged(svg_view *v)
{
    const int columns = (int)(v->width * FINENESS);
    unsigned char *cell = malloc((size_t)v->lanes * (size_t)columns);
    for (int row = 0; cell && row < v->rows; row++) {
        paint_row(v, row * v->step, cell, columns);
        for (int colour = 0; colour < (int)SVG_PAINTS * SVG_PALES; colour++) {
            if (!memchr(cell, colour, (size_t)v->lanes * (size_t)columns))
                continue;
            fprintf(v->file, "<path fill=\"%s\" fill-opacity=\"%.2f\" d=\"",
                    svg_styles[colour / SVG_PALES].fill, 1 - 0.28 * (colour % SVG_PALES));
            write_runs(v, row, cell, columns, colour);
            fputs("\"/>\n", v->file);
        }
    }
    free(cell);
}

void svg_write_boxes(svg_view *v)
{
    if (v->merged) {
        write_merged(v);
        return;
    }
    for (int paint = 0; paint < SVG_PAINTS; paint++)
        for (int pale = 0; pale < SVG_PALES; pale++)
            write_group(v, (svg_paint)paint, pale);
}

/* ---- numbers and messages ---- */

static int digits(int number)
{
    return number < 10 ? 1 : number < 100 ? 2 : number < 1000 ? 3 : 4;
}

/* Where they fit. */
void svg_write_numbers(const svg_view *v)
{
    const double size = fmin(11, v->row * 0.6);
    if (v->merged || !v->c->is_pipeline || size < 5)
        return;
    for (int row = 0; row < v->rows; row++)
        for (size_t i = 0; i < dist_plan_set_ops(v->c->set, row); i++) {
            svg_paint paint;
            int lane, pale;
            dist_plan_op op;
            if (dist_plan_set_op(v->c->set, row, i, &op) < 0 || !svg_box(v, row, &op, &paint, &lane, &pale) ||
                svg_x(v, op.end) - svg_x(v, op.start) < size * (0.62 * digits(op.microbatch) + 0.25))
                continue;
            fprintf(v->file,
                    "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" text-anchor=\"middle\" "
                    "fill=\"%s\">%d</text>\n",
                    svg_x(v, (op.start + op.end) / 2), svg_y(v, row) + v->row / 2 + size * 0.36, size,
                    pale > 1 ? "#10222e" : svg_styles[paint].text, op.microbatch);
        }
}

/* From the row of the sender, when the message leaves, to that of the receiver, when it arrives. */
static void write_message(const svg_view *v, int from, const dist_plan_op *send, double arrives)
{
    const bool down = send->peer > from;
    fprintf(v->file, "M%.1f %.1fL%.1f %.1f", svg_x(v, send->start), svg_y(v, from) + (down ? v->row : 0),
            svg_x(v, arrives), svg_y(v, send->peer) + (down ? 0 : v->row));
}

/* The RECV of a message starts with it. */
static bool find_arrival(const svg_view *v, int from, const dist_plan_op *send, double *arrives)
{
    for (size_t i = 0; i < dist_plan_set_ops(v->c->set, send->peer); i++) {
        dist_plan_op op;
        if (dist_plan_set_op(v->c->set, send->peer, i, &op) >= 0 && op.kind == DIST_PLAN_RECV &&
            op.peer == from && op.microbatch == send->microbatch && abs(op.stage - send->stage) == 1 &&
            !(op.start < send->start) && !(op.start > send->start)) {
            *arrives = op.end;
            return true;
        }
    }
    return false;
}

bool svg_shows_messages(const svg_view *v)
{
    enum { MOST = 4000 };
    return !v->merged && v->c->is_pipeline && v->boxes <= MOST && v->rows > 1;
}

void svg_write_messages(const svg_view *v)
{
    if (!svg_shows_messages(v))
        return;
    fputs("<path fill=\"none\" stroke=\"#5a5a5a\" stroke-width=\"0.8\" stroke-opacity=\"0.75\" d=\"",
          v->file);
    for (int rank = 0; rank < v->rows; rank++)
        for (size_t i = 0; i < dist_plan_set_ops(v->c->set, rank); i++) {
            dist_plan_op op;
            double arrives;
            if (dist_plan_set_op(v->c->set, rank, i, &op) >= 0 && op.kind == DIST_PLAN_SEND &&
                find_arrival(v, rank, &op, &arrives))
                write_message(v, rank, &op, arrives);
        }
    fputs("\"/>\n", v->file);
}
