/* What the files behind options.h share. */
#ifndef DIST_BASE_OPTIONS_PARTS_H
#define DIST_BASE_OPTIONS_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/options.h"

typedef enum dist_option_kind {
    DIST_KIND_TEXT,
    DIST_KIND_LOG,
    DIST_KIND_PROGRESS,
    DIST_KIND_SECONDS,
    DIST_KIND_BYTES,
    DIST_KIND_SIMD,
    DIST_KIND_WIRE,
    DIST_KIND_SHM,
    DIST_KIND_STREAMS,
    DIST_KIND_PORTS
} dist_option_kind;

typedef struct dist_option_row {
    const char *name;
    dist_option_kind kind;
    const char *value; /* the default */
    const char *help;
} dist_option_row;

extern const dist_option_row dist_option_table[DIST_OPTIONS];

/* ---- options_parse.c ---- */

/* The number that `text` stands for; false when it is none of that kind. */
bool dist_option_parse(dist_option_kind kind, const char *text, double *number);

/* What dist_option_parse takes, for a sentence that begins "it must be". */
const char *dist_option_allowed(dist_option_kind kind);

/* The option of this name (`length` characters); DIST_OPTIONS when there is none. */
dist_option dist_option_find(const char *name, size_t length);

/* The option whose name is likely meant by `name`; DIST_OPTIONS when none is near. */
dist_option dist_option_near(const char *name, size_t length);

/* ---- options.c ---- */

/* Sets an option; `where` ("the environment", "site.conf:3") is for the sentence of a value that does not
 * parse. An empty text says nothing and changes nothing. */
dist_status dist_options_set(dist_options *options, dist_option option, const char *text,
                             dist_option_source source, const char *where);

/* Adds one line to options->warnings. */
dist_status dist_options_warn(dist_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds the warning about a name that is no option. */
dist_status dist_options_warn_unknown(dist_options *options, const char *where, const char *name,
                                      size_t length);

/* ---- options_file.c ---- */

dist_status dist_options_read_file(dist_options *options, const char *path);

#endif
