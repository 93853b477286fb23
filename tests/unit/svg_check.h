/* Reads a picture as the tools write it: whether it is well-formed XML in UTF-8, and where its texts are. */
#ifndef DIST_TEST_SVG_CHECK_H
#define DIST_TEST_SVG_CHECK_H

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svg.h"

static char *svg_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    rewind(file);
    char *text = calloc((size_t)size + 1, 1);
    const bool whole =
        text && fread(text, 1, (size_t)size, file) == (size_t)size && strlen(text) == (size_t)size;
    fclose(file);
    if (!whole) {
        free(text);
        return NULL;
    }
    return text;
}

static bool svg_is_utf8(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    while (*c) {
        const int more = *c < 0x80                 ? 0
                         : *c >= 0xC2 && *c < 0xE0 ? 1
                         : *c >= 0xE0 && *c < 0xF0 ? 2
                         : *c >= 0xF0 && *c < 0xF5 ? 3
                                                   : -1;
        if (more < 0 || (*c < 0x20 && *c != '\n'))
            return false;
        for (int i = 1; i <= more; i++)
            if ((c[i] & 0xC0) != 0x80)
                return false;
        c += more + 1;
    }
    return true;
}

/* In text and in values: only the entities that every XML has, and no <, > or quote that is none of the markup. */
static const char *svg_skip_text(const char *c, char end)
{
    static const char *const entity[] = {"&lt;", "&gt;", "&amp;", "&quot;"};
    while (*c && *c != end) {
        bool known = *c != '&';
        for (size_t i = 0; !known && i < sizeof entity / sizeof *entity; i++)
            known = strncmp(c, entity[i], strlen(entity[i])) == 0;
        if (!known || *c == '>' || (*c == '<' && end != '<'))
            return NULL;
        c++;
    }
    return c;
}

/* One tag; adds its name to the open ones, or takes it away. NULL when it is wrong. */
static const char *svg_skip_tag(const char *c, char open[16][16], int *depth)
{
    char name[16] = "";
    const bool closes = *++c == '/';
    size_t length = 0;
    for (c += closes; isalpha((unsigned char)*c) && length < sizeof name - 1; c++)
        name[length++] = *c;
    if (closes)
        return *c == '>' && *depth > 0 && strcmp(open[--*depth], name) == 0 ? c + 1 : NULL;
    while (*c == ' ') {
        for (c++; isalnum((unsigned char)*c) || *c == '-'; c++)
            ;
        if (c[0] != '=' || c[1] != '"' || !(c = svg_skip_text(c + 2, '"')) || *c++ != '"')
            return NULL;
    }
    if (c[0] == '/' && c[1] == '>')
        return c + 2;
    if (*c != '>' || *depth == 16 || length == 0)
        return NULL;
    memcpy(open[(*depth)++], name, sizeof name);
    return c + 1;
}

static bool svg_well_formed(const char *text)
{
    char open[16][16];
    int depth = 0, roots = 0;
    const char *c = text;
    if (!svg_is_utf8(text) || strncmp(text, "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 40) != 0)
        return false;
    while (c && *c) {
        if (*c == '<') {
            roots += depth == 0;
            c = svg_skip_tag(c, open, &depth);
        } else if (depth == 0 && *c != '\n')
            return false;
        else
            c = svg_skip_text(c, '<');
    }
    return c && depth == 0 && roots == 1;
}

typedef struct svg_place {
    double left, top, right, bottom;
    char text[128];
} svg_place;

/* The text of an element without its tooltip, with entities resolved. */
static void svg_read_text(const char *c, char text[128])
{
    size_t length = 0;
    const char *title_end = strncmp(c, "<title>", 7) == 0 ? strstr(c, "</title>") : NULL;
    for (c = title_end ? title_end + 8 : c; *c != '<' && length < 127; c++) {
        text[length++] = strncmp(c, "&lt;", 4) == 0     ? '<'
                         : strncmp(c, "&gt;", 4) == 0   ? '>'
                         : strncmp(c, "&quot;", 6) == 0 ? '"'
                                                        : *c;
        if (*c == '&')
            c = strchr(c, ';');
    }
    text[length] = 0;
}

/* Where the texts that are not turned are; up to `most` of them. */
static int svg_places(const char *picture, svg_place *place, int most)
{
    int count = 0;
    for (const char *c = picture; (c = strstr(c, "<text ")) && count < most; c++) {
        double x, y, size;
        char anchor[8];
        const char *end = strchr(c, '>');
        if (sscanf(c, "<text x=\"%lf\" y=\"%lf\" font-size=\"%lf\" text-anchor=\"%7[a-z]\"", &x, &y, &size,
                   anchor) != 4)
            return -1;
        const char *turned = strstr(c, "transform");
        if (turned && turned < end)
            continue;
        svg_place *p = &place[count++];
        svg_read_text(end + 1, p->text);
        const double width = svg_text_width(p->text, size);
        p->left = strcmp(anchor, "start") == 0 ? x : strcmp(anchor, "end") == 0 ? x - width : x - width / 2;
        p->right = p->left + width;
        p->top = y - size * 0.74;
        p->bottom = y + size * 0.2;
    }
    return count;
}

/* Whether texts are within the picture, and none lies over another; says which. */
static bool svg_texts_apart(const char *picture)
{
    enum { MOST = 20000 };
    svg_place *place = calloc(MOST, sizeof *place);
    double width = 0, height = 0;
    const char *size = strstr(picture, "width=");
    const int count = place ? svg_places(picture, place, MOST) : -1;
    bool good = count >= 0 && size && sscanf(size, "width=\"%lf\" height=\"%lf\"", &width, &height) == 2;
    for (int i = 0; i < count && good; i++) {
        const svg_place *p = &place[i];
        if (p->left < 0 || p->right > width || p->top < 0 || p->bottom > height) {
            printf("'%s' leaves the picture: %.1f to %.1f of %.0f, %.1f to %.1f of %.0f\n", p->text, p->left,
                   p->right, width, p->top, p->bottom, height);
            good = false;
        }
        for (int k = 0; k < i && good; k++) {
            const svg_place *q = &place[k];
            if (p->left < q->right && q->left < p->right && p->top < q->bottom && q->top < p->bottom) {
                printf("'%s' and '%s' overlap at %.1f %.1f\n", q->text, p->text, p->left, p->top);
                good = false;
            }
        }
    }
    free(place);
    return good;
}

#endif
