#define _POSIX_C_SOURCE 200809L /* newlocale, lstat */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "svg.h"

void svg_begin(FILE *file, double width, double height)
{
    fprintf(
        file,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
        "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n<rect width=\"%.0f\" height=\"%.0f\" "
        "fill=\"#ffffff\"/>\n",
        width, height, width, height, width, height);
}

void svg_end(FILE *file)
{
    fputs("</svg>\n", file);
}

void svg_head(FILE *file, double x, double y, double room, const char *title, const char *subtitle)
{
    svg_text_in(file, x, y + 28, (svg_font){17, "start", SVG_INK, 0}, title, room);
    svg_text_in(file, x, y + 48, (svg_font){13, "start", SVG_INK, 0}, subtitle, room);
}

/* No more digits than are needed. */
static void write_number(FILE *file, const char *name, double value)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%.2f", value);
    while (text[length - 1] == '0')
        length--;
    if (text[length - 1] == '.')
        length--;
    fprintf(file, " %s=\"%.*s\"", name, length, text);
}

void svg_rect(FILE *file, double x, double y, double width, double height, const char *fill)
{
    fputs("<rect", file);
    write_number(file, "x", x);
    write_number(file, "y", y);
    write_number(file, "width", width);
    write_number(file, "height", height);
    fprintf(file, " fill=\"%s\"/>\n", fill);
}

void svg_line(FILE *file, double x1, double y1, double x2, double y2, const char *colour, double width,
              const char *dash)
{
    fputs("<line", file);
    write_number(file, "x1", x1);
    write_number(file, "y1", y1);
    write_number(file, "x2", x2);
    write_number(file, "y2", y2);
    fprintf(file, " stroke=\"%s\"", colour);
    write_number(file, "stroke-width", width);
    if (dash)
        fprintf(file, " stroke-dasharray=\"%s\"", dash);
    fputs("/>\n", file);
}

/* ---- files ---- */

/* True when `path` is, or can become, a file that another may be put in the place of: no device, no pipe, no link. */
static bool replaceable(const char *path)
{
    struct stat found;
    if (lstat(path, &found) != 0)
        return errno == ENOENT;
    return S_ISREG(found.st_mode) && access(path, W_OK) == 0;
}

static FILE *open_new(const char *path)
{
    const int opened = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *file = opened < 0 ? NULL : fdopen(opened, "w");
    if (opened >= 0 && !file)
        close(opened);
    return file;
}

static bool fill(FILE *file, bool (*write)(FILE *file, const void *what), const void *what)
{
    bool good = file != NULL;
    if (good && !write(file, what)) {
        errno = ENOMEM;
        good = false;
    }
    good = good && fflush(file) == 0 && !ferror(file);
    const int failed = errno;
    if (file && fclose(file) != 0)
        return false;
    errno = failed;
    return good;
}

static int write_beside(const char *path, bool (*write)(FILE *file, const void *what), const void *what)
{
    const size_t size = strlen(path) + 32;
    char *beside = malloc(size);
    if (!beside)
        return -1;
    snprintf(beside, size, "%s.%ld.part", path, (long)getpid());
    FILE *file = open_new(beside);
    const bool opened = file != NULL;
    const bool good = fill(file, write, what) && rename(beside, path) == 0;
    const int failed = errno;
    if (opened && !good)
        unlink(beside);
    free(beside);
    errno = failed;
    return good ? 0 : -1;
}

int svg_write_file(const char *path, bool (*write)(FILE *file, const void *what), const void *what)
{
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0)
        return -1;
    const locale_t before = uselocale(plain);
    const int status = replaceable(path)                     ? write_beside(path, write, what)
                       : fill(fopen(path, "w"), write, what) ? 0
                                                             : -1;
    const int failed = errno;
    uselocale(before);
    freelocale(plain);
    errno = failed;
    return status;
}
