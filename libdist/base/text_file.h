/* Files that people write: lines of text with # comments. */
#ifndef DIST_BASE_TEXT_FILE_H
#define DIST_BASE_TEXT_FILE_H

#include <stddef.h>

#include <libdist/status.h>

/* Blanks between words: also the \r of a file from another system. */
#define DIST_BLANKS " \t\r\n\v\f"

/* Cuts blanks from both ends. */
char *dist_trim(char *text);

/* Ends the line at its comment: a # at its start or after a blank, so that a path may hold one. */
void dist_cut_comment(char *line);

/* Gives each line that says something to `take`, trimmed and without its comment (a # at the start of a line
 * or after a blank), and ends at the first error of `take`. `what` is for sentences: "the site file
 * (DIST_SITES)". DIST_ERR_CONFIG when the file cannot be read. */
dist_status dist_text_file_read(const char *path, const char *what,
                                dist_status (*take)(void *context, int number, char *line), void *context);

/* The whole file, of at most `most` bytes, in memory that the caller frees; a NUL is put behind its last byte. Only of a file proper:
 * reading a pipe could wait for ever. DIST_ERR_CONFIG otherwise; `what` as above. */
dist_status dist_text_file_load(const char *path, const char *what, size_t most, char **text, size_t *bytes);

/* Makes `text` what the file holds, or leaves it as it was: written beside it, then renamed. A link is followed. DIST_ERR_IO. */
dist_status dist_text_file_replace(const char *path, const char *what, const char *text, size_t bytes);

#endif
