#define _POSIX_C_SOURCE 200809L /* getline */

#include "base/options_parts.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

typedef struct file_reader {
    dist_options *options;
    const char *path;
    int line;
    int set_on[DIST_OPTIONS]; /* the line that set an option; 0: none yet */
} file_reader;

static const char blanks[] = " \t\r\n\v\f";

/* Cuts blanks from both ends. */
static char *trim(char *text)
{
    text += strspn(text, blanks);
    size_t length = strlen(text);
    while (length > 0 && strchr(blanks, text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

/* A # begins a comment at the start of a line or after a blank, so that a path may hold one. */
static void cut_comment(char *line)
{
    for (char *c = line; *c; c++) {
        if (*c == '#' && (c == line || strchr(blanks, c[-1]))) {
            *c = '\0';
            return;
        }
    }
}

static dist_status read_entry(file_reader *reader, const char *name, const char *value)
{
    char where[PATH_MAX + 16];
    snprintf(where, sizeof where, "%s:%d", reader->path, reader->line);
    dist_option option = dist_option_find(name, strlen(name));
    if (option == DIST_OPTIONS)
        return dist_options_warn_unknown(reader->options, where, name, strlen(name));
    if (option == DIST_OPTION_CONFIG)
        return dist_options_warn(reader->options,
                                 "%s: DIST_CONFIG has no effect here: one configuration file cannot name "
                                 "another",
                                 where);
    if (reader->set_on[option])
        DIST_TRY(dist_options_warn(reader->options, "%s: %s was set on line %d already; the last line counts",
                                   where, name, reader->set_on[option]));
    reader->set_on[option] = reader->line;
    return dist_options_set(reader->options, option, value, DIST_FROM_FILE, where);
}

static dist_status read_line(file_reader *reader, char *line, size_t length)
{
    if (strlen(line) != length)
        return dist_fail(DIST_ERR_CONFIG,
                         "%s:%d: the line holds a NUL character; a configuration file is text with lines of "
                         "NAME = value",
                         reader->path, reader->line);
    cut_comment(line);
    line = trim(line);
    if (*line == '\0')
        return DIST_OK;
    char *equals = strchr(line, '=');
    if (!equals || equals == line)
        return dist_fail(DIST_ERR_CONFIG, "%s:%d: '%.80s' is not of the form NAME = value", reader->path,
                         reader->line, line);
    *equals = '\0';
    return read_entry(reader, trim(line), trim(equals + 1));
}

static dist_status read_lines(file_reader *reader, FILE *file)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    dist_status status = DIST_OK;
    errno = 0;
    while (status == DIST_OK && (length = getline(&line, &capacity, file)) >= 0) {
        reader->line++;
        status = read_line(reader, line, (size_t)length);
        errno = 0;
    }
    if (status == DIST_OK && !feof(file))
        status = dist_fail(DIST_ERR_CONFIG, "cannot read the configuration file '%s' (DIST_CONFIG): %s",
                           reader->path, strerror(errno));
    free(line);
    return status;
}

dist_status dist_options_read_file(dist_options *options, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return dist_fail(DIST_ERR_CONFIG,
                         "cannot open the configuration file '%s': %s; make DIST_CONFIG name a readable file "
                         "or unset it",
                         path, strerror(errno));
    file_reader reader = {.options = options, .path = path};
    dist_status status = read_lines(&reader, file);
    fclose(file);
    return status;
}
