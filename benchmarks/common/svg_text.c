/* Texts in pictures: what of them XML may hold, and how wide they are. */
#include <string.h>

#include "svg.h"

enum { REPLACEMENT = 0xFFFD };

/* The next character; what is no UTF-8, or none that XML allows, is replaced. */
static unsigned next_character(const char **text)
{
    const unsigned char *byte = (const unsigned char *)*text;
    static const unsigned least[4] = {0, 0x80, 0x800, 0x10000};
    const int more = byte[0] < 0x80             ? 0
                     : (byte[0] & 0xE0) == 0xC0 ? 1
                     : (byte[0] & 0xF0) == 0xE0 ? 2
                     : (byte[0] & 0xF8) == 0xF0 ? 3
                                                : -1;
    *text += 1;
    if (more < 0)
        return REPLACEMENT;
    unsigned character = more == 0 ? byte[0] : byte[0] & (0x3FU >> more);
    for (int i = 1; i <= more; i++) {
        if ((byte[i] & 0xC0) != 0x80)
            return REPLACEMENT;
        character = character << 6 | (byte[i] & 0x3FU);
    }
    *text += more;
    if (character < least[more] || character > 0x10FFFF || (character >= 0xD800 && character <= 0xDFFF) ||
        (character & 0xFFFE) == 0xFFFE)
        return REPLACEMENT;
    return character < 0x20 || (character >= 0x7F && character < 0xA0) ? ' ' : character;
}

static void write_character(FILE *file, unsigned character)
{
    if (character < 0x80)
        fputc((int)character, file);
    else if (character < 0x800)
        fprintf(file, "%c%c", (int)(0xC0 | character >> 6), (int)(0x80 | (character & 0x3F)));
    else if (character < 0x10000)
        fprintf(file, "%c%c%c", (int)(0xE0 | character >> 12), (int)(0x80 | (character >> 6 & 0x3F)),
                (int)(0x80 | (character & 0x3F)));
    else
        fprintf(file, "%c%c%c%c", (int)(0xF0 | character >> 18), (int)(0x80 | (character >> 12 & 0x3F)),
                (int)(0x80 | (character >> 6 & 0x3F)), (int)(0x80 | (character & 0x3F)));
}

static void write_escaped(FILE *file, const char *text, const char *end)
{
    while (text < end) {
        const unsigned character = next_character(&text);
        if (character == '<')
            fputs("&lt;", file);
        else if (character == '>')
            fputs("&gt;", file);
        else if (character == '&')
            fputs("&amp;", file);
        else if (character == '"')
            fputs("&quot;", file);
        else
            write_character(file, character);
    }
}

void svg_escaped(FILE *file, const char *text)
{
    if (text)
        write_escaped(file, text, text + strlen(text));
}

void svg_title(FILE *file, const char *text)
{
    fputs("<title>", file);
    svg_escaped(file, text);
    fputs("</title>", file);
}

/* In sizes of the font; those of ASCII are DejaVu Sans', which is wider than the fonts named after it. */
static double width_of(unsigned character)
{
    static const unsigned char ascii[95] = {
        32, 41, 46, 84, 64, 96, 78, 28, 40,  40, 50, 84, 32, 37, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64,
        64, 64, 34, 34, 84, 84, 84, 54, 100, 69, 69, 70, 78, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75, 79,
        61, 79, 70, 64, 62, 74, 69, 99, 69,  62, 69, 40, 34, 40, 84, 50, 50, 62, 64, 55, 64, 62, 36, 64,
        64, 28, 28, 58, 28, 98, 64, 62, 64,  64, 42, 53, 40, 64, 60, 82, 60, 60, 53, 64, 34, 64, 84};
    if (character < 0x7F)
        return ascii[character - 0x20] / 100.0;
    if ((character >= 0x300 && character < 0x370) || (character >= 0x200B && character < 0x2010))
        return 0;
    return character < 0x1100 ? 0.8 : 1.05;
}

double svg_text_width(const char *text, double size)
{
    double width = 0;
    while (text && *text)
        width += width_of(next_character(&text));
    return width * size;
}

static void write_start(FILE *file, double x, double y, svg_font font)
{
    fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" text-anchor=\"%s\" fill=\"%s\"", x, y,
            font.size, font.anchor, font.fill);
    if (font.turn < 0 || font.turn > 0)
        fprintf(file, " transform=\"rotate(%.0f %.1f %.1f)\"", font.turn, x, y);
    fputc('>', file);
}

void svg_text(FILE *file, double x, double y, svg_font font, const char *text)
{
    if (!text || !*text)
        return;
    write_start(file, x, y, font);
    svg_escaped(file, text);
    fputs("</text>\n", file);
}

void svg_text_in(FILE *file, double x, double y, svg_font font, const char *text, double room)
{
    if (svg_text_width(text, font.size) <= room) {
        svg_text(file, x, y, font, text);
        return;
    }
    const char *end = text, *after = text;
    for (double width = font.size; *end; end = after) { /* that of the dots */
        width += width_of(next_character(&after)) * font.size;
        if (width > room)
            break;
    }
    while (end > text && end[-1] == ' ')
        end--;
    write_start(file, x, y, font);
    svg_title(file, text);
    write_escaped(file, text, end);
    fputs("\xE2\x80\xA6</text>\n", file);
}
