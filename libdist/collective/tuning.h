/* What a tuning file says, in memory: made of a topology and added to, or read from a text. */
#ifndef DIST_COLLECTIVE_TUNING_H
#define DIST_COLLECTIVE_TUNING_H

#include <libdist/tuning.h>

#include "collective/collective.h"

#define DIST_TUNING_VERSION 1
#define DIST_TUNING_MOST    ((size_t)1 << 20) /* bytes of a file */
#define DIST_TUNING_WHAT    "the tuning file (DIST_TUNING)"

typedef struct dist_tuning_row {
    dist_collective_kind kind;
    dist_algo algo;
    uint64_t from, to; /* bytes, both included */
    char codec[64];    /* as dist_codec.text has it */
} dist_tuning_row;

struct dist_tuning {
    char *file;    /* that it was read from; NULL: none */
    char *cluster; /* as dist_tuning_cluster writes it */
    int ranks, sites;
    char (*site)[DIST_NAME_MAX]; /* [sites] */
    int wire;                    /* of DIST_WIRE_CHOICE_; AUTO: it names none */
    int streams;                 /* 0: it names none */
    dist_link *link;             /* [sites * sites]; a bandwidth of 0: it does not name this one */
    dist_tuning_row *row;        /* in the order in which they were added */
    size_t rows, row_room;
};

/* ---- tuning.c ---- */

/* An empty one, of this cluster. */
dist_status dist_tuning_new(dist_tuning **tuning, const dist_topology *topology);
void dist_tuning_free(dist_tuning *tuning);

/* As the public calls of nearly these names; DIST_ERR_ARGUMENT. */
dist_status dist_tuning_add_row(dist_tuning *tuning, const char *collective, const char *codec, uint64_t from,
                                uint64_t to, const char *algo);
/* Into one that has none. */
dist_status dist_tuning_copy_rows(dist_tuning *tuning, const dist_tuning *from);
dist_status dist_tuning_put_streams(dist_tuning *tuning, int streams);
dist_status dist_tuning_put_link(dist_tuning *tuning, int from, int to, const dist_link *link);

/* The algorithm that the last row for this collective, codec and size names, if it fits the rest of `spec`; else false. */
bool dist_tuning_choice(const dist_spec *spec, dist_algo *algo);

/* Whether each site has a link to another, which is as much as a look at the links finds; and whether there are those between all
 * sites, both ways, and inside all sites of several ranks. */
bool dist_tuning_has_links(const dist_tuning *tuning);
bool dist_tuning_has_all_links(const dist_tuning *tuning, const dist_topology *topology);

/* ---- tuning_cluster.c ---- */

/* What tells clusters apart: "sites east:0-3/4-7 west:8-9", the ranks of each node of each site. NULL: no memory. */
char *dist_tuning_cluster(const dist_topology *topology);
/* The name of a site as one word without blanks and punctuation. */
#define DIST_TUNING_NAME_MAX (3 * DIST_NAME_MAX)
void dist_tuning_name(const char *name, char word[DIST_TUNING_NAME_MAX]);

/* ---- tuning_read.c ---- */

/* Reads the text of a file. DIST_ERR_CONFIG, with file and line, when it is not understood or of another cluster than
 * `topology`. */
dist_status dist_tuning_read(dist_tuning **tuning, const char *file, const char *text, size_t bytes,
                             const dist_topology *topology);

/* ---- tuning_write.c ---- */

/* The text that dist_tuning_read reads; the caller frees it. */
dist_status dist_tuning_text(const dist_tuning *tuning, const char *comment, char **text, size_t *bytes);
void dist_tuning_write_rows(const dist_tuning *tuning, FILE *file);

#endif
