/* What all pictures of the tools are made of: elements of SVG, with attributes only, so that converters show what
 * browsers do. Coordinates are pixels from the upper left. Texts are UTF-8; what XML cannot hold is replaced, and NULL
 * is no text. */
#ifndef DIST_BENCHMARKS_SVG_H
#define DIST_BENCHMARKS_SVG_H

#include <stdbool.h>
#include <stdio.h>

#define SVG_INK   "#1a1a1a" /* texts */
#define SVG_SOFT  "#5f5f5f" /* texts of less weight */
#define SVG_AXIS  "#707070"
#define SVG_GRID  "#e4e4e4"
#define SVG_EMPTY "#ececec" /* where nothing is */
#define SVG_ALERT "#c00020"
#define SVG_DASH  "6 3"

typedef struct svg_font {
    double size;
    const char *anchor; /* "start", "middle" or "end" */
    const char *fill;
    double turn; /* degrees, clockwise around the anchor */
} svg_font;

/* A picture of this size on white, and its end. */
void svg_begin(FILE *file, double width, double height);
void svg_end(FILE *file);

/* The title and, below it in smaller type, what more there is to say; shortened to `room`. */
void svg_head(FILE *file, double x, double y, double room, const char *title, const char *subtitle);

void svg_rect(FILE *file, double x, double y, double width, double height, const char *fill);
/* `dash` as in stroke-dasharray, or NULL. */
void svg_line(FILE *file, double x1, double y1, double x2, double y2, const char *colour, double width,
              const char *dash);

void svg_text(FILE *file, double x, double y, svg_font font, const char *text);
/* Shortened with a tooltip where it is longer than `room`. */
void svg_text_in(FILE *file, double x, double y, svg_font font, const char *text, double room);
/* About as wide as a wide font draws it. */
double svg_text_width(const char *text, double size);
/* A tooltip of the element that it is in. */
void svg_title(FILE *file, const char *text);
/* Text alone, as it may stand in an element or an attribute. */
void svg_escaped(FILE *file, const char *text);

/* Lets `write` fill a file, with numbers as in C whatever the locale. 0, or -1 with errno; then no half file is
 * left, and what was at `path` is still there. `write` returns false for want of memory. */
int svg_write_file(const char *path, bool (*write)(FILE *file, const void *what), const void *what);

#endif
