/* Files that people write: lines of text with # comments. */
#ifndef DIST_BASE_TEXT_FILE_H
#define DIST_BASE_TEXT_FILE_H

#include <libdist/status.h>

/* Blanks between words: also the \r of a file from another system. */
#define DIST_BLANKS " \t\r\n\v\f"

/* Cuts blanks from both ends. */
char *dist_trim(char *text);

/* Gives each line that says something to `take`, trimmed and without its comment (a # at the start of a line
 * or after a blank), and ends at the first error of `take`. `what` is for sentences: "the site file
 * (DIST_SITES)". DIST_ERR_CONFIG when the file cannot be read. */
dist_status dist_text_file_read(const char *path, const char *what,
                                dist_status (*take)(void *context, int number, char *line), void *context);

#endif
