/* Rows of named values, kept as they are measured, and written as JSON and CSV. */
#ifndef DIST_PERF_SHEET_H
#define DIST_PERF_SHEET_H

#include <stdbool.h>
#include <stdio.h>

typedef struct perf_sheet perf_sheet;

/* Opens the files that will be written (NULL: none) before anything is measured. NULL, with errno and the path in *failed, when one
 * cannot be. */
perf_sheet *perf_sheet_open(const char *json, const char *csv, const char **failed);

/* A value of the whole sheet: JSON beside "results", CSV as a comment. */
void perf_sheet_head_text(perf_sheet *sheet, const char *name, const char *text);
void perf_sheet_head_number(perf_sheet *sheet, const char *name, double value, bool known);
void perf_sheet_head_flag(perf_sheet *sheet, const char *name, bool on);

/* Rows: begin, then the same names in the same order in every row. A number that is not known is null, in CSV empty. A NULL sheet, that of
 * ranks other than 0, takes all and keeps nothing. */
void perf_sheet_row(perf_sheet *sheet);
void perf_sheet_text(perf_sheet *sheet, const char *name, const char *text);
void perf_sheet_number(perf_sheet *sheet, const char *name, const char *format, double value, bool known);
void perf_sheet_flag(perf_sheet *sheet, const char *name, bool on);

/* Writes and closes; false, with errno, when not all could be written. NULL is legal. */
bool perf_sheet_close(perf_sheet *sheet);

#endif
