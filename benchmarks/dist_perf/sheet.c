#define _POSIX_C_SOURCE 200809L /* open_memstream */

#include "sheet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Text that grows. */
typedef struct buffer {
    FILE *file;
    char *bytes;
    size_t size;
} buffer;

struct perf_sheet {
    FILE *json, *csv;  /* NULL: not asked for */
    buffer head, rows; /* of the JSON */
    buffer comment, names, lines;
    int fields, done; /* in this row; rows */
};

static bool begin(buffer *t)
{
    return (t->file = open_memstream(&t->bytes, &t->size)) != NULL;
}

static void end(buffer *t)
{
    if (t->file)
        fclose(t->file);
    free(t->bytes);
}

static FILE *open_or_note(const char *path, const char **failed, bool *good)
{
    FILE *file = path && *good ? fopen(path, "w") : NULL;
    if (path && *good && !file) {
        *failed = path;
        *good = false;
    }
    return file;
}

perf_sheet *perf_sheet_open(const char *json, const char *csv, const char **failed)
{
    perf_sheet *sheet = calloc(1, sizeof *sheet);
    *failed = "memory";
    bool good = sheet && begin(&sheet->head) && begin(&sheet->rows) && begin(&sheet->comment) &&
                begin(&sheet->names) && begin(&sheet->lines);
    if (good) {
        sheet->json = open_or_note(json, failed, &good);
        sheet->csv = open_or_note(csv, failed, &good);
    }
    if (good)
        return sheet;
    const int error = errno;
    perf_sheet_close(sheet);
    errno = error;
    return NULL;
}

static void quoted(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++)
        fprintf(file, *text == '"' || *text == '\\' ? "\\%c" : "%c", (unsigned char)*text < 32 ? ' ' : *text);
    fputc('"', file);
}

/* RFC 4180: in quotes where it must be. */
static void comma_text(FILE *file, const char *text)
{
    const bool plain = strpbrk(text, ",\"\r\n") == NULL;
    if (!plain)
        fputc('"', file);
    for (; *text; text++)
        fprintf(file, *text == '"' ? "\"\"" : "%c", *text == '\r' || *text == '\n' ? ' ' : *text);
    if (!plain)
        fputc('"', file);
}

/* ---- the whole sheet ---- */

static void head(perf_sheet *sheet, const char *name)
{
    fflush(sheet->head.file);
    fprintf(sheet->head.file, "%s\"%s\":", sheet->head.size > 0 ? "," : "", name);
    fprintf(sheet->comment.file, "# %s: ", name);
}

void perf_sheet_head_text(perf_sheet *sheet, const char *name, const char *text)
{
    if (!sheet)
        return;
    head(sheet, name);
    quoted(sheet->head.file, text);
    fprintf(sheet->comment.file, "%s\n", text);
}

void perf_sheet_head_number(perf_sheet *sheet, const char *name, double value, bool known)
{
    if (!sheet)
        return;
    head(sheet, name);
    if (known) {
        fprintf(sheet->head.file, "%.10g", value);
        fprintf(sheet->comment.file, "%.10g\n", value);
    } else {
        fputs("null", sheet->head.file);
        fputs("-\n", sheet->comment.file);
    }
}

void perf_sheet_head_flag(perf_sheet *sheet, const char *name, bool on)
{
    if (!sheet)
        return;
    head(sheet, name);
    fputs(on ? "true" : "false", sheet->head.file);
    fputs(on ? "true\n" : "false\n", sheet->comment.file);
}

/* ---- rows ---- */

void perf_sheet_row(perf_sheet *sheet)
{
    if (!sheet)
        return;
    if (sheet->done > 0) {
        fputs("},\n{", sheet->rows.file);
        fputc('\n', sheet->lines.file);
    } else {
        fputs("\n{", sheet->rows.file);
    }
    sheet->fields = 0;
    sheet->done++;
}

static void field(perf_sheet *sheet, const char *name)
{
    const char *separator = sheet->fields++ > 0 ? "," : "";
    fprintf(sheet->rows.file, "%s\"%s\":", separator, name);
    fputs(separator, sheet->lines.file);
    if (sheet->done == 1)
        fprintf(sheet->names.file, "%s%s", separator, name);
}

void perf_sheet_text(perf_sheet *sheet, const char *name, const char *text)
{
    if (!sheet)
        return;
    field(sheet, name);
    quoted(sheet->rows.file, text);
    comma_text(sheet->lines.file, text);
}

void perf_sheet_number(perf_sheet *sheet, const char *name, const char *format, double value, bool known)
{
    if (!sheet)
        return;
    field(sheet, name);
    if (known) {
        fprintf(sheet->rows.file, format, value);
        fprintf(sheet->lines.file, format, value);
    } else {
        fputs("null", sheet->rows.file);
    }
}

void perf_sheet_flag(perf_sheet *sheet, const char *name, bool on)
{
    if (!sheet)
        return;
    field(sheet, name);
    fputs(on ? "true" : "false", sheet->rows.file);
    fputs(on ? "true" : "false", sheet->lines.file);
}

/* ---- the end ---- */

static void write_json(perf_sheet *sheet)
{
    fprintf(sheet->json, "{%s%s\"results\":[%s%s\n]}\n", sheet->head.bytes, sheet->head.size > 0 ? "," : "",
            sheet->rows.bytes, sheet->done > 0 ? "}" : "");
}

static void write_csv(perf_sheet *sheet)
{
    fprintf(sheet->csv, "%s%s\n%s%s", sheet->comment.bytes, sheet->names.bytes, sheet->lines.bytes,
            sheet->done > 0 ? "\n" : "");
}

static bool close_file(FILE *file)
{
    const bool bad = file && ferror(file);
    return !file || (fclose(file) == 0 && !bad);
}

bool perf_sheet_close(perf_sheet *sheet)
{
    if (!sheet)
        return true;
    buffer *const all[] = {&sheet->head, &sheet->rows, &sheet->comment, &sheet->names, &sheet->lines};
    bool good = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        good &= !all[i]->file || fflush(all[i]->file) == 0;
    if (good && sheet->json)
        write_json(sheet);
    if (good && sheet->csv)
        write_csv(sheet);
    good &= close_file(sheet->json);
    good &= close_file(sheet->csv);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        end(all[i]);
    free(sheet);
    return good;
}
