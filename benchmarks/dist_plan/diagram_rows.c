/* The diagram's rows: boxes of ops, numbers in them, and lines of messages between them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diagram.h"

const diagram_style diagram_styles[DIAGRAM_PAINTS] = {
    [DIAGRAM_FORWARD] = {"#3d6fb6", "#ffffff", "F"},
    [DIAGRAM_BACKWARD] = {"#3a9a74", "#ffffff", "B"},
    [DIAGRAM_WEIGHT] = {"#e5a23a", "#402800", "W"},
    [DIAGRAM_FULL] = {"#8a9a2f", "#ffffff", "BW"},
    [DIAGRAM_CODEC] = {"#8659a8", "#ffffff", "codec"},
    [DIAGRAM_REDUCE] = {"#3a9a74", "#ffffff", "reduction"},
    [DIAGRAM_COPY] = {"#9a9a9a", "#ffffff", "copy"},
    [DIAGRAM_INSIDE] = {"#3d6fb6", "#ffffff", "message inside a site"},
    [DIAGRAM_ACROSS] = {"#d0563c", "#ffffff", "message between sites"},
};

static const diagram_paint paint_of[DIST_PLAN_OP_KINDS] = {
    [DIST_PLAN_SEND] = DIAGRAM_INSIDE,     [DIST_PLAN_RECV] = DIAGRAM_PAINTS,
    [DIST_PLAN_REDUCE] = DIAGRAM_REDUCE,   [DIST_PLAN_COPY] = DIAGRAM_COPY,
    [DIST_PLAN_DIVIDE] = DIAGRAM_REDUCE,   [DIST_PLAN_ENCODE] = DIAGRAM_CODEC,
    [DIST_PLAN_DECODE] = DIAGRAM_CODEC,    [DIST_PLAN_PROJECT] = DIAGRAM_CODEC,
    [DIST_PLAN_EXPAND] = DIAGRAM_CODEC,    [DIST_PLAN_NATIVE] = DIAGRAM_INSIDE,
    [DIST_PLAN_FORWARD] = DIAGRAM_FORWARD, [DIST_PLAN_BACKWARD] = DIAGRAM_BACKWARD,
    [DIST_PLAN_WEIGHT] = DIAGRAM_WEIGHT,   [DIST_PLAN_FULL] = DIAGRAM_FULL,
};

bool diagram_box(const diagram *v, int rank, const dist_plan_op *op, diagram_paint *paint, int *lane,
                 int *pale)
{
    *paint = paint_of[op->kind];
    *lane = *pale = 0;
    if (*paint == DIAGRAM_PAINTS || !(op->end > op->start))
        return false;
    if (v->c->is_pipeline) {
        if (op->kind < DIST_PLAN_FORWARD)
            return false;
        *pale = v->shade[op->stage];
        return true;
    }
    if (*paint == DIAGRAM_INSIDE) {
        if (op->peer >= 0 && v->c->site_of[op->peer] != v->c->site_of[rank])
            *paint = DIAGRAM_ACROSS;
        *lane = v->lanes - (*paint == DIAGRAM_INSIDE ? 2 : 1);
    }
    return true;
}

static double lane_height(const diagram *v)
{
    return v->row / v->lanes;
}

/* One group for each paint and shade, so that colours are written once. */
static void write_group(diagram *v, diagram_paint paint, int pale)
{
    const double height = lane_height(v);
    bool begun = false;
    for (int row = 0; row < v->rows; row++) {
        const int rank = row * v->step;
        for (size_t i = 0; i < dist_plan_set_ops(v->c->set, rank); i++) {
            diagram_paint has;
            int lane, shade;
            dist_plan_op op;
            if (dist_plan_set_op(v->c->set, rank, i, &op) < 0 ||
                !diagram_box(v, rank, &op, &has, &lane, &shade) || has != paint || shade != pale)
                continue;
            if (!begun)
                fprintf(v->file, "<path fill=\"%s\" fill-opacity=\"%.2f\" d=\"", diagram_styles[paint].fill,
                        1 - 0.28 * pale);
            begun = v->used[paint] = true;
            /* A little free on the right keeps boxes apart; thin ones have none to spare. */
            const double x = diagram_x(v, op.start), width = diagram_x(v, op.end) - x;
            fprintf(v->file, "M%.2f %.2fh%.2fv%.2fh-%.2fz", x, diagram_y(v, row) + lane * height,
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
static void paint_row(const diagram *v, int rank, unsigned char *cell, int columns)
{
    memset(cell, NOTHING, (size_t)v->lanes * (size_t)columns);
    for (size_t i = 0; i < dist_plan_set_ops(v->c->set, rank); i++) {
        diagram_paint paint;
        int lane, pale;
        dist_plan_op op;
        if (dist_plan_set_op(v->c->set, rank, i, &op) < 0 || !diagram_box(v, rank, &op, &paint, &lane, &pale))
            continue;
        const int from = (int)((diagram_x(v, op.start) - v->left) * FINENESS);
        const int to = (int)ceil((diagram_x(v, op.end) - v->left) * FINENESS);
        for (int x = from; x < to && x < columns; x++)
            cell[lane * columns + x] = (unsigned char)((int)paint * DIAGRAM_PALES + pale);
    }
}

static void write_runs(diagram *v, int row, const unsigned char *cell, int columns, int colour)
{
    const double height = lane_height(v);
    for (int lane = 0; lane < v->lanes; lane++)
        for (int x = 0, end; x < columns; x = end) {
            for (end = x + 1; end < columns && cell[lane * columns + end] == cell[lane * columns + x]; end++)
                ;
            if (cell[lane * columns + x] != colour)
                continue;
            v->used[colour / DIAGRAM_PALES] = true;
            fprintf(v->file, "M%.6g %.2fh%.6gv%.2fh-%.6gz", v->left + (double)x / FINENESS,
                    diagram_y(v, row) + lane * height, (double)(end - x) / FINENESS, height,
                    (double)(end - x) / FINENESS);
        }
}

static void write_merged(diagram *v)
{
    const int columns = (int)(v->width * FINENESS);
    unsigned char *cell = malloc((size_t)v->lanes * (size_t)columns);
    for (int row = 0; cell && row < v->rows; row++) {
        paint_row(v, row * v->step, cell, columns);
        for (int colour = 0; colour < (int)DIAGRAM_PAINTS * DIAGRAM_PALES; colour++) {
            if (!memchr(cell, colour, (size_t)v->lanes * (size_t)columns))
                continue;
            fprintf(v->file, "<path fill=\"%s\" fill-opacity=\"%.2f\" d=\"",
                    diagram_styles[colour / DIAGRAM_PALES].fill, 1 - 0.28 * (colour % DIAGRAM_PALES));
            write_runs(v, row, cell, columns, colour);
            fputs("\"/>\n", v->file);
        }
    }
    free(cell);
}

void diagram_write_boxes(diagram *v)
{
    if (v->merged) {
        write_merged(v);
        return;
    }
    for (int paint = 0; paint < DIAGRAM_PAINTS; paint++)
        for (int pale = 0; pale < DIAGRAM_PALES; pale++)
            write_group(v, (diagram_paint)paint, pale);
}

/* ---- numbers and messages ---- */

static int digits(int number)
{
    return number < 10 ? 1 : number < 100 ? 2 : number < 1000 ? 3 : 4;
}

/* Where they fit. */
void diagram_write_numbers(const diagram *v)
{
    const double size = fmin(11, v->row * 0.6);
    if (v->merged || !v->c->is_pipeline || size < 5)
        return;
    for (int row = 0; row < v->rows; row++)
        for (size_t i = 0; i < dist_plan_set_ops(v->c->set, row); i++) {
            diagram_paint paint;
            int lane, pale;
            dist_plan_op op;
            if (dist_plan_set_op(v->c->set, row, i, &op) < 0 ||
                !diagram_box(v, row, &op, &paint, &lane, &pale) ||
                diagram_x(v, op.end) - diagram_x(v, op.start) < size * (0.62 * digits(op.microbatch) + 0.25))
                continue;
            fprintf(v->file,
                    "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" text-anchor=\"middle\" "
                    "fill=\"%s\">%d</text>\n",
                    diagram_x(v, (op.start + op.end) / 2), diagram_y(v, row) + v->row / 2 + size * 0.36, size,
                    pale > 1 ? "#10222e" : diagram_styles[paint].text, op.microbatch);
        }
}

/* From the row of the sender, when the message leaves, to that of the receiver, when it arrives. */
static void write_message(const diagram *v, int from, const dist_plan_op *send, double arrives)
{
    const bool down = send->peer > from;
    fprintf(v->file, "M%.1f %.1fL%.1f %.1f", diagram_x(v, send->start),
            diagram_y(v, from) + (down ? v->row : 0), diagram_x(v, arrives),
            diagram_y(v, send->peer) + (down ? 0 : v->row));
}

/* The RECV of a message starts with it. */
static bool find_arrival(const diagram *v, int from, const dist_plan_op *send, double *arrives)
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

bool diagram_shows_messages(const diagram *v)
{
    enum { MOST = 4000 };
    return !v->merged && v->c->is_pipeline && v->boxes <= MOST && v->rows > 1;
}

void diagram_write_messages(const diagram *v)
{
    if (!diagram_shows_messages(v))
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
