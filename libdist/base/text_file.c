#define _POSIX_C_SOURCE 200809L /* getline */

#include "base/text_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

char *dist_trim(char *text)
{
    text += strspn(text, DIST_BLANKS);
    size_t length = strlen(text);
    while (length > 0 && strchr(DIST_BLANKS, text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

void dist_cut_comment(char *line)
{
    for (char *c = line; *c; c++) {
        if (*c == '#' && (c == line || strchr(DIST_BLANKS, c[-1]))) {
            *c = '\0';
            return;
        }
    }
}

static dist_status cannot_read(const char *path, const char *what)
{
    return dist_fail(DIST_ERR_CONFIG, "cannot read %s '%s': %s", what, path, strerror(errno));
}

dist_status dist_text_file_read(const char *path, const char *what,
                                dist_status (*take)(void *context, int number, char *line), void *context)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return cannot_read(path, what);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    dist_status status = DIST_OK;
    for (int number = 1; status == DIST_OK && (length = getline(&line, &capacity, file)) >= 0; number++) {
        if (strlen(line) != (size_t)length) {
            status = dist_fail(DIST_ERR_CONFIG, "%s:%d: the line holds a NUL character, but %s is text", path,
                               number, what);
            break;
        }
        dist_cut_comment(line);
        char *said = dist_trim(line);
        if (*said)
            status = take(context, number, said);
    }
    if (status == DIST_OK && !feof(file))
        status = cannot_read(path, what);
    free(line);
    fclose(file);
    return status;
}
