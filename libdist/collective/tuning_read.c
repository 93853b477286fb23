/* From the text of a tuning file to what it says. All ranks read the same text, and come to the same end. */
#define _POSIX_C_SOURCE 200809L /* strtok_r, strdup */

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "base/options.h"
#include "base/text_file.h"
#include "collective/tuning.h"

#define WORDS_MOST 5
#define WORD_MOST  200 /* characters: longer than the longest that can be right */

typedef struct reader {
    dist_tuning *tuning;
    const char *file;
    int line;
    int began, cluster_on, wire_on, streams_on; /* the lines that said so; 0: none yet */
    char *word[WORDS_MOST + 1];
    int words; /* at most one more than fit */
} reader;

static dist_status wrong(const reader *r, const char *sentence)
{
    return dist_fail(DIST_ERR_CONFIG, "%.300s:%d: %s", r->file, r->line, sentence);
}

/* The same about what the last error says. */
static dist_status hand_on(const reader *r, dist_status status)
{
    char sentence[DIST_ERROR_MAX];
    if (status >= 0 || status == DIST_ERR_MEMORY)
        return status;
    snprintf(sentence, sizeof sentence, "%s", dist_last_error());
    return wrong(r, sentence);
}

static dist_status not_twice(const reader *r, int *on)
{
    if (*on)
        return dist_fail(DIST_ERR_CONFIG, "%.300s:%d: '%s' was said on line %d already; keep one of them",
                         r->file, r->line, r->word[0], *on);
    return DIST_OK;
}

static dist_status need_words(const reader *r, int words, const char *form)
{
    if (r->words == words)
        return DIST_OK;
    return dist_fail(DIST_ERR_CONFIG, "%.300s:%d: a line that begins with '%s' has the form '%s'", r->file,
                     r->line, r->word[0], form);
}

static dist_status take_version(reader *r)
{
    if (strcmp(r->word[0], "libdist-tuning") != 0)
        return dist_fail(DIST_ERR_CONFIG,
                         "%.300s:%d: this is not a tuning file: it would begin with 'libdist-tuning %d'",
                         r->file, r->line, DIST_TUNING_VERSION);
    DIST_TRY(need_words(r, 2, "libdist-tuning 1"));
    if (strcmp(r->word[1], "1") != 0)
        return dist_fail(
            DIST_ERR_CONFIG,
            "%.300s:%d: a tuning file of version %.40s; this libdist reads version %d: measure anew, or "
            "use the libdist that wrote it",
            r->file, r->line, r->word[1], DIST_TUNING_VERSION);
    r->began = r->line;
    return DIST_OK;
}

/* `said`: the rest of the line, blanks made one. */
static dist_status take_cluster(reader *r, const char *said)
{
    DIST_TRY(not_twice(r, &r->cluster_on));
    r->cluster_on = r->line;
    if (strcmp(said, r->tuning->cluster) == 0)
        return DIST_OK;
    return dist_fail(
        DIST_ERR_CONFIG,
        "%.200s:%d: the file is of another cluster: it has %.200s, and this job %.200s (names of sites, and "
        "the ranks of each of their nodes); measure here, or leave DIST_TUNING out",
        r->file, r->line, *said ? said : "no sites", r->tuning->cluster);
}

static dist_status take_wire(reader *r)
{
    DIST_TRY(not_twice(r, &r->wire_on));
    DIST_TRY(need_words(r, 2, "wire tcp"));
    r->wire_on = r->line;
    if (strcmp(r->word[1], "tcp") == 0)
        r->tuning->wire = DIST_WIRE_CHOICE_TCP;
    else if (strcmp(r->word[1], "mpi") == 0)
        r->tuning->wire = DIST_WIRE_CHOICE_MPI;
    else
        return wrong(r, "the wire must be tcp or mpi");
    return DIST_OK;
}

/* Digits alone. */
static bool read_whole(const char *text, uint64_t *number)
{
    *number = 0;
    for (const char *c = text; *c; c++) {
        const unsigned digit = (unsigned)(*c - '0');
        if (*c < '0' || *c > '9' || *number > (UINT64_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    return *text != '\0';
}

static dist_status take_streams(reader *r)
{
    uint64_t streams;
    DIST_TRY(not_twice(r, &r->streams_on));
    DIST_TRY(need_words(r, 2, "streams 16"));
    r->streams_on = r->line;
    if (!read_whole(r->word[1], &streams) || streams > 1000)
        return wrong(r, "the number of streams must be a whole number from 1 to 64");
    return hand_on(r, dist_tuning_put_streams(r->tuning, (int)streams));
}

static bool read_number(const char *text, double *number)
{
    char *end;
    if (strspn(text, "0123456789.eE+-") != strlen(text)) /* no "inf" or "nan" */
        return false;
    *number = dist_strtod(text, &end);
    return end != text && *end == '\0';
}

static int site_of(const dist_tuning *tuning, const char *word)
{
    char name[DIST_TUNING_NAME_MAX];
    for (int s = 0; s < tuning->sites; s++) {
        dist_tuning_name(tuning->site[s], name);
        if (strcmp(name, word) == 0)
            return s;
    }
    return -1;
}

static dist_status take_link(reader *r)
{
    dist_link link;
    DIST_TRY(need_words(r, 5, "link east west 0.015 23810000"));
    const int from = site_of(r->tuning, r->word[1]), to = site_of(r->tuning, r->word[2]);
    if (from < 0 || to < 0)
        return dist_fail(DIST_ERR_CONFIG,
                         "%.300s:%d: there is no site '%s'; the line of the cluster names all", r->file,
                         r->line, r->word[from < 0 ? 1 : 2]);
    if (!read_number(r->word[3], &link.latency) || !read_number(r->word[4], &link.bandwidth))
        return wrong(
            r, "a link has a latency in seconds and a bandwidth in bytes a second, such as 0.015 23810000");
    if (r->tuning->link[from * r->tuning->sites + to].bandwidth > 0)
        return wrong(r, "this link was named on a line before; keep one of them");
    return hand_on(r, dist_tuning_put_link(r->tuning, from, to, &link));
}

static dist_status take_row(reader *r)
{
    uint64_t from, to = UINT64_MAX;
    dist_collective_kind kind;
    if (dist_collective_parse(r->word[0], &kind) < 0)
        return dist_fail(
            DIST_ERR_CONFIG,
            "%.300s:%d: '%s' begins no line of a tuning file; those are cluster, wire, streams, link and the "
            "names of collectives, such as all-reduce",
            r->file, r->line, r->word[0]);
    DIST_TRY(need_words(r, 5, "all-reduce none 0 65536 doubling"));
    if (!read_whole(r->word[2], &from) || (strcmp(r->word[3], "max") != 0 && !read_whole(r->word[3], &to)))
        return wrong(r, "sizes are whole numbers of bytes, such as 0 65536, and the second may be 'max'");
    return hand_on(r, dist_tuning_add_row(r->tuning, r->word[0], r->word[1], from, to, r->word[4]));
}

static dist_status split(reader *r, char *said)
{
    char *rest;
    r->words = 0;
    for (char *word = strtok_r(said, DIST_BLANKS, &rest); word && r->words <= WORDS_MOST;
         word = strtok_r(NULL, DIST_BLANKS, &rest)) {
        if (strlen(word) > WORD_MOST)
            return dist_fail(DIST_ERR_CONFIG,
                             "%.300s:%d: '%.40s...' is longer than any word of a tuning file", r->file,
                             r->line, word);
        r->word[r->words++] = word;
    }
    return DIST_OK;
}

/* Cuts the first word off; what is left has one blank between words. */
static char *after_first(char *said)
{
    char *put = said + strcspn(said, DIST_BLANKS), *get = put + strspn(put, DIST_BLANKS), *rest;
    if (*put)
        *put++ = '\0';
    rest = put;
    while (*get) {
        const size_t length = strcspn(get, DIST_BLANKS);
        memmove(put, get, length);
        put += length;
        get += length + strspn(get + length, DIST_BLANKS);
        if (*get)
            *put++ = ' ';
    }
    *put = '\0';
    return rest;
}

/* `said` is not empty. The line of the cluster is as long as that is large, and comes before what is measured there. */
static dist_status take_line(reader *r, char *said)
{
    const size_t first = strcspn(said, DIST_BLANKS);
    if (r->began && first == 7 && memcmp(said, "cluster", 7) == 0) {
        r->word[0] = said;
        return take_cluster(r, after_first(said));
    }
    DIST_TRY(split(r, said));
    if (!r->began)
        return take_version(r);
    if (!r->cluster_on)
        return wrong(r, "the line 'cluster sites ...' must come before what was measured there");
    if (strcmp(r->word[0], "wire") == 0)
        return take_wire(r);
    if (strcmp(r->word[0], "streams") == 0)
        return take_streams(r);
    if (strcmp(r->word[0], "link") == 0)
        return take_link(r);
    return take_row(r);
}

static dist_status take_lines(reader *r, char *text)
{
    for (char *line = text, *next; *line; line = next) {
        char *end = strchr(line, '\n');
        r->line++;
        if (!end)
            return wrong(r, "the line has no end: the file was cut short; measure anew, or end the line");
        *end = '\0';
        next = end + 1;
        dist_cut_comment(line);
        char *said = dist_trim(line);
        if (*said)
            DIST_TRY(take_line(r, said));
    }
    if (!r->began)
        return dist_fail(DIST_ERR_CONFIG, "%.300s: this is not a tuning file: it says nothing", r->file);
    if (!r->cluster_on)
        return dist_fail(DIST_ERR_CONFIG,
                         "%.300s: no line 'cluster sites ...' says of what cluster the file is", r->file);
    return DIST_OK;
}

/* Text has no NUL. */
static dist_status check_text(const char *file, const char *text, size_t bytes)
{
    int line = 1;
    if (bytes > DIST_TUNING_MOST)
        return dist_fail(DIST_ERR_CONFIG,
                         "%.300s has %zu bytes, but a tuning file at most %zu: this is another file", file,
                         bytes, DIST_TUNING_MOST);
    const char *nul = memchr(text, '\0', bytes);
    if (!nul)
        return DIST_OK;
    for (const char *c = text; c < nul; c++)
        line += *c == '\n';
    return dist_fail(DIST_ERR_CONFIG, "%.300s:%d: the line holds a NUL character, but a tuning file is text",
                     file, line);
}

dist_status dist_tuning_read(dist_tuning **out, const char *file, const char *text, size_t bytes,
                             const dist_topology *topology)
{
    reader r = {.file = file};
    *out = NULL;
    DIST_TRY(check_text(file, text, bytes));
    DIST_TRY(dist_tuning_new(&r.tuning, topology));
    char *copy = malloc(bytes + 1);
    dist_status status = DIST_ERR_MEMORY;
    if (copy && (r.tuning->file = strdup(file)) != NULL) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
        status = take_lines(&r, copy);
    }
    free(copy);
    if (status >= 0) {
        *out = r.tuning;
        return DIST_OK;
    }
    dist_tuning_free(r.tuning);
    return status == DIST_ERR_MEMORY ? dist_fail(status, "no memory for the tuning file '%.300s'", file)
                                     : status;
}
