/* What a start takes from the tuning file. */
#ifndef DIST_TUNED_H
#define DIST_TUNED_H

#include "context_internal.h"

/* Name and text of rank 0's file, as they travel: the name, a NUL, the text, filled up to whole words. */
typedef struct dist_tuning_file {
    char *text;
    uint64_t bytes; /* 0: no file */
} dist_tuning_file;

/* Rank 0 reads its file; `file->text` is the caller's, on every rank. DIST_ERR_CONFIG. */
dist_status dist_tuned_load(const dist_context *context, dist_tuning_file *file);

/* Tells all ranks what rank 0 has read, once they know how long it is, and fills context->tuning. Collective; blocking. */
dist_status dist_tuned_spread(dist_context *context, dist_tuning_file *file);

/* Puts the file's links, which are of the wire in use, in the place of what was found. */
dist_status dist_tuned_links(dist_context *context);

/* A line on the file, and one on where what is known of the links comes from. */
void dist_tuned_print(const dist_context *context, FILE *file);

#endif
